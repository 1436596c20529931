//! The structured metrics of a service: which counter counts its requests, what counts as an error, which histogram holds
//! its latency, and how the two arms are told apart. From these come the built-in gates and the evidence of both sources,
//! so that nobody has to write PromQL for an error rate or a p99. Pure.

mod config;
mod counters;
mod edges;
mod ledger;
mod preset;
mod selector;

pub use config::{LatencyConfig, MetricsConfig, RequestsConfig};
pub use counters::{Counters, Increment, Invalid};
pub use edges::{Look, evidence_between};
pub use ledger::{Failure, Ledger, Reading};
pub use preset::{Default as ParameterDefault, PRESETS, Parameter, Preset};
pub use selector::{Matcher, Op, Selector};

use serde::{Deserialize, Serialize};

use crate::evidence::Arm;

/// How a service is measured. Made from a preset or from the user's own names, see [`MetricsConfig`].
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceMetrics {
    /// The preset it comes from, or `custom`.
    pub name: String,
    /// The counter of requests.
    pub requests: Requests,
    /// The latency histogram, if there is one.
    pub latency: Option<Latency>,
    /// What selects the stable arm, in both metrics.
    pub stable: Selector,
    /// What selects the canary arm.
    pub canary: Selector,
    /// The label whose values tell the reporting processes apart, so that a restart of one is seen.
    pub reporter: String,
    /// Whether a reporting process is a pod of the arm it reports on. A gateway is not: it reports on both.
    pub knows_pods: bool,
    /// A gauge with the start of each reporting process in Unix seconds, selectable by the arms' selectors.
    pub process_start: Option<String>,
}

/// The counter of requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Requests {
    /// Its name, with `_total` if it has one.
    pub metric: String,
    /// What selects the service, for both arms.
    pub selector: Selector,
    /// Which of the requests are errors.
    pub errors: Selector,
}

/// The histogram of latencies (classic buckets).
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    /// Its name without `_bucket`.
    pub metric: String,
    /// What its bounds are in.
    pub unit: LatencyUnit,
    /// What selects the service, for both arms.
    pub selector: Selector,
}

/// What the bounds of a latency histogram are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LatencyUnit {
    /// Seconds, as Prometheus advises.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds, as Istio, Linkerd and Envoy do.
    #[serde(rename = "ms")]
    Milliseconds,
}

impl LatencyUnit {
    /// A bound in seconds.
    pub fn to_seconds(self, bound: f64) -> f64 {
        match self {
            Self::Seconds => bound,
            Self::Milliseconds => bound / 1000.0,
        }
    }
}

impl ServiceMetrics {
    /// What selects an arm.
    pub fn arm(&self, arm: Arm) -> &Selector {
        match arm {
            Arm::Stable => &self.stable,
            Arm::Canary => &self.canary,
        }
    }

    /// The labels that decide what is an error, in order.
    pub fn error_labels(&self) -> Vec<&str> {
        self.requests.errors.labels()
    }

    /// PromQL: the raw request counters of an arm, by process and error class.
    pub fn counter_query(&self, arm: Arm) -> String {
        let mut by = vec![self.reporter.as_str()];
        by.extend(self.error_labels());
        let selector = self.requests.selector.and(self.arm(arm));
        format!(
            "sum by ({}) ({}{{{selector}}})",
            by.join(", "),
            self.requests.metric
        )
    }

    /// PromQL: the raw latency buckets of an arm, by process and bound. `None` without a latency metric.
    pub fn bucket_query(&self, arm: Arm) -> Option<String> {
        let latency = self.latency.as_ref()?;
        let selector = latency.selector.and(self.arm(arm));
        Some(format!(
            "sum by ({}, le) ({}_bucket{{{selector}}})",
            self.reporter, latency.metric
        ))
    }

    /// PromQL: when the processes of an arm started, by process. `None` where the metrics do not know.
    pub fn process_start_query(&self, arm: Arm) -> Option<String> {
        let metric = self.process_start.as_ref()?;
        let selector = self.requests.selector.and(self.arm(arm));
        Some(format!(
            "max by ({}) ({metric}{{{selector}}})",
            self.reporter
        ))
    }

    /// PromQL for people and dashboards: errors per request (0 to 1) of an arm, over `{{window}}`.
    pub fn error_rate_query(&self, arm: Arm) -> String {
        let metric = &self.requests.metric;
        let all = self.requests.selector.and(self.arm(arm));
        let errors = all.and(&self.requests.errors);
        // Without `or vector(0)` a service without a single error would have no error rate.
        format!(
            "(sum(rate({metric}{{{errors}}}[{{{{window}}}}])) or vector(0)) / sum(rate({metric}{{{all}}}[{{{{window}}}}]))"
        )
    }

    /// PromQL for people and dashboards: a latency quantile in seconds of an arm, over `{{window}}`.
    pub fn quantile_query(&self, arm: Arm, q: f64) -> Option<String> {
        let latency = self.latency.as_ref()?;
        let selector = latency.selector.and(self.arm(arm));
        let scale = match latency.unit {
            LatencyUnit::Seconds => "",
            LatencyUnit::Milliseconds => " / 1000",
        };
        let metric = &latency.metric;
        Some(format!(
            "histogram_quantile({q}, sum by (le) (rate({metric}_bucket{{{selector}}}[{{{{window}}}}]))){scale}"
        ))
    }
}

/// The metrics of a service are not described well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    /// There is no preset of that name.
    #[error("unknown preset {name:?}{}; there are {known}", hint(suggestion.as_deref()))]
    UnknownPreset {
        /// As written.
        name: String,
        /// What may have been meant.
        suggestion: Option<String>,
        /// All names.
        known: String,
    },
    /// A preset needs a value for a parameter.
    #[error("preset {preset} needs the parameter {parameter}: {help}")]
    MissingParameter {
        /// The preset.
        preset: String,
        /// The parameter.
        parameter: String,
        /// What it is.
        help: String,
    },
    /// A preset has no parameter of that name.
    #[error("preset {preset} has no parameter {name:?}{}; it has {known}", hint(suggestion.as_deref()))]
    UnknownParameter {
        /// The preset.
        preset: String,
        /// As written.
        name: String,
        /// What may have been meant.
        suggestion: Option<String>,
        /// All of the preset's parameters.
        known: String,
    },
    /// A placeholder that stands for nothing.
    #[error("{text:?}: nothing is known to fill {{{{{name}}}}} with{}", hint(suggestion.as_deref()))]
    UnknownPlaceholder {
        /// The text it is in.
        text: String,
        /// The name between the braces.
        name: String,
        /// What may have been meant.
        suggestion: Option<String>,
    },
    /// A selector cannot be read.
    #[error("selector {text:?}: {message}")]
    Selector {
        /// As written.
        text: String,
        /// What is wrong and what was expected.
        message: String,
    },
    /// A name that Prometheus does not take.
    #[error(
        "{what} {value:?}: expected letters, digits and _ (and : in metric names), not starting with a digit"
    )]
    Name {
        /// What it is the name of.
        what: &'static str,
        /// As written.
        value: String,
    },
    /// The arms cannot be told apart.
    #[error(
        "stable and canary are both selected by {{{selector}}}: they could not be told apart{hint}"
    )]
    SameArms {
        /// The selector of both.
        selector: String,
        /// What to do.
        hint: String,
    },
    /// Something is missing, or given twice.
    #[error("metrics: {message}")]
    Incomplete {
        /// What, and what to write.
        message: String,
    },
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion
        .map(|name| format!(", did you mean {name:?}?"))
        .unwrap_or_default()
}

/// The most similar of the known names, if any is similar.
fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known.to_owned())
}

/// Whether Prometheus takes it as a metric name.
fn is_metric_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

/// Whether Prometheus takes it as a label name.
fn is_label_name(text: &str) -> bool {
    is_metric_name(text) && !text.contains(':')
}

#[cfg(test)]
mod counting_tests;
#[cfg(test)]
mod tests;
