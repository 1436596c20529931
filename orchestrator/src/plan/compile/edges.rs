//! Edges: when they are taken (S2, S3), and the cycles that they make (S12).

use std::collections::HashSet;

use super::Compiler;
use super::frame::{Arrow, Case, Frame};
use crate::diagnostic::{codes, quote};
use crate::osop::model::{self, EdgeMode as Mode, Text};
use crate::plan::draw::GraphEdge;
use crate::plan::model::{Edge, EdgeMode, SwitchCase};

/// Iterations of a cycle that does not say how many.
const ITERATIONS: u32 = 10;

impl Compiler<'_> {
    /// The edges of a workflow, and for each the arrow that it was made from.
    pub(super) fn edges(&mut self, frame: &Frame<'_>) -> Vec<(Edge, Arrow)> {
        let mut made = Vec::with_capacity(frame.arrows.len());
        for arrow in &frame.arrows {
            let written = frame.edge(arrow);
            let mode = self.mode(frame, arrow, written);
            self.check_cycle(frame, arrow, written);
            let Some(mode) = mode else {
                let (from, to) = (frame.index(arrow.from), frame.index(arrow.to));
                let edge = GraphEdge::written(written, from, to, arrow.back);
                self.drawn.push(edge);
                continue;
            };
            let edge = Edge {
                from: frame.index(arrow.from),
                to: frame.index(arrow.to),
                mode,
                label: written.label.as_ref().map(|label| label.value.clone()),
                back: arrow.back,
                max_iterations: written
                    .max_iterations
                    .map_or(ITERATIONS, |count| count.value)
                    .max(1),
                optional: written.optional.is_some_and(|optional| optional.value),
            };
            self.drawn.push(GraphEdge::of(&edge));
            self.edges.push(edge.clone());
            made.push((edge, *arrow));
        }
        self.edges_to_nowhere(frame);
        made
    }

    /// What an edge says is looked at even if one of its ends is not there.
    fn edges_to_nowhere(&mut self, frame: &Frame<'_>) {
        let drawn: HashSet<usize> = frame.arrows.iter().map(|arrow| arrow.edge).collect();
        for (n, written) in frame.workflow.edges.iter().enumerate() {
            if drawn.contains(&n) {
                continue;
            }
            if let (Some(from), Some(when)) = (frame.find(&written.from.value), &written.when)
                && written.mode.value != Mode::Switch
                && !is_otherwise(when)
            {
                self.edge_condition(frame, from, when, &when.value, 0);
            }
        }
    }

    fn mode(
        &mut self,
        frame: &Frame<'_>,
        arrow: &Arrow,
        written: &model::Edge,
    ) -> Option<EdgeMode> {
        if let Some(items) = &written.for_each {
            self.no_executor(
                items,
                "`for_each`: canary has no loops over lists",
                "write a node for each, or let a command go through the list",
            );
            return None;
        }
        let from = arrow.from;
        let mode = written.mode.value;
        if arrow.case == Case::Default {
            return Some(if mode == Mode::Switch {
                EdgeMode::Switch(SwitchCase::Default)
            } else {
                EdgeMode::Otherwise
            });
        }
        let when = written.when.as_ref();
        let otherwise = when.is_some_and(is_otherwise);
        let mut condition = || match when {
            Some(when) => self
                .edge_condition(frame, from, when, &when.value, 0)
                .map(Some),
            None => Some(None),
        };
        match mode {
            Mode::Sequential => Some(EdgeMode::Sequential),
            Mode::Parallel => Some(EdgeMode::Parallel),
            Mode::Timeout => Some(EdgeMode::Timeout),
            Mode::Conditional if otherwise => Some(EdgeMode::Otherwise),
            // The reader told of a condition that is missing.
            Mode::Conditional => condition()?.map(EdgeMode::Conditional),
            Mode::Fallback => Some(EdgeMode::Fallback(condition()?)),
            Mode::Error => Some(EdgeMode::Error(condition()?)),
            Mode::Loop => Some(EdgeMode::Loop(condition()?)),
            Mode::Switch => self.switch(frame, arrow, written, otherwise),
            Mode::Event | Mode::Spawn => {
                let place = Text::new(mode.to_string(), written.mode.span);
                self.no_executor(
                    &place,
                    &format!("edges of mode `{mode}`"),
                    "use `sequential`, `parallel` or `conditional`",
                );
                None
            }
        }
    }

    fn no_executor(&mut self, place: &Text, what: &str, help: &str) {
        self.d
            .error(
                codes::CANNOT_EXECUTE,
                place.span,
                format!("canary cannot execute {what}"),
            )
            .help(help);
    }

    fn switch(
        &mut self,
        frame: &Frame<'_>,
        arrow: &Arrow,
        written: &model::Edge,
        otherwise: bool,
    ) -> Option<EdgeMode> {
        let Case::Number(number) = arrow.case else {
            let Some(when) = written.when.as_ref().filter(|_| !otherwise) else {
                return Some(EdgeMode::Switch(SwitchCase::Default));
            };
            let condition = self.edge_condition(frame, arrow.from, when, &when.value, 0)?;
            return Some(EdgeMode::Switch(SwitchCase::When(condition)));
        };
        let case = &written.cases[number];
        let value = case.value.as_ref()?;
        let condition = if let Some(when) = &written.when {
            let literal = value.to_json().to_string();
            let source = format!("({}) == {literal}", when.value);
            self.edge_condition(frame, arrow.from, when, &source, 1)?
        } else {
            // Without an expression of the edge, each case is one.
            let text = Text::new(
                value.as_scalar_text().unwrap_or_default().to_owned(),
                value.span,
            );
            self.edge_condition(frame, arrow.from, &text, &text.value, 0)?
        };
        Some(EdgeMode::Switch(SwitchCase::When(condition)))
    }

    fn check_cycle(&mut self, frame: &Frame<'_>, arrow: &Arrow, written: &model::Edge) {
        let name = |local: usize| quote(&frame.node(local).id.value);
        if frame.workflow.lost.edges {
            // Which way is back depends on the edges that are not there.
            return;
        }
        if written.mode.value == Mode::Loop && !arrow.back {
            let message = format!(
                "a `loop` edge leads back, and {} does not run before {}",
                name(arrow.to),
                name(arrow.from)
            );
            self.d
                .error(codes::CYCLE, written.to.span, message)
                .help("use `conditional` for a way forward");
            return;
        }
        if !arrow.back || written.max_iterations.is_some() {
            return;
        }
        match written.mode.value {
            Mode::Loop | Mode::Fallback | Mode::Error | Mode::Timeout => {}
            Mode::Sequential | Mode::Parallel | Mode::Event | Mode::Spawn => {
                let message = format!(
                    "{} leads back to {} unconditionally: the cycle never ends",
                    name(arrow.from),
                    name(arrow.to)
                );
                self.d
                    .error(codes::CYCLE, written.span, message)
                    .help("make the edge `mode: loop` with a condition in `when`, or add `x-max-iterations: 3`");
            }
            Mode::Conditional | Mode::Switch => {
                let message = format!(
                    "{} leads back to {} without a bound: it goes round at most {ITERATIONS} times",
                    name(arrow.from),
                    name(arrow.to)
                );
                self.d
                    .warning(codes::CYCLE, written.span, message)
                    .help("add `x-max-iterations` to the edge");
            }
        }
    }
}

/// A word that stands for all other cases.
fn is_otherwise(when: &Text) -> bool {
    matches!(
        when.value.trim().to_ascii_lowercase().as_str(),
        "else" | "otherwise" | "default"
    )
}
