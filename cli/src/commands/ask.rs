//! Questions to a person: each has a default, a flag that answers it, and an explanation for whoever answers `?`.

use std::io::{BufRead, Write};

use crate::error::CommandError;
use crate::view::safe;

/// One question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    /// What is asked.
    pub(super) text: &'a str,
    /// The answer of whoever only presses Enter.
    pub(super) default: &'a str,
    /// What it means, for whoever answers `?`.
    pub(super) help: &'a str,
    /// The flag that answers it.
    pub(super) flag: &'a str,
}

/// Whoever is asked.
#[derive(Debug)]
pub(super) struct Asker<R, W> {
    input: R,
    talk: W,
    /// Nobody is there: every answer is the default.
    silent: bool,
}

impl<R: BufRead, W: Write> Asker<R, W> {
    pub(super) fn new(input: R, talk: W, silent: bool) -> Self {
        Self {
            input,
            talk,
            silent,
        }
    }

    /// What was given on the command line, else the answer, asked for until it can be understood.
    pub(super) fn answer<T>(
        &mut self,
        given: Option<T>,
        question: Question<'_>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, CommandError> {
        if let Some(given) = given {
            return Ok(given);
        }
        if self.silent {
            return parse(question.default).map_err(|why| {
                CommandError::usage(format!("{}: {why}", question.text))
                    .hint(format!("{} says it", question.flag))
            });
        }
        loop {
            let default = if question.default.is_empty() {
                String::new()
            } else {
                format!(" [{}]", question.default)
            };
            self.say(&format!("{}{default}: ", question.text))?;
            let line = self.line()?;
            match line.trim() {
                "?" => self.say(&format!("  {}\n  Flag: {}\n", question.help, question.flag))?,
                text => {
                    let text = if text.is_empty() {
                        question.default
                    } else {
                        text
                    };
                    match parse(text) {
                        Ok(answer) => return Ok(answer),
                        Err(why) => self.say(&format!("  {}\n", safe::line(&why)))?,
                    }
                }
            }
        }
    }

    /// One of several: by its number, its word, or the beginning of it. The first is the default.
    pub(super) fn choose<T: Copy>(
        &mut self,
        question: Question<'_>,
        choices: &[(T, &str, &str)],
    ) -> Result<T, CommandError> {
        if !self.silent {
            self.say(&format!("{}\n", question.text))?;
            for (index, (_, word, text)) in choices.iter().enumerate() {
                self.say(&format!("  {}) {word}: {text}\n", index + 1))?;
            }
        }
        let find = |text: &str| {
            let number = text
                .parse::<usize>()
                .ok()
                .and_then(|number| number.checked_sub(1));
            let by_word = || choices.iter().find(|(_, word, _)| word.starts_with(text));
            number
                .and_then(|number| choices.get(number))
                .or_else(by_word)
                .map(|(choice, ..)| *choice)
                .ok_or_else(|| format!("answer with 1 to {}", choices.len()))
        };
        let asked = Question {
            text: "Number",
            ..question
        };
        self.answer(None, asked, find)
    }

    pub(super) fn say(&mut self, text: &str) -> Result<(), CommandError> {
        let said = write!(self.talk, "{text}").and_then(|()| self.talk.flush());
        said.map_err(|error| CommandError::failed(format!("cannot ask: {error}")))
    }

    fn line(&mut self) -> Result<String, CommandError> {
        let mut line = String::new();
        let read = self.input.read_line(&mut line);
        match read {
            Ok(0) => Err(
                CommandError::usage("no more answers came, and nothing was written")
                    .hint("--yes takes the default of every question"),
            ),
            Ok(_) => Ok(line),
            Err(error) => Err(CommandError::failed(format!(
                "cannot read the answer: {error}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: Question<'_> = Question {
        text: "How many?",
        default: "3",
        help: "More is better.",
        flag: "--many N",
    };

    fn number(text: &str) -> Result<u8, String> {
        text.parse().map_err(|_| format!("`{text}` is no number"))
    }

    fn asked(input: &str, silent: bool) -> (Result<u8, CommandError>, String) {
        let mut talk = Vec::new();
        let answer = Asker::new(input.as_bytes(), &mut talk, silent).answer(None, QUESTION, number);
        (answer, String::from_utf8(talk).unwrap())
    }

    #[test]
    fn a_question_is_explained_and_asked_again_until_it_is_answered() {
        let (answer, talk) = asked("?\nmany\n7\n", false);
        assert_eq!(answer.unwrap(), 7);
        assert_eq!(
            talk,
            "How many? [3]:   More is better.\n  Flag: --many N\nHow many? [3]:   `many` is no number\nHow many? [3]: "
        );
        assert_eq!(asked("\n", false).0.unwrap(), 3);
        assert!(
            asked("", false).0.is_err(),
            "the end of the input is no answer"
        );
    }

    #[test]
    fn where_nobody_is_there_the_default_is_taken_without_a_word() {
        let (answer, talk) = asked("", true);
        assert_eq!((answer.unwrap(), talk.as_str()), (3, ""));
    }

    #[test]
    fn a_choice_is_made_by_number_or_word() {
        for (input, choice) in [("\n", 'a'), ("2\n", 'b'), ("bet\n", 'b'), ("9\n1\n", 'a')] {
            let mut talk = Vec::new();
            let question = Question {
                default: "1",
                ..QUESTION
            };
            let choices = [('a', "alpha", "the first"), ('b', "beta", "the second")];
            let chosen = Asker::new(input.as_bytes(), &mut talk, false).choose(question, &choices);
            assert_eq!(chosen.unwrap(), choice, "{input:?}");
        }
    }
}
