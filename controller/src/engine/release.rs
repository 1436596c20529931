//! One release, from a change that somebody made to where nothing is left to do.

use std::sync::Arc;
use std::time::Duration;

use canary_orchestrator::machine::{OperatorAction, Outcome};
use canary_orchestrator::run::driver::FirstAction;
use canary_traffic::kubernetes::Failure;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::begin::{Begun, NotYet, begin};
use super::context::Context;
use super::drive::{Driven, Driving, Run, drive};
use super::keeper::{Keeper, take_over};
use super::snapshot::Snapshot;
use super::tidy::{let_go, note, tidy};
use super::world::World;
use crate::api::{ReleasePhase, ReleaseStatus};
use crate::kinds::{Cluster, RELEASES, REVISIONS};
use crate::watch::ReleaseView;

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Done {
    /// Nothing is to be done until something changes.
    Settled,
    /// It is looked at again as soon as the watches say more.
    Again,
    /// The cluster did not do what it was asked: it is tried again soon.
    Later(String),
    /// Something is wrong that somebody must change: it is looked at again after a while.
    Wrong,
    /// Another controller has it, or we were told to stop.
    Left,
}

/// What a task for a release needs.
#[derive(Debug)]
pub(super) struct Task {
    /// The Release, as the watch told it.
    pub(super) view: ReleaseView,
    /// What is seen of its workload.
    pub(super) world: watch::Receiver<World>,
    /// Where the handle of a driver goes.
    pub(super) driving: mpsc::UnboundedSender<Driving>,
    /// What a person asked for before anybody drove it.
    pub(super) first: Option<FirstAction>,
    /// Stops driving.
    pub(super) stop: CancellationToken,
}

/// Does what is to be done for a release.
pub(super) async fn release(context: Arc<Context>, task: Task) -> Done {
    let cluster = context.cluster(&task.view.key.namespace);
    let name = task.view.key.name.clone();
    let result = if task.view.snapshot.is_some() {
        Box::pin(go_on(&context, &cluster, task)).await
    } else if task.view.going {
        let_go(&cluster, &task.view)
            .await
            .map(|()| Done::Settled)
            .map_err(NotYet::from)
    } else {
        start(&context, &cluster, task).await
    };
    match result {
        Ok(done) => done,
        Err(NotYet::Later(why)) => {
            tracing::warn!(release = name, why, "trying again");
            Done::Later(why)
        }
        Err(NotYet::Wrong(reason, why)) => {
            tracing::warn!(release = name, reason, why, "nothing is begun");
            let now = context.clock.now();
            match note(&cluster, &name, |status| {
                status.ready(Err((reason, &why)), now);
            })
            .await
            {
                // What it names may come, and nothing tells us then.
                Ok(()) => Done::Wrong,
                Err(failure) => Done::Later(failure.to_string()),
            }
        }
    }
}

async fn start(context: &Context, cluster: &Arc<Cluster>, task: Task) -> Result<Done, NotYet> {
    let generation = task.view.generation;
    match begin(context, cluster, &task.view).await? {
        Begun::AtRest { stable } => {
            let now = context.clock.now();
            note(cluster, &task.view.key.name, |status| {
                status.observed_generation = Some(generation);
                if status.phase.is_none() {
                    status.phase = Some(ReleasePhase::Idle);
                }
                status.stable = Some(stable);
                status.ready(Ok(()), now);
            })
            .await?;
            Ok(Done::Settled)
        }
        Begun::Overtaken => Ok(Done::Again),
        Begun::Run {
            snapshot,
            plan,
            status,
        } => {
            tracing::info!(run = snapshot.run, "a run begins");
            let run = Run {
                snapshot: Arc::from(snapshot),
                plan: Arc::from(plan),
                status: *status,
                first: task.first.clone(),
            };
            Ok(carry_through(context, cluster, run, task).await)
        }
    }
}

/// Takes over a run that somebody began.
async fn go_on(context: &Context, cluster: &Arc<Cluster>, task: Task) -> Result<Done, NotYet> {
    let name = task.view.key.name.clone();
    let Some(release) = cluster.find(&RELEASES, &name).await? else {
        return Ok(Done::Settled);
    };
    let Some(run) = release.pointer("/status/snapshot").and_then(Value::as_str) else {
        return Ok(Done::Again);
    };
    let snapshot = match cluster.find(&REVISIONS, run).await? {
        Some(object) => Snapshot::read(&object),
        None => Err("its snapshot is gone".to_owned()),
    };
    let Some(status) = take_over(cluster, &release, &context.identity, |_| {}).await? else {
        return Ok(Done::Again);
    };
    let snapshot = match snapshot {
        Ok(snapshot) => Arc::new(snapshot),
        Err(why) => {
            lost(context, cluster, &task.view, status, &why).await?;
            return Ok(Done::Settled);
        }
    };
    let mut first = task.first.clone();
    if task.view.going && first.is_none() {
        first = Some(FirstAction {
            action: OperatorAction::Abort { signal: None },
            by: "canary".to_owned(),
            reason: Some("the Release is being deleted".to_owned()),
        });
    }
    let ended = status.outcome.as_deref().and_then(outcome);
    if let Some(outcome) = ended.filter(|outcome| *outcome != Outcome::Held || first.is_none()) {
        // Only the tidying up is left.
        let keeper = keeper(context, cluster, &name, status);
        return Ok(end(context, cluster, &snapshot, outcome, &keeper, task.world).await);
    }
    match snapshot.plan() {
        Ok(plan) => {
            let run = Run {
                snapshot,
                plan: Arc::new(plan),
                status,
                first,
            };
            Ok(carry_through(context, cluster, run, task).await)
        }
        Err(why) => {
            let keeper = keeper(context, cluster, &name, status);
            Ok(give_up(context, cluster, &snapshot, &keeper, task.world, &why).await)
        }
    }
}

fn keeper(context: &Context, cluster: &Arc<Cluster>, name: &str, status: ReleaseStatus) -> Keeper {
    let epoch = status.epoch.unwrap_or_default();
    Keeper::new(
        Arc::clone(cluster),
        name,
        epoch,
        status,
        context.metrics.clone(),
    )
}

async fn carry_through(context: &Context, cluster: &Arc<Cluster>, run: Run, task: Task) -> Done {
    let snapshot = Arc::clone(&run.snapshot);
    let world = task.world.clone();
    context.metrics.running.inc();
    let driven = drive(context, cluster, run, task.world, &task.driving, &task.stop).await;
    context.metrics.running.dec();
    match driven {
        Driven::Left => Done::Left,
        Driven::Ended(outcome, keeper) => {
            tracing::info!(run = snapshot.run, outcome = outcome.word(), "a run ended");
            context.metrics.ended.get_or_create(&outcome.into()).inc();
            tokio::select! {
                done = end(context, cluster, &snapshot, outcome, &keeper, world) => done,
                () = task.stop.cancelled() => Done::Left,
                () = keeper.fenced().cancelled() => Done::Left,
            }
        }
        Driven::Broken(why, keeper) => {
            give_up(context, cluster, &snapshot, &keeper, world, &why).await
        }
    }
}

async fn end(
    context: &Context,
    cluster: &Arc<Cluster>,
    snapshot: &Arc<Snapshot>,
    outcome: Outcome,
    keeper: &Keeper,
    world: watch::Receiver<World>,
) -> Done {
    match tidy(context, cluster, snapshot, outcome, keeper, world).await {
        Ok(()) if outcome == Outcome::Held => Done::Settled,
        Ok(()) => Done::Again,
        Err(why) => {
            tracing::warn!(
                run = snapshot.run,
                why,
                "what is left of the run is tidied up later"
            );
            Done::Later(why)
        }
    }
}

/// A run that this version cannot drive: its canary gets nothing, the old version is put back, and people are told.
async fn give_up(
    context: &Context,
    cluster: &Arc<Cluster>,
    snapshot: &Arc<Snapshot>,
    keeper: &Keeper,
    world: watch::Receiver<World>,
    why: &str,
) -> Done {
    tracing::error!(
        run = snapshot.run,
        why,
        "the run cannot be driven: it is taken off"
    );
    let Some(router) = context.router(cluster, &snapshot.spec, &snapshot.run) else {
        return Done::Later(why.to_owned());
    };
    let mut pause = Duration::from_millis(200);
    while let Err(error) = router.take_off().await {
        tracing::warn!(run = snapshot.run, %error, "taking the canary off again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
    if let Err(error) = router.remove().await {
        return Done::Later(error.to_string());
    }
    let sentence = super::text::cut(
        &format!("the run could not be driven any further and was taken off: {why}"),
        400,
    );
    let now = context.clock.now();
    let closed = keeper
        .change(|status| {
            status.phase = Some(ReleasePhase::Failed);
            status.outcome = Some(Outcome::Failed.word().to_owned());
            status.weight = Some(0);
            status.desired_weight = Some(0);
            status.why = Some(sentence);
            status.ended_at = Some(now);
        })
        .await;
    if let Err(failure) = closed {
        return Done::Later(failure.to_string());
    }
    end(context, cluster, snapshot, Outcome::Failed, keeper, world).await
}

/// A run whose snapshot is gone: all that is known is the Release.
async fn lost(
    context: &Context,
    cluster: &Arc<Cluster>,
    view: &ReleaseView,
    status: ReleaseStatus,
    why: &str,
) -> Result<(), Failure> {
    let run = status.run.clone().unwrap_or_default();
    tracing::error!(run, why, "the run is lost: it is taken off");
    if let Some(router) = context.router(cluster, &view.spec, &run) {
        let mut pause = Duration::from_millis(200);
        while let Err(error) = router.remove().await {
            tracing::warn!(run, %error, "taking the canary off again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }
    let now = context.clock.now();
    let sentence = super::text::cut(
        &format!(
            "run {run} could not be gone on with and was taken off: {why}; the Deployment stays paused with its new template"
        ),
        400,
    );
    keeper(context, cluster, &view.key.name, status)
        .change(|status| {
            status.phase = Some(ReleasePhase::Failed);
            status.outcome = Some(Outcome::Failed.word().to_owned());
            status.weight = Some(0);
            status.desired_weight = Some(0);
            status.why = Some(sentence);
            status.ended_at = Some(now);
            status.snapshot = None;
            status.checkpoint = None;
            status.judge_conditions(now);
        })
        .await
}

/// The outcome of that word.
fn outcome(word: &str) -> Option<Outcome> {
    [
        Outcome::Promoted,
        Outcome::Completed,
        Outcome::RolledBack { deadline: false },
        Outcome::Aborted { signal: None },
        Outcome::Held,
        Outcome::Failed,
    ]
    .into_iter()
    .find(|outcome| outcome.word() == word)
}
