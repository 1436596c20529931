//! The store of a run in a cluster: the status of its Release, one state instead of a journal of events.
//!
//! It is written on a command, an answer of a node, a person's word, a measurement that failed, or when what people see
//! changes; never for a measurement that passed. Every write carries the epoch of whoever took the run over, as a test: a
//! controller that another one has taken the run from gets a refusal, stops, and can begin nothing, because nothing but
//! weight 0 is carried out before the write that decided it is through.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use canary_analyzer::gate::Phase;
use canary_orchestrator::machine::{Checkpoint, Command, Event, Report, RunPhase};
use canary_orchestrator::plan::{Action, NodeIndex, Plan};
use canary_orchestrator::run::journal::{AppendError, JournalSink, Keep, Moment};
use canary_traffic::kubernetes::Failure;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use crate::api::ReleaseStatus;
use crate::kinds::{Cluster, RELEASES, set, test};

/// Longest pause between two tries of a write.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The status of one Release, written by whoever has its epoch. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Keeper {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    cluster: Arc<Cluster>,
    name: String,
    run: String,
    epoch: i64,
    /// As it was written last.
    status: tokio::sync::Mutex<ReleaseStatus>,
    shown: Mutex<Shown>,
    /// Somebody else has taken the run over.
    fenced: CancellationToken,
    metrics: Metrics,
}

/// What people saw last.
#[derive(Debug, Default, PartialEq)]
struct Shown {
    phase: Option<RunPhase>,
    observed: Option<u8>,
    problem: bool,
    gates: Vec<Option<Phase>>,
}

/// What a write of the run is made of.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    status: ReleaseStatus,
    checkpoint: Option<Checkpoint>,
}

impl Keeper {
    /// `status` is what is there, with our epoch in it.
    pub(super) fn new(
        cluster: Arc<Cluster>,
        name: &str,
        epoch: i64,
        status: ReleaseStatus,
        metrics: Metrics,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                cluster,
                name: name.to_owned(),
                run: status.run.clone().unwrap_or_default(),
                epoch,
                status: tokio::sync::Mutex::new(status),
                shown: Mutex::default(),
                fenced: CancellationToken::new(),
                metrics,
            }),
        }
    }

    /// Cancelled when somebody else has taken the run over.
    pub(super) fn fenced(&self) -> &CancellationToken {
        &self.inner.fenced
    }

    /// Changes what is not the run's own to say, and writes it where it is another. Gives up quietly where somebody else has
    /// taken over.
    pub(super) async fn change(
        &self,
        change: impl FnOnce(&mut ReleaseStatus),
    ) -> Result<(), Failure> {
        let mut status = self.inner.status.lock().await;
        let mut next = status.clone();
        change(&mut next);
        if next == *status {
            return Ok(());
        }
        self.inner.write(&next).await?;
        *status = next;
        Ok(())
    }
}

impl Inner {
    /// Writes until it is taken or refused; never ends where somebody else has taken over.
    async fn write(&self, next: &ReleaseStatus) -> Result<(), Failure> {
        let value = serde_json::to_value(next).map_err(|error| Failure::Odd(error.to_string()))?;
        let operations = [test("/status/epoch", self.epoch), set("/status", value)];
        let mut pause = Duration::from_millis(100);
        loop {
            let name = format!("{}/status", self.name);
            self.metrics.status_writes.inc();
            let Err(failure) = self.cluster.patch(&RELEASES, &name, &operations).await else {
                return Ok(());
            };
            match &failure {
                Failure::Invalid(_) | Failure::NotFound(_) => {
                    if self.is_fenced().await? {
                        self.fenced.cancel();
                        tracing::info!(
                            release = self.name,
                            epoch = self.epoch,
                            "another controller has taken the run over"
                        );
                        std::future::pending::<()>().await;
                    }
                    return Err(failure);
                }
                Failure::Unreachable(_)
                | Failure::TimedOut(_)
                | Failure::TooMany(_)
                | Failure::Conflict(_)
                | Failure::Status(..)
                | Failure::Forbidden(_) => {}
                Failure::Config(_) | Failure::NotServed { .. } | Failure::Odd(_) => {
                    return Err(failure);
                }
            }
            tracing::warn!(release = self.name, %failure, "the status could not be written; trying again");
            self.metrics.status_failures.inc();
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn is_fenced(&self) -> Result<bool, Failure> {
        let there = self.cluster.find(&RELEASES, &self.name).await?;
        let epoch = there
            .as_ref()
            .and_then(|release| release.pointer("/status/epoch"))
            .and_then(Value::as_i64);
        Ok(epoch != Some(self.epoch))
    }

    /// Something that whoever takes the run over must know, or that people see.
    fn matters(&self, moment: &Moment<'_>) -> bool {
        let shown = Shown::of(moment.report);
        let mut last = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *last != shown;
        let commands = moment.commands.iter().any(|command| {
            !matches!(
                command,
                Command::Measure { .. } | Command::ObserveWeight { .. } | Command::CountCost { .. }
            )
        });
        let event = match moment.event {
            Event::NodeFinished { .. }
            | Event::NodeVerified { .. }
            | Event::Operator { .. }
            | Event::WorkloadFailed { .. }
            | Event::CostCounted { .. } => true,
            // Whether a native action had begun makes no difference: it may be done again.
            Event::NodeStarted { node, .. } => runs_commands(moment.plan, *node),
            Event::Measured { measurement, .. } => measurement.phase == Phase::Fail,
            Event::Notified { error, .. } => error.is_some(),
            // Somebody else's doing: it is looked at next, and what comes of that is written.
            Event::WeightChanged { .. }
            | Event::Started
            | Event::Resumed
            | Event::WeightObserved { .. }
            | Event::WeightFailed { .. }
            | Event::Timer => false,
        };
        let matters = changed || commands || event;
        if matters {
            *last = shown;
        }
        matters
    }
}

impl Shown {
    fn of(report: &Report) -> Self {
        let traffic = report.traffic.as_ref();
        Self {
            phase: Some(report.phase),
            observed: traffic
                .and_then(|traffic| traffic.observed)
                .map(canary_traffic::Weight::percent),
            problem: traffic.is_some_and(|traffic| traffic.problem.is_some()),
            // That a gate passes again after it did not is worth a write; that it goes on passing is not.
            gates: report
                .gates
                .iter()
                .map(|gate| gate.last.filter(|phase| *phase != Phase::Pass))
                .collect(),
        }
    }
}

fn runs_commands(plan: &Plan, node: NodeIndex) -> bool {
    plan.nodes
        .get(node.0)
        .is_some_and(|node| matches!(node.action, Action::Task(_) | Action::Measure(_)))
}

impl JournalSink for Keeper {
    fn keep(&self, moment: &Moment<'_>) -> Keep {
        if !self.inner.matters(moment) {
            return Keep::Nothing;
        }
        let mut written = Written {
            status: ReleaseStatus::default(),
            checkpoint: None,
        };
        written.status.show(&self.inner.run, moment.report);
        match moment.state.checkpoint(moment.plan) {
            Ok(checkpoint) => written.checkpoint = Some(checkpoint),
            // Looked at before a run begins: what is larger now has lost its words only.
            Err(error) => {
                tracing::error!(release = self.inner.name, %error, "the state cannot be kept");
            }
        }
        match serde_json::to_string(&written) {
            Ok(text) => Keep::Instead(text),
            Err(error) => {
                tracing::error!(release = self.inner.name, %error, "the state cannot be kept");
                Keep::Nothing
            }
        }
    }

    fn append(&self, lines: String) -> BoxFuture<'static, Result<(), AppendError>> {
        let inner = Arc::clone(&self.inner);
        async move {
            let odd = |why: String| AppendError {
                what: "write the status to",
                source: std::io::Error::other(why),
            };
            // The newest says everything.
            let Some(line) = lines.lines().rev().find(|line| !line.is_empty()) else {
                return Ok(());
            };
            let written: Written =
                serde_json::from_str(line).map_err(|error| odd(error.to_string()))?;
            let mut status = inner.status.lock().await;
            let mut next = status.clone();
            merge(&mut next, written).map_err(|error| odd(error.to_string()))?;
            inner
                .write(&next)
                .await
                .map_err(|failure| odd(failure.to_string()))?;
            *status = next;
            Ok(())
        }
        .boxed()
    }
}

/// What the run says, into what was there.
fn merge(status: &mut ReleaseStatus, written: Written) -> Result<(), serde_json::Error> {
    let said = written.status;
    status.phase = said.phase;
    status.step = said.step;
    status.weight = said.weight;
    status.desired_weight = said.desired_weight;
    status.why = said.why;
    status.traffic_problem = said.traffic_problem;
    status.outcome = said.outcome;
    status.started_at = said.started_at;
    status.ended_at = said.ended_at;
    status.waits = said.waits;
    status.gates = said.gates;
    status.nodes = said.nodes;
    status.next = said.next;
    if let Some(checkpoint) = written.checkpoint {
        status.checkpoint = Some(serde_json::to_string(&checkpoint)?);
    }
    Ok(())
}

/// Takes a run over: the next epoch, provided that nobody else took it meanwhile. `None`: somebody did.
pub(super) async fn take_over(
    cluster: &Cluster,
    release: &Value,
    holder: &str,
    change: impl FnOnce(&mut ReleaseStatus),
) -> Result<Option<ReleaseStatus>, Failure> {
    let name = release
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut status: ReleaseStatus = match release.get("status") {
        Some(status) => serde_json::from_value(status.clone()).map_err(|error| {
            Failure::Odd(format!("the status of {name} cannot be read: {error}"))
        })?,
        None => ReleaseStatus::default(),
    };
    let before = status.epoch;
    status.epoch = Some(before.unwrap_or_default() + 1);
    status.holder = Some(holder.to_owned());
    change(&mut status);
    let value = serde_json::to_value(&status).map_err(|error| Failure::Odd(error.to_string()))?;
    let precondition = match before {
        Some(epoch) => test("/status/epoch", json!(epoch)),
        // Nobody has ever written: then the object itself must be as it was read.
        None => crate::kinds::unchanged(release),
    };
    match cluster
        .patch(
            &RELEASES,
            &format!("{name}/status"),
            &[precondition, set("/status", value)],
        )
        .await
    {
        Ok(_) => Ok(Some(status)),
        Err(Failure::Invalid(why)) => {
            tracing::info!(release = name, why, "another controller was faster");
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}
