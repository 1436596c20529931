//! The settings that hold, one line each, with where each is from: what `canary config` shows.

use super::merge::{Profile, merged_tree, read_sets};
use crate::diagnostic::{Diagnostics, Origin, SourceFile, Span};
use crate::osop::cast::looks_secret;
use crate::osop::model::Workflow;
use crate::osop::tree::{Data, Value};

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Keys with dots; `[name]` for an entry of a list.
    pub path: String,
    /// As written; `********` where it may be a secret.
    pub value: String,
    /// Where it was written: its `origin` says in which input.
    pub span: Span,
}

/// Everything that was written and holds, in the order of the files; variables last.
pub fn list(workflow: &Workflow, profile: Option<&Profile>, sets: &[String]) -> Vec<Listed> {
    let mut all = Vec::new();
    if let Some(tree) = merged_tree(workflow, profile) {
        add("", "", &tree, &mut all);
    }
    let mut ignored = Diagnostics::default();
    ignored.add_file(
        Origin::CommandLine,
        std::sync::Arc::new(SourceFile::new("--set", sets.join("\n"))),
    );
    let sets = read_sets(sets, &mut ignored);
    let own = workflow
        .variables
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()));
    let mut variables = Vec::new();
    for (name, value) in sets {
        let path = format!("variables.{}", name.value);
        all.retain(|listed| listed.path != path);
        add(&path, &name.value, &value, &mut variables);
    }
    for (name, value) in own {
        let path = format!("variables.{}", name.value);
        if !all
            .iter()
            .chain(&variables)
            .any(|listed| listed.path == path)
        {
            add(&path, &name.value, &value, &mut variables);
        }
    }
    all.extend(variables);
    all
}

fn add(path: &str, key: &str, value: &Value, all: &mut Vec<Listed>) {
    match &value.data {
        Data::Map(map) if !map.is_empty() => {
            for (name, value) in map.iter() {
                let path = if path.is_empty() {
                    name.value.clone()
                } else {
                    format!("{path}.{}", name.value)
                };
                add(&path, &name.value, value, all);
            }
        }
        Data::List(items) if items.iter().any(|item| item.as_map().is_some()) => {
            for (n, item) in items.iter().enumerate() {
                let name = item.as_map().and_then(|map| map.get("name")?.as_text());
                let name = name.map_or_else(|| n.to_string(), str::to_owned);
                add(&format!("{path}[{name}]"), key, item, all);
            }
        }
        _ => {
            let hidden = value.as_text().is_some() && looks_secret(key);
            let text = match value.as_scalar_text() {
                Some(_) if hidden => "********".to_owned(),
                Some(text) => text.to_owned(),
                None => value.to_json().to_string(),
            };
            all.push(Listed {
                path: path.to_owned(),
                value: text,
                span: value.span,
            });
        }
    }
}
