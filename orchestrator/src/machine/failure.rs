//! When something fails, or a person aborts: traffic off first, then the way back, then the end.

use canary_traffic::Weight;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::command::Command;
use super::outcome::Outcome;
use super::state::{End, Life, Stage};
use super::step::Machine;
use super::watch::Bake;
use crate::plan::{NodeIndex, OnFailure};

/// The run is going back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Failing {
    /// How the run ends if the way back works.
    pub base: Outcome,
    /// What failed, in one sentence.
    pub why: String,
    pub since: Timestamp,
    /// The node that failed.
    pub node: Option<NodeIndex>,
    /// Where the way back begins; empty: at the rollback node.
    pub roots: Vec<NodeIndex>,
    /// Weight 0 must be seen before the run may end.
    pub needs_zero: bool,
    pub zero_seen: bool,
    /// The first command id that is younger than the one that saw 0.
    pub zero_seen_command: Option<u64>,
    /// The weight is kept.
    pub hold: bool,
    pub way: Way,
    /// Why the rollback node failed.
    pub rollback_failed: Option<String>,
}

/// How far the way back is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    /// Traffic goes off, what runs is ended.
    Off,
    /// These nodes run.
    Back { members: Vec<NodeIndex> },
}

/// A person asked for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Abort {
    /// The signal, where one did.
    pub signal: Option<i32>,
}

/// What failed.
#[derive(Debug, Clone, Default)]
pub(super) struct Fault {
    pub why: String,
    pub node: Option<NodeIndex>,
    pub roots: Vec<NodeIndex>,
    pub deadline: bool,
    pub abort: Option<Abort>,
    /// Nothing was done to the world that the way back could undo.
    pub early: bool,
}

impl Machine<'_> {
    /// Something that is no node failed.
    pub(super) fn fail_run(&mut self, why: String, node: Option<NodeIndex>, deadline: bool) {
        let unreached = !self.s.traffic.moved && !deadline && node.is_none();
        let early = unreached && !self.rollback_reached();
        self.fail(Fault {
            why,
            node,
            deadline,
            early,
            ..Fault::default()
        });
    }

    /// A node failed and none of its edges handles it.
    pub(super) fn unhandled(&mut self, node: NodeIndex, end: End) {
        let why = self.failure_sentence(node, end);
        let rollback = self.is_rollback(node);
        if let Stage::Failing(failing) = &mut self.s.stage {
            if rollback && failing.rollback_failed.is_none() {
                failing.rollback_failed = Some(why);
            } else {
                self.s.remarks.push(why);
            }
            return;
        }
        if self.s.promoted {
            // The release is through; a message that could not be sent does not take it back.
            self.s.remarks.push(why);
            return;
        }
        match self.plan.node(node).scope {
            Some(call) if self.s.nodes[call.0].life == Life::Running => {
                self.cancel_inside(call, "another node of the same call failed");
                self.finish_attempt(call, End::Failed, Some(why));
            }
            _ => self.fail(Fault {
                why,
                node: Some(node),
                early: true,
                ..Fault::default()
            }),
        }
    }

    /// Enters the way back. Taking traffic off is the first command, whatever else this step decided.
    pub(super) fn fail(&mut self, fault: Fault) {
        if !matches!(
            self.s.stage,
            Stage::Forward | Stage::New | Stage::Closing { .. } | Stage::Ended { .. }
        ) {
            return;
        }
        let traffic = self.may_have_traffic();
        let hold = self.plan.on_failure == OnFailure::Hold && fault.abort.is_none() && traffic;
        let base = match fault.abort {
            Some(Abort { signal }) => Outcome::Aborted { signal },
            None if hold => Outcome::Held,
            None if fault.early && !self.s.traffic.moved && !traffic => Outcome::Failed,
            None => Outcome::RolledBack {
                deadline: fault.deadline,
            },
        };
        self.take_back_commands();
        if traffic && !hold {
            self.write_off();
        }
        self.s.stage = Stage::Failing(Box::new(Failing {
            base,
            why: fault.why,
            since: self.at,
            node: fault.node,
            roots: fault.roots,
            needs_zero: traffic && !hold,
            zero_seen: false,
            zero_seen_command: None,
            hold,
            way: Way::Off,
            rollback_failed: None,
        }));
        self.s.paused = None;
        self.s.full = None;
        self.s.bake = None::<Bake>;
        self.s.guarding = false;
        self.s.traffic.owner = None;
        self.s.blocks.clear();
        self.s.touched.clear();
        for node in self.active() {
            self.drop_node(node, "the run goes back");
        }
        self.news_failing();
    }

    /// What this step had decided to start is not started.
    pub(super) fn take_back_commands(&mut self) {
        let mut dropped = Vec::new();
        self.out.retain(|command| match command {
            Command::StartNode { node, .. } | Command::Workload { node, .. } => {
                dropped.push(*node);
                false
            }
            Command::Measure { .. } | Command::VerifyNode { .. } => false,
            Command::SetWeight { weight, .. } => weight.is_zero(),
            _ => true,
        });
        let at = self.at;
        for node in dropped {
            let state = &mut self.s.nodes[node.0];
            state.life = Life::Done(End::Cancelled);
            state.ended_at = Some(at);
            state.reason = Some("the run went back before it began".to_owned());
            self.s.active.remove(&node.0);
        }
    }

    /// A person, or a signal, aborts. Looked at before anything else.
    pub(super) fn abort(&mut self, signal: Option<i32>, by: &str, reason: Option<&str>) {
        let because = reason
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        let why = format!("aborted by {by}{because}");
        // Held runs keep their traffic, and so does one whose weight 0 was never confirmed.
        let left_on = self.may_have_traffic();
        match &mut self.s.stage {
            Stage::Failing(failing) if failing.hold => {
                // Held runs keep their weight until a person says otherwise: this is that.
                failing.hold = false;
                failing.needs_zero = true;
                failing.base = Outcome::Aborted { signal };
                failing.why = why;
                self.write_off();
                self.answer(by, "abort", "taking traffic off, then going back");
            }
            Stage::Failing(failing) => {
                // A 0 that was read back and is not in effect yet counts as none.
                if left_on || (failing.needs_zero && !failing.zero_seen) {
                    self.write_off();
                }
                let doubts: Vec<_> = self.s.blocks.iter().map(|block| block.cause).collect();
                for cause in doubts {
                    if let super::state::Cause::Doubt(node) = cause {
                        self.end_node(node, End::Failed, Some(format!("given up by {by}")));
                    }
                }
                self.answer(
                    by,
                    "abort",
                    "the run is going back already; weight 0 is written again if it was not seen",
                );
            }
            Stage::Ended { outcome, .. } | Stage::Closing { outcome, .. }
                if *outcome != Outcome::Promoted && !left_on =>
            {
                let word = outcome.word();
                self.answer(
                    by,
                    "abort",
                    &format!("nothing to abort: the run is over ({word})"),
                );
            }
            Stage::Ended {
                outcome: Outcome::Promoted,
                ..
            } => {
                self.answer(by, "abort", "nothing to abort: the run is over (promoted); release the version before to go back");
            }
            _ => {
                self.s.ended_at = None;
                self.s.cost = super::state::CostCount::default();
                self.fail(Fault {
                    why,
                    abort: Some(Abort { signal }),
                    early: true,
                    ..Fault::default()
                });
                self.answer(by, "abort", "taking traffic off, then going back");
            }
        }
    }

    /// Some node that leads to a rollback node was begun: there is something to undo.
    pub(super) fn rollback_reached(&self) -> bool {
        self.plan
            .edges
            .iter()
            .any(|edge| self.is_rollback(edge.to) && self.s.nodes[edge.from.0].started_at.is_some())
    }

    /// The weight that the canary has for all that is known: what a message says.
    pub(super) fn weight_now(&self) -> Weight {
        self.s.traffic.observed.unwrap_or(self.s.traffic.desired)
    }
}
