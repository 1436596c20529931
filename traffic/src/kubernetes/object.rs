//! Reading objects that we know only in part.

use serde_json::Value;

use crate::{RouterError, RouterErrorKind};

/// An object that cannot be driven as it is: why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl Unfit {
    pub(super) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: hint.into(),
        }
    }

    pub(super) fn tried(self, tried: impl Into<String>) -> RouterError {
        RouterError::new(RouterErrorKind::Refused, tried, self.what, self.hint)
    }
}

/// A text of an object.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer)?.as_str()
}

/// A whole number of an object.
pub(super) fn number(object: &Value, pointer: &str) -> Option<u64> {
    object.pointer(pointer)?.as_u64()
}

/// A list of an object, empty where there is none.
pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// An annotation of an object.
pub(super) fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(name)?.as_str()
}

/// A label of an object.
pub(super) fn label<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.pointer("/metadata/labels")?.get(name)?.as_str()
}
