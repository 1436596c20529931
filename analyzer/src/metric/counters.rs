//! The counters of one arm in one process, and what they grew by between two looks at them. Both sources use this, so both
//! read restarts, new series and vanished series the same way.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Selector, ServiceMetrics};
use crate::evidence::{Arm, Bucket, Labels};
use crate::exposition::{Exposition, MetricType};

/// What the counters of one arm stood at, in one process.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counters {
    /// Requests by error class: the values of the labels that decide what is an error.
    classes: BTreeMap<Vec<String>, Class>,
    /// Cumulative latency buckets.
    buckets: Vec<Bucket>,
    /// When the process started, if it says so.
    started: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Class {
    count: f64,
    error: bool,
}

/// What counters grew by.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Increment {
    /// Requests answered.
    pub requests: f64,
    /// Of them errors.
    pub errors: f64,
    /// By latency, cumulative; empty if there were none.
    pub buckets: Vec<Bucket>,
    /// The process restarted in between (or a counter went backwards, which is how that is seen).
    pub reset: bool,
}

/// A value that no counter can have, or a metric that is no counter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

/// Process start times are constant for a process, but for rounding by those that compute them anew each time.
const START_TOLERANCE_SECONDS: i64 = 2;

impl Counters {
    /// Adds a request counter with these labels (at least those that decide what is an error).
    pub fn add_requests(
        &mut self,
        metrics: &ServiceMetrics,
        labels: &Labels,
        count: f64,
    ) -> Result<(), Invalid> {
        let count = checked(&metrics.requests.metric, count)?;
        let class = metrics
            .error_labels()
            .into_iter()
            .map(|name| labels.get(name).cloned().unwrap_or_default());
        let error = metrics.requests.errors.matches(labels);
        self.classes
            .entry(class.collect())
            .or_insert(Class { count: 0.0, error })
            .count += count;
        Ok(())
    }

    /// Adds a latency bucket with this `le` label.
    pub fn add_bucket(
        &mut self,
        metrics: &ServiceMetrics,
        le: Option<&String>,
        count: f64,
    ) -> Result<(), Invalid> {
        let Some(latency) = &metrics.latency else {
            return Ok(());
        };
        let name = format!("{}_bucket", latency.metric);
        let count = checked(&name, count)?;
        let le = le.ok_or_else(|| {
            Invalid(format!(
                "{name} has a series without the label le; is it a histogram?"
            ))
        })?;
        let bound = le
            .parse()
            .ok()
            .filter(|bound: &f64| !bound.is_nan())
            .ok_or_else(|| {
                Invalid(format!(
                    "{name} has a bucket with le={le:?}, which is no number"
                ))
            })?;
        let le_seconds = latency.unit.to_seconds(bound);
        match self
            .buckets
            .binary_search_by(|bucket| bucket.le_seconds.total_cmp(&le_seconds))
        {
            Ok(index) => self.buckets[index].count += count,
            Err(index) => self.buckets.insert(index, Bucket { le_seconds, count }),
        }
        Ok(())
    }

    /// Says when the process started, in Unix seconds as `process_start_time_seconds` has it.
    #[must_use]
    pub fn started_at(mut self, seconds: Option<f64>) -> Self {
        self.started = seconds.and_then(from_unix_seconds);
        self
    }

    /// When the process started, if it says so.
    pub fn started(&self) -> Option<Timestamp> {
        self.started
    }

    /// Whether there is any series at all.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty() && self.buckets.is_empty()
    }

    /// All requests ever counted.
    pub fn total(&self) -> f64 {
        // Not `sum()`: the sum of no doubles is -0.
        self.classes
            .values()
            .fold(0.0, |sum, class| sum + class.count)
    }

    /// The counters of one page of metrics: of every arm that `arms` selects.
    pub fn read(
        page: &Exposition,
        metrics: &ServiceMetrics,
        arms: &[(Arm, Selector)],
    ) -> Result<Vec<(Arm, Self)>, Invalid> {
        let bucket = metrics
            .latency
            .as_ref()
            .map(|latency| format!("{}_bucket", latency.metric));
        for (name, wanted) in [
            (Some(&metrics.requests.metric), MetricType::Counter),
            (bucket.as_ref(), MetricType::Histogram),
        ] {
            let Some(name) = name else { continue };
            if let Some(found) = page
                .type_of(name)
                .filter(|found| *found != wanted && *found != MetricType::Unknown)
            {
                return Err(Invalid(format!(
                    "{name} is a {found:?} here; a {wanted:?} is needed"
                )));
            }
        }
        let started = page
            .samples
            .iter()
            .find(|sample| sample.name == "process_start_time_seconds");
        let started = started.map(|sample| sample.value);
        let mut found = Vec::with_capacity(arms.len());
        for (arm, selector) in arms {
            let mut counters = Self::default().started_at(started);
            for sample in &page.samples {
                if sample.name == metrics.requests.metric {
                    if metrics.requests.selector.matches(&sample.labels)
                        && selector.matches(&sample.labels)
                    {
                        counters.add_requests(metrics, &sample.labels, sample.value)?;
                    }
                } else if let Some(latency) = &metrics.latency
                    && Some(&sample.name) == bucket.as_ref()
                    && latency.selector.matches(&sample.labels)
                    && selector.matches(&sample.labels)
                {
                    counters.add_bucket(metrics, sample.labels.get("le"), sample.value)?;
                }
            }
            found.push((*arm, counters));
        }
        Ok(found)
    }

    /// What they grew by since `before`, in the same process or one that took its place.
    ///
    /// - A counter that went backwards was reset: all of its present value is growth (as in PromQL's `increase`).
    /// - If the process says that it started anew, that holds for all of its counters, also for those that have already
    ///   passed their old value.
    /// - A series that was not there before starts at 0: the process was looked at and had nothing to count.
    /// - A histogram is one thing: if one bucket went backwards, all of them were reset.
    /// - A series that is gone adds nothing.
    pub fn since(&self, before: &Self) -> Increment {
        let restarted = matches!(
            (before.started, self.started),
            (Some(before), Some(now)) if now.as_second() - before.as_second() > START_TOLERANCE_SECONDS
        );
        if restarted {
            return Increment {
                reset: true,
                ..self.since_zero()
            };
        }
        let mut increment = Increment::default();
        for (key, class) in &self.classes {
            let earlier = before.classes.get(key).map_or(0.0, |class| class.count);
            let growth = if class.count >= earlier {
                class.count - earlier
            } else {
                increment.reset = true;
                class.count
            };
            increment.requests += growth;
            increment.errors += if class.error { growth } else { 0.0 };
        }
        let (buckets, reset) = bucket_growth(&before.buckets, &self.buckets);
        increment.reset |= reset;
        increment.buckets = non_zero(buckets);
        increment
    }

    /// What they grew by since the process started: everything.
    pub fn since_zero(&self) -> Increment {
        let errors = self
            .classes
            .values()
            .filter(|class| class.error)
            .fold(0.0, |sum, class| sum + class.count);
        Increment {
            requests: self.total(),
            errors,
            buckets: non_zero(self.buckets.clone()),
            reset: false,
        }
    }
}

/// The growth of each bucket, and whether the histogram was reset.
fn bucket_growth(before: &[Bucket], now: &[Bucket]) -> (Vec<Bucket>, bool) {
    if before.is_empty() {
        return (now.to_vec(), false);
    }
    let same_bounds = before.len() == now.len()
        && before
            .iter()
            .zip(now)
            .all(|(a, b)| a.le_seconds.total_cmp(&b.le_seconds).is_eq());
    // Other bounds are another program: what it counts, it counted since it started.
    if now.is_empty()
        || !same_bounds
        || before
            .iter()
            .zip(now)
            .any(|(before, now)| now.count < before.count)
    {
        return (now.to_vec(), !now.is_empty());
    }
    let growth = before.iter().zip(now).map(|(before, now)| Bucket {
        count: now.count - before.count,
        ..*now
    });
    (growth.collect(), false)
}

/// A histogram without an observation says nothing; leaving it out keeps its bounds from narrowing a sum.
fn non_zero(buckets: Vec<Bucket>) -> Vec<Bucket> {
    if buckets.iter().any(|bucket| bucket.count > 0.0) {
        buckets
    } else {
        Vec::new()
    }
}

fn checked(metric: &str, count: f64) -> Result<f64, Invalid> {
    if count.is_finite() && count >= 0.0 {
        Ok(count)
    } else {
        Err(Invalid(format!(
            "{metric} has the value {count}, which no counter can have"
        )))
    }
}

fn from_unix_seconds(seconds: f64) -> Option<Timestamp> {
    if !seconds.is_finite() || seconds <= 0.0 {
        return None;
    }
    let since = jiff::SignedDuration::try_from_secs_f64(seconds).ok()?;
    Timestamp::UNIX_EPOCH.checked_add(since).ok()
}
