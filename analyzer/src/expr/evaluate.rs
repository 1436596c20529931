//! Evaluation, bounded by fuel, in one of two readings.
//!
//! *Strict*: what is absent (unbound, null, a missing member or element, NaN, infinity, an empty `result`) is never
//! evidence: using it is [`EvaluationError::NoData`]. `false && absent` is false and `absent || true` is true, in either
//! order, as CEL defines for errors. *Argo*: expr-lang's reading, row for row of Argo Rollouts' `evaluate.go`: NaN
//! compares false both ways, an index out of range is an error, a quantifier over nothing is vacuous, left to right.

mod aggregate;
mod arithmetic;
mod compare;
mod lists;

use super::bounds::{Fuel, MAX_LIST};
use super::tree::{Kind, Node, Span};
use super::value::{Environment, Value};
use super::{EvaluationError, Syntax};

/// Errors are boxed, and operands are evaluated in small functions apart from the work on them: recursion passes through
/// here, and its frames must stay small.
pub(super) type Evaluated<T> = Result<T, Box<EvaluationError>>;

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
        Err(Box::new(EvaluationError::NoData {
            what,
            reason,
            span: node.span.clone(),
        }))
    }

    pub(super) fn wrong<T>(span: &Span, message: String) -> Evaluated<T> {
        Err(Box::new(EvaluationError::Wrong {
            message,
            span: span.clone(),
        }))
    }

    pub(super) fn spend(&mut self, steps: u32, span: &Span) -> Evaluated<()> {
        if self.fuel.spend(steps) {
            Ok(())
        } else {
            Err(Box::new(EvaluationError::TooMuchWork {
                span: span.clone(),
            }))
        }
    }

    pub(super) fn bounded(length: usize, span: &Span) -> Evaluated<()> {
        if length > MAX_LIST {
            Err(Box::new(EvaluationError::TooMuchWork {
                span: span.clone(),
            }))
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
            Kind::Literal(value) => self.literal(node, value),
            Kind::Name(name) => self.root(node, name),
            Kind::Variable(name) => self.bound(node, name),
            Kind::Member { target, name } => self.member(node, target, name),
            Kind::Index { target, index } => self.index(node, target, index),
            Kind::Slice { target, from, to } => {
                self.slice(node, target, from.as_deref(), to.as_deref())
            }
            Kind::Not(inner) => Ok(Value::Bool(!self.truth(inner)?)),
            Kind::Negate(inner) => self.negated(inner),
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
            Kind::Has(path) => Ok(Value::Bool(self.is_there(path))),
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
            Kind::Let { name, value, body } => self.with_let(name, value, body),
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
        }
    }

    fn literal(&mut self, node: &Node, value: &Value) -> Evaluated<Value> {
        self.spend(value.weight() - 1, &node.span)?;
        Ok(value.clone())
    }

    fn root(&mut self, node: &Node, name: &str) -> Evaluated<Value> {
        let value = self.env.get(name).unwrap_or(Value::Null);
        self.spend(value.weight(), &node.span)?;
        Ok(value)
    }

    fn bound(&mut self, node: &Node, name: &str) -> Evaluated<Value> {
        let binding = self
            .bindings
            .iter()
            .rev()
            .find(|binding| binding.name == name);
        let value = binding.map_or(Value::Null, |binding| binding.value.clone());
        self.spend(value.weight(), &node.span)?;
        Ok(value)
    }

    fn negated(&mut self, node: &Node) -> Evaluated<Value> {
        let value = self.number(node)?;
        Ok(match value {
            Value::Int(i64::MIN) => {
                return Self::wrong(
                    &node.span,
                    "the result is too large for a whole number".to_owned(),
                );
            }
            Value::Int(value) => Value::Int(-value),
            Value::Float(value, unit) => Value::Float(-value, unit),
            other => other,
        })
    }

    fn is_there(&mut self, path: &Node) -> bool {
        !matches!(self.value(path), Ok(Value::Null) | Err(_))
    }

    fn with_let(&mut self, name: &str, value: &Node, body: &Node) -> Evaluated<Value> {
        let label = value.is_path().then(|| self.describe(value));
        let value = self.value(value)?;
        self.with(name, value, label, |this| this.value(body))
    }

    fn list(&mut self, items: &[Node]) -> Evaluated<Value> {
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            values.push(self.value(item)?);
        }
        Ok(Value::List(values))
    }

    fn map(&mut self, entries: &[(Node, Node)]) -> Evaluated<Value> {
        let mut map = std::collections::BTreeMap::new();
        for (key, value) in entries {
            let Value::Text(name) = self.value(key)? else {
                return Self::wrong(&key.span, "the key of a map must be text".to_owned());
            };
            map.insert(name, self.value(value)?);
        }
        Ok(Value::Map(map))
    }

    /// The value of a node that may be absent, and what to take then.
    pub(super) fn or_else(&mut self, node: &Node, fallback: &Node) -> Evaluated<Value> {
        match self.value(node) {
            Ok(Value::Null) => self.value(fallback),
            Err(error) if self.mode == Mode::Strict && error.is_no_data() => self.value(fallback),
            other => other,
        }
    }

    pub(super) fn truth(&mut self, node: &Node) -> Evaluated<bool> {
        let value = self.value(node)?;
        if let Value::Bool(value) = value {
            Ok(value)
        } else {
            self.unfit(node, &value, "true or false is needed")
        }
    }

    /// The value of a node, which must be there.
    pub(super) fn present(&mut self, node: &Node) -> Evaluated<Value> {
        let value = self.value(node)?;
        if value == Value::Null && self.mode == Mode::Strict {
            self.no_data(node, "has no value")
        } else {
            Ok(value)
        }
    }

    pub(super) fn number(&mut self, node: &Node) -> Evaluated<Value> {
        let value = self.value(node)?;
        if value.quantity().is_some() {
            Ok(value)
        } else {
            self.unfit(node, &value, "a number is needed")
        }
    }

    /// Absent data, or data of another type than `needed`.
    pub(super) fn unfit<T>(&self, node: &Node, value: &Value, needed: &str) -> Evaluated<T> {
        if *value == Value::Null && self.mode == Mode::Strict {
            return self.no_data(node, "has no value");
        }
        let message = format!(
            "`{}` is {}, where {needed}",
            self.describe(node),
            value.kind()
        );
        Self::wrong(&node.span, message)
    }
}
