//! "Why does nothing happen?": every open question with what is waited for, until when, and what to run.

use canary_traffic::Weight;
use jiff::Timestamp;

use super::notify::{ABORT, PROMOTE, REPORT, RESUME, RETRY, STATUS};
use super::outcome::Outcome;
use super::report::Wait;
use super::state::{Block, Cause, Life, Stage, State};
use super::step::{Machine, after, human};
use crate::plan::{NodeIndex, Plan};

/// Reads a state at a time.
pub(super) struct Reader<'a> {
    pub plan: &'a Plan,
    pub s: &'a State,
    pub at: Timestamp,
}

pub(super) fn wait(what: impl Into<String>, why: impl Into<String>) -> Wait {
    Wait {
        what: what.into(),
        why: why.into(),
        since: None,
        until: None,
        unblock: None,
    }
}

impl Reader<'_> {
    /// One sentence about now, and what a person may run.
    pub(super) fn headline(&self) -> (String, Vec<String>) {
        let lines = |next: &[&str]| next.iter().map(|&line| line.to_owned()).collect();
        let service = &self.plan.service;
        match &self.s.stage {
            Stage::New => ("not started".to_owned(), Vec::new()),
            Stage::Ended { outcome, why } | Stage::Closing { outcome, why, .. } => {
                let next: &[&str] = if *outcome == Outcome::Held {
                    &[ABORT, REPORT]
                } else {
                    &[REPORT]
                };
                (outcome.sentence(why), lines(next))
            }
            Stage::Failing(failing) => (format!("going back: {}", failing.why), lines(&[STATUS])),
            Stage::Forward => {
                if let Some(block) = self.s.blocks.first() {
                    return (
                        format!("blocked: {}", block.why),
                        lines(unblocks(block.cause)),
                    );
                }
                if let Some(paused) = &self.s.paused {
                    return (format!("paused by {}", paused.by), lines(&[RESUME, ABORT]));
                }
                if let Some(node) = self
                    .active()
                    .find(|node| matches!(self.life(*node), Life::Waiting { .. }))
                {
                    return (
                        format!("{} needs an approval", self.id(node)),
                        lines(&[PROMOTE, ABORT]),
                    );
                }
                if self.s.bake.is_some() && self.s.traffic.since.is_some() {
                    return (
                        format!(
                            "{service} has all of the traffic and is watched before it counts as promoted"
                        ),
                        lines(&[PROMOTE, ABORT]),
                    );
                }
                let running: Vec<_> = self
                    .active()
                    .filter(|node| {
                        matches!(
                            self.life(*node),
                            Life::Running | Life::Cancelling { .. } | Life::Verifying { .. }
                        )
                    })
                    .map(|node| self.id(node))
                    .collect();
                let doing = match running.as_slice() {
                    [] => "nothing runs at the moment".to_owned(),
                    [one] => format!("{one} is running"),
                    [most @ .., last] => format!("{} and {last} are running", most.join(", ")),
                };
                (doing, lines(&[PROMOTE, ABORT]))
            }
        }
    }

    pub(super) fn active(&self) -> impl Iterator<Item = NodeIndex> + '_ {
        self.s.active.iter().map(|&index| NodeIndex(index))
    }

    pub(super) fn life(&self, node: NodeIndex) -> &Life {
        &self.s.nodes[node.0].life
    }

    pub(super) fn id(&self, node: NodeIndex) -> &str {
        &self.plan.node(node).id
    }

    /// Most important first.
    pub(super) fn waits(&self) -> Vec<Wait> {
        let mut waits = Vec::new();
        match &self.s.stage {
            Stage::New => waits.push(wait("the start", "the run has not started")),
            Stage::Ended { .. } => {}
            Stage::Closing { until, .. } => {
                waits.push(Wait {
                    until: Some(*until),
                    ..wait(
                        "the count of what the canary cost",
                        "the run ends with or without it",
                    )
                });
            }
            Stage::Failing(failing) => {
                if failing.needs_zero && !failing.zero_seen {
                    let problem = self
                        .s
                        .traffic
                        .problem
                        .as_deref()
                        .unwrap_or("the router has not confirmed it yet");
                    let why = format!(
                        "weight 0 % is requested and not yet effective: {problem}; it is written again and again"
                    );
                    waits.push(Wait {
                        since: Some(failing.since),
                        ..wait("weight 0 %", why)
                    });
                }
                self.block_waits(&mut waits);
                self.node_waits(&mut waits);
            }
            Stage::Forward => {
                self.block_waits(&mut waits);
                if let Some(paused) = &self.s.paused {
                    let because = paused
                        .reason
                        .as_ref()
                        .map(|reason| format!(": {reason}"))
                        .unwrap_or_default();
                    let why = format!(
                        "{} paused the run{because}; nothing new is started, checks and guards go on",
                        paused.by
                    );
                    waits.push(Wait {
                        since: Some(paused.since),
                        unblock: Some(RESUME.to_owned()),
                        ..wait("a person", why)
                    });
                }
                self.router_waits(&mut waits);
                self.node_waits(&mut waits);
                self.bake_wait(&mut waits);
            }
        }
        if waits.is_empty() && !matches!(self.s.stage, Stage::Ended { .. }) {
            waits.push(wait(
                "the next event",
                "everything that is known has been acted upon",
            ));
        }
        waits
    }

    pub(super) fn block_waits(&self, waits: &mut Vec<Wait>) {
        for Block { cause, since, why } in &self.s.blocks {
            let until = after(*since, self.plan.deadlines.decision);
            let then = if self.s.forward() {
                "the run goes back"
            } else {
                "it counts as failed"
            };
            let how = match cause {
                Cause::Check(_) | Cause::Guard(_) => {
                    "it goes on being measured and the run goes on by itself when good evidence is back"
                }
                Cause::Route(_) => "`retry` checks again, `promote` goes on as if it had passed",
                Cause::Doubt(_) => "`retry` runs it again, `promote` takes it as done",
                Cause::Evidence(_) => "`promote` lets the weight rise",
                Cause::Drift if self.s.traffic.observed == Some(Weight::ZERO) => {
                    "`retry` writes this run's weight again"
                }
                Cause::Drift => {
                    "`retry` writes this run's weight again, `promote` takes the other one"
                }
                Cause::Router => "it is asked again and again",
                Cause::Graph => "`promote` goes to 100 %",
            };
            waits.push(Wait {
                what: "a decision".to_owned(),
                why: format!("{why}; {how}; without a decision {then}"),
                since: Some(*since),
                until: Some(until),
                unblock: unblocks(*cause).first().map(|&line| line.to_owned()),
            });
        }
    }

    pub(super) fn router_waits(&self, waits: &mut Vec<Wait>) {
        let traffic = &self.s.traffic;
        if let Some(problem) = &traffic.problem
            && !self
                .s
                .blocks
                .iter()
                .any(|block| matches!(block.cause, Cause::Drift | Cause::Router))
        {
            let why = format!(
                "the weight {} is not in force: {problem}; it is asked again and again",
                traffic.desired
            );
            waits.push(Wait {
                since: traffic.failing_since,
                unblock: Some(RETRY.to_owned()),
                ..wait("the router", why)
            });
        } else if let Some(out) = &traffic.out
            && (out.write.is_some() || traffic.observed.is_none())
        {
            let why = match out.write {
                Some(weight) => format!("the weight {weight} is written and not read back yet"),
                None => "the weight is looked at before anything rises".to_owned(),
            };
            waits.push(Wait {
                since: Some(out.at),
                ..wait("the router", why)
            });
        }
    }

    pub(super) fn bake_wait(&self, waits: &mut Vec<Wait>) {
        if self.s.bake.is_none() {
            return;
        }
        let machine = self.machine();
        let Some(until) = machine.bake_until() else {
            if !self.s.blocks.is_empty() || self.s.traffic.owner.is_some() {
                return;
            }
            let held = machine
                .raise_held()
                .unwrap_or("the weight is looked at first");
            let why = format!("the weight is to rise to 100 %: {held}");
            waits.push(Wait {
                unblock: Some(ABORT.to_owned()),
                ..wait("100 %", why)
            });
            return;
        };
        let why = match machine.bake_held() {
            Some(held) if self.at >= until => format!(
                "100 % was watched for {}, but {held}",
                human(self.plan.bake)
            ),
            _ => format!(
                "100 % is watched for {} before it counts as promoted",
                human(self.plan.bake)
            ),
        };
        waits.push(Wait {
            since: self.s.traffic.since,
            until: Some(until),
            unblock: Some(PROMOTE.to_owned()),
            ..wait("the end of the bake", why)
        });
    }

    /// The machine's own questions, asked of a copy: the report never disagrees with what it does.
    pub(super) fn machine(&self) -> Machine<'_> {
        Machine {
            plan: self.plan,
            s: self.s.clone(),
            at: self.at,
            out: Vec::new(),
            unsettled: false,
        }
    }
}

fn unblocks(cause: Cause) -> &'static [&'static str] {
    match cause {
        Cause::Evidence(_) | Cause::Graph => &[PROMOTE, ABORT],
        Cause::Router => &[RETRY, ABORT],
        Cause::Drift | Cause::Doubt(_) => &[RETRY, PROMOTE, ABORT],
        Cause::Check(_) | Cause::Route(_) | Cause::Guard(_) => &[PROMOTE, RETRY, ABORT],
    }
}
