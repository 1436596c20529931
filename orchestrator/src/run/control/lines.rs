//! JSON lines with a bound.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::diagnostic::{nearest, quote};

/// What came as the next line.
#[derive(Debug)]
pub(super) enum Line<T> {
    /// A value.
    Value(T),
    /// Something else, and why it is not understood.
    Malformed(String),
    /// Nothing more.
    End,
}

/// Reads one line of at most `bound` bytes.
pub(super) async fn read<T: DeserializeOwned>(
    from: &mut (impl AsyncBufRead + Unpin),
    bound: usize,
) -> io::Result<Line<T>> {
    read_with(from, bound, |line| {
        serde_json::from_slice(line).map_err(|error| error.to_string())
    })
    .await
}

/// The same for what somebody else may have written: every field must mean something.
pub(super) async fn read_strictly<T: DeserializeOwned + Serialize>(
    from: &mut (impl AsyncBufRead + Unpin),
    bound: usize,
) -> io::Result<Line<T>> {
    read_with(from, bound, strictly).await
}

/// Serde takes any field for a variant that has none, so what was understood is compared with what was said.
fn strictly<T: DeserializeOwned + Serialize>(line: &[u8]) -> Result<T, String> {
    let said: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let understood: T = serde_json::from_value(said.clone()).map_err(|error| {
        let text = error.to_string();
        match meant(&text) {
            Some(meant) => format!("{text}; did you mean {}?", quote(meant)),
            None => text,
        }
    })?;
    let again = serde_json::to_value(&understood).map_err(|error| error.to_string())?;
    match unknown_field(&said, &again) {
        Some(field) => Err(format!("unknown field {}", quote(field))),
        None => Ok(understood),
    }
}

/// What serde's "unknown field `a`, expected one of `b`, `c`" most likely means.
fn meant(error: &str) -> Option<&str> {
    let mut words = error.split('`').skip(1).step_by(2);
    let word = words.next().filter(|_| error.starts_with("unknown "))?;
    nearest(word, words)
}

/// The first field of `said` that `understood` does not have.
fn unknown_field<'v>(said: &'v Value, understood: &Value) -> Option<&'v str> {
    let Value::Object(fields) = said else {
        return None;
    };
    fields
        .iter()
        .find_map(|(name, value)| match understood.get(name) {
            None => Some(name.as_str()),
            Some(known) => unknown_field(value, known),
        })
}

async fn read_with<T>(
    from: &mut (impl AsyncBufRead + Unpin),
    bound: usize,
    parse: impl FnOnce(&[u8]) -> Result<T, String>,
) -> io::Result<Line<T>> {
    let mut line = Vec::new();
    let bytes = from
        .take(bound as u64 + 1)
        .read_until(b'\n', &mut line)
        .await?;
    if bytes == 0 {
        return Ok(Line::End);
    }
    if line.last() != Some(&b'\n') {
        return Ok(Line::Malformed(if bytes > bound {
            format!("the line is longer than {bound} bytes")
        } else {
            "the line does not end".to_owned()
        }));
    }
    Ok(parse(&line).map_or_else(Line::Malformed, Line::Value))
}

/// Writes one line.
pub(super) async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    value: &impl Serialize,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::super::Request;
    use super::strictly;

    #[test]
    fn a_field_that_means_nothing_is_refused_with_what_was_meant() {
        let said = |line: &str| strictly::<Request>(line.as_bytes()).map(|_| ());
        let operator = |action: &str| {
            said(&format!(
                r#"{{"request":"operator","action":{action},"by":"ann","reason":null,"wait":false}}"#
            ))
        };
        assert_eq!(operator(r#"{"verb":"promote","full":false}"#), Ok(()));
        assert_eq!(operator(r#"{"verb":"abort","signal":null}"#), Ok(()));
        for (action, expected) in [
            (
                r#"{"verb":"promote","full":false,"fulll":true}"#,
                "did you mean `full`?",
            ),
            (
                r#"{"verb":"promte","full":false}"#,
                "did you mean `promote`?",
            ),
            (
                r#"{"verb":"abort","signal":null,"force":true}"#,
                "unknown field `force`",
            ),
            // A variant without fields, of which serde takes anything.
            (r#"{"verb":"pause","for":"5m"}"#, "unknown field `for`"),
        ] {
            let refused = operator(action).unwrap_err();
            assert!(refused.contains(expected), "{action}: {refused}");
        }
        assert_eq!(said(r#"{"request":"report"}"#), Ok(()));
        let refused = said(r#"{"request":"report","since":5}"#).unwrap_err();
        assert!(refused.contains("unknown field `since`"), "{refused}");
    }
}
