//! From a tree to a workflow: the top level of the schema, and what holds between its parts.

use std::collections::HashMap;
use std::sync::Arc;

use super::edge::read_edge;
use super::model::{Edge, Lost, Node, Text, Trigger, Workflow, WorkflowSecurity};
use super::node::read_node;
use super::reader::Reader;
use super::settings::reference;
use super::tree::{Map, Value};
use crate::diagnostic::{Diagnostics, SourceFile, Span, codes, misspelt, nearest, quote};

/// Keys of the top level.
const KEYS: &[&str] = &[
    "osop_version",
    "id",
    "name",
    "description",
    "owner",
    "version",
    "visibility",
    "status",
    "usage",
    "tags",
    "roles",
    "extends",
    "imports",
    "triggers",
    "variables",
    "env",
    "platforms",
    "conformance_level",
    "timeout_sec",
    "security",
    "nodes",
    "edges",
    "metadata",
    "schemas",
    "workflow_type",
    "message_contracts",
    "tests",
    "views",
    "observability",
    "evolution",
    "ledger",
    "x-canary",
];

/// Reads the top level. What is refused is left out or replaced by something to go on with: then there are errors. Nothing is
/// returned only where there is no mapping.
pub(crate) fn read_workflow(
    file: &Arc<SourceFile>,
    root: &Value,
    d: &mut Diagnostics,
) -> Option<Workflow> {
    let mut top = Reader::of("", root, d)?;
    top.rename("the workflow".to_owned());
    if !is_workflow(&top, d) {
        return None;
    }
    top.correct(KEYS, d);
    top.elsewhere = |key| {
        let known = reference::KEYS.iter().any(|doc| doc.key == key);
        known.then(|| "it stands in `x-canary`, or in a profile".to_owned())
    };
    let osop_version = top
        .required("osop_version", d)
        .filter(|version| supported(version, d));
    let id = top.required("id", d);
    let name = top.required("name", d);
    if let Some(id) = &id {
        check_id("id of the workflow", id, d);
    }
    let id = id.unwrap_or_else(|| Text::by_default("workflow".to_owned()));
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
    let mut lost = Lost::default();
    let (nodes, known) = read_nodes(&mut top, &mut lost, d);
    let edges = read_edges(&mut top, &known, &mut lost, d);
    let x_canary = top.value("x-canary").cloned();
    let span = top.span;
    let extensions = top.close(d);
    Some(Workflow {
        file: Arc::clone(file),
        span,
        osop_version: osop_version.unwrap_or_default(),
        name: name.unwrap_or_else(|| id.clone()),
        id,
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
        nodes,
        edges,
        lost,
        security,
        descriptive,
        x_canary,
        extensions,
    })
}

/// Whether there is anything of a workflow in the file; what it is instead is told once, not as a list of what is missing.
fn is_workflow(top: &Reader<'_>, d: &mut Diagnostics) -> bool {
    // Other files have these, too.
    const COMMON: &[&str] = &[
        "id",
        "name",
        "description",
        "metadata",
        "version",
        "tests",
        "status",
    ];
    let own = |word: &str| KEYS.contains(&word) && !COMMON.contains(&word);
    let near = |word: &str| misspelt(word, KEYS.iter().copied()).is_some_and(own);
    if top.map.len() < 2 || top.map.keys().any(|word| own(word) || near(word)) {
        return true;
    }
    let has = |key: &str| top.map.get(key).is_some();
    let settings = reference::KEYS.iter().filter(|doc| doc.section.is_empty());
    let of_profile = settings.filter(|doc| has(doc.key)).count();
    let (message, help) = if has("apiVersion") && has("kind") {
        (
            "this is a Kubernetes object, not a workflow",
            "`canary init` writes a workflow; it names the manifests that its commands apply",
        )
    } else if has("tests") {
        (
            "this is a file of tests, not a workflow",
            "run it with `canary test`",
        )
    } else if of_profile > 0 {
        (
            "this is a profile, not a workflow",
            "give it with `--profile`, beside the workflow",
        )
    } else {
        (
            "this is no workflow: it has none of `osop_version`, `nodes` and `edges`",
            "`canary init` writes one to start from",
        )
    };
    d.error(codes::MISSING_KEY, top.head(), message).help(help);
    false
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
    match id_fault(&id.value) {
        None => true,
        Some(fault) => {
            d.error(codes::INVALID_NAME, id.span, format!("{what} {fault}"));
            false
        }
    }
}

fn id_fault(id: &str) -> Option<String> {
    const LONGEST: usize = 128;
    let bad = id
        .chars()
        .find(|c| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')));
    match bad {
        Some(c) => Some(format!(
            "holds {}; letters, digits, `_`, `-` and `.` are allowed",
            quote(&c.to_string())
        )),
        None if id.len() > LONGEST => Some(format!("is longer than {LONGEST} bytes")),
        None if id.starts_with(['.', '-']) => {
            Some("must start with a letter, a digit or `_`".to_owned())
        }
        None => None,
    }
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

/// Ids that are in the file, with the place of the first; also those of nodes that were refused, so that edges to them are not
/// reported a second time.
#[derive(Default)]
struct KnownIds {
    places: HashMap<String, Span>,
    /// There is a node without an id of its own: it may be what an edge names.
    nameless: bool,
}

fn read_nodes(top: &mut Reader<'_>, lost: &mut Lost, d: &mut Diagnostics) -> (Vec<Node>, KnownIds) {
    let mut known = KnownIds::default();
    let entry = top.entry("nodes");
    let Some(items) = top.list("nodes", d).filter(|items| !items.is_empty()) else {
        match entry {
            None => top.missing("nodes", d),
            Some(entry) if entry.value.as_list().is_some() => {
                d.error(
                    codes::MISSING_KEY,
                    entry.value.span,
                    "the workflow has no node: `nodes` is empty",
                )
                .help("a node needs `id`, `type` and `purpose`");
            }
            Some(_) => {}
        }
        *lost = Lost {
            nodes: true,
            edges: true,
        };
        return (Vec::new(), known);
    };
    let mut nodes = Vec::with_capacity(items.len());
    for item in items {
        let Some(mut reader) = Reader::of("a node", item, d) else {
            lost.nodes = true;
            known.nameless = true;
            continue;
        };
        reader.correct(&["id"], d);
        let id = reader.required("id", d);
        let Some(mut id) = id else {
            known.nameless = true;
            *lost = Lost {
                nodes: true,
                edges: true,
            };
            read_node(
                reader,
                Text::new(format!("node {}", nodes.len() + 1), item.span),
                lost,
                d,
            );
            continue;
        };
        check_id("id of a node", &id, d);
        reader.rename(format!("node {}", quote(&id.value)));
        if let Some(first) = known.places.get(&id.value) {
            d.error(
                codes::DUPLICATE_ID,
                id.span,
                format!("two nodes have the id {}", quote(&id.value)),
            )
            .related(*first, "the first one");
            known.nameless = true;
            // Which of them an edge means is not known.
            *lost = Lost {
                nodes: true,
                edges: true,
            };
            id.value = format!("{} (line {})", id.value, id.span.line);
        }
        known.places.insert(id.value.clone(), id.span);
        nodes.push(read_node(reader, id, lost, d));
    }
    for node in &mut nodes {
        let what = format!("`parent` of node {}", quote(&node.id.value));
        if let Some(parent) = &mut node.parent {
            check_reference(&what, parent, &known, d);
        }
    }
    (nodes, known)
}

fn read_edges(
    top: &mut Reader<'_>,
    known: &KnownIds,
    lost: &mut Lost,
    d: &mut Diagnostics,
) -> Vec<Edge> {
    let Some(entry) = top.entry("edges") else {
        // A workflow of one node needs none.
        if known.places.len() > 1 {
            top.missing("edges", d);
            lost.edges = true;
        }
        return Vec::new();
    };
    let Some(items) = top.list("edges", d) else {
        lost.edges = true;
        return Vec::new();
    };
    if items.is_empty() && known.places.len() > 1 {
        d.warning(
            codes::MISSING_KEY,
            entry.value.span,
            "the workflow has several nodes and no edge: all start at once",
        )
        .help("an edge needs `from` and `to`");
    }
    // Nodes that could not be read at all leave nothing to compare with.
    let check = !known.places.is_empty();
    let mut edges = Vec::with_capacity(items.len());
    for item in items {
        let Some(mut edge) = read_edge(item, d) else {
            lost.edges = true;
            continue;
        };
        let cases = edge
            .cases
            .iter_mut()
            .map(|case| ("`to` of a case", &mut case.to));
        let ends = [
            ("`from` of an edge", &mut edge.from),
            ("`to` of an edge", &mut edge.to),
        ]
        .into_iter()
        .chain(cases)
        .chain(
            edge.default_to
                .iter_mut()
                .map(|to| ("`default_to` of an edge", to)),
        );
        let mut fits = true;
        for (what, id) in ends {
            let there = if check {
                check_reference(what, id, known, d)
            } else {
                known.places.contains_key(&id.value)
            };
            fits &= there;
        }
        lost.edges |= !fits;
        // An end that is not there is left out of the graph later; what else the edge says is looked at.
        edges.push(edge);
    }
    edges
}

/// Whether the node is there. One that is most likely meant is put in its place, once that is reported.
fn check_reference(what: &str, id: &mut Text, known: &KnownIds, d: &mut Diagnostics) -> bool {
    if known.places.contains_key(&id.value) {
        return true;
    }
    // The nearest of thousands of ids, for each of thousands of edges, would take seconds; a file that is mostly wrong needs no hint.
    let near = if d.len() < 20 {
        nearest(&id.value, known.places.keys().map(String::as_str))
    } else {
        None
    };
    if let Some(near) = near
        && id_fault(near).is_some()
    {
        // That it cannot be called so was reported.
        near.clone_into(&mut id.value);
        return true;
    }
    if near.is_none() && known.nameless {
        return false;
    }
    let place = near.and_then(|near| known.places.get(near).map(|span| (near.to_owned(), *span)));
    let diagnostic = d.error(
        codes::UNKNOWN_NODE,
        id.span,
        format!("{what} names no node: {}", quote(&id.value)),
    );
    if let Some((near, span)) = place {
        diagnostic
            .help(format!("did you mean {}?", quote(&near)))
            .related(span, "a node of a similar id");
        id.value = near;
        return true;
    }
    let mut ids: Vec<&str> = known.places.keys().map(String::as_str).collect();
    if ids.len() <= 20 {
        ids.sort_unstable();
        diagnostic.help(format!("the nodes are {}", ids.join(", ")));
    }
    false
}
