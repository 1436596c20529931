//! Guards: gates watched for as long as the canary has traffic; and the bake at 100 %.

use canary_analyzer::gate::{Measurement, Phase, Verdict};
use canary_traffic::Weight;
use jiff::Timestamp;

use super::check::guard_gate;
use super::event::Watch;
use super::outcome::Outcome;
use super::state::{Cause, End, Life};
use super::step::{Machine, after};
use super::traffic::Evidence;
use super::watch::{Bake, evidence_deadline};
use crate::plan::{Action, GateIndex, NodeIndex};

impl Machine<'_> {
    /// The weight in force is another, or is watched again: evidence counts from now.
    pub(super) fn anchor_guards(&mut self) {
        self.s.guarding = !self.s.traffic.desired.is_zero() && !self.s.promoted;
        if !self.s.guarding {
            return;
        }
        let (plan, at) = (self.plan, self.at);
        for one in &mut self.s.guards {
            one.anchor(
                at,
                evidence_deadline(plan.deadlines.evidence, plan.gate(one.gate)),
            );
        }
    }

    /// Asks for the guards' measurements that are due.
    pub(super) fn guards(&mut self) -> bool {
        if !self.s.guarding {
            return false;
        }
        let mut changed = false;
        let since = self.s.traffic.since;
        let mut guards = std::mem::take(&mut self.s.guards);
        for one in &mut guards {
            let since = since.or(one.started);
            changed |= self.measure_one(one, Watch::Guard, since);
        }
        self.s.guards = guards;
        // Errors for want of an answer are counted where they are found.
        for index in 0..self.s.guards.len() {
            if !self.s.guarding {
                break;
            }
            changed |= self.judge_guard(index);
        }
        changed
    }

    pub(super) fn guard_measured(&mut self, gate: GateIndex, measurement: Measurement) {
        let Some(index) = self.s.guards.iter().position(|one| one.gate == gate) else {
            return;
        };
        if !self.s.guarding {
            return;
        }
        let guard = guard_gate(self.plan.gate(gate));
        let one = &mut self.s.guards[index];
        let stale = one.stale > 0;
        if stale {
            one.stale -= 1;
            // It speaks of another weight, but harm is harm.
            if measurement.phase == Phase::Fail {
                one.tally.record(&guard, &measurement, false);
                one.last = Some(measurement);
            }
        } else if let Some((_, since)) = one.asked {
            let passed = measurement.phase == Phase::Pass;
            one.record(&guard, measurement);
            if passed {
                if self
                    .s
                    .traffic
                    .since
                    .is_some_and(|in_force| since >= in_force)
                {
                    self.s.traffic.evidence = Some(Evidence::Passed);
                }
                self.unblock(Cause::Guard(gate));
            }
        } else {
            return;
        }
        self.judge_guard(index);
    }

    fn judge_guard(&mut self, index: usize) -> bool {
        let one = &self.s.guards[index];
        let gate = one.gate;
        match one.tally.verdict(&guard_gate(self.plan.gate(gate))) {
            Verdict::Fail => {
                let why = format!("guard {}", self.gate_sentence(one));
                self.fail_run(why, None, false);
                true
            }
            Verdict::Inconclusive | Verdict::Error => {
                let why = format!("guard {}", self.gate_sentence(one));
                self.s.guards[index].forget();
                self.block(Cause::Guard(gate), why);
                true
            }
            Verdict::Running | Verdict::Pass => false,
        }
    }

    /// Native `promote`: 100 %, watched, then the workload.
    pub(super) fn start_promote(&mut self, node: NodeIndex) -> bool {
        if self.s.promoted {
            self.end_node(
                node,
                End::Completed,
                Some("it is promoted already".to_owned()),
            );
            return true;
        }
        match &self.s.bake {
            // It was watched already: only the workload's command is made again.
            Some(bake) if bake.node == Some(node) && self.s.nodes[node.0].tries() > 0 => {
                return self.start_attempt(node);
            }
            Some(_) => return false,
            None => {}
        }
        let started = if self.s.traffic.desired == Weight::FULL && self.s.traffic.since.is_some() {
            self.begin(node);
            true
        } else {
            self.set_weight_for(node, Weight::FULL)
        };
        if started && self.s.nodes[node.0].life == Life::Running {
            self.s.bake = Some(Bake {
                node: Some(node),
                skipped: None,
            });
        }
        started
    }

    /// When the bake is over, if nothing comes between.
    pub(super) fn bake_until(&self) -> Option<Timestamp> {
        self.s.bake.as_ref()?;
        if self.s.traffic.desired != Weight::FULL {
            return None;
        }
        Some(after(self.s.traffic.since?, self.plan.bake))
    }

    /// Why the bake is not over although its time is.
    pub(super) fn bake_held(&self) -> Option<&'static str> {
        if self.s.paused.is_some() {
            Some("the run is paused")
        } else if !self.s.blocks.is_empty() {
            Some("the run is blocked")
        } else if !self.s.guards.is_empty() && !self.s.guards.iter().any(|one| one.passed) {
            Some("no guard has passed at 100 % yet")
        } else {
            None
        }
    }

    /// Ends the bake when it is over.
    pub(super) fn bake(&mut self) -> bool {
        let Some(bake) = &self.s.bake else {
            return false;
        };
        if bake.node.is_none() && self.s.traffic.desired != Weight::FULL {
            return self.raise_at_the_end();
        }
        let Some(until) = self.bake_until() else {
            return false;
        };
        let early = bake.skipped.is_some() && self.s.paused.is_none();
        let node = bake.node;
        if !early && (self.at < until || self.bake_held().is_some()) {
            return false;
        }
        match node {
            // Guards are watched until the workload is the new version.
            Some(node) if self.s.nodes[node.0].attempt == self.s.nodes[node.0].attempt_base => {
                if self.s.nodes[node.0].life != Life::Running {
                    return false;
                }
                self.start_attempt(node)
            }
            Some(_) => false,
            None => {
                self.through();
                self.finish(
                    Outcome::Promoted,
                    format!(
                        "every check and the bake passed: {} is the new version",
                        self.plan.service
                    ),
                );
                true
            }
        }
    }

    /// A person let a graph that is over go to 100 %.
    fn raise_at_the_end(&mut self) -> bool {
        if self.raise_held().is_none() {
            if self.just_seen() {
                self.write(Weight::FULL);
                return true;
            }
            if self.s.traffic.out.is_none() {
                self.observe();
            }
        } else if self.s.guards.is_empty()
            && self.s.traffic.since.is_some()
            && self.s.traffic.evidence.is_none()
        {
            // What the person decided about is not in force any more, and nothing can judge what is.
            self.s.bake = None;
            return true;
        }
        false
    }

    /// The canary is the new version now.
    pub(super) fn through(&mut self) {
        self.s.promoted = true;
        self.s.guarding = false;
        self.s.bake = None;
    }

    /// The forward graph has nothing left to do.
    pub(super) fn graph_over(&mut self) -> bool {
        if !self.s.forward()
            || !self.s.active.is_empty()
            || !self.s.touched.is_empty()
            || self.s.bake.is_some()
        {
            return false;
        }
        let unreached = self
            .plan
            .nodes
            .iter()
            .enumerate()
            .find(|(index, _)| self.s.nodes[*index].end() == Some(super::state::End::Blocked));
        if let Some((index, node)) = unreached
            && !self.s.promoted
        {
            let reason = self.s.nodes[index].reason.clone().unwrap_or_default();
            self.fail_run(
                format!("{} could not start: {reason}", node.id),
                None,
                false,
            );
            return true;
        }
        if self.s.promoted {
            let more = if self.s.remarks.is_empty() {
                String::new()
            } else {
                format!(" ({})", self.s.remarks.join("; "))
            };
            let why = format!(
                "every check and the bake passed: {} is the new version{more}",
                self.plan.service
            );
            self.finish(Outcome::Promoted, why);
            return true;
        }
        let traffic = &self.s.traffic;
        if traffic.desired == Weight::FULL {
            self.s.bake = Some(Bake {
                node: None,
                skipped: None,
            });
            return true;
        }
        if !traffic.desired.is_zero() {
            if self.blocked_by(Cause::Graph) {
                return false;
            }
            let why = format!(
                "the workflow ended at {}: it neither promotes nor takes the canary off",
                traffic.desired
            );
            self.block(Cause::Graph, why);
            return true;
        }
        if traffic.out.as_ref().is_some_and(|out| out.write.is_some()) || !self.s.blocks.is_empty()
        {
            return false;
        }
        self.finish(
            Outcome::Completed,
            "the workflow came to its end".to_owned(),
        );
        true
    }

    /// A promote node ended well.
    pub(super) fn note_end(&mut self, node: NodeIndex, completed: bool) {
        if completed && matches!(self.plan.node(node).action, Action::Promote) && self.s.forward() {
            self.through();
        } else if self
            .s
            .bake
            .as_ref()
            .is_some_and(|bake| bake.node == Some(node))
            && !completed
        {
            self.s.bake = None;
        }
    }
}
