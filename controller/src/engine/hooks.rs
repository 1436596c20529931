//! What the nodes of a plan do in a cluster: pods up, the new version in, the old one back.

use std::collections::BTreeMap;
use std::time::Duration;

use canary_orchestrator::machine::{NodeResult, NodeStatus, ProcessMark};
use canary_orchestrator::plan::Action;
use canary_orchestrator::run::driver::{Attempt, Begun, Executor};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::world::World;
use crate::workload::cluster::{PutBack, Workload};

/// Carries the native nodes of one run out.
#[derive(Debug, Clone)]
pub(super) struct ClusterExecutor {
    workload: Workload,
    run: String,
    /// How long making the new version the workload may take.
    deadline: Duration,
    world: watch::Receiver<World>,
}

impl ClusterExecutor {
    /// For that run.
    pub(super) fn new(
        workload: Workload,
        run: String,
        deadline: Duration,
        world: watch::Receiver<World>,
    ) -> Self {
        Self {
            workload,
            run,
            deadline,
            world,
        }
    }

    async fn act(&self, action: &Action) -> Result<(), String> {
        match action {
            Action::Scale(pods) => self.workload.bring_up(*pods).await,
            Action::Promote => self.workload.commit().await,
            Action::Rollback => match self.workload.put_back().await? {
                PutBack::Restored | PutBack::Left { .. } | PutBack::Newer | PutBack::Gone => Ok(()),
            },
            _ => Err("nothing carries this node out in a cluster; this is a defect of canary, please report it".to_owned()),
        }
    }

    /// What was waited for when the time was over.
    fn waited(&self, action: &Action) -> String {
        let world = self.world.borrow();
        match action {
            Action::Scale(pods) => {
                let ready = world.ready(&self.run);
                let why = world
                    .trouble(&self.run)
                    .map_or_else(String::new, |trouble| format!(": {}", trouble.why));
                format!("{ready} of {pods} pods of the canary are ready{why}")
            }
            Action::Promote => world.progress(),
            _ => "the API server did not take the change".to_owned(),
        }
    }
}

fn ended(status: NodeStatus, error: Option<String>) -> NodeResult {
    NodeResult {
        status,
        outputs: BTreeMap::new(),
        error,
    }
}

impl Executor for ClusterExecutor {
    fn execute(
        &self,
        attempt: Attempt,
        begun: Begun,
        _cancel: CancellationToken,
    ) -> BoxFuture<'static, NodeResult> {
        async move {
            begun(None).await;
            let id = &attempt.plan.node(attempt.node).id;
            let why = format!(
                "{id} runs a command, which this controller does not; it should have been refused"
            );
            ended(NodeStatus::Failed, Some(why))
        }
        .boxed()
    }

    fn workload(
        &self,
        attempt: Attempt,
        begun: Begun,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, NodeResult> {
        let this = self.clone();
        async move {
            begun(None).await;
            let node = attempt.plan.node(attempt.node);
            let action = node.action.clone();
            let limit = node.timeout.unwrap_or(this.deadline);
            tokio::select! {
                result = this.act(&action) => match result {
                    Ok(()) => ended(NodeStatus::Completed, None),
                    Err(why) => ended(NodeStatus::Failed, Some(why)),
                },
                () = cancel.cancelled() => ended(NodeStatus::Cancelled, Some("called off".to_owned())),
                () = tokio::time::sleep(limit) => {
                    let why = format!("not done within {limit:?}: {}", this.waited(&action));
                    ended(NodeStatus::TimedOut, Some(why))
                }
            }
        }
        .boxed()
    }

    fn verify(&self, _attempt: Attempt) -> BoxFuture<'static, Result<bool, String>> {
        async { Err("it has no command that could say so".to_owned()) }.boxed()
    }

    fn end_process(&self, _process: ProcessMark) -> BoxFuture<'static, ()> {
        // No process of a run lives in a controller.
        std::future::ready(()).boxed()
    }
}
