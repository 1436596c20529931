//! Nodes that take too long, and nodes that are taken away.

use super::command::Command;
use super::life::GRACE;
use super::state::{Cause, End, Life};
use super::step::{Machine, after, human};
use crate::plan::{Action, NodeIndex};

impl Machine<'_> {
    /// An attempt that was asked to end has ended, or never answered.
    pub(super) fn close_cancelled(&mut self, node: NodeIndex, end: End, why: Option<String>) {
        let forward = self.s.forward();
        if forward {
            self.finish_attempt(node, end, why);
        } else {
            // On the way back nothing follows from a node that was taken away.
            let at = self.at;
            let state = &mut self.s.nodes[node.0];
            state.life = Life::Done(end);
            state.ended_at = Some(at);
            if state.reason.is_none() {
                state.reason = why;
            }
            self.s.active.remove(&node.0);
        }
    }

    /// Asks the executor to end an attempt.
    pub(super) fn cancel(&mut self, node: NodeIndex, then: End, reason: &str) {
        let attempt = self.s.nodes[node.0].attempt;
        self.s.nodes[node.0].life = Life::Cancelling {
            until: after(self.at, GRACE),
            then,
        };
        self.s.nodes[node.0].reason = Some(reason.to_owned());
        self.out.push(Command::CancelNode {
            node,
            attempt,
            reason: reason.to_owned(),
        });
    }

    /// What has passed for one active node.
    pub(super) fn node_deadline(&mut self, node: NodeIndex) -> bool {
        let plan = self.plan;
        let spec = plan.node(node);
        match self.s.nodes[node.0].life.clone() {
            Life::Cancelling { until, then } if self.at >= until => {
                let why = format!("did not end within {} of being asked to", human(GRACE));
                self.close_cancelled(node, then, Some(why));
                true
            }
            Life::Running => {
                let Some(due) = self.running_until(node) else {
                    return false;
                };
                if self.at < due {
                    return false;
                }
                let bound = spec.timeout.map_or_else(|| "its bound".to_owned(), human);
                if self.has_executor(node) {
                    self.cancel(node, End::TimedOut, &format!("no answer within {bound}"));
                } else if let Action::Call = spec.action {
                    self.cancel_inside(node, "the call took too long");
                    self.finish_attempt(
                        node,
                        End::TimedOut,
                        Some(format!("took longer than {bound}")),
                    );
                } else {
                    self.give_up_native(node, &bound);
                }
                true
            }
            Life::Verifying { until } if self.at >= until => {
                let attempt = self.s.nodes[node.0].attempt;
                self.node_verified(
                    node,
                    attempt,
                    Err(format!(
                        "runtime.verify did not answer within {}",
                        human(super::watch::NO_ANSWER)
                    )),
                );
                true
            }
            Life::Waiting { since } => self.approval_deadline(node, since),
            _ => false,
        }
    }

    /// When a running node is treated as timed out.
    pub(super) fn running_until(&self, node: NodeIndex) -> Option<jiff::Timestamp> {
        let timeout = self.plan.node(node).timeout?;
        let started = self.s.nodes[node.0].attempt_at?;
        if matches!(self.plan.node(node).action, Action::Promote) && !self.has_executor(node) {
            // The bake has a length of its own; the bound is that of the workload's command.
            return None;
        }
        let bound = after(started, timeout);
        // The executor knows the bound too and is the one to end the attempt.
        Some(if self.has_executor(node) {
            after(bound, GRACE)
        } else {
            bound
        })
    }

    /// Ends what runs inside a call.
    pub(super) fn cancel_inside(&mut self, call: NodeIndex, why: &str) {
        let graph = self.s.graph.clone();
        for &inner in &graph.inside[call.0] {
            if self.s.active.contains(&inner.0) {
                self.cancel_inside(inner, why);
                self.drop_node(inner, why);
            }
            self.s.touched.remove(&inner.0);
        }
    }

    /// Takes an active node away: cancels what runs, forgets what waits.
    pub(super) fn drop_node(&mut self, node: NodeIndex, why: &str) {
        let state = &self.s.nodes[node.0];
        match state.life {
            Life::Cancelling { .. } => return,
            Life::Running if self.has_executor(node) && state.attempt > 0 => {
                self.cancel(node, End::Cancelled, why);
                return;
            }
            _ => {}
        }
        let at = self.at;
        let state = &mut self.s.nodes[node.0];
        let begun = state.started_at.is_some();
        state.life = Life::Done(if begun { End::Cancelled } else { End::Skipped });
        state.ended_at = begun.then_some(at);
        state.reason = Some(why.to_owned());
        self.s.active.remove(&node.0);
        self.s.blocks.retain(|block| {
            ![
                Cause::Check(node),
                Cause::Route(node),
                Cause::Doubt(node),
                Cause::Evidence(node),
            ]
            .contains(&block.cause)
        });
    }
}
