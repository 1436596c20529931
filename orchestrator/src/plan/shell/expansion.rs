//! Quotes, `$...` and backticks.

use super::inspect::{self, Word};
use super::scanner::{ARITHMETIC, Forbidden, Quoting, Scanner};
use crate::plan::reference::{self, Plain};
use crate::plan::script::PlainUse;

const PARAMETER: Forbidden = Forbidden {
    why: "inside this kind of `${...}` shells read the value as a pattern, a number or a quoted text",
    help: "give the value a variable of its own first: `v={{x}}`, then use `$v`",
};
const BACKTICKS: &str = "shells disagree about quoting inside of backticks";
const DOLLAR_QUOTES: Forbidden = Forbidden {
    why: "a value cannot be put into `$'...'`",
    help: "end the quotes before it: `$'\\t'{{x}}`",
};

impl Scanner<'_> {
    pub(super) fn single_quotes(&mut self, word: &mut Word) {
        word.quoted = true;
        self.copy(1);
        while let Some(byte) = self.peek() {
            match byte {
                b'\'' => return self.copy(1),
                b'\\' if self.rest().starts_with("\\{{") => self.escaped_braces(word),
                b'{' | b'$' if self.reference(Quoting::Single, word) => {}
                _ => self.literal(word),
            }
        }
        self.unclear("a single quote is not closed");
    }

    pub(super) fn double_quotes(&mut self, word: &mut Word) {
        word.quoted = true;
        self.copy(1);
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => return self.copy(1),
                b'\\' if self.rest().starts_with("\\{{") => self.escaped_braces(word),
                b'\\' => {
                    self.copy(1);
                    self.literal(word);
                }
                b'`' => {
                    self.backticks();
                    word.text.push(inspect::EXPANSION);
                }
                b'$' => self.dollar(Quoting::Double, word),
                b'{' if self.reference(Quoting::Double, word) => {}
                _ => self.literal(word),
            }
        }
        self.unclear("a double quote is not closed");
    }

    fn literal(&mut self, word: &mut Word) {
        let from = self.at;
        self.copy(1);
        word.text.push_str(&self.src[from..self.at]);
    }

    /// What begins with a `$`.
    pub(super) fn dollar(&mut self, quoting: Quoting, word: &mut Word) {
        if self.reference(quoting, word) || !self.descend() {
            return;
        }
        self.expansion(quoting, word);
        self.depth -= 1;
    }

    fn expansion(&mut self, quoting: Quoting, word: &mut Word) {
        match self.byte(1) {
            Some(b'(') if self.byte(2) == Some(b'(') => {
                self.copy(3);
                self.arithmetic();
            }
            Some(b'(') => {
                self.copy(2);
                self.commands(true);
                self.close(b')', "a `$(` is not closed");
            }
            Some(b'{') => self.parameter(quoting),
            Some(b'[') if self.bash => self.old_arithmetic(),
            Some(b'\'') if quoting == Quoting::None => {
                self.dollar_quotes(word);
                word.quoted = true;
                return;
            }
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => {
                let start = self.at;
                self.copy(1);
                let name = self.name();
                self.uses.push(PlainUse {
                    name,
                    has_default: false,
                    start,
                    end: self.at,
                });
            }
            Some(b'0'..=b'9' | b'@' | b'*' | b'#' | b'?' | b'-' | b'$' | b'!') => self.copy(2),
            _ => {
                self.literal(word);
                return;
            }
        }
        word.text.push(inspect::EXPANSION);
    }

    /// Copies a name.
    fn name(&mut self) -> String {
        let rest = self.rest();
        let length = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        self.copy(length);
        rest[..length].to_owned()
    }

    /// `${...}` of the shell.
    fn parameter(&mut self, quoting: Quoting) {
        let start = self.at;
        self.copy(2);
        let mut known = true;
        if matches!(self.peek(), Some(b'#' | b'!')) && self.byte(1) != Some(b'}') {
            known = self.peek() == Some(b'#');
            self.copy(1);
        }
        let mut name = self.name();
        if name.is_empty() && self.peek().is_some_and(|b| b != b'}') {
            self.copy(1);
            known = false;
        }
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            known = false;
            name.clear();
        }
        let outer = self.forbidden;
        if self.peek() == Some(b'[') {
            self.forbidden = self.forbidden.or(Some(ARITHMETIC));
            self.until(b']', quoting);
            self.forbidden = outer;
            self.close(b']', "a `[` is not closed");
        }
        let operator = self
            .rest()
            .trim_start_matches(':')
            .as_bytes()
            .first()
            .copied();
        let colon = self.peek() == Some(b':');
        let simple = matches!(operator, Some(b'-' | b'=' | b'+' | b'?'));
        let has_default = matches!(operator, Some(b'-' | b'=' | b'+'));
        if simple {
            self.copy(if colon { 2 } else { 1 });
        } else {
            self.forbidden = self.forbidden.or(Some(PARAMETER));
        }
        if operator == Some(b'=') {
            self.assigned.insert(name.clone());
        }
        let first = self.places.len();
        let odd = self.until(b'}', quoting);
        self.forbidden = outer;
        if odd {
            let inside: Vec<_> = self.places[first..].to_vec();
            for place in inside {
                self.refuse(place, PARAMETER.why, PARAMETER.help);
            }
        }
        self.close(b'}', "a `${` is not closed");
        if known && !name.is_empty() {
            self.uses.push(PlainUse {
                name,
                has_default,
                start,
                end: self.at,
            });
        }
    }

    /// Copies up to an unquoted `end`, which is left. True: quotes stand in it, which shells read differently.
    fn until(&mut self, end: u8, quoting: Quoting) -> bool {
        let mut odd = false;
        let mut word = Word::default();
        while let Some(byte) = self.peek() {
            match byte {
                byte if byte == end => return odd,
                b'\\' => self.copy(2),
                b'\'' if quoting == Quoting::None => {
                    odd = true;
                    self.single_quotes(&mut word);
                }
                b'"' if quoting != Quoting::HereDocument => {
                    odd = true;
                    self.double_quotes(&mut word);
                }
                b'\'' | b'"' => {
                    odd = true;
                    self.copy(1);
                }
                b'`' => self.backticks(),
                b'$' => self.dollar(quoting, &mut word),
                b'{' if self.reference(quoting, &mut word) => {}
                _ => self.copy(1),
            }
        }
        odd
    }

    /// The inside of `$((...))` or `((...))`, up to and with the closing parentheses.
    pub(super) fn arithmetic(&mut self) {
        let outer = self.forbidden.replace(ARITHMETIC);
        let mut open = 2_usize;
        let mut word = Word::default();
        while let Some(byte) = self.peek() {
            match byte {
                b'(' => {
                    open += 1;
                    self.copy(1);
                }
                b')' => {
                    open -= 1;
                    self.copy(1);
                    if open == 0 {
                        self.forbidden = outer;
                        return;
                    }
                }
                b'\\' => self.copy(2),
                b'\'' => self.single_quotes(&mut word),
                b'"' => self.double_quotes(&mut word),
                b'`' => self.backticks(),
                b'$' => self.dollar(Quoting::Double, &mut word),
                b'{' if self.reference(Quoting::Double, &mut word) => {}
                // `$((` may also begin a command substitution; then this is a comment, and what follows is not seen right.
                b'#' if self.out.ends_with([' ', '\n', '\t']) => {
                    self.unclear("a comment may begin inside of `$((`");
                    self.copy(1);
                }
                _ => self.copy(1),
            }
        }
        self.forbidden = outer;
        self.unclear("a `((` is not closed");
    }

    /// `$[...]` of old bash.
    fn old_arithmetic(&mut self) {
        let outer = self.forbidden.replace(ARITHMETIC);
        self.copy(2);
        self.until(b']', Quoting::Double);
        self.forbidden = outer;
        self.close(b']', "a `$[` is not closed");
    }

    /// `$'...'`: in bash a backslash escapes; a plain POSIX shell sees a `$` and single quotes.
    fn dollar_quotes(&mut self, word: &mut Word) {
        let outer = self.forbidden.replace(DOLLAR_QUOTES);
        self.copy(2);
        while let Some(byte) = self.peek() {
            match byte {
                b'\'' => {
                    self.forbidden = outer;
                    return self.copy(1);
                }
                b'\\' => {
                    if !self.bash && self.byte(1) == Some(b'\'') {
                        self.unclear("`$'...'` with an escaped quote is read differently by different shells");
                    }
                    self.copy(2);
                }
                b'{' | b'$' if self.reference(Quoting::Single, word) => {}
                _ => self.literal(word),
            }
        }
        self.forbidden = outer;
        self.unclear("a `$'` is not closed");
    }

    /// Copies a substitution in backticks; references in it are refused.
    pub(super) fn backticks(&mut self) {
        let start = self.at;
        self.copy(1);
        let mut inside = String::new();
        let mut references = Vec::new();
        loop {
            match self.peek() {
                None => {
                    self.unclear("a backtick is not closed");
                    break;
                }
                Some(b'`') => {
                    self.copy(1);
                    break;
                }
                Some(b'\\') => {
                    let from = self.at + 1;
                    self.copy(2);
                    inside.push_str(self.src.get(from..self.at).unwrap_or_default());
                }
                Some(_) => {
                    if let Some(Ok((_, end))) =
                        reference::at(&self.src[..self.limit], self.at, Plain::Shell)
                    {
                        references.push(self.at..end);
                        self.copy(end - self.at);
                    } else {
                        let from = self.at;
                        self.copy(1);
                        inside.push_str(&self.src[from..self.at]);
                    }
                }
            }
        }
        for place in references {
            self.places.push(place.clone());
            self.refuse(place, BACKTICKS, "write `$(...)` instead of the backticks");
        }
        let inner = super::scan_uses(&inside, self.bash);
        let end = self.at;
        self.uses.extend(inner.into_iter().map(|plain| PlainUse {
            start,
            end,
            ..plain
        }));
    }
}
