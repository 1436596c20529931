//! Drawings of a workflow: mermaid, dot and text, plain or coloured by what happened in a run.

mod dot;
mod graph;
mod mermaid;
mod text;

use crate::machine::{EdgePhase, NodePhase, Report};
use crate::plan::{EdgeIndex, NodeIndex, Plan};
pub use graph::{Graph, GraphEdge, GraphNode, Line};

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
    draw_graph(&Graph::of(plan), report, format)
}

/// Draws nodes and edges, which may be all that is known of a workflow.
pub fn draw_graph(graph: &Graph, report: Option<&Report>, format: Format) -> String {
    match format {
        Format::Mermaid => mermaid::draw(graph, report),
        Format::Dot => dot::draw(graph, report),
        Format::Text => text::draw(graph, report),
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

/// The edges that leave a node.
fn leaving(graph: &Graph, node: NodeIndex) -> impl Iterator<Item = (EdgeIndex, &GraphEdge)> {
    graph
        .edges
        .iter()
        .enumerate()
        .filter(move |(_, edge)| edge.from == node)
        .map(|(index, edge)| (EdgeIndex(index), edge))
}
