//! Drives the machine: one task takes everything that happens, in one order, and carries out what the machine says.
//!
//! For each event: the machine's step; what takes traffic off is carried out at once; the record goes to the journal;
//! everything else is carried out when the record is safe. Nothing here waits for anything slow: the disk, the router,
//! queries, nodes and messages each have tasks of their own, and a person's abort is looked at before all of them.

mod attempts;
mod carry_out;
mod hooks;
mod journaling;
mod leave;
mod look;
mod operators;
mod time;
mod turn;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use canary_traffic::{Observed, Router};
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use hooks::{Attempt, Begun, Evidence, Executor, Hooks, Notifier, Told};
pub use operators::{Gone, Operators, Reply};
pub use view::{Happened, View};

use self::attempts::Attempts;
use self::journaling::Journaling;
use self::operators::{Ask, Waiting};
use self::time::Forward;
use super::clock::Clock;
use super::journal::{EncodeError, Record};
use super::weights::{Said, Weights};
use crate::machine::{self, Command, Event, OperatorAction, Outcome, ProcessMark, Report, State};
use crate::plan::{NodeIndex, Plan};

/// A record of a run's journal.
pub type RunRecord = Record<Event, Command>;

/// How a run is driven.
#[derive(Debug, Clone)]
pub struct DriveOptions {
    /// What the router calls us when we set a weight: `run checkout-7`.
    pub identity: String,
    /// Leave, with the run resumable, as soon as it waits for a person.
    pub no_wait: bool,
    /// After a promotion, take what is ours away from the router: right where the workload itself has become the new
    /// version, wrong where the router is what keeps users on it.
    pub clean_up_promoted: bool,
    /// How long a journal that cannot be written is tried again.
    pub patience: Duration,
    /// How long keeping a record may take before it counts as failing.
    pub stall: Duration,
    /// How long messages are waited for at the end.
    pub drain: Duration,
}

impl DriveOptions {
    /// The usual ones, for the run of that id.
    pub fn new(run: &str) -> Self {
        Self {
            identity: format!("run {run}"),
            no_wait: false,
            clean_up_promoted: false,
            patience: Duration::from_mins(1),
            stall: Duration::from_secs(10),
            drain: Duration::from_secs(30),
        }
    }
}

/// Where a run stands before it is driven.
#[derive(Debug, Clone)]
pub struct Start {
    /// The state: new, or replayed.
    pub state: State,
    /// Number of the last record; 0 for a new run.
    pub seq: u64,
    /// Time of the last record.
    pub at: Option<Timestamp>,
    /// Process groups that an earlier driver left behind.
    pub left_behind: Vec<ProcessMark>,
    /// Notifications that were asked for and of which it is not known what became.
    pub untold: Vec<machine::Notification>,
    /// What became of the others, so that it is not told twice: id and channel.
    pub told: BTreeSet<(u64, String)>,
    /// What a person asks for right away; an abort wins before anything is started.
    pub first: Option<FirstAction>,
}

/// What a person asks for as the run is taken over.
#[derive(Debug, Clone)]
pub struct FirstAction {
    /// What.
    pub action: OperatorAction,
    /// Who.
    pub by: String,
    /// Why, in their words.
    pub reason: Option<String>,
}

impl Start {
    /// A run that nothing has happened in.
    pub fn new(plan: &Plan) -> Self {
        Self {
            state: State::new(plan),
            seq: 0,
            at: None,
            left_behind: Vec::new(),
            untold: Vec::new(),
            told: BTreeSet::new(),
            first: None,
        }
    }
}

/// How driving ended.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// How the run ended; `None` where it goes on: somebody has to resume it.
    pub outcome: Option<Outcome>,
    /// Why it was left, where it was.
    pub left: Option<Left>,
    /// The last report.
    pub report: Arc<Report>,
    /// What could not be done at the end, for people: messages not sent, a router not cleaned up.
    pub warnings: Vec<String>,
}

/// Why a run was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// The caller did not want to wait, and it waits for a person.
    NeedsPerson,
    /// The caller asked to leave at once.
    Asked,
}

impl End {
    /// Exit code: of the outcome, else 3 where a person is needed, 1 where the run was left.
    pub fn exit_code(&self) -> u8 {
        match (self.outcome, self.left) {
            (Some(outcome), _) => outcome.exit_code(),
            (None, Some(Left::NeedsPerson)) => 3,
            (None, _) => 1,
        }
    }
}

/// Driving could not go on. The run can be resumed.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The journal could not be written for too long.
    #[error(
        "the journal could not be written for {patience:?}: {error}; {traffic}. Nothing was started since. \
         Make room or repair the disk, then `canary resume` the run"
    )]
    Journal {
        /// What the disk said last.
        error: String,
        /// How long it was tried.
        patience: Duration,
        /// What became of the traffic.
        traffic: String,
    },
    /// The machine met a bug.
    #[error(
        "canary met a bug of its own at {at}; traffic was taken off and nothing is started. Please report it with the \
         run's journal"
    )]
    Bug {
        /// What it was doing.
        at: String,
    },
    /// A record could not be made.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Everything that comes to the driver but what people ask for.
enum Input {
    Event(Event),
    Begun {
        node: NodeIndex,
        attempt: u32,
        process: Option<ProcessMark>,
        safe: oneshot::Sender<()>,
    },
}

/// Handle of a driver. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    operators: Operators,
    inbox: mpsc::UnboundedSender<Input>,
    leave: CancellationToken,
    view: watch::Receiver<View>,
    happened: broadcast::Sender<Happened>,
}

impl Handle {
    /// Where people's requests go.
    pub fn operators(&self) -> &Operators {
        &self.operators
    }

    /// Asks for something; resolves as soon as the machine has taken it.
    pub async fn operator(
        &self,
        action: OperatorAction,
        by: String,
        reason: Option<String>,
    ) -> Result<Reply, Gone> {
        self.operators.ask(action, by, reason).await
    }

    /// The canary's own instances say that it cannot serve, and why: the run goes back.
    pub fn workload_failed(&self, why: String) {
        // A driver that has ended does not want to know.
        drop(self.inbox.send(Input::Event(Event::WorkloadFailed { why })));
    }

    /// Stops driving at once; the run can be resumed.
    pub fn leave(&self) {
        self.leave.cancel();
    }

    /// The present report, and each newer one.
    pub fn view(&self) -> watch::Receiver<View> {
        self.view.clone()
    }

    /// Every record from now on, with the report after it. A receiver that is too slow is told what it missed.
    pub fn happened(&self) -> broadcast::Receiver<Happened> {
        self.happened.subscribe()
    }
}

/// Drives one run.
pub struct Driver {
    plan: Arc<Plan>,
    options: DriveOptions,
    state: State,
    report: Arc<Report>,
    /// Number and time of the last record.
    seq: u64,
    at: Option<Timestamp>,
    /// Number of the last record that is safe.
    durable: u64,
    start: Option<Beginning>,
    clock: Arc<dyn Clock>,
    time: Forward,
    executor: Arc<dyn Executor>,
    evidence: Arc<dyn Evidence>,
    notifier: Arc<dyn Notifier>,
    router: Option<Weights>,
    /// The same router, where it may be looked at often; and how often.
    looks: Option<(Arc<dyn Router>, Duration)>,
    look: Option<BoxFuture<'static, Option<Observed>>>,
    journaling: Journaling,
    attempts: Attempts,
    wake: Option<BoxFuture<'static, ()>>,
    inputs: mpsc::UnboundedReceiver<Input>,
    inbox: mpsc::UnboundedSender<Input>,
    asks: mpsc::UnboundedReceiver<Ask>,
    said: mpsc::UnboundedReceiver<Said>,
    leave: CancellationToken,
    waiting: Vec<Waiting>,
    /// Notifications of which the journal says what became.
    told: BTreeSet<(u64, String)>,
    /// Executors that wait until their beginning is safe.
    beginnings: Vec<(u64, oneshot::Sender<()>)>,
    view: watch::Sender<View>,
    happened: broadcast::Sender<Happened>,
    /// A weight above 0 was handed to the router by this driver.
    raised: bool,
    /// Traffic was taken off because the journal fails.
    emergency: bool,
    off: Option<BoxFuture<'static, ()>>,
    ending: Option<BoxFuture<'static, Vec<String>>>,
    /// The last messages of a run that is left for a person; true when all were sent.
    leaving: Option<BoxFuture<'static, bool>>,
    ended: Option<(Outcome, Vec<String>)>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver")
            .field("plan", &self.plan.id)
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}

struct Beginning {
    resumed: bool,
    left_behind: Vec<ProcessMark>,
    untold: Vec<machine::Notification>,
    first: Option<FirstAction>,
}

/// Records that a slow watcher may be behind before it misses some.
const WATCHERS_LAG: usize = 1024;

/// How long leaving waits for children to end and for the last record.
const LEAVE: Duration = Duration::from_secs(2);

impl Driver {
    /// A driver for this run, and its handle. Must be called inside a runtime.
    pub fn new(
        plan: Arc<Plan>,
        start: Start,
        hooks: Hooks,
        options: DriveOptions,
    ) -> (Self, Handle) {
        let (inbox, inputs) = mpsc::unbounded_channel();
        let (asks_sender, asks) = mpsc::unbounded_channel();
        let (said_sender, said) = mpsc::unbounded_channel();
        let leave = CancellationToken::new();
        let mut time = Forward::start(hooks.clock.now(), start.at);
        let now = time.at(hooks.clock.now());
        let report = Arc::new(machine::report(&plan, &start.state, now));
        let (view, view_receiver) = watch::channel(View {
            report: report.clone(),
            seq: start.seq,
            trouble: None,
            driven: true,
        });
        let (happened, _) = broadcast::channel(WATCHERS_LAG);
        let clock = hooks.clock.clone();
        let handle = Handle {
            operators: Operators { asks: asks_sender },
            inbox: inbox.clone(),
            leave: leave.clone(),
            view: view_receiver,
            happened: happened.clone(),
        };
        let looks = hooks.router.as_ref().and_then(|router| {
            let every = router.look_every()?;
            Some((router.clone(), every))
        });
        let driver = Self {
            looks,
            look: None,
            time,
            router: hooks
                .router
                .map(|router| Weights::start(router, clock.clone(), said_sender)),
            plan,
            journaling: Journaling::new(hooks.journal, options.patience, options.stall),
            options,
            state: start.state,
            report,
            seq: start.seq,
            at: start.at,
            durable: start.seq,
            start: Some(Beginning {
                resumed: start.seq > 0,
                left_behind: start.left_behind,
                untold: start.untold,
                first: start.first,
            }),
            clock,
            executor: hooks.executor,
            evidence: hooks.evidence,
            notifier: hooks.notifier,
            attempts: Attempts::default(),
            wake: None,
            inputs,
            inbox,
            asks,
            said,
            leave,
            waiting: Vec::new(),
            told: start.told,
            beginnings: Vec::new(),
            view,
            happened,
            raised: false,
            emergency: false,
            off: None,
            ending: None,
            leaving: None,
            ended: None,
        };
        (driver, handle)
    }
}

#[cfg(test)]
pub(crate) mod tests;
