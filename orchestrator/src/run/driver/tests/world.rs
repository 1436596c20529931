//! A small world for drivers: a plan, a router, executors, evidence and a disk, all in memory and on virtual time.
//! What a driver leaves in it stays when the driver is killed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use canary_analyzer::gate::{Gate, Measurement, Phase};
use canary_traffic::{Acceptance, Observed, Router, RouterError, RouterErrorKind, Weight};
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::super::*;
pub(crate) use super::disk::{Disk, Fault};
pub(crate) use super::plan::{BUILD, ROLLBACK, plan};
use crate::machine::{Cost, NodePhase, NodeReport, NodeResult, NodeStatus, Notification};
use crate::plan::GateIndex;
use crate::run::clock::virtual_time::VirtualClock;
use crate::run::journal::{Contents, read};
use crate::run::replay::replay;

/// The world. Cheap to clone; all clones are the same world.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub clock: VirtualClock,
    /// What the world's own doings wait on: the same, unless a test runs in real time.
    pub time: Arc<dyn Clock>,
    pub inner: Arc<Mutex<Inner>>,
    pub disk: Arc<Disk>,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub weight: Weight,
    pub changed_by: Option<String>,
    /// Every weight that was written.
    pub written: Vec<Weight>,
    /// Weight from which on the canary is bad.
    pub bad_from: Option<u8>,
    /// Queries hang.
    pub blind: bool,
    /// Raises take this long.
    pub slow_raise: Duration,
    /// Writes of 0 take this long.
    pub slow_zero: Duration,
    /// Looks at the weight take this long.
    pub slow_look: Duration,
    /// Writes of 0 are refused.
    pub refuses_zero: bool,
    /// Writes of 0 that came to the router.
    pub zeros: u32,
    /// How often the router may be looked at.
    pub look_every: Option<Duration>,
    /// Attempts that began, and that ended.
    pub begun: Vec<(usize, u32)>,
    pub finished: Vec<(usize, u32)>,
    pub ended_processes: Vec<u32>,
    pub told: Vec<String>,
    pub removed: bool,
    /// What `runtime.verify` says; `None`: nobody knows.
    pub verified: Option<bool>,
    /// How often it was asked.
    pub asked: u32,
    /// How long the last messages take.
    pub slow_drain: Duration,
    /// How long the build takes.
    pub build: Duration,
}

impl World {
    pub(crate) fn new() -> Self {
        let inner = Inner {
            build: Duration::from_secs(30),
            ..Inner::default()
        };
        let clock = VirtualClock::new();
        let time = Arc::new(clock.clone());
        Self {
            clock,
            time,
            inner: Arc::new(Mutex::new(inner)),
            disk: Arc::default(),
        }
    }

    pub(crate) fn with(change: impl FnOnce(&mut Inner)) -> Self {
        let world = Self::new();
        change(&mut world.inner.lock().unwrap());
        world
    }

    pub(crate) fn get<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.inner.lock().unwrap())
    }

    pub(crate) fn fault(&self, append: u64, fault: Fault) {
        self.disk.state.lock().unwrap().faults.insert(append, fault);
    }

    pub(crate) fn journal(&self) -> Contents<Event, Command> {
        read(&self.disk.state.lock().unwrap().bytes[..]).unwrap()
    }

    pub(crate) fn hooks(&self) -> Hooks {
        Hooks {
            router: Some(Arc::new(self.clone())),
            executor: Arc::new(self.clone()),
            evidence: Arc::new(self.clone()),
            notifier: Arc::new(self.clone()),
            clock: self.time.clone(),
            journal: Box::new(self.clone()),
        }
    }

    /// Where a run stands by its journal; a torn line is cut off.
    pub(crate) fn start(&self, plan: &Plan) -> Start {
        let contents = self.journal();
        let mut disk = self.disk.state.lock().unwrap();
        disk.bytes.truncate(usize::try_from(contents.good).unwrap());
        if contents.records.is_empty() {
            return Start::new(plan);
        }
        let replayed = replay(plan, &contents.records, "test");
        assert_eq!(replayed.mismatch, None);
        replayed.into()
    }

    pub(crate) fn driver(&self, plan: &Plan) -> (Driver, Handle) {
        let start = self.start(plan);
        Driver::new(
            Arc::new(plan.clone()),
            start,
            self.hooks(),
            DriveOptions::new("checkout-1"),
        )
    }

    /// One life of a driver, on a runtime of its own; `None` where it was killed.
    pub(crate) fn live(&self, plan: &Plan) -> Option<Result<End, DriveError>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (driver, _handle) = self.driver(plan);
            self.clock
                .drive(async {
                    tokio::select! {
                        biased;
                        () = self.disk.killed.notified() => None,
                        end = driver.drive() => Some(end),
                    }
                })
                .await
        })
    }
}

impl Router for World {
    fn name(&self) -> String {
        "the world's router".to_owned()
    }

    fn observe(&self) -> BoxFuture<'_, Result<Observed, RouterError>> {
        let (weight, changed_by) = self.get(|inner| (inner.weight, inner.changed_by.clone()));
        let accepted = Acceptance::Accepted;
        let slow = self.get(|inner| inner.slow_look);
        async move {
            if !slow.is_zero() {
                self.time.pause(slow).await;
            }
            Ok(Observed {
                weight,
                accepted,
                changed_by,
                changed_at: None,
                requests: None,
            })
        }
        .boxed()
    }

    fn take_off(&self) -> BoxFuture<'_, Result<Observed, RouterError>> {
        self.set_weight(Weight::ZERO, Weight::ZERO)
    }

    fn set_weight(
        &self,
        _from: Weight,
        weight: Weight,
    ) -> BoxFuture<'_, Result<Observed, RouterError>> {
        async move {
            let zero = weight.is_zero();
            let slow = self.get(|inner| {
                inner.zeros += u32::from(zero);
                if zero {
                    inner.slow_zero
                } else {
                    inner.slow_raise
                }
            });
            if !slow.is_zero() {
                self.time.pause(slow).await;
            }
            if zero && self.get(|inner| inner.refuses_zero) {
                let kind = RouterErrorKind::Unreachable;
                return Err(RouterError::new(kind, "set weight 0 %", "refused", "wait"));
            }
            self.get(|inner| {
                inner.weight = weight;
                inner.written.push(weight);
                inner.changed_by = Some("run checkout-1".to_owned());
            });
            self.observe().await
        }
        .boxed()
    }

    fn look_every(&self) -> Option<Duration> {
        self.get(|inner| inner.look_every)
    }

    fn remove(&self) -> BoxFuture<'_, Result<(), RouterError>> {
        async move {
            if self.get(|inner| std::mem::replace(&mut inner.removed, true)) {
                let kind = RouterErrorKind::Refused;
                return Err(RouterError::new(kind, "remove", "removed already", "look"));
            }
            self.get(|inner| inner.weight = Weight::ZERO);
            Ok(())
        }
        .boxed()
    }
}

impl Executor for World {
    fn execute(
        &self,
        attempt: Attempt,
        begun: Begun,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, NodeResult> {
        let world = self.clone();
        async move {
            let key = (attempt.node.0, attempt.attempt);
            let pid = u32::try_from(key.0).unwrap() * 100 + key.1;
            let mark = ProcessMark {
                pid,
                start_ticks: 1,
                boot: "boot".to_owned(),
                tag: None,
            };
            let result = |status| NodeResult {
                status,
                outputs: BTreeMap::new(),
                error: None,
            };
            tokio::select! {
                biased;
                () = cancel.cancelled() => return result(NodeStatus::Cancelled),
                () = begun(Some(mark)) => {}
            }
            let takes = world.get(|inner| {
                inner.begun.push(key);
                inner.build
            });
            tokio::select! {
                biased;
                () = cancel.cancelled() => return result(NodeStatus::Cancelled),
                () = world.time.pause(takes) => {}
            }
            world.get(|inner| inner.finished.push(key));
            result(NodeStatus::Completed)
        }
        .boxed()
    }

    fn workload(
        &self,
        attempt: Attempt,
        begun: Begun,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, NodeResult> {
        self.execute(attempt, begun, cancel)
    }

    fn verify(&self, _attempt: Attempt) -> BoxFuture<'static, Result<bool, String>> {
        let answer = self.get(|inner| {
            inner.asked += 1;
            inner.verified
        });
        async move { answer.ok_or_else(|| "the script exited with 7".to_owned()) }.boxed()
    }

    fn end_process(&self, process: ProcessMark) -> BoxFuture<'static, ()> {
        let world = self.clone();
        async move {
            world.time.pause(Duration::from_secs(1)).await;
            world.get(|inner| inner.ended_processes.push(process.pid));
        }
        .boxed()
    }
}

impl Evidence for World {
    fn measure(
        &self,
        _index: GateIndex,
        gate: &Gate,
        _since: Timestamp,
        now: Timestamp,
    ) -> BoxFuture<'static, Measurement> {
        let (bad, blind) = self.get(|inner| {
            let bad = inner
                .bad_from
                .is_some_and(|from| inner.weight.percent() >= from);
            (bad, inner.blind)
        });
        let measurement = Measurement {
            at: now,
            phase: if bad { Phase::Fail } else { Phase::Pass },
            value: Some(if bad { 0.3 } else { 0.001 }),
            message: format!(
                "{}: {}",
                gate.name,
                if bad { "30 % > 1 %" } else { "0.1 % <= 1 %" }
            ),
            no_data: false,
            requests: Some(1000),
        };
        async move {
            if blind {
                std::future::pending::<()>().await;
            }
            measurement
        }
        .boxed()
    }

    fn cost(&self, _since: Timestamp, _now: Timestamp) -> BoxFuture<'static, Option<Cost>> {
        async {
            Some(Cost {
                requests: 1000,
                bad: 3,
            })
        }
        .boxed()
    }
}

impl Notifier for World {
    fn start(&self, _told: Told) {}

    fn post(&self, notification: &Notification, _report: &Report) {
        let key = format!("{}:{:?}", notification.id, notification.topic);
        self.get(|inner| {
            if !inner.told.contains(&key) {
                inner.told.push(key);
            }
        });
    }

    fn waiting(&self) -> BTreeMap<String, u64> {
        let slow = self.get(|inner| !inner.slow_drain.is_zero());
        slow.then(|| ("slow".to_owned(), 2)).into_iter().collect()
    }

    fn drain(&self) -> BoxFuture<'static, ()> {
        let slow = self.get(|inner| inner.slow_drain);
        let world = self.clone();
        async move {
            if !slow.is_zero() {
                world.time.pause(slow).await;
            }
        }
        .boxed()
    }
}

/// What must be the same whether or not a driver was killed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Summary {
    pub outcome: Option<Outcome>,
    pub weight: Weight,
    pub nodes: Vec<(String, NodePhase)>,
}

impl Summary {
    pub(crate) fn of(world: &World, end: &End) -> Self {
        // Whether a guard or the check itself sees it first decides whether the check failed or was called off.
        let status = |status| match status {
            NodePhase::Cancelled => NodePhase::Failed,
            other => other,
        };
        let node = |node: &NodeReport| (node.id.clone(), status(node.status));
        Self {
            outcome: end.outcome,
            weight: world.get(|inner| inner.weight),
            nodes: end.report.nodes.iter().map(node).collect(),
        }
    }
}
