//! What follows a failure (S2), an edge into a rollback node, and a person who takes a node as done.

use super::failure::Fault;
use super::names::Truth;
use super::state::{Cause, EdgeLife, End, Life};
use super::step::Machine;
use crate::plan::{EdgeIndex, EdgeMode, NodeIndex};

impl Machine<'_> {
    /// Edges into a rollback node are a failed check.
    pub(super) fn lead_to_rollback(
        &mut self,
        node: NodeIndex,
        edges: &[(EdgeIndex, Option<String>)],
    ) {
        if edges.is_empty() || !self.s.forward() {
            return;
        }
        let roots = edges
            .iter()
            .map(|(edge, _)| self.plan.edges[edge.0].to)
            .collect();
        let because = edges.iter().find_map(|(edge, explanation)| {
            explanation
                .clone()
                .or_else(|| self.plan.edges[edge.0].label.clone())
        });
        let state = &self.s.nodes[node.0];
        let id = &self.plan.node(node).id;
        let why = match (because, state.end(), &state.reason) {
            (_, Some(End::Failed | End::TimedOut), Some(reason)) => {
                format!("{id} failed: {reason}")
            }
            (Some(because), ..) => format!("{id}: {because}"),
            (None, ..) => format!("{id} leads to the rollback"),
        };
        self.fail(Fault {
            why,
            node: Some(node),
            roots,
            ..Fault::default()
        });
    }

    /// A node that had completed turns out to have failed: no retry.
    pub(super) fn fail_late(&mut self, node: NodeIndex, why: String) {
        self.s.nodes[node.0].life = Life::Done(End::Failed);
        self.s.nodes[node.0].reason = Some(why);
        self.leave_failed(node, End::Failed);
    }

    pub(super) fn leave_failed(&mut self, node: NodeIndex, end: End) {
        // Failures after traffic has moved take it off first; the node's own handlers are then the way back.
        if self.s.forward() && self.s.traffic.moved && !self.s.promoted {
            let why = self.failure_sentence(node, end);
            let handlers = self.handlers(node, end);
            let roots = handlers
                .iter()
                .map(|edge| self.plan.edges[edge.0].to)
                .collect();
            self.fail(Fault {
                why,
                node: Some(node),
                roots,
                ..Fault::default()
            });
            return;
        }
        let mut handlers = self.handlers(node, end);
        if let Some(&back) = handlers.iter().find(|edge| self.plan.edges[edge.0].back) {
            if self.s.forward()
                && self.s.edges[back.0].iterations < self.plan.edges[back.0].max_iterations
            {
                self.take_back(back, None);
                return;
            }
            handlers.retain(|edge| !self.plan.edges[edge.0].back);
        }
        let graph = self.s.graph.clone();
        let mut rollback = Vec::new();
        for &edge in &graph.outgoing[node.0] {
            let phase = match self.plan.edges[edge.0].mode {
                _ if handlers.contains(&edge) => EdgeLife::Taken,
                EdgeMode::Sequential | EdgeMode::Parallel => EdgeLife::Failed,
                _ => EdgeLife::NotChosen,
            };
            if phase == EdgeLife::Taken && self.is_rollback(self.plan.edges[edge.0].to) {
                rollback.push((edge, None));
            }
            self.resolve(edge, phase, None);
        }
        if !handlers.is_empty() {
            self.lead_to_rollback(node, &rollback);
            return;
        }
        self.unhandled(node, end);
    }

    /// S2: the first class that matches: timeout, error with a condition, error, fallback.
    pub(super) fn handlers(&self, node: NodeIndex, end: End) -> Vec<EdgeIndex> {
        let outgoing = &self.s.graph.outgoing[node.0];
        let class = |matches: &dyn Fn(&EdgeMode) -> bool| -> Vec<EdgeIndex> {
            outgoing
                .iter()
                .copied()
                .filter(|edge| matches(&self.plan.edges[edge.0].mode))
                .collect()
        };
        let classes: [Vec<EdgeIndex>; 4] = [
            class(&|mode| end == End::TimedOut && matches!(mode, EdgeMode::Timeout)),
            class(&|mode| match mode {
                EdgeMode::Error(Some(condition)) => {
                    matches!(self.judge(node, condition).0, Truth::True)
                }
                _ => false,
            }),
            class(&|mode| matches!(mode, EdgeMode::Error(None))),
            class(&|mode| matches!(mode, EdgeMode::Fallback(_))),
        ];
        classes
            .into_iter()
            .find(|class| !class.is_empty())
            .unwrap_or_default()
    }

    pub(super) fn failure_sentence(&self, node: NodeIndex, end: End) -> String {
        let id = &self.plan.node(node).id;
        let reason = self.s.nodes[node.0]
            .reason
            .as_deref()
            .unwrap_or("no reason was given");
        match end {
            End::TimedOut => format!("{id} timed out: {reason}"),
            _ => format!("{id} failed: {reason}"),
        }
    }

    /// A person takes a node as done: of its conditional edges the first that does not lead back is taken.
    pub(super) fn complete_by_person(&mut self, node: NodeIndex, reason: &str) {
        let at = self.at;
        let state = &mut self.s.nodes[node.0];
        state.life = Life::Done(End::Completed);
        state.started_at.get_or_insert(at);
        state.ended_at = Some(at);
        state.reason = Some(reason.to_owned());
        state.check = None;
        state.recheck = false;
        self.s.active.remove(&node.0);
        for cause in [
            Cause::Check(node),
            Cause::Route(node),
            Cause::Doubt(node),
            Cause::Evidence(node),
        ] {
            self.unblock(cause);
        }
        let graph = self.s.graph.clone();
        let onward = graph.outgoing[node.0].iter().copied().find(|edge| {
            let edge = &self.plan.edges[edge.0];
            !edge.back
                && !self.is_rollback(edge.to)
                && matches!(
                    edge.mode,
                    EdgeMode::Conditional(_) | EdgeMode::Switch(_) | EdgeMode::Otherwise
                )
        });
        let said: Vec<_> = onward
            .into_iter()
            .map(|edge| (edge, true, Some(reason.to_owned())))
            .collect();
        self.take(node, &said);
    }
}
