//! What a drawing shows: nodes and edges, and nothing that a plan needs besides. A file with errors has this much, too.

use canary_analyzer::expr::Condition;

use crate::osop;
use crate::plan::{Edge, EdgeMode, Node, NodeIndex, Plan, SwitchCase};

/// Nodes and edges to draw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    /// Id of the workflow.
    pub id: String,
    /// Indices are those of the plan.
    pub nodes: Vec<GraphNode>,
    /// Indices are those of the plan where there is one.
    pub edges: Vec<GraphEdge>,
}

/// A node to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphNode {
    /// Id in the plan.
    pub id: String,
    /// OSOP type as written.
    pub kind: String,
    /// What it is for.
    pub purpose: String,
    /// The call that it is inside of.
    pub scope: Option<NodeIndex>,
}

/// An edge to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphEdge {
    /// Source.
    pub from: NodeIndex,
    /// Target.
    pub to: NodeIndex,
    /// When it is taken, as a kind of line.
    pub line: Line,
    /// Its label or condition, with its mode where that is not plain; may be empty.
    pub text: String,
    /// It leads back to a node that runs before its source.
    pub back: bool,
}

/// When an edge is taken, as a kind of line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// After its source; also loops.
    Solid,
    /// Beside others.
    Bold,
    /// On a condition.
    Dashed,
    /// After a failure.
    Dotted,
}

impl Graph {
    /// Of a plan.
    pub fn of(plan: &Plan) -> Self {
        Self {
            id: plan.id.clone(),
            nodes: plan.nodes.iter().map(GraphNode::of).collect(),
            edges: plan.edges.iter().map(GraphEdge::of).collect(),
        }
    }
}

impl GraphNode {
    fn of(node: &Node) -> Self {
        Self {
            id: node.id.clone(),
            kind: node.kind.clone(),
            purpose: node.purpose.clone(),
            scope: node.scope,
        }
    }

    /// All of a list of nodes.
    pub(in crate::plan) fn all(nodes: &[Node]) -> Vec<Self> {
        nodes.iter().map(Self::of).collect()
    }
}

impl GraphEdge {
    /// Of an edge of a plan.
    pub(in crate::plan) fn of(edge: &Edge) -> Self {
        let (line, mode) = match edge.mode {
            EdgeMode::Sequential => (Line::Solid, ""),
            EdgeMode::Loop(_) => (Line::Solid, "loop"),
            EdgeMode::Parallel => (Line::Bold, ""),
            EdgeMode::Conditional(_) | EdgeMode::Otherwise | EdgeMode::Switch(_) => {
                (Line::Dashed, "")
            }
            EdgeMode::Fallback(_) => (Line::Dotted, "fallback"),
            EdgeMode::Error(_) => (Line::Dotted, "error"),
            EdgeMode::Timeout => (Line::Dotted, "timeout"),
        };
        let condition = match &edge.mode {
            EdgeMode::Conditional(condition) | EdgeMode::Switch(SwitchCase::When(condition)) => {
                Some(condition.source())
            }
            EdgeMode::Fallback(condition)
            | EdgeMode::Error(condition)
            | EdgeMode::Loop(condition) => condition.as_ref().map(Condition::source),
            EdgeMode::Otherwise | EdgeMode::Switch(SwitchCase::Default) => Some("else"),
            EdgeMode::Sequential | EdgeMode::Parallel | EdgeMode::Timeout => None,
        };
        Self {
            from: edge.from,
            to: edge.to,
            line,
            text: text(mode, edge.label.as_deref().or(condition)),
            back: edge.back,
        }
    }

    /// Of an edge as it is written, where no plan can be made of it.
    pub(in crate::plan) fn written(
        edge: &osop::model::Edge,
        from: NodeIndex,
        to: NodeIndex,
        back: bool,
    ) -> Self {
        use osop::model::EdgeMode as Mode;
        let (line, mode) = match edge.mode.value {
            Mode::Sequential => (Line::Solid, ""),
            Mode::Loop => (Line::Solid, "loop"),
            Mode::Parallel => (Line::Bold, ""),
            Mode::Spawn => (Line::Bold, "spawn"),
            Mode::Conditional | Mode::Switch => (Line::Dashed, ""),
            Mode::Event => (Line::Dashed, "event"),
            Mode::Fallback => (Line::Dotted, "fallback"),
            Mode::Error => (Line::Dotted, "error"),
            Mode::Timeout => (Line::Dotted, "timeout"),
        };
        let written = edge.label.as_ref().or(edge.when.as_ref());
        Self {
            from,
            to,
            line,
            text: text(mode, written.map(|text| text.value.trim())),
            back,
        }
    }

    /// It says nothing but that one follows the other.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.line, Line::Solid | Line::Bold) && self.text.is_empty()
    }
}

fn text(mode: &str, text: Option<&str>) -> String {
    match (mode, text) {
        ("", text) => text.unwrap_or_default().to_owned(),
        (mode, None) => mode.to_owned(),
        (mode, Some(text)) => format!("{mode}: {text}"),
    }
}
