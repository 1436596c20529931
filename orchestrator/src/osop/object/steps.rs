//! `strategy` as a graph: steps become the nodes and edges that `canary init` would write.

use super::write::{entry, list, map, text, truth};
use super::{Head, head_span};
use crate::diagnostic::{Diagnostics, Span, Spanned, codes};
use crate::osop::reader::Reader;
use crate::osop::tree::{Data, Value};

/// How long a step is judged where it does not say.
const SOAK: &str = "5m";

/// The tree of the workflow without its settings; `given` is that of its ConfigMap.
pub(super) fn strategy(
    spec: &mut Reader<'_>,
    head: &Head<'_>,
    given: Option<&Value>,
    d: &mut Diagnostics,
) -> Option<Value> {
    let Some(value) = spec.value("strategy") else {
        spec.missing("strategy", d);
        return None;
    };
    let mut strategy = Reader::of("`strategy`", value, d)?;
    let (steps, workflow) = (strategy.entry("steps"), strategy.entry("workflow"));
    strategy.close_all(d);
    match (steps, workflow) {
        (Some(steps), None) => self::steps(&steps.value, head, d),
        (None, Some(workflow)) => self::workflow(&workflow.value, given, d),
        (Some(steps), Some(workflow)) => {
            d.error(
                codes::CONFLICTING_KEYS,
                workflow.key.span,
                "`strategy` has one of `steps` and `workflow`",
            )
            .related(steps.key.span, "the other one");
            None
        }
        (None, None) => {
            d.error(
                codes::MISSING_KEY,
                head_span(value),
                "`strategy` has one of `steps` and `workflow`",
            );
            None
        }
    }
}

fn workflow(value: &Value, given: Option<&Value>, d: &mut Diagnostics) -> Option<Value> {
    let mut reader = Reader::of("`workflow`", value, d)?;
    let (inline, config_map) = (reader.entry("inline"), reader.entry("configMap"));
    reader.close_all(d);
    match (inline, config_map) {
        (Some(inline), None) => {
            if inline.value.as_map().is_none() {
                crate::osop::cast::wrong_type(
                    "`inline`",
                    "a mapping: the workflow itself",
                    &inline.value,
                    d,
                );
                return None;
            }
            Some(inline.value.clone())
        }
        (None, Some(config_map)) => {
            if let Some(mut reader) = Reader::of("`configMap`", &config_map.value, d) {
                reader.required("name", d);
                reader.required("key", d);
                reader.close_all(d);
            }
            if given.is_none() && !d.has_errors() {
                d.error(
                    codes::UNSUITABLE_CALL,
                    config_map.key.span,
                    "the workflow is in a ConfigMap and was not read",
                )
                .help("check it by `canary validate WORKFLOW --profile RELEASE`");
            }
            given.cloned()
        }
        _ => {
            d.error(
                codes::MISSING_KEY,
                head_span(value),
                "`workflow` has one of `inline` and `configMap`",
            );
            None
        }
    }
}

struct Step {
    weight: Spanned<u32>,
    soak: Value,
    gates: Option<Value>,
    approval: Option<Span>,
    span: Span,
}

fn steps(value: &Value, head: &Head<'_>, d: &mut Diagnostics) -> Option<Value> {
    let Some(items) = value.as_list() else {
        crate::osop::cast::wrong_type("`steps`", "a list of steps", value, d);
        return None;
    };
    if items.is_empty() || items.len() > 20 {
        d.error(codes::OUT_OF_RANGE, value.span, "`steps` has 1 to 20 steps");
        return None;
    }
    let mut steps: Vec<Step> = Vec::new();
    for item in items {
        let Some(step) = step(item, d) else { continue };
        if let Some(last) = steps.last()
            && step.weight.value <= last.weight.value
        {
            d.error(
                codes::WEIGHT_DOWN,
                step.weight.span,
                format!(
                    "the weights of the steps must rise: {} comes after {}",
                    step.weight.value, last.weight.value
                ),
            )
            .related(last.weight.span, "the step before");
        }
        steps.push(step);
    }
    if let Some(last) = steps.last()
        && last.weight.value != 100
    {
        d.error(
            codes::NEVER_PROMOTED,
            last.weight.span,
            format!(
                "the last step must have weight 100, found {}",
                last.weight.value
            ),
        )
        .help("add `- weight: 100`");
    }
    if steps.len() != items.len() || d.has_errors() {
        return None;
    }
    Some(graph(&steps, value.span, head))
}

fn step(item: &Value, d: &mut Diagnostics) -> Option<Step> {
    let mut reader = Reader::of("a step", item, d)?;
    if reader.value("weight").is_none() {
        reader.missing("weight", d);
    }
    let weight = reader.count("weight", 1, 100, d);
    let soak = reader.entry("soak");
    let gates = reader.entry("gates");
    let approval = reader.bool("approval", d);
    reader.close_all(d);
    let weight = weight?;
    if let Some(soak) = soak
        && soak.value.as_text().is_none()
    {
        crate::osop::cast::wrong_type("`soak` of a step", "a duration, as `5m`", &soak.value, d);
        return None;
    }
    for entry in soak.into_iter().chain(gates) {
        if weight.value == 100 {
            d.error(
                codes::CONFLICTING_KEYS,
                entry.key.span,
                format!("a step of weight 100 has no `{}`", entry.key.value),
            )
            .help("100 % is watched for `bake`, by all gates");
        }
    }
    Some(Step {
        weight,
        soak: soak.map_or_else(|| text(weight.span, SOAK), |soak| soak.value.clone()),
        gates: gates.map(|gates| gates.value.clone()),
        approval: approval
            .filter(|approval| approval.value)
            .map(|approval| approval.span),
        span: item.span,
    })
}

fn graph(steps: &[Step], span: Span, head: &Head<'_>) -> Value {
    let mut nodes = Vec::new();
    let mut edges = Vec::new();
    let mut before: Option<String> = None;
    for step in steps {
        let (weight, at) = (step.weight.value, step.span);
        let last = weight == 100;
        let id = if last {
            "promote".to_owned()
        } else {
            format!("canary_{weight}")
        };
        let (action, purpose) = if last {
            (
                "promote",
                "Send everything to the new version and watch it".to_owned(),
            )
        } else {
            (
                "set-weight",
                format!("Send {weight} % of the requests to the new version"),
            )
        };
        let mut runtime = native(at, action);
        if !last {
            runtime.push(entry("weight", text(step.weight.span, weight.to_string())));
        }
        let mut extra = Vec::new();
        if let Some(asked) = step.approval {
            extra.push(entry("approval_gate", truth(asked)));
        }
        nodes.push(node(at, &id, &purpose, runtime, extra));
        if let Some(before) = &before {
            edges.push(edge(at, before, &id, "sequential"));
        }
        if last {
            if before.is_none() {
                edges.push(edge(at, &id, "rollback", "fallback"));
            }
            continue;
        }
        let check = format!("check_{weight}");
        let mut judge = native(at, "analyze");
        judge.push(entry("for", step.soak.clone()));
        if let Some(gates) = &step.gates {
            judge.push(entry("gates", gates.clone()));
        }
        let purpose = "Judge the new version on real requests";
        nodes.push(node(at, &check, purpose, judge, Vec::new()));
        edges.push(edge(at, &id, &check, "sequential"));
        edges.push(edge(at, &check, "rollback", "fallback"));
        before = Some(check);
    }
    let purpose = "Send everything back to the old version";
    nodes.push(node(
        span,
        "rollback",
        purpose,
        native(span, "rollback"),
        Vec::new(),
    ));
    let name = &head.name;
    map(
        span,
        vec![
            entry("osop_version", text(name.span, "2.0")),
            entry("id", text(name.span, name.value.clone())),
            entry(
                "name",
                text(name.span, format!("Release of {}", name.value)),
            ),
            entry("nodes", list(span, nodes)),
            entry("edges", list(span, edges)),
        ],
    )
}

fn native(span: Span, action: &str) -> Vec<crate::osop::tree::Entry> {
    vec![
        entry("tool", text(span, "canary")),
        entry("action", text(span, action)),
    ]
}

fn node(
    span: Span,
    id: &str,
    purpose: &str,
    runtime: Vec<crate::osop::tree::Entry>,
    extra: Vec<crate::osop::tree::Entry>,
) -> Value {
    let mut entries = vec![
        entry("id", text(span, id)),
        entry("type", text(span, "infra")),
        entry("purpose", text(span, purpose)),
        entry("runtime", map(span, runtime)),
    ];
    entries.extend(extra);
    map(span, entries)
}

fn edge(span: Span, from: &str, to: &str, mode: &str) -> Value {
    Value {
        data: Data::Map(crate::osop::tree::Map {
            entries: [("from", from), ("to", to), ("mode", mode)]
                .into_iter()
                .map(|(key, value)| entry(key, text(span, value)))
                .collect(),
        }),
        span,
    }
}
