//! `sum`, `mean`, `median`, `min` and `max`.

use super::super::tree::{Function, Node};
use super::super::value::Value;
use super::{Evaluated, Evaluator, Mode};
use crate::unit::Unit;

impl Evaluator<'_> {
    /// `sum`, `mean`, `median`, `min`, `max` of one list, or of the arguments and the lists among them.
    pub(in crate::expr) fn aggregate(
        &mut self,
        node: &Node,
        function: Function,
        arguments: &[Node],
    ) -> Evaluated<Value> {
        let mut values = Vec::new();
        for argument in arguments {
            match self.present(argument)? {
                list @ Value::List(_) => values.extend(self.items_of(argument, list)?),
                other => values.push(other),
            }
        }
        self.spend(u32::try_from(values.len()).unwrap_or(u32::MAX), &node.span)?;
        self.aggregated(node, function, &values)
    }

    fn aggregated(&self, node: &Node, function: Function, values: &[Value]) -> Evaluated<Value> {
        if values.is_empty() && function != Function::Sum {
            return match (self.mode, function) {
                (Mode::Strict, _) => self.no_data(node, "is taken over nothing"),
                // Go's expr gives 0 here, which is what Argo sees.
                (Mode::Argo, Function::Mean | Function::Median) => Ok(Value::from(0.0)),
                (Mode::Argo, _) => Self::wrong(&node.span, "the list is empty".to_owned()),
            };
        }
        if let Some(whole) = whole(values)
            && matches!(function, Function::Sum | Function::Min | Function::Max)
        {
            let result = match function {
                Function::Sum => whole
                    .iter()
                    .try_fold(0_i64, |sum, value| sum.checked_add(*value)),
                Function::Min => whole.into_iter().min(),
                _ => whole.into_iter().max(),
            };
            return match result {
                Some(value) => Ok(Value::Int(value)),
                None => Self::wrong(
                    &node.span,
                    "the sum is too large for a whole number".to_owned(),
                ),
            };
        }
        let mut unit = Unit::None;
        let mut numbers = Vec::with_capacity(values.len());
        for value in values {
            let Some(quantity) = value.quantity() else {
                let message = format!(
                    "`{}` holds {}, where numbers are needed",
                    self.describe(node),
                    value.kind()
                );
                return Self::wrong(&node.span, message);
            };
            if unit == Unit::None {
                unit = quantity.unit;
            }
            let bare = quantity.unit == Unit::None;
            let converted = if bare {
                Some(quantity.value)
            } else {
                quantity.unit.convert(quantity.value, unit)
            };
            match converted {
                Some(value) => numbers.push(value),
                None => {
                    return Self::wrong(
                        &node.span,
                        "the numbers measure different things".to_owned(),
                    );
                }
            }
        }
        Ok(Value::Float(reduce(self.mode, function, numbers), unit))
    }
}

/// The values, if all are whole numbers: their sum and extremes stay whole.
fn whole(values: &[Value]) -> Option<Vec<i64>> {
    values
        .iter()
        .map(|value| {
            if let Value::Int(value) = value {
                Some(*value)
            } else {
                None
            }
        })
        .collect()
}

/// expr-lang's `min` and `max`: NaN wins only in the first place, as it compares false.
fn fold(numbers: &[f64], better: impl Fn(f64, f64) -> bool) -> f64 {
    let first = numbers.first().copied().unwrap_or(f64::NAN);
    numbers.iter().fold(
        first,
        |best, number| if better(*number, best) { *number } else { best },
    )
}

/// In the strict reading, NaN among the numbers makes the result NaN: a mean or a maximum without one of its parts is not known.
fn reduce(mode: Mode, function: Function, mut numbers: Vec<f64>) -> f64 {
    match (mode, function) {
        (Mode::Argo, Function::Min) => return fold(&numbers, |number, best| number < best),
        (Mode::Argo, Function::Max) => return fold(&numbers, |number, best| number > best),
        _ => {}
    }
    if numbers.iter().any(|number| number.is_nan()) {
        return f64::NAN;
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a list is at most some thousands long"
    )]
    let count = numbers.len() as f64;
    match function {
        Function::Sum => numbers.iter().sum(),
        Function::Mean => numbers.iter().sum::<f64>() / count,
        Function::Min => numbers.iter().copied().fold(f64::INFINITY, f64::min),
        Function::Max => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        _ => {
            numbers.sort_by(f64::total_cmp);
            let middle = numbers.len() / 2;
            let upper = numbers.get(middle).copied().unwrap_or(f64::NAN);
            if numbers.len() % 2 == 1 {
                return upper;
            }
            let lower = middle
                .checked_sub(1)
                .and_then(|at| numbers.get(at))
                .copied()
                .unwrap_or(f64::NAN);
            f64::midpoint(lower, upper)
        }
    }
}
