//! What each active node waits for.

use super::notify::{PROMOTE, RESUME, RETRY};
use super::report::Wait;
use super::state::Life;
use super::step::after;
use super::waits::{Reader, wait};
use crate::plan::{Action, NodeIndex};

impl Reader<'_> {
    pub(super) fn node_waits(&self, waits: &mut Vec<Wait>) {
        for node in self.active() {
            let state = &self.s.nodes[node.0];
            let id = self.id(node);
            match &state.life {
                Life::Waiting { since } => {
                    let machine = self.machine();
                    let Some(approval) = machine.approval(node) else {
                        continue;
                    };
                    let who = if approval.approvers.is_empty() {
                        "somebody".to_owned()
                    } else {
                        approval.approvers.join(" or ")
                    };
                    let more = if approval.required > 1 {
                        format!(" ({} of {} have)", state.agreed.len(), approval.required)
                    } else {
                        String::new()
                    };
                    let until = machine.approval_due(node, *since);
                    let then = if until.is_some() {
                        "; without an answer it times out"
                    } else {
                        ""
                    };
                    waits.push(Wait {
                        what: format!("approval of {id}"),
                        why: format!("{who} must agree{more}: {}{then}", approval.prompt),
                        since: Some(*since),
                        until,
                        unblock: Some(PROMOTE.to_owned()),
                    });
                }
                Life::Backoff { until } => {
                    let why = state
                        .reason
                        .clone()
                        .unwrap_or_else(|| "it failed".to_owned());
                    waits.push(Wait {
                        until: Some(*until),
                        unblock: Some(RETRY.to_owned()),
                        ..wait(format!("the next attempt of {id}"), why)
                    });
                }
                Life::Verifying { until } => {
                    waits.push(Wait {
                        until: Some(*until),
                        ..wait(
                            format!("runtime.verify of {id}"),
                            "it was running when the run was interrupted",
                        )
                    });
                }
                Life::Cancelling { until, .. } => {
                    waits.push(Wait {
                        until: Some(*until),
                        ..wait(
                            format!("the end of {id}"),
                            state.reason.clone().unwrap_or_default(),
                        )
                    });
                }
                Life::Ready => waits.push(self.ready_wait(node)),
                Life::Running => self.running_wait(node, waits),
                Life::Stuck | Life::Pending | Life::Done(_) => {}
            }
        }
    }

    pub(super) fn ready_wait(&self, node: NodeIndex) -> Wait {
        let machine = self.machine();
        let id = self.id(node);
        let held = machine.raise_held();
        if self.s.paused.is_some() {
            return Wait {
                unblock: Some(RESUME.to_owned()),
                ..wait(format!("node {id}"), "it is ready; the run is paused")
            };
        }
        match held {
            Some(held) if machine.raises(node) => {
                let guards: Vec<_> = self
                    .s
                    .guards
                    .iter()
                    .map(|one| self.plan.gate(one.gate).name.as_str())
                    .collect();
                let evidence = if self.s.traffic.evidence.is_none()
                    && !self.s.traffic.desired.is_zero()
                    && !guards.is_empty()
                {
                    format!("; it rises when one of {} passes", guards.join(", "))
                } else {
                    String::new()
                };
                Wait {
                    unblock: Some(PROMOTE.to_owned()),
                    ..wait(
                        format!("node {id}"),
                        format!("it would raise the weight, and {held}{evidence}"),
                    )
                }
            }
            _ => wait(
                format!("node {id}"),
                "it is ready; the weight is not known to be in force",
            ),
        }
    }

    pub(super) fn running_wait(&self, node: NodeIndex, waits: &mut Vec<Wait>) {
        let state = &self.s.nodes[node.0];
        let id = self.id(node);
        match &self.plan.node(node).action {
            Action::Analyze(_) => {
                let Some(check) = &state.check else { return };
                if check.started.is_none() {
                    waits.push(wait(
                        format!("node {id}"),
                        "it judges from when the weight is known to be in force",
                    ));
                    return;
                }
                if let (Some(until), false) = (check.fresh_until, check.blocked) {
                    waits.push(Wait {
                        until: Some(until),
                        unblock: Some(PROMOTE.to_owned()),
                        ..wait(
                            format!("fresh evidence for the end of {id}"),
                            "it passes when the last thing that is known of each gate is good and not old",
                        )
                    });
                } else if let (Some(until), false) = (check.until, check.blocked) {
                    waits.push(Wait {
                        since: check.started,
                        until: Some(until),
                        unblock: Some(PROMOTE.to_owned()),
                        ..wait(
                            format!("the end of the soak of {id}"),
                            "its gates are judged until then",
                        )
                    });
                }
                for one in &check.gates {
                    let name = &self.plan.gate(one.gate).name;
                    let last = one.last.as_ref().map(|last| {
                        let own = format!("{name}: ");
                        last.message.strip_prefix(&own).unwrap_or(&last.message)
                    });
                    let (what, said) = match (last, one.pending_until()) {
                        (Some(last), Some(_)) => (
                            format!("evidence for {name}"),
                            format!("{last}; it is pending until then, and inconclusive after"),
                        ),
                        (Some(last), None) => {
                            (format!("the next measurement of {name}"), last.to_owned())
                        }
                        (None, _) => (
                            format!("evidence for {name}"),
                            "not measured yet".to_owned(),
                        ),
                    };
                    let until = one.pending_until();
                    let until = until.or_else(|| one.next_at(self.plan.gate(one.gate)));
                    if until.is_some() || one.asked.is_some() {
                        waits.push(Wait {
                            since: check.started,
                            until,
                            ..wait(what, said)
                        });
                    }
                }
            }
            Action::SetWeight(_) | Action::Call => {}
            Action::Promote if state.tries() == 0 => {}
            Action::VerifyWeight(_) => {
                let seen = self.s.traffic.seen.map_or_else(
                    || "the router counts no requests yet".to_owned(),
                    |(canary, all)| format!("{canary} of {all} requests went to the canary"),
                );
                waits.push(Wait {
                    since: state.attempt_at,
                    until: self.machine().verify_due(node),
                    ..wait(format!("node {id}"), seen)
                });
            }
            _ => {
                let until = self
                    .plan
                    .node(node)
                    .timeout
                    .zip(state.attempt_at)
                    .map(|(bound, started)| after(started, bound));
                waits.push(Wait {
                    since: state.attempt_at,
                    until,
                    ..wait(
                        format!("node {id}"),
                        format!("it runs (attempt {})", state.tries()),
                    )
                });
            }
        }
    }
}
