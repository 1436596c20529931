//! The weight: when it may rise, taking it off, reading it back, drift.

use std::time::Duration;

use canary_traffic::Weight;
use jiff::Timestamp;

use super::command::{Command, backoff};
use super::state::{Cause, End, Life, Stage};
use super::step::{Machine, after, human};
use crate::plan::{Action, NodeIndex};

/// The weight is read again this often while the canary has traffic.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// A weight that is written and not yet in effect is read again this often.
const LOOK_PENDING: Duration = Duration::from_secs(1);

/// A weight that was read this long ago is looked at again before it rises.
const JUST_SEEN: Duration = Duration::from_secs(1);

/// A router that does not answer at all.
const NO_ANSWER: Duration = Duration::from_secs(30);

/// The same, while traffic is to be taken off.
const NO_ANSWER_OFF: Duration = Duration::from_secs(5);

/// A router that fails, or does not follow, for this long blocks the run.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is known of the weight.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Traffic {
    /// What was written last, or is to be.
    pub desired: Weight,
    /// What was in force before the write that is not confirmed yet.
    pub prior: Option<Weight>,
    /// What the router said last; `None`: nothing, or nothing since a restart.
    pub observed: Option<Weight>,
    pub observed_at: Option<Timestamp>,
    /// Since when the desired weight is in force and watched.
    pub since: Option<Timestamp>,
    /// The canary had, or may have had, traffic in this run.
    pub moved: bool,
    /// When the canary first had traffic.
    pub first_at: Option<Timestamp>,
    pub out: Option<Question>,
    /// When to ask again after a failure, or to look at what is pending.
    pub again_at: Option<Timestamp>,
    pub failures: u32,
    /// Since when the router fails or does not follow.
    pub failing_since: Option<Timestamp>,
    pub problem: Option<String>,
    /// Why the weight may rise from here: what has judged the canary since that weight is in force.
    pub evidence: Option<Evidence>,
    /// Requests since the weight was set: canary, all.
    pub seen: Option<(u64, u64)>,
    /// The node that set the desired weight, while it waits for it.
    pub owner: Option<NodeIndex>,
}

/// A command to the router that is not answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    pub command: u64,
    pub write: Option<Weight>,
    pub at: Timestamp,
}

/// Why the weight may rise.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Evidence {
    /// A check or a guard passed.
    Passed,
    /// A person decided.
    Person(String),
}

impl Machine<'_> {
    /// The canary has traffic, or nobody knows that it has none.
    pub(super) fn may_have_traffic(&self) -> bool {
        let traffic = &self.s.traffic;
        let writing = traffic
            .out
            .as_ref()
            .and_then(|out| out.write)
            .is_some_and(|weight| !weight.is_zero());
        let known_off =
            traffic.observed == Some(Weight::ZERO) && traffic.desired.is_zero() && !writing;
        (traffic.moved || traffic.observed.is_some_and(|weight| !weight.is_zero())) && !known_off
    }

    fn command(&mut self) -> u64 {
        let id = self.s.next_command;
        self.s.next_command = id.saturating_add(1);
        id
    }

    pub(super) fn observe(&mut self) {
        let command = self.command();
        self.s.traffic.out = Some(Question {
            command,
            write: None,
            at: self.at,
        });
        self.s.traffic.again_at = None;
        self.out.push(Command::ObserveWeight { command });
    }

    pub(super) fn write(&mut self, weight: Weight) {
        let command = self.command();
        let traffic = &mut self.s.traffic;
        if traffic.desired != weight || traffic.since.is_some() {
            traffic.prior = traffic.observed.or(Some(traffic.desired));
        }
        traffic.desired = weight;
        traffic.since = None;
        traffic.again_at = None;
        traffic.moved |= !weight.is_zero();
        traffic.out = Some(Question {
            command,
            write: Some(weight),
            at: self.at,
        });
        self.out.push(Command::SetWeight { command, weight });
    }

    /// Takes traffic off. Never waits for anything.
    pub(super) fn write_off(&mut self) {
        self.out.retain(|command| {
            !matches!(
                command,
                Command::SetWeight { .. } | Command::ObserveWeight { .. }
            )
        });
        self.s.traffic.evidence = None;
        self.s.traffic.owner = None;
        self.write(Weight::ZERO);
    }

    /// Why the weight may not rise now; `None`: it may.
    pub(super) fn raise_held(&self) -> Option<&'static str> {
        let traffic = &self.s.traffic;
        if !self.s.forward() {
            Some("the run is going back")
        } else if self.s.paused.is_some() {
            Some("the run is paused")
        } else if self
            .s
            .blocks
            .iter()
            .any(|block| !matches!(block.cause, Cause::Evidence(_)))
        {
            Some("the run is blocked")
        } else if traffic.out.is_some() && (traffic.since.is_none() || traffic.observed.is_none()) {
            Some("the router has not answered yet")
        } else if traffic.observed.is_none() {
            Some("the weight is not known")
        } else if traffic.observed != Some(traffic.desired)
            || (traffic.since.is_none() && !traffic.desired.is_zero())
        {
            Some("the weight is not in force yet")
        } else if !traffic.desired.is_zero() && traffic.evidence.is_none() {
            Some("nothing has judged the canary at this weight yet")
        } else {
            None
        }
    }

    /// The weight was read a moment ago.
    fn just_seen(&self) -> bool {
        self.s
            .traffic
            .observed_at
            .is_some_and(|seen| self.at <= after(seen, JUST_SEEN))
    }

    /// The node would raise the weight.
    pub(super) fn raises(&self, node: NodeIndex) -> bool {
        match self.plan.node(node).action {
            Action::SetWeight(weight) => !weight.is_zero(),
            Action::Promote => true,
            _ => false,
        }
    }

    /// Sets the weight for a node, if it may. True: something changed.
    pub(super) fn set_weight_for(&mut self, node: NodeIndex, weight: Weight) -> bool {
        let rises = weight > self.s.traffic.desired;
        // One at a time; and while 100 % is watched nobody else changes it.
        if self.s.traffic.owner.is_some() || self.s.bake.is_some() {
            return false;
        }
        if rises && self.raise_held().is_some() {
            return self.want_evidence(node);
        }
        if rises && !self.just_seen() {
            // Look before every step up: never on top of what somebody else did.
            if self.s.traffic.out.is_none() {
                self.observe();
            }
            return false;
        }
        if !rises
            && (self
                .s
                .traffic
                .out
                .as_ref()
                .is_some_and(|out| out.write.is_some()))
        {
            return false;
        }
        self.unblock(Cause::Evidence(node));
        self.begin(node);
        self.s.traffic.owner = Some(node);
        self.s.nodes[node.0].reason = None;
        self.write(weight);
        true
    }

    /// A `set-weight` node.
    pub(super) fn start_weight(&mut self, node: NodeIndex, weight: Weight) -> bool {
        if self.s.promoted {
            let reason = "the release is promoted: the weight stays".to_owned();
            self.end_node(node, End::Completed, Some(reason));
            return true;
        }
        if let Some(by) = &self.s.full
            && self.s.forward()
            && !weight.is_zero()
            && weight < Weight::FULL
            && self.reaches_full()
        {
            let reason = format!("skipped: {by} asked for 100 %");
            self.complete_by_person(node, reason);
            return true;
        }
        let traffic = &self.s.traffic;
        let in_force = traffic.desired == weight
            && traffic.observed == Some(weight)
            && traffic.out.as_ref().is_none_or(|out| out.write.is_none())
            && (traffic.since.is_some() || weight.is_zero());
        if in_force {
            self.begin(node);
            self.end_node(
                node,
                End::Completed,
                Some(format!("the weight is {weight} already")),
            );
            return true;
        }
        self.set_weight_for(node, weight)
    }

    /// The plan has a step to 100 % of its own.
    fn reaches_full(&self) -> bool {
        self.plan.nodes.iter().any(|node| match node.action {
            Action::SetWeight(weight) => weight == Weight::FULL,
            Action::Promote => true,
            _ => false,
        })
    }

    /// Is the question out, and takes it back.
    fn answered(&mut self, command: u64) -> Option<Question> {
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
                self.not_following(why, LOOK_PENDING);
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
    fn late_answer(&mut self, command: u64) {
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
                self.observe()
            }
            _ => {}
        }
    }

    /// The desired weight is read back and the data plane follows.
    fn in_force(&mut self, written: bool) {
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

    fn write_lost(&mut self, weight: Weight) {
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

    fn drifted(&mut self, weight: Weight, foreign: Option<String>) {
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

    fn not_following(&mut self, why: String, again: Duration) {
        let at = self.at;
        let traffic = &mut self.s.traffic;
        traffic.again_at = Some(after(at, again));
        traffic.problem = Some(why.clone());
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

    pub(super) fn weight_failed(&mut self, command: u64, error: String) {
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
                format!("the router did not answer within {}", human(bound)),
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
    fn write_again(&self) -> bool {
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

    fn off_observed(&mut self, weight: Weight, pending: Option<String>) {
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
            self.not_following(why, backoff(failures.saturating_add(1)));
        }
    }
}

fn human_since(since: Timestamp, at: Timestamp) -> String {
    human(Duration::try_from(at.duration_since(since)).unwrap_or_default())
}
