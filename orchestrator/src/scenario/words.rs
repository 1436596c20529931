//! Words, times and weights of a file of tests.

use std::time::Duration;

use canary_analyzer::duration::parse_or_seconds;
use canary_traffic::Weight;

use crate::diagnostic::{Diagnostics, Span, codes, did_you_mean, quote};
use crate::osop::reader::Reader;
use crate::osop::tree::Value;

/// Longest simulated time of one test.
pub(super) const LONGEST: Duration = Duration::from_hours(30 * 24);

/// The value of a word.
pub(super) fn one_of<T: Clone>(
    text: &str,
    span: Span,
    what: &str,
    words: &[(&str, T)],
    d: &mut Diagnostics,
) -> Option<T> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Some(value.clone());
    }
    let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    let message = format!(
        "{what} must be one of {}, found {}",
        known.join(", "),
        quote(text)
    );
    d.error(codes::UNKNOWN_VALUE, span, message)
        .help_opt(did_you_mean(text, known.iter().copied()));
    None
}

/// A duration: `90s`, `1m30s`, or a number of seconds.
pub(super) fn time(
    reader: &mut Reader<'_>,
    key: &'static str,
    d: &mut Diagnostics,
) -> Option<Duration> {
    let value = reader.value(key)?;
    duration(value, d)
}

pub(super) fn duration(value: &Value, d: &mut Diagnostics) -> Option<Duration> {
    match value.as_scalar_text().map(parse_or_seconds) {
        Some(Ok(duration)) if duration <= LONGEST => Some(duration),
        Some(Ok(_)) => {
            d.error(
                codes::OUT_OF_RANGE,
                value.span,
                "a test lasts 30 days at most",
            );
            None
        }
        Some(Err(error)) => {
            d.error(codes::INVALID_DURATION, value.span, error.to_string());
            None
        }
        None => {
            d.error(
                codes::WRONG_TYPE,
                value.span,
                format!("expected a time such as `90s`, found {}", value.kind()),
            );
            None
        }
    }
}

pub(super) fn weight(value: &Value, d: &mut Diagnostics) -> Option<Weight> {
    match value.as_scalar_text().map(str::parse::<Weight>) {
        Some(Ok(weight)) => Some(weight),
        Some(Err(error)) => {
            d.error(codes::OUT_OF_RANGE, value.span, error.to_string());
            None
        }
        None => {
            d.error(
                codes::WRONG_TYPE,
                value.span,
                format!("expected a weight such as `10`, found {}", value.kind()),
            );
            None
        }
    }
}

pub(super) fn weight_of(
    reader: &mut Reader<'_>,
    key: &'static str,
    d: &mut Diagnostics,
) -> Option<Weight> {
    let value = reader.value(key)?;
    weight(value, d)
}
