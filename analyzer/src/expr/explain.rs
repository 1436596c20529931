//! Why a condition is what it is: the parts that decided, with the values in them.

use super::evaluate::{Evaluator, Mode};
use super::tree::{Kind, Node, Op, Quantifier};
use super::value::{Environment, Value};
use super::{EvaluationError, Syntax};
use crate::unit::{Quantity, Unit};

/// At most so many parts are told.
const MOST: usize = 6;

pub(super) fn explain(
    root: &Node,
    source: &str,
    syntax: Syntax,
    mode: Mode,
    env: &dyn Environment,
) -> String {
    let mut teller = Evaluator::new(source, syntax, mode, env);
    match teller.truth(root) {
        Ok(truth) => {
            let mut parts = Vec::new();
            teller.tell(root, truth, true, &mut parts);
            parts.dedup();
            let more = parts.len().saturating_sub(MOST);
            parts.truncate(MOST);
            let told = parts.join("; ");
            if more > 0 {
                format!("{told}; and {more} more")
            } else {
                told
            }
        }
        Err(error) => match *error {
            EvaluationError::NoData { what, reason, .. } => {
                format!("inconclusive: {what} {reason}")
            }
            error => format!("cannot be evaluated: {error}"),
        },
    }
}

impl Evaluator<'_> {
    /// Tells the parts of a node, which is `truth`, that made it so; `wanted` is what it should be for the whole to be true.
    fn tell(&mut self, node: &Node, truth: bool, wanted: bool, parts: &mut Vec<String>) {
        if parts.len() > MOST * 4 {
            return;
        }
        match &node.kind {
            Kind::Not(inner) => self.tell(inner, !truth, !wanted, parts),
            Kind::Binary {
                op: op @ (Op::And | Op::Or),
                left,
                right,
            } => {
                // The side that decides alone is told alone.
                let decisive = (*op == Op::Or) == truth;
                for side in [left, right] {
                    match self.truth(side) {
                        Ok(value) if value == truth => {
                            self.tell(side, value, wanted, parts);
                            if decisive && *op == Op::Or {
                                return;
                            }
                        }
                        _ => {}
                    }
                }
            }
            Kind::Binary { op, left, right } if op.is_comparison() => {
                let part = self.comparison(*op, left, right, truth, wanted);
                parts.push(part);
            }
            Kind::Conditional {
                test,
                then,
                otherwise,
            } => match self.truth(test) {
                Ok(chosen) => {
                    self.tell(if chosen { then } else { otherwise }, truth, wanted, parts);
                }
                Err(_) => parts.push(self.plain(node, truth, wanted)),
            },
            Kind::Let { name, value, body } => {
                let label = self.describe(value);
                if let Ok(value) = self.value(value) {
                    self.with(name, value, Some(label), |this| {
                        this.tell(body, truth, wanted, parts);
                    });
                }
            }
            Kind::Over {
                quantifier,
                list,
                variable,
                body,
            } => {
                if !self.element(*quantifier, (list, variable, body), truth, wanted, parts) {
                    parts.push(self.plain(node, truth, wanted));
                }
            }
            _ => parts.push(self.plain(node, truth, wanted)),
        }
    }

    /// The element that decided a quantifier, if one did.
    fn element(
        &mut self,
        quantifier: Quantifier,
        (list, variable, body): (&Node, &str, &Node),
        truth: bool,
        wanted: bool,
        parts: &mut Vec<String>,
    ) -> bool {
        let decided = match quantifier {
            Quantifier::All | Quantifier::None => !truth,
            Quantifier::Any => truth,
            _ => return false,
        };
        let held = quantifier != Quantifier::All;
        let Ok(items) = self.items(list) else {
            return false;
        };
        if !decided {
            return false;
        }
        let place = self.describe(list);
        for (index, item) in items.into_iter().enumerate() {
            let label = Some(format!("{place}[{index}]"));
            let told = self.with(variable, item, label, |this| {
                let found = this.truth(body) == Ok(held);
                if found {
                    this.tell(
                        body,
                        held,
                        if quantifier == Quantifier::None {
                            !wanted
                        } else {
                            wanted
                        },
                        parts,
                    );
                }
                found
            });
            if told {
                return true;
            }
        }
        false
    }

    /// `name is 3.4 %, and must be < 1 %`.
    fn comparison(
        &mut self,
        op: Op,
        left: &Node,
        right: &Node,
        truth: bool,
        wanted: bool,
    ) -> String {
        let (left, right, op) = if left.is_constant() && !right.is_constant() {
            (right, left, op.mirrored())
        } else {
            (left, right, op)
        };
        let name = self.describe(left);
        let (Ok(a), Ok(b)) = (self.value(left), self.value(right)) else {
            return name;
        };
        let (value, limit) = beside(&a, &b);
        let limit = if right.is_constant() {
            limit
        } else {
            format!("{} ({limit})", self.describe(right))
        };
        if truth == wanted {
            format!("{name} is {value} ({op} {limit})")
        } else if wanted {
            format!("{name} is {value}, and must be {op} {limit}")
        } else {
            format!("{name} is {value}, and must not be {op} {limit}")
        }
    }

    /// A part that is no comparison: a name, a function, a test of text.
    fn plain(&mut self, node: &Node, truth: bool, wanted: bool) -> String {
        let text = self.describe(node);
        let mut values = Vec::new();
        self.values_in(node, &text, &mut values);
        values.dedup();
        let with = if values.is_empty() {
            String::new()
        } else {
            format!(" ({})", values.join(", "))
        };
        let must = if truth == wanted {
            String::new()
        } else {
            format!(", and must be {wanted}")
        };
        format!("{text} is {truth}{with}{must}")
    }

    /// The paths in a part, with their values.
    fn values_in(&mut self, node: &Node, whole: &str, found: &mut Vec<String>) {
        if !node.is_path() {
            node.children()
                .into_iter()
                .for_each(|child| self.values_in(child, whole, found));
            return;
        }
        let name = self.describe(node);
        if name != whole
            && found.len() < MOST
            && let Ok(value) = self.value(node)
        {
            found.push(format!("{name} is {value}"));
        }
    }
}

/// Two values as they are compared: in one unit, and with enough digits to tell them apart.
fn beside(a: &Value, b: &Value) -> (String, String) {
    let (mut left, mut right) = (a.clone(), b.clone());
    if let (Some(x), Some(y)) = (a.quantity(), b.quantity()) {
        let unit = match (x.unit, y.unit) {
            (Unit::None, Unit::Percent) => Unit::Ratio,
            (Unit::None, unit) => unit.base(),
            (unit, _) => unit,
        };
        if x.unit == Unit::None && y.unit != Unit::None {
            left = Quantity::new(x.value, unit).into();
        }
        if y.unit == Unit::None && x.unit != Unit::None {
            right = Quantity::new(y.value, unit).into();
        }
    }
    for digits in [4, 8, 17] {
        let pair = (left.human(digits), right.human(digits));
        if pair.0 != pair.1 || left == right {
            return pair;
        }
    }
    (left.human(17), right.human(17))
}
