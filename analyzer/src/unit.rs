//! Units of measurement: parsing, conversion within a dimension, and display for people.
//!
//! A number without a unit is [`Unit::None`]. Units of one [`Dimension`] convert into each other; everything else is an
//! error of the caller. Bases are Prometheus' own (seconds, bytes, ratios), see
//! <https://prometheus.io/docs/practices/naming/#base-units>.

use std::fmt;
use std::str::FromStr;

/// What a unit measures; quantities of different dimensions cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// A number without a unit.
    Plain,
    /// A part of a whole, 0 to 1 in its base.
    Ratio,
    /// Base: seconds.
    Time,
    /// Base: bytes.
    Data,
    /// How many.
    Count,
    /// How many in a second.
    Rate,
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "a plain number",
            Self::Ratio => "a ratio",
            Self::Time => "a time",
            Self::Data => "an amount of data",
            Self::Count => "a count",
            Self::Rate => "a rate per second",
        })
    }
}

/// A unit of measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Unit {
    /// No unit: a plain number.
    #[default]
    None,
    /// 0 to 1.
    Ratio,
    /// 0 to 100.
    Percent,
    /// s
    Seconds,
    /// ms
    Milliseconds,
    /// µs
    Microseconds,
    /// ns
    Nanoseconds,
    /// B
    Bytes,
    /// 1024 B
    Kibibytes,
    /// 1024² B
    Mebibytes,
    /// 1024³ B
    Gibibytes,
    /// 1000 B
    Kilobytes,
    /// 1000² B
    Megabytes,
    /// 1000³ B
    Gigabytes,
    /// How many.
    Count,
    /// How many in a second.
    PerSecond,
}

/// Accepted spellings; the first of each unit is the one that is written back.
const SPELLINGS: &[(Unit, &[&str])] = &[
    (Unit::None, &["none", "", "number", "1"]),
    (Unit::Ratio, &["ratio"]),
    (Unit::Percent, &["percent", "%", "pct"]),
    (Unit::Seconds, &["s", "sec", "second", "seconds"]),
    (
        Unit::Milliseconds,
        &["ms", "millisecond", "milliseconds", "millis"],
    ),
    (
        Unit::Microseconds,
        &["us", "µs", "μs", "microsecond", "microseconds"],
    ),
    (Unit::Nanoseconds, &["ns", "nanosecond", "nanoseconds"]),
    (Unit::Bytes, &["bytes", "B", "byte"]),
    (Unit::Kibibytes, &["Ki", "KiB"]),
    (Unit::Mebibytes, &["Mi", "MiB"]),
    (Unit::Gibibytes, &["Gi", "GiB"]),
    (Unit::Kilobytes, &["kB", "KB"]),
    (Unit::Megabytes, &["MB"]),
    (Unit::Gigabytes, &["GB"]),
    (Unit::Count, &["count", "requests", "errors"]),
    (
        Unit::PerSecond,
        &["/s", "per_second", "rps", "qps", "req/s", "1/s"],
    ),
];

/// A unit that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown unit `{found}`{}; known are ratio, percent, s, ms, us, ns, bytes, Ki, Mi, Gi, kB, MB, GB, count, /s and none",
        suggestion.as_ref().map(|s| format!(", did you mean `{s}`?")).unwrap_or_default())]
pub struct UnknownUnit {
    /// What was written.
    pub found: String,
    /// The nearest known spelling, if one is near.
    pub suggestion: Option<String>,
}

impl FromStr for Unit {
    type Err = UnknownUnit;

    fn from_str(text: &str) -> Result<Self, UnknownUnit> {
        let text = text.trim();
        let exact = SPELLINGS.iter().find(|(_, names)| names.contains(&text));
        // Letter case only matters where it distinguishes (Mi, MB, ms); words may be written as people like.
        let lower = text.to_lowercase();
        let found = exact.or_else(|| {
            let word = lower.len() > 2;
            SPELLINGS
                .iter()
                .find(|(_, names)| word && names.contains(&lower.as_str()))
        });
        found.map(|(unit, _)| *unit).ok_or_else(|| UnknownUnit {
            found: text.chars().take(40).collect(),
            suggestion: nearest(
                &lower,
                SPELLINGS
                    .iter()
                    .flat_map(|(_, names)| names.iter().copied()),
            ),
        })
    }
}

/// Among so many a suggestion is looked for.
const MOST_CANDIDATES: usize = 2_000;

/// The candidate that `text` most likely stands for, if one is near enough.
pub(crate) fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let text: String = text.chars().take(64).collect();
    let length = text.chars().count();
    candidates
        .take(MOST_CANDIDATES)
        .map(|candidate| (candidate.chars().take(68).count(), candidate))
        .filter(|(size, _)| *size > 0 && size.abs_diff(length) <= 3)
        .map(|(size, candidate)| {
            (
                strsim::damerau_levenshtein(&text, candidate),
                size,
                candidate,
            )
        })
        .filter(|(distance, size, _)| *distance <= 3 && distance * 2 < length.max(*size).max(3))
        .min_by_key(|(distance, ..)| *distance)
        .map(|(.., candidate)| candidate.to_owned())
}

impl Unit {
    /// What it measures.
    #[must_use]
    pub fn dimension(self) -> Dimension {
        match self {
            Self::None => Dimension::Plain,
            Self::Ratio | Self::Percent => Dimension::Ratio,
            Self::Seconds | Self::Milliseconds | Self::Microseconds | Self::Nanoseconds => {
                Dimension::Time
            }
            Self::Bytes
            | Self::Kibibytes
            | Self::Mebibytes
            | Self::Gibibytes
            | Self::Kilobytes
            | Self::Megabytes
            | Self::Gigabytes => Dimension::Data,
            Self::Count => Dimension::Count,
            Self::PerSecond => Dimension::Rate,
        }
    }

    /// The unit of its dimension that values are compared in.
    #[must_use]
    pub fn base(self) -> Self {
        match self.dimension() {
            Dimension::Plain => Self::None,
            Dimension::Ratio => Self::Ratio,
            Dimension::Time => Self::Seconds,
            Dimension::Data => Self::Bytes,
            Dimension::Count => Self::Count,
            Dimension::Rate => Self::PerSecond,
        }
    }

    /// `(multiplier, divisor)` to the base. Two whole numbers, so that 500 ms is the same double as 0.5 s.
    fn factor(self) -> (f64, f64) {
        match self {
            Self::None
            | Self::Ratio
            | Self::Seconds
            | Self::Bytes
            | Self::Count
            | Self::PerSecond => (1.0, 1.0),
            Self::Percent => (1.0, 100.0),
            Self::Milliseconds => (1.0, 1e3),
            Self::Microseconds => (1.0, 1e6),
            Self::Nanoseconds => (1.0, 1e9),
            Self::Kibibytes => (1024.0, 1.0),
            Self::Mebibytes => (1_048_576.0, 1.0),
            Self::Gibibytes => (1_073_741_824.0, 1.0),
            Self::Kilobytes => (1e3, 1.0),
            Self::Megabytes => (1e6, 1.0),
            Self::Gigabytes => (1e9, 1.0),
        }
    }

    /// `value` of this unit in the base of its dimension.
    #[must_use]
    pub fn to_base(self, value: f64) -> f64 {
        let (multiplier, divisor) = self.factor();
        value * multiplier / divisor
    }

    /// `value` of this unit in `to`; `None` if the two measure different things.
    #[must_use]
    pub fn convert(self, value: f64, to: Self) -> Option<f64> {
        if self == to {
            return Some(value);
        }
        let (multiplier, divisor) = to.factor();
        (self.dimension() == to.dimension()).then(|| self.to_base(value) * divisor / multiplier)
    }

    /// What is written behind a number; empty for plain numbers, ratios and counts.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::None | Self::Ratio | Self::Count => "",
            Self::Percent => "%",
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "µs",
            Self::Nanoseconds => "ns",
            Self::Bytes => "B",
            Self::Kibibytes => "KiB",
            Self::Mebibytes => "MiB",
            Self::Gibibytes => "GiB",
            Self::Kilobytes => "kB",
            Self::Megabytes => "MB",
            Self::Gigabytes => "GB",
            Self::PerSecond => "/s",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = SPELLINGS
            .iter()
            .find(|(unit, _)| unit == self)
            .and_then(|(_, names)| names.first());
        f.write_str(name.copied().unwrap_or("none"))
    }
}

impl serde::Serialize for Unit {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Unit {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A number with its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantity {
    /// In `unit`.
    pub value: f64,
    /// What `value` counts.
    pub unit: Unit,
}

impl Quantity {
    /// `value` in `unit`.
    #[must_use]
    pub fn new(value: f64, unit: Unit) -> Self {
        Self { value, unit }
    }

    /// As people read it, in `digits` significant digits: ratios in percent, times and sizes in the unit that keeps
    /// them between 1 and 1000.
    #[must_use]
    pub fn human(&self, digits: usize) -> String {
        if !self.value.is_finite() {
            return number(self.value, digits);
        }
        let base = self.unit.to_base(self.value);
        let ladder: &[Unit] = match self.unit.dimension() {
            Dimension::Time => &[
                Unit::Seconds,
                Unit::Milliseconds,
                Unit::Microseconds,
                Unit::Nanoseconds,
            ],
            Dimension::Data => &[
                Unit::Gibibytes,
                Unit::Mebibytes,
                Unit::Kibibytes,
                Unit::Bytes,
            ],
            Dimension::Ratio => &[Unit::Percent],
            Dimension::Plain | Dimension::Count | Dimension::Rate => &[],
        };
        let fits = |unit: &&Unit| {
            unit.base()
                .convert(base, **unit)
                .is_some_and(|v| v.abs() >= 1.0)
        };
        // A number in milliseconds stays there up to 10 s: gates are written so.
        let keep = self.unit == Unit::Milliseconds && (1.0..10_000.0).contains(&self.value.abs())
            || base == 0.0;
        let unit = match ladder {
            [] => self.unit,
            [only] => *only,
            _ if keep => self.unit,
            _ => ladder.iter().find(fits).copied().unwrap_or(self.unit),
        };
        let value = number(
            self.unit.convert(self.value, unit).unwrap_or(self.value),
            digits,
        );
        match unit.symbol() {
            "" => value,
            symbol => format!("{value} {symbol}"),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.human(4))
    }
}

/// `value` in `digits` significant digits, without trailing zeros; whole numbers are never rounded.
#[must_use]
pub fn number(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-6..1e15).contains(&size) {
        return format!("{value:.*e}", digits.saturating_sub(1).min(16));
    }
    let mut decimals = digits.saturating_sub(1);
    let mut bound = 10.0;
    while size >= bound && decimals > 0 {
        decimals -= 1;
        bound *= 10.0;
    }
    let mut bound = 1.0;
    while size < bound && decimals < 17 {
        decimals += 1;
        bound /= 10.0;
    }
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests;
