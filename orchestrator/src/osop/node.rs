//! Nodes.

use super::cast::{as_text, wrong_type};
use super::model::{
    Backoff, Explain, Idempotency, Lost, Node, NodeSecurity, NodeType, Port, RetryPolicy, Text,
};
use super::reader::Reader;
use super::runtime::Runtime;
use super::tree::{Data, Map};
use super::{approval, known_runtime};
use crate::diagnostic::{Diagnostics, Span, Spanned, codes, quote};

/// Keys of a node.
const KEYS: &[&str] = &[
    "id",
    "type",
    "purpose",
    "name",
    "subtype",
    "role",
    "owner",
    "description",
    "runtime",
    "inputs",
    "outputs",
    "success_criteria",
    "failure_modes",
    "retry_policy",
    "timeout_sec",
    "idempotency",
    "explain",
    "approval_gate",
    "security",
    "parent",
    "workflow_ref",
    "workflow_inputs",
    "handoff",
    "cost",
    "message_contract",
    "observability",
    "spawn_policy",
    "config",
];

/// Reads a node whose id was read already. One without a known type is marked as refused.
pub(crate) fn read_node(
    mut reader: Reader<'_>,
    id: Text,
    lost: &mut Lost,
    d: &mut Diagnostics,
) -> Node {
    reader.correct(KEYS, d);
    if reader.value("type").is_none() {
        reader.missing("type", d);
    }
    let node_type: Option<Spanned<NodeType>> = reader.word("type", d);
    let purpose = read_purpose(&mut reader, d);
    let name = reader.text("name", d);
    let subtype = reader.text("subtype", d);
    let role = reader.text("role", d);
    let owner = reader.text("owner", d);
    let description = reader.text("description", d);
    let mut runtime = reader
        .map("runtime", d)
        .map_or_else(Runtime::default, |map| Runtime {
            span: Some(map.span),
            map: map.value.clone(),
        });
    if let Some(node_type) = &node_type {
        known_runtime::check(&reader.what(), node_type.value, &mut runtime.map, d);
    }
    let inputs = read_ports(&mut reader, "inputs", d);
    let errors = d.errors();
    let outputs = read_ports(&mut reader, "outputs", d);
    lost.nodes |= d.errors() > errors;
    let success_criteria = reader.texts("success_criteria", d);
    let failure_modes = reader.texts("failure_modes", d);
    let retry = read_retry(&mut reader, d);
    let timeout = reader.duration("timeout_sec", 1.0, d);
    let idempotency = read_idempotency(&mut reader, d);
    let explain = read_explain(&mut reader, d);
    let own_gate = approval::read(&mut reader, d);
    let (security, nested_gate) = read_security(&mut reader, d);
    if let (Some(own), Some(nested)) = (&own_gate, &nested_gate) {
        d.error(
            codes::CONFLICTING_KEYS,
            nested.span,
            format!(
                "{} has `approval_gate` and another one under `security`",
                reader.what()
            ),
        )
        .related(own.span, "the other one")
        .help("keep one of them");
    }
    let parent = reader.filled("parent", d);
    let workflow_ref = reader.filled("workflow_ref", d);
    let workflow_inputs = reader
        .map("workflow_inputs", d)
        .map(|map| map.value.clone())
        .unwrap_or_default();
    let x_role = reader.filled("x-role", d);
    check_parts_without_meaning(&mut reader, d);
    hint_at_misspelt_keys(&reader, d);
    Node {
        span: reader.span,
        extras: reader.rest(),
        id,
        refused: node_type.is_none(),
        node_type: node_type.unwrap_or(Spanned::by_default(NodeType::System)),
        purpose,
        name,
        subtype,
        role,
        owner,
        description,
        runtime,
        inputs,
        outputs,
        success_criteria,
        failure_modes,
        retry,
        timeout,
        idempotency,
        explain,
        security,
        approval: own_gate.or(nested_gate),
        parent,
        workflow_ref,
        workflow_inputs,
        x_role,
    }
}

/// The full schema requires a purpose and the core schema does not: said, not refused.
fn read_purpose(reader: &mut Reader<'_>, d: &mut Diagnostics) -> Option<Text> {
    let written = reader.value("purpose").is_some();
    let purpose = reader.filled("purpose", d);
    if !written {
        d.warning(
            codes::NO_PURPOSE,
            reader.head(),
            format!("{} does not say what it is for", reader.what()),
        )
        .help("add `purpose: <one sentence>`; people see it while they wait for the node");
    }
    purpose
}

fn read_ports(reader: &mut Reader<'_>, key: &'static str, d: &mut Diagnostics) -> Vec<Port> {
    let Some(items) = reader.list(key, d) else {
        return Vec::new();
    };
    let what = format!("an entry of {}", reader.path(key));
    let mut ports: Vec<Port> = Vec::with_capacity(items.len());
    for item in items {
        let port = match &item.data {
            Data::Map(map) => read_port_mapping(&what, map, item.span, d),
            Data::Text(_) | Data::Number(_) => {
                as_text(&what, item, d).map(|name| bare_port(name, item.span))
            }
            _ => {
                wrong_type(&what, "a name, or a mapping with a `name`", item, d);
                None
            }
        };
        let Some(port) = port else { continue };
        if let Some(first) = ports
            .iter()
            .find(|known| known.name.value == port.name.value)
        {
            d.error(
                codes::DUPLICATE_ID,
                port.name.span,
                format!(
                    "{} names {} twice",
                    reader.path(key),
                    quote(&port.name.value)
                ),
            )
            .related(first.name.span, "first time");
            continue;
        }
        if port.name.value.trim().is_empty() {
            d.error(
                codes::EMPTY_TEXT,
                port.name.span,
                format!("{what} has no name"),
            );
            continue;
        }
        ports.push(port);
    }
    ports
}

fn bare_port(name: Text, span: Span) -> Port {
    Port {
        span,
        name,
        unit: None,
        kind: None,
        required: None,
        extras: Map::default(),
    }
}

fn read_port_mapping(what: &str, map: &Map, span: Span, d: &mut Diagnostics) -> Option<Port> {
    let mut reader = Reader::new(what, map, span);
    let name = reader.required("name", d);
    let unit = reader.filled("unit", d);
    let kind = reader.text("type", d);
    let required = reader.bool("required", d);
    Some(Port {
        span,
        name: name?,
        unit,
        kind,
        required,
        extras: reader.rest(),
    })
}

fn read_retry(reader: &mut Reader<'_>, d: &mut Diagnostics) -> Option<RetryPolicy> {
    let mut retry = reader.section("retry_policy", d)?;
    let max_retries = retry.count("max_retries", 0, 1_000, d);
    let strategy = retry.word("strategy", d);
    let backoff = retry.duration("backoff_sec", 1.0, d);
    let span = retry.span;
    Some(RetryPolicy {
        span,
        max_retries: max_retries.unwrap_or_default(),
        strategy: strategy.unwrap_or(Spanned::by_default(Backoff::Fixed)),
        backoff: backoff.unwrap_or_default(),
        extensions: retry.close(d),
    })
}

fn read_idempotency(reader: &mut Reader<'_>, d: &mut Diagnostics) -> Option<Idempotency> {
    let mut section = reader.section("idempotency", d)?;
    let enabled = section.bool("enabled", d).unwrap_or_default();
    let key = section.filled("key", d);
    section.close(d);
    Some(Idempotency { enabled, key })
}

/// A text, or `why`, `what` and `result`.
pub(crate) fn read_explain(reader: &mut Reader<'_>, d: &mut Diagnostics) -> Option<Explain> {
    let value = reader.value("explain")?;
    let what = reader.path("explain");
    match &value.data {
        Data::Map(map) => {
            let mut section = Reader::new(what, map, value.span);
            let explain = Explain {
                why: section.text("why", d),
                what: section.text("what", d),
                result: section.text("result", d),
            };
            section.close(d);
            Some(explain)
        }
        _ => as_text(&what, value, d).map(|why| Explain {
            why: Some(why),
            ..Explain::default()
        }),
    }
}

fn read_security(
    reader: &mut Reader<'_>,
    d: &mut Diagnostics,
) -> (Option<NodeSecurity>, Option<super::model::ApprovalGate>) {
    let Some(mut section) = reader.section("security", d) else {
        return (None, None);
    };
    let gate = approval::read(&mut section, d);
    let security = NodeSecurity {
        span: section.span,
        permissions: section.texts("permissions", d),
        secrets: section.texts("secrets", d),
        credentials: section.texts("credentials", d),
        risk_level: section.text("risk_level", d),
        auth: section.text("auth", d),
        secret_ref: section.filled("secret_ref", d),
        credentials_source: section.text("credentials_source", d),
        extras: section.rest(),
    };
    (Some(security), gate)
}

/// Keys of the schema that say nothing about how a release runs: their types are checked, and they stay in `extras`.
fn check_parts_without_meaning(reader: &mut Reader<'_>, d: &mut Diagnostics) {
    // A reader of its own: these keys shall stay among the extras.
    let mut parts = Reader::new(reader.what(), reader.map, reader.span);
    if let Some(mut section) = parts.section("observability", d) {
        section.bool("log", d);
        section.texts("metrics", d);
        section.close(d);
    }
    if let Some(mut section) = parts.section("spawn_policy", d) {
        section.count("max_children", 1, 10_000, d);
        section.texts("child_tools", d);
        section.bool("can_spawn_children", d);
        section.close(d);
    }
    for key in ["handoff", "cost", "message_contract"] {
        parts.map(key, d);
    }
}

/// A node is open, so an unknown key is no error; one that is nearly a known key is most likely meant to be that.
fn hint_at_misspelt_keys(reader: &Reader<'_>, d: &mut Diagnostics) {
    const ALSO_KNOWN: &[&str] = &[
        "handoff",
        "cost",
        "message_contract",
        "observability",
        "spawn_policy",
        "config",
    ];
    for entry in &reader.rest().entries {
        let key = entry.key.value.as_str();
        if key.starts_with("x-") || ALSO_KNOWN.contains(&key) {
            continue;
        }
        let known = reader
            .asked()
            .iter()
            .copied()
            .chain(ALSO_KNOWN.iter().copied());
        if let Some(near) = crate::diagnostic::nearest(key, known) {
            d.warning(
                codes::UNKNOWN_KEY,
                entry.key.span,
                format!(
                    "{} has a key {} that means nothing",
                    reader.what(),
                    quote(key)
                ),
            )
            .help(format!(
                "did you mean {}? A key of your own starts with `x-`",
                quote(near)
            ));
        }
    }
}
