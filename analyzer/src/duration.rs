//! Durations as Prometheus, Go and OSOP write them: `5m`, `1h30m`, `500ms`, `1.5h`, `1d`, `1w`.
//!
//! Use as `#[serde(with = "canary_analyzer::duration")]`, or `duration::option` for an `Option`: a string, or a whole
//! number of seconds, is read; a string is written.

use std::time::Duration;

/// The longest duration that is accepted: ten years of 365 days.
pub const LONGEST: Duration = Duration::from_secs(10 * 365 * DAY);

const DAY: u64 = 86_400;
const LONGEST_TEXT: usize = 64;

/// Units in nanoseconds, largest first. A year is 365 days, as in Prometheus.
const UNITS: &[(&str, u128)] = &[
    ("y", 365 * DAY as u128 * 1_000_000_000),
    ("w", 7 * DAY as u128 * 1_000_000_000),
    ("d", DAY as u128 * 1_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ns", 1),
];

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing was written.
    #[error("a duration is missing; write one like `30s`, `5m` or `1h30m`")]
    Empty,
    /// A number without a unit where one is needed.
    #[error("`{0}` has no unit; write `{0}s`, `{0}m` or `{0}ms`")]
    NoUnit(String),
    /// A unit that is not known.
    #[error(
        "`{unit}` in `{text}` is not a unit of time; known are ns, us, ms, s, m, h, d, w and y"
    )]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// The part that is not known.
        unit: String,
    },
    /// A negative duration.
    #[error("`{0}` is negative; a duration is 0 or more")]
    Negative(String),
    /// More than [`LONGEST`].
    #[error("`{0}` is longer than 10 years")]
    TooLong(String),
    /// Anything else.
    #[error("`{0}` is not a duration; write one like `30s`, `5m` or `1h30m`")]
    Malformed(String),
}

/// Reads a duration with units; a bare `0` is accepted, any other bare number is not.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    let quoted: String = text.chars().take(LONGEST_TEXT).collect();
    if text.len() > LONGEST_TEXT {
        return Err(DurationError::Malformed(quoted));
    }
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.starts_with('-') {
        return Err(DurationError::Negative(quoted));
    }
    let mut rest = text;
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let length = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(length);
        if number.is_empty() {
            return Err(DurationError::Malformed(quoted));
        }
        if unit.is_empty() {
            let whole = number == text && number.parse::<f64>().is_ok();
            return Err(if whole {
                DurationError::NoUnit(quoted)
            } else {
                DurationError::Malformed(quoted)
            });
        }
        let Some((_, nanos)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(DurationError::UnknownUnit {
                text: quoted,
                unit: unit.to_owned(),
            });
        };
        let part =
            scaled(number, *nanos).ok_or_else(|| DurationError::Malformed(quoted.clone()))?;
        total = total.saturating_add(part);
        if total > LONGEST.as_nanos() {
            return Err(DurationError::TooLong(quoted));
        }
        rest = tail;
    }
    from_nanos(total).ok_or(DurationError::TooLong(quoted))
}

/// Like [`parse`], and a bare number is seconds (`90`, `0.5`).
pub fn parse_or_seconds(text: &str) -> Result<Duration, DurationError> {
    match parse(text) {
        Err(DurationError::NoUnit(number)) => parse(&format!("{number}s")),
        other => other,
    }
}

/// `number` (digits with at most one point) times `nanos`, exactly, below a nanosecond cut off.
fn scaled(number: &str, nanos: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) || fraction.len() > 18 {
        return None;
    }
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().unwrap_or(u128::MAX)
    };
    let mut total = whole.saturating_mul(nanos);
    if !fraction.is_empty() {
        let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        total = total.saturating_add(fraction.parse::<u128>().ok()?.checked_mul(nanos)? / scale);
    }
    Some(total)
}

fn from_nanos(nanos: u128) -> Option<Duration> {
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    let rest = u32::try_from(nanos % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, rest))
}

/// Writes a duration so that [`parse`] gives it back: `1h30m`, `500ms`, `1m0.5s` as `1m500ms`, zero as `0s`.
#[must_use]
pub fn format(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    let mut text = String::new();
    for (name, nanos) in UNITS
        .iter()
        .filter(|(name, _)| name.is_ascii() && !matches!(*name, "y" | "w"))
    {
        let count = rest / nanos;
        if count > 0 {
            text.push_str(&count.to_string());
            text.push_str(name);
            rest %= nanos;
        }
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

struct Visitor;

impl serde::de::Visitor<'_> for Visitor {
    type Value = Duration;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a duration like `30s`, `5m` or `1h30m`, or a whole number of seconds")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Duration, E> {
        parse(&format!("{seconds}s")).map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<Duration, E> {
        parse(&format!("{seconds}s")).map_err(E::custom)
    }
}

/// Reads a string, or a whole number of seconds.
pub fn deserialize<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(Visitor)
}

/// Writes a string.
pub fn serialize<S: serde::Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

/// The same for `Option<Duration>`; combine with `#[serde(default)]`.
pub mod option {
    use std::time::Duration;

    struct Wrapped(Duration);

    impl<'de> serde::Deserialize<'de> for Wrapped {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            super::deserialize(deserializer).map(Self)
        }
    }

    /// Reads a string, a whole number of seconds, or null.
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let wrapped: Option<Wrapped> = serde::Deserialize::deserialize(deserializer)?;
        Ok(wrapped.map(|w| w.0))
    }

    /// Writes a string or null.
    pub fn serialize<S: serde::Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_prometheus_go_and_osop_write() {
        for (text, millis) in [
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("1d", 86_400_000),
            ("1w", 604_800_000),
            ("1.5h", 5_400_000),
            ("0", 0),
            ("0s", 0),
            ("90s", 90_000),
            (" 2s ", 2_000),
            ("1m500ms", 60_500),
            ("0.5s", 500),
            (".5s", 500),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(parse("250µs"), Ok(Duration::from_micros(250)));
        assert_eq!(parse_or_seconds("90"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_or_seconds("0.5"), Ok(Duration::from_millis(500)));
    }

    #[test]
    fn bad_durations_say_what_to_write() {
        for (text, message) in [
            ("", "a duration is missing"),
            ("90", "`90` has no unit; write `90s`"),
            ("5 minutes", "` minutes` in `5 minutes` is not a unit"),
            ("5x", "`x` in `5x` is not a unit"),
            ("-5m", "is negative"),
            ("11y", "longer than 10 years"),
            (
                "99999999999999999999999999999999999999999999y",
                "longer than 10 years",
            ),
            ("abc", "is not a duration"),
            ("1h30", "is not a duration"),
            ("1.2.3s", "is not a duration"),
            (".s", "is not a duration"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn serde_takes_seconds_or_text() {
        #[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
        struct Config {
            #[serde(with = "crate::duration")]
            interval: Duration,
            #[serde(with = "crate::duration::option", default)]
            delay: Option<Duration>,
        }
        let config: Config = serde_json::from_str(r#"{"interval": 90}"#).unwrap();
        assert_eq!(
            config,
            Config {
                interval: Duration::from_secs(90),
                delay: None
            }
        );
        let config: Config = serde_json::from_str(r#"{"interval": "5m", "delay": "10s"}"#).unwrap();
        assert_eq!(
            serde_json::to_string(&config).unwrap(),
            r#"{"interval":"5m","delay":"10s"}"#
        );
        let error = serde_json::from_str::<Config>(r#"{"interval": "soon"}"#)
            .unwrap_err()
            .to_string();
        assert!(error.contains("`soon` is not a duration"), "{error}");
        let error = serde_json::from_str::<Config>(r#"{"interval": true}"#)
            .unwrap_err()
            .to_string();
        assert!(error.contains("expected a duration like"), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(nanos in 0..LONGEST.as_nanos()) {
            let duration = from_nanos(nanos).unwrap();
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn nothing_panics(text in ".{0,80}") {
            drop(parse_or_seconds(&text));
        }
    }
}
