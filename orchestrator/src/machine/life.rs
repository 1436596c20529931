//! The life of one node: start, attempts, retries, end.

use std::time::Duration;

use super::command::Command;
use super::event::{NodeResult, NodeStatus};
use super::state::{Cause, End, Life, Stage};
use super::step::{Machine, after};
use crate::plan::{Action, NodeIndex};

/// A node that was asked to end, and an executor that lets its own bound pass, get this long.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// A blocked measurement is tried again this often at most.
const MEASURE_AGAIN: Duration = Duration::from_secs(30);

/// Retries never wait longer than this.
const LONGEST_BACKOFF: Duration = Duration::from_hours(1);

impl Machine<'_> {
    /// Starts what may start.
    pub(super) fn start_ready(&mut self) -> bool {
        let mut changed = false;
        for node in self.active() {
            if let Life::Backoff { until } = self.s.nodes[node.0].life
                && self.at >= until
            {
                self.s.nodes[node.0].life = Life::Ready;
                changed = true;
            }
            if self.s.nodes[node.0].life == Life::Ready {
                changed |= self.try_start(node);
            }
            if matches!(self.s.stage, Stage::Closing { .. } | Stage::Ended { .. }) {
                break;
            }
        }
        changed
    }

    pub(super) fn try_start(&mut self, node: NodeIndex) -> bool {
        let plan = self.plan;
        let spec = plan.node(node);
        let forward = self.s.forward();
        if forward && self.s.paused.is_some() {
            return false;
        }
        if self.off_comes_first() {
            return false;
        }
        if !forward && self.raises(node) {
            self.end_node(
                node,
                End::Skipped,
                Some("the weight does not rise on the way back".to_owned()),
            );
            return true;
        }
        let asked = match &spec.action {
            Action::Ask(approval) => Some(approval),
            _ => spec.approval.as_ref(),
        };
        if asked.is_some() && !self.s.nodes[node.0].approved {
            self.ask(node);
            return true;
        }
        match &spec.action {
            Action::Ask(_) => {
                self.finish_attempt(node, End::Completed, None);
                true
            }
            Action::Task(_) | Action::Scale(_) | Action::Rollback => self.start_attempt(node),
            Action::Measure(_) => {
                if forward && self.s.full.is_some() {
                    return self.skip_check(node);
                }
                // Evidence needs a weight that is known to be in force.
                if forward && !self.s.traffic.desired.is_zero() && self.s.traffic.since.is_none() {
                    return false;
                }
                self.start_attempt(node)
            }
            Action::Analyze(analyze) => {
                if forward && self.s.full.is_some() {
                    return self.skip_check(node);
                }
                self.start_check(node, analyze);
                true
            }
            Action::SetWeight(weight) => self.start_weight(node, *weight),
            Action::Promote => self.start_promote(node),
            Action::VerifyWeight(_) => {
                if forward && self.s.full.is_some() {
                    return self.skip_check(node);
                }
                self.begin(node);
                true
            }
            Action::Call => {
                self.begin(node);
                self.enter(Some(node));
                true
            }
        }
    }

    /// A check that a person skipped by asking for 100 %.
    pub(super) fn skip_check(&mut self, node: NodeIndex) -> bool {
        let by = self.s.full.clone().unwrap_or_default();
        self.complete_by_person(node, &format!("skipped: {by} asked for 100 %"));
        true
    }

    /// The node runs from now on; natives need nothing else.
    pub(super) fn begin(&mut self, node: NodeIndex) {
        let at = self.at;
        let state = &mut self.s.nodes[node.0];
        state.life = Life::Running;
        state.attempt_at = Some(at);
        state.started_at.get_or_insert(at);
        state.ended_at = None;
        state.reason = None;
        state.begun = false;
        state.process = None;
    }

    /// Starts the next attempt of what an executor carries out.
    pub(super) fn start_attempt(&mut self, node: NodeIndex) -> bool {
        self.begin(node);
        let evidence_since = self.s.traffic.since;
        let state = &mut self.s.nodes[node.0];
        state.attempt = state.attempt.saturating_add(1);
        let (attempt, iteration) = (state.attempt, state.iteration);
        self.out.push(match self.plan.node(node).action {
            Action::Task(_) | Action::Measure(_) => Command::StartNode {
                node,
                attempt,
                iteration,
                evidence_since,
            },
            _ => Command::Workload { node, attempt },
        });
        true
    }

    /// An executor's attempt ended.
    pub(super) fn attempt_finished(&mut self, node: NodeIndex, result: NodeResult) {
        let life = self.s.nodes[node.0].life.clone();
        self.s.nodes[node.0].outputs = result.outputs;
        if let Life::Cancelling { then, .. } = life {
            // It may have finished before the cancel reached it: then it has, and it is not started again.
            let end = match result.status {
                NodeStatus::Completed => End::Completed,
                NodeStatus::Failed => End::Failed,
                _ => then,
            };
            self.close_cancelled(node, end, result.error);
            return;
        }
        match result.status {
            NodeStatus::Completed if self.s.nodes[node.0].recheck => {
                self.rechecked(node, true, None);
            }
            NodeStatus::Completed => self.finish_attempt(node, End::Completed, None),
            NodeStatus::Failed | NodeStatus::Cancelled => {
                self.finish_attempt(
                    node,
                    End::Failed,
                    Some(result.error.unwrap_or_else(|| "failed".to_owned())),
                );
            }
            NodeStatus::TimedOut => {
                self.finish_attempt(
                    node,
                    End::TimedOut,
                    Some(result.error.unwrap_or_else(|| "timed out".to_owned())),
                );
            }
            // Only queries can decide nothing; whatever else says so has not done what it should.
            NodeStatus::Inconclusive
                if !matches!(self.plan.node(node).action, Action::Measure(_)) =>
            {
                let why = result.error.unwrap_or_else(|| "decided nothing".to_owned());
                self.finish_attempt(node, End::Failed, Some(why));
            }
            NodeStatus::Inconclusive => {
                let why = result
                    .error
                    .unwrap_or_else(|| "no answer that decides".to_owned());
                self.inconclusive(node, why);
            }
        }
    }

    /// An attempt ended: it is over, or another follows.
    pub(super) fn finish_attempt(&mut self, node: NodeIndex, end: End, why: Option<String>) {
        if end == End::Completed {
            match self.failure_test(node) {
                None => self.end_node(node, End::Completed, why),
                Some(why) => self.retry_or(node, End::Failed, why),
            }
            return;
        }
        self.retry_or(node, end, why.unwrap_or_else(|| "failed".to_owned()));
    }

    pub(super) fn retry_or(&mut self, node: NodeIndex, end: End, why: String) {
        if !self.retry(node, &why) {
            self.end_node(node, end, Some(why));
        }
    }

    /// Schedules another attempt, if one is left.
    pub(super) fn retry(&mut self, node: NodeIndex, why: &str) -> bool {
        let retry = self.plan.node(node).retry;
        let used = self.s.nodes[node.0].retries;
        if used >= retry.max_retries || matches!(self.plan.node(node).action, Action::Call) {
            return false;
        }
        let factor = if retry.exponential {
            1_u32.checked_shl(used).unwrap_or(u32::MAX)
        } else {
            1
        };
        let pause = retry.backoff.saturating_mul(factor).min(LONGEST_BACKOFF);
        let until = after(self.at, pause);
        let state = &mut self.s.nodes[node.0];
        state.retries = used.saturating_add(1);
        state.life = Life::Backoff { until };
        state.check = None;
        state.reason = Some(format!(
            "attempt {} of {}: {why}",
            used.saturating_add(1),
            retry.max_retries.saturating_add(1)
        ));
        self.s.active.insert(node.0);
        true
    }

    /// An attempt decided nothing: another, or the run is blocked; on the way back it counts as failed.
    pub(super) fn inconclusive(&mut self, node: NodeIndex, why: String) {
        if !self.s.nodes[node.0].recheck && self.retry(node, &why) {
            return;
        }
        if !self.s.forward() {
            self.end_node(node, End::Failed, Some(why));
            return;
        }
        let until = after(
            self.at,
            self.plan.node(node).retry.backoff.max(MEASURE_AGAIN),
        );
        let measures = matches!(self.plan.node(node).action, Action::Measure(_));
        let id = &self.plan.node(node).id;
        let sentence = format!("{id} decided nothing: {why}");
        let state = &mut self.s.nodes[node.0];
        // A measurement goes on being made while the run is blocked; a task is not run again by itself.
        state.life = if measures {
            Life::Backoff { until }
        } else {
            Life::Stuck
        };
        state.reason = Some(why);
        self.s.active.insert(node.0);
        self.block(Cause::Check(node), sentence);
    }

    /// The node has ended; its edges are resolved.
    pub(super) fn end_node(&mut self, node: NodeIndex, end: End, why: Option<String>) {
        let at = self.at;
        let state = &mut self.s.nodes[node.0];
        state.life = Life::Done(end);
        state.recheck = false;
        if end != End::Skipped && end != End::Blocked {
            state.ended_at = Some(at);
        }
        state.reason = why;
        self.s.active.remove(&node.0);
        for cause in [
            Cause::Check(node),
            Cause::Route(node),
            Cause::Doubt(node),
            Cause::Evidence(node),
        ] {
            self.unblock(cause);
        }
        self.note_end(node, end == End::Completed);
        self.leave(node, end);
    }
}
