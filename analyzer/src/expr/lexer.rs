//! Source text to tokens, for both languages.

use super::bounds::MAX_SOURCE;
use super::tree::Span;
use super::{ConditionError, Syntax};
use crate::duration;
use crate::unit::Unit;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Int(i64),
    Float(f64),
    Quantity(f64, Unit),
    Text(String),
    Name(String),
    /// `#`: the element, inside an expr-lang predicate.
    Hash,
    Punct(&'static str),
    End,
}

impl Token {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Int(value) => format!("the number {value}"),
            Self::Float(value) => format!("the number {value}"),
            Self::Quantity(value, unit) => format!("the quantity {value}{}", unit.symbol()),
            Self::Text(_) => "a text".to_owned(),
            Self::Name(name) => format!("`{name}`"),
            Self::Hash => "`#`".to_owned(),
            Self::Punct(text) => format!("`{text}`"),
            Self::End => "the end".to_owned(),
        }
    }
}

/// Longest first.
const PUNCTUATION: &[&str] = &[
    "??", "?.", "**", "..", "&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%",
    "^", "!", "?", ":", ".", ",", ";", "(", ")", "[", "]", "{", "}", "|", "=",
];

/// What people write from other languages, and what is meant.
const FOREIGN: &[(&str, &str)] = &[
    ("===", "write `==`"),
    ("!==", "write `!=`"),
    ("<>", "write `!=`"),
    ("=>", "write `>=`"),
    ("=<", "write `<=`"),
    ("≥", "write `>=`"),
    ("≤", "write `<=`"),
    ("≠", "write `!=`"),
    ("${", "write the bare name, without `${` and `}`"),
    (
        "{{",
        "names are written bare, without `{{` and `}}`; a template must be filled in before",
    ),
];

pub(super) fn lex(source: &str, syntax: Syntax) -> Result<Vec<(Token, Span)>, Box<ConditionError>> {
    if source.len() > MAX_SOURCE {
        return Err(ConditionError::boxed(
            0..source.len(),
            format!(
                "the condition has {} bytes; at most {MAX_SOURCE} are allowed",
                source.len()
            ),
            "split it into several gates, or compute the value in the query".to_owned(),
        ));
    }
    let mut lexer = Lexer {
        source,
        at: 0,
        syntax,
    };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank();
        let start = lexer.at;
        let token = lexer.token()?;
        let end = token == Token::End;
        tokens.push((token, start..lexer.at));
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    syntax: Syntax,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.source.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> String {
        let text: String = self.rest().chars().take_while(|c| keep(*c)).collect();
        self.at += text.len();
        text
    }

    fn skip_blank(&mut self) {
        loop {
            self.take_while(char::is_whitespace);
            if !self.rest().starts_with("//") {
                return;
            }
            self.take_while(|c| c != '\n');
        }
    }

    fn error<T>(&self, span: Span, message: String, hint: &str) -> Result<T, Box<ConditionError>> {
        let end = span.end.min(self.source.len());
        Err(ConditionError::boxed(
            span.start..end,
            message,
            hint.to_owned(),
        ))
    }

    fn token(&mut self) -> Result<Token, Box<ConditionError>> {
        let Some(first) = self.peek() else {
            return Ok(Token::End);
        };
        let start = self.at;
        let second = self.rest().chars().nth(1).unwrap_or(' ');
        if first.is_ascii_digit() || (first == '.' && second.is_ascii_digit()) {
            return self.number();
        }
        if first == '"' || first == '\'' || (first == '`' && self.syntax == Syntax::Expr) {
            self.at += 1;
            return self.text(first, first == '`');
        }
        if (first == 'r' || first == 'R')
            && (second == '"' || second == '\'')
            && self.syntax == Syntax::Cel
        {
            self.at += 2;
            return self.text(second, true);
        }
        if first.is_alphabetic() || first == '_' {
            return Ok(Token::Name(
                self.take_while(|c| c.is_alphanumeric() || c == '_'),
            ));
        }
        if first == '#' && self.syntax == Syntax::Expr {
            self.at += 1;
            return Ok(Token::Hash);
        }
        if let Some((text, hint)) = FOREIGN
            .iter()
            .find(|(text, _)| self.rest().starts_with(text))
        {
            return self.error(
                start..start + text.len(),
                format!("`{text}` is not known here"),
                hint,
            );
        }
        if let Some(punct) = PUNCTUATION
            .iter()
            .find(|punct| self.rest().starts_with(**punct))
        {
            // `a ?.5 : 1` is a choice, not a member.
            let punct = if *punct == "?."
                && self
                    .rest()
                    .as_bytes()
                    .get(2)
                    .is_some_and(u8::is_ascii_digit)
            {
                "?"
            } else {
                punct
            };
            self.at += punct.len();
            return Ok(Token::Punct(punct));
        }
        let hint = if first == '&' { "write `&&`" } else { "" };
        self.error(
            start..start + first.len_utf8(),
            format!("`{first}` is not known here"),
            hint,
        )
    }

    fn text(&mut self, quote: char, raw: bool) -> Result<Token, Box<ConditionError>> {
        let start = self.at - 1;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            self.at += c.len_utf8();
            if c == quote {
                return Ok(Token::Text(text));
            }
            if c != '\\' || raw {
                text.push(c);
                continue;
            }
            let Some(escaped) = self.peek() else { break };
            let from = self.at - 1;
            self.at += escaped.len_utf8();
            text.push(match escaped {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                '\\' | '"' | '\'' | '`' | '/' | '?' => escaped,
                'u' | 'x' => {
                    let length = if escaped == 'u' { 4 } else { 2 };
                    let digits = self.rest().get(..length).unwrap_or("").to_owned();
                    self.at += digits.len();
                    let code = u32::from_str_radix(&digits, 16)
                        .ok()
                        .filter(|_| !digits.starts_with('+'));
                    let Some(c) = code.and_then(char::from_u32) else {
                        let message = format!("`\\{escaped}{digits}` is not a character");
                        return self.error(
                            from..self.at,
                            message,
                            "write four hex digits after `\\u`",
                        );
                    };
                    c
                }
                other => {
                    let message = format!("`\\{other}` is not an escape");
                    return self.error(from..self.at, message, "write `\\\\` for one backslash");
                }
            });
        }
        self.error(
            start..self.source.len(),
            "the text is not closed".to_owned(),
            &format!("add a `{quote}`"),
        )
    }

    fn number(&mut self) -> Result<Token, Box<ConditionError>> {
        let start = self.at;
        if self.rest().starts_with("0x") || self.rest().starts_with("0X") {
            self.at += 2;
            let digits = self.take_while(|c| c.is_ascii_alphanumeric());
            return match i64::from_str_radix(&digits, 16) {
                Ok(value) => Ok(Token::Int(value)),
                Err(_) => self.error(start..self.at, format!("`0x{digits}` is not a number"), ""),
            };
        }
        let mut digits = self.digits();
        let mut whole = true;
        let next = self.rest().as_bytes().get(1).copied().unwrap_or(b' ');
        if self.peek() == Some('.') && next != b'.' && !next.is_ascii_alphabetic() {
            self.at += 1;
            whole = false;
            digits.push('.');
            digits.push_str(&self.digits());
        }
        let exponent = self.exponent();
        if !exponent.is_empty() {
            whole = false;
            digits.push_str(&exponent);
        }
        let Ok(value) = format!("0{digits}").parse::<f64>() else {
            return self.error(start..self.at, format!("`{digits}` is not a number"), "");
        };
        let suffix = self.take_while(|c| c.is_alphanumeric() || c == '_');
        if suffix.is_empty() {
            if self.percent_follows() {
                self.at += 1;
                return Ok(Token::Quantity(value, Unit::Percent));
            }
            if !whole {
                return Ok(Token::Float(value));
            }
            return match digits.parse() {
                Ok(value) => Ok(Token::Int(value)),
                Err(_) => self.error(
                    start..self.at,
                    format!("{digits} is too large for a whole number"),
                    "write it as 1e20",
                ),
            };
        }
        match suffix.as_str() {
            "u" | "U" if self.syntax == Syntax::Cel && whole => {
                return match digits.parse() {
                    Ok(value) => Ok(Token::Int(value)),
                    Err(_) => self.error(
                        start..self.at,
                        format!("{digits} is too large for a whole number"),
                        "",
                    ),
                };
            }
            "k" => return Ok(Token::Float(value * 1e3)),
            "M" => return Ok(Token::Float(value * 1e6)),
            "G" => return Ok(Token::Float(value * 1e9)),
            _ => {}
        }
        let symbols = [
            "ns", "us", "µs", "μs", "ms", "s", "B", "Ki", "KiB", "Mi", "MiB", "Gi", "GiB", "kB",
            "KB", "MB", "GB",
        ];
        if symbols.contains(&suffix.as_str())
            && let Ok(unit) = suffix.parse::<Unit>()
        {
            return Ok(Token::Quantity(value, unit));
        }
        match duration::parse(self.source.get(start..self.at).unwrap_or("")) {
            Ok(duration) => Ok(Token::Quantity(duration.as_secs_f64(), Unit::Seconds)),
            Err(_) => self.error(
                start..self.at,
                format!("`{suffix}` after {digits} is not a unit"),
                "known are %, ns, us, ms, s, m, h, d, B, Ki, Mi, Gi, kB, MB, GB, and k, M, G for thousands",
            ),
        }
    }

    /// Digits, with `_` between them.
    fn digits(&mut self) -> String {
        let text = self.take_while(|c| c.is_ascii_digit() || c == '_');
        text.replace('_', "")
    }

    /// `e5`, `E-3`; nothing if what follows is no exponent.
    fn exponent(&mut self) -> String {
        let rest = self.rest();
        let Some(tail) = rest.strip_prefix(['e', 'E']) else {
            return String::new();
        };
        let sign = usize::from(tail.starts_with(['+', '-']));
        let digits = tail
            .get(sign..)
            .unwrap_or("")
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count();
        if digits == 0 {
            return String::new();
        }
        let text = rest.get(..1 + sign + digits).unwrap_or("").to_owned();
        self.at += text.len();
        text
    }

    /// A `%` that touches its number and is not followed by an operand is a percent sign, else a remainder.
    fn percent_follows(&self) -> bool {
        let mut chars = self.rest().chars();
        chars.next() == Some('%')
            && !chars.next().is_some_and(|c| {
                c.is_alphanumeric() || matches!(c, '_' | '(' | '"' | '\'' | '#' | '.')
            })
    }
}
