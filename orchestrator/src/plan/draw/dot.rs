//! Graphviz.

use super::{COLORS, Graph, Line, class, phase, taken};
use crate::machine::Report;
use crate::plan::{EdgeIndex, NodeIndex};

pub(super) fn draw(graph: &Graph, report: Option<&Report>) -> String {
    let mut lines = vec![
        format!("digraph \"{}\" {{", escape(&graph.id)),
        "  node [shape=box, style=\"rounded,filled\", fillcolor=white, fontname=\"sans-serif\"];"
            .to_owned(),
        "  edge [fontname=\"sans-serif\", fontsize=10];".to_owned(),
    ];
    for (index, node) in graph.nodes.iter().enumerate() {
        let shape = match node.kind.as_str() {
            "human" => ", shape=ellipse",
            "db" | "data" => ", shape=cylinder",
            _ => "",
        };
        let color = phase(report, NodeIndex(index))
            .and_then(|phase| COLORS.iter().find(|(name, ..)| *name == class(phase)))
            .map_or_else(String::new, |(_, fill, line)| {
                format!(", fillcolor=\"{fill}\", color=\"{line}\"")
            });
        lines.push(format!(
            "  n{index} [label=\"{}\"{shape}{color}];",
            escape(&node.id)
        ));
    }
    for (index, edge) in graph.edges.iter().enumerate() {
        let style = match edge.line {
            Line::Solid => "solid",
            Line::Bold => "bold",
            Line::Dashed => "dashed",
            Line::Dotted => "dotted",
        };
        let width = if taken(report, EdgeIndex(index)) {
            ", penwidth=2.5"
        } else {
            ""
        };
        let label = escape(&edge.text);
        lines.push(format!(
            "  n{} -> n{} [style={style}, label=\"{label}\"{width}];",
            edge.from.0, edge.to.0
        ));
    }
    lines.push("}".to_owned());
    lines.join("\n")
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}
