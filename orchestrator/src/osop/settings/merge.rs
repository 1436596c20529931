//! One set of settings from the workflow, the profile and the command line.
//!
//! | from | wins over |
//! |---|---|
//! | `--set name=value` (variables only) | everything |
//! | `x-canary` of the workflow | the profile |
//! | the profile | the workflow's top-level `variables`, which are its defaults |
//!
//! What has a name is taken as a whole from one place, never mixed: one variable, one node's runtime, one query, one source, one gate,
//! one channel, `metrics`. So the credentials of a profile are never sent to an address of the workflow, and a gate means what one
//! file says. `traffic`, `deadlines`, `approvals` and `workload` are taken key by key.

use std::sync::Arc;

use super::model::{Refused, Settings};
use super::{read, reference};
use crate::diagnostic::{
    Diagnostics, Origin, SourceFile, Span, Spanned, codes, did_you_mean, misspelt, quote,
};
use crate::osop::model::Workflow;
use crate::osop::tree::{Data, Entry, Map, Value};
use crate::osop::{load, object, scalar};

/// A profile file, read but not yet given meaning.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The file.
    pub file: Arc<SourceFile>,
    /// Its mapping.
    pub value: Value,
}

/// Reads a profile: YAML or JSON, the same mapping as `x-canary`, or an object of a cluster that says the same. What its keys mean is checked by [`merge`].
pub fn parse_profile(file: SourceFile) -> (Option<Profile>, Diagnostics) {
    let file = Arc::new(file);
    let mut diagnostics = Diagnostics::default();
    diagnostics.add_file(Origin::Profile, Arc::clone(&file));
    let value = load::load(&file, Origin::Profile, &mut diagnostics).and_then(|root| {
        match object::kind(&root) {
            Some(_) => object::profile_tree(&root, &mut diagnostics),
            None => Some(root),
        }
    });
    (value.map(|value| Profile { file, value }), diagnostics)
}

/// The problems of a profile by itself, where there is no workflow to merge it with.
pub fn check_profile(profile: &Profile) -> Diagnostics {
    let mut d = Diagnostics::default();
    d.add_file(Origin::Profile, Arc::clone(&profile.file));
    read::read("", &profile.value, &mut d);
    d
}

/// The settings of a release, and all problems of the workflow's `x-canary`, the profile and `sets` (`name=value`).
///
/// Settings that come with errors hold what could be read; they are good for finding further problems, never for running.
pub fn merge(
    workflow: &Workflow,
    profile: Option<&Profile>,
    sets: &[String],
) -> (Settings, Diagnostics) {
    let mut d = Diagnostics::new(Arc::clone(&workflow.file));
    d.add_file(
        Origin::CommandLine,
        Arc::new(SourceFile::new("--set", sets.join("\n"))),
    );
    if let Some(profile) = profile {
        d.add_file(Origin::Profile, Arc::clone(&profile.file));
    }
    let own = workflow.x_canary.as_ref();
    let profile = profile.map(|profile| &profile.value);
    let mut settings = match (own, profile) {
        (None, None) => Settings::default(),
        (Some(own), None) => read::read("x-canary", own, &mut d),
        (None, Some(profile)) => read::read("", profile, &mut d),
        (Some(own), Some(profile)) => {
            // Each by itself, so that what is overridden is checked, too; then what holds.
            read::read("x-canary", own, &mut d);
            read::read("", profile, &mut d);
            let mut repeated = Diagnostics::default();
            read::read("x-canary", &merge_values(own, profile), &mut repeated)
        }
    };
    for tree in own.into_iter().chain(profile) {
        note_refused(tree, &d, &mut settings.refused);
    }
    add_variables(&mut settings, workflow, sets, &mut d);
    check_node_ids(&settings, workflow, &mut d);
    (settings, d)
}

/// Which top-level keys of `tree` have an error in them.
fn note_refused(tree: &Value, d: &Diagnostics, refused: &mut Refused) {
    let Data::Map(map) = &tree.data else {
        refused.whole = true;
        return;
    };
    let known = || {
        let top = reference::KEYS.iter().filter(|doc| doc.section.is_empty());
        top.map(|doc| doc.key)
    };
    for entry in &map.entries {
        let whole = Span {
            end: entry.value.span.end.max(entry.key.span.end),
            ..entry.key.span
        };
        if !d.any_error_within(whole) {
            continue;
        }
        let word = entry.key.value.as_str();
        let exact = known().find(|key| *key == word);
        match exact.or_else(|| misspelt(word, known())) {
            Some("variables") if entry.value.as_map().is_none() => refused.whole = true,
            Some(key) => {
                refused.keys.insert(key.to_owned());
            }
            None => refused.unknown_key = true,
        }
    }
}

/// The mapping that holds: the workflow's over the profile's.
pub(super) fn merged_tree(workflow: &Workflow, profile: Option<&Profile>) -> Option<Value> {
    match (
        workflow.x_canary.as_ref(),
        profile.map(|profile| &profile.value),
    ) {
        (Some(own), Some(profile)) => Some(merge_values(own, profile)),
        (own, profile) => own.or(profile).cloned(),
    }
}

/// How the values of two mappings are brought together.
#[derive(Clone, Copy)]
enum Rule {
    /// The workflow's, whole.
    Whole,
    /// Key by key, each whole.
    Keys,
    /// Key by key, and within each key by key.
    TwoLevels,
    /// A list of named things, by name.
    Named,
}

fn rule(key: &str) -> Rule {
    match key {
        "variables" | "nodes" | "sources" | "traffic" | "deadlines" | "notify" | "approvals"
        | "workload" => Rule::Keys,
        "queries" => Rule::TwoLevels,
        "gates" => Rule::Named,
        _ => Rule::Whole,
    }
}

pub(in crate::osop) fn merge_values(own: &Value, profile: &Value) -> Value {
    let (Data::Map(own_map), Data::Map(profile_map)) = (&own.data, &profile.data) else {
        return own.clone();
    };
    let merged = merge_maps(own_map, profile_map, |entry, other| {
        combine(rule(&entry.key.value), &entry.value, other)
    });
    Value {
        data: Data::Map(merged),
        span: own.span,
    }
}

/// All of `own`, then what only `profile` has.
fn merge_maps(own: &Map, profile: &Map, both: impl Fn(&Entry, &Value) -> Value) -> Map {
    let mut entries = Vec::with_capacity(own.len() + profile.len());
    for entry in &own.entries {
        let value = match profile.get(&entry.key.value) {
            // A key without a value says nothing.
            Some(other) if entry.value.is_null() => other.clone(),
            Some(other) if !other.is_null() => both(entry, other),
            _ => entry.value.clone(),
        };
        entries.push(Entry {
            key: entry.key.clone(),
            value,
        });
    }
    let rest = profile
        .entries
        .iter()
        .filter(|entry| own.entry(&entry.key.value).is_none());
    entries.extend(rest.cloned());
    Map { entries }
}

fn combine(rule: Rule, own: &Value, profile: &Value) -> Value {
    match (rule, &own.data, &profile.data) {
        (Rule::Keys, Data::Map(own_map), Data::Map(profile_map)) => {
            let merged = merge_maps(own_map, profile_map, |entry, _| entry.value.clone());
            Value {
                data: Data::Map(merged),
                span: own.span,
            }
        }
        (Rule::TwoLevels, Data::Map(own_map), Data::Map(profile_map)) => {
            let merged = merge_maps(own_map, profile_map, |entry, other| {
                // A query itself is whole; the queries of a node are taken one by one.
                let is_query =
                    |value: &Value| value.as_map().is_none_or(|map| map.get("query").is_some());
                let rule = if is_query(&entry.value) || is_query(other) {
                    Rule::Whole
                } else {
                    Rule::Keys
                };
                combine(rule, &entry.value, other)
            });
            Value {
                data: Data::Map(merged),
                span: own.span,
            }
        }
        (Rule::Named, Data::List(own_items), Data::List(profile_items)) => {
            let name = |item: &Value| {
                item.as_map()
                    .and_then(|map| map.get("name")?.as_text().map(str::to_owned))
            };
            let mut items = own_items.clone();
            let known: Vec<Option<String>> = own_items.iter().map(name).collect();
            items.extend(
                profile_items
                    .iter()
                    .filter(|item| !known.contains(&name(item)))
                    .cloned(),
            );
            Value {
                data: Data::List(items),
                span: own.span,
            }
        }
        _ => own.clone(),
    }
}

/// `--set` before all, the workflow's top-level `variables` after all.
fn add_variables(
    settings: &mut Settings,
    workflow: &Workflow,
    sets: &[String],
    d: &mut Diagnostics,
) {
    let from_files = std::mem::take(&mut settings.variables);
    let mut variables = read_sets(sets, d);
    let own = workflow
        .variables
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()));
    for (name, value) in from_files.into_iter().chain(own) {
        if !variables.iter().any(|(known, _)| known.value == name.value) {
            variables.push((name, value));
        }
    }
    settings.variables = variables;
}

/// `name=value`; the value is what YAML would make of it (a number only where it reads back as the same text), and empty
/// text if there is none. The last of a name wins.
pub(super) fn read_sets(sets: &[String], d: &mut Diagnostics) -> Vec<(Spanned<String>, Value)> {
    let file = d.file(Origin::CommandLine);
    let mut variables: Vec<(Spanned<String>, Value)> = Vec::new();
    let mut at = 0;
    for set in sets {
        let start = at;
        at += set.len() + 1;
        let Some((name, text)) = set.split_once('=') else {
            let span = file.span(Origin::CommandLine, start, start + set.len());
            d.error(
                codes::INVALID_SET,
                span,
                format!("`--set` takes name=value, found {}", quote(set)),
            );
            continue;
        };
        let name_span = file.span(Origin::CommandLine, start, start + name.len());
        let name = Spanned::new(name.to_owned(), name_span);
        if !read::check_variable_name(&name, d) {
            continue;
        }
        let data = if text.is_empty() {
            Data::Text(String::new())
        } else {
            scalar::resolve(text)
        };
        // `1.10` and `007` are versions and names: a number is one that reads back as what was typed.
        let data = match data {
            Data::Null => Data::Text(text.to_owned()),
            Data::Number(_) if !reads_back(&data, text) => Data::Text(text.to_owned()),
            data => data,
        };
        let span = file.span(
            Origin::CommandLine,
            start + name.value.len() + 1,
            start + set.len(),
        );
        variables.retain(|(known, _)| known.value != name.value);
        variables.push((name, Value { data, span }));
    }
    variables
}

fn reads_back(data: &Data, text: &str) -> bool {
    let value = Value {
        data: data.clone(),
        span: Span::default(),
    };
    let json = value.to_json().to_string();
    json == text
}

/// A profile may serve several workflows, so an id that this one does not have is a warning there and an error in the workflow itself.
fn check_node_ids(settings: &Settings, workflow: &Workflow, d: &mut Diagnostics) {
    let nodes = settings.nodes.iter().map(|(id, _)| ("nodes", id));
    let queries = settings
        .queries
        .by_node
        .iter()
        .map(|(id, _)| ("queries", id));
    for (key, id) in nodes.chain(queries) {
        if workflow.node(&id.value).is_some() {
            continue;
        }
        let message = format!(
            "{} of `{key}` names no node of the workflow",
            quote(&id.value)
        );
        let diagnostic = if id.span.origin == Origin::Workflow {
            d.error(codes::UNKNOWN_NODE, id.span, message)
        } else {
            d.warning(codes::UNKNOWN_NODE, id.span, message)
        };
        diagnostic.help_opt(did_you_mean(
            &id.value,
            workflow.nodes.iter().map(|node| node.id.value.as_str()),
        ));
    }
}
