//! From the tree of `x-canary` to settings: the top level, and what is small. Gates, sources and channels have files of their own.

use super::model::{
    Approvals, Deadlines, LatencyMetric, Metrics, Queries, QuerySettings, Refused, RequestsMetric,
    Settings, Workload,
};
use super::section::{Section, conflict};
use super::{channel, gate, reference, source, traffic};
use crate::diagnostic::{Diagnostics, Spanned, codes, quote};
use crate::osop::cast::wrong_type;
use crate::osop::model::Text;
use crate::osop::reader::Reader;
use crate::osop::runtime::Runtime;
use crate::osop::tree::{Data, Map, Value};

/// Reads one mapping of settings: `root` is `x-canary`, or empty for a profile.
pub(super) fn read(root: &str, value: &Value, d: &mut Diagnostics) -> Settings {
    let what = if root.is_empty() {
        "the profile".to_owned()
    } else {
        quote(root)
    };
    let Some(reader) = Reader::of(what, value, d) else {
        return Settings::default();
    };
    let mut top = Section::new("", "", reader.map, reader.span);
    top.reader = top.reader.under(root);
    top.correct(d);
    top.reader.elsewhere = elsewhere;
    let settings = Settings {
        service: top.text("service", d),
        namespace: top.text("namespace", d),
        variables: read_variables(&mut top, d),
        nodes: read_nodes(&mut top, d),
        queries: read_queries(&mut top, d),
        sources: top
            .section("sources", "sources", d)
            .map(|section| source::read(section, d))
            .unwrap_or_default(),
        traffic: top
            .section("traffic", "traffic", d)
            .map(|section| traffic::read(section, d))
            .unwrap_or_default(),
        metrics: top
            .section("metrics", "metrics", d)
            .map(|section| read_metrics(section, d))
            .unwrap_or_default(),
        gates: read_gates(&mut top, d),
        bake: top.duration("bake", d),
        deadlines: top
            .section("deadlines", "deadlines", d)
            .map(|section| read_deadlines(section, d))
            .unwrap_or_default(),
        notify: read_channels(&mut top, d),
        on_failure: top.word("on_failure", d),
        approvals: top
            .section("approvals", "approvals", d)
            .map(|section| read_approvals(section, d))
            .unwrap_or_default(),
        workload: top
            .section("workload", "workload", d)
            .map(|section| read_workload(section, d))
            .unwrap_or_default(),
        refused: Refused::default(),
    };
    // A workflow was given where a profile belongs, or a profile repeats the key of the workflow.
    if top.reader.map.get("x-canary").is_some()
        && let Some(entry) = top.reader.refuse("x-canary")
    {
        d.error(
            codes::UNKNOWN_KEY,
            entry.key.span,
            "a profile has no key `x-canary`",
        )
        .help("a profile holds what stands under `x-canary` of a workflow, without that key");
    }
    top.reader.close_all(d);
    settings
}

/// A key of one of the sections that stands at the top.
fn elsewhere(key: &str) -> Option<String> {
    let doc = reference::KEYS.iter().find(|doc| doc.key == key)?;
    let plain = !doc.section.is_empty() && !doc.section.contains(['*', '[']);
    plain.then(|| format!("it stands under {}", quote(doc.section)))
}

fn read_variables(top: &mut Section<'_>, d: &mut Diagnostics) -> Vec<(Text, Value)> {
    let Some(map) = top.reader.map("variables", d) else {
        return Vec::new();
    };
    let mut variables = Vec::new();
    for (name, value) in map.value.iter() {
        let fits = check_variable_name(name, d);
        let mut value = value.clone();
        if value.as_scalar_text().is_none() {
            wrong_type(
                &format!("variable {}", quote(&name.value)),
                "a text, a number or a boolean",
                &value,
                d,
            );
            // Its name stays known, so that what uses it is not reported as well.
            value.data = Data::Null;
        }
        if fits {
            variables.push((name.clone(), value));
        }
    }
    variables
}

/// Letters, digits, `_`, `-` and `.`, starting with a letter or `_`: what stands in `${name}`.
pub(super) fn check_variable_name(name: &Text, d: &mut Diagnostics) -> bool {
    let fits = name
        .value
        .starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name
            .value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        && name.value.len() <= 128;
    if !fits {
        d.error(
            codes::INVALID_NAME,
            name.span,
            format!("{} cannot name a variable", quote(&name.value)),
        )
        .help("letters, digits, `_`, `-` and `.`, starting with a letter or `_`");
    }
    fits
}

fn read_nodes(top: &mut Section<'_>, d: &mut Diagnostics) -> Vec<(Text, Runtime)> {
    let Some(map) = top.reader.map("nodes", d) else {
        return Vec::new();
    };
    let mut nodes = Vec::new();
    for (id, value) in map.value.iter() {
        let what = format!("{} of `nodes`", quote(&id.value));
        let Some(reader) = Reader::of(what, value, d) else {
            continue;
        };
        if let Some(entry) = reader.map.entry("runtime") {
            d.error(
                codes::UNKNOWN_KEY,
                entry.key.span,
                format!("{} has no key `runtime`", reader.what()),
            )
            .help("what stands here is the runtime itself: write its keys one level up");
            continue;
        }
        nodes.push((
            id.clone(),
            Runtime {
                span: Some(value.span),
                map: reader.map.clone(),
            },
        ));
    }
    nodes
}

fn read_queries(top: &mut Section<'_>, d: &mut Diagnostics) -> Queries {
    let mut queries = Queries::default();
    let Some(map) = top.reader.map("queries", d) else {
        return queries;
    };
    for (name, value) in map.value.iter() {
        match &value.data {
            // Without `query` it is no query, but the outputs of a node.
            Data::Map(outputs)
                if outputs.get("query").is_none() && outputs.iter().all(|(_, v)| is_query(v)) =>
            {
                queries
                    .by_node
                    .push((name.clone(), read_query_map(outputs, d)));
            }
            _ => queries
                .general
                .extend(read_query(name, value, d).map(|query| (name.clone(), query))),
        }
    }
    queries
}

fn is_query(value: &Value) -> bool {
    match &value.data {
        Data::Text(text) => {
            !matches!(text.as_str(), "last" | "max" | "min" | "mean") && text.len() > 3
        }
        Data::Map(_) => true,
        _ => false,
    }
}

/// Queries by output name: of a node under `queries`, or of `queries` in a node's own runtime.
pub fn read_query_map(map: &Map, d: &mut Diagnostics) -> Vec<(Text, QuerySettings)> {
    map.iter()
        .filter_map(|(name, value)| Some((name.clone(), read_query(name, value, d)?)))
        .collect()
}

/// One query: its text, or a mapping with `query`.
fn read_query(name: &Text, value: &Value, d: &mut Diagnostics) -> Option<QuerySettings> {
    let what = format!("query {}", quote(&name.value));
    match &value.data {
        Data::Text(text) if text.trim().is_empty() => {
            d.error(codes::EMPTY_TEXT, value.span, format!("{what} is empty"));
            None
        }
        Data::Text(text) => Some(QuerySettings {
            span: value.span,
            query: Spanned::new(text.clone(), value.span),
            unit: None,
            as_unit: None,
            reduce: None,
            min_samples: None,
        }),
        Data::Map(map) => {
            let mut section = Section::new("queries.*", what, map, value.span);
            section.correct(d);
            let query = section.required("query", d);
            let settings = QuerySettings {
                span: value.span,
                unit: section.text("unit", d),
                as_unit: section.text("as", d),
                reduce: section.word("reduce", d),
                min_samples: section.count_u32("min_samples", d),
                query: query.unwrap_or_default(),
            };
            section.reader.close_all(d);
            // A query that is missing is told; what is asked for it is not missing a second time.
            Some(settings)
        }
        _ => {
            wrong_type(&what, "PromQL, or a mapping with a `query`", value, d);
            None
        }
    }
}

fn read_metrics(mut section: Section<'_>, d: &mut Diagnostics) -> Metrics {
    let preset = section.text("preset", d);
    let metrics = Metrics {
        span: Some(section.span()),
        preset,
        parameters: section.reader.text_map("parameters", d),
        requests: section
            .section("requests", "metrics.requests", d)
            .and_then(|section| read_requests(section, d)),
        latency: section
            .section("latency", "metrics.latency", d)
            .and_then(|section| read_latency(section, d)),
        stable: section.text("stable", d),
        canary: section.text("canary", d),
        pod: section.text("pod", d),
    };
    if let Some(preset) = &metrics.preset {
        for key in ["requests", "latency", "stable", "canary", "pod"] {
            if let Some(entry) = section.reader.map.entry(key) {
                conflict(
                    &section.reader,
                    ("preset", preset.span),
                    (key, entry.key.span),
                    d,
                );
            }
        }
    } else {
        // Without these, evidence of the two versions could not be told apart.
        for key in ["requests", "stable", "canary"] {
            if section.reader.map.get(key).is_none_or(Value::is_null) {
                d.error(
                    codes::MISSING_KEY,
                    section.reader.head(),
                    format!("`metrics` has neither `preset` nor {}", quote(key)),
                )
                .help("name a preset, or write `requests`, `stable` and `canary`");
                break;
            }
        }
    }
    section.close(d);
    metrics
}

fn read_requests(mut section: Section<'_>, d: &mut Diagnostics) -> Option<RequestsMetric> {
    let metric = section.required("metric", d);
    let requests = (
        section.span(),
        section.text("selector", d),
        section.text("errors", d),
    );
    section.close(d);
    let (span, selector, errors) = requests;
    Some(RequestsMetric {
        span,
        metric: metric?,
        selector,
        errors,
    })
}

fn read_latency(mut section: Section<'_>, d: &mut Diagnostics) -> Option<LatencyMetric> {
    let metric = section.required("metric", d);
    if section.reader.value("unit").is_none() {
        section.missing("unit", d);
    }
    let unit = section.word("unit", d);
    let selector = section.text("selector", d);
    let span = section.span();
    section.close(d);
    Some(LatencyMetric {
        span,
        metric: metric?,
        unit: unit?,
        selector,
    })
}

fn read_gates(top: &mut Section<'_>, d: &mut Diagnostics) -> Vec<super::gate::GateSettings> {
    let items = top.reader.list("gates", d).unwrap_or_default();
    gate::read_all(items, d)
}

fn read_deadlines(mut section: Section<'_>, d: &mut Diagnostics) -> Deadlines {
    let deadlines = Deadlines {
        evidence: section.duration("evidence", d),
        decision: section.duration("decision", d),
    };
    section.close(d);
    deadlines
}

fn read_channels(top: &mut Section<'_>, d: &mut Diagnostics) -> Vec<super::channel::Channel> {
    let Some(map) = top.reader.map("notify", d) else {
        return Vec::new();
    };
    map.value
        .iter()
        .filter_map(|(name, value)| channel::read(name, value, d))
        .collect()
}

fn read_approvals(mut section: Section<'_>, d: &mut Diagnostics) -> Approvals {
    let approvals = Approvals {
        approvers: section.texts("approvers", d).unwrap_or_default(),
        required: section.count_u32("required", d),
        timeout: section.duration("timeout", d),
    };
    section.close(d);
    approvals
}

fn read_workload(mut section: Section<'_>, d: &mut Diagnostics) -> Workload {
    let workload = Workload {
        promote: section.text("promote", d),
        rollback: section.text("rollback", d),
        scale: section.text("scale", d),
        timeout: section.duration("timeout", d),
    };
    section.close(d);
    workload
}
