//! After a run: the old version put back or the new one recorded, the canary removed, the status closed. All of it may be done
//! again, by whoever finds it not done.

use std::sync::Arc;
use std::time::Duration;

use canary_orchestrator::machine::Outcome;
use canary_traffic::kubernetes::Failure;
use serde_json::Value;
use tokio::sync::watch;

use super::context::Context;
use super::keeper::Keeper;
use super::snapshot::Snapshot;
use super::world::World;
use crate::api::{CONDITION_REJECTED, HistoryEntry, Release, ReleaseStatus};
use crate::kinds::{Cluster, DEPLOYMENTS, RELEASES, REVISIONS, set, test, unchanged};
use crate::names::{FINALIZER, LABEL_MANAGED};
use crate::watch::ReleaseView;
use crate::workload::cluster::{PutBack, Workload};
use crate::workload::template;

/// The canary's pods stay this long after they were taken off, for requests that are under way and proxies that are late.
const LINGER: Duration = Duration::from_secs(10);

/// Tidies up after a run that ended.
pub(super) async fn tidy(
    context: &Context,
    cluster: &Arc<Cluster>,
    snapshot: &Arc<Snapshot>,
    outcome: Outcome,
    keeper: &Keeper,
    world: watch::Receiver<World>,
) -> Result<(), String> {
    if outcome == Outcome::Held {
        // Kept as it is, for a person; an abort takes it off.
        return closed(context, keeper, snapshot, outcome, None, true).await;
    }
    let workload = Workload::new(
        Arc::clone(cluster),
        Arc::clone(snapshot),
        world,
        context.keep_paused,
    );
    let left = match outcome {
        Outcome::Promoted => None,
        _ => Some(workload.put_back().await?),
    };
    // People are told how it ended before the canary is gone.
    closed(context, keeper, snapshot, outcome, left.as_ref(), true).await?;
    tokio::time::sleep(LINGER).await;
    workload.tear_down().await?;
    closed(context, keeper, snapshot, outcome, left.as_ref(), false).await?;
    cluster
        .delete(&REVISIONS, &snapshot.run)
        .await
        .map_err(|failure| failure.to_string())
}

/// Writes how it ended. `open`: there is still something to do.
async fn closed(
    context: &Context,
    keeper: &Keeper,
    snapshot: &Snapshot,
    outcome: Outcome,
    left: Option<&PutBack>,
    open: bool,
) -> Result<(), String> {
    let now = context.clock.now();
    keeper
        .change(|status| {
            if outcome == Outcome::Promoted {
                status.stable = Some(snapshot.hash.clone());
                status.rejected = None;
                status.conditions.retain(|one| one.type_ != CONDITION_REJECTED);
            } else if outcome != Outcome::Held {
                status.rejected = Some(snapshot.hash.clone());
                let message = match left {
                    Some(PutBack::Left { manager }) => format!(
                        "the template of run {} was not promoted; {manager} has it in Git, so it stays, paused: change it there. It is not judged again until it changes",
                        snapshot.run
                    ),
                    Some(PutBack::Newer) => format!(
                        "the template of run {} was not promoted; another one was written meanwhile",
                        snapshot.run
                    ),
                    _ => format!(
                        "the template of run {} was not promoted and the old one was put back; it is not judged again until it changes, or `retry` is asked for",
                        snapshot.run
                    ),
                };
                status.condition(CONDITION_REJECTED, true, "NotPromoted", &message, now);
            }
            if !status.history.iter().any(|known| known.run == snapshot.run) {
                status.history.insert(
                    0,
                    HistoryEntry {
                        run: snapshot.run.clone(),
                        outcome: outcome.word().to_owned(),
                        why: super::text::cut(status.why.as_deref().unwrap_or_default(), 200),
                        ended_at: status.ended_at,
                    },
                );
                status.history.truncate(10);
            }
            status.judge_conditions(now);
            if !open {
                status.snapshot = None;
                status.checkpoint = None;
            }
        })
        .await
        .map_err(|failure| failure.to_string())
}

/// Writes to the status of a Release that no run is driven for; nothing where that changes nothing.
pub(super) async fn note(
    cluster: &Cluster,
    name: &str,
    change: impl FnOnce(&mut ReleaseStatus),
) -> Result<(), Failure> {
    let object = cluster.get(&RELEASES, name).await?;
    let release: Release = serde_json::from_value(object.clone())
        .map_err(|error| Failure::Odd(format!("the Release {name} cannot be read: {error}")))?;
    let before = release.status.unwrap_or_default();
    let mut after = before.clone();
    change(&mut after);
    if after == before {
        return Ok(());
    }
    let precondition = match before.epoch {
        Some(epoch) => test("/status/epoch", epoch),
        None => unchanged(&object),
    };
    let value = serde_json::to_value(&after).map_err(|error| Failure::Odd(error.to_string()))?;
    let status = format!("{name}/status");
    cluster
        .patch(&RELEASES, &status, &[precondition, set("/status", value)])
        .await
        .map(drop)
}

/// Lets a Release go: nothing of ours stays, and a version that was not promoted is not shipped.
pub(super) async fn let_go(cluster: &Cluster, view: &ReleaseView) -> Result<(), Failure> {
    let target = &view.spec.target.name;
    if let Some(there) = cluster.find(&DEPLOYMENTS, target).await? {
        let now = there.pointer("/spec/template").cloned().unwrap_or_default();
        let judged = view.stable.as_deref() == Some(&template::hash(&now));
        let paused = there.pointer("/spec/paused") == Some(&Value::Bool(true));
        if paused && judged {
            cluster
                .patch(
                    &DEPLOYMENTS,
                    target,
                    &[test("/spec/template", now), set("/spec/paused", false)],
                )
                .await?;
        } else if paused {
            tracing::warn!(
                release = %view.key,
                target,
                "the Deployment stays paused: its template is not the one that runs, and was not promoted"
            );
        }
        let patch = serde_json::json!({"metadata": {"labels": {LABEL_MANAGED: null}}});
        cluster.merge(&DEPLOYMENTS, target, &patch).await?;
    }
    let Some(release) = cluster.find(&RELEASES, &view.key.name).await? else {
        return Ok(());
    };
    let finalizers: Vec<Value> = release
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|one| *one != FINALIZER)
        .cloned()
        .collect();
    cluster
        .patch(
            &RELEASES,
            &view.key.name,
            &[unchanged(&release), set("/metadata/finalizers", finalizers)],
        )
        .await
        .map(drop)
}
