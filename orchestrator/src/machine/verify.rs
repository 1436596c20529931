//! Native `verify-weight`: the share of requests seen agrees with the weight.

use std::time::Duration;

use jiff::Timestamp;

use super::state::{End, Life};
use super::step::{Machine, after};
use crate::plan::{Action, NodeIndex, VerifyWeight};

/// Without a bound of its own, the share of requests must agree with the weight within this time.
const VERIFY_BOUND: Duration = Duration::from_mins(1);

impl Machine<'_> {
    pub(super) fn verifying_weight(&self) -> bool {
        self.s.active.iter().any(|&index| {
            self.s.nodes[index].life == Life::Running
                && matches!(self.plan.nodes[index].action, Action::VerifyWeight(_))
        })
    }

    pub(super) fn verify_weight(&mut self, node: NodeIndex, verify: &VerifyWeight) -> bool {
        let traffic = &self.s.traffic;
        let Some(started) = self.s.nodes[node.0].attempt_at else {
            return false;
        };
        if !self.s.graph.moves_traffic {
            let why = "this workflow moves no traffic: there is no weight to verify".to_owned();
            self.end_node(node, End::Failed, Some(why));
            return true;
        }
        let wanted = verify.weight.unwrap_or(traffic.desired);
        if wanted != traffic.desired {
            let why = format!("the weight is {}, expected {wanted}", traffic.desired);
            self.end_node(node, End::Failed, Some(why));
            return true;
        }
        let seen = traffic
            .seen
            .filter(|_| traffic.since.is_some() && traffic.observed_at >= traffic.since);
        let (mut why, mut enough) = ("the router counts no requests".to_owned(), false);
        if let Some((canary, all)) = seen {
            enough = all > 0 && all >= verify.min_requests;
            let share = percent(canary, all);
            if enough && (share - f64::from(wanted.percent())).abs() <= verify.tolerance {
                self.end_node(
                    node,
                    End::Completed,
                    Some(format!("{share:.1} % of {all} requests went to the canary")),
                );
                return true;
            }
            why = if enough {
                format!(
                    "{share:.1} % of {all} requests went to the canary, expected {wanted} within {} points",
                    verify.tolerance
                )
            } else {
                format!("{all} requests seen, {} needed", verify.min_requests)
            };
        }
        let bound = self.plan.node(node).timeout.unwrap_or(VERIFY_BOUND);
        if self.at < after(started, bound) {
            return false;
        }
        if enough {
            self.finish_attempt(node, End::Failed, Some(why));
        } else {
            self.inconclusive(node, why);
        }
        true
    }

    /// When `verify-weight` decides, whatever it has seen.
    pub(super) fn verify_due(&self, node: NodeIndex) -> Option<Timestamp> {
        let started = self.s.nodes[node.0].attempt_at?;
        Some(after(
            started,
            self.plan.node(node).timeout.unwrap_or(VERIFY_BOUND),
        ))
    }

    /// A native node's bound has passed.
    pub(super) fn give_up_native(&mut self, node: NodeIndex, bound: &str) {
        if self.s.traffic.owner == Some(node) {
            self.s.traffic.owner = None;
        }
        if self
            .s
            .bake
            .as_ref()
            .is_some_and(|bake| bake.node == Some(node))
        {
            self.s.bake = None;
        }
        let said = self
            .s
            .traffic
            .problem
            .clone()
            .map(|problem| format!(": {problem}"))
            .unwrap_or_default();
        self.finish_attempt(
            node,
            End::TimedOut,
            Some(format!("took longer than {bound}{said}")),
        );
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share; counts of requests stay far below 2^52"
)]
fn percent(part: u64, all: u64) -> f64 {
    if all == 0 {
        0.0
    } else {
        part as f64 * 100.0 / all as f64
    }
}
