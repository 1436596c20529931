//! Members, elements and the functions of both languages.

use super::bounds::MAX_PATTERN;
use super::evaluate::{Evaluated, Evaluator, Mode};
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
        self.element_of(node, target, container, key)
    }

    fn element_of(
        &self,
        node: &Node,
        target: &Node,
        container: Value,
        key: Value,
    ) -> Evaluated<Value> {
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
            Function::Default => self.or_else(first, second),
            Function::IsNull => self.is_null(first).map(Value::Bool),
            Function::Sum | Function::Mean | Function::Median | Function::Min | Function::Max => {
                self.aggregate(node, function, arguments)
            }
            Function::Contains => self.contains(first, second).map(Value::Bool),
            Function::StartsWith => self
                .text_test(Op::StartsWith, first, second)
                .map(Value::Bool),
            Function::EndsWith => self.text_test(Op::EndsWith, first, second).map(Value::Bool),
            Function::Matches => self.text_test(Op::Matches, first, second).map(Value::Bool),
            _ => {
                let value = self.present(first)?;
                self.apply(node, function, first, value)
            }
        }
    }

    fn is_null(&mut self, node: &Node) -> Evaluated<bool> {
        match self.value(node) {
            Err(error) if self.mode == Mode::Strict && error.is_no_data() => Ok(true),
            other => Ok(other? == Value::Null),
        }
    }

    /// A function of one value.
    fn apply(
        &mut self,
        node: &Node,
        function: Function,
        first: &Node,
        value: Value,
    ) -> Evaluated<Value> {
        match function {
            Function::Size
            | Function::Keys
            | Function::Values
            | Function::First
            | Function::Last
            | Function::CountTrue => self.collection(function, first, value),
            Function::Int => self.int(node, first, value),
            Function::Float => match value {
                value @ (Value::Int(_) | Value::Float(..)) => {
                    Ok(value.quantity().map_or(Value::Null, Value::from))
                }
                Value::Text(text) => match text.trim().parse::<f64>() {
                    Ok(value) => Ok(Value::from(value)),
                    Err(_) => {
                        Self::wrong(&node.span, format!("\"{}\" is not a number", cut(&text)))
                    }
                },
                other => self.unfit(first, &other, "a number is needed"),
            },
            Function::Text => Ok(Value::Text(match value {
                Value::Text(text) => text,
                Value::Float(value, _) => value.to_string(),
                other => other.human(17),
            })),
            Function::Duration | Function::Lower | Function::Upper | Function::Trim => {
                match value {
                    Value::Text(text) => Self::of_text(function, first, &text),
                    other => self.unfit(first, &other, "text is needed"),
                }
            }
            _ => match (function, value) {
                (Function::Abs, Value::Int(value)) => Ok(Value::Int(value.saturating_abs())),
                (_, value) => match value.quantity() {
                    Some(quantity) => Ok(of_number(function, quantity)),
                    None => self.unfit(first, &value, "a number is needed"),
                },
            },
        }
    }

    fn of_text(function: Function, node: &Node, text: &str) -> Evaluated<Value> {
        Ok(match function {
            Function::Lower => Value::Text(text.to_lowercase()),
            Function::Upper => Value::Text(text.to_uppercase()),
            Function::Trim => Value::Text(text.trim().to_owned()),
            _ => match duration::parse(text) {
                Ok(duration) => Value::Float(duration.as_secs_f64(), Unit::Seconds),
                Err(error) => return Self::wrong(&node.span, error.to_string()),
            },
        })
    }

    fn collection(&self, function: Function, node: &Node, value: Value) -> Evaluated<Value> {
        Ok(match (function, value) {
            (Function::Size, Value::List(items)) => length(items.len()),
            (Function::Size, Value::Map(entries)) => length(entries.len()),
            (Function::Size, Value::Text(text)) => length(text.chars().count()),
            (Function::Keys, Value::Map(entries)) => {
                Value::List(entries.into_keys().map(Value::Text).collect())
            }
            (Function::Values, Value::Map(entries)) => Value::List(entries.into_values().collect()),
            (Function::Size | Function::Keys | Function::Values, other) => {
                return self.unfit(node, &other, "a list, a map or text is needed");
            }
            (_, value) => {
                let items = self.items_of(node, value)?;
                match function {
                    Function::First => items.into_iter().next().unwrap_or(Value::Null),
                    Function::Last => items.into_iter().next_back().unwrap_or(Value::Null),
                    _ => length(
                        items
                            .iter()
                            .filter(|item| **item == Value::Bool(true))
                            .count(),
                    ),
                }
            }
        })
    }

    /// Towards zero, as both languages do.
    fn int(&self, node: &Node, argument: &Node, value: Value) -> Evaluated<Value> {
        match value {
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
            other => self.unfit(argument, &other, "a number is needed"),
        }
    }
}

fn of_number(function: Function, quantity: Quantity) -> Value {
    let Quantity { value, unit } = quantity;
    match function {
        Function::IsNan => Value::Bool(value.is_nan()),
        Function::IsInf => Value::Bool(value.is_infinite()),
        Function::Abs => Value::Float(value.abs(), unit),
        Function::Floor => Value::Float(value.floor(), unit),
        Function::Ceil => Value::Float(value.ceil(), unit),
        _ => Value::Float(value.round(), unit),
    }
}

fn length(length: usize) -> Value {
    Value::Int(i64::try_from(length).unwrap_or(i64::MAX))
}

/// A place in a list; negative counts from its end.
pub(super) fn position(at: i64, length: usize) -> Option<usize> {
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
