//! The one function: what happened goes in, what to do comes out.

use std::time::Duration;

use jiff::Timestamp;

use super::command::{Command, Wake};
use super::event::{Event, NodeResult, OperatorAction};
use super::state::{Cause, End, Life, Stage, State};
use crate::plan::{Action, NodeIndex, Plan};

/// A driver that comes this much later than it was asked to did not watch: it was stopped, or the machine slept.
const UNWATCHED: Duration = Duration::from_secs(5);

/// What follows from an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The state now.
    pub state: State,
    /// What to do, in this order; what takes traffic off comes first.
    pub commands: Vec<Command>,
    /// When to feed [`Event::Timer`], if nothing happens before; it replaces the timer of the decision before.
    pub wake: Option<Wake>,
}

/// Takes in one event. Total: an event that makes no sense (an unknown node, a late answer) changes nothing but the
/// time. `at` is when it happened; a time before the last event's counts as the last event's.
pub fn step(plan: &Plan, state: State, at: Timestamp, event: Event) -> Decision {
    let at = state.now.map_or(at, |now| now.max(at));
    if state.nodes.len() != plan.nodes.len() || state.edges.len() != plan.edges.len() {
        // The state of another plan: nothing that could be done with it would be right.
        return Decision {
            state,
            commands: Vec::new(),
            wake: None,
        };
    }
    let mut machine = Machine {
        plan,
        s: state,
        at,
        out: Vec::new(),
        unsettled: false,
    };
    machine.s.now = Some(at);
    let late = machine
        .s
        .due
        .filter(|due| at > after(*due, UNWATCHED) && !matches!(event, Event::Resumed));
    // Abort is looked at before anything else, in every state.
    if let Event::Operator {
        action: OperatorAction::Abort { signal },
        by,
        reason,
    } = event
    {
        machine.abort(signal, &by, reason.as_deref());
    } else {
        if let Some(due) = late {
            machine.unwatched(due);
        }
        machine.take_in(event);
    }
    machine.settle();
    machine.decide()
}

/// One step in progress.
pub(super) struct Machine<'p> {
    pub plan: &'p Plan,
    pub s: State,
    pub at: Timestamp,
    pub out: Vec<Command>,
    /// The bound of one step was reached: go on at once with the next.
    pub unsettled: bool,
}

impl Machine<'_> {
    fn take_in(&mut self, event: Event) {
        match event {
            Event::Started => self.start(),
            Event::Resumed => self.resumed(),
            Event::NodeStarted {
                node,
                attempt,
                process,
            } => {
                if self.is_current(node, attempt) {
                    let state = &mut self.s.nodes[node.0];
                    state.begun = true;
                    state.process = process;
                }
            }
            Event::NodeFinished {
                node,
                attempt,
                result,
            } => self.node_finished(node, attempt, result),
            Event::NodeVerified {
                node,
                attempt,
                finished,
            } => self.node_verified(node, attempt, finished),
            Event::WeightChanged { .. } => self.weight_changed(),
            Event::Measured {
                gate,
                watch,
                measurement,
            } => self.measured(gate, watch, measurement),
            Event::WeightObserved {
                command,
                weight,
                pending,
                foreign,
                seen,
            } => {
                self.weight_observed(command, weight, pending, foreign, seen);
            }
            Event::WeightFailed { command, error } => self.weight_failed(command, &error),
            Event::CostCounted { cost } => {
                if self.s.cost.asked && !self.s.cost.answered {
                    self.s.cost.answered = true;
                    self.s.cost.cost = cost;
                }
            }
            Event::WorkloadFailed { why } => {
                if self.s.forward() && !self.s.promoted {
                    self.fail_run(why, None, false);
                }
            }
            Event::Timer => {}
            Event::Operator { action, by, reason } => self.operator(action, &by, reason.as_deref()),
            Event::Notified {
                notification,
                channel: _,
                error,
            } => {
                if notification > 0 && notification < self.s.next_notification {
                    self.s.notified.insert(notification, error.is_none());
                    let count = if error.is_none() {
                        &mut self.s.sent
                    } else {
                        &mut self.s.given_up
                    };
                    *count = count.saturating_add(1);
                }
            }
        }
    }

    fn start(&mut self) {
        if self.s.stage != Stage::New {
            return;
        }
        self.s.stage = Stage::Forward;
        self.s.started_at = Some(self.at);
        if self.s.graph.moves_traffic {
            // Look before the first step: somebody may have left traffic on the canary.
            self.observe();
        }
        self.news_started();
        self.enter(None);
    }

    /// The attempt is the one that is out.
    pub(super) fn is_current(&self, node: NodeIndex, attempt: u32) -> bool {
        self.s.nodes.get(node.0).is_some_and(|state| {
            state.attempt == attempt
                && attempt > 0
                && matches!(state.life, Life::Running | Life::Cancelling { .. })
                && self.has_executor(node)
        })
    }

    /// Its attempts are carried out by somebody else and answered with `NodeFinished`.
    pub(super) fn has_executor(&self, node: NodeIndex) -> bool {
        match self.plan.node(node).action {
            Action::Task(_) | Action::Measure(_) | Action::Scale(_) | Action::Rollback => true,
            // After the bake the workload is made the new version.
            Action::Promote => self.s.nodes[node.0].tries() > 0,
            _ => false,
        }
    }

    fn node_finished(&mut self, node: NodeIndex, attempt: u32, result: NodeResult) {
        if self.is_current(node, attempt) {
            self.attempt_finished(node, result);
        }
    }

    /// Goes on until nothing more follows from what is known.
    fn settle(&mut self) {
        let bound = self.plan.nodes.len().saturating_mul(4).saturating_add(64);
        for _ in 0..bound {
            let changed = match self.s.stage {
                Stage::New | Stage::Ended { .. } => false,
                Stage::Closing { .. } => self.close(),
                Stage::Forward => {
                    self.deadlines()
                        | self.weight()
                        | self.checks()
                        | self.guards()
                        | self.activate()
                        | self.start_ready()
                        | self.settle_calls()
                        | self.bake()
                        | self.graph_over()
                }
                Stage::Failing(_) => {
                    self.deadlines()
                        | self.weight()
                        | self.checks()
                        | self.activate()
                        | self.start_ready()
                        | self.settle_calls()
                        | self.way_back()
                }
            };
            if !changed {
                return;
            }
        }
        self.unsettled = true;
    }

    /// Bounds that have passed.
    fn deadlines(&mut self) -> bool {
        let mut changed = false;
        if self.s.forward()
            && let (Some(bound), Some(started)) = (self.plan.timeout, self.s.started_at)
            && self.at >= after(started, bound)
            && !self.s.promoted
        {
            let why = format!("the run took longer than its bound of {}", human(bound));
            self.fail_run(why, None, false);
            return true;
        }
        if let Some(block) = self
            .s
            .blocks
            .iter()
            .find(|block| self.at >= after(block.since, self.plan.deadlines.decision))
        {
            let why = format!(
                "{}; nobody decided within {}",
                block.why,
                human(self.plan.deadlines.decision)
            );
            let cause = block.cause;
            if self.s.forward() {
                self.fail_run(why, None, true);
            } else if let Cause::Doubt(node) = cause {
                self.unblock(cause);
                self.end_node(node, End::Failed, Some(why));
            }
            return true;
        }
        for node in self.active() {
            changed |= self.node_deadline(node);
        }
        changed
    }

    /// The active nodes, in the order of the plan. Few, whatever the size of the plan.
    pub(super) fn active(&self) -> Vec<NodeIndex> {
        self.s
            .active
            .iter()
            .map(|&index| NodeIndex(index))
            .collect()
    }

    /// Adds a block; one that is there already keeps its time.
    pub(super) fn block(&mut self, cause: Cause, why: String) {
        if let Some(block) = self.s.blocks.iter_mut().find(|block| block.cause == cause) {
            block.why = why;
            return;
        }
        self.news_blocked(cause, &why);
        self.s.blocks.push(super::state::Block {
            cause,
            since: self.at,
            why,
        });
    }

    /// Takes a block away; true if it was there.
    pub(super) fn unblock(&mut self, cause: Cause) -> bool {
        let before = self.s.blocks.len();
        self.s.blocks.retain(|block| block.cause != cause);
        let there = self.s.blocks.len() < before;
        if there && self.s.blocks.is_empty() && self.s.forward() {
            self.news_unblocked();
        }
        there
    }

    pub(super) fn blocked_by(&self, cause: Cause) -> bool {
        self.s.blocks.iter().any(|block| block.cause == cause)
    }

    fn decide(mut self) -> Decision {
        // Stable: all else keeps its order.
        self.out.sort_by_key(|command| !command.takes_traffic_off());
        let wake = if self.unsettled {
            Some(Wake {
                at: self.at,
                why: "more follows".to_owned(),
            })
        } else {
            self.wake()
        };
        self.s.due = wake.as_ref().map(|wake| wake.at);
        Decision {
            state: self.s,
            commands: self.out,
            wake,
        }
    }
}

/// A time later by that much; the end of time if there is no such.
pub(super) fn after(at: Timestamp, pause: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(pause)
        .ok()
        .and_then(|pause| at.checked_add(pause).ok())
        .unwrap_or(Timestamp::MAX)
}

/// A time earlier by that much; the beginning of time if there is no such.
pub(super) fn before(at: Timestamp, pause: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(pause)
        .ok()
        .and_then(|pause| at.checked_sub(pause).ok())
        .unwrap_or(Timestamp::MIN)
}

/// `90 s` is `1m30s`.
pub(super) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 {
        return format!("{} ms", duration.as_millis());
    }
    let mut text = String::new();
    for (unit, size) in [("h", 3600), ("m", 60), ("s", 1)] {
        let count = if unit == "h" {
            seconds / size
        } else {
            seconds / size % 60
        };
        if count > 0 {
            text.push_str(&count.to_string());
            text.push_str(unit);
        }
    }
    text
}
