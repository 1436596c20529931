//! What a gate's condition may name: `result` (or `value`, or the gate's own name).

use super::model::{Compat, Gate};
use crate::expr::{Environment, Scope, Type, Value};
use crate::unit::Unit;

/// Names and types for compiling a gate's condition.
#[derive(Debug, Clone)]
pub struct GateScope {
    own_name: String,
    compat: Compat,
    unit: Unit,
    list: bool,
}

impl GateScope {
    /// The scope of the condition `source` of the gate `name`, whose values are in `unit`.
    ///
    /// Strict gates judge one number; a condition that reads `result` as a list, as AnalysisTemplates do
    /// (`result[0] < 0.05`), gets a list of that one number.
    pub fn new(name: &str, unit: Unit, compat: Compat, source: &str) -> Self {
        Self {
            own_name: own_name(name),
            compat,
            unit,
            list: reads_list(source),
        }
    }
}

impl Scope for GateScope {
    fn type_of(&self, name: &str) -> Option<Type> {
        if name != "result" && name != "value" && name != self.own_name {
            return None;
        }
        Some(match self.compat {
            // Argo's `result` is a number or a list of numbers, as the query decides.
            Compat::Argo => Type::Any,
            Compat::Strict if self.list && name == "result" => {
                Type::List(Box::new(Type::Number(Some(self.unit))))
            }
            Compat::Strict => Type::Number(Some(self.unit)),
        })
    }

    fn names(&self) -> Vec<String> {
        vec![
            "result".to_owned(),
            "value".to_owned(),
            self.own_name.clone(),
        ]
    }
}

/// The one number of a strict measurement.
pub(super) struct Measured<'a> {
    gate: &'a Gate,
    value: f64,
    list: bool,
}

impl<'a> Measured<'a> {
    pub(super) fn new(gate: &'a Gate, value: f64, source: &str) -> Self {
        Self {
            gate,
            value,
            list: reads_list(source),
        }
    }
}

impl Environment for Measured<'_> {
    fn get(&self, name: &str) -> Option<Value> {
        let value = Value::Float(self.value, self.gate.unit);
        match name {
            "result" if self.list => Some(Value::List(vec![value])),
            "result" | "value" => Some(value),
            name if name == own_name(&self.gate.name) => Some(value),
            _ => None,
        }
    }
}

/// The gate's name as an identifier.
pub(super) fn own_name(name: &str) -> String {
    name.chars()
        .map(|letter| {
            if letter.is_alphanumeric() {
                letter
            } else {
                '_'
            }
        })
        .collect()
}

/// `result[0]`, `all(result, ...)`, `len(result)`: the condition takes `result` for a list.
fn reads_list(source: &str) -> bool {
    let dense: String = source
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .collect();
    ["result[", "result?.[", "result|", "inresult"]
        .iter()
        .any(|form| dense.contains(form))
        || [
            "all(", "any(", "none(", "one(", "filter(", "map(", "count(", "sum(", "mean(",
            "median(", "min(", "max(", "len(", "size(",
        ]
        .iter()
        .any(|function| dense.contains(&format!("{function}result")))
}
