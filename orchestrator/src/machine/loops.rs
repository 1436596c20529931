//! Iterations (S12): a back edge starts its target again, and everything between.

use super::state::{EdgeLife, EdgeState, End, Life};
use super::step::Machine;
use crate::plan::{EdgeIndex, NodeIndex};

impl Machine<'_> {
    /// Starts the next iteration.
    pub(super) fn take_back(&mut self, edge: EdgeIndex, explanation: Option<String>) {
        let (from, to) = (self.plan.edges[edge.0].from, self.plan.edges[edge.0].to);
        let body = self.body(from, to);
        let graph = self.s.graph.clone();
        for &node in &body {
            if self.s.active.contains(&node.0) {
                self.drop_node(node, "the next iteration starts");
                self.s.active.remove(&node.0);
            }
            self.reset(node);
        }
        for &node in &body {
            for &out in &graph.outgoing[node.0] {
                let state = &mut self.s.edges[out.0];
                *state = EdgeState {
                    iterations: state.iterations,
                    ..EdgeState::default()
                };
            }
        }
        self.revive(&body);
        let state = &mut self.s.edges[edge.0];
        state.iterations = state.iterations.saturating_add(1);
        state.phase = EdgeLife::Taken;
        state.explanation = explanation;
        // Whatever else leads to the target led there before.
        self.s.nodes[to.0].life = Life::Ready;
        self.s.active.insert(to.0);
        for node in body {
            if node != to {
                self.s.touched.insert(node.0);
            }
        }
    }

    /// The nodes between the target and the source of a back edge, both included, with what is inside of calls.
    fn body(&self, from: NodeIndex, to: NodeIndex) -> Vec<NodeIndex> {
        let graph = &self.s.graph;
        let mut leads_back = vec![false; self.plan.nodes.len()];
        leads_back[from.0] = true;
        for node in graph.upstream(self.plan, from) {
            leads_back[node.0] = true;
        }
        let mut body: Vec<_> = graph
            .downstream(self.plan, &[to])
            .into_iter()
            .filter(|node| leads_back[node.0] || self.inside_of_marked(*node, &leads_back))
            .collect();
        for end in [from, to] {
            if !body.contains(&end) {
                body.push(end);
            }
        }
        body
    }

    fn inside_of_marked(&self, node: NodeIndex, marked: &[bool]) -> bool {
        let mut at = self.plan.node(node).scope;
        for _ in 0..=self.plan.nodes.len() {
            match at {
                Some(scope) if marked[scope.0] => return true,
                Some(scope) => at = self.plan.node(scope).scope,
                None => return false,
            }
        }
        false
    }

    /// Ready for its next activation. What it said last stays readable until it says something new.
    fn reset(&mut self, node: NodeIndex) {
        let state = &mut self.s.nodes[node.0];
        let ran = state.started_at.is_some();
        state.life = Life::Pending;
        if ran {
            state.iteration = state.iteration.saturating_add(1);
        }
        state.attempt_base = state.attempt;
        state.retries = 0;
        state.started_at = None;
        state.attempt_at = None;
        state.ended_at = None;
        state.reason = None;
        state.begun = false;
        state.process = None;
        state.agreed.clear();
        state.approved = false;
        state.check = None;
        state.recheck = false;
    }

    /// Nodes that were skipped because of what an earlier iteration did not choose may be reached after all.
    fn revive(&mut self, reset: &[NodeIndex]) {
        let graph = self.s.graph.clone();
        let mut queue = reset.to_vec();
        while let Some(node) = queue.pop() {
            for &out in &graph.outgoing[node.0] {
                let edge = &self.plan.edges[out.0];
                if edge.back {
                    continue;
                }
                let target = edge.to;
                if matches!(
                    self.s.nodes[target.0].end(),
                    Some(End::Skipped | End::Blocked)
                ) && !self.is_dormant(target)
                {
                    self.s.nodes[target.0].life = Life::Pending;
                    self.s.nodes[target.0].reason = None;
                    for &next in &graph.outgoing[target.0] {
                        let state = &mut self.s.edges[next.0];
                        *state = EdgeState {
                            iterations: state.iterations,
                            ..EdgeState::default()
                        };
                    }
                    queue.push(target);
                }
                if self.s.nodes[target.0].life == Life::Pending {
                    self.s.touched.insert(target.0);
                }
            }
        }
    }

    /// A rollback node that nothing leads to.
    fn is_dormant(&self, node: NodeIndex) -> bool {
        self.is_rollback(node) && self.s.graph.incoming[node.0].is_empty()
    }
}
