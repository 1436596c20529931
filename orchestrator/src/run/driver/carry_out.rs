//! Commands of the machine, each in a task of its own, each answered by an event.

use std::sync::Arc;
use std::time::Duration;

use canary_analyzer::gate::{Measurement, Phase};
use canary_traffic::{Acceptance, Observed, Weight};
use futures::FutureExt;
use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::hooks::{Attempt, Begun};
use super::leave::not_sent;
use super::{DriveError, Driver, Input};
use crate::machine::{Command, Event, NodeResult, NodeStatus, Outcome, Watch};
use crate::plan::{GateIndex, NodeIndex};
use crate::run::clock::within;
use crate::run::weights::Said;

/// Bound of one measurement, should the source not keep its own.
const MEASURE: Duration = Duration::from_mins(1);

/// Bound of counting what the canary cost: the run's end waits for it.
const COUNT: Duration = Duration::from_secs(10);

impl Driver {
    /// Carries out a command whose record is safe.
    pub(super) fn carry_out(&mut self, command: Command) {
        match command {
            Command::StartNode {
                node,
                attempt,
                iteration,
                evidence_since,
            } => {
                let what = self.attempt(node, attempt, iteration, evidence_since);
                self.start(what, false);
            }
            Command::Workload { node, attempt } => {
                let iteration = self
                    .report
                    .nodes
                    .get(node.0)
                    .map_or(1, |node| node.iteration);
                let what = self.attempt(node, attempt, iteration.saturating_sub(1), None);
                self.start(what, true);
            }
            Command::CancelNode {
                node,
                attempt,
                reason,
            } => {
                if !self.attempts.cancel(node, attempt) {
                    let result = ended(NodeStatus::Cancelled, reason);
                    self.later(Event::NodeFinished {
                        node,
                        attempt,
                        result,
                    });
                }
            }
            Command::VerifyNode { node, attempt } => self.verify(node, attempt),
            Command::EndProcess { process, .. } => {
                self.attempts.end_process(self.executor.as_ref(), process);
            }
            Command::SetWeight { command, weight } => self.set_weight(command, weight),
            Command::ObserveWeight { command } => match &self.router {
                Some(router) => router.observe(command),
                None => self.no_router(command),
            },
            Command::Measure { gate, watch, since } => self.measure(gate, watch, since),
            Command::CountCost { since } => self.count_cost(since),
            Command::Notify(notification) => self.notifier.post(&notification, &self.report),
            Command::Finish { outcome } => self.finish(outcome),
        }
    }

    pub(super) fn set_weight(&mut self, command: u64, weight: Weight) {
        self.raised |= !weight.is_zero();
        match &self.router {
            Some(router) => router.set(command, weight),
            None => self.no_router(command),
        }
    }

    fn no_router(&self, command: u64) {
        let error = "nothing is configured that splits traffic; set `x-canary.traffic` in the workflow or the profile";
        self.later(Event::WeightFailed {
            command,
            error: error.to_owned(),
        });
    }

    /// Feeds an event after what is being done now.
    fn later(&self, event: Event) {
        // The receiver is our own.
        drop(self.inbox.send(Input::Event(event)));
    }

    fn attempt(
        &self,
        node: NodeIndex,
        attempt: u32,
        iteration: u32,
        evidence_since: Option<Timestamp>,
    ) -> Attempt {
        Attempt {
            plan: self.plan.clone(),
            node,
            attempt,
            iteration,
            evidence_since,
            state: Arc::new(self.state.clone()),
            report: self.report.clone(),
        }
    }

    fn start(&mut self, what: Attempt, workload: bool) {
        let (node, attempt) = (what.node, what.attempt);
        let (inbox, executor, cancel) = (
            self.inbox.clone(),
            self.executor.clone(),
            CancellationToken::new(),
        );
        let begun: Begun = Arc::new(move |process| {
            let (safe, is_safe) = oneshot::channel();
            let sent = inbox.send(Input::Begun {
                node,
                attempt,
                process,
                safe,
            });
            async move {
                if sent.is_err() || is_safe.await.is_err() {
                    // The driver is gone: this attempt must never begin.
                    std::future::pending::<()>().await;
                }
            }
            .boxed()
        });
        let (inbox, cleaned, stop) = (self.inbox.clone(), self.attempts.cleaned(), cancel.clone());
        let work = async move {
            cleaned.await;
            // In a task of its own, so that a bug in an executor fails the node and not the run.
            let task = tokio::spawn(if workload {
                executor.workload(what, begun, stop)
            } else {
                executor.execute(what, begun, stop)
            });
            let result = task.await.unwrap_or_else(|error| {
                ended(
                    NodeStatus::Failed,
                    format!("the executor itself failed ({error}); this is a bug of canary"),
                )
            });
            drop(inbox.send(Input::Event(Event::NodeFinished {
                node,
                attempt,
                result,
            })));
        };
        self.attempts.start(node, attempt, cancel, work);
    }

    fn verify(&mut self, node: NodeIndex, attempt: u32) {
        let iteration = self
            .report
            .nodes
            .get(node.0)
            .map_or(1, |node| node.iteration);
        let what = self.attempt(node, attempt, iteration.saturating_sub(1), None);
        let (inbox, executor, cleaned) = (
            self.inbox.clone(),
            self.executor.clone(),
            self.attempts.cleaned(),
        );
        let unwanted = self.attempts.questions();
        tokio::spawn(async move {
            let ask = async {
                cleaned.await;
                executor.verify(what).await
            };
            // Dropping the question ends its process.
            let finished = tokio::select! {
                biased;
                () = unwanted.cancelled() => return,
                finished = ask => finished,
            };
            drop(inbox.send(Input::Event(Event::NodeVerified {
                node,
                attempt,
                finished,
            })));
        });
    }

    fn measure(&mut self, index: GateIndex, watch: Watch, since: Timestamp) {
        let now = self.now();
        let Some(gate) = self.plan.gates.get(index.0) else {
            return;
        };
        let work = self.evidence.measure(index, gate, since, now);
        let (inbox, clock) = (self.inbox.clone(), self.clock.clone());
        tokio::spawn(async move {
            let measurement = within(clock.as_ref(), MEASURE, work)
                .await
                .unwrap_or_else(|| Measurement {
                    at: now,
                    phase: Phase::Error,
                    value: None,
                    message: format!("the source did not answer within {MEASURE:?}"),
                    no_data: false,
                    requests: None,
                });
            drop(inbox.send(Input::Event(Event::Measured {
                gate: index,
                watch,
                measurement,
            })));
        });
    }

    fn count_cost(&mut self, since: Timestamp) {
        let now = self.now();
        let work = self.evidence.cost(since, now);
        let (inbox, clock) = (self.inbox.clone(), self.clock.clone());
        tokio::spawn(async move {
            let cost = within(clock.as_ref(), COUNT, work).await.flatten();
            drop(inbox.send(Input::Event(Event::CostCounted { cost })));
        });
    }

    /// What the router said.
    pub(super) fn said(&mut self, Said { command, result }: Said) -> Result<(), DriveError> {
        self.feed(&match result {
            Ok(observed) => weight_observed(command, &observed, &self.options.identity),
            Err(error) => Event::WeightFailed { command, error },
        })
    }

    /// Does what is done at the end: the router is left as it was, messages go out.
    pub(super) fn finish(&mut self, outcome: Outcome) {
        let clean = match outcome {
            Outcome::RolledBack { .. } | Outcome::Aborted { .. } | Outcome::Failed => true,
            Outcome::Promoted => self.options.clean_up_promoted,
            // Nothing was moved, or the weight is kept on purpose.
            Outcome::Completed | Outcome::Held => false,
        };
        let moved = self.report.traffic.is_some();
        let router = self.router.clone().filter(|_| clean && moved);
        let (notifier, clock, bound) = (
            self.notifier.clone(),
            self.clock.clone(),
            self.options.drain,
        );
        self.ended = Some((outcome, Vec::new()));
        self.ending = Some(
            async move {
                let mut warnings = Vec::new();
                if let Some(router) = router
                    && let Err(error) = router.remove().await
                {
                    warnings.push(format!(
                        "the router could not be put back as it was: {error}"
                    ));
                }
                if within(clock.as_ref(), bound, notifier.drain())
                    .await
                    .is_none()
                {
                    warnings.extend(not_sent(notifier.as_ref(), true));
                }
                warnings
            }
            .boxed(),
        );
    }
}

fn ended(status: NodeStatus, error: String) -> NodeResult {
    NodeResult {
        status,
        outputs: std::collections::BTreeMap::new(),
        error: Some(error),
    }
}

/// What the router saw, as the machine wants it.
fn weight_observed(command: u64, observed: &Observed, identity: &str) -> Event {
    Event::WeightObserved {
        command,
        weight: observed.weight,
        pending: match &observed.accepted {
            Acceptance::Accepted => None,
            Acceptance::Pending { reason } => Some(reason.clone()),
            Acceptance::Refused { reason } => Some(format!("refused: {reason}")),
        },
        foreign: observed.changed_by.clone().filter(|by| by != identity),
        seen: observed.requests.map(|requests| {
            (
                requests.canary,
                requests.stable.saturating_add(requests.canary),
            )
        }),
    }
}
