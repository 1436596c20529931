//! Text of others made safe for a terminal: what a person typed as a reason, what a server answered, what a node printed.
//! An escape sequence in it could clear the screen, hide a line or make one up; here it is shown instead of obeyed.

use std::borrow::Cow;
use std::fmt::Write as _;

/// One line: control characters, line ends and characters that change the direction of text or are not to be seen become
/// visible (`\x1b`, `\n`, `\u{202e}`).
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escape(text, is_dangerous)
}

/// Several lines: as [`line()`], but line ends and tabs stay.
pub(crate) fn block(text: &str) -> Cow<'_, str> {
    // The line ends of another system are line ends.
    let text: Cow<'_, str> = if text.contains("\r\n") {
        Cow::Owned(text.replace("\r\n", "\n"))
    } else {
        Cow::Borrowed(text)
    };
    let dangerous = |letter| is_dangerous(letter) && letter != '\n' && letter != '\t';
    match text {
        Cow::Borrowed(text) => escape(text, dangerous),
        Cow::Owned(text) => Cow::Owned(escape(&text, dangerous).into_owned()),
    }
}

/// Several lines below the one that announces them: the later ones are marked, so that none can pass for a line of canary's.
pub(crate) fn marked(text: &str) -> String {
    block(text.trim_end()).replace('\n', "\n  | ")
}

fn escape(text: &str, dangerous: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&dangerous) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        // Writing to a String cannot fail.
        let _ok = match letter {
            letter if !dangerous(letter) => {
                shown.push(letter);
                Ok(())
            }
            '\n' => write!(shown, "\\n"),
            '\r' => write!(shown, "\\r"),
            '\t' => write!(shown, "\\t"),
            letter if u32::from(letter) < 0x100 => write!(shown, "\\x{:02x}", u32::from(letter)),
            letter => write!(shown, "\\u{{{:x}}}", u32::from(letter)),
        };
    }
    Cow::Owned(shown)
}

/// Control characters (C0, DEL, C1), line and paragraph separators, marks, embeddings, overrides and isolates of the
/// bidirectional algorithm (Unicode TR9), the byte order mark, and the invisible tags (U+E0000 to U+E007F).
fn is_dangerous(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}'
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        let rows = [
            ("plain, 漸進式 and é", "plain, 漸進式 and é"),
            ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
            ("one\ntwo\r\tthree", "one\\ntwo\\r\\tthree"),
            ("\u{9b}31m and \x7f", "\\x9b31m and \\x7f"),
            ("abc\u{202e}fed\u{2066}", "abc\\u{202e}fed\\u{2066}"),
            ("a\u{2028}b\u{feff}", "a\\u{2028}b\\u{feff}"),
        ];
        for (text, shown) in rows {
            assert_eq!(line(text), shown);
            assert_eq!(line(&line(text)), shown, "twice is once");
        }
    }

    #[test]
    fn several_lines_stay_lines_and_nothing_else() {
        assert_eq!(block("a\r\n\tb\nc\rd\x1b"), "a\n\tb\nc\\rd\\x1b");
        assert_eq!(
            marked("no answer\nerror: made up\n"),
            "no answer\n  | error: made up"
        );
    }
}
