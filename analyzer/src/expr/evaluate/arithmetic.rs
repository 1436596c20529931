//! Arithmetic, of whole numbers and of quantities.

use super::super::bounds::MAX_TEXT;
use super::super::number::{self, Operand};
use super::super::tree::{Node, Op};
use super::super::value::Value;
use super::{Evaluated, Evaluator, Mode};
use crate::unit::Quantity;

impl Evaluator<'_> {
    pub(in crate::expr) fn arithmetic(
        &mut self,
        node: &Node,
        op: Op,
        left: &Node,
        right: &Node,
    ) -> Evaluated<Value> {
        let (a, b) = (self.present(left)?, self.present(right)?);
        self.combined(node, op, (left, &a), (right, &b))
    }

    fn combined(
        &self,
        node: &Node,
        op: Op,
        (left, a): (&Node, &Value),
        (right, b): (&Node, &Value),
    ) -> Evaluated<Value> {
        match (op, a, b) {
            (Op::Add, Value::Text(a), Value::Text(b)) => {
                if a.len() + b.len() > MAX_TEXT {
                    return Self::bounded(usize::MAX, &node.span).map(|()| Value::Null);
                }
                return Ok(Value::Text(format!("{a}{b}")));
            }
            (Op::Add, Value::List(a), Value::List(b)) => {
                Self::bounded(a.len() + b.len(), &node.span)?;
                return Ok(Value::List([a.as_slice(), b.as_slice()].concat()));
            }
            (_, Value::Int(a), Value::Int(b)) => {
                if let Some(result) = self.whole(node, op, *a, *b) {
                    return result;
                }
            }
            (Op::Modulo, ..) => {
                return Self::wrong(&node.span, "`%` takes whole numbers".to_owned());
            }
            _ => {}
        }
        let (Some(x), Some(y)) = (a.quantity(), b.quantity()) else {
            let message = format!(
                "`{}` is {} and `{}` is {}: `{op}` does not take them",
                self.describe(left),
                a.kind(),
                self.describe(right),
                b.kind()
            );
            return Self::wrong(&node.span, message);
        };
        let operand = |node: &Node, quantity: Quantity| Operand {
            value: quantity.value,
            unit: quantity.unit,
            constant: node.is_constant(),
        };
        match number::arithmetic(op, operand(left, x), operand(right, y)) {
            Ok((value, unit)) => Ok(Value::Float(value, unit)),
            Err(misfit) => {
                let (message, hint) = misfit.explain(&self.describe(left), &self.describe(right));
                Self::wrong(&node.span, format!("{message}; {hint}"))
            }
        }
    }

    /// Arithmetic of whole numbers; `None` where the language makes floats of them.
    fn whole(&self, node: &Node, op: Op, a: i64, b: i64) -> Option<Evaluated<Value>> {
        let result = match op {
            Op::Add => a.checked_add(b),
            Op::Subtract => a.checked_sub(b),
            Op::Multiply => a.checked_mul(b),
            Op::Divide if self.is_expr() => return None,
            Op::Divide | Op::Modulo if b == 0 => {
                return Some(match (self.mode, op) {
                    (Mode::Strict, Op::Divide) => self.no_data(node, "divides by zero"),
                    _ => Self::wrong(&node.span, "divides by zero".to_owned()),
                });
            }
            Op::Divide => a.checked_div(b),
            Op::Modulo => a.checked_rem(b),
            _ => return None,
        };
        Some(match result {
            Some(value) => Ok(Value::Int(value)),
            None => Self::wrong(
                &node.span,
                "the result is too large for a whole number".to_owned(),
            ),
        })
    }
}
