//! What the driver needs from the world. Everything is injectable.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use canary_analyzer::gate::{Gate, Measurement};
use canary_traffic::Router;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::machine::{Cost, NodeResult, Notification, ProcessMark, Report, State};
use crate::plan::{GateIndex, NodeIndex, Plan};
use crate::run::clock::Clock;
use crate::run::journal::JournalSink;

/// Everything that a driver works with.
pub struct Hooks {
    /// What sets the weight; `None` where the plan moves no traffic through one.
    pub router: Option<Arc<dyn Router>>,
    /// What carries nodes out.
    pub executor: Arc<dyn Executor>,
    /// What measures gates.
    pub evidence: Arc<dyn Evidence>,
    /// What tells people.
    pub notifier: Arc<dyn Notifier>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where records go.
    pub journal: Box<dyn JournalSink>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("router", &self.router)
            .finish_non_exhaustive()
    }
}

/// One attempt of a node, and what it may look at.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The plan.
    pub plan: Arc<Plan>,
    /// Which node.
    pub node: NodeIndex,
    /// 1-based.
    pub attempt: u32,
    /// How often the node was activated before (loops).
    pub iteration: u32,
    /// Evidence from before this time says nothing about the present weight.
    pub evidence_since: Option<Timestamp>,
    /// The state when the attempt was started: outputs of other nodes.
    pub state: Arc<State>,
    /// The report of that moment.
    pub report: Arc<Report>,
}

/// Called by an executor when an attempt has begun, before its process is let go; resolves once that is journaled.
/// It never resolves where the journal fails: the process must not run then.
pub type Begun = Arc<dyn Fn(Option<ProcessMark>) -> BoxFuture<'static, ()> + Send + Sync>;

/// Carries nodes out. Every future ends in bounded time after `cancel`; dropping it gives the work up.
pub trait Executor: Send + Sync {
    /// One attempt of a `Task` or `Measure` node. Keeps the node's own timeout.
    fn execute(
        &self,
        attempt: Attempt,
        begun: Begun,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, NodeResult>;

    /// The workload's own command for a `Promote`, `Rollback` or `Scale` node.
    fn workload(
        &self,
        attempt: Attempt,
        begun: Begun,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, NodeResult>;

    /// Whether an attempt in doubt had finished (`runtime.verify`).
    fn verify(&self, attempt: Attempt) -> BoxFuture<'static, Result<bool, String>>;

    /// Ends what is left of a process group, if it is still the one that was marked: TERM, 5 s, KILL.
    fn end_process(&self, process: ProcessMark) -> BoxFuture<'static, ()>;
}

/// Measures gates. Every future is bounded by a timeout of the source's own.
pub trait Evidence: Send + Sync {
    /// Measures a gate at `now`, over its window or the time since `since`, whichever is shorter.
    fn measure(
        &self,
        index: GateIndex,
        gate: &Gate,
        since: Timestamp,
        now: Timestamp,
    ) -> BoxFuture<'static, Measurement>;

    /// What the canary cost from `since` to `now`.
    fn cost(&self, since: Timestamp, now: Timestamp) -> BoxFuture<'static, Option<Cost>>;
}

/// Tells the driver that a notification was taken by its receiver, or given up: id, channel, what went wrong for good.
pub type Told = Arc<dyn Fn(u64, String, Option<String>) + Send + Sync>;

/// Tells people, in tasks of its own. Nothing here is waited for while the run goes on.
pub trait Notifier: Send + Sync {
    /// Called once, before anything else: where to say what became of notifications. Those that an earlier driver of
    /// the run left unsent are sent now.
    fn start(&self, told: Told);

    /// Keeps the notification and sends it to whoever wants its topic. The same id a second time is ignored.
    fn post(&self, notification: &Notification, report: &Report);

    /// Resolves when nothing is left to send.
    fn drain(&self) -> BoxFuture<'static, ()>;

    /// How many notifications each channel has neither taken nor refused for good.
    fn waiting(&self) -> BTreeMap<String, u64>;
}
