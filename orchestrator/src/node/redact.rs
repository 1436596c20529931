//! Takes the values of secrets out of everything that is kept: logs, outputs, errors.
//!
//! A secret is looked for as it is, line by line where it has several, and in the forms in which programs like to
//! print it: base64 (also inside a longer text), percent-encoded, and escaped as JSON. Values of three characters or
//! fewer are not looked for: taking `a` out of a log would hide the log and not the secret.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

/// What stands where a secret was.
pub const MASK: &str = "***";

/// Values shorter than this many bytes are not looked for.
const SHORTEST: usize = 4;

/// Lines of a secret of several lines, and base64 inside of a longer text, are looked for from this length on.
const SHORTEST_PART: usize = 8;

/// Finds secrets in text. Cheap to clone. Its `Debug` shows how many it knows, and nothing of them.
#[derive(Clone, Default)]
pub struct Redactor {
    patterns: Arc<[Box<[u8]>]>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor")
            .field("patterns", &self.patterns.len())
            .finish()
    }
}

impl Redactor {
    /// Looks for these values and their usual encodings.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut patterns = BTreeSet::new();
        for secret in secrets {
            add_forms(&mut patterns, secret);
            add_forms(&mut patterns, secret.trim());
        }
        let mut patterns: Vec<Box<[u8]>> =
            patterns.into_iter().map(Vec::into_boxed_slice).collect();
        patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.len()));
        Self {
            patterns: patterns.into(),
        }
    }

    /// The text without secrets.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.patterns.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut stream = Stream::new(self.clone());
        let mut out = stream.push(text.as_bytes());
        out.extend(stream.finish());
        if out == text.as_bytes() {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(String::from_utf8_lossy(&out).into_owned())
        }
    }

    /// The value without secrets, in keys as well.
    pub fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => match self.text(&text) {
                Cow::Borrowed(_) => Value::String(text),
                Cow::Owned(clean) => Value::String(clean),
            },
            Value::Array(items) => {
                Value::Array(items.into_iter().map(|item| self.value(item)).collect())
            }
            Value::Object(map) => Value::Object(
                map.into_iter()
                    .map(|(key, item)| (self.text(&key).into_owned(), self.value(item)))
                    .collect(),
            ),
            Value::Number(number) => {
                let text = number.to_string();
                match self.text(&text) {
                    Cow::Borrowed(_) => Value::Number(number),
                    Cow::Owned(clean) => Value::String(clean),
                }
            }
            other @ (Value::Null | Value::Bool(_)) => other,
        }
    }
}

fn add_forms(patterns: &mut BTreeSet<Vec<u8>>, secret: &str) {
    if secret.len() < SHORTEST {
        return;
    }
    let mut add = |form: String| {
        if form.len() >= SHORTEST {
            patterns.insert(form.into_bytes());
        }
    };
    add(secret.to_owned());
    add(percent(secret, false, false));
    add(percent(secret, true, false));
    add(percent(secret, false, true));
    add(json_inner(secret));
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        add(engine.encode(secret));
        if secret.len() >= SHORTEST_PART {
            // Inside of a longer text (`user:secret`) the first characters depend on what stands before it, and the
            // last on what follows: the middle is the same for each of the three alignments.
            for offset in 1..=2_usize {
                let mut padded = vec![0_u8; offset];
                padded.extend_from_slice(secret.as_bytes());
                let whole = padded.len() / 3 * 3;
                let encoded = engine.encode(&padded[..whole]);
                add(encoded[offset + 1..].to_owned());
            }
            let whole = secret.len() / 3 * 3;
            add(engine.encode(&secret.as_bytes()[..whole]));
        }
    }
    if secret.contains('\n') {
        for line in secret
            .lines()
            .map(str::trim)
            .filter(|line| line.len() >= SHORTEST_PART)
        {
            add(line.to_owned());
        }
    }
}

fn percent(text: &str, plus: bool, lower: bool) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                out.push(char::from(byte));
            }
            b'~' if !plus => out.push('~'),
            b' ' if plus => out.push('+'),
            _ => {
                let _never_fails = if lower {
                    write!(out, "%{byte:02x}")
                } else {
                    write!(out, "%{byte:02X}")
                };
            }
        }
    }
    out
}

fn json_inner(text: &str) -> String {
    let quoted = Value::String(text.to_owned()).to_string();
    quoted
        .get(1..quoted.len().saturating_sub(1))
        .unwrap_or_default()
        .to_owned()
}

/// Redacts bytes that come in pieces: a secret that lies across two pieces is found as well.
#[derive(Debug)]
pub struct Stream {
    redactor: Redactor,
    held: Vec<u8>,
}

impl Stream {
    /// Starts with nothing held back.
    pub fn new(redactor: Redactor) -> Self {
        Self {
            redactor,
            held: Vec::new(),
        }
    }

    /// Takes more; gives what is certain to hold no part of a secret. Holds back at most as much as the longest secret is long.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.advance(bytes, false)
    }

    /// Nothing more comes: gives the rest.
    pub fn finish(&mut self) -> Vec<u8> {
        self.advance(&[], true)
    }

    fn advance(&mut self, bytes: &[u8], last: bool) -> Vec<u8> {
        let patterns = &self.redactor.patterns;
        if patterns.is_empty() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        let mut starts = [false; 256];
        for pattern in patterns.iter() {
            if let Some(first) = pattern.first() {
                starts[usize::from(*first)] = true;
            }
        }
        let mut out = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while at < self.held.len() {
            let rest = &self.held[at..];
            if !starts[usize::from(rest[0])] {
                out.push(rest[0]);
                at += 1;
                continue;
            }
            // A longer secret may still be on its way: wait for it even if a shorter one is already complete.
            if !last
                && patterns
                    .iter()
                    .any(|pattern| pattern.len() > rest.len() && pattern.starts_with(rest))
            {
                break;
            }
            // Sorted by length: the first that fits is the longest.
            if let Some(pattern) = patterns.iter().find(|pattern| rest.starts_with(pattern)) {
                out.extend_from_slice(MASK.as_bytes());
                at += pattern.len();
            } else {
                out.push(rest[0]);
                at += 1;
            }
        }
        self.held.drain(..at);
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_usual_form_is_found() {
        let secret = "p@ss \"word\"/+42";
        let redactor = Redactor::new([secret]);
        let base64 = base64::engine::general_purpose::STANDARD;
        for text in [
            secret.to_owned(),
            base64.encode(secret),
            base64.encode(format!("user:{secret}")),
            base64.encode(format!("us:{secret}!")),
            "p%40ss%20%22word%22%2F%2B42".to_owned(),
            "p%40ss%20%22word%22%2f%2b42".to_owned(),
            "p%40ss+%22word%22%2F%2B42".to_owned(),
            serde_json::to_string(secret).unwrap(),
        ] {
            let line = format!("before {text} after");
            let clean = redactor.text(&line);
            assert!(
                clean.contains(MASK) && clean.starts_with("before ") && clean.ends_with(" after"),
                "{text}: {clean}"
            );
            assert!(
                !clean.contains("word") && !clean.contains("42\""),
                "{clean}"
            );
        }
    }

    #[test]
    fn lines_of_a_key_and_the_longest_of_two_secrets() {
        let redactor = Redactor::new([
            "-----BEGIN-----\nMIIEowIBAAKCAQ\n-----END-----\n",
            "abcd",
            "abcdef",
        ]);
        assert_eq!(redactor.text("x MIIEowIBAAKCAQ y"), "x *** y");
        assert_eq!(redactor.text("abcdef abcd abcde"), "*** *** ***e");
    }

    #[test]
    fn short_values_are_left_and_debug_says_nothing() {
        let redactor = Redactor::new(["abc", "hunter2hunter2"]);
        assert_eq!(redactor.text("abc abc"), "abc abc");
        assert!(!format!("{redactor:?} {:?}", Stream::new(redactor.clone())).contains("hunter2"));
    }

    #[test]
    fn values_are_cleaned_in_keys_and_numbers() {
        let redactor = Redactor::new(["hunter2", "424242"]);
        let value = serde_json::json!({"hunter2": ["a hunter2", 424_242, true, null]});
        assert_eq!(
            redactor.value(value),
            serde_json::json!({"***": ["a ***", "***", true, null]})
        );
    }

    proptest! {
        #[test]
        fn pieces_give_what_the_whole_gives(text in "[ab]{0,40}", cuts in prop::collection::vec(0_usize..40, 0..6)) {
            let redactor = Redactor::new(["abab", "ababba", "bbbb"]);
            let whole = redactor.text(&text).into_owned();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            cuts.push(text.len());
            let mut stream = Stream::new(redactor);
            let (mut out, mut from) = (Vec::new(), 0);
            for cut in cuts {
                out.extend(stream.push(&text.as_bytes()[from..cut]));
                from = cut;
            }
            out.extend(stream.finish());
            prop_assert_eq!(String::from_utf8(out).unwrap(), whole);
        }
    }
}
