//! Values that stand in no file, with the place of what they were made of.

use crate::diagnostic::{Span, Spanned};
use crate::osop::tree::{Data, Entry, Map, Value};

pub(super) fn text(span: Span, text: impl Into<String>) -> Value {
    Value {
        data: Data::Text(text.into()),
        span,
    }
}

pub(super) fn truth(span: Span) -> Value {
    Value {
        data: Data::Bool(true),
        span,
    }
}

pub(super) fn list(span: Span, items: Vec<Value>) -> Value {
    Value {
        data: Data::List(items),
        span,
    }
}

pub(super) fn map(span: Span, entries: Vec<Entry>) -> Value {
    Value {
        data: Data::Map(Map { entries }),
        span,
    }
}

pub(super) fn entry(key: &str, value: Value) -> Entry {
    Entry {
        key: Spanned::new(key.to_owned(), value.span),
        value,
    }
}

/// The same value under another key; the place is that of the key as it was written.
pub(super) fn renamed(from: &Entry, key: &str) -> Entry {
    Entry {
        key: Spanned::new(key.to_owned(), from.key.span),
        value: from.value.clone(),
    }
}
