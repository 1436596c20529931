//! After a crash: look before anything else, decide what is in doubt, carry no soak over.

use jiff::Timestamp;

use super::command::Command;
use super::event::ProcessMark;
use super::state::{Cause, End, Life, Stage};
use super::step::{Machine, after, human};
use super::watch::NO_ANSWER;
use crate::plan::{Action, NodeIndex};

impl Machine<'_> {
    /// A driver took the run over. Whatever was asked of the driver before is not answered any more.
    pub(super) fn resumed(&mut self) {
        if matches!(self.s.stage, Stage::New | Stage::Ended { .. }) {
            return;
        }
        self.forget_traffic();
        for guard in &mut self.s.guards {
            guard.interrupt();
        }
        if self.s.cost.asked && !self.s.cost.answered {
            self.s.cost.asked = false;
        }
        let moved = self.s.traffic.moved;
        match &mut self.s.stage {
            // Also where traffic was known to be off: nobody looked since.
            Stage::Failing(failing) if !failing.hold && (failing.needs_zero || moved) => {
                failing.needs_zero = true;
                failing.zero_seen = false;
                self.write_off();
            }
            Stage::Forward if self.s.graph.moves_traffic => self.observe(),
            Stage::Closing { until, .. } => {
                *until = after(self.at, std::time::Duration::from_secs(5));
                if let (false, Some(since)) = (self.s.cost.asked, self.s.traffic.first_at) {
                    self.s.cost.asked = true;
                    self.out.push(Command::CountCost { since });
                }
                return;
            }
            _ => {}
        }
        for node in self.active() {
            self.resume_node(node);
        }
    }

    /// Nothing is known of the weight any more, and nothing that was measured counts.
    fn forget_traffic(&mut self) {
        let traffic = &mut self.s.traffic;
        traffic.out = None;
        traffic.again_at = None;
        traffic.failures = 0;
        traffic.since = None;
        traffic.evidence = None;
        traffic.seen = None;
        traffic.failing_since = None;
        // `prior` stays as it is: a weight that somebody else had set is theirs still.
        traffic.observed = None;
        traffic.read_back = false;
    }

    /// The driver lives, but nothing was watched since `due`: it was stopped, or the machine slept. As after a crash the
    /// weight is looked at first, and soaks, the bake and evidence begin anew; what runs goes on.
    pub(super) fn unwatched(&mut self, due: Timestamp) {
        if !self.s.forward() || self.s.promoted {
            return;
        }
        for guard in &mut self.s.guards {
            guard.suspend();
        }
        let gap = std::time::Duration::try_from(self.at.duration_since(due)).unwrap_or_default();
        for node in self.active() {
            let state = &mut self.s.nodes[node.0];
            if let Some(check) = state.check.as_mut() {
                check.started = None;
                state.reason = Some(format!(
                    "begun anew: nothing was watched for {}",
                    human(gap)
                ));
            }
        }
        if self.s.graph.moves_traffic {
            self.forget_traffic();
            self.observe();
        }
    }

    fn resume_node(&mut self, node: NodeIndex) {
        let state = &mut self.s.nodes[node.0];
        if let Some(check) = state.check.as_mut() {
            check.started = None;
            for one in &mut check.gates {
                one.interrupt();
                one.forget();
            }
        }
        match state.life.clone() {
            Life::Cancelling { then, .. } => {
                // It was on its way out; what is left of it is ended, and nothing else is to be known of it.
                let process = state.process.take();
                self.end_process(node, process);
                let forward = self.s.forward();
                let why = self.s.nodes[node.0].reason.clone();
                if forward {
                    self.finish_attempt(node, then, why);
                } else {
                    let at = self.at;
                    let state = &mut self.s.nodes[node.0];
                    state.life = Life::Done(then);
                    state.ended_at = Some(at);
                    self.s.active.remove(&node.0);
                }
            }
            Life::Running if self.has_executor(node) => self.in_doubt(node),
            Life::Verifying { .. } => self.in_doubt(node),
            _ => {}
        }
    }

    /// Started and not seen to finish.
    fn in_doubt(&mut self, node: NodeIndex) {
        let spec = self.plan.node(node);
        let (idempotent, verifiable) = (spec.idempotent, spec.verifiable);
        let begun = self.s.nodes[node.0].begun;
        let attempt = self.s.nodes[node.0].attempt;
        let safe = match spec.action {
            Action::Task(_) => idempotent,
            // Measurements read; natives bring about a state.
            _ => true,
        };
        if !begun {
            // An executor begins only after that is journaled: this attempt never ran.
            self.again(node, "it had not begun when the run was interrupted");
        } else if verifiable {
            self.s.nodes[node.0].life = Life::Verifying {
                until: after(self.at, NO_ANSWER),
            };
            self.s.nodes[node.0].reason =
                Some("asking runtime.verify whether it had finished".to_owned());
            self.out.push(Command::VerifyNode { node, attempt });
        } else {
            let process = self.s.nodes[node.0].process.take();
            self.end_process(node, process);
            if safe {
                self.again(node, "interrupted, and safe to run again");
            } else {
                self.doubt(node, "it has no `runtime.verify` and is not `idempotent`");
            }
        }
    }

    fn end_process(&mut self, node: NodeIndex, process: Option<ProcessMark>) {
        if let Some(process) = process {
            self.out.push(Command::EndProcess { node, process });
        }
    }

    /// The attempt is made again; it does not count as a retry.
    fn again(&mut self, node: NodeIndex, why: &str) {
        let state = &mut self.s.nodes[node.0];
        if matches!(self.plan.node(node).action, Action::Promote) {
            // It bakes anew first.
            state.attempt_base = state.attempt;
            state.life = Life::Running;
        } else {
            state.life = Life::Ready;
        }
        state.reason = Some(why.to_owned());
    }

    fn doubt(&mut self, node: NodeIndex, because: &str) {
        let id = &self.plan.node(node).id;
        let why = format!(
            "{id} was started and not seen to finish before the run was interrupted; {because}, so nobody can tell whether it had"
        );
        self.s.nodes[node.0].life = Life::Stuck;
        self.s.nodes[node.0].reason = Some(why.clone());
        self.s.active.insert(node.0);
        self.block(Cause::Doubt(node), why);
    }

    /// `runtime.verify` answered.
    pub(super) fn node_verified(
        &mut self,
        node: NodeIndex,
        attempt: u32,
        finished: Result<bool, String>,
    ) {
        let Some(state) = self.s.nodes.get(node.0) else {
            return;
        };
        if state.attempt != attempt || !matches!(state.life, Life::Verifying { .. }) {
            return;
        }
        match finished {
            Ok(true) => self.end_node(
                node,
                End::Completed,
                Some("runtime.verify says that it had finished".to_owned()),
            ),
            Ok(false) => self.again(node, "runtime.verify says that it had not finished"),
            Err(error) => {
                if self.plan.node(node).idempotent {
                    self.again(
                        node,
                        "runtime.verify gave no answer, and it is safe to run again",
                    );
                } else {
                    self.doubt(node, &format!("runtime.verify gave no answer ({error})"));
                }
            }
        }
    }
}
