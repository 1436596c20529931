//! Members, arithmetic and the functions of both languages.

use super::bounds::{MAX_PATTERN, MAX_TEXT, PATTERN_STEPS};
use super::evaluate::{Evaluated, Evaluator, Mode};
use super::number;
use super::tree::{Function, Node, Op};
use super::value::Value;
use crate::duration;
use crate::unit::{Quantity, Unit};

/// Compiles a pattern as conditions may use it: linear time, bounded size.
pub(super) fn pattern(text: &str) -> Result<regex::Regex, String> {
    regex::RegexBuilder::new(text)
        .size_limit(MAX_PATTERN)
        .nest_limit(50)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "the pattern is too large".to_owned(),
            _ => "the pattern is not a regular expression (RE2 syntax)".to_owned(),
        })
}

impl Evaluator<'_> {
    pub(super) fn member(&mut self, node: &Node, target: &Node, name: &str) -> Evaluated<Value> {
        Ok(match self.value(target)? {
            Value::Map(entries) => Value::entry(&entries, name).cloned().unwrap_or(Value::Null),
            Value::Null => Value::Null,
            Value::List(items) if name == "length" => length(items.len()),
            Value::Text(text) if name == "length" => length(text.chars().count()),
            other => {
                let message = format!(
                    "`{}` is {} and has no `.{name}`",
                    self.describe(target),
                    other.kind()
                );
                return Self::wrong(&node.span, message);
            }
        })
    }

    pub(super) fn index(&mut self, node: &Node, target: &Node, index: &Node) -> Evaluated<Value> {
        let container = self.value(target)?;
        let key = self.present(index)?;
        match (container, key) {
            (Value::Map(entries), Value::Text(name)) => Ok(Value::entry(&entries, &name)
                .cloned()
                .unwrap_or(Value::Null)),
            (Value::Null, _) => Ok(Value::Null),
            (Value::List(items), Value::Int(at)) => {
                let place = position(at, items.len());
                match place.and_then(|place| items.get(place)) {
                    Some(item) => Ok(item.clone()),
                    None if self.mode == Mode::Strict => self.no_data(node, "has no value"),
                    None => Self::wrong(
                        &node.span,
                        format!(
                            "`{}` is out of range: the list has {} element(s)",
                            self.describe(node),
                            items.len()
                        ),
                    ),
                }
            }
            (container, key) => Self::wrong(
                &node.span,
                format!(
                    "`{}` is {} and has no element by {}",
                    self.describe(target),
                    container.kind(),
                    key.kind()
                ),
            ),
        }
    }

    pub(super) fn slice(
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

    pub(super) fn range(&mut self, node: &Node, left: &Node, right: &Node) -> Evaluated<Value> {
        let (Value::Int(from), Value::Int(to)) = (self.number(left)?, self.number(right)?) else {
            return Self::wrong(
                &node.span,
                "the ends of a range are whole numbers".to_owned(),
            );
        };
        let length =
            usize::try_from(to.saturating_sub(from).saturating_add(1).max(0)).unwrap_or(usize::MAX);
        self.bounded(length, &node.span)?;
        self.spend(u32::try_from(length).unwrap_or(u32::MAX), &node.span)?;
        Ok(Value::List((from..=to).map(Value::Int).collect()))
    }

    pub(super) fn arithmetic(
        &mut self,
        node: &Node,
        op: Op,
        left: &Node,
        right: &Node,
    ) -> Evaluated<Value> {
        let (a, b) = (self.present(left)?, self.present(right)?);
        match (op, &a, &b) {
            (Op::Add, Value::Text(a), Value::Text(b)) => {
                if a.len() + b.len() > MAX_TEXT {
                    return self.bounded(usize::MAX, &node.span).map(|()| Value::Null);
                }
                return Ok(Value::Text(format!("{a}{b}")));
            }
            (Op::Add, Value::List(a), Value::List(b)) => {
                self.bounded(a.len() + b.len(), &node.span)?;
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
        match number::arithmetic(op, (x.value, x.unit), (y.value, y.unit)) {
            Ok((value, unit)) => Ok(Value::Float(value, unit)),
            Err(misfit) => {
                let (message, hint) = misfit.explain(&self.describe(left), &self.describe(right));
                Self::wrong(&node.span, format!("{message}; {hint}"))
            }
        }
    }

    /// Arithmetic of whole numbers; `None` where the language makes floats of them.
    fn whole(&mut self, node: &Node, op: Op, a: i64, b: i64) -> Option<Evaluated<Value>> {
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

    pub(super) fn contains(&mut self, container: &Node, part: &Node) -> Evaluated<bool> {
        let holder = self.present(container)?;
        let wanted = self.present(part)?;
        match (holder, &wanted) {
            (Value::Text(text), Value::Text(part)) => Ok(text.contains(part.as_str())),
            (Value::Map(entries), Value::Text(name)) => Ok(entries.contains_key(name)),
            (holder @ Value::List(_), _) => {
                let items = self.items_of(container, holder)?;
                for item in &items {
                    if item.kind() == wanted.kind()
                        && self.equal((container, item), (part, &wanted))?
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

    pub(super) fn text_test(&mut self, op: Op, left: &Node, right: &Node) -> Evaluated<bool> {
        let (text, part) = (self.text(left)?, self.text(right)?);
        Ok(match op {
            Op::StartsWith => text.starts_with(&part),
            Op::EndsWith => text.ends_with(&part),
            _ => {
                self.spend(PATTERN_STEPS, &right.span)?;
                match pattern(&part) {
                    Ok(pattern) => pattern.is_match(&text),
                    Err(message) => return Self::wrong(&right.span, message),
                }
            }
        })
    }

    fn text(&mut self, node: &Node) -> Evaluated<String> {
        match self.present(node)? {
            Value::Text(text) => Ok(text),
            other => {
                let message = format!(
                    "`{}` is {}, where text is needed",
                    self.describe(node),
                    other.kind()
                );
                Self::wrong(&node.span, message)
            }
        }
    }

    fn float(&mut self, node: &Node) -> Evaluated<Quantity> {
        let value = self.number(node)?;
        Ok(value
            .quantity()
            .unwrap_or(Quantity::new(f64::NAN, Unit::None)))
    }

    /// Calls a function; the number of arguments was checked by the parser.
    pub(super) fn call(
        &mut self,
        node: &Node,
        function: Function,
        arguments: &[Node],
    ) -> Evaluated<Value> {
        let Some(first) = arguments.first() else {
            return Ok(Value::Null);
        };
        let second = arguments.get(1).unwrap_or(first);
        match function {
            Function::Size => match self.present(first)? {
                Value::List(items) => Ok(length(items.len())),
                Value::Map(entries) => Ok(length(entries.len())),
                Value::Text(text) => Ok(length(text.chars().count())),
                other => {
                    let message = format!(
                        "`{}` is {} and has no size",
                        self.describe(first),
                        other.kind()
                    );
                    Self::wrong(&node.span, message)
                }
            },
            Function::Abs => match self.number(first)? {
                Value::Int(value) => Ok(Value::Int(value.saturating_abs())),
                Value::Float(value, unit) => Ok(Value::Float(value.abs(), unit)),
                other => Ok(other),
            },
            Function::Floor => self
                .float(first)
                .map(|q| Value::Float(q.value.floor(), q.unit)),
            Function::Ceil => self
                .float(first)
                .map(|q| Value::Float(q.value.ceil(), q.unit)),
            Function::Round => self
                .float(first)
                .map(|q| Value::Float(q.value.round(), q.unit)),
            Function::Sum | Function::Mean | Function::Median | Function::Min | Function::Max => {
                self.aggregate(node, function, arguments)
            }
            Function::Int => self.int(node, first),
            Function::Float => match self.present(first)? {
                value @ (Value::Int(_) | Value::Float(..)) => {
                    Ok(value.quantity().map_or(Value::Null, Value::from))
                }
                Value::Text(text) => match text.trim().parse::<f64>() {
                    Ok(value) => Ok(Value::from(value)),
                    Err(_) => {
                        Self::wrong(&node.span, format!("\"{}\" is not a number", cut(&text)))
                    }
                },
                other => Self::wrong(&node.span, format!("{} is not a number", other.kind())),
            },
            Function::Text => Ok(Value::Text(match self.present(first)? {
                Value::Text(text) => text,
                Value::Float(value, _) => value.to_string(),
                other => other.human(17),
            })),
            Function::Duration => {
                let text = self.text(first)?;
                match duration::parse(&text) {
                    Ok(duration) => Ok(Value::Float(duration.as_secs_f64(), Unit::Seconds)),
                    Err(error) => Self::wrong(&first.span, error.to_string()),
                }
            }
            Function::IsNan => self.float(first).map(|q| Value::Bool(q.value.is_nan())),
            Function::IsInf => self
                .float(first)
                .map(|q| Value::Bool(q.value.is_infinite())),
            Function::IsNull => {
                let strict = self.mode == Mode::Strict;
                match self.value(first) {
                    Err(super::EvaluationError::NoData { .. }) if strict => Ok(Value::Bool(true)),
                    other => Ok(Value::Bool(other? == Value::Null)),
                }
            }
            Function::Default => self.or_else(first, second),
            Function::Contains => self.contains(first, second).map(Value::Bool),
            Function::StartsWith => self
                .text_test(Op::StartsWith, first, second)
                .map(Value::Bool),
            Function::EndsWith => self.text_test(Op::EndsWith, first, second).map(Value::Bool),
            Function::Matches => self.text_test(Op::Matches, first, second).map(Value::Bool),
            Function::Lower => Ok(Value::Text(self.text(first)?.to_lowercase())),
            Function::Upper => Ok(Value::Text(self.text(first)?.to_uppercase())),
            Function::Trim => Ok(Value::Text(self.text(first)?.trim().to_owned())),
            Function::First => Ok(self.items(first)?.into_iter().next().unwrap_or(Value::Null)),
            Function::Last => Ok(self.items(first)?.pop().unwrap_or(Value::Null)),
            Function::Keys | Function::Values => match self.present(first)? {
                Value::Map(entries) if function == Function::Keys => {
                    Ok(Value::List(entries.into_keys().map(Value::Text).collect()))
                }
                Value::Map(entries) => Ok(Value::List(entries.into_values().collect())),
                other => Self::wrong(
                    &node.span,
                    format!("{} has no keys and values", other.kind()),
                ),
            },
            Function::CountTrue => {
                let items = self.items(first)?;
                Ok(length(
                    items
                        .iter()
                        .filter(|item| **item == Value::Bool(true))
                        .count(),
                ))
            }
        }
    }

    /// Towards zero, as both languages do.
    fn int(&mut self, node: &Node, argument: &Node) -> Evaluated<Value> {
        match self.present(argument)? {
            Value::Int(value) => Ok(Value::Int(value)),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "cutting the fraction is what it does; range is checked"
            )]
            Value::Float(value, _) if value.abs() < 9.2e18 => Ok(Value::Int(value as i64)),
            Value::Float(value, _) if !value.is_finite() && self.mode == Mode::Strict => {
                self.no_data(argument, &format!("is {}", crate::unit::number(value, 3)))
            }
            Value::Float(..) => Self::wrong(
                &node.span,
                "the number is too large for a whole number".to_owned(),
            ),
            Value::Text(text) => match text.trim().parse() {
                Ok(value) => Ok(Value::Int(value)),
                Err(_) => Self::wrong(
                    &node.span,
                    format!("\"{}\" is not a whole number", cut(&text)),
                ),
            },
            other => Self::wrong(&node.span, format!("{} is not a number", other.kind())),
        }
    }

    /// `sum`, `mean`, `median`, `min`, `max` of one list, or of the arguments and the lists among them.
    fn aggregate(
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
        if values.is_empty() && function != Function::Sum {
            return match (self.mode, function) {
                (Mode::Strict, _) => self.no_data(node, "is taken over nothing"),
                // Go's expr gives 0 here, which is what Argo sees.
                (Mode::Argo, Function::Mean | Function::Median) => Ok(Value::from(0.0)),
                (Mode::Argo, _) => Self::wrong(&node.span, "the list is empty".to_owned()),
            };
        }
        if let Some(result) = whole_aggregate(function, &values) {
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
        for value in &values {
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
        Ok(Value::Float(reduce(function, numbers), unit))
    }
}

/// Sums and extremes of whole numbers stay whole: `Some(None)` if the sum does not fit, `None` if this is another case.
fn whole_aggregate(function: Function, values: &[Value]) -> Option<Option<i64>> {
    let whole: Option<Vec<i64>> = values
        .iter()
        .map(|value| {
            if let Value::Int(value) = value {
                Some(*value)
            } else {
                None
            }
        })
        .collect();
    let whole = whole?;
    match function {
        Function::Sum => Some(
            whole
                .iter()
                .try_fold(0_i64, |sum, value| sum.checked_add(*value)),
        ),
        Function::Min => Some(whole.into_iter().min()),
        Function::Max => Some(whole.into_iter().max()),
        _ => None,
    }
}

/// NaN among the numbers makes the result NaN: a mean or a maximum without one of its parts is not known.
fn reduce(function: Function, mut numbers: Vec<f64>) -> f64 {
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

fn length(length: usize) -> Value {
    Value::Int(i64::try_from(length).unwrap_or(i64::MAX))
}

/// A place in a list; negative counts from its end.
fn position(at: i64, length: usize) -> Option<usize> {
    let at = if at < 0 {
        at.checked_add(i64::try_from(length).ok()?)?
    } else {
        at
    };
    usize::try_from(at).ok()
}

fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}
