//! What the names in a condition mean (S5): the source's outputs, what is upstream, nodes by id, values of the plan.

use std::collections::BTreeMap;

use canary_analyzer::expr::{Condition, Environment, Value};
use canary_analyzer::unit::Unit;
use serde_json::Value as Json;

use super::state::{End, Life, NodeState, State};
use super::step::Machine;
use crate::plan::{NodeIndex, Plan};

/// What a condition said.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Truth {
    True,
    False,
    /// It could not be evaluated: something is absent, or the types do not fit.
    Unknown(String),
}

impl Machine<'_> {
    /// Evaluates a condition on an edge of `node`: the truth, and the condition with its values in it.
    pub(super) fn judge(&self, node: NodeIndex, condition: &Condition) -> (Truth, String) {
        judge(self.plan, &self.s, node, condition)
    }
}

fn judge(plan: &Plan, state: &State, node: NodeIndex, condition: &Condition) -> (Truth, String) {
    let names = Names { plan, state, node };
    let truth = match condition.evaluate(&names) {
        Ok(true) => Truth::True,
        Ok(false) => Truth::False,
        Err(error) => Truth::Unknown(error.to_string()),
    };
    (truth, condition.explain(&names))
}

/// The values of names as seen from one node.
struct Names<'a> {
    plan: &'a Plan,
    state: &'a State,
    node: NodeIndex,
}

impl Environment for Names<'_> {
    fn get(&self, name: &str) -> Option<Value> {
        if let Some(value) = self.output(self.node, name) {
            return Some(value);
        }
        let own = &self.state.nodes[self.node.0];
        match name {
            "status" => return Some(Value::Text(status_word(own).to_owned())),
            "attempt" => return Some(Value::Int(i64::from(own.tries()))),
            "error" => return own.reason.clone().map(Value::Text),
            "outputs" => return Some(self.all_outputs()),
            "env" => return Some(text_map(&self.plan.values.environment)),
            "metadata" => return Some(json_map(&self.plan.values.metadata)),
            "inputs" | "variables" => return Some(json_map(&self.plan.values.variables)),
            _ => {}
        }
        let upstream = self.state.graph.upstream(self.plan, self.node);
        let mut found = upstream.iter().filter_map(|&node| self.output(node, name));
        if let Some(value) = found.next() {
            // Two of them would be a guess; the compiler refuses such a plan.
            return found.next().is_none().then_some(value);
        }
        if let Some(node) = self
            .plan
            .nodes
            .iter()
            .position(|node| same_name(&node.id, name))
        {
            return Some(self.node_map(NodeIndex(node)));
        }
        if let Some(value) = self.plan.values.variables.get(name) {
            return Some(from_json(value, None));
        }
        self.plan
            .values
            .environment
            .get(name)
            .map(|text| Value::Text(text.clone()))
    }
}

impl Names<'_> {
    fn output(&self, node: NodeIndex, name: &str) -> Option<Value> {
        let value = self.state.nodes.get(node.0)?.outputs.get(name)?;
        let unit = self
            .plan
            .node(node)
            .outputs
            .iter()
            .find(|output| output.name == name)
            .and_then(|output| output.unit);
        Some(from_json(value, unit))
    }

    /// `build.status`, `build.attempt`, and its outputs.
    fn node_map(&self, node: NodeIndex) -> Value {
        let Some(state) = self.state.nodes.get(node.0) else {
            return Value::Null;
        };
        let mut map: BTreeMap<String, Value> = state
            .outputs
            .keys()
            .filter_map(|name| Some((name.clone(), self.output(node, name)?)))
            .collect();
        map.entry("status".to_owned())
            .or_insert_with(|| Value::Text(status_word(state).to_owned()));
        map.entry("attempt".to_owned())
            .or_insert_with(|| Value::Int(i64::from(state.tries())));
        if let Some(reason) = &state.reason {
            map.entry("error".to_owned())
                .or_insert_with(|| Value::Text(reason.clone()));
        }
        Value::Map(map)
    }

    /// Nodes by id, and by id with `_` for what an identifier cannot have.
    fn all_outputs(&self) -> Value {
        let mut map = BTreeMap::new();
        for (index, node) in self.plan.nodes.iter().enumerate() {
            let value = self.node_map(NodeIndex(index));
            let alias = identifier(&node.id);
            if alias != node.id {
                map.insert(alias, value.clone());
            }
            map.insert(node.id.clone(), value);
        }
        Value::Map(map)
    }
}

fn same_name(id: &str, name: &str) -> bool {
    id == name || (id.len() == name.len() && identifier(id) == name)
}

fn identifier(id: &str) -> String {
    id.chars()
        .map(|letter| {
            if letter.is_alphanumeric() {
                letter
            } else {
                '_'
            }
        })
        .collect()
}

/// Statuses as an `.osoplog` writes them.
pub(super) fn status_word(state: &NodeState) -> &'static str {
    match state.life {
        Life::Done(End::Completed) => "COMPLETED",
        Life::Done(End::Failed | End::Cancelled) => "FAILED",
        Life::Done(End::TimedOut) => "TIMEOUT",
        Life::Done(End::Skipped) => "SKIPPED",
        Life::Done(End::Blocked) | Life::Stuck => "BLOCKED",
        Life::Pending | Life::Ready | Life::Waiting { .. } => "PENDING",
        _ => "RUNNING",
    }
}

fn text_map(values: &BTreeMap<String, String>) -> Value {
    Value::Map(
        values
            .iter()
            .map(|(name, text)| (name.clone(), Value::Text(text.clone())))
            .collect(),
    )
}

fn json_map(values: &BTreeMap<String, Json>) -> Value {
    Value::Map(
        values
            .iter()
            .map(|(name, value)| (name.clone(), from_json(value, None)))
            .collect(),
    )
}

/// JSON as an expression sees it; a number gets the declared unit.
fn from_json(value: &Json, unit: Option<Unit>) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), unit) {
            (Some(whole), None) => Value::Int(whole),
            _ => number.as_f64().map_or(Value::Null, |value| {
                Value::Float(value, unit.unwrap_or_default())
            }),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(|item| from_json(item, unit)).collect()),
        Json::Object(map) => Value::Map(
            map.iter()
                .map(|(name, value)| (name.clone(), from_json(value, None)))
                .collect(),
        ),
    }
}
