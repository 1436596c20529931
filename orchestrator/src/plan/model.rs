//! A plan: a workflow parsed, checked and resolved. It is pure data; a run keeps the plan's inputs and compiles
//! the same plan again when it is resumed.

use std::collections::BTreeMap;
use std::time::Duration;

use canary_analyzer::expr::Condition;
use canary_analyzer::gate::Gate;
use canary_analyzer::unit::Unit;
use canary_traffic::Weight;
use serde::{Deserialize, Serialize};

use crate::osop::settings::Settings;

/// A workflow parsed, checked and resolved: everything that the machine needs to know of it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Id of the workflow.
    pub id: String,
    /// Name of the workflow, for people.
    pub name: String,
    /// What is released; the workflow's id where `x-canary.service` is not given.
    pub service: String,
    /// Nodes, sub-workflows flattened; an inner node's id is `call/inner`, and its `scope` is the call.
    pub nodes: Vec<Node>,
    /// Edges between nodes of the same scope.
    pub edges: Vec<Edge>,
    /// All gates of the plan, by index.
    pub gates: Vec<Gate>,
    /// Gates watched from the first weight above 0 until the end of the bake.
    pub guards: Vec<GateIndex>,
    /// How long 100 % is watched before the run counts as promoted.
    pub bake: Duration,
    /// How long to wait for evidence and for people.
    pub deadlines: Deadlines,
    /// What a failure does with the weight.
    pub on_failure: OnFailure,
    /// Bound of the whole run (`timeout_sec` at the top level); passing it is a failure.
    pub timeout: Option<Duration>,
    /// Inputs, variables and environment that expressions and templates may name; never a secret.
    pub values: Values,
    /// Everything of `x-canary` that executors need: sources, router, channels. The machine does not look at it.
    pub settings: Settings,
    /// Fingerprint of the inputs, to notice that a resumed plan is another one.
    pub hash: String,
}

/// What expressions and templates may name besides outputs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Values {
    /// `inputs.*`, from `variables:` defaults, the profile and `--set`.
    pub variables: BTreeMap<String, serde_json::Value>,
    /// Variables that are not written as their value is (`1.10`, `0755`, `1e3`, `True`): texts get them as they are written,
    /// conditions get the value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub written: BTreeMap<String, String>,
    /// `env.*` and bare names that the workflow asks for, as they were when the run started.
    pub environment: BTreeMap<String, String>,
    /// `metadata.*`.
    pub metadata: BTreeMap<String, serde_json::Value>,
}

/// Index of a node in [`Plan::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeIndex(pub usize);

/// Index of an edge in [`Plan::edges`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EdgeIndex(pub usize);

/// Index of a gate in [`Plan::gates`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GateIndex(pub usize);

/// One node.
#[derive(Debug, Clone)]
pub struct Node {
    /// Id, unique in the plan.
    pub id: String,
    /// OSOP type as written: `cli`, `api`, `infra`, ...
    pub kind: String,
    /// What it is for, for people.
    pub purpose: String,
    /// The call that this node is inside of.
    pub scope: Option<NodeIndex>,
    /// What it does.
    pub action: Action,
    /// When it starts, given its incoming edges (S1).
    pub join: Join,
    /// Attempts after the first.
    pub retry: Retry,
    /// Bound of one attempt.
    pub timeout: Option<Duration>,
    /// A person must agree before it starts.
    pub approval: Option<Approval>,
    /// Declared outputs.
    pub outputs: Vec<Output>,
    /// This is the rollback node (`x-role: rollback`, or id or subtype `rollback`).
    pub rollback: bool,
    /// May run again when it is not known whether it finished.
    pub idempotent: bool,
    /// Has `runtime.verify`, which decides whether it had finished.
    pub verifiable: bool,
}

/// What a node does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Something that an executor carries out (cli, api, docker, infra, git, cicd). Opaque to the machine.
    Task(Task),
    /// Queries that bind outputs; may end inconclusive. Carried out by an executor.
    Measure(Task),
    /// Ask a person (`human`).
    Ask(Approval),
    /// Native: set the canary's weight and wait until it is observed.
    SetWeight(Weight),
    /// Native: judge gates over a step.
    Analyze(Analyze),
    /// Native: weight 100, bake, and make the workload the new version.
    Promote,
    /// Native: weight 0, and put the workload back.
    Rollback,
    /// Native: wait until the share of requests seen agrees with the weight.
    VerifyWeight(VerifyWeight),
    /// Native: change how many instances the canary has, by the workload's command.
    Scale(u32),
    /// Call of a sub-workflow: starts the roots of its scope, ends when the scope is settled.
    Call,
}

/// What an executor carries out; its shape per type is the executor's (`orchestrator::node`), built by the compiler.
pub type Task = crate::node::spec::TaskSpec;

/// Native `analyze`.
#[derive(Debug, Clone, PartialEq)]
pub struct Analyze {
    /// What is judged; not empty.
    pub gates: Vec<GateIndex>,
    /// Soak: judge for this long; `None`: until every gate has decided by its count.
    pub duration: Option<Duration>,
}

/// Native `verify-weight`.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifyWeight {
    /// Expected weight; `None`: the one that was set last.
    pub weight: Option<Weight>,
    /// Allowed difference in percent points.
    pub tolerance: f64,
    /// Requests needed before it is judged.
    pub min_requests: u64,
}

/// A question to a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// What is asked.
    pub prompt: String,
    /// Who may answer; empty: anyone who may operate the run.
    pub approvers: Vec<String>,
    /// How many different people must agree; at least 1.
    pub required: u32,
    /// After this long without an answer the node times out.
    pub timeout: Option<Duration>,
}

/// A declared output.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Name, as expressions use it.
    pub name: String,
    /// Unit of a number, where it is declared or known by convention (S9).
    pub unit: Option<Unit>,
}

/// When a node starts, given its incoming edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// All resolved, at least one taken (S1).
    Settled,
    /// Every incoming edge taken (`join_mode: wait_all`).
    All,
    /// As soon as one is taken (`join_mode: any`).
    Any,
    /// As soon as this many are taken (`join_mode: n`).
    Count(u32),
}

/// Attempts after the first (S10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts after the first.
    pub max_retries: u32,
    /// Pause before attempt 2.
    pub backoff: Duration,
    /// Double the pause for each further attempt.
    pub exponential: bool,
}

/// One edge.
#[derive(Debug, Clone)]
pub struct Edge {
    /// Source.
    pub from: NodeIndex,
    /// Target.
    pub to: NodeIndex,
    /// When it is taken.
    pub mode: EdgeMode,
    /// For people.
    pub label: Option<String>,
    /// Leads to an ancestor: taking it starts the next iteration of the nodes between (S12).
    pub back: bool,
    /// Iterations allowed of a back edge; at least 1.
    pub max_iterations: u32,
    /// `x-optional: true`: that nothing is taken here does not block the run (S4).
    pub optional: bool,
}

/// When an edge is taken (S2, S3).
#[derive(Debug, Clone)]
pub enum EdgeMode {
    /// After the source completed.
    Sequential,
    /// After the source completed; a fork.
    Parallel,
    /// After the source completed, if the condition is true.
    Conditional(Condition),
    /// After the source completed, if no other conditional edge of it is true (`else`, `otherwise`).
    Otherwise,
    /// After the source completed: one of these is taken, the first whose condition is true, else the default.
    Switch(SwitchCase),
    /// After the source failed; the condition, where there is one, is a failure test of each attempt (S3).
    Fallback(Option<Condition>),
    /// After the source failed, if the condition over its outputs and `error` is true.
    Error(Option<Condition>),
    /// After the source timed out.
    Timeout,
    /// Like conditional, to an ancestor or itself.
    Loop(Option<Condition>),
}

/// One arm of a switch; the arms of one source are tried in the order of the edges.
#[derive(Debug, Clone)]
pub enum SwitchCase {
    /// Taken if it is the first that is true.
    When(Condition),
    /// Taken if none is true.
    Default,
}

/// How long to wait for evidence and for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Absence of data is pending for this long after the weight was observed; `None`: 3 intervals of the gate.
    pub evidence: Option<Duration>,
    /// A blocked run becomes a failure after this long.
    pub decision: Duration,
}

/// What a failure does with the weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Weight 0, then the way back.
    #[default]
    Rollback,
    /// Keep the weight, and say loudly what to run.
    Hold,
}

impl Plan {
    /// The node of that index.
    pub fn node(&self, index: NodeIndex) -> &Node {
        &self.nodes[index.0]
    }

    /// The gate of that index.
    pub fn gate(&self, index: GateIndex) -> &Gate {
        &self.gates[index.0]
    }

    /// The node of that id.
    pub fn find(&self, id: &str) -> Option<NodeIndex> {
        self.nodes
            .iter()
            .position(|node| node.id == id)
            .map(NodeIndex)
    }
}
