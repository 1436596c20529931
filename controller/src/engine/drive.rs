//! One run, from its beginning or from where another controller left it, to its end; and what is tidied up after it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use canary_orchestrator::assemble::Judge;
use canary_orchestrator::machine::{Checkpoint, Outcome, RunPhase, State};
use canary_orchestrator::node::secrets::Secrets;
use canary_orchestrator::notify::{Tools, channels};
use canary_orchestrator::plan::Plan;
use canary_orchestrator::run::clock::MonotonicClock;
use canary_orchestrator::run::driver::{
    DriveOptions, Driver, End, FirstAction, Handle, Hooks, Start,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::begin::{NotYet, secrets};
use super::context::Context;
use super::hooks::ClusterExecutor;
use super::keeper::Keeper;
use super::notify::{About, ClusterNotifier};
use super::router::{AbortClock, Leased};
use super::snapshot::Snapshot;
use super::world::World;
use crate::api::ReleaseStatus;
use crate::kinds::Cluster;
use crate::workload::cluster::Workload;
use crate::workload::health::Trouble;

/// A canary with traffic may be without a pod that serves for this long.
const NO_POD: Duration = Duration::from_secs(3);

/// What a run is driven with.
#[derive(Debug)]
pub(super) struct Run {
    /// What it was begun with.
    pub(super) snapshot: Arc<Snapshot>,
    /// Its plan.
    pub(super) plan: Arc<Plan>,
    /// The status, with our epoch in it.
    pub(super) status: ReleaseStatus,
    /// What a person asked for while nobody drove it.
    pub(super) first: Option<FirstAction>,
}

/// A run that is being driven, for whoever brings it what people ask for.
#[derive(Debug)]
pub(super) struct Driving {
    /// UID of the Release.
    pub(super) uid: String,
    /// The run.
    pub(super) run: String,
    /// Its driver.
    pub(super) handle: Handle,
    /// Its status.
    pub(super) keeper: Keeper,
    /// Measures how long an abort takes.
    pub(super) abort: Arc<AbortClock>,
}

/// How driving ended.
#[derive(Debug)]
pub(super) enum Driven {
    /// The run has ended; what is left to do is tidying up.
    Ended(Outcome, Keeper),
    /// It goes on elsewhere, or later.
    Left,
    /// It cannot be driven.
    Broken(String, Keeper),
}

/// Drives a run until it ends or `stop`. Its handle goes to `handles` as soon as it can be asked for something.
pub(super) async fn drive(
    context: &Context,
    cluster: &Arc<Cluster>,
    run: Run,
    world: watch::Receiver<World>,
    driving: &mpsc::UnboundedSender<Driving>,
    stop: &CancellationToken,
) -> Driven {
    let Run {
        snapshot,
        plan,
        status,
        first,
    } = run;
    let epoch = status.epoch.unwrap_or_default();
    let checkpoint = status.checkpoint.clone();
    let keeper = Keeper::new(
        Arc::clone(cluster),
        &snapshot.release,
        epoch,
        status,
        context.metrics.clone(),
    );
    let state = match checkpoint.map(|text| restore(&plan, &text)) {
        None => State::new(&plan),
        Some(Ok(state)) => state,
        Some(Err(why)) => return Driven::Broken(why, keeper),
    };
    let values = loop {
        match secrets(cluster, &snapshot.prepared).await {
            Ok(values) => break values,
            // A run that goes on without its secrets cannot judge: its gates say so, and it goes back in time.
            Err(NotYet::Wrong(_, why)) => {
                tracing::error!(
                    release = snapshot.release,
                    why,
                    "a secret of the run is missing"
                );
                break BTreeMap::new();
            }
            Err(NotYet::Later(why)) => {
                tracing::warn!(release = snapshot.release, why, "trying again");
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    () = stop.cancelled() => return Driven::Left,
                }
            }
        }
    };
    let resumed = state.now().is_some();
    let start = Start {
        seq: u64::from(resumed),
        at: state.now(),
        state,
        first,
        ..Start::new(&plan)
    };
    let abort = Arc::new(AbortClock::new(context.metrics.clone()));
    let parts = Parts {
        context,
        cluster,
        snapshot: &snapshot,
        plan: &plan,
        world: &world,
    };
    let Some(hooks) = hooks(&parts, &values, keeper.clone(), &start, &abort) else {
        return Driven::Broken(
            "its sources or its router cannot be put together".to_owned(),
            keeper,
        );
    };
    let options = DriveOptions {
        clean_up_promoted: true,
        patience: Duration::from_hours(1),
        stall: Duration::from_mins(2),
        drain: Duration::from_secs(10),
        ..DriveOptions::new(&snapshot.run)
    };
    let (driver, handle) = Driver::new(Arc::clone(&plan), start, hooks, options);
    // Whoever started us may have stopped.
    drop(driving.send(Driving {
        uid: snapshot.uid.clone(),
        run: snapshot.run.clone(),
        handle: handle.clone(),
        keeper: keeper.clone(),
        abort: Arc::clone(&abort),
    }));
    let ended = {
        let watching = watch_over(&handle, &snapshot, world);
        tokio::pin!(watching);
        let driving = driver.drive();
        tokio::pin!(driving);
        let mut leaving = false;
        loop {
            tokio::select! {
                ended = &mut driving => break ended,
                () = &mut watching => {}
                () = stop.cancelled(), if !leaving => {
                    leaving = true;
                    handle.leave();
                }
                () = keeper.fenced().cancelled(), if !leaving => {
                    leaving = true;
                    handle.leave();
                }
            }
        }
    };
    match ended {
        Ok(End {
            outcome: Some(outcome),
            warnings,
            ..
        }) => {
            for warning in warnings {
                tracing::warn!(run = snapshot.run, warning, "at the end of a run");
            }
            Driven::Ended(outcome, keeper)
        }
        Ok(_) => Driven::Left,
        Err(error) => Driven::Broken(error.to_string(), keeper),
    }
}

fn restore(plan: &Plan, text: &str) -> Result<State, String> {
    let checkpoint: Checkpoint =
        serde_json::from_str(text).map_err(|error| format!("the state of the run: {error}"))?;
    State::restore(plan, checkpoint).map_err(|error| format!("the state of the run: {error}"))
}

/// What the hooks are made of.
struct Parts<'a> {
    context: &'a Context,
    cluster: &'a Arc<Cluster>,
    snapshot: &'a Arc<Snapshot>,
    plan: &'a Arc<Plan>,
    world: &'a watch::Receiver<World>,
}

fn hooks(
    parts: &Parts<'_>,
    values: &BTreeMap<String, SecretString>,
    keeper: Keeper,
    start: &Start,
    abort: &Arc<AbortClock>,
) -> Option<Hooks> {
    let Parts {
        context,
        cluster,
        snapshot,
        plan,
        world,
    } = *parts;
    let known: BTreeMap<String, SecretString> = values.clone();
    let secrets = Secrets::new(
        PathBuf::from("/nonexistent"),
        Arc::new(move |name| {
            known
                .get(name)
                .map(|value| value.expose_secret().to_owned())
        }),
    );
    let sources = match context.sources(plan, &snapshot.prepared, &secrets) {
        Ok(sources) => sources,
        Err(why) => {
            tracing::error!(
                run = snapshot.run,
                why,
                "the sources cannot be put together"
            );
            return None;
        }
    };
    let router = context.router(cluster, &snapshot.spec, &snapshot.run)?;
    let clock = Arc::new(MonotonicClock::start(start.at));
    let now = {
        let clock = Arc::clone(&clock);
        Arc::new(move || canary_orchestrator::run::clock::Clock::now(clock.as_ref()))
    };
    let tools = Tools {
        http: context.http.clone(),
        secrets: secrets.clone(),
        directory: PathBuf::from("/nonexistent"),
        environment: Vec::new(),
        clock: now,
    };
    let about = About {
        name: snapshot.release.clone(),
        uid: snapshot.uid.clone(),
        run: snapshot.run.clone(),
    };
    let notifier = ClusterNotifier::new(
        about,
        Arc::clone(cluster),
        channels(&plan.settings, &tools),
        secrets,
        context.metrics.clone(),
    );
    let workload = Workload::new(
        Arc::clone(cluster),
        Arc::clone(snapshot),
        world.clone(),
        context.keep_paused,
    );
    Some(Hooks {
        router: Some(Arc::new(Leased::new(
            router,
            context.claim.clone(),
            Arc::clone(abort),
        ))),
        executor: Arc::new(ClusterExecutor::new(
            workload,
            snapshot.run.clone(),
            snapshot.deadline(),
            world.clone(),
        )),
        evidence: Arc::new(Judge::new(sources)),
        notifier: Arc::new(notifier),
        clock,
        journal: Box::new(keeper),
    })
}

/// Looks at the canary's pods for as long as the run goes on, and at the target's template. Never ends.
async fn watch_over(handle: &Handle, snapshot: &Snapshot, mut world: watch::Receiver<World>) {
    let view = handle.view();
    let mut since: Option<(tokio::time::Instant, String)> = None;
    let mut said = false;
    loop {
        let (trouble, superseded) = {
            let world = world.borrow_and_update();
            let report = Arc::clone(&view.borrow().report);
            let traffic = report
                .traffic
                .as_ref()
                .is_some_and(|traffic| !traffic.desired.is_zero());
            let forward = !matches!(report.phase, RunPhase::Ended | RunPhase::RollingBack);
            let trouble = world.trouble(&snapshot.run).or_else(|| {
                (traffic && forward && world.ready(&snapshot.run) == 0).then(|| Trouble {
                    why: "no pod of the canary serves".to_owned(),
                    fatal: false,
                })
            });
            // Pods that are not ready yet are not trouble by themselves while nobody sends them anything.
            let trouble = trouble
                .filter(|trouble| trouble.fatal || traffic && world.ready(&snapshot.run) == 0);
            let superseded = world.target.as_ref().is_some_and(|target| {
                target.template != snapshot.hash && target.template != snapshot.stable_hash
            });
            (trouble.filter(|_| forward), superseded && forward)
        };
        if superseded {
            let why = "a newer template was written while this one was judged".to_owned();
            handle.workload_failed(why);
            return std::future::pending().await;
        }
        match &trouble {
            Some(Trouble { why, fatal: true }) if !said => {
                said = true;
                handle.workload_failed(why.clone());
            }
            Some(Trouble { why, .. }) => {
                since.get_or_insert_with(|| (tokio::time::Instant::now(), why.clone()));
            }
            None => since = None,
        }
        let bound = async {
            match &since {
                Some((since, _)) if !said => tokio::time::sleep_until(*since + NO_POD).await,
                _ => std::future::pending().await,
            }
        };
        let mut report = view.clone();
        tokio::select! {
            changed = world.changed() => if changed.is_err() {
                return std::future::pending().await;
            },
            _ = report.changed() => {}
            () = bound => {
                said = true;
                let why = since.as_ref().map(|(_, why)| why.clone()).unwrap_or_default();
                handle.workload_failed(why);
            }
        }
    }
}
