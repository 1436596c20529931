//! The weight: when it may rise, taking it off, reading it back, drift.

use std::time::Duration;

use canary_traffic::Weight;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::command::Command;
use super::state::{Cause, End};
use super::step::{Machine, after};
use crate::plan::{Action, NodeIndex};

/// A weight that was read this long ago is looked at again before it rises.
const JUST_SEEN: Duration = Duration::from_secs(1);

/// What is known of the weight.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Traffic {
    /// What was written last, or is to be.
    pub desired: Weight,
    /// What the last write asked for, whatever became of it.
    pub written: Weight,
    /// The last write was read back since.
    pub read_back: bool,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Question {
    pub command: u64,
    pub write: Option<Weight>,
    pub at: Timestamp,
}

/// Why the weight may rise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
        // A write that seems lost may still arrive: only a later write of 0 rules that out.
        let known_off = traffic.observed == Some(Weight::ZERO)
            && traffic.desired.is_zero()
            && traffic.written.is_zero()
            && traffic.read_back;
        (traffic.moved || traffic.observed.is_some_and(|weight| !weight.is_zero())) && !known_off
    }

    pub(super) fn command(&mut self) -> u64 {
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
            // Only what was ours can be gone back to: somebody else's weight is never taken for it.
            traffic.prior = traffic
                .observed
                .filter(|&observed| observed == traffic.desired);
        }
        traffic.desired = weight;
        traffic.written = weight;
        traffic.read_back = false;
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
        } else if traffic.failing_since.is_some() {
            Some("the router does not follow yet")
        } else if !traffic.desired.is_zero() && traffic.evidence.is_none() {
            Some("nothing has judged the canary at this weight yet")
        } else {
            None
        }
    }

    /// The weight was read a moment ago.
    pub(super) fn just_seen(&self) -> bool {
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
            self.complete_by_person(node, &reason);
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
    pub(super) fn reaches_full(&self) -> bool {
        self.plan.nodes.iter().any(|node| match node.action {
            Action::SetWeight(weight) => weight == Weight::FULL,
            Action::Promote => true,
            _ => false,
        })
    }
}
