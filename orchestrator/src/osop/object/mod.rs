//! The objects of a cluster as workflows and profiles: a Release says the same things as a workflow with `x-canary`, in the
//! `camelCase` of Kubernetes. It is turned into that tree here, every value with its place, and from there on there is one
//! reader, one compiler and one set of messages.

mod settings;
mod steps;
#[cfg(test)]
mod tests;
mod write;

use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::load;
use super::reader::Reader;
use super::tree::{Data, Entry, Map, Value};
use crate::diagnostic::{Diagnostics, Origin, SourceFile, Span, codes, quote};

/// API group of canary's objects. `.internal` is reserved for private use, so that it is nobody else's domain.
pub const GROUP: &str = "canary.internal";

/// What stands in `x-canary` of a workflow that a Release names, and what only objects may say: addresses, credentials and
/// routes belong to whoever may write those.
const OBJECTS_ONLY: &[&str] = &[
    "service",
    "namespace",
    "sources",
    "traffic",
    "notify",
    "workload",
];

/// Objects that can be read as a workflow or as a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A workflow, or settings.
    Release,
    /// Settings.
    Profile,
    /// Settings, for all namespaces.
    ClusterProfile,
}

impl ObjectKind {
    /// The kind as in the object.
    pub fn word(self) -> &'static str {
        match self {
            Self::Release => "Release",
            Self::Profile => "Profile",
            Self::ClusterProfile => "ClusterProfile",
        }
    }
}

/// Which object a file is, if it is one of ours.
pub fn kind_of(file: &SourceFile) -> Option<ObjectKind> {
    let root = load::load(file, Origin::Workflow, &mut Diagnostics::default())?;
    kind(&root)
}

/// Which object a tree is, if it is one of ours.
pub(crate) fn kind(root: &Value) -> Option<ObjectKind> {
    let map = root.as_map()?;
    let group = map.get("apiVersion")?.as_text()?.split_once('/')?.0;
    if group != GROUP {
        return None;
    }
    [
        ObjectKind::Release,
        ObjectKind::Profile,
        ObjectKind::ClusterProfile,
    ]
    .into_iter()
    .find(|kind| map.get("kind").and_then(Value::as_text) == Some(kind.word()))
}

/// Name and key of the ConfigMap that holds the workflow of a Release, if one does.
pub fn workflow_config_map(file: &SourceFile) -> Option<(String, String)> {
    let root = load::load(file, Origin::Workflow, &mut Diagnostics::default())?;
    let map = at(&root, &["spec", "strategy", "workflow", "configMap"])?.as_map()?;
    let text = |key: &str| map.get(key).and_then(Value::as_text).map(str::to_owned);
    Some((text("name")?, text("key")?))
}

fn at<'v>(root: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter()
        .try_fold(root, |value, key| value.as_map()?.get(key))
}

/// The workflow that a Release is, as JSON of an OSOP file. `workflow` is the text that its ConfigMap holds.
pub fn to_workflow(
    release: SourceFile,
    workflow: Option<SourceFile>,
) -> (Option<serde_json::Value>, Diagnostics) {
    let file = Arc::new(release);
    let mut d = Diagnostics::new(Arc::clone(&file));
    let Some(root) = load::load(&file, Origin::Workflow, &mut d) else {
        return (None, d);
    };
    let tree = workflow.and_then(|workflow| {
        let mut more = Diagnostics::new(Arc::new(workflow.clone()));
        let tree = load::load(&workflow, Origin::Workflow, &mut more);
        d.append(more);
        tree
    });
    let made = workflow_tree(&root, tree.as_ref(), &mut d);
    (made.map(|tree| tree.to_json()), d)
}

/// The settings that a Release or a profile says, as JSON of a profile file.
pub fn to_profile(file: SourceFile) -> (Option<serde_json::Value>, Diagnostics) {
    let file = Arc::new(file);
    let mut d = Diagnostics::new(Arc::clone(&file));
    let made = load::load(&file, Origin::Workflow, &mut d)
        .and_then(|root| profile_tree(&root, &mut d))
        .map(|tree| tree.to_json());
    (made, d)
}

/// The tree of the workflow; `given` is that of its ConfigMap.
pub(crate) fn workflow_tree(
    root: &Value,
    given: Option<&Value>,
    d: &mut Diagnostics,
) -> Option<Value> {
    let head = head(root, d)?;
    let mut spec = Reader::of("the Release", head.spec, d)?;
    let own = settings::of_release(&mut spec, &head, d);
    let tree = steps::strategy(&mut spec, &head, given, d);
    spec.close_all(d);
    let mut tree = tree?;
    let Data::Map(map) = &mut tree.data else {
        return None;
    };
    let settings = match take(map, "x-canary") {
        Some(written) => {
            refuse_of_objects(&written.value, d);
            super::settings::merge_values(&written.value, &own)
        }
        None => own,
    };
    map.entries.push(Entry {
        key: crate::diagnostic::Spanned::new("x-canary".to_owned(), head.spec.span),
        value: settings,
    });
    Some(tree)
}

/// The tree of a profile.
pub(crate) fn profile_tree(root: &Value, d: &mut Diagnostics) -> Option<Value> {
    let head = head(root, d)?;
    let mut spec = Reader::of(format!("the {}", head.kind.word()), head.spec, d)?;
    if head.kind == ObjectKind::Release {
        // How it meets users is another's to read.
        let _strategy = spec.value("strategy");
        let settings = settings::of_release(&mut spec, &head, d);
        spec.close_all(d);
        return Some(settings);
    }
    let settings = settings::shared(&mut spec, &head, d);
    spec.close_all(d);
    Some(write::map(head.spec.span, settings))
}

/// What an object says before its `spec`.
struct Head<'v> {
    kind: ObjectKind,
    name: crate::osop::model::Text,
    namespace: Option<crate::osop::model::Text>,
    spec: &'v Value,
}

fn head<'v>(root: &'v Value, d: &mut Diagnostics) -> Option<Head<'v>> {
    let kind = kind(root)?;
    let mut top = Reader::of(format!("the {}", kind.word()), root, d)?;
    let _known = (
        top.value("apiVersion"),
        top.value("kind"),
        top.value("status"),
    );
    let metadata = top.value("metadata");
    let mut reader = match metadata {
        Some(metadata) => Reader::of("`metadata`", metadata, d)?,
        None => {
            top.missing("metadata", d);
            return None;
        }
    };
    let name = reader.required("name", d);
    let namespace = reader.text("namespace", d);
    if top.value("spec").is_none() {
        top.missing("spec", d);
    }
    let spec = top.value("spec");
    top.close_all(d);
    let name = name.filter(|name| check_name(name, kind, d))?;
    Some(Head {
        kind,
        name,
        namespace,
        spec: spec?,
    })
}

/// What the API server would say of the name, before it is asked.
fn check_name(name: &crate::osop::model::Text, kind: ObjectKind, d: &mut Diagnostics) -> bool {
    let longest = if kind == ObjectKind::Release { 52 } else { 253 };
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let text = name.value.as_bytes();
    let fits = text.len() <= longest
        && text.iter().all(|b| inner(*b))
        && edge(text.first().copied())
        && edge(text.last().copied());
    if !fits {
        d.error(
            codes::INVALID_NAME,
            name.span,
            format!(
                "{} cannot name a {}: at most {longest} lower-case letters, digits, `-` and `.`",
                quote(&name.value),
                kind.word()
            ),
        );
    }
    fits
}

fn take(map: &mut Map, key: &str) -> Option<Entry> {
    let place = map
        .entries
        .iter()
        .position(|entry| entry.key.value == key)?;
    Some(map.entries.remove(place))
}

fn refuse_of_objects(settings: &Value, d: &mut Diagnostics) {
    let Some(map) = settings.as_map() else { return };
    for entry in &map.entries {
        if OBJECTS_ONLY.contains(&entry.key.value.as_str()) {
            d.error(
                codes::CONFLICTING_KEYS,
                entry.key.span,
                format!(
                    "`x-canary.{}` cannot be written in the workflow of a Release",
                    entry.key.value
                ),
            )
            .help("the Release itself, its profile and its sources say it: addresses, credentials and routes are theirs");
        }
    }
}

/// Name of the variable under which a run finds the value of this key of a Secret. `cluster`: the Secret is in the
/// controller's namespace, not in that of the Release.
pub fn secret_variable(cluster: bool, name: &str, key: &str) -> String {
    let mut hash = Sha256::new();
    hash.update([u8::from(cluster)]);
    hash.update((name.len() as u64).to_le_bytes());
    hash.update(name.as_bytes());
    hash.update(key.as_bytes());
    let mut short = String::new();
    for byte in hash.finalize().iter().take(6) {
        // Writing to a String cannot fail.
        let _ok = write!(short, "{byte:02X}");
    }
    let readable: String = format!("{name}_{key}")
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .take(64)
        .collect();
    format!("SECRET_{readable}_{short}")
}

/// A place that stands for a whole mapping: its first key.
fn head_span(value: &Value) -> Span {
    value
        .as_map()
        .and_then(|map| map.entries.first())
        .map_or(value.span, |entry| entry.key.span)
}
