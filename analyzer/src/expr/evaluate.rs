//! Evaluation, bounded by fuel, in one of two readings.
//!
//! *Strict*: what is absent (unbound, null, a missing member or element, NaN, infinity, an empty `result`) is never
//! evidence: using it is [`EvaluationError::NoData`]. `false && absent` is false and `absent || true` is true, in either
//! order, as CEL defines for errors. *Argo*: expr-lang's reading, row for row of Argo Rollouts' `evaluate.go`: NaN
//! compares false both ways, an index out of range is an error, a quantifier over nothing is vacuous, left to right.

use std::cmp::Ordering;

use super::bounds::{Fuel, MAX_LIST};
use super::number::{self, Operand};
use super::tree::{Kind, Node, Op, Quantifier, Span};
use super::value::{Environment, Value};
use super::{EvaluationError, Syntax};

pub(super) type Evaluated<T> = Result<T, EvaluationError>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Strict,
    Argo,
}

/// A name bound by a quantifier or `let`; `label` says what it stands for in messages.
struct Binding {
    name: String,
    value: Value,
    label: Option<String>,
}

pub(super) struct Evaluator<'e> {
    env: &'e dyn Environment,
    source: &'e str,
    syntax: Syntax,
    pub(super) mode: Mode,
    fuel: Fuel,
    bindings: Vec<Binding>,
}

impl<'e> Evaluator<'e> {
    pub(super) fn new(
        source: &'e str,
        syntax: Syntax,
        mode: Mode,
        env: &'e dyn Environment,
    ) -> Self {
        Self {
            env,
            source,
            syntax,
            mode,
            fuel: Fuel::full(),
            bindings: Vec::new(),
        }
    }

    pub(super) fn is_expr(&self) -> bool {
        self.syntax == Syntax::Expr
    }

    /// The source of a node; in a quantifier, with the element named by its place (`result[2]`).
    pub(super) fn describe(&self, node: &Node) -> String {
        match &node.kind {
            Kind::Variable(name) => {
                let binding = self
                    .bindings
                    .iter()
                    .rev()
                    .find(|binding| binding.name == *name);
                binding
                    .and_then(|binding| binding.label.clone())
                    .unwrap_or_else(|| name.clone())
            }
            Kind::Member { target, name } if target.is_path() => {
                format!("{}.{name}", self.describe(target))
            }
            _ => self.source.get(node.span.clone()).unwrap_or("").to_owned(),
        }
    }

    pub(super) fn no_data<T>(&self, node: &Node, reason: &str) -> Evaluated<T> {
        let (what, reason) = (self.describe(node), reason.to_owned());
        Err(EvaluationError::NoData {
            what,
            reason,
            span: node.span.clone(),
        })
    }

    pub(super) fn wrong<T>(span: &Span, message: String) -> Evaluated<T> {
        Err(EvaluationError::Wrong {
            message,
            span: span.clone(),
        })
    }

    pub(super) fn spend(&mut self, steps: u32, span: &Span) -> Evaluated<()> {
        if self.fuel.spend(steps) {
            Ok(())
        } else {
            Err(EvaluationError::TooMuchWork { span: span.clone() })
        }
    }

    pub(super) fn bounded(&self, length: usize, span: &Span) -> Evaluated<()> {
        if length > MAX_LIST {
            Err(EvaluationError::TooMuchWork { span: span.clone() })
        } else {
            Ok(())
        }
    }

    /// Evaluates `body` with a name bound.
    pub(super) fn with<T>(
        &mut self,
        name: &str,
        value: Value,
        label: Option<String>,
        body: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.bindings.push(Binding {
            name: name.to_owned(),
            value,
            label,
        });
        let result = body(self);
        self.bindings.pop();
        result
    }

    pub(super) fn value(&mut self, node: &Node) -> Evaluated<Value> {
        self.spend(1, &node.span)?;
        match &node.kind {
            Kind::Literal(value) => Ok(value.clone()),
            Kind::Name(name) => {
                let value = self.env.get(name).unwrap_or(Value::Null);
                self.spend(value.weight(), &node.span)?;
                Ok(value)
            }
            Kind::Variable(name) => {
                let binding = self
                    .bindings
                    .iter()
                    .rev()
                    .find(|binding| binding.name == *name);
                let value = binding.map_or(Value::Null, |binding| binding.value.clone());
                self.spend(value.weight(), &node.span)?;
                Ok(value)
            }
            Kind::Member { target, name } => self.member(node, target, name),
            Kind::Index { target, index } => self.index(node, target, index),
            Kind::Slice { target, from, to } => {
                self.slice(node, target, from.as_deref(), to.as_deref())
            }
            Kind::Not(inner) => Ok(Value::Bool(!self.truth(inner)?)),
            Kind::Negate(inner) => match self.number(inner)? {
                Value::Int(value) => match value.checked_neg() {
                    Some(value) => Ok(Value::Int(value)),
                    None => Self::wrong(
                        &node.span,
                        "the result is too large for a whole number".to_owned(),
                    ),
                },
                Value::Float(value, unit) => Ok(Value::Float(-value, unit)),
                other => Ok(other),
            },
            Kind::Binary { op, left, right } => self.binary(node, *op, left, right),
            Kind::Coalesce { left, right } => self.or_else(left, right),
            Kind::Conditional {
                test,
                then,
                otherwise,
            } => {
                if self.truth(test)? {
                    self.value(then)
                } else {
                    self.value(otherwise)
                }
            }
            Kind::Has(path) => Ok(Value::Bool(!matches!(
                self.value(path),
                Ok(Value::Null) | Err(_)
            ))),
            Kind::Call {
                function,
                arguments,
            } => self.call(node, *function, arguments),
            Kind::Over {
                quantifier,
                list,
                variable,
                body,
            } => self.over(node, *quantifier, list, variable, body),
            Kind::Let { name, value, body } => {
                let label = value.is_path().then(|| self.describe(value));
                let value = self.value(value)?;
                self.with(name, value, label, |this| this.value(body))
            }
            Kind::List(items) => {
                let values: Evaluated<Vec<_>> = items.iter().map(|item| self.value(item)).collect();
                Ok(Value::List(values?))
            }
            Kind::Map(entries) => {
                let mut map = std::collections::BTreeMap::new();
                for (key, value) in entries {
                    let Value::Text(name) = self.value(key)? else {
                        return Self::wrong(&key.span, "the key of a map must be text".to_owned());
                    };
                    map.insert(name, self.value(value)?);
                }
                Ok(Value::Map(map))
            }
        }
    }

    /// The value of a node that may be absent, and what to take then.
    pub(super) fn or_else(&mut self, node: &Node, fallback: &Node) -> Evaluated<Value> {
        match self.value(node) {
            Ok(Value::Null) => self.value(fallback),
            Err(EvaluationError::NoData { .. }) if self.mode == Mode::Strict => {
                self.value(fallback)
            }
            other => other,
        }
    }

    pub(super) fn truth(&mut self, node: &Node) -> Evaluated<bool> {
        match self.value(node)? {
            Value::Bool(value) => Ok(value),
            Value::Null if self.mode == Mode::Strict => self.no_data(node, "has no value"),
            other => {
                let message = format!(
                    "`{}` is {}, where true or false is needed",
                    self.describe(node),
                    other.kind()
                );
                Self::wrong(&node.span, message)
            }
        }
    }

    /// The value of a node, which must be there.
    pub(super) fn present(&mut self, node: &Node) -> Evaluated<Value> {
        match self.value(node)? {
            Value::Null if self.mode == Mode::Strict => self.no_data(node, "has no value"),
            other => Ok(other),
        }
    }

    pub(super) fn number(&mut self, node: &Node) -> Evaluated<Value> {
        match self.present(node)? {
            value @ (Value::Int(_) | Value::Float(..)) => Ok(value),
            other => {
                let message = format!(
                    "`{}` is {}, where a number is needed",
                    self.describe(node),
                    other.kind()
                );
                Self::wrong(&node.span, message)
            }
        }
    }

    fn binary(&mut self, node: &Node, op: Op, left: &Node, right: &Node) -> Evaluated<Value> {
        match op {
            Op::And | Op::Or => self.logic(op, left, right).map(Value::Bool),
            Op::Equal | Op::NotEqual => {
                let same = if left.is_null() || right.is_null() {
                    self.value(left)? == self.value(right)?
                } else {
                    let (a, b) = (self.present(left)?, self.present(right)?);
                    self.equal((left, &a), (right, &b))?
                };
                Ok(Value::Bool(same == (op == Op::Equal)))
            }
            Op::Less | Op::LessOrEqual | Op::Greater | Op::GreaterOrEqual => {
                let (a, b) = (self.present(left)?, self.present(right)?);
                let order = self.order((left, &a), (right, &b))?;
                Ok(Value::Bool(order.is_some_and(|order| match op {
                    Op::Less => order == Ordering::Less,
                    Op::LessOrEqual => order != Ordering::Greater,
                    Op::Greater => order == Ordering::Greater,
                    _ => order != Ordering::Less,
                })))
            }
            Op::In => self.contains(right, left).map(Value::Bool),
            Op::NotIn => Ok(Value::Bool(!self.contains(right, left)?)),
            Op::Contains => self.contains(left, right).map(Value::Bool),
            Op::StartsWith | Op::EndsWith | Op::Matches => {
                self.text_test(op, left, right).map(Value::Bool)
            }
            Op::Range => self.range(node, left, right),
            Op::Add | Op::Subtract | Op::Multiply | Op::Divide | Op::Modulo | Op::Power => {
                self.arithmetic(node, op, left, right)
            }
        }
    }

    fn logic(&mut self, op: Op, left: &Node, right: &Node) -> Evaluated<bool> {
        let decisive = op == Op::Or;
        match self.truth(left) {
            Ok(value) if value == decisive => Ok(decisive),
            Ok(_) => self.truth(right),
            Err(error)
                if self.mode == Mode::Argo
                    || matches!(error, EvaluationError::TooMuchWork { .. }) =>
            {
                Err(error)
            }
            Err(error) => match self.truth(right) {
                Ok(value) if value == decisive => Ok(decisive),
                Err(more @ EvaluationError::TooMuchWork { .. }) => Err(more),
                _ => Err(error),
            },
        }
    }

    /// Two numbers in one unit; absent evidence is refused in the strict reading.
    fn aligned(
        &self,
        left: (&Node, &Value),
        right: (&Node, &Value),
    ) -> Evaluated<Option<(f64, f64)>> {
        let (Some(a), Some(b)) = (left.1.quantity(), right.1.quantity()) else {
            return Ok(None);
        };
        if self.mode == Mode::Strict {
            for (node, quantity) in [(left.0, a), (right.0, b)] {
                if !quantity.value.is_finite() {
                    return self.no_data(
                        node,
                        &format!("is {}", crate::unit::number(quantity.value, 3)),
                    );
                }
            }
        }
        let left_operand = Operand {
            value: a.value,
            unit: a.unit,
            constant: left.0.is_constant(),
        };
        let right_operand = Operand {
            value: b.value,
            unit: b.unit,
            constant: right.0.is_constant(),
        };
        match number::align(left_operand, right_operand) {
            Ok(pair) => Ok(Some(pair)),
            Err(misfit) => {
                let (message, hint) =
                    misfit.explain(&self.describe(left.0), &self.describe(right.0));
                Self::wrong(&left.0.span, format!("{message}; {hint}"))
            }
        }
    }

    fn order(&self, left: (&Node, &Value), right: (&Node, &Value)) -> Evaluated<Option<Ordering>> {
        match (left.1, right.1) {
            (Value::Int(a), Value::Int(b)) => return Ok(Some(a.cmp(b))),
            (Value::Text(a), Value::Text(b)) => return Ok(Some(a.cmp(b))),
            _ => {}
        }
        match self.aligned(left, right)? {
            Some((a, b)) => Ok(a.partial_cmp(&b)),
            None => Self::wrong(
                &(left.0.span.start..right.0.span.end),
                format!(
                    "`{}` is {} and `{}` is {}: neither is more than the other",
                    self.describe(left.0),
                    left.1.kind(),
                    self.describe(right.0),
                    right.1.kind()
                ),
            ),
        }
    }

    pub(super) fn equal(&self, left: (&Node, &Value), right: (&Node, &Value)) -> Evaluated<bool> {
        match (left.1, right.1) {
            (Value::Int(a), Value::Int(b)) => Ok(a == b),
            (Value::List(a), Value::List(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (a, b) in a.iter().zip(b) {
                    if !self.equal((left.0, a), (right.0, b))? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            #[expect(
                clippy::float_cmp,
                reason = "equality of floats is what was asked for; compiling warns of it"
            )]
            (a, b) => Ok(self
                .aligned(left, right)?
                .map_or_else(|| a == b, |(a, b)| a == b)),
        }
    }

    /// The truth of `all`, `any`... and the lists that `filter` and `map` make.
    fn over(
        &mut self,
        node: &Node,
        quantifier: Quantifier,
        list: &Node,
        variable: &str,
        body: &Node,
    ) -> Evaluated<Value> {
        let items = self.items(list)?;
        let place = if list.is_path() {
            self.describe(list)
        } else {
            String::new()
        };
        let mut kept = Vec::new();
        let mut count: i64 = 0;
        let mut absent = None;
        for (index, item) in items.into_iter().enumerate() {
            let label = (!place.is_empty()).then(|| format!("{place}[{index}]"));
            if quantifier == Quantifier::Map {
                kept.push(self.with(variable, item, label, |this| this.value(body))?);
                continue;
            }
            self.spend(item.weight(), &node.span)?;
            let held = match self.with(variable, item.clone(), label, |this| this.truth(body)) {
                Ok(held) => held,
                // What is decided by another element is decided, as with `&&` and `||`.
                Err(error @ EvaluationError::NoData { .. })
                    if matches!(
                        quantifier,
                        Quantifier::All | Quantifier::Any | Quantifier::None
                    ) =>
                {
                    absent.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            match (quantifier, held) {
                (Quantifier::All | Quantifier::None, held)
                    if held == (quantifier == Quantifier::None) =>
                {
                    return Ok(Value::Bool(false));
                }
                (Quantifier::Any, true) => return Ok(Value::Bool(true)),
                (Quantifier::Find, true) => return Ok(item),
                (Quantifier::Filter, true) => kept.push(item),
                (_, held) => count += i64::from(held),
            }
        }
        if let Some(error) = absent {
            return Err(error);
        }
        Ok(match quantifier {
            Quantifier::All | Quantifier::None => Value::Bool(true),
            Quantifier::Any => Value::Bool(false),
            Quantifier::One => Value::Bool(count == 1),
            Quantifier::Count => Value::Int(count),
            Quantifier::Find => Value::Null,
            Quantifier::Filter | Quantifier::Map => Value::List(kept),
        })
    }

    /// The elements of a list, or the keys of a map in CEL. An empty `result` is a query that found nothing, which in
    /// the strict reading is no evidence; any other empty list is a fact.
    pub(super) fn items(&mut self, node: &Node) -> Evaluated<Vec<Value>> {
        let value = self.present(node)?;
        self.items_of(node, value)
    }

    pub(super) fn items_of(&self, node: &Node, value: Value) -> Evaluated<Vec<Value>> {
        let items = match value {
            Value::List(items) => items,
            Value::Map(entries) if self.syntax == Syntax::Cel => {
                entries.into_keys().map(Value::Text).collect()
            }
            other => {
                let message = format!(
                    "`{}` is {}, where a list is needed",
                    self.describe(node),
                    other.kind()
                );
                return Self::wrong(&node.span, message);
            }
        };
        if items.is_empty()
            && self.mode == Mode::Strict
            && node.is_path()
            && node.root() == Some("result")
        {
            return self.no_data(node, "is empty");
        }
        self.bounded(items.len(), &node.span)?;
        Ok(items)
    }
}
