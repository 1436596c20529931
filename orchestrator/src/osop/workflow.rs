//! From a tree to a workflow: the top level of the schema, and what holds between its parts.

use std::collections::HashMap;
use std::sync::Arc;

use super::edge::read_edge;
use super::model::{Edge, Node, Text, Trigger, Workflow, WorkflowSecurity};
use super::node::read_node;
use super::reader::Reader;
use super::tree::{Map, Value};
use crate::diagnostic::{Diagnostics, SourceFile, Span, codes, nearest, quote};

/// Reads the top level. Nothing is returned if what is missing leaves nothing to go on with.
pub(crate) fn read_workflow(
    file: &Arc<SourceFile>,
    root: &Value,
    d: &mut Diagnostics,
) -> Option<Workflow> {
    let mut top = Reader::of("", root, d)?;
    top.rename("the workflow".to_owned());
    let osop_version = top
        .required("osop_version", d)
        .filter(|version| supported(version, d));
    let id = top.required("id", d);
    let name = top.required("name", d);
    if let Some(id) = &id {
        check_id("id of the workflow", id, d);
    }
    let mut descriptive = Map::default();
    super::descriptive::read(&mut top, &mut descriptive, d);
    let description = top.text("description", d);
    let owner = top.text("owner", d);
    let version = top.text("version", d);
    let visibility = top.word("visibility", d);
    let status = top.word("status", d);
    let usage = top.word("usage", d);
    let tags = top.texts("tags", d);
    let roles = top.texts("roles", d);
    let extends = top.text("extends", d);
    let imports = top.texts("imports", d);
    let triggers = read_triggers(&mut top, d);
    let variables = top
        .map("variables", d)
        .map(|map| map.value.clone())
        .unwrap_or_default();
    let env = top.text_map("env", d);
    for (name, _) in &env {
        check_env_name(name, d);
    }
    let platforms = top.words("platforms", d);
    let conformance_level = top
        .count("conformance_level", 0, 3, d)
        .map(|level| level.map(u64::from));
    let timeout = top.duration("timeout_sec", 1.0, d);
    let security = read_security(&mut top, d);
    let (nodes, known) = read_nodes(&mut top, d);
    let edges = read_edges(&mut top, &known, d);
    let x_canary = top.value("x-canary").cloned();
    let span = top.span;
    let extensions = top.close(d);
    Some(Workflow {
        file: Arc::clone(file),
        span,
        osop_version: osop_version?,
        id: id?,
        name: name?,
        description,
        owner,
        version,
        visibility,
        status,
        usage,
        tags,
        roles,
        extends,
        imports,
        triggers,
        variables,
        env,
        platforms,
        conformance_level,
        timeout,
        nodes: nodes?,
        edges: edges?,
        security,
        descriptive,
        x_canary,
        extensions,
    })
}

/// 1.x and 2.x are one dialect. `N.N` or `N.N.N`.
fn supported(version: &Text, d: &mut Diagnostics) -> bool {
    let parts: Vec<&str> = version.value.split('.').collect();
    let digits = |part: &&str| {
        !part.is_empty() && part.len() <= 9 && part.bytes().all(|b| b.is_ascii_digit())
    };
    if !(2..=3).contains(&parts.len()) || !parts.iter().all(digits) {
        d.error(
            codes::UNSUPPORTED_VERSION,
            version.span,
            format!(
                "`osop_version` must look like \"1.0\" or \"2.1.0\", found {}",
                quote(&version.value)
            ),
        );
        return false;
    }
    if matches!(parts[0].parse(), Ok(1_u32 | 2)) {
        return true;
    }
    d.error(
        codes::UNSUPPORTED_VERSION,
        version.span,
        format!(
            "OSOP {} is not supported; versions 1.x and 2.x are",
            quote(&version.value)
        ),
    );
    false
}

/// Letters, digits, `_`, `-` and `.`; at most 128 characters. Ids become file names, environment variables and parts of URLs.
pub(crate) fn check_id(what: &str, id: &Text, d: &mut Diagnostics) -> bool {
    const LONGEST: usize = 128;
    let bad = id
        .value
        .chars()
        .find(|c| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')));
    let message = match bad {
        Some(c) => format!(
            "{what} holds {}; letters, digits, `_`, `-` and `.` are allowed",
            quote(&c.to_string())
        ),
        None if id.value.len() > LONGEST => format!("{what} is longer than {LONGEST} bytes"),
        None if id.value.starts_with(['.', '-']) => {
            format!("{what} must start with a letter, a digit or `_`")
        }
        None => return true,
    };
    d.error(codes::INVALID_NAME, id.span, message);
    false
}

/// Letters, digits and `_`, not starting with a digit: what a shell can name.
pub(crate) fn is_env_name(name: &str) -> bool {
    name.bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn check_env_name(name: &Text, d: &mut Diagnostics) {
    if !is_env_name(&name.value) {
        let message = format!(
            "{} cannot name an environment variable: letters, digits and `_`, not starting with a digit",
            quote(&name.value)
        );
        d.error(codes::INVALID_NAME, name.span, message);
    }
}

fn read_triggers(top: &mut Reader<'_>, d: &mut Diagnostics) -> Vec<Trigger> {
    let Some(items) = top.list("triggers", d) else {
        return Vec::new();
    };
    let mut triggers = Vec::new();
    for item in items {
        let Some(mut reader) = Reader::of("a trigger", item, d) else {
            continue;
        };
        if reader.value("type").is_none() {
            reader.missing("type", d);
        }
        let kind = reader.word("type", d);
        let config = reader
            .map("config", d)
            .map(|map| map.value.clone())
            .unwrap_or_default();
        reader.close(d);
        if let Some(kind) = kind {
            triggers.push(Trigger { kind, config });
        }
    }
    triggers
}

fn read_security(top: &mut Reader<'_>, d: &mut Diagnostics) -> Option<WorkflowSecurity> {
    let mut reader = top.section("security", d)?;
    let security = WorkflowSecurity {
        secrets_provider: reader.text("secrets_provider", d),
        default_permissions: reader.texts("default_permissions", d),
        approval_required_for: reader.texts("approval_required_for", d),
    };
    reader.close(d);
    Some(security)
}

/// Ids that are in the file, with the place of the first; also those of nodes that could not be read, so that edges to them are not
/// reported a second time.
type KnownIds = HashMap<String, Span>;

fn read_nodes(top: &mut Reader<'_>, d: &mut Diagnostics) -> (Option<Vec<Node>>, KnownIds) {
    let mut known = KnownIds::new();
    let Some(entry) = top.entry("nodes") else {
        top.missing("nodes", d);
        return (None, known);
    };
    let Some(items) = top.list("nodes", d) else {
        return (None, known);
    };
    if items.is_empty() {
        d.error(
            codes::MISSING_KEY,
            entry.value.span,
            "the workflow has no node: `nodes` is empty",
        )
        .help("a node needs `id`, `type` and `purpose`");
        return (None, known);
    }
    let mut nodes = Vec::with_capacity(items.len());
    for item in items {
        let Some(mut reader) = Reader::of("a node", item, d) else {
            continue;
        };
        let id = reader
            .required("id", d)
            .filter(|id| check_id("id of a node", id, d));
        if let Some(id) = &id {
            reader.rename(format!("node {}", quote(&id.value)));
            if let Some(first) = known.get(&id.value) {
                d.error(
                    codes::DUPLICATE_ID,
                    id.span,
                    format!("two nodes have the id {}", quote(&id.value)),
                )
                .related(*first, "the first one");
                continue;
            }
            known.insert(id.value.clone(), id.span);
        } else if let Some(id) = item
            .as_map()
            .and_then(|map| map.get("id"))
            .and_then(Value::as_text)
        {
            known.insert(id.to_owned(), item.span);
        }
        if let Some(node) = read_node(reader, id, d) {
            nodes.push(node);
        }
    }
    for node in &nodes {
        if let Some(parent) = &node.parent {
            check_reference(
                &format!("`parent` of node {}", quote(&node.id.value)),
                parent,
                &known,
                d,
            );
        }
    }
    (Some(nodes), known)
}

fn read_edges(top: &mut Reader<'_>, known: &KnownIds, d: &mut Diagnostics) -> Option<Vec<Edge>> {
    let Some(entry) = top.entry("edges") else {
        // A workflow of one node needs none.
        if known.len() > 1 {
            top.missing("edges", d);
        }
        return Some(Vec::new());
    };
    let items = top.list("edges", d)?;
    if items.is_empty() && known.len() > 1 {
        d.warning(
            codes::MISSING_KEY,
            entry.value.span,
            "the workflow has several nodes and no edge: all start at once",
        )
        .help("an edge needs `from` and `to`");
    }
    // Nodes that could not be read at all leave nothing to compare with.
    let check = !known.is_empty();
    let mut edges = Vec::with_capacity(items.len());
    for item in items {
        let Some(edge) = read_edge(item, d) else {
            continue;
        };
        let mut fits = true;
        if check {
            fits &= check_reference("`from` of an edge", &edge.from, known, d);
            fits &= check_reference("`to` of an edge", &edge.to, known, d);
            for case in &edge.cases {
                fits &= check_reference("`to` of a case", &case.to, known, d);
            }
            if let Some(to) = &edge.default_to {
                fits &= check_reference("`default_to` of an edge", to, known, d);
            }
        }
        if fits {
            edges.push(edge);
        }
    }
    Some(edges)
}

fn check_reference(what: &str, id: &Text, known: &KnownIds, d: &mut Diagnostics) -> bool {
    if known.contains_key(&id.value) {
        return true;
    }
    // The nearest of thousands of ids, for each of thousands of edges, would take seconds; a file that is mostly wrong needs no hint.
    let near = if d.len() < 20 {
        nearest(&id.value, known.keys().map(String::as_str))
    } else {
        None
    };
    let place = near.and_then(|near| known.get(near).map(|span| (near.to_owned(), *span)));
    let diagnostic = d.error(
        codes::UNKNOWN_NODE,
        id.span,
        format!("{what} names no node: {}", quote(&id.value)),
    );
    if let Some((near, span)) = place {
        diagnostic
            .help(format!("did you mean {}?", quote(&near)))
            .related(span, "a node of a similar id");
    }
    false
}
