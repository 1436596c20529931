//! When the machine wants to be asked again, and what it looks at then.

use jiff::Timestamp;

use super::check::guard_gate;
use super::command::Wake;
use super::state::{Life, Stage};
use super::step::{Machine, after};
use super::watch::{GateWatch, NO_ANSWER};
use crate::plan::{Action, NodeIndex};

/// The earliest of the times offered.
struct Earliest {
    best: Option<(Timestamp, Why)>,
}

/// Made into a sentence for the one that is chosen only.
#[derive(Clone, Copy)]
enum Why {
    Text(&'static str),
    Node(NodeIndex, &'static str),
    Gate(crate::plan::GateIndex),
}

impl Earliest {
    fn offer(&mut self, at: Option<Timestamp>, why: Why) {
        if let Some(at) = at
            && self.best.is_none_or(|(best, _)| at < best)
        {
            self.best = Some((at, why));
        }
    }
}

impl Machine<'_> {
    pub(super) fn wake(&self) -> Option<Wake> {
        let mut earliest = Earliest { best: None };
        match &self.s.stage {
            Stage::New | Stage::Ended { .. } => return None,
            Stage::Closing { until, .. } => {
                earliest.offer(Some(*until), Why::Text("the count of what the canary cost"));
            }
            Stage::Forward | Stage::Failing(_) => self.offer_all(&mut earliest),
        }
        let (at, why) = earliest.best?;
        let why = match why {
            Why::Text(text) => text.to_owned(),
            Why::Node(node, text) => format!("{}: {text}", self.plan.node(node).id),
            Why::Gate(gate) => format!("measure {}", self.plan.gate(gate).name),
        };
        // A time that has passed would be looked at in this step: later than now, so that a driver never spins.
        let at = if at <= self.at {
            after(self.at, std::time::Duration::from_millis(10))
        } else {
            at
        };
        Some(Wake { at, why })
    }

    fn offer_all(&self, earliest: &mut Earliest) {
        let forward = self.s.forward();
        if forward && !self.s.promoted {
            let bound = self
                .plan
                .timeout
                .zip(self.s.started_at)
                .map(|(bound, started)| after(started, bound));
            earliest.offer(bound, Why::Text("the bound of the run"));
        }
        let first = self.s.blocks.iter().map(|block| block.since).min();
        earliest.offer(
            first.map(|since| after(since, self.plan.deadlines.decision)),
            Why::Text("the decision deadline"),
        );
        let traffic = &self.s.traffic;
        earliest.offer(self.question_due(), Why::Text("the router's answer"));
        if traffic.out.is_none() {
            earliest.offer(traffic.again_at, Why::Text("ask the router again"));
            earliest.offer(self.look_at(), Why::Text("look at the weight"));
        }
        earliest.offer(self.way_due(), Why::Text("weight 0"));
        if self.s.guarding {
            for one in &self.s.guards {
                let next = one.next_at(&guard_gate(self.plan.gate(one.gate)));
                earliest.offer(next.or_else(|| answer_due(one)), Why::Gate(one.gate));
            }
        }
        if self.bake_held().is_none() {
            earliest.offer(
                self.bake_until().filter(|until| *until > self.at),
                Why::Text("the end of the bake"),
            );
        }
        for &index in &self.s.active {
            self.offer_node(NodeIndex(index), earliest);
        }
    }

    fn offer_node(&self, node: NodeIndex, earliest: &mut Earliest) {
        let state = &self.s.nodes[node.0];
        match &state.life {
            Life::Backoff { until }
                if !(self.s.forward() && self.s.paused.is_some() && *until <= self.at) =>
            {
                earliest.offer(Some(*until), Why::Node(node, "next attempt"));
            }
            Life::Verifying { until } => {
                earliest.offer(Some(*until), Why::Node(node, "runtime.verify"));
            }
            Life::Cancelling { until, .. } => {
                earliest.offer(Some(*until), Why::Node(node, "end after cancel"));
            }
            Life::Waiting { since } => {
                earliest.offer(self.approval_due(node, *since), Why::Node(node, "approval"));
            }
            Life::Running => {
                earliest.offer(self.running_until(node), Why::Node(node, "its bound"));
                if matches!(self.plan.node(node).action, Action::VerifyWeight(_)) {
                    earliest.offer(
                        self.verify_due(node).filter(|due| *due > self.at),
                        Why::Node(node, "share of requests"),
                    );
                }
                let Some(check) = &state.check else { return };
                if check.started.is_none() {
                    return;
                }
                let mut waiting = false;
                for one in &check.gates {
                    waiting |= one.asked.is_some();
                    earliest.offer(
                        one.next_at(self.plan.gate(one.gate))
                            .or_else(|| answer_due(one)),
                        Why::Gate(one.gate),
                    );
                    earliest.offer(
                        one.data_due.filter(|due| *due > self.at),
                        Why::Gate(one.gate),
                    );
                }
                earliest.offer(
                    check.fresh_until.filter(|until| *until > self.at),
                    Why::Node(node, "fresh evidence for the end of the check"),
                );
                if !waiting && !check.blocked {
                    earliest.offer(
                        check.until.filter(|until| *until > self.at),
                        Why::Node(node, "end of the soak"),
                    );
                }
            }
            _ => {}
        }
    }
}

fn answer_due(one: &GateWatch) -> Option<Timestamp> {
    one.asked.map(|(asked, _)| after(asked, NO_ANSWER))
}
