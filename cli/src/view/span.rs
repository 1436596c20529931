//! Text with a meaning instead of a colour: what a tone looks like is decided where it is shown.

use anstyle::{AnsiColor, Effects, Style};
use unicode_width::UnicodeWidthStr;

use super::safe;

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// Less important.
    Dim,
    /// More important.
    Strong,
    /// Went well.
    Good,
    /// Went wrong.
    Bad,
    /// Needs a look.
    Warn,
    /// Is going on.
    Busy,
}

impl Tone {
    /// The colours of the terminal's own palette, readable on dark and light; never the only carrier of a meaning.
    pub(crate) fn style(self) -> Style {
        let colored = |color: AnsiColor| Style::new().fg_color(Some(color.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Dim => Style::new() | Effects::DIMMED,
            Self::Strong => Style::new().bold(),
            Self::Good => colored(AnsiColor::Green),
            Self::Bad => colored(AnsiColor::Red).bold(),
            Self::Warn => colored(AnsiColor::Yellow).bold(),
            Self::Busy => colored(AnsiColor::Cyan),
        }
    }
}

/// One line of toned pieces, safe for a terminal whatever it was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<(String, Tone)>);

impl Line {
    /// Appends a piece. The one way into a line: what a terminal would obey is made visible here.
    pub(crate) fn add(mut self, text: impl AsRef<str>, tone: Tone) -> Self {
        self.0.push((safe::line(text.as_ref()).into_owned(), tone));
        self
    }

    /// The pieces.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (&str, Tone)> {
        self.0.iter().map(|(text, tone)| (text.as_str(), *tone))
    }

    /// Appends a piece and spaces up to `width` columns, at least one.
    pub(crate) fn column(self, text: impl AsRef<str>, tone: Tone, width: usize) -> Self {
        let text = safe::line(text.as_ref());
        let padding = width.saturating_sub(text.width()).max(1);
        self.add(text, tone).add(" ".repeat(padding), Tone::Plain)
    }

    /// The text alone.
    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|(text, _)| text.as_str()).collect()
    }

    /// For a terminal or a file.
    pub(crate) fn render(&self, color: bool) -> String {
        if !color {
            return self.text().trim_end().to_owned();
        }
        self.0
            .iter()
            .map(|(text, tone)| {
                let style = tone.style();
                if *tone == Tone::Plain {
                    text.clone()
                } else {
                    format!("{style}{text}{style:#}")
                }
            })
            .collect()
    }
}

/// Lines as one text.
pub(crate) fn render(lines: &[Line], color: bool) -> String {
    lines
        .iter()
        .map(|line| line.render(color))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Cut to `width` columns, with an ellipsis where something was left out.
pub(crate) fn cut(text: &str, width: usize) -> String {
    let text = safe::line(text);
    if text.width() <= width {
        return text.into_owned();
    }
    let mut kept = String::new();
    for letter in text.chars() {
        let mut longer = kept.clone();
        longer.push(letter);
        if longer.width() + 1 > width {
            break;
        }
        kept = longer;
    }
    kept.push('…');
    kept
}

/// Words wrapped to lines of at most `width` columns; a longer word stays whole.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in safe::line(text).split_whitespace() {
        let Some(last) = lines.last_mut() else { break };
        // A percent sign stays with its number.
        let fits = last.width() + 1 + word.width() <= width || word.starts_with('%');
        if !last.is_empty() && !fits {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_there_is_no_escape_and_no_trailing_space() {
        let line = Line::default()
            .column("ab", Tone::Bad, 5)
            .add("c  ", Tone::Good);
        assert_eq!(line.render(false), "ab   c");
        assert!(line.render(true).contains('\u{1b}'));
    }

    #[test]
    fn nothing_that_a_terminal_obeys_gets_into_a_line() {
        let nasty = "late\x1b[2J\nerror: made up\r\u{202e}";
        let shown = "late\\x1b[2J\\nerror: made up\\r\\u{202e}";
        let line = Line::default()
            .add(nasty, Tone::Plain)
            .column(nasty, Tone::Bad, 50)
            .add(cut(nasty, 100), Tone::Plain);
        for color in [false, true] {
            assert_eq!(line.render(color).matches(shown).count(), 3);
            assert!(!line.render(color).contains("\x1b[2J"));
        }
        assert_eq!(wrap(nasty, 100), [shown]);
    }

    #[test]
    fn wide_letters_count_twice() {
        assert_eq!(cut("漸進式發布", 5), "漸進…");
        assert_eq!(cut("short", 5), "short");
    }

    #[test]
    fn wrapping_keeps_every_word() {
        assert_eq!(wrap("a bb ccc", 4), ["a bb", "ccc"]);
        assert_eq!(wrap("abcdefgh i", 4), ["abcdefgh", "i"]);
        assert_eq!(wrap("at 50 %)", 5), ["at 50 %)"]);
    }
}
