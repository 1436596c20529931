//! Argo Rollouts' reading of an answer, row for row: `metricproviders/prometheus/prometheus.go` (what `result` is) and
//! `utils/evaluate/evaluate.go` (the phase). It lets an empty list pass `all(...)` and NaN pass a lone failure condition;
//! that is why it is not the default.

use super::measure::{Finding, conditions_phase};
use super::model::{Gate, Phase, Rule};
use crate::evidence::QueryValue;
use crate::expr::{Condition, Environment, Value};
use crate::unit::Unit;

/// `result`, and nothing else.
struct OnlyResult(Value);

impl Environment for OnlyResult {
    fn get(&self, name: &str) -> Option<Value> {
        (name == "result").then(|| self.0.clone())
    }
}

/// The phase of one answer.
pub(super) fn judge(gate: &Gate, value: &QueryValue) -> Finding {
    let result = match result(value) {
        Ok(result) => result,
        Err(message) => return Finding::error(format!("{}: {message}", gate.name)),
    };
    let single = single(&result);
    let text = Value::to_string(&result);
    let (success, failure) = match &gate.rule {
        Rule::Conditions { success, failure } => (success, failure),
        Rule::Range { min, max } => return flagger(gate, single, *min, *max),
    };
    let environment = OnlyResult(result);
    let truth = |condition: &Option<Condition>| {
        condition
            .as_ref()
            .map(|condition| condition.evaluate_argo(&environment))
            .transpose()
    };
    // Argo evaluates the success condition first; an error of either is the measurement's.
    let (success_is, failure_is) =
        match truth(success).and_then(|success| Ok((success, truth(failure)?))) {
            Ok(both) => both,
            Err(error) => {
                return Finding {
                    value: single,
                    ..Finding::error(format!("{}: {error}", gate.name))
                };
            }
        };
    let phase = conditions_phase(success_is, failure_is);
    let decisive = match phase {
        Phase::Fail if failure_is == Some(true) => failure,
        Phase::Pass | Phase::Fail | Phase::Inconclusive | Phase::Error => {
            if success.is_some() {
                success
            } else {
                failure
            }
        }
    };
    let message = match (phase, decisive) {
        (Phase::Inconclusive, _) => format!("{} is {text}: neither condition is true", gate.name),
        (_, Some(condition)) => format!(
            "{} is {text}: {}",
            gate.name,
            condition.explain(&environment)
        ),
        (_, None) => format!("{} is {text}", gate.name),
    };
    Finding {
        phase,
        value: single,
        message,
        no_data: false,
    }
}

/// What Argo calls `result`: a scalar is a number; a vector or matrix is the list of its values, labels dropped.
fn result(value: &QueryValue) -> Result<Value, String> {
    let number = |value: f64| Value::Float(value, Unit::None);
    match value {
        QueryValue::Scalar(value) => Ok(number(*value)),
        QueryValue::Vector(samples) => Ok(Value::List(
            samples.iter().map(|(_, value)| number(*value)).collect(),
        )),
        QueryValue::Matrix(series) => Ok(Value::List(
            series
                .iter()
                .flat_map(|one| &one.samples)
                .map(|(_, value)| number(*value))
                .collect(),
        )),
        QueryValue::Text(_) => Err("the Prometheus metric type is not supported: text".to_owned()),
    }
}

/// The number to show, where there is exactly one.
fn single(result: &Value) -> Option<f64> {
    match result {
        Value::Float(value, _) => Some(*value),
        Value::List(items) => match items.as_slice() {
            [Value::Float(value, _)] => Some(*value),
            _ => None,
        },
        _ => None,
    }
}

/// Flagger's `thresholdRange`, as Flagger reads it: no value is a failed check.
fn flagger(gate: &Gate, value: Option<f64>, min: Option<f64>, max: Option<f64>) -> Finding {
    let Some(value) = value else {
        return Finding {
            phase: Phase::Fail,
            ..Finding::error(format!("{}: no values found", gate.name))
        };
    };
    let inside = min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max);
    let phase = if inside { Phase::Pass } else { Phase::Fail };
    Finding {
        phase,
        value: Some(value),
        message: format!("{} is {value}, and must be {}", gate.name, gate.limit()),
        no_data: false,
    }
}
