//! What a gate is, and what one evaluation of it says.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::expr::Condition;
use crate::unit::Unit;

/// A condition on a metric, with limits. Compiled once, when the plan is made.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// Unique within a plan: what people and messages call it.
    pub name: String,
    /// What is measured.
    pub metric: Metric,
    /// Unit of the measured value as conditions see it.
    pub unit: Unit,
    /// What the value must satisfy.
    pub rule: Rule,
    /// How absence of data, NaN and several series are read.
    pub compat: Compat,
    /// Pause between the end of one measurement and the start of the next.
    pub interval: Duration,
    /// How far back one measurement looks; clipped to the time since the weight was observed.
    pub window: Duration,
    /// Time from the start of the analysis to the first measurement.
    pub initial_delay: Duration,
    /// Measurements that are not errors until the gate has passed; `None`: for as long as it is watched.
    pub count: Option<u32>,
    /// The gate fails when more than this many measurements failed; `None` (-1 in Argo): never by count.
    pub failure_limit: Option<u32>,
    /// The gate is inconclusive when more than this many measurements were.
    pub inconclusive_limit: u32,
    /// The gate is an error when more than this many measurements in a row were.
    pub consecutive_error_limit: u32,
    /// The gate passes as soon as this many measurements in a row passed; 0: not used.
    pub consecutive_success_limit: u32,
    /// Requests that the canary must have had in the window, else the measurement is inconclusive; 0: any.
    pub min_requests: u64,
}

/// Where the number comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Share of the canary's requests that were answered with an error, from the service's `requests` metric.
    ErrorRate,
    /// A quantile (0-1) of the canary's latency, from the service's `latency` metric.
    Latency {
        /// 0 < quantile < 1; 0.99 for p99.
        quantile: f64,
    },
    /// PromQL; may contain `{{window}}`.
    Query {
        /// The query as written, with variables resolved and `{{window}}` left in.
        promql: String,
        /// Unit that the source answers in; converted to the gate's unit.
        source_unit: Unit,
    },
}

/// What the value must satisfy.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// Argo's pair of conditions; at least one is there.
    Conditions {
        /// Pass when true.
        success: Option<Condition>,
        /// Fail when true; wins over `success`.
        failure: Option<Condition>,
    },
    /// Flagger's `thresholdRange`: fail when below `min` or above `max`, in the gate's unit.
    Range {
        /// Lowest value that passes.
        min: Option<f64>,
        /// Highest value that passes.
        max: Option<f64>,
    },
}

/// How doubtful answers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compat {
    /// No data, NaN, infinity, several series, warnings: inconclusive.
    #[default]
    Strict,
    /// Argo Rollouts' reading, row for row.
    Argo,
}

/// One evaluation of a gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// When it was evaluated.
    pub at: Timestamp,
    /// How it counts.
    pub phase: Phase,
    /// The value in the gate's unit, where there is one finite number.
    pub value: Option<f64>,
    /// One sentence with the value and the limit in it, or why there is none.
    pub message: String,
    /// Set when there was nothing to judge (yet): no data, or too few requests.
    pub no_data: bool,
    /// Requests that the canary had in the window, where the source knows.
    pub requests: Option<u64>,
}

/// How one measurement counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The rule holds.
    Pass,
    /// The rule is broken.
    Fail,
    /// There is an answer, and it decides nothing.
    Inconclusive,
    /// There is no answer: the source failed, or the condition could not be evaluated.
    Error,
}

/// What a gate says over a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Not decided yet.
    Running,
    /// Passed.
    Pass,
    /// Failed: more failures than its limit.
    Fail,
    /// Measured, and decided nothing.
    Inconclusive,
    /// Could not be measured.
    Error,
}

impl From<Phase> for Verdict {
    /// What one measurement says by itself.
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Pass => Self::Pass,
            Phase::Fail => Self::Fail,
            Phase::Inconclusive => Self::Inconclusive,
            Phase::Error => Self::Error,
        }
    }
}
