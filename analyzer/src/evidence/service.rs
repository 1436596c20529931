//! What happened to the requests of a service in one window, per arm.

use serde::{Deserialize, Serialize};

use super::number;
use super::{Arm, Window};

/// What both kinds of source yield for a service over one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceEvidence {
    /// The window that was asked for. What a direct scrape counted lies wholly inside it; what Prometheus counted may begin
    /// and end up to one scrape interval earlier, for its samples are that old.
    pub window: Window,
    /// The version that people trust.
    pub stable: ArmEvidence,
    /// The version on trial.
    pub canary: ArmEvidence,
    /// Data that matter are known to be missing (the source warned, or a process of the canary could not be read at the end of
    /// the window): the counts are then a lower bound and nothing may be concluded from them. `notes` says what is missing.
    pub partial: bool,
    /// What a reader should know about how the counts came about, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl ServiceEvidence {
    /// Evidence of a window in which nothing was seen yet.
    pub fn empty(window: Window) -> Self {
        Self {
            window,
            stable: ArmEvidence::default(),
            canary: ArmEvidence::default(),
            partial: false,
            notes: Vec::new(),
        }
    }

    /// The evidence of one arm.
    pub fn arm(&self, arm: Arm) -> &ArmEvidence {
        match arm {
            Arm::Stable => &self.stable,
            Arm::Canary => &self.canary,
        }
    }

    /// The evidence of one arm, to add to.
    pub fn arm_mut(&mut self, arm: Arm) -> &mut ArmEvidence {
        match arm {
            Arm::Stable => &mut self.stable,
            Arm::Canary => &mut self.canary,
        }
    }
}

/// The requests of one arm within a window.
///
/// Counts are doubles because Prometheus counters are; they are whole for every counter that counts requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ArmEvidence {
    /// How many requests were answered.
    #[serde(with = "number")]
    pub requests: f64,
    /// How many of them count as errors by the definition of the service's metrics.
    #[serde(with = "number")]
    pub errors: f64,
    /// How many took at most so long: cumulative, ascending, as in a Prometheus histogram. Empty without a latency metric.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<Bucket>,
    /// How many pods (or, where the metrics do not know pods, reporting processes) contributed an increment.
    pub pods: usize,
    /// How many of them were seen to restart within the window.
    #[serde(default)]
    pub resets: usize,
    /// How many were left out because nothing says what their counters stood at when the window began.
    #[serde(default)]
    pub missed: usize,
}

/// How many requests took at most `le_seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Upper bound, inclusive, in seconds; infinite for the last.
    #[serde(with = "number")]
    pub le_seconds: f64,
    /// Requests at or below it.
    #[serde(with = "number")]
    pub count: f64,
}

/// A quantile read off a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantile {
    /// The estimate, in seconds. Within the bucket it is interpolated.
    pub value_seconds: f64,
    /// The bucket it fell into: above the first bound, up to and including the second, in seconds.
    #[serde(with = "bounds")]
    pub bucket_seconds: (f64, f64),
    /// It fell beyond the last finite bound: `value_seconds` is that bound, the truth may be anything above it.
    pub beyond_last_bound: bool,
}

mod bounds {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::evidence::number::Number;

    pub(super) fn serialize<S: Serializer>(
        bounds: &(f64, f64),
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        (Number(bounds.0), Number(bounds.1)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<(f64, f64), D::Error> {
        let (low, high) = <(Number, Number)>::deserialize(deserializer)?;
        Ok((low.0, high.0))
    }
}

impl ArmEvidence {
    /// Errors per request, 0 to 1; `None` without a request, for absence is no evidence.
    pub fn error_rate(&self) -> Option<f64> {
        let rate = self.errors / self.requests;
        (self.requests > 0.0 && rate.is_finite()).then_some(rate)
    }

    /// The `q` quantile (0 to 1) of the latency in seconds, by the rules of PromQL's `histogram_quantile` for classic
    /// histograms (`bucketQuantile` in `promql/quantile.go` of Prometheus): bounds sorted and equal ones summed, counts
    /// made to ascend, linear interpolation within a bucket, 0 as the lower end of the first bucket if its bound is positive.
    ///
    /// Where PromQL answers NaN (no observation, no `+Inf` bucket, fewer than two buckets) or an infinity (`q` outside
    /// 0 to 1) this answers `None`. Where PromQL answers the highest finite bound, this says so in `beyond_last_bound`.
    pub fn quantile_seconds(&self, q: f64) -> Option<Quantile> {
        if !(0.0..=1.0).contains(&q) {
            return None;
        }
        let buckets = tidy(&self.buckets);
        let (last, finite) = buckets.split_last()?;
        let highest = finite.last()?;
        if last.le_seconds != f64::INFINITY || last.count.is_nan() || last.count <= 0.0 {
            return None;
        }
        let rank = q * last.count;
        let Some(index) = finite.iter().position(|bucket| bucket.count >= rank) else {
            return Some(Quantile {
                value_seconds: highest.le_seconds,
                bucket_seconds: (highest.le_seconds, f64::INFINITY),
                beyond_last_bound: true,
            });
        };
        let upper = finite[index];
        let lower = match index.checked_sub(1) {
            Some(previous) => finite[previous],
            None if upper.le_seconds <= 0.0 => {
                return Some(Quantile {
                    value_seconds: upper.le_seconds,
                    bucket_seconds: (f64::NEG_INFINITY, upper.le_seconds),
                    beyond_last_bound: false,
                });
            }
            None => Bucket {
                le_seconds: 0.0,
                count: 0.0,
            },
        };
        let within = upper.count - lower.count;
        // An empty first bucket is reached by q = 0 only: PromQL divides 0 by 0 there; its lower end is what is meant.
        let share = if within > 0.0 {
            (rank - lower.count) / within
        } else {
            0.0
        };
        Some(Quantile {
            value_seconds: lower.le_seconds + (upper.le_seconds - lower.le_seconds) * share,
            bucket_seconds: (lower.le_seconds, upper.le_seconds),
            beyond_last_bound: false,
        })
    }
}

/// Sorted by bound, equal bounds summed, counts ascending (a bucket that is scraped a moment before a smaller one can hold less).
fn tidy(buckets: &[Bucket]) -> Vec<Bucket> {
    let mut sorted: Vec<Bucket> = buckets
        .iter()
        .copied()
        .filter(|b| !b.le_seconds.is_nan())
        .collect();
    sorted.sort_by(|a, b| a.le_seconds.total_cmp(&b.le_seconds));
    let mut tidy: Vec<Bucket> = Vec::with_capacity(sorted.len());
    for bucket in sorted {
        match tidy.last_mut() {
            Some(last) if last.le_seconds.total_cmp(&bucket.le_seconds).is_eq() => {
                last.count += bucket.count;
            }
            _ => tidy.push(bucket),
        }
    }
    let mut most = 0.0_f64;
    for bucket in &mut tidy {
        most = most.max(bucket.count);
        bucket.count = most;
    }
    tidy
}

/// Adds up histograms. Their bounds may differ (a new version may come with new ones): cumulative counts can be added
/// exactly at the bounds that all of them have, so only those are kept. Says whether any bound had to be left out.
pub fn sum_buckets<'a>(histograms: impl IntoIterator<Item = &'a [Bucket]>) -> (Vec<Bucket>, bool) {
    let mut sum: Option<Vec<Bucket>> = None;
    let mut dropped = false;
    for histogram in histograms {
        let histogram = tidy(histogram);
        if histogram.is_empty() {
            continue;
        }
        let Some(total) = &mut sum else {
            sum = Some(histogram);
            continue;
        };
        let before = total.len();
        total.retain_mut(|bucket| {
            let other =
                histogram.binary_search_by(|other| other.le_seconds.total_cmp(&bucket.le_seconds));
            other.is_ok_and(|index| {
                bucket.count += histogram[index].count;
                true
            })
        });
        dropped |= total.len() < before || total.len() < histogram.len();
    }
    (sum.unwrap_or_default(), dropped)
}
