//! Label matchers as in PromQL: read, filled, written with escapes, and applied to labels that we scraped ourselves.

use std::collections::BTreeMap;
use std::fmt;

use regex::{Regex, RegexBuilder};

use super::{MetricError, closest, is_label_name};
use crate::evidence::Labels;

/// A conjunction of matchers; the empty one selects everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selector {
    matchers: Vec<Matcher>,
}

/// One condition on a label. A label that is absent has the empty value, as in PromQL.
#[derive(Debug, Clone)]
pub struct Matcher {
    label: String,
    op: Op,
    value: String,
    /// The value as a regular expression, for `=~` and `!~`.
    regex: Option<Regex>,
}

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends
    Matches,
    /// `!~`, anchored at both ends
    NotMatches,
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.label, self.op, &self.value) == (&other.label, other.op, &other.value)
    }
}

/// Bytes of a compiled regular expression; one for status codes needs a few thousand.
const REGEX_BYTES: usize = 1 << 20;

impl Matcher {
    /// A condition on a label. The error is a sentence about what is wrong.
    pub fn new(label: &str, op: Op, value: &str) -> Result<Self, String> {
        if !is_label_name(label) {
            return Err(format!(
                "{label:?} is no label name (letters, digits and _, not starting with a digit)"
            ));
        }
        let regex = match op {
            Op::Equal | Op::NotEqual => None,
            Op::Matches | Op::NotMatches => Some(
                RegexBuilder::new(&format!("^(?s:{value})$"))
                    .size_limit(REGEX_BYTES)
                    .build()
                    .map_err(|error| {
                        format!(
                            "{value:?} is no regular expression: {}",
                            last_line(&error.to_string())
                        )
                    })?,
            ),
        };
        Ok(Self {
            label: label.to_owned(),
            op,
            value: value.to_owned(),
            regex,
        })
    }

    /// Whether labels satisfy it.
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.label).map_or("", String::as_str);
        let regex = || {
            self.regex
                .as_ref()
                .is_some_and(|regex| regex.is_match(value))
        };
        match self.op {
            Op::Equal => value == self.value,
            Op::NotEqual => value != self.value,
            Op::Matches => regex(),
            Op::NotMatches => !regex(),
        }
    }
}

fn last_line(text: &str) -> &str {
    text.lines()
        .next_back()
        .unwrap_or_default()
        .trim_start_matches("error: ")
}

impl Selector {
    /// Reads `label="value", other=~"regex"`, with or without braces, after filling `{{name}}` from `values`.
    ///
    /// What is filled in is data: in a value it cannot end the string, in a regular expression it stands for itself, and
    /// as a label it must be a label name. A matcher that mentions a name with the value `None` is left out.
    pub fn template(
        text: &str,
        values: &BTreeMap<String, Option<String>>,
    ) -> Result<Self, MetricError> {
        Self::read(text, Some(values))
    }

    /// Reads a selector as PromQL has it, without placeholders.
    pub fn parse(text: &str) -> Result<Self, MetricError> {
        Self::read(text, None)
    }

    fn read(
        text: &str,
        values: Option<&BTreeMap<String, Option<String>>>,
    ) -> Result<Self, MetricError> {
        let wrong = |message: String| MetricError::Selector {
            text: text.to_owned(),
            message,
        };
        let trimmed = text.trim();
        let body = match trimmed.strip_prefix('{') {
            // `{{name}}` at the start is a placeholder, not the brace of a selector.
            Some(_) if trimmed.starts_with("{{") && !trimmed.starts_with("{{{") => trimmed,
            Some(rest) => rest
                .strip_suffix('}')
                .ok_or_else(|| wrong("the closing brace is missing".to_owned()))?,
            None => trimmed,
        };
        let mut rest = body.trim();
        let mut matchers = Vec::new();
        while !rest.is_empty() {
            let (label, op, value, tail) = matcher(rest).map_err(wrong)?;
            rest = tail;
            let Some(values) = values else {
                matchers.push(Matcher::new(label, op, &value).map_err(wrong)?);
                continue;
            };
            let escape = if matches!(op, Op::Matches | Op::NotMatches) {
                regex::escape
            } else {
                str::to_owned
            };
            let label = fill(label, values, str::to_owned, text)?;
            let value = fill(&value, values, escape, text)?;
            let (Some(label), Some(value)) = (label, value) else {
                continue;
            };
            matchers.push(Matcher::new(&label, op, &value).map_err(wrong)?);
        }
        Ok(Self { matchers })
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.matchers.is_empty()
    }

    /// Both conditions.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            matchers: self
                .matchers
                .iter()
                .chain(&other.matchers)
                .cloned()
                .collect(),
        }
    }

    /// Whether labels satisfy every matcher.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(labels))
    }

    /// The labels that are looked at, each once, in order of appearance.
    pub fn labels(&self) -> Vec<&str> {
        let mut labels: Vec<&str> = Vec::new();
        for matcher in &self.matchers {
            if !labels.contains(&matcher.label.as_str()) {
                labels.push(&matcher.label);
            }
        }
        labels
    }
}

/// As PromQL, without the braces.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, matcher) in self.matchers.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            let op = match matcher.op {
                Op::Equal => "=",
                Op::NotEqual => "!=",
                Op::Matches => "=~",
                Op::NotMatches => "!~",
            };
            write!(f, "{}{op}\"{}\"", matcher.label, escaped(&matcher.value))?;
        }
        Ok(())
    }
}

/// The inside of a PromQL string in double quotes (the escapes of Go strings).
fn escaped(text: &str) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            control if control.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out
}

/// The first matcher of the text and what is behind it (and behind its comma).
fn matcher(text: &str) -> Result<(&str, Op, String, &str), String> {
    let end = text
        .find(['=', '!'])
        .ok_or_else(|| format!("expected label=\"value\", found {text:?}"))?;
    let (label, rest) = text.split_at(end);
    let (op, rest) = [
        ("=~", Op::Matches),
        ("!~", Op::NotMatches),
        ("!=", Op::NotEqual),
        ("=", Op::Equal),
    ]
    .into_iter()
    .find_map(|(sign, op)| rest.strip_prefix(sign).map(|rest| (op, rest)))
    .ok_or_else(|| format!("expected =, !=, =~ or !~ at {rest:?}"))?;
    let rest = rest.trim_start();
    let quote = rest
        .chars()
        .next()
        .filter(|quote| matches!(quote, '"' | '\''))
        .ok_or_else(|| format!("label {}: expected a value in quotes", label.trim()))?;
    let mut value = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((index, char)) = chars.next() {
        if char == quote {
            let tail = rest[index + 1..].trim_start();
            let tail = match tail.strip_prefix(',') {
                Some(tail) => tail.trim_start(),
                None if tail.is_empty() => tail,
                None => return Err(format!("expected a comma or the end, found {tail:?}")),
            };
            return Ok((label.trim(), op, value, tail));
        }
        if char != '\\' {
            value.push(char);
            continue;
        }
        match chars.next() {
            Some((_, 'n')) => value.push('\n'),
            Some((_, 't')) => value.push('\t'),
            Some((_, escaped @ ('\\' | '"' | '\''))) => value.push(escaped),
            Some((_, other)) => {
                return Err(format!(
                    "unknown escape \\{other}; write \\\\ for a backslash"
                ));
            }
            None => break,
        }
    }
    Err(format!(
        "label {}: the closing quote is missing",
        label.trim()
    ))
}

/// `text` with each `{{name}}` filled; `None` if a name is known to have no value.
pub(super) fn fill(
    text: &str,
    values: &BTreeMap<String, Option<String>>,
    escape: fn(&str) -> String,
    whole: &str,
) -> Result<Option<String>, MetricError> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((name, tail)) = after.split_once("}}") else {
            let message = "{{ without its closing }}".to_owned();
            return Err(MetricError::Selector {
                text: whole.to_owned(),
                message,
            });
        };
        let name = name.trim();
        match values.get(name) {
            Some(Some(value)) => out.push_str(&escape(value)),
            Some(None) => return Ok(None),
            None => {
                return Err(MetricError::UnknownPlaceholder {
                    text: whole.to_owned(),
                    name: name.to_owned(),
                    suggestion: closest(name, values.keys().map(String::as_str)),
                });
            }
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(Some(out))
}
