//! A workflow as the OSOP schema describes it (1.x and 2.x are one dialect), every value with its place.
//!
//! This is the file, not yet its meaning: conditions are text, joins and cycles are not looked at. The plan is made from it.

use std::sync::Arc;
use std::time::Duration;

use super::runtime::Runtime;
use super::tree::{Map, Value};
use super::word::words;
use crate::diagnostic::{SourceFile, Span, Spanned};

/// Text that was written somewhere.
pub type Text = Spanned<String>;

/// More nodes than this are refused.
pub const MAX_NODES: usize = 2_000;
/// More edges than this are refused.
pub const MAX_EDGES: usize = 10_000;

/// An OSOP file.
#[derive(Clone, Debug)]
pub struct Workflow {
    /// The file it was read from.
    pub file: Arc<SourceFile>,
    /// The whole document.
    pub span: Span,
    /// Major version 1 or 2.
    pub osop_version: Text,
    /// Name for machines.
    pub id: Text,
    /// Name for people.
    pub name: Text,
    /// What it is for.
    pub description: Option<Text>,
    /// Who answers for it.
    pub owner: Option<Text>,
    /// Version of the workflow itself.
    pub version: Option<Text>,
    /// Who may see it.
    pub visibility: Option<Spanned<Visibility>>,
    /// Where in its life it is.
    pub status: Option<Spanned<Status>>,
    /// What it is used as.
    pub usage: Option<Spanned<Usage>>,
    /// Words to find it by.
    pub tags: Vec<Text>,
    /// Roles that take part.
    pub roles: Vec<Text>,
    /// A workflow that this one extends.
    pub extends: Option<Text>,
    /// Files that this one refers to.
    pub imports: Vec<Text>,
    /// What starts it.
    pub triggers: Vec<Trigger>,
    /// Values for `${name}`: defaults that a profile and `--set` override.
    pub variables: Map,
    /// Environment of its commands.
    pub env: Vec<(Text, Text)>,
    /// Operating systems it runs on.
    pub platforms: Vec<Spanned<Platform>>,
    /// 0 to 3.
    pub conformance_level: Option<Spanned<u64>>,
    /// Bound of the whole run.
    pub timeout: Option<Spanned<Duration>>,
    /// Its nodes in the order of the file; ids are unique.
    pub nodes: Vec<Node>,
    /// Its edges in the order of the file; both ends exist.
    pub edges: Vec<Edge>,
    /// Secrets and permissions of the whole workflow.
    pub security: Option<WorkflowSecurity>,
    /// The rest of the schema, which has no meaning for running a release: `metadata`, `schemas`, `workflow_type`,
    /// `message_contracts`, `tests`, `views`, `observability`, `evolution`, `ledger`. Checked, and kept as written.
    pub descriptive: Map,
    /// `x-canary` as written; `settings::merge` gives it meaning.
    pub x_canary: Option<Value>,
    /// All other `x-*` keys.
    pub extensions: Map,
    /// What was refused and is not there.
    pub lost: Lost,
}

/// What of a workflow was refused and is not there, so that its absence says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// A node, or its outputs: a name that nobody gives may be one of them.
    pub nodes: bool,
    /// An edge: a node that nothing leads to may be its target.
    pub edges: bool,
}

impl Workflow {
    /// The node with this id.
    pub fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id.value == id)
    }
}

words! {
    /// Who may see a workflow.
    pub enum Visibility { Public = "public", Private = "private" }
}
words! {
    /// Where in its life a workflow is.
    pub enum Status { Draft = "draft", Active = "active", Deprecated = "deprecated", Template = "template" }
}
words! {
    /// What a workflow is used as.
    pub enum Usage { Plan = "plan", Execution = "execution", Template = "template", Reference = "reference" }
}
words! {
    /// An operating system.
    pub enum Platform {
        Linux = "linux", Windows = "windows", Macos = "macos", Ios = "ios", Android = "android", Web = "web", Any = "any",
    }
}
words! {
    /// What starts a workflow.
    pub enum TriggerType { Cron = "cron", Webhook = "webhook", GitPush = "git_push", Manual = "manual", Event = "event" }
}

/// What starts a workflow.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// Kind of trigger.
    pub kind: Spanned<TriggerType>,
    /// Its parameters.
    pub config: Map,
}

/// Secrets and permissions of a whole workflow.
#[derive(Clone, Debug, Default)]
pub struct WorkflowSecurity {
    /// Where secrets come from.
    pub secrets_provider: Option<Text>,
    /// Permissions of every node.
    pub default_permissions: Vec<Text>,
    /// Actions that a person has to approve.
    pub approval_required_for: Vec<Text>,
}

words! {
    /// What a node is.
    pub enum NodeType {
        /// A person decides or does something.
        Human = "human",
        /// A language model.
        Agent = "agent",
        /// An HTTP request.
        Api = "api",
        /// A shell command.
        Cli = "cli",
        /// A database.
        Db = "db",
        /// A Git repository.
        Git = "git",
        /// Images and containers.
        Docker = "docker",
        /// A pipeline elsewhere.
        Cicd = "cicd",
        /// A tool over the Model Context Protocol.
        Mcp = "mcp",
        /// Something of the system that runs the workflow.
        System = "system",
        /// kubectl, helm, terraform and the like, and canary's own actions.
        Infra = "infra",
        /// Data processing.
        Data = "data",
    }
}

/// One step of a workflow.
#[derive(Clone, Debug)]
pub struct Node {
    /// The whole mapping.
    pub span: Span,
    /// Unique name; letters, digits, `_`, `-` and `.`.
    pub id: Text,
    /// What it is.
    pub node_type: Spanned<NodeType>,
    /// What it is for.
    pub purpose: Option<Text>,
    /// Name for people.
    pub name: Option<Text>,
    /// Kind within its type.
    pub subtype: Option<Text>,
    /// Who does it.
    pub role: Option<Text>,
    /// Who answers for it.
    pub owner: Option<Text>,
    /// More about it.
    pub description: Option<Text>,
    /// How it is executed.
    pub runtime: Runtime,
    /// What it needs.
    pub inputs: Vec<Port>,
    /// What it gives.
    pub outputs: Vec<Port>,
    /// When it counts as done, in words.
    pub success_criteria: Vec<Text>,
    /// What may go wrong, in words.
    pub failure_modes: Vec<Text>,
    /// How often it is tried again.
    pub retry: Option<RetryPolicy>,
    /// Bound of one attempt.
    pub timeout: Option<Spanned<Duration>>,
    /// Whether it may run twice.
    pub idempotency: Option<Idempotency>,
    /// Why it is there.
    pub explain: Option<Explain>,
    /// Secrets and permissions.
    pub security: Option<NodeSecurity>,
    /// A person has to agree before it runs. From `approval_gate`, or from `approval_gate` under `security`.
    pub approval: Option<ApprovalGate>,
    /// The node it belongs to.
    pub parent: Option<Text>,
    /// A workflow that this node stands for.
    pub workflow_ref: Option<Text>,
    /// Inputs of that workflow.
    pub workflow_inputs: Map,
    /// `x-role`: `rollback` marks the node that takes a release back.
    pub x_role: Option<Text>,
    /// All other keys as written; a node is open.
    pub extras: Map,
    /// Its type is not known: it was refused, and is here for what refers to it.
    pub refused: bool,
}

impl Node {
    /// Whether it takes a release back: `x-role: rollback`, or `rollback` as its id or subtype.
    pub fn is_rollback(&self) -> bool {
        let is = |text: &Option<Text>| text.as_ref().is_some_and(|text| text.value == "rollback");
        is(&self.x_role) || is(&self.subtype) || self.id.value == "rollback"
    }
}

/// An input or output: a bare name, or a mapping with a `name`.
#[derive(Clone, Debug)]
pub struct Port {
    /// The whole entry.
    pub span: Span,
    /// Its name.
    pub name: Text,
    /// Unit of a measured value, for example `ms` or `ratio`.
    pub unit: Option<Text>,
    /// Type, in words.
    pub kind: Option<Text>,
    /// Whether it must be there.
    pub required: Option<Spanned<bool>>,
    /// All other keys as written.
    pub extras: Map,
}

words! {
    /// How the wait before another attempt grows.
    pub enum Backoff {
        /// The same wait every time.
        Fixed = "fixed",
        /// Twice the wait every time.
        Exponential = "exponential_backoff",
    }
}

/// How often a node is tried again.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// The whole mapping.
    pub span: Span,
    /// Attempts after the first one; default 0.
    pub max_retries: Spanned<u32>,
    /// Default fixed.
    pub strategy: Spanned<Backoff>,
    /// Wait before the first retry; default 0.
    pub backoff: Spanned<Duration>,
    /// `x-*` keys.
    pub extensions: Map,
}

/// Whether a node may run twice.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// Running it again does no harm.
    pub enabled: Spanned<bool>,
    /// What tells two runs apart.
    pub key: Option<Text>,
}

/// Why something is there: a text, or `why`, `what` and `result`.
#[derive(Clone, Debug, Default)]
pub struct Explain {
    /// The text, or `why`.
    pub why: Option<Text>,
    /// What it does.
    pub what: Option<Text>,
    /// What comes out.
    pub result: Option<Text>,
}

/// Secrets and permissions of a node.
#[derive(Clone, Debug)]
pub struct NodeSecurity {
    /// The whole mapping.
    pub span: Span,
    /// What it may do.
    pub permissions: Vec<Text>,
    /// Names of secrets, never their values.
    pub secrets: Vec<Text>,
    /// Names of credentials, for example environment variables.
    pub credentials: Vec<Text>,
    /// How dangerous it is, in words.
    pub risk_level: Option<Text>,
    /// How it authenticates, for example `bearer_token`.
    pub auth: Option<Text>,
    /// Name of the secret it authenticates with.
    pub secret_ref: Option<Text>,
    /// Where its credentials come from.
    pub credentials_source: Option<Text>,
    /// All other keys as written.
    pub extras: Map,
}

/// A person has to agree. All forms of the file come out as this one.
#[derive(Clone, Debug)]
pub struct ApprovalGate {
    /// The whole value.
    pub span: Span,
    /// Whether an approval is needed. A mapping without `required` asks for one.
    pub required: Spanned<bool>,
    /// How many people must agree; `min_approvals`, `required_approvers`; default 1.
    pub approvals: Spanned<u32>,
    /// Role that may approve.
    pub approver_role: Option<Text>,
    /// People who may approve; empty means anybody who may operate the release.
    pub approvers: Vec<Text>,
    /// `timeout_hours`, `timeout_min` or `timeout_sec`; none waits for ever.
    pub timeout: Option<Spanned<Duration>>,
    /// Whether it may be passed by.
    pub bypass_allowed: Option<Spanned<bool>>,
    /// All other keys as written.
    pub extras: Map,
}

words! {
    /// When an edge is taken.
    pub enum EdgeMode {
        /// After its source has completed; the default.
        Sequential = "sequential",
        /// If its condition holds.
        Conditional = "conditional",
        /// Beside other edges of the same source.
        Parallel = "parallel",
        /// Again while its condition holds, or for each item.
        Loop = "loop",
        /// When something happens.
        Event = "event",
        /// If its source failed.
        Fallback = "fallback",
        /// If its source failed in a certain way.
        Error = "error",
        /// If its source took too long.
        Timeout = "timeout",
        /// Starts children.
        Spawn = "spawn",
        /// One of several, by value.
        Switch = "switch",
    }
}
words! {
    /// How a node with several incoming edges waits.
    pub enum JoinMode { All = "wait_all", Any = "wait_any", Count = "wait_n" }
}

/// A way from one node to another.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The whole mapping.
    pub span: Span,
    /// Id of its source.
    pub from: Text,
    /// Id of its target.
    pub to: Text,
    /// When it is taken; its place is the edge's where it is not written.
    pub mode: Spanned<EdgeMode>,
    /// The condition, from `when` or its alias `condition`.
    pub when: Option<Text>,
    /// Text for people.
    pub label: Option<Text>,
    /// Why it is there.
    pub explain: Option<Explain>,
    /// How many children a spawn edge starts; default 1.
    pub spawn_count: Option<Spanned<u32>>,
    /// Expression that gives the items of a loop.
    pub for_each: Option<Text>,
    /// Name of the item in a loop.
    pub iterator_var: Option<Text>,
    /// How its target waits.
    pub join: Option<Join>,
    /// Targets by value, for a switch.
    pub cases: Vec<Case>,
    /// Target when no case fits.
    pub default_to: Option<Text>,
    /// `x-optional`: no blocked run when this condition does not hold.
    pub optional: Option<Spanned<bool>>,
    /// `x-max-iterations`: how often a cycle through this edge may go round.
    pub max_iterations: Option<Spanned<u32>>,
    /// All other `x-*` keys.
    pub extensions: Map,
}

/// How a node with several incoming edges waits.
#[derive(Clone, Copy, Debug)]
pub struct Join {
    /// For all, any or a number of them.
    pub mode: Spanned<JoinMode>,
    /// The number, with `wait_n`.
    pub count: Option<Spanned<u32>>,
}

/// One case of a switch.
#[derive(Clone, Debug)]
pub struct Case {
    /// The whole mapping.
    pub span: Span,
    /// The value it stands for.
    pub value: Option<Value>,
    /// Id of its target.
    pub to: Text,
}
