//! One evaluation of a gate, strict by default: absence of evidence is never evidence.

use jiff::Timestamp;

use super::model::{Compat, Gate, Measurement, Metric, Phase, Rule};
use super::{argo, scope};
use crate::evidence::{Answer, ArmEvidence, QueryValue, ServiceEvidence, SourceError};
use crate::expr::{Condition, EvaluationError};
use crate::unit::{Quantity, Unit};

/// What a measurement comes to, before it gets its time.
pub(super) struct Finding {
    pub(super) phase: Phase,
    pub(super) value: Option<f64>,
    pub(super) message: String,
    pub(super) no_data: bool,
}

impl Finding {
    pub(super) fn inconclusive(message: impl Into<String>) -> Self {
        Self {
            phase: Phase::Inconclusive,
            value: None,
            message: message.into(),
            no_data: false,
        }
    }

    pub(super) fn error(message: impl Into<String>) -> Self {
        Self {
            phase: Phase::Error,
            value: None,
            message: message.into(),
            no_data: false,
        }
    }

    fn no_data(message: impl Into<String>) -> Self {
        Self {
            no_data: true,
            ..Self::inconclusive(message)
        }
    }
}

impl Gate {
    /// Judges the answer to this gate's query. `requests` are those of the canary in the window, where something counts
    /// them; a gate with `min_requests` is inconclusive where nothing does.
    pub fn measure_answer(
        &self,
        answer: &Result<Answer, SourceError>,
        requests: Option<u64>,
        at: Timestamp,
    ) -> Measurement {
        let finding = match (answer, self.compat) {
            (Err(error), _) => Finding::error(format!("{}: {error}", self.name)),
            (Ok(answer), Compat::Argo) => argo::judge(self, &answer.value),
            (Ok(answer), Compat::Strict) => match self.too_few(requests) {
                Some(finding) => finding,
                None => self.strict_answer(answer),
            },
        };
        finish(finding, requests, at)
    }

    /// Judges what the service's own metrics say of the canary.
    pub fn measure_evidence(
        &self,
        evidence: &Result<ServiceEvidence, SourceError>,
        at: Timestamp,
    ) -> Measurement {
        let evidence = match evidence {
            Ok(evidence) => evidence,
            Err(error) => {
                return finish(Finding::error(format!("{}: {error}", self.name)), None, at);
            }
        };
        let requests = whole(evidence.canary.requests);
        let finding = match self.too_few(requests) {
            Some(finding) => finding,
            None => self.strict_evidence(evidence),
        };
        finish(finding, requests, at)
    }

    /// What a verdict needs to hold, in words: `< 1 %`.
    pub fn limit(&self) -> String {
        super::limit::text(self)
    }

    fn too_few(&self, requests: Option<u64>) -> Option<Finding> {
        if self.min_requests == 0 {
            return None;
        }
        match requests {
            Some(requests) if requests >= self.min_requests => None,
            Some(requests) => Some(Finding::no_data(format!(
                "{}: the canary had {requests} requests in the window, and {} are needed to judge",
                self.name, self.min_requests
            ))),
            None => Some(Finding::no_data(format!(
                "{}: min_requests is {}, and nothing counts the canary's requests (set x-canary.metrics)",
                self.name, self.min_requests
            ))),
        }
    }

    fn strict_answer(&self, answer: &Answer) -> Finding {
        if let Some(warning) = answer.warnings.first() {
            return Finding::inconclusive(format!(
                "{}: the source warned, so the data may be partial: {warning}",
                self.name
            ));
        }
        let value = match one_value(&answer.value) {
            Ok(Some(value)) => value,
            Ok(None) => {
                return Finding::no_data(format!("{}: the query returned no data", self.name));
            }
            Err(message) => return Finding::inconclusive(format!("{}: {message}", self.name)),
        };
        if value.is_nan() {
            return Finding::no_data(format!(
                "{}: the query returned NaN (often 0 requests divided by 0)",
                self.name
            ));
        }
        if value.is_infinite() {
            return Finding::inconclusive(format!(
                "{}: the query returned an infinite value",
                self.name
            ));
        }
        let source_unit = match &self.metric {
            Metric::Query { source_unit, .. } => *source_unit,
            Metric::ErrorRate | Metric::Latency { .. } => self.unit,
        };
        match convert(value, source_unit, self.unit) {
            Some(value) => self.judge(value),
            None => Finding::error(format!(
                "{}: the query answers in {source_unit}, which cannot be read in {}",
                self.name, self.unit
            )),
        }
    }

    fn strict_evidence(&self, evidence: &ServiceEvidence) -> Finding {
        if evidence.partial {
            let note = evidence
                .notes
                .first()
                .map_or("something is missing", String::as_str);
            return Finding::inconclusive(format!("{}: the data are partial: {note}", self.name));
        }
        match &self.metric {
            Metric::ErrorRate => self.error_rate(&evidence.canary),
            Metric::Latency { quantile } => self.latency(&evidence.canary, *quantile),
            Metric::Query { .. } => Finding::error(format!(
                "{}: a query is judged on its own answer",
                self.name
            )),
        }
    }

    fn error_rate(&self, canary: &ArmEvidence) -> Finding {
        let Some(rate) = canary.error_rate() else {
            return Finding::no_data(format!(
                "{}: the canary had no requests in the window",
                self.name
            ));
        };
        if !(0.0..=1.0).contains(&rate) {
            return Finding::inconclusive(format!(
                "{}: {} errors of {} requests is no share; check which metric counts requests",
                self.name, canary.errors, canary.requests
            ));
        }
        match convert(rate, Unit::Ratio, self.unit) {
            Some(value) => self.judge(value),
            None => Finding::error(format!(
                "{}: an error rate cannot be read in {}",
                self.name, self.unit
            )),
        }
    }

    fn latency(&self, canary: &ArmEvidence, quantile: f64) -> Finding {
        let Some(found) = canary.quantile_seconds(quantile) else {
            return Finding::no_data(format!(
                "{}: the canary has no latency histogram with requests in the window",
                self.name
            ));
        };
        let Some(value) = convert(found.value_seconds, Unit::Seconds, self.unit) else {
            return Finding::error(format!(
                "{}: a latency cannot be read in {}",
                self.name, self.unit
            ));
        };
        let finding = self.judge(value);
        if !found.beyond_last_bound {
            return finding;
        }
        // The true value is at least the last bound. A limit broken there is broken; a limit kept there decides nothing.
        let bound = Quantity::new(value, self.unit);
        match finding.phase {
            Phase::Fail => Finding {
                message: format!("{} (or more: beyond the last bucket)", finding.message),
                ..finding
            },
            Phase::Pass | Phase::Inconclusive | Phase::Error => Finding::inconclusive(format!(
                "{}: the value is beyond the last bucket of the histogram ({bound}), so it is not known",
                self.name
            )),
        }
    }

    /// Judges one finite number in the gate's unit.
    fn judge(&self, value: f64) -> Finding {
        match &self.rule {
            Rule::Range { min, max } => self.judge_range(value, *min, *max),
            Rule::Conditions { success, failure } => {
                self.judge_conditions(value, success.as_ref(), failure.as_ref())
            }
        }
    }

    fn judge_range(&self, value: f64, min: Option<f64>, max: Option<f64>) -> Finding {
        let says = |what: &str, bound: f64| {
            let (value, bound) = (
                Quantity::new(value, self.unit),
                Quantity::new(bound, self.unit),
            );
            format!("{} is {value}, {what} {bound}", self.name)
        };
        let (phase, message) = match (min, max) {
            (Some(min), _) if value < min => (Phase::Fail, says("below its minimum of", min)),
            (_, Some(max)) if value > max => (Phase::Fail, says("above its maximum of", max)),
            (_, Some(max)) => (Phase::Pass, says("within its maximum of", max)),
            (Some(min), None) => (Phase::Pass, says("at or above its minimum of", min)),
            (None, None) => (
                Phase::Pass,
                format!("{} is {}", self.name, Quantity::new(value, self.unit)),
            ),
        };
        Finding {
            phase,
            value: Some(value),
            message,
            no_data: false,
        }
    }

    /// Argo's table (`metricproviders`' `evaluate.go`): failure wins; with both given and neither true, nothing is decided.
    fn judge_conditions(
        &self,
        value: f64,
        success: Option<&Condition>,
        failure: Option<&Condition>,
    ) -> Finding {
        let environment =
            |condition: &Condition| scope::Measured::new(self, value, condition.source());
        let outcome = |condition: Option<&Condition>| -> Result<Option<bool>, EvaluationError> {
            condition
                .map(|condition| condition.evaluate(&environment(condition)))
                .transpose()
        };
        let (succeeded, failed) = match (outcome(success), outcome(failure)) {
            (Ok(succeeded), Ok(failed)) => (succeeded, failed),
            (Err(error), _) | (_, Err(error)) => {
                let finding = if matches!(error, EvaluationError::NoData { .. }) {
                    Finding::no_data(format!("{}: {error}", self.name))
                } else {
                    Finding::error(format!("{}: {error}", self.name))
                };
                return Finding {
                    value: Some(value),
                    ..finding
                };
            }
        };
        let phase = conditions_phase(succeeded, failed);
        let decisive = match phase {
            Phase::Fail if failed == Some(true) => failure,
            Phase::Pass | Phase::Fail | Phase::Inconclusive | Phase::Error => success.or(failure),
        };
        let reading = Quantity::new(value, self.unit);
        let message = match (phase, decisive) {
            (Phase::Inconclusive, _) => {
                format!(
                    "{} is {reading}: neither the success nor the failure condition is true",
                    self.name
                )
            }
            // `error_rate < 1%` needs no more than the value and the limit.
            (_, Some(condition)) => match super::limit::simple(self, condition.source()) {
                Some(limit) if failed == Some(true) => {
                    format!("{} is {reading}, and must not be {limit}", self.name)
                }
                Some(limit) if phase == Phase::Fail => {
                    format!("{} is {reading}, and must be {limit}", self.name)
                }
                Some(limit) if success.is_some() => format!("{} is {reading} ({limit})", self.name),
                Some(limit) => format!("{} is {reading} (not {limit})", self.name),
                None => format!(
                    "{} is {reading}: {}",
                    self.name,
                    condition.explain(&environment(condition))
                ),
            },
            (_, None) => format!("{} is {reading}", self.name),
        };
        Finding {
            phase,
            value: Some(value),
            message,
            no_data: false,
        }
    }
}

fn finish(finding: Finding, requests: Option<u64>, at: Timestamp) -> Measurement {
    Measurement {
        at,
        phase: finding.phase,
        value: finding.value.filter(|value| value.is_finite()),
        message: finding.message,
        no_data: finding.no_data,
        requests,
    }
}

/// Argo's table of two conditions; `None`: not given.
pub(super) fn conditions_phase(success: Option<bool>, failure: Option<bool>) -> Phase {
    match (success, failure) {
        (_, Some(true)) | (Some(false), None) => Phase::Fail,
        (Some(true), _) | (None, Some(false) | None) => Phase::Pass,
        (Some(false), Some(false)) => Phase::Inconclusive,
    }
}

/// The one number of an answer; `None`: no data.
fn one_value(value: &QueryValue) -> Result<Option<f64>, String> {
    match value {
        QueryValue::Scalar(value) => Ok(Some(*value)),
        QueryValue::Vector(samples) => match samples.as_slice() {
            [] => Ok(None),
            [(_, value)] => Ok(Some(*value)),
            several => Err(several_series(several.len())),
        },
        QueryValue::Matrix(series) => match series.as_slice() {
            [] => Ok(None),
            [one] => Ok(one.samples.last().map(|(_, value)| *value)),
            several => Err(several_series(several.len())),
        },
        QueryValue::Text(_) => Err("the query returned text, and a number is needed".to_owned()),
    }
}

fn several_series(count: usize) -> String {
    format!(
        "the query returned {count} series, and one is meant; aggregate it, for example with sum()"
    )
}

fn convert(value: f64, from: Unit, to: Unit) -> Option<f64> {
    if from == to || to == Unit::None {
        Some(value)
    } else {
        from.convert(value, to)
    }
}

/// A counter's double as a count; `None` where it is none.
fn whole(value: f64) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked: finite, not negative, and within what a double counts exactly"
    )]
    (value.is_finite() && (0.0..=9_007_199_254_740_992.0).contains(&value))
        .then(|| value.floor() as u64)
}
