//! Carries releases out: one task per release that has something to do, nothing for one that waits.
//!
//! ```text
//! watches ──► Engine ──► a task per release: begin | go on ──► run::Driver ──► tidy up
//!   actions ─────┘ (an abort goes straight to the driver: nothing here waits for anything slow)
//! ```
//!
//! What must hold, whatever happens, and by what:
//!
//! | what happens | what holds |
//! |---|---|
//! | the status cannot be written | nothing is begun or raised, because a command is carried out after the write that decided it; weight 0 is written at once, because it is not (`run::driver`) |
//! | the Lease is lost | no raise is sent after its end by our own clock (`lease`, `router`); every driver is left |
//! | two controllers | a run is taken over by a new epoch, and every write of its status tests the epoch: the older one is refused and stops (`keeper`); a raise tests the weight that it starts from |
//! | a restart, anywhere | the status says which snapshot and state; nothing is fresh after it, the weight is looked at first (`machine::resume`); what is done before and after a run may be done twice (`begin`, `tidy`) |
//! | a watch lags or breaks | what was decided is checked again by a precondition of the write: the template that is judged, the label of an object that is ours |

mod actions;
mod begin;
pub mod context;
mod drive;
mod hooks;
mod keeper;
pub mod metrics;
mod notify;
mod release;
mod router;
mod routes;
pub mod snapshot;
mod text;
mod tidy;
pub mod world;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::actions::Waiting;
use self::context::Context;
use self::drive::Driving;
use self::release::{Done, Task, release};
use self::world::World;
use crate::watch::{ActionView, Change, DeploymentView, Key, ReleaseView, Scope};

/// Tried again after the cluster did not do what it was asked.
const SOON: Duration = Duration::from_secs(3);
/// Looked at again after something was wrong.
const LATER: Duration = Duration::from_mins(1);
/// Looked at again after another look is due: the watches tell what was just written by then.
const AGAIN: Duration = Duration::from_millis(300);
/// Leaving drivers get this long.
const LEAVE: Duration = Duration::from_secs(8);

/// A part of the releases: those whose name falls to `index` of `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    pub index: u64,
    /// How many there are.
    pub count: u64,
}

impl Shard {
    /// The release falls to this one.
    pub fn has(self, key: &Key) -> bool {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish() % self.count.max(1) == self.index
    }
}

/// One release.
struct Entry {
    view: Option<ReleaseView>,
    world: watch::Sender<World>,
    task: Option<CancellationToken>,
    driving: Option<Driving>,
    /// What people asked for before anybody could be asked.
    waiting: Vec<Waiting>,
    /// Names of actions that this process took in: a watch may tell them again before the status does.
    taken: VecDeque<String>,
    /// What was there when nothing was to be done.
    settled: Option<Seen>,
}

/// What decides whether there is something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    generation: i64,
    template: Option<String>,
    paused: Option<bool>,
    rejected: Option<String>,
}

/// All releases that this controller is to look after.
pub struct Engine {
    context: Arc<Context>,
    scope: Scope,
    shard: Option<Shard>,
    entries: HashMap<Key, Entry>,
    deployments: HashMap<Key, DeploymentView>,
    /// Targets and the Releases that name them.
    targets: HashMap<Key, BTreeSet<Key>>,
    tasks: JoinSet<(Key, Done)>,
    driving: (
        mpsc::UnboundedSender<Driving>,
        mpsc::UnboundedReceiver<Driving>,
    ),
    retries: (mpsc::UnboundedSender<Key>, mpsc::UnboundedReceiver<Key>),
    /// Watches that have not told everything yet.
    incomplete: usize,
    /// The Lease is ours.
    leads: bool,
    ready: watch::Sender<bool>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Does nothing before it is run. `incomplete` is how many watches are to tell everything.
    pub fn new(
        context: Arc<Context>,
        scope: Scope,
        shard: Option<Shard>,
        incomplete: usize,
    ) -> Self {
        Self {
            context,
            scope,
            shard,
            entries: HashMap::new(),
            deployments: HashMap::new(),
            targets: HashMap::new(),
            tasks: JoinSet::new(),
            driving: mpsc::unbounded_channel(),
            retries: mpsc::unbounded_channel(),
            incomplete,
            leads: false,
            ready: watch::Sender::new(false),
        }
    }

    /// True as soon as everything is known.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Runs until it is told to stop; then leaves every run so that another controller can go on with it.
    pub async fn run(
        mut self,
        mut changes: mpsc::UnboundedReceiver<Change>,
        stop: CancellationToken,
    ) {
        let mut held = self.context.claim.held();
        self.lead(*held.borrow_and_update());
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(change) = changes.recv() => self.change(change),
                Ok(()) = held.changed() => {
                    let leads = *held.borrow_and_update();
                    self.lead(leads);
                }
                Some(driving) = self.driving.1.recv() => self.drives(driving),
                Some(Ok((key, done))) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    self.done(&key, done);
                }
                Some(key) = self.retries.1.recv() => {
                    if let Some(entry) = self.entries.get_mut(&key) {
                        entry.settled = None;
                    }
                    self.consider(&key);
                }
            }
        }
        self.leave_all();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // Whoever comes after us fences what is left.
        drop(tokio::time::timeout(LEAVE, all).await);
    }

    fn leave_all(&mut self) {
        for entry in self.entries.values() {
            if let Some(stop) = &entry.task {
                stop.cancel();
            }
        }
    }

    fn lead(&mut self, leads: bool) {
        self.context.metrics.leader.set(i64::from(leads));
        if std::mem::replace(&mut self.leads, leads) == leads {
            return;
        }
        if leads {
            self.consider_all();
        } else {
            self.leave_all();
        }
    }

    fn consider_all(&mut self) {
        let keys: Vec<Key> = self.entries.keys().cloned().collect();
        for key in keys {
            self.consider(&key);
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Release(view) => self.release(*view),
            Change::ReleaseGone(key) => self.forget(&key),
            Change::Action(action) => self.action(*action),
            Change::Deployment(deployment) => self.deployment(deployment),
            Change::DeploymentGone(key) => self.deployment_gone(&key),
            Change::Pod(release, pod) => self.entry(&release).world.send_modify(|world| {
                world.pods.insert(pod.name.clone(), pod);
            }),
            Change::PodGone(release, name) => self.entry(&release).world.send_modify(|world| {
                world.pods.remove(&name);
            }),
            Change::Complete => {
                self.incomplete = self.incomplete.saturating_sub(1);
                if self.incomplete == 0 && !self.ready.send_replace(true) {
                    tracing::info!(releases = self.entries.len(), "everything is known");
                    self.consider_all();
                }
            }
        }
    }

    fn entry(&mut self, key: &Key) -> &mut Entry {
        self.entries.entry(key.clone()).or_insert_with(|| Entry {
            view: None,
            world: watch::Sender::new(World::default()),
            task: None,
            driving: None,
            waiting: Vec::new(),
            taken: VecDeque::new(),
            settled: None,
        })
    }

    fn release(&mut self, view: ReleaseView) {
        let key = view.key.clone();
        if !self.scope.contains(&key.namespace) || self.shard.is_some_and(|shard| !shard.has(&key))
        {
            return;
        }
        let target = key.beside(&view.spec.target.name);
        self.targets
            .entry(target.clone())
            .or_default()
            .insert(key.clone());
        let known = self.deployments.get(&target).cloned();
        let entry = self.entry(&key);
        if entry.view.is_none() {
            entry.world.send_modify(|world| world.target = known);
        }
        entry.view = Some(view);
        let releases = self
            .entries
            .values()
            .filter(|entry| entry.view.is_some())
            .count();
        self.context
            .metrics
            .releases
            .set(i64::try_from(releases).unwrap_or(i64::MAX));
        self.consider(&key);
    }

    fn forget(&mut self, key: &Key) {
        for releases in self.targets.values_mut() {
            releases.remove(key);
        }
        self.targets.retain(|_, releases| !releases.is_empty());
        if let Some(entry) = self.entries.remove(key)
            && let Some(stop) = entry.task
        {
            stop.cancel();
        }
    }

    fn deployment(&mut self, deployment: DeploymentView) {
        let key = deployment.key.clone();
        if let Some(name) = &deployment.release {
            let release = key.beside(name);
            self.entry(&release)
                .world
                .send_modify(|world| world.canary = Some(deployment));
            return;
        }
        for release in self.targets.get(&key).cloned().unwrap_or_default() {
            let seen = deployment.clone();
            self.entry(&release)
                .world
                .send_modify(|world| world.target = Some(seen));
        }
        self.deployments.insert(key.clone(), deployment);
        for release in self.targets.get(&key).cloned().unwrap_or_default() {
            self.consider(&release);
        }
    }

    fn deployment_gone(&mut self, key: &Key) {
        self.deployments.remove(key);
        for (release, entry) in &self.entries {
            if release.namespace != key.namespace {
                continue;
            }
            entry.world.send_if_modified(|world| {
                let is = |view: &Option<DeploymentView>| {
                    view.as_ref().is_some_and(|view| view.key == *key)
                };
                let (target, canary) = (is(&world.target), is(&world.canary));
                if target {
                    world.target = None;
                }
                if canary {
                    world.canary = None;
                }
                target || canary
            });
        }
    }

    /// Begins what is to be done for a release, if anything is.
    fn consider(&mut self, key: &Key) {
        if !self.leads || self.incomplete > 0 {
            return;
        }
        let Some(entry) = self.entries.get(key) else {
            return;
        };
        let Some(view) = entry.view.clone().filter(|_| entry.task.is_none()) else {
            return;
        };
        let target = key.beside(&view.spec.target.name);
        if let Some(first) = self.targets.get(&target).and_then(BTreeSet::first)
            && first != key
        {
            tracing::warn!(release = %key, other = %first, "another Release has the same target: only the first by name is carried out");
            return;
        }
        let first = actions::first(entry, &view);
        let held = view.outcome.as_deref() == Some("held");
        if view.snapshot.is_some() {
            if !held || first.is_some() || view.going {
                self.spawn(key, view, first);
            }
            return;
        }
        if view.going {
            if view.guarded {
                self.spawn(key, view, None);
            }
            return;
        }
        let deployment = self.deployments.get(&target);
        let seen = Seen {
            generation: view.generation,
            template: deployment.map(|one| one.template.clone()),
            paused: deployment.map(|one| one.paused),
            rejected: view.rejected.clone(),
        };
        let at_rest = deployment.is_some_and(|one| {
            let known = view.stable.as_ref() == Some(&one.template);
            known && one.paused == self.context.keep_paused && one.managed
        });
        let rejected = seen.template.is_some() && seen.template == view.rejected;
        let understood = view.observed == Some(view.generation) && view.guarded;
        if understood && (at_rest || rejected) || entry.settled.as_ref() == Some(&seen) {
            return;
        }
        if rejected {
            // Only the spec is new: it is looked at when there is something to judge.
            return;
        }
        if let Some(entry) = self.entries.get_mut(key) {
            entry.settled = Some(seen);
        }
        self.spawn(key, view, first);
    }

    fn spawn(
        &mut self,
        key: &Key,
        view: ReleaseView,
        first: Option<canary_orchestrator::run::driver::FirstAction>,
    ) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let stop = CancellationToken::new();
        entry.task = Some(stop.clone());
        let task = Task {
            view,
            world: entry.world.subscribe(),
            driving: self.driving.0.clone(),
            first,
            stop,
        };
        let (context, key) = (Arc::clone(&self.context), key.clone());
        self.tasks.spawn(async move {
            // In a task of its own, so that a bug in one release ends only its own.
            let done = tokio::spawn(release(context, task)).await;
            let done = done.unwrap_or_else(|error| {
                tracing::error!(release = %key, %error, "a bug of canary; please report it");
                Done::Later(error.to_string())
            });
            (key, done)
        });
    }

    fn done(&mut self, key: &Key, done: Done) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        entry.task = None;
        entry.driving = None;
        match done {
            Done::Settled => self.consider(key),
            Done::Again => self.retry(key, AGAIN),
            Done::Later(_) => self.retry(key, SOON),
            Done::Wrong => self.retry(key, LATER),
            // Where we lead still, somebody else's epoch was newer: the watch tells.
            Done::Left => self.retry(key, SOON),
        }
    }

    fn retry(&self, key: &Key, after: Duration) {
        let (retries, key) = (self.retries.0.clone(), key.clone());
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            // The engine may have stopped.
            drop(retries.send(key));
        });
    }

    fn action(&mut self, action: ActionView) {
        let seen = tokio::time::Instant::now();
        if !self.entries.contains_key(&action.release) && self.incomplete == 0 {
            return;
        }
        let context = Arc::clone(&self.context);
        let leads = self.leads;
        let fresh = self.incomplete == 0;
        let key = action.release.clone();
        let entry = self.entry(&key);
        if actions::take(
            &context,
            entry,
            Waiting {
                action,
                seen,
                fresh,
            },
            leads,
        ) {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.settled = None;
            }
            self.consider(&key);
        }
    }

    fn drives(&mut self, driving: Driving) {
        let context = Arc::clone(&self.context);
        let leads = self.leads;
        let uid = &driving.uid;
        let found = self
            .entries
            .values_mut()
            .find(|entry| entry.view.as_ref().is_some_and(|view| view.uid == *uid));
        let Some(entry) = found else { return };
        entry.driving = Some(driving);
        for waiting in std::mem::take(&mut entry.waiting) {
            actions::take(&context, entry, waiting, leads);
        }
    }
}
