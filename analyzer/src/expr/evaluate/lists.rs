//! Quantifiers, ranges and slices.

use super::super::functions::position;
use super::super::tree::{Node, Quantifier};
use super::super::value::Value;
use super::{Evaluated, Evaluator, Mode, Syntax};

impl Evaluator<'_> {
    /// The truth of `all`, `any`... and the lists that `filter` and `map` make.
    pub(in crate::expr) fn over(
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
                Err(error)
                    if error.is_no_data()
                        && matches!(
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
    pub(in crate::expr) fn items(&mut self, node: &Node) -> Evaluated<Vec<Value>> {
        let value = self.present(node)?;
        self.items_of(node, value)
    }

    pub(in crate::expr) fn items_of(&self, node: &Node, value: Value) -> Evaluated<Vec<Value>> {
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
        Self::bounded(items.len(), &node.span)?;
        Ok(items)
    }

    pub(in crate::expr) fn slice(
        &mut self,
        node: &Node,
        target: &Node,
        from: Option<&Node>,
        to: Option<&Node>,
    ) -> Evaluated<Value> {
        let items = self.items(target)?;
        let mut ends = [0, items.len()];
        for (end, bound) in ends.iter_mut().zip([from, to]) {
            let Some(bound) = bound else { continue };
            let Value::Int(at) = self.number(bound)? else {
                return Self::wrong(
                    &node.span,
                    "the ends of a slice are whole numbers".to_owned(),
                );
            };
            *end = if at < 0 {
                position(at, items.len()).unwrap_or(0)
            } else {
                usize::try_from(at).unwrap_or(usize::MAX)
            };
        }
        let end = ends[1].min(items.len());
        Ok(Value::List(
            items.get(ends[0].min(end)..end).unwrap_or(&[]).to_vec(),
        ))
    }

    pub(in crate::expr) fn range(
        &mut self,
        node: &Node,
        left: &Node,
        right: &Node,
    ) -> Evaluated<Value> {
        let (Value::Int(from), Value::Int(to)) = (self.number(left)?, self.number(right)?) else {
            return Self::wrong(
                &node.span,
                "the ends of a range are whole numbers".to_owned(),
            );
        };
        let length =
            usize::try_from(to.saturating_sub(from).saturating_add(1).max(0)).unwrap_or(usize::MAX);
        Self::bounded(length, &node.span)?;
        self.spend(u32::try_from(length).unwrap_or(u32::MAX), &node.span)?;
        Ok(Value::List((from..=to).map(Value::Int).collect()))
    }
}
