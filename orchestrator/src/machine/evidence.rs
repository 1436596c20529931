//! Why the weight may rise: what has judged the canary since its weight is in force, and who is asked when nothing has.

use super::failure::Fault;
use super::names::Truth;
use super::state::{Cause, EdgeLife, End, Life};
use super::step::Machine;
use super::traffic::Evidence;
use crate::plan::{Action, EdgeMode, NodeIndex, SwitchCase};

impl Machine<'_> {
    /// A `Measure` or a task whose condition chose a way on has judged the canary.
    pub(super) fn judged_by(&mut self, node: NodeIndex) {
        let executed = matches!(
            self.plan.node(node).action,
            Action::Measure(_) | Action::Task(_)
        );
        let traffic = &mut self.s.traffic;
        let fresh = traffic.since.is_some() && self.s.nodes[node.0].attempt_at >= traffic.since;
        if executed && fresh && !traffic.desired.is_zero() {
            traffic.evidence = Some(Evidence::Passed);
        }
    }

    /// A raise is held back. If that is for want of evidence: who could give it? True: something changed.
    pub(super) fn want_evidence(&mut self, node: NodeIndex) -> bool {
        let traffic = &self.s.traffic;
        let lacking = self.s.paused.is_none()
            && traffic.out.as_ref().is_none_or(|out| out.write.is_none())
            && !traffic.desired.is_zero()
            && traffic.since.is_some()
            && traffic.evidence.is_none();
        if !lacking || !self.s.guards.is_empty() || self.blocked_by(Cause::Evidence(node)) {
            return false;
        }
        if self
            .s
            .blocks
            .iter()
            .any(|block| matches!(block.cause, Cause::Drift | Cause::Router))
        {
            return false;
        }
        let checks = self.checks_before(node);
        if checks.iter().any(|check| self.s.active.contains(&check.0)) {
            return false;
        }
        if checks.is_empty() {
            let weight = self.s.traffic.desired;
            let id = &self.plan.node(node).id;
            let why = format!(
                "nothing has judged the canary at {weight} since it is in force: {id} would raise the weight without evidence"
            );
            self.block(Cause::Evidence(node), why);
            return true;
        }
        for check in checks {
            self.s.nodes[check.0].recheck = true;
            self.s.active.insert(check.0);
            match &self.plan.node(check).action {
                Action::Analyze(analyze) => self.start_check(check, &analyze.clone()),
                _ => {
                    self.start_attempt(check);
                }
            }
        }
        true
    }

    /// The checks that let a raise be reached at this weight: nearest before it on the path that was taken.
    pub(super) fn checks_before(&self, node: NodeIndex) -> Vec<NodeIndex> {
        let mut seen = vec![false; self.plan.nodes.len()];
        let mut found = Vec::new();
        let mut queue = vec![node];
        while let Some(at) = queue.pop() {
            if std::mem::replace(&mut seen[at.0], true) {
                continue;
            }
            for &edge in &self.s.graph.incoming[at.0] {
                if self.s.edges[edge.0].phase != EdgeLife::Taken {
                    continue;
                }
                let from = self.plan.edges[edge.0].from;
                let judges = match self.plan.node(from).action {
                    Action::SetWeight(_) | Action::Promote => continue,
                    Action::Analyze(_) => true,
                    Action::Measure(_) => self.chose_by_condition(from),
                    _ => false,
                };
                if !judges {
                    queue.push(from);
                } else if !found.contains(&from) {
                    found.push(from);
                }
            }
            if let Some(scope) = self.plan.node(at).scope {
                queue.push(scope);
            }
        }
        found
    }

    pub(super) fn chose_by_condition(&self, node: NodeIndex) -> bool {
        self.s.graph.outgoing[node.0]
            .iter()
            .any(|&edge| self.taken_condition(edge).is_some())
    }

    pub(super) fn taken_condition(
        &self,
        edge: crate::plan::EdgeIndex,
    ) -> Option<&canary_analyzer::expr::Condition> {
        if self.s.edges[edge.0].phase != EdgeLife::Taken {
            return None;
        }
        match &self.plan.edges[edge.0].mode {
            EdgeMode::Conditional(condition) | EdgeMode::Switch(SwitchCase::When(condition)) => {
                Some(condition)
            }
            _ => None,
        }
    }

    /// A check that had passed was measured again.
    pub(super) fn rechecked(&mut self, node: NodeIndex, conditions: bool, person: Option<String>) {
        let at = self.at;
        let broken = if conditions && person.is_none() {
            self.s.graph.outgoing[node.0].iter().find_map(|&edge| {
                let (truth, explanation) = self.judge(node, self.taken_condition(edge)?);
                match truth {
                    Truth::True => None,
                    Truth::False => Some(Ok(explanation)),
                    Truth::Unknown(why) => Some(Err(why)),
                }
            })
        } else {
            None
        };
        if let Some(Err(why)) = broken {
            self.inconclusive(node, why);
            return;
        }
        let state = &mut self.s.nodes[node.0];
        state.life = Life::Done(End::Completed);
        state.ended_at = Some(at);
        state.reason = None;
        state.recheck = false;
        self.s.active.remove(&node.0);
        if let Some(Ok(explanation)) = broken {
            let why = format!(
                "{} had passed and does not any more: {explanation}",
                self.plan.node(node).id
            );
            self.fail(Fault {
                why,
                node: Some(node),
                ..Fault::default()
            });
            return;
        }
        self.unblock(Cause::Check(node));
        self.s.traffic.evidence = Some(person.map_or(Evidence::Passed, Evidence::Person));
    }
}
