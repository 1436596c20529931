//! Values, their types, and where they come from.

use std::collections::BTreeMap;
use std::fmt;

use crate::unit::{Dimension, Quantity, Unit};

/// What an expression evaluates to. Only floats carry a unit: a whole number with one becomes a float.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Absent: unbound, null, nil.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number without a unit.
    Int(i64),
    /// A number and what it counts.
    Float(f64, Unit),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// Values by name.
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// A number as a quantity.
    #[must_use]
    pub fn quantity(&self) -> Option<Quantity> {
        match self {
            #[expect(
                clippy::cast_precision_loss,
                reason = "measurements are below 2^53; both languages do the same"
            )]
            Self::Int(value) => Some(Quantity::new(*value as f64, Unit::None)),
            Self::Float(value, unit) => Some(Quantity::new(*value, *unit)),
            Self::Null | Self::Bool(_) | Self::Text(_) | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// For messages: "a number", "text", ...
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Float(..) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// Evaluation steps that handling this value costs: its size.
    pub(super) fn weight(&self) -> u32 {
        match self {
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(..) => 1,
            Self::Text(text) => u32::try_from(text.len() / 64)
                .unwrap_or(u32::MAX)
                .saturating_add(1),
            Self::List(items) => items
                .iter()
                .fold(1, |sum: u32, item| sum.saturating_add(item.weight())),
            Self::Map(entries) => entries
                .values()
                .fold(1, |sum: u32, item| sum.saturating_add(item.weight())),
        }
    }

    /// For messages, short: long text, long and deep lists and maps are cut.
    #[must_use]
    pub fn human(&self, digits: usize) -> String {
        self.shown(digits, 2)
    }

    fn shown(&self, digits: usize, levels: u8) -> String {
        let more = |length: usize| if length > 5 { ", ..." } else { "" };
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value, unit) => Quantity::new(*value, *unit).human(digits),
            Self::Text(text) => format!("\"{}\"", cut(text).escape_debug()),
            Self::List(items) if levels == 0 && !items.is_empty() => "[...]".to_owned(),
            Self::Map(entries) if levels == 0 && !entries.is_empty() => "{...}".to_owned(),
            Self::List(items) => {
                let shown: Vec<_> = items
                    .iter()
                    .take(5)
                    .map(|item| item.shown(digits, levels.saturating_sub(1)))
                    .collect();
                format!("[{}{}]", shown.join(", "), more(items.len()))
            }
            Self::Map(entries) => {
                let shown = entries.iter().take(5);
                let shown: Vec<_> = shown
                    .map(|(name, value)| {
                        format!(
                            "{}: {}",
                            cut(name),
                            value.shown(digits, levels.saturating_sub(1))
                        )
                    })
                    .collect();
                format!("{{{}{}}}", shown.join(", "), more(entries.len()))
            }
        }
    }

    /// The entry of a map; a name with `_` also finds the one entry that is written with `-`.
    pub(super) fn entry<'a>(entries: &'a BTreeMap<String, Self>, name: &str) -> Option<&'a Self> {
        entries.get(name).or_else(|| {
            let alias = alias(name, entries.keys().map(String::as_str))?;
            entries.get(&alias)
        })
    }
}

/// At most 60 letters.
fn cut(text: &str) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or("")).into(),
        None => text.into(),
    }
}

/// The one of `names` that reads like `name` when its `-` are written `_`.
pub(super) fn alias<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    if !name.contains('_') {
        return None;
    }
    let reads_alike = |candidate: &&str| {
        let letters = candidate
            .bytes()
            .map(|letter| if letter == b'-' { b'_' } else { letter });
        candidate.len() == name.len() && letters.eq(name.bytes())
    };
    let mut found = names.filter(reads_alike);
    let first = found.next()?;
    found.next().is_none().then(|| first.to_owned())
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.human(4))
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(value),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(value) => Self::Int(value),
                None => number
                    .as_f64()
                    .map_or(Self::Null, |value| Self::Float(value, Unit::None)),
            },
            serde_json::Value::String(text) => Self::Text(text),
            serde_json::Value::Array(items) => {
                Self::List(items.into_iter().map(Self::from).collect())
            }
            serde_json::Value::Object(entries) => Self::Map(
                entries
                    .into_iter()
                    .map(|(name, value)| (name, Self::from(value)))
                    .collect(),
            ),
        }
    }
}

impl From<Value> for serde_json::Value {
    /// Units are dropped; NaN and infinity, which JSON does not have, become the texts that Prometheus writes.
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Int(value) => value.into(),
            Value::Float(value, _) => serde_json::Number::from_f64(value)
                .map_or_else(|| Self::String(crate::unit::number(value, 4)), Self::Number),
            Value::Text(text) => Self::String(text),
            Value::List(items) => Self::Array(items.into_iter().map(Self::from).collect()),
            Value::Map(entries) => Self::Object(
                entries
                    .into_iter()
                    .map(|(name, value)| (name, Self::from(value)))
                    .collect(),
            ),
        }
    }
}

impl From<Quantity> for Value {
    fn from(quantity: Quantity) -> Self {
        Self::Float(quantity.value, quantity.unit)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value, Unit::None)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<Vec<f64>> for Value {
    /// A Prometheus vector with its labels dropped, as Argo gives it to conditions.
    fn from(values: Vec<f64>) -> Self {
        Self::List(values.into_iter().map(Self::from).collect())
    }
}

/// What is known of a name before there are values.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// Nothing but null.
    Null,
    /// True or false.
    Bool,
    /// A number; its unit if it is known, which may be known to be none.
    Number(Option<Unit>),
    /// Text.
    Text,
    /// A list of one type.
    List(Box<Type>),
    /// A map whose names are not known.
    Map,
    /// A map whose names are all known.
    Object(BTreeMap<String, Type>),
    /// Anything.
    Any,
}

impl Type {
    /// A list of numbers: what a Prometheus vector is in a condition.
    #[must_use]
    pub fn vector(unit: Option<Unit>) -> Self {
        Self::List(Box::new(Self::Number(unit)))
    }

    /// The type of a value.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Int(_) => Self::Number(Some(Unit::None)),
            Value::Float(_, unit) => Self::Number(Some(*unit)),
            Value::Text(_) => Self::Text,
            Value::List(_) => Self::List(Box::new(Self::Any)),
            Value::Map(_) => Self::Map,
        }
    }

    /// Whether a value may be of both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        use Type::{Any, Bool, List, Map, Null, Number, Object, Text};
        match (self, other) {
            (Any | Null, _)
            | (_, Any | Null)
            | (Bool, Bool)
            | (Number(_), Number(_))
            | (Text, Text)
            | (List(_), List(_))
            | (Map | Object(_), Map | Object(_)) => true,
            (Bool | Number(_) | Text | List(_) | Map | Object(_), _) => false,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("true or false"),
            Self::Number(Some(unit)) => match (unit.dimension(), unit.symbol()) {
                (Dimension::Plain, _) => f.write_str("a number"),
                (dimension, "") => write!(f, "{dimension}"),
                (dimension, symbol) => write!(f, "{dimension} in {symbol}"),
            },
            Self::Number(None) => f.write_str("a number"),
            Self::Text => f.write_str("text"),
            Self::List(_) => f.write_str("a list"),
            Self::Map | Self::Object(_) => f.write_str("a map"),
            Self::Any => f.write_str("any value"),
        }
    }
}

/// The names that a condition may use.
pub trait Scope {
    /// The type of a root name; `None` if there is no such name.
    fn type_of(&self, name: &str) -> Option<Type>;
    /// All root names, for suggestions, and for names with `-` that are written with `_`.
    fn names(&self) -> Vec<String>;
}

/// The values of the names, at one time.
pub trait Environment {
    /// The value of a root name (as the scope spells it); `None` if it has none (yet).
    fn get(&self, name: &str) -> Option<Value>;
}

impl Scope for BTreeMap<String, Type> {
    fn type_of(&self, name: &str) -> Option<Type> {
        self.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

impl Environment for BTreeMap<String, Value> {
    fn get(&self, name: &str) -> Option<Value> {
        BTreeMap::get(self, name).cloned()
    }
}
