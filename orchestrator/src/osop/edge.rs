//! Edges.

use super::cast::wrong_type;
use super::model::{Case, Edge, EdgeMode, Join, JoinMode, Text};
use super::reader::Reader;
use super::tree::{Map, Value};
use super::word::Word;
use crate::diagnostic::{Diagnostics, Spanned, codes, did_you_mean, misspelt, quote};

/// Modes of drafts and older editors; the schema refuses them. With what to use instead.
const DRAFT_MODES: &[(&str, &str)] = &[
    (
        "weighted",
        "traffic is split by an `infra` node with `runtime: {tool: canary, action: set-weight, weight: 10}`",
    ),
    (
        "compensation",
        "use `mode: fallback` to a node that undoes the work",
    ),
    (
        "message",
        "use `mode: sequential`, and pass values by `outputs` and `inputs`",
    ),
    (
        "dataflow",
        "use `mode: sequential`, and pass values by `outputs` and `inputs`",
    ),
    ("signal", "use `mode: conditional` with a `when`"),
];

/// Keys of an edge.
const KEYS: &[&str] = &[
    "from",
    "to",
    "mode",
    "when",
    "condition",
    "label",
    "explain",
    "spawn_count",
    "for_each",
    "iterator_var",
    "join_mode",
    "join_count",
    "cases",
    "default_to",
    "x-optional",
    "x-max-iterations",
];

/// Reads an edge. Nothing is returned if it does not say where it leads.
pub(crate) fn read_edge(item: &Value, d: &mut Diagnostics) -> Option<Edge> {
    let mut reader = Reader::of("an edge", item, d)?;
    reader.correct(KEYS, d);
    let from = reader.required("from", d);
    let to = reader.required("to", d);
    if let (Some(from), Some(to)) = (&from, &to) {
        reader.rename(format!(
            "edge {} -> {}",
            quote(&from.value),
            quote(&to.value)
        ));
    }
    let errors = d.errors();
    let written_mode = read_mode(&mut reader, d);
    let when = read_condition(&mut reader, d);
    // What was refused of these is not missing as well.
    let sure = d.errors() == errors;
    let for_each = reader.filled("for_each", d);
    let cases = read_cases(&mut reader, d);
    let default_to = reader.filled("default_to", d);
    let join = read_join(&mut reader, d);
    let mut edge = Edge {
        span: reader.span,
        label: reader.text("label", d),
        explain: super::node::read_explain(&mut reader, d),
        spawn_count: reader.count("spawn_count", 1, 10_000, d),
        iterator_var: reader.filled("iterator_var", d),
        join,
        optional: reader.bool("x-optional", d),
        max_iterations: reader.count("x-max-iterations", 1, 10_000, d),
        mode: written_mode.unwrap_or(Spanned::new(EdgeMode::Sequential, reader.span)),
        from: from.clone().unwrap_or_default(),
        to: to.clone().unwrap_or_default(),
        when,
        for_each,
        cases,
        default_to,
        extensions: Map::default(),
    };
    if sure {
        check_mode(&edge, &reader, d);
    }
    edge.extensions = reader.close(d);
    (from.is_some() && to.is_some()).then_some(edge)
}

/// The mode as written; of one that is reported, what is nearest to it.
fn read_mode(reader: &mut Reader<'_>, d: &mut Diagnostics) -> Option<Spanned<EdgeMode>> {
    let value = reader.value("mode")?;
    let meant = |mode| Some(Spanned::new(mode, value.span));
    let Some(word) = value.as_text() else {
        wrong_type(&reader.path("mode"), "a text", value, d);
        return None;
    };
    if let Some(mode) = EdgeMode::from_word(word) {
        return meant(mode);
    }
    if let Some((_, instead)) = DRAFT_MODES.iter().find(|(draft, _)| *draft == word) {
        d.error(
            codes::DRAFT_EDGE_MODE,
            value.span,
            format!("edge mode {} exists only in drafts of OSOP", quote(word)),
        )
        .help(*instead);
        return meant(EdgeMode::Sequential);
    }
    let known: Vec<&str> = EdgeMode::ALL.iter().map(|mode| mode.as_str()).collect();
    d.error(
        codes::UNKNOWN_VALUE,
        value.span,
        format!(
            "there is no edge mode {}; modes are {}",
            quote(word),
            known.join(", ")
        ),
    )
    .help_opt(did_you_mean(word, known.iter().copied()));
    let near = misspelt(word, known).and_then(EdgeMode::from_word);
    meant(near.unwrap_or(EdgeMode::Sequential))
}

/// `when`, or its alias `condition`. A boolean is a condition, too.
fn read_condition(reader: &mut Reader<'_>, d: &mut Diagnostics) -> Option<Text> {
    let when = condition_text(reader, "when", d);
    let condition = condition_text(reader, "condition", d);
    match (when, condition) {
        (Some(when), Some(condition)) if when.value.trim() != condition.value.trim() => {
            d.error(
                codes::CONFLICTING_CONDITION,
                condition.span,
                format!(
                    "{} has `when` and `condition`, and they differ",
                    reader.what()
                ),
            )
            .related(when.span, "the other one")
            .help("`condition` is an older name of `when`; keep one");
            Some(when)
        }
        (when, condition) => when.or(condition),
    }
}

fn condition_text(reader: &mut Reader<'_>, key: &'static str, d: &mut Diagnostics) -> Option<Text> {
    let value = reader.value(key)?;
    match value.as_bool() {
        Some(_) => value
            .as_scalar_text()
            .map(|text| Spanned::new(text.to_owned(), value.span)),
        None => reader.filled(key, d),
    }
}

fn read_cases(reader: &mut Reader<'_>, d: &mut Diagnostics) -> Vec<Case> {
    let Some(items) = reader.list("cases", d) else {
        return Vec::new();
    };
    let what = format!("a case of {}", reader.what());
    let mut cases = Vec::new();
    for item in items {
        let Some(mut case) = Reader::of(what.clone(), item, d) else {
            continue;
        };
        // Cases are open in the schema; without `value` a case would stand for anything.
        let value = case.value("value").cloned();
        if value.is_none() && !case.map.get("value").is_some_and(Value::is_null) {
            case.missing("value", d);
        }
        if let Some(to) = case.required("to", d) {
            cases.push(Case {
                span: case.span,
                value,
                to,
            });
        }
    }
    cases
}

fn read_join(reader: &mut Reader<'_>, d: &mut Diagnostics) -> Option<Join> {
    let count = reader.count("join_count", 1, 10_000, d);
    let mode: Option<Spanned<JoinMode>> = reader.word("join_mode", d);
    let written = reader
        .map
        .get("join_count")
        .is_some_and(|value| !value.is_null());
    match mode {
        Some(mode) if mode.value == JoinMode::Count && !written => {
            d.error(
                codes::JOIN_COUNT,
                mode.span,
                "`join_mode: wait_n` needs `join_count`",
            );
        }
        Some(mode) if mode.value != JoinMode::Count => {
            if let Some(count) = count {
                d.error(
                    codes::JOIN_COUNT,
                    count.span,
                    format!("`join_count` is not looked at with `join_mode: {mode}`"),
                )
                .help("use `join_mode: wait_n`, or remove `join_count`");
            }
        }
        None if reader.map.get("join_mode").is_none_or(Value::is_null) => {
            if let Some(count) = count {
                d.error(
                    codes::JOIN_COUNT,
                    count.span,
                    "`join_count` needs `join_mode: wait_n`",
                );
            }
        }
        _ => {}
    }
    mode.map(|mode| Join { mode, count })
}

/// What a mode needs, and what it never looks at.
fn check_mode(edge: &Edge, reader: &Reader<'_>, d: &mut Diagnostics) {
    let what = reader.what();
    let mode = edge.mode.value;
    match mode {
        EdgeMode::Conditional if edge.when.is_none() => {
            d.error(
                codes::MISSING_CONDITION,
                edge.mode.span,
                format!("{what} is conditional and has no `when`"),
            )
            .help("add `when: \"<expression>\"`, or make it `mode: sequential`");
        }
        EdgeMode::Loop if edge.when.is_none() && edge.for_each.is_none() => {
            d.error(
                codes::MISSING_CONDITION,
                edge.mode.span,
                format!("{what} is a loop and has neither `when` nor `for_each`"),
            );
        }
        EdgeMode::Switch if edge.cases.is_empty() && edge.when.is_none() => {
            d.error(
                codes::MISSING_CONDITION,
                edge.mode.span,
                format!("{what} is a switch and has no `cases`"),
            );
        }
        EdgeMode::Sequential | EdgeMode::Parallel => {
            if let Some(when) = &edge.when {
                let written = if mode == EdgeMode::Parallel {
                    "parallel"
                } else {
                    "sequential"
                };
                d.error(
                    codes::UNUSED_CONDITION,
                    when.span,
                    format!("{what} is {written} and would be taken whatever its condition says"),
                )
                .help("add `mode: conditional`, or remove the condition");
            }
        }
        _ => {}
    }
    if mode != EdgeMode::Switch
        && let Some(to) = edge
            .cases
            .first()
            .map(|case| case.span)
            .or(edge.default_to.as_ref().map(|to| to.span))
    {
        d.error(
            codes::UNUSED_CONDITION,
            to,
            format!("{what} has cases, but its mode is {mode}"),
        )
        .help("use `mode: switch`, or remove `cases` and `default_to`");
    }
}
