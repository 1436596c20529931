//! Carries nodes out with the executors of this crate.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::machine::{NodeResult, NodeStatus, ProcessMark, Report, State};
use crate::node::spec::{ProcessSpec, ShellWork, TaskSpec, Work};
use crate::node::{self, Context, Shared};
use crate::osop::model::Text;
use crate::plan::template::{Lookup, Reference, RunValues, Script, Template};
use crate::plan::{Action, Node, NodeIndex, Plan};
use crate::run::driver::{Attempt, Begun, Executor};
use crate::run::store::RunDirectory;

/// Executes nodes as processes, HTTP requests and queries.
#[derive(Clone)]
pub struct NodeExecutor {
    run: RunDirectory,
    /// Everything but the report, which each attempt brings.
    shared: Arc<dyn Fn(Arc<Report>) -> Shared + Send + Sync>,
}

impl NodeExecutor {
    /// `shared` makes what all attempts of the run share, for the report of the moment.
    pub fn new(
        run: RunDirectory,
        shared: Arc<dyn Fn(Arc<Report>) -> Shared + Send + Sync>,
    ) -> Self {
        Self { run, shared }
    }

    fn context(&self, attempt: &Attempt) -> Context {
        let id = &attempt.plan.node(attempt.node).id;
        Context {
            shared: Arc::new((self.shared)(Arc::clone(&attempt.report))),
            attempt: attempt.attempt,
            iteration: attempt.iteration,
            log: self.run.node_log(id, attempt.iteration, attempt.attempt),
            values: Arc::new(Known {
                plan: Arc::clone(&attempt.plan),
                state: Arc::clone(&attempt.state),
                iteration: attempt.iteration,
            }),
            evidence_since: attempt.evidence_since,
        }
    }

    async fn carry_out(
        self,
        task: TaskSpec,
        attempt: Attempt,
        begun: Begun,
        cancel: CancellationToken,
    ) -> NodeResult {
        let node = attempt.plan.node(attempt.node).clone();
        let context = self.context(&attempt);
        node::execute(&task, &node, context, move |mark| begun(mark), cancel).await
    }
}

/// What templates may name, as it was when the attempt started.
struct Known {
    plan: Arc<Plan>,
    state: Arc<State>,
    iteration: u32,
}

impl Lookup for Known {
    fn get(&self, reference: &Reference) -> Option<serde_json::Value> {
        let outputs = |node: &str, name: &str| {
            let node = self.plan.find(node)?;
            self.state.outputs(node).get(name).cloned()
        };
        RunValues {
            values: &self.plan.values,
            outputs,
            iteration: self.iteration,
        }
        .get(reference)
    }
}

/// The task of a node that has one.
fn task(plan: &Plan, node: NodeIndex) -> Option<TaskSpec> {
    match &plan.node(node).action {
        Action::Task(task) | Action::Measure(task) => Some(task.clone()),
        _ => None,
    }
}

/// The workload's own command for a node, as a task; `None` where the settings name none.
fn workload_task(plan: &Plan, node: NodeIndex) -> Option<Result<TaskSpec, String>> {
    let workload = &plan.settings.workload;
    let (command, replicas): (&Text, Option<u32>) = match plan.node(node).action {
        Action::Promote => (workload.promote.as_ref()?, None),
        Action::Rollback => (workload.rollback.as_ref()?, None),
        Action::Scale(replicas) => (workload.scale.as_ref()?, Some(replicas)),
        _ => return None,
    };
    let script = match Script::parse(&command.value, false) {
        Ok(script) => script,
        Err(errors) => {
            let why = errors
                .first()
                .map_or_else(String::new, |error| error.message.clone());
            return Some(Err(format!("the workload's command cannot be run: {why}")));
        }
    };
    let replicas = replicas.map(|replicas| {
        (
            "CANARY_REPLICAS".to_owned(),
            Template::literal(&replicas.to_string()),
        )
    });
    let process = ProcessSpec {
        environment: replicas.into_iter().collect(),
        ..ProcessSpec::default()
    };
    Some(Ok(TaskSpec {
        work: Work::Shell(ShellWork {
            script,
            bash: false,
            process,
        }),
        verify: None,
        secrets: Vec::new(),
    }))
}

fn failed(error: impl Into<String>) -> NodeResult {
    NodeResult {
        status: NodeStatus::Failed,
        outputs: std::collections::BTreeMap::new(),
        error: Some(error.into()),
    }
}

fn completed() -> NodeResult {
    NodeResult {
        status: NodeStatus::Completed,
        outputs: std::collections::BTreeMap::new(),
        error: None,
    }
}

impl Executor for NodeExecutor {
    fn execute(
        &self,
        attempt: Attempt,
        begun: Begun,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, NodeResult> {
        let this = self.clone();
        async move {
            match task(&attempt.plan, attempt.node) {
                Some(task) => this.carry_out(task, attempt, begun, cancel).await,
                None => failed(
                    "nothing carries this node out; this is a defect of canary, please report it",
                ),
            }
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
            match workload_task(&attempt.plan, attempt.node) {
                // Nothing to do: the weight is what there is.
                None => {
                    begun(None).await;
                    completed()
                }
                Some(Ok(task)) => this.carry_out(task, attempt, begun, cancel).await,
                Some(Err(why)) => {
                    begun(None).await;
                    failed(why)
                }
            }
        }
        .boxed()
    }

    fn verify(&self, attempt: Attempt) -> BoxFuture<'static, Result<bool, String>> {
        let this = self.clone();
        async move {
            let node: Node = attempt.plan.node(attempt.node).clone();
            match task(&attempt.plan, attempt.node) {
                Some(task) => {
                    node::verify(
                        &task,
                        &node,
                        this.context(&attempt),
                        CancellationToken::new(),
                    )
                    .await
                }
                None => Err("it has no command that could say so".to_owned()),
            }
        }
        .boxed()
    }

    fn end_process(&self, process: ProcessMark) -> BoxFuture<'static, ()> {
        let run = self.run.id().to_owned();
        async move {
            let ended = node::end_process(&process, &run).await;
            tracing::info!(?process, ?ended, "ended what an earlier process left");
        }
        .boxed()
    }
}
