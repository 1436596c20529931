//! Comparisons and `&&`, `||`.

use std::cmp::Ordering;

use super::super::bounds::PATTERN_STEPS;
use super::super::functions::pattern;
use super::super::number::{self, Operand};
use super::super::tree::{Node, Op};
use super::super::value::Value;
use super::{Evaluated, Evaluator, Mode};

impl Evaluator<'_> {
    pub(in crate::expr) fn binary(
        &mut self,
        node: &Node,
        op: Op,
        left: &Node,
        right: &Node,
    ) -> Evaluated<Value> {
        match op {
            Op::And | Op::Or => self.logic(op, left, right).map(Value::Bool),
            Op::Equal | Op::NotEqual => self.equality(op, left, right).map(Value::Bool),
            Op::Less | Op::LessOrEqual | Op::Greater | Op::GreaterOrEqual => {
                self.ordering(op, left, right).map(Value::Bool)
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

    fn equality(&mut self, op: Op, left: &Node, right: &Node) -> Evaluated<bool> {
        let (a, b) = if left.is_null() || right.is_null() {
            (self.value(left)?, self.value(right)?)
        } else {
            (self.present(left)?, self.present(right)?)
        };
        Ok(self.equal((left, &a), (right, &b))? == (op == Op::Equal))
    }

    fn ordering(&mut self, op: Op, left: &Node, right: &Node) -> Evaluated<bool> {
        let (a, b) = (self.present(left)?, self.present(right)?);
        let order = self.order((left, &a), (right, &b))?;
        Ok(order.is_some_and(|order| match op {
            Op::Less => order == Ordering::Less,
            Op::LessOrEqual => order != Ordering::Greater,
            Op::Greater => order == Ordering::Greater,
            _ => order != Ordering::Less,
        }))
    }

    pub(in crate::expr) fn logic(&mut self, op: Op, left: &Node, right: &Node) -> Evaluated<bool> {
        let decisive = op == Op::Or;
        match self.truth(left) {
            Ok(value) if value == decisive => Ok(decisive),
            Ok(_) => self.truth(right),
            Err(error) if self.mode == Mode::Argo || error.is_too_much() => Err(error),
            Err(error) => match self.truth(right) {
                Ok(value) if value == decisive => Ok(decisive),
                Err(more) if more.is_too_much() => Err(more),
                _ => Err(error),
            },
        }
    }

    /// Two numbers in one unit; absent evidence is refused in the strict reading.
    pub(in crate::expr) fn aligned(
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

    pub(in crate::expr) fn order(
        &self,
        left: (&Node, &Value),
        right: (&Node, &Value),
    ) -> Evaluated<Option<Ordering>> {
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

    pub(in crate::expr) fn equal(
        &self,
        left: (&Node, &Value),
        right: (&Node, &Value),
    ) -> Evaluated<bool> {
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

    pub(in crate::expr) fn contains(&mut self, container: &Node, part: &Node) -> Evaluated<bool> {
        let holder = self.present(container)?;
        let wanted = self.present(part)?;
        self.holds((container, holder), (part, &wanted))
    }

    fn holds(
        &self,
        (container, holder): (&Node, Value),
        (part, wanted): (&Node, &Value),
    ) -> Evaluated<bool> {
        match (holder, wanted) {
            (Value::Text(text), Value::Text(part)) => Ok(text.contains(part.as_str())),
            (Value::Map(entries), Value::Text(name)) => Ok(entries.contains_key(name)),
            (holder @ Value::List(_), _) => {
                let items = self.items_of(container, holder)?;
                for item in &items {
                    if item.kind() == wanted.kind()
                        && self.equal((container, item), (part, wanted))?
                    {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            (holder, _) => {
                let message = format!(
                    "`{}` is {} and cannot contain {}",
                    self.describe(container),
                    holder.kind(),
                    wanted.kind()
                );
                Self::wrong(&container.span, message)
            }
        }
    }

    pub(in crate::expr) fn text_test(
        &mut self,
        op: Op,
        left: &Node,
        right: &Node,
    ) -> Evaluated<bool> {
        let (text, part) = (self.text(left)?, self.text(right)?);
        self.text_holds(op, &text, right, &part)
    }

    fn text_holds(
        &mut self,
        op: Op,
        text: &str,
        pattern_node: &Node,
        part: &str,
    ) -> Evaluated<bool> {
        Ok(match op {
            Op::StartsWith => text.starts_with(part),
            Op::EndsWith => text.ends_with(part),
            _ => {
                self.spend(PATTERN_STEPS, &pattern_node.span)?;
                match pattern(part) {
                    Ok(pattern) => pattern.is_match(text),
                    Err(message) => return Self::wrong(&pattern_node.span, message),
                }
            }
        })
    }

    pub(in crate::expr) fn text(&mut self, node: &Node) -> Evaluated<String> {
        let value = self.value(node)?;
        if let Value::Text(text) = value {
            Ok(text)
        } else {
            self.unfit(node, &value, "text is needed")
        }
    }
}
