//! Mermaid, with the shapes and arrows that OSOP's own tools use.

use std::collections::BTreeSet;

use super::{COLORS, Graph, Line, class, phase, taken};
use crate::machine::Report;
use crate::plan::{EdgeIndex, NodeIndex};

pub(super) fn draw(graph: &Graph, report: Option<&Report>) -> String {
    let mut lines = vec!["graph TB".to_owned()];
    for (index, node) in graph.nodes.iter().enumerate() {
        let (open, close) = match node.kind.as_str() {
            "human" => ("([", "])"),
            "agent" => ("{{", "}}"),
            "db" | "data" => ("[(", ")]"),
            _ => ("[", "]"),
        };
        let class = phase(report, NodeIndex(index))
            .map_or_else(String::new, |phase| format!(":::{}", class(phase)));
        lines.push(format!(
            "  n{index}{open}\"{}\"{close}{class}",
            escape(&node.id)
        ));
    }
    let mut walked = Vec::new();
    for (index, edge) in graph.edges.iter().enumerate() {
        let label = escape(&edge.text);
        let arrow = match edge.line {
            Line::Bold => "==>",
            Line::Solid => "-->",
            Line::Dashed | Line::Dotted => "-.->",
        };
        let text = if label.is_empty() {
            String::new()
        } else {
            format!("|\"{label}\"|")
        };
        lines.push(format!("  n{} {arrow}{text} n{}", edge.from.0, edge.to.0));
        if taken(report, EdgeIndex(index)) {
            walked.push(index.to_string());
        }
    }
    if let Some(report) = report {
        let used: BTreeSet<_> = report.nodes.iter().map(|node| class(node.status)).collect();
        for (name, fill, line) in COLORS.iter().filter(|(name, ..)| used.contains(name)) {
            lines.push(format!(
                "  classDef {name} fill:{fill},stroke:{line},color:#1f2328"
            ));
        }
        if !walked.is_empty() {
            lines.push(format!("  linkStyle {} stroke-width:3px", walked.join(",")));
        }
    }
    lines.join("\n")
}

/// Mermaid reads entities in quoted text.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '"' => escaped.push_str("#quot;"),
            '#' => escaped.push_str("#35;"),
            '<' => escaped.push_str("#lt;"),
            '>' => escaped.push_str("#gt;"),
            '&' => escaped.push_str("#amp;"),
            '|' => escaped.push_str("#124;"),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}
