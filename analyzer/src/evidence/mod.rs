//! What a source hands to gates and judges: counts, buckets and answers of one time window, as plain data.
//!
//! Everything here is pure and goes into journals and reports, so NaN and the infinities survive JSON (see [`number`]).

mod answer;
mod error;
pub mod number;
mod service;

pub use answer::{Answer, Labels, QueryValue, Series};
pub use error::SourceError;
pub use service::{ArmEvidence, Bucket, Quantile, ServiceEvidence, sum_buckets};

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One of the two versions that get traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arm {
    /// The version that people trust already.
    Stable,
    /// The version on trial.
    Canary,
}

impl Arm {
    /// Both arms, stable first.
    pub const BOTH: [Self; 2] = [Self::Stable, Self::Canary];
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stable => "stable",
            Self::Canary => "canary",
        })
    }
}

/// A span of time, both ends included. `start` is never after `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Ends", into = "Ends")]
pub struct Window {
    start: Timestamp,
    end: Timestamp,
}

/// The JSON form of a [`Window`], checked on the way in.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ends {
    start: Timestamp,
    end: Timestamp,
}

/// A window whose start is after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a window cannot start ({start}) after it ends ({end})")]
pub struct InvertedWindow {
    start: Timestamp,
    end: Timestamp,
}

impl Window {
    /// The span from `start` to `end`; refused when they are in the wrong order.
    pub fn new(start: Timestamp, end: Timestamp) -> Result<Self, InvertedWindow> {
        if start <= end {
            Ok(Self { start, end })
        } else {
            Err(InvertedWindow { start, end })
        }
    }

    /// The `length` of time that ends at `end`. Stops at the earliest time that can be written down.
    pub fn ending_at(end: Timestamp, length: Duration) -> Self {
        let start = end.checked_sub(length).unwrap_or(Timestamp::MIN);
        Self {
            start: start.min(end),
            end,
        }
    }

    /// The first instant.
    pub fn start(self) -> Timestamp {
        self.start
    }

    /// The last instant.
    pub fn end(self) -> Timestamp {
        self.end
    }

    /// How long it is.
    pub fn length(self) -> Duration {
        self.end.duration_since(self.start).unsigned_abs()
    }

    /// Whether `at` lies in it.
    pub fn contains(self, at: Timestamp) -> bool {
        self.start <= at && at <= self.end
    }
}

impl TryFrom<Ends> for Window {
    type Error = InvertedWindow;

    fn try_from(ends: Ends) -> Result<Self, InvertedWindow> {
        Self::new(ends.start, ends.end)
    }
}

impl From<Window> for Ends {
    fn from(window: Window) -> Self {
        Self {
            start: window.start,
            end: window.end,
        }
    }
}

#[cfg(test)]
mod tests;
