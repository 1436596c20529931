//! A drawing for a terminal: the nodes in the order in which they can run, and under each where its edges lead.

use super::{Graph, leaving, phase, taken};
use crate::machine::{NodePhase, Report};
use crate::plan::NodeIndex;

pub(super) fn draw(graph: &Graph, report: Option<&Report>) -> String {
    let mut lines = Vec::new();
    let order = order(graph);
    for (place, &node) in order.iter().enumerate() {
        let mark = phase(report, node).map_or("o", mark);
        let depth = depth(graph, node);
        let indent = "  ".repeat(depth);
        let about = &graph.nodes[node.0].purpose;
        lines.push(
            format!(
                "{indent}{mark} {}  {}",
                graph.nodes[node.0].id,
                shorten(about)
            )
            .trim_end()
            .to_owned(),
        );
        let next = order.get(place + 1);
        let edges: Vec<_> = leaving(graph, node).collect();
        let plain = edges.len() == 1
            && edges
                .iter()
                .all(|(_, edge)| edge.is_plain() && Some(&edge.to) == next);
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
            let why = if edge.text.is_empty() {
                String::new()
            } else {
                format!("  [{}]", one_line(&edge.text))
            };
            let back = if edge.back { " (back)" } else { "" };
            lines.push(format!(
                "{indent}{corner}{line} {}{back}{why}",
                graph.nodes[edge.to.0].id
            ));
        }
        if place + 1 < order.len() {
            lines.push(String::new());
        }
    }
    lines.join("\n")
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

/// Line ends and control characters of a file must not reach a terminal.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn shorten(text: &str) -> String {
    let text = one_line(text);
    if text.chars().count() <= 70 {
        text
    } else {
        text.chars().take(69).chain(['…']).collect()
    }
}

/// How many calls of sub-workflows a node is inside of.
fn depth(graph: &Graph, node: NodeIndex) -> usize {
    let mut depth = 0;
    let mut scope = graph.nodes[node.0].scope;
    while let Some(call) = scope {
        depth += 1;
        scope = if depth > graph.nodes.len() {
            None
        } else {
            graph.nodes[call.0].scope
        };
    }
    depth
}

/// Every node once, after those that lead to it where that is possible; the inside of a call right after it.
fn order(graph: &Graph) -> Vec<NodeIndex> {
    let mut missing: Vec<usize> = vec![0; graph.nodes.len()];
    for edge in graph.edges.iter().filter(|edge| !edge.back) {
        missing[edge.to.0] += 1;
    }
    let mut placed = vec![false; graph.nodes.len()];
    let mut order = Vec::with_capacity(graph.nodes.len());
    // Depth first along plain edges keeps what belongs together together; file order breaks ties.
    let mut stack: Vec<NodeIndex> = Vec::new();
    while order.len() < graph.nodes.len() {
        let node = stack.pop().or_else(|| {
            let free = |index: &usize| !placed[*index] && missing[*index] == 0;
            (0..graph.nodes.len())
                .find(free)
                .or_else(|| (0..graph.nodes.len()).find(|index| !placed[*index]))
                .map(NodeIndex)
        });
        let Some(node) = node else { break };
        if std::mem::replace(&mut placed[node.0], true) {
            continue;
        }
        order.push(node);
        let mut ready = Vec::new();
        for (_, edge) in leaving(graph, node).filter(|(_, edge)| !edge.back) {
            missing[edge.to.0] = missing[edge.to.0].saturating_sub(1);
            if missing[edge.to.0] == 0 {
                ready.push(edge.to);
            }
        }
        ready.extend((0..graph.nodes.len()).map(NodeIndex).filter(|inner| {
            graph.nodes[inner.0].scope == Some(node) && missing[inner.0] == 0 && !placed[inner.0]
        }));
        stack.extend(ready.into_iter().rev());
    }
    order
}
