//! Keys of `runtime` that mean something, by node type. The schema leaves `runtime` open, so an unknown key is a warning; but a key
//! that is one slip away from a known one, like `comand`, is refused.

use super::model::NodeType;
use super::tree::{Map, Value};
use crate::diagnostic::{Diagnostics, codes, misspelt, nearest, quote};

/// For every type that can be executed.
const COMMON: &[&str] = &[
    "provider",
    "os",
    "environment",
    "env",
    "verify",
    "idempotent",
    "working_directory",
    "output_mapping",
    "config",
];
/// A node without a `command` but with a `tool` runs as `infra`, whatever its type says; so do native actions.
const TOOLS: &[&str] = &["tool", "action", "command", "args", "flags"];
/// canary's own actions, for any node with `tool: canary`.
const NATIVE: &[&str] = &[
    "tool",
    "action",
    "weight",
    "gates",
    "duration",
    "for",
    "tolerance",
    "min_requests",
    "replicas",
    "window",
    "interval",
    "timeout",
    "verify",
    "idempotent",
];

/// The keys of a type; nothing where the type has no closed set.
fn known(node_type: NodeType) -> Option<&'static [&'static str]> {
    Some(match node_type {
        NodeType::Cli => &["shell", "success_codes", "dir"],
        NodeType::Api => &[
            "method",
            "url",
            "endpoint",
            "headers",
            "body",
            "body_template",
            "query_params",
            "expected_status",
            "response_mapping",
            "auth",
            "queries",
            "query",
            "wait_sec",
            "window_sec",
            "step_sec",
            "channel",
            "timeout",
        ],
        NodeType::Docker => &[
            "dockerfile",
            "context",
            "tags",
            "tag",
            "image",
            "build_args",
            "registry",
            "compose_file",
            "services",
            "detach",
            "scanner",
            "severity_threshold",
            "volumes",
            "platform",
            "target",
            "push",
            "success_codes",
        ],
        NodeType::Infra => &[
            "manifests",
            "namespace",
            "resource",
            "image",
            "overlay",
            "context",
            "kubeconfig",
            "inventory",
            "group",
            "playbook",
            "extra_vars",
            "backend",
            "backend_config",
            "var_file",
            "vars",
            "out",
            "plan_file",
            "app_name",
            "revision",
            "prune",
            "steps",
            "release",
            "chart",
            "values",
            "set",
            "dir",
            "workspace",
            "success_codes",
            "config_path",
        ],
        NodeType::Git => &[
            "repo",
            "repository",
            "branch",
            "tag_name",
            "tag",
            "message",
            "add",
            "remote",
            "credentials_id",
            "depth",
            "ref",
            "path",
            "files",
        ],
        NodeType::Cicd => &[
            "platform",
            "trigger",
            "branches",
            "patterns",
            "deploy_script",
            "pipeline",
            "job",
            "workflow",
            "ref",
            "repo",
            "inputs",
            "url",
            "metrics",
            "error_rate",
            "p99_latency_ms",
            "success_codes",
        ],
        NodeType::Human => &[
            "assignees",
            "assignee",
            "min_approvals",
            "prompt",
            "options",
            "timeout",
            "timeout_min",
            "escalation",
            "approvers",
            "instructions",
            "form",
        ],
        NodeType::Agent | NodeType::Db | NodeType::Mcp | NodeType::System | NodeType::Data => {
            return None;
        }
    })
}

/// Reports keys of a runtime that mean nothing. One that is most likely misspelt is an error, and is renamed to what was meant, so
/// that it is not missing as well.
pub(crate) fn check(what: &str, node_type: NodeType, runtime: &mut Map, d: &mut Diagnostics) {
    let tool = runtime.get("tool").and_then(Value::as_text);
    let native = tool.is_some_and(|tool| tool == "canary" || misspelt(tool, ["canary"]).is_some());
    let known: Vec<&str> = if native {
        NATIVE.to_vec()
    } else {
        let Some(own) = known(node_type) else { return };
        // A `cli` or `docker` node with a tool may have the keys of that tool.
        let tool: &[&str] = if tool.is_some() {
            self::known(NodeType::Infra).unwrap_or_default()
        } else {
            &[]
        };
        [own, COMMON, TOOLS, tool].concat()
    };
    let kind = if native {
        "of canary's own actions".to_owned()
    } else {
        format!("of type {node_type}")
    };
    let written: Vec<String> = runtime.keys().map(str::to_owned).collect();
    for entry in &mut runtime.entries {
        let key = &mut entry.key;
        if key.value.starts_with("x-") || known.contains(&key.value.as_str()) {
            continue;
        }
        let message = format!(
            "`runtime` of {what} has a key {} that means nothing to a node {kind}",
            quote(&key.value)
        );
        let free = known
            .iter()
            .copied()
            .filter(|key| !written.iter().any(|word| word == key));
        if let Some(mut meant) = misspelt(&key.value, free) {
            if meant == "query" && entry.value.as_map().is_some() {
                meant = "queries";
            }
            d.error(codes::UNKNOWN_KEY, key.span, message).help(format!(
                "did you mean {}? A key of your own starts with `x-`",
                quote(meant)
            ));
            meant.clone_into(&mut key.value);
            continue;
        }
        let diagnostic = d.warning(codes::UNKNOWN_KEY, key.span, message);
        match nearest(&key.value, known.iter().copied()) {
            Some(near) => diagnostic.help(format!("did you mean {}?", quote(near))),
            None => diagnostic.help("a key of your own starts with `x-`"),
        };
    }
}
