//! Percent of requests that the canary gets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Percent of requests sent to the canary, 0 to 100, whole percents.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "u8", into = "u8")]
pub struct Weight(u8);

impl Weight {
    /// No request goes to the canary.
    pub const ZERO: Self = Self(0);
    /// Every request goes to the canary.
    pub const FULL: Self = Self(100);

    /// The percent as a number, 0 to 100.
    #[must_use]
    pub const fn percent(self) -> u8 {
        self.0
    }

    /// As a share of one, 0.0 to 1.0.
    #[must_use]
    pub fn share(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// Whether the canary gets nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// From a number that is known to be small enough: what is above 100 becomes 100.
    pub(crate) const fn saturating(percent: u8) -> Self {
        if percent > 100 {
            Self::FULL
        } else {
            Self(percent)
        }
    }
}

/// The text or number is not a weight.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a weight: expected a whole number of percent from 0 to 100, such as 10")]
pub struct WeightError(String);

impl TryFrom<u8> for Weight {
    type Error = WeightError;

    fn try_from(percent: u8) -> Result<Self, WeightError> {
        if percent <= 100 {
            Ok(Self(percent))
        } else {
            Err(WeightError(percent.to_string()))
        }
    }
}

impl From<Weight> for u8 {
    fn from(weight: Weight) -> Self {
        weight.0
    }
}

impl FromStr for Weight {
    type Err = WeightError;

    /// Reads `10`, `10%` and `10 %`.
    fn from_str(text: &str) -> Result<Self, WeightError> {
        let number = text.trim();
        let number = number.strip_suffix('%').unwrap_or(number).trim_end();
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        number
            .parse::<u8>()
            .ok()
            .filter(|_| digits)
            .and_then(|percent| Self::try_from(percent).ok())
            .ok_or_else(|| WeightError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_percent_from_0_to_100_and_nothing_else() {
        for percent in 0..=u8::MAX {
            assert_eq!(
                Weight::try_from(percent).is_ok(),
                percent <= 100,
                "{percent}"
            );
        }
    }

    #[test]
    fn text_forms() {
        for (text, want) in [
            ("0", Some(0)),
            ("10", Some(10)),
            (" 10% ", Some(10)),
            ("100 %", Some(100)),
            ("101", None),
            ("-1", None),
            ("+5", None),
            ("5.5", None),
            ("", None),
            ("%", None),
            ("ten", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(text.parse::<Weight>().ok().map(u8::from), want, "{text:?}");
        }
        assert_eq!(Weight(10).to_string(), "10 %");
    }

    #[test]
    fn an_error_says_what_was_expected_and_stays_short() {
        let error = "x".repeat(5000).parse::<Weight>().unwrap_err().to_string();
        assert!(error.contains("0 to 100") && error.len() < 200, "{error}");
    }

    #[test]
    fn json_is_a_number_and_is_checked() {
        assert_eq!(serde_json::to_string(&Weight(10)).unwrap(), "10");
        assert_eq!(serde_json::from_str::<Weight>("100").unwrap(), Weight::FULL);
        for bad in ["101", "-1", "1.5", "\"10\"", "256", "null"] {
            assert!(serde_json::from_str::<Weight>(bad).is_err(), "{bad}");
        }
    }
}
