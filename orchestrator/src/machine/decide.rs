//! What a person's `promote` and `retry` mean for each thing that the run cannot decide by itself.

use canary_traffic::Weight;

use super::state::{Cause, Life};
use super::step::Machine;
use super::traffic::Evidence;
use super::watch::Bake;

impl Machine<'_> {
    /// A person accepts what the run cannot decide.
    pub(super) fn accept(&mut self, cause: Cause, by: &str) -> String {
        match cause {
            Cause::Check(node) | Cause::Route(node) => {
                self.stop_attempt(node);
                self.accept_node(node, by)
            }
            Cause::Doubt(node) => {
                self.complete_by_person(node, &format!("taken as done by {by}"));
                format!("{} is taken as done", self.plan.node(node).id)
            }
            Cause::Evidence(_) => {
                self.s.traffic.evidence = Some(Evidence::Person(by.to_owned()));
                self.unblock(cause);
                format!("the weight may rise from {} without evidence", self.s.traffic.desired)
            }
            Cause::Guard(gate) => {
                self.s.traffic.evidence = Some(Evidence::Person(by.to_owned()));
                self.unblock(cause);
                if let Some(one) = self.s.guards.iter_mut().find(|one| one.gate == gate) {
                    one.data_due = Some(super::step::after(self.at, self.plan.deadlines.decision));
                }
                format!("goes on without {}", self.plan.gate(gate).name)
            }
            Cause::Drift => self.accept_weight(by),
            Cause::Router => "the router does not answer: nothing to accept; it is asked again and again, `abort` goes back".to_owned(),
            Cause::Graph => {
                self.unblock(cause);
                if self.s.traffic.since.is_some() {
                    self.s.traffic.evidence = Some(Evidence::Person(by.to_owned()));
                }
                self.s.bake = Some(Bake { node: None, skipped: None });
                "raising the weight to 100 %".to_owned()
            }
        }
    }

    /// Somebody else's weight becomes ours.
    fn accept_weight(&mut self, by: &str) -> String {
        let Some(weight) = self.s.traffic.observed else {
            return "the weight is not known: nothing to accept".to_owned();
        };
        if weight.is_zero() && !self.s.traffic.desired.is_zero() {
            // Taking that as it is would let the next step raise it from 0 without any evidence.
            return format!(
                "the canary has no traffic any more: nothing to accept; `retry` writes {} again, `abort` goes back",
                self.s.traffic.desired
            );
        }
        let at = self.at;
        let owner = self.s.traffic.owner.take();
        let traffic = &mut self.s.traffic;
        traffic.desired = weight;
        traffic.prior = None;
        traffic.since = Some(at);
        traffic.problem = None;
        traffic.evidence = None;
        traffic.moved |= !weight.is_zero();
        let baking = self.s.bake.as_ref().and_then(|bake| bake.node);
        if weight != Weight::FULL && baking.is_none_or(|node| self.s.nodes[node.0].tries() == 0) {
            // What was being watched is not 100 % any more: it is raised again when it may be.
            self.s.bake = None;
            if let Some(node) = baking {
                self.s.nodes[node.0].life = Life::Ready;
            }
        }
        if let Some(node) = owner {
            self.s.nodes[node.0].life = Life::Ready;
        }
        self.unblock(Cause::Drift);
        self.anchor_guards();
        self.anchor_checks();
        format!("{by} takes {weight} as it is; it has to be judged before it rises")
    }

    /// Check again what is blocked, and at once what waits.
    pub(super) fn try_again(&mut self, by: &str) -> String {
        let causes: Vec<Cause> = self.s.blocks.iter().map(|block| block.cause).collect();
        if causes.is_empty() {
            let mut hurried = Vec::new();
            for node in self.active() {
                if matches!(self.s.nodes[node.0].life, Life::Backoff { .. }) {
                    self.s.nodes[node.0].life = Life::Ready;
                    hurried.push(self.plan.node(node).id.clone());
                }
            }
            if self.s.traffic.again_at.is_some() {
                self.s.traffic.again_at = Some(self.at);
                hurried.push("the router".to_owned());
            }
            return if hurried.is_empty() {
                "nothing is blocked".to_owned()
            } else {
                format!("tried again now: {}", hurried.join(", "))
            };
        }
        let said: Vec<_> = causes
            .into_iter()
            .map(|cause| self.retry_cause(cause, by))
            .collect();
        said.join("; ")
    }

    fn retry_cause(&mut self, cause: Cause, by: &str) -> String {
        match cause {
            Cause::Check(node) | Cause::Route(node) | Cause::Doubt(node) => {
                let id = self.plan.node(node).id.clone();
                self.stop_attempt(node);
                let recheck = self.s.nodes[node.0].recheck;
                let state = &mut self.s.nodes[node.0];
                state.retries = 0;
                state.check = None;
                state.reason = Some(format!("tried again by {by}"));
                state.life = Life::Ready;
                self.s.active.insert(node.0);
                self.unblock(cause);
                // A question that was agreed to stays agreed to.
                if recheck {
                    self.s.nodes[node.0].recheck = true;
                }
                format!("{id} is tried again")
            }
            Cause::Evidence(node) => {
                format!(
                    "{} has no check to try again: `promote` lets the weight rise, `abort` goes back",
                    self.plan.node(node).id
                )
            }
            Cause::Guard(gate) => {
                self.unblock(cause);
                let at = self.at;
                let deadline = super::watch::evidence_deadline(
                    self.plan.deadlines.evidence,
                    self.plan.gate(gate),
                );
                if let Some(one) = self.s.guards.iter_mut().find(|one| one.gate == gate) {
                    one.anchor(at, deadline);
                }
                format!("{} is measured again", self.plan.gate(gate).name)
            }
            Cause::Drift => {
                let desired = self.s.traffic.desired;
                let observed = self.s.traffic.observed;
                if observed.is_none_or(|observed| desired > observed) && !self.s.forward() {
                    return "the run is going back".to_owned();
                }
                self.unblock(cause);
                self.write(desired);
                format!("writing {desired} again")
            }
            Cause::Router => {
                self.s.traffic.again_at = Some(self.at);
                "the router is asked again".to_owned()
            }
            Cause::Graph => {
                "the workflow has no further step: `promote` goes to 100 %, `abort` goes back"
                    .to_owned()
            }
        }
    }
}
