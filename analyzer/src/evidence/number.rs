//! Floating point numbers in JSON. JSON has no NaN and no infinities, and a journal that turns them into `null` has lost
//! what the source said; so these three are written as the strings Prometheus uses: `"NaN"`, `"+Inf"`, `"-Inf"`.
//!
//! Use with `#[serde(with = "number")]`, or [`Number`] inside collections.

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Writes a finite value as a JSON number and the rest as a string.
pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        serializer.serialize_f64(*value)
    } else {
        serializer.serialize_str(text(*value))
    }
}

/// Reads a JSON number, or one of the strings above (also `Inf` and any number as Prometheus prints it).
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    struct Float;
    impl Visitor<'_> for Float {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number, or one of the strings \"NaN\", \"+Inf\", \"-Inf\"")
        }

        fn visit_f64<E: de::Error>(self, value: f64) -> Result<f64, E> {
            Ok(value)
        }

        #[expect(
            clippy::cast_precision_loss,
            reason = "a JSON number is a double to everyone we exchange it with"
        )]
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<f64, E> {
            Ok(value as f64)
        }

        #[expect(
            clippy::cast_precision_loss,
            reason = "a JSON number is a double to everyone we exchange it with"
        )]
        fn visit_i64<E: de::Error>(self, value: i64) -> Result<f64, E> {
            Ok(value as f64)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<f64, E> {
            parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }
    deserializer.deserialize_any(Float)
}

/// A sample value as Prometheus and its text formats write it; `None` if it is no number.
pub fn parse(text: &str) -> Option<f64> {
    // Rust's own parser takes what Go's takes here: decimals, exponents, and inf, infinity and nan in any case.
    text.parse().ok()
}

fn text(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    }
}

/// A double that keeps NaN and the infinities through JSON.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Number(pub f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer).map(Self)
    }
}
