//! Drawings of a plan: mermaid, dot and text, plain or coloured by what happened in a run.

mod dot;
mod mermaid;
mod text;

use crate::machine::{EdgePhase, NodePhase, Report};
use crate::plan::{Edge, EdgeIndex, EdgeMode, NodeIndex, Plan, SwitchCase};

/// How a plan is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// <https://mermaid.js.org>; the shapes and arrows of OSOP's own tools.
    Mermaid,
    /// Graphviz.
    Dot,
    /// For a terminal.
    Text,
}

/// Draws a plan; with a report, each node shows where it stands.
pub fn draw(plan: &Plan, report: Option<&Report>, format: Format) -> String {
    match format {
        Format::Mermaid => mermaid::draw(plan, report),
        Format::Dot => dot::draw(plan, report),
        Format::Text => text::draw(plan, report),
    }
}

/// Where a node stands, if that is known.
fn phase(report: Option<&Report>, node: NodeIndex) -> Option<NodePhase> {
    report
        .and_then(|report| report.nodes.get(node.0))
        .map(|node| node.status)
}

/// The edge was taken in that run.
fn taken(report: Option<&Report>, edge: EdgeIndex) -> bool {
    report
        .and_then(|report| report.edges.get(edge.0))
        .is_some_and(|edge| edge.status == EdgePhase::Taken)
}

/// A word for what happened to a node; it chooses the colour.
fn class(phase: NodePhase) -> &'static str {
    match phase {
        NodePhase::Completed => "completed",
        NodePhase::Failed | NodePhase::TimedOut => "failed",
        NodePhase::Running | NodePhase::Ready => "running",
        NodePhase::Waiting | NodePhase::InDoubt | NodePhase::Blocked | NodePhase::Cancelled => {
            "blocked"
        }
        NodePhase::Pending | NodePhase::Skipped => "skipped",
    }
}

/// Fill and line of each class, readable on dark and light.
const COLORS: [(&str, &str, &str); 5] = [
    ("completed", "#d1f0d8", "#1a7f37"),
    ("failed", "#ffd8d3", "#cf222e"),
    ("running", "#d6ebff", "#0969da"),
    ("blocked", "#fff1c2", "#9a6700"),
    ("skipped", "#eeeeee", "#8c959f"),
];

/// What an edge says: its label or condition, and its mode where that is not plain.
fn label(edge: &Edge) -> String {
    let condition = match &edge.mode {
        EdgeMode::Conditional(condition) | EdgeMode::Switch(SwitchCase::When(condition)) => {
            Some(condition.source())
        }
        EdgeMode::Fallback(condition) | EdgeMode::Error(condition) | EdgeMode::Loop(condition) => {
            condition
                .as_ref()
                .map(canary_analyzer::expr::Condition::source)
        }
        EdgeMode::Otherwise | EdgeMode::Switch(SwitchCase::Default) => Some("else"),
        EdgeMode::Sequential | EdgeMode::Parallel | EdgeMode::Timeout => None,
    };
    let mode = match edge.mode {
        EdgeMode::Fallback(_) => "fallback",
        EdgeMode::Error(_) => "error",
        EdgeMode::Timeout => "timeout",
        EdgeMode::Loop(_) => "loop",
        EdgeMode::Sequential
        | EdgeMode::Parallel
        | EdgeMode::Conditional(_)
        | EdgeMode::Otherwise
        | EdgeMode::Switch(_) => "",
    };
    match (mode, edge.label.as_deref().or(condition)) {
        ("", text) => text.unwrap_or_default().to_owned(),
        (mode, None) => mode.to_owned(),
        (mode, Some(text)) => format!("{mode}: {text}"),
    }
}

/// The edges that leave a node.
fn leaving(plan: &Plan, node: NodeIndex) -> impl Iterator<Item = (EdgeIndex, &Edge)> {
    plan.edges
        .iter()
        .enumerate()
        .filter(move |(_, edge)| edge.from == node)
        .map(|(index, edge)| (EdgeIndex(index), edge))
}
