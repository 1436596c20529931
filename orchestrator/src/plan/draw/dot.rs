//! Graphviz.

use super::{COLORS, class, label, phase, taken};
use crate::machine::Report;
use crate::plan::{EdgeIndex, EdgeMode, NodeIndex, Plan};

pub(super) fn draw(plan: &Plan, report: Option<&Report>) -> String {
    let mut lines = vec![
        format!("digraph \"{}\" {{", escape(&plan.id)),
        "  node [shape=box, style=\"rounded,filled\", fillcolor=white, fontname=\"sans-serif\"];"
            .to_owned(),
        "  edge [fontname=\"sans-serif\", fontsize=10];".to_owned(),
    ];
    for (index, node) in plan.nodes.iter().enumerate() {
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
    for (index, edge) in plan.edges.iter().enumerate() {
        let style = match edge.mode {
            EdgeMode::Sequential | EdgeMode::Loop(_) => "solid",
            EdgeMode::Parallel => "bold",
            EdgeMode::Conditional(_) | EdgeMode::Otherwise | EdgeMode::Switch(_) => "dashed",
            EdgeMode::Fallback(_) | EdgeMode::Error(_) | EdgeMode::Timeout => "dotted",
        };
        let width = if taken(report, EdgeIndex(index)) {
            ", penwidth=2.5"
        } else {
            ""
        };
        let label = escape(&label(edge));
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
