//! What the router answers: the weight in force, not in force yet, lost, or somebody else's; and when it is asked again.

use std::time::Duration;

use canary_traffic::Weight;
use jiff::Timestamp;

use super::command::backoff;
use super::state::{Cause, End, Life, Stage};
use super::step::{Machine, after, human};
use super::traffic::Question;
use crate::plan::Action;

/// The weight is read again this often while the canary has traffic.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// A weight that is written and not yet in effect is read again this often.
const LOOK_PENDING: Duration = Duration::from_secs(1);

/// A router that does not answer at all.
const NO_ANSWER: Duration = Duration::from_secs(30);

/// The same, while traffic is to be taken off.
const NO_ANSWER_OFF: Duration = Duration::from_secs(5);

/// A router that fails, or does not follow, for this long blocks the run.
const PATIENCE: Duration = Duration::from_mins(1);

impl Machine<'_> {
    /// Is the question out, and takes it back.
    pub(super) fn answered(&mut self, command: u64) -> Option<Question> {
        let out = self.s.traffic.out.take_if(|out| out.command == command)?;
        Some(out)
    }

    pub(super) fn weight_observed(
        &mut self,
        command: u64,
        weight: Weight,
        pending: Option<String>,
        foreign: Option<String>,
        seen: Option<(u64, u64)>,
    ) {
        let Some(question) = self.answered(command) else {
            self.late_answer(command);
            return;
        };
        let at = self.at;
        let traffic = &mut self.s.traffic;
        traffic.failures = 0;
        traffic.observed = Some(weight);
        traffic.read_back |= weight == traffic.written && pending.is_none();
        traffic.observed_at = Some(at);
        traffic.seen = seen;
        traffic.problem = None;
        if !weight.is_zero() {
            traffic.first_at.get_or_insert(at);
            traffic.moved |= self.s.graph.moves_traffic;
        }
        if !self.s.forward() {
            self.off_observed(weight, pending);
            return;
        }
        let prior = self.s.traffic.prior;
        if weight == self.s.traffic.desired {
            if let Some(why) = pending {
                self.not_following(&why, LOOK_PENDING);
            } else {
                self.in_force(question.write.is_some());
            }
        } else if prior == Some(weight) && question.write.is_none() {
            // The write that was out never arrived: back to what was, and from there as if for the first time.
            self.write_lost(weight);
        } else {
            self.drifted(weight, foreign);
        }
    }

    /// An answer to a question that is not out any more. A late write may have undone a newer one.
    pub(super) fn late_answer(&mut self, command: u64) {
        if command == 0 || command >= self.s.next_command {
            return;
        }
        match &mut self.s.stage {
            Stage::Failing(failing)
                if failing.zero_seen_command.is_none_or(|seen| command < seen) =>
            {
                failing.zero_seen = false;
                if self.s.traffic.out.is_none() {
                    self.s.traffic.again_at = Some(self.at);
                }
            }
            Stage::Forward if self.s.traffic.out.is_none() && self.s.traffic.moved => {
                self.observe();
            }
            _ => {}
        }
    }

    /// Somebody changed the weight, as it seems: it is read at once, and what comes back decides.
    pub(super) fn weight_changed(&mut self) {
        if self.s.weight_to_watch().is_some() {
            self.observe();
        }
    }

    /// The desired weight is read back and the data plane follows.
    pub(super) fn in_force(&mut self, written: bool) {
        let at = self.at;
        let traffic = &mut self.s.traffic;
        traffic.failing_since = None;
        traffic.prior = None;
        traffic.again_at = None;
        let fresh = traffic.since.is_none() || written;
        if fresh {
            traffic.since = Some(at);
            traffic.evidence = None;
        }
        let (desired, owner) = (traffic.desired, traffic.owner.take());
        self.unblock(Cause::Router);
        self.unblock(Cause::Drift);
        if fresh {
            self.anchor_guards();
            self.anchor_checks();
        }
        if let Some(node) = owner {
            if written || fresh {
                self.news_step(desired);
            }
            if matches!(self.plan.node(node).action, Action::SetWeight(_))
                && self.s.nodes[node.0].life == Life::Running
            {
                self.end_node(node, End::Completed, None);
            }
        }
    }

    pub(super) fn write_lost(&mut self, weight: Weight) {
        let at = self.at;
        let traffic = &mut self.s.traffic;
        traffic.desired = weight;
        traffic.prior = None;
        traffic.since = Some(at);
        traffic.evidence = None;
        traffic.failing_since = None;
        traffic.again_at = None;
        let owner = traffic.owner.take();
        if let Some(node) = owner {
            if matches!(self.plan.node(node).action, Action::Promote) {
                self.s.bake = None;
            }
            let state = &mut self.s.nodes[node.0];
            state.life = Life::Ready;
            state.reason = Some(format!("its write did not arrive: the weight is {weight}"));
        } else if self.s.bake.as_ref().is_some_and(|bake| bake.node.is_none()) {
            self.s.bake = None;
        }
        self.unblock(Cause::Router);
        self.unblock(Cause::Drift);
        self.anchor_guards();
        self.anchor_checks();
    }

    pub(super) fn drifted(&mut self, weight: Weight, foreign: Option<String>) {
        let who = foreign.unwrap_or_else(|| "somebody else".to_owned());
        let desired = self.s.traffic.desired;
        let first = !self.s.traffic.moved || self.s.traffic.since.is_none() && desired.is_zero();
        let why = if first && desired.is_zero() {
            format!("the canary has {weight} of the traffic already, set by {who} before this run")
        } else {
            format!("{who} set the weight to {weight}; this run set {desired}")
        };
        let at = self.at;
        let traffic = &mut self.s.traffic;
        traffic.problem = Some(why.clone());
        traffic.since = None;
        traffic.evidence = None;
        traffic.failing_since = None;
        traffic.again_at = Some(after(at, LOOK_EVERY));
        self.block(Cause::Drift, why);
    }

    pub(super) fn not_following(&mut self, why: &str, again: Duration) {
        let at = self.at;
        let traffic = &mut self.s.traffic;
        traffic.again_at = Some(after(at, again));
        traffic.problem = Some(why.to_owned());
        let since = *traffic.failing_since.get_or_insert(at);
        if at >= after(since, PATIENCE) && self.s.forward() {
            self.block(
                Cause::Router,
                format!(
                    "the router does not follow since {}: {why}",
                    human_since(since, at)
                ),
            );
        }
    }

    pub(super) fn weight_failed(&mut self, command: u64, error: &str) {
        if self.answered(command).is_none() {
            self.late_answer(command);
            return;
        }
        let failures = self.s.traffic.failures;
        self.s.traffic.failures = failures.saturating_add(1);
        self.not_following(error, backoff(failures));
    }

    /// Asks the router again where that is due.
    pub(super) fn weight(&mut self) -> bool {
        if let Some(out) = &self.s.traffic.out {
            let bound = if self.s.forward() {
                NO_ANSWER
            } else {
                NO_ANSWER_OFF
            };
            if self.at < after(out.at, bound) {
                return false;
            }
            let command = out.command;
            self.weight_failed(
                command,
                &format!("the router did not answer within {}", human(bound)),
            );
            return true;
        }
        if self
            .s
            .traffic
            .again_at
            .is_some_and(|again| self.at >= again)
        {
            if !self.s.forward() {
                self.write_off();
            } else if self.write_again() {
                let desired = self.s.traffic.desired;
                self.write(desired);
            } else {
                self.observe();
            }
            return true;
        }
        if let Some(due) = self.look_at()
            && self.at >= due
        {
            self.observe();
            return true;
        }
        false
    }

    /// The last write failed, and writing it again is what would be decided now too.
    pub(super) fn write_again(&self) -> bool {
        let traffic = &self.s.traffic;
        traffic.owner.is_some()
            && traffic.failures > 0
            && traffic.since.is_none()
            && self.s.paused.is_none()
            && self.s.blocks.is_empty()
            && traffic.observed.is_some()
    }

    /// When the weight is looked at again, just to see that nobody changed it.
    pub(super) fn look_at(&self) -> Option<Timestamp> {
        let traffic = &self.s.traffic;
        let verifying = self.verifying_weight();
        if !self.s.forward()
            || traffic.out.is_some()
            || traffic.again_at.is_some()
            || !(traffic.moved || verifying)
            || self.s.promoted
        {
            return None;
        }
        let every = if verifying {
            LOOK_PENDING.saturating_mul(2)
        } else {
            LOOK_EVERY
        };
        Some(after(traffic.observed_at?, every))
    }

    pub(super) fn question_due(&self) -> Option<Timestamp> {
        let out = self.s.traffic.out.as_ref()?;
        Some(after(
            out.at,
            if self.s.forward() {
                NO_ANSWER
            } else {
                NO_ANSWER_OFF
            },
        ))
    }

    pub(super) fn off_observed(&mut self, weight: Weight, pending: Option<String>) {
        let zero = weight.is_zero() && pending.is_none();
        let command = self.s.next_command;
        if let Stage::Failing(failing) = &mut self.s.stage {
            if failing.hold {
                return;
            }
            failing.zero_seen = zero;
            failing.zero_seen_command = zero.then_some(command);
        }
        if zero {
            self.s.traffic.since = Some(self.at);
            self.s.traffic.failing_since = None;
            self.s.traffic.again_at = None;
        } else {
            let why = pending
                .unwrap_or_else(|| format!("the weight is {weight} although 0 % was written"));
            let failures = self.s.traffic.failures;
            self.s.traffic.failures = failures.saturating_add(1);
            self.not_following(&why, backoff(failures.saturating_add(1)));
        }
    }
}

fn human_since(since: Timestamp, at: Timestamp) -> String {
    human(Duration::try_from(at.duration_since(since)).unwrap_or_default())
}
