//! A drawing for a terminal: the nodes in the order in which they can run, and under each where its edges lead.

use super::{label, leaving, phase, taken};
use crate::machine::{NodePhase, Report};
use crate::plan::{Edge, EdgeMode, NodeIndex, Plan};

pub(super) fn draw(plan: &Plan, report: Option<&Report>) -> String {
    let mut lines = Vec::new();
    let order = order(plan);
    for (place, &node) in order.iter().enumerate() {
        let mark = phase(report, node).map_or("o", mark);
        let depth = depth(plan, node);
        let indent = "  ".repeat(depth);
        let about = &plan.node(node).purpose;
        lines.push(
            format!("{indent}{mark} {}  {}", plan.node(node).id, shorten(about))
                .trim_end()
                .to_owned(),
        );
        let next = order.get(place + 1);
        let edges: Vec<_> = leaving(plan, node).collect();
        let plain = edges.len() == 1
            && edges
                .iter()
                .all(|(_, edge)| is_plain(edge) && Some(&edge.to) == next);
        if plain {
            lines.push(format!("{indent}|"));
            continue;
        }
        for (position, (index, edge)) in edges.iter().enumerate() {
            let corner = if position + 1 == edges.len() {
                '`'
            } else {
                '|'
            };
            let line = if taken(report, *index) { "==>" } else { "-->" };
            let why = label(edge);
            let why = if why.is_empty() {
                String::new()
            } else {
                format!("  [{why}]")
            };
            let back = if edge.back { " (back)" } else { "" };
            lines.push(format!(
                "{indent}{corner}{line} {}{back}{why}",
                plan.node(edge.to).id
            ));
        }
        if place + 1 < order.len() {
            lines.push(String::new());
        }
    }
    lines.join("\n")
}

fn is_plain(edge: &Edge) -> bool {
    matches!(edge.mode, EdgeMode::Sequential | EdgeMode::Parallel) && edge.label.is_none()
}

/// A mark that can be told from the others without colour.
fn mark(phase: NodePhase) -> &'static str {
    match phase {
        NodePhase::Pending => "o",
        NodePhase::Skipped => "-",
        NodePhase::Ready | NodePhase::Running => "*",
        NodePhase::Completed => "+",
        NodePhase::Failed | NodePhase::TimedOut => "x",
        NodePhase::Waiting | NodePhase::InDoubt | NodePhase::Cancelled | NodePhase::Blocked => "!",
    }
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 70 {
        text.to_owned()
    } else {
        text.chars().take(69).chain(['…']).collect()
    }
}

/// How many calls of sub-workflows a node is inside of.
fn depth(plan: &Plan, node: NodeIndex) -> usize {
    let mut depth = 0;
    let mut scope = plan.node(node).scope;
    while let Some(call) = scope {
        depth += 1;
        scope = if depth > plan.nodes.len() {
            None
        } else {
            plan.node(call).scope
        };
    }
    depth
}

/// Every node once, after those that lead to it where that is possible; the inside of a call right after it.
fn order(plan: &Plan) -> Vec<NodeIndex> {
    let mut missing: Vec<usize> = vec![0; plan.nodes.len()];
    for edge in plan.edges.iter().filter(|edge| !edge.back) {
        missing[edge.to.0] += 1;
    }
    let mut placed = vec![false; plan.nodes.len()];
    let mut order = Vec::with_capacity(plan.nodes.len());
    // Depth first along plain edges keeps what belongs together together; file order breaks ties.
    let mut stack: Vec<NodeIndex> = Vec::new();
    while order.len() < plan.nodes.len() {
        let node = stack.pop().or_else(|| {
            let free = |index: &usize| !placed[*index] && missing[*index] == 0;
            (0..plan.nodes.len())
                .find(free)
                .or_else(|| (0..plan.nodes.len()).find(|index| !placed[*index]))
                .map(NodeIndex)
        });
        let Some(node) = node else { break };
        if std::mem::replace(&mut placed[node.0], true) {
            continue;
        }
        order.push(node);
        let mut ready = Vec::new();
        for (_, edge) in leaving(plan, node).filter(|(_, edge)| !edge.back) {
            missing[edge.to.0] = missing[edge.to.0].saturating_sub(1);
            if missing[edge.to.0] == 0 {
                ready.push(edge.to);
            }
        }
        ready.extend((0..plan.nodes.len()).map(NodeIndex).filter(|inner| {
            plan.node(*inner).scope == Some(node) && missing[inner.0] == 0 && !placed[inner.0]
        }));
        stack.extend(ready.into_iter().rev());
    }
    order
}
