//! JSON Patch (RFC 6902): the operations that we send.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use super::object::{annotation, text};
use super::{ANNOTATION_BEFORE, ANNOTATION_BY};

/// One operation. The server carries out all of a patch or none.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum PatchOperation {
    /// Fails the whole patch unless the value there is this one.
    Test {
        /// JSON Pointer.
        path: String,
        /// The value.
        value: Value,
    },
    /// Sets a member, replaced where it is there; inserts into a list, at its end with `-`.
    Add {
        /// JSON Pointer.
        path: String,
        /// The value.
        value: Value,
    },
    /// Removes what is there.
    Remove {
        /// JSON Pointer.
        path: String,
    },
}

impl PatchOperation {
    pub(super) fn test(path: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Test {
            path: path.into(),
            value: value.into(),
        }
    }

    pub(super) fn add(path: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Add {
            path: path.into(),
            value: value.into(),
        }
    }

    pub(super) fn remove(path: impl Into<String>) -> Self {
        Self::Remove { path: path.into() }
    }

    /// Whether it changes anything.
    #[must_use]
    pub fn is_change(&self) -> bool {
        !matches!(self, Self::Test { .. })
    }
}

impl fmt::Display for PatchOperation {
    /// For people: `set /spec/rules/0/backendRefs/0/weight to 90`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Test { path, value } => write!(f, "only if {path} is {value}"),
            Self::Add { path, value } => write!(f, "set {path} to {value}"),
            Self::Remove { path } => write!(f, "remove {path}"),
        }
    }
}

/// A name as one step of a JSON Pointer.
pub(super) fn step(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The pointer of an annotation.
pub(super) fn annotation_pointer(name: &str) -> String {
    format!("/metadata/annotations/{}", step(name))
}

/// Sets annotations. Where an object has none, it must still be the one that we read: two writers that make the first
/// annotation would lose one of them.
pub(super) fn annotate(
    object: &Value,
    annotations: &[(&str, String)],
    operations: &mut Vec<PatchOperation>,
) {
    if annotations.is_empty() {
        return;
    }
    if object
        .pointer("/metadata/annotations")
        .is_some_and(Value::is_object)
    {
        operations.extend(
            annotations
                .iter()
                .filter(|(name, value)| annotation(object, name) != Some(value))
                .map(|(name, value)| PatchOperation::add(annotation_pointer(name), value.clone())),
        );
        return;
    }
    if let Some(version) = text(object, "/metadata/resourceVersion") {
        operations.push(PatchOperation::test("/metadata/resourceVersion", version));
    }
    let all: serde_json::Map<String, Value> = annotations
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    operations.push(PatchOperation::add("/metadata/annotations", all));
}

/// Removes our notes from an object of somebody else.
pub(super) fn forget(object: &Value, operations: &mut Vec<PatchOperation>) {
    operations.extend(
        [ANNOTATION_BY, ANNOTATION_BEFORE, super::ANNOTATION_WEIGHT]
            .into_iter()
            .filter(|name| annotation(object, name).is_some())
            .map(|name| PatchOperation::remove(annotation_pointer(name))),
    );
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Carries a patch out as the API server does.
    pub(in super::super) fn apply(object: &Value, operations: &[PatchOperation]) -> Value {
        let text = serde_json::to_string(operations).unwrap();
        let patch: json_patch::Patch = serde_json::from_str(&text).unwrap();
        let mut object = object.clone();
        json_patch::patch(&mut object, &patch).unwrap();
        object
    }

    /// What a patch does that is not a `test`, a line each.
    pub(in super::super) fn lines(operations: &[PatchOperation]) -> Vec<String> {
        operations.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_form_is_that_of_the_standard() {
        let operations = [
            PatchOperation::test("/a", 1),
            PatchOperation::add("/b/-", "x"),
            PatchOperation::remove("/c"),
        ];
        assert_eq!(
            serde_json::to_value(&operations).unwrap(),
            json!([
                {"op": "test", "path": "/a", "value": 1},
                {"op": "add", "path": "/b/-", "value": "x"},
                {"op": "remove", "path": "/c"},
            ])
        );
        assert_eq!(
            annotation_pointer("a.b/c~d"),
            "/metadata/annotations/a.b~1c~0d"
        );
    }

    #[test]
    fn the_first_annotation_needs_the_object_as_it_was_read() {
        let object = json!({"metadata": {"name": "a", "resourceVersion": "7"}});
        let mut operations = Vec::new();
        annotate(
            &object,
            &[(ANNOTATION_BY, "run a-1".to_owned())],
            &mut operations,
        );
        assert_eq!(
            operations[0],
            PatchOperation::test("/metadata/resourceVersion", "7")
        );
        let object = apply(&object, &operations);
        assert_eq!(annotation(&object, ANNOTATION_BY), Some("run a-1"));

        let mut again = Vec::new();
        annotate(
            &object,
            &[
                (ANNOTATION_BY, "run a-1".to_owned()),
                (ANNOTATION_BEFORE, "{}".to_owned()),
            ],
            &mut again,
        );
        assert_eq!(
            lines(&again),
            ["set /metadata/annotations/canary.internal~1before to \"{}\""]
        );
        let object = apply(&object, &again);
        let mut gone = Vec::new();
        forget(&object, &mut gone);
        assert_eq!(
            apply(&object, &gone),
            json!({"metadata": {"name": "a", "resourceVersion": "7", "annotations": {}}})
        );
    }
}
