//! How a node is executed: an open mapping, read by name.

use super::tree::{Map, Value};
use crate::diagnostic::{Span, Spanned};

/// The `runtime` of a node. The schema leaves it open, so values are read by name and type where they are needed.
#[derive(Clone, Debug, Default)]
pub struct Runtime {
    /// Place of the mapping; nothing if the node has none.
    pub span: Option<Span>,
    /// Keys and values as written.
    pub map: Map,
}

/// A runtime value of another type than asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType {
    /// The value.
    pub span: Span,
    /// What was asked for, with article.
    pub expected: &'static str,
    /// What is there, with article.
    pub found: &'static str,
}

impl Runtime {
    /// The value, if it is there and not null.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Whether the key is there with a value.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Text; a number or boolean counts as the text that the file shows.
    pub fn get_str(&self, key: &str) -> Result<Option<Spanned<&str>>, WrongType> {
        self.read(key, "a text", Value::as_scalar_text)
    }

    /// A boolean.
    pub fn get_bool(&self, key: &str) -> Result<Option<Spanned<bool>>, WrongType> {
        self.read(key, "true or false", Value::as_bool)
    }

    /// A whole number that is not negative.
    pub fn get_u64(&self, key: &str) -> Result<Option<Spanned<u64>>, WrongType> {
        self.read(key, "a whole number", Value::as_u64)
    }

    /// A number.
    pub fn get_f64(&self, key: &str) -> Result<Option<Spanned<f64>>, WrongType> {
        self.read(key, "a number", Value::as_f64)
    }

    /// A list.
    pub fn get_list(&self, key: &str) -> Result<Option<Spanned<&[Value]>>, WrongType> {
        self.read(key, "a list", Value::as_list)
    }

    /// A mapping.
    pub fn get_map(&self, key: &str) -> Result<Option<Spanned<&Map>>, WrongType> {
        self.read(key, "a mapping", Value::as_map)
    }

    /// A list of texts; one text counts as a list of one.
    pub fn get_str_list(&self, key: &str) -> Result<Vec<Spanned<&str>>, WrongType> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let items = match value.as_list() {
            Some(items) => items,
            None => std::slice::from_ref(value),
        };
        items
            .iter()
            .map(|item| cast(item, "a list of texts", Value::as_scalar_text))
            .collect()
    }

    fn read<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        get: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<Spanned<T>>, WrongType> {
        self.get(key)
            .map(|value| cast(value, expected, get))
            .transpose()
    }
}

fn cast<'a, T>(
    value: &'a Value,
    expected: &'static str,
    get: impl Fn(&'a Value) -> Option<T>,
) -> Result<Spanned<T>, WrongType> {
    match get(value) {
        Some(found) => Ok(Spanned::new(found, value.span)),
        None => Err(WrongType {
            span: value.span,
            expected,
            found: value.kind(),
        }),
    }
}
