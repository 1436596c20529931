//! What is going on and why, as data: the terminal, the page, the status of an object and every message render this one value.

use std::collections::BTreeMap;

use canary_analyzer::gate::{Phase as MeasurementPhase, Verdict};
use canary_analyzer::unit::Unit;
use canary_traffic::Weight;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::Cost;
use super::operator::Answer;
use super::outcome::Outcome;

/// The state of a run, for people and programs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Workflow id.
    pub workflow: String,
    /// Workflow name.
    pub name: String,
    /// What is released.
    pub service: String,
    /// Where the run stands.
    pub phase: RunPhase,
    /// One sentence: what is going on, or how it ended and why.
    pub headline: String,
    /// The outcome, once it is known.
    pub outcome: Option<Outcome>,
    /// Traffic; `None` when the plan moves none.
    pub traffic: Option<TrafficReport>,
    /// Every node in plan order.
    pub nodes: Vec<NodeReport>,
    /// Every edge in plan order.
    pub edges: Vec<EdgeReport>,
    /// Every gate in plan order.
    pub gates: Vec<GateReport>,
    /// What is waited for and why, most important first; empty when the run has ended.
    pub waits: Vec<Wait>,
    /// What the canary cost, once it was counted.
    pub cost: Option<Cost>,
    /// Notifications: sent, waiting, given up.
    pub notifications: NotificationsReport,
    /// What operators asked for and what came of it, oldest first; the last 20.
    #[serde(default)]
    pub answers: Vec<Answer>,
    /// When the run started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The time this report speaks of.
    pub at: Timestamp,
    /// What a person may run next, most useful first; `RUN` stands for the run's id.
    pub next: Vec<String>,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunPhase {
    /// Not started.
    New,
    /// Nodes run, weight rises, checks are made.
    Progressing,
    /// A person paused it.
    Paused,
    /// It waits for a person to agree to something that the workflow asks.
    Waiting,
    /// It cannot decide by itself; the weight is held.
    Blocked,
    /// At 100 %, watched before it counts.
    Baking,
    /// Something failed or a person aborted: traffic goes off, then the way back runs.
    RollingBack,
    /// Over.
    Ended,
}

/// Traffic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrafficReport {
    /// What canary wants.
    pub desired: Weight,
    /// What the router said last.
    pub observed: Option<Weight>,
    /// Since when the observed weight is in force and watched.
    pub since: Option<Timestamp>,
    /// When the canary first had traffic.
    pub first_at: Option<Timestamp>,
    /// Why observed is not desired, or what is wrong with the router.
    pub problem: Option<String>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Id.
    pub id: String,
    /// OSOP type.
    pub kind: String,
    /// For people.
    pub purpose: String,
    /// What it does in two words: `set weight 10`, `analyze 2 gates`, `sh`.
    pub action: String,
    /// Where it stands.
    pub status: NodePhase,
    /// Attempts made.
    pub attempts: u32,
    /// Iteration, from 1 (loops).
    pub iteration: u32,
    /// Start of the first attempt of this iteration.
    pub started_at: Option<Timestamp>,
    /// End of the last.
    pub ended_at: Option<Timestamp>,
    /// Why it is where it is.
    pub reason: Option<String>,
    /// Outputs.
    pub outputs: BTreeMap<String, serde_json::Value>,
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodePhase {
    /// Its incoming edges are not resolved yet.
    Pending,
    /// Ready, and held back: by a pause, missing fresh evidence, a retry's backoff.
    Ready,
    /// Waits for a person.
    Waiting,
    /// Runs.
    Running,
    /// Started and not seen to finish: a crash lies between.
    InDoubt,
    /// Completed.
    Completed,
    /// Failed.
    Failed,
    /// Timed out.
    TimedOut,
    /// No path leads here.
    Skipped,
    /// Ended before it was through.
    Cancelled,
    /// Cannot start, or nothing that follows it could be chosen.
    Blocked,
}

/// One edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EdgeReport {
    /// Source id.
    pub from: String,
    /// Target id.
    pub to: String,
    /// Mode as written in OSOP.
    pub mode: String,
    /// Where it stands.
    pub status: EdgePhase,
    /// The condition with the values in it.
    pub explanation: Option<String>,
}

/// Where an edge stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EdgePhase {
    /// Its source has not ended.
    Open,
    /// Taken.
    Taken,
    /// Not chosen.
    NotChosen,
    /// Its source failed, and this edge does not handle that.
    Failed,
}

/// One gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateReport {
    /// Name.
    pub name: String,
    /// Node that judges it now or did last; `None`: a guard.
    pub node: Option<String>,
    /// Also watched as a guard.
    pub guard: bool,
    /// What must hold, for people: `< 1 %`.
    pub limit: String,
    /// Unit of the values.
    pub unit: Unit,
    /// Last value.
    pub value: Option<f64>,
    /// How the last measurement counted.
    pub last: Option<MeasurementPhase>,
    /// Last message.
    pub message: Option<String>,
    /// Requests behind the last measurement.
    pub requests: Option<u64>,
    /// The last measurement found nothing to judge yet, and that counts for nothing until then: it is pending.
    #[serde(default)]
    pub pending_until: Option<Timestamp>,
    /// Where it stands.
    pub verdict: Verdict,
    /// Measurements by phase.
    pub passed: u32,
    /// Measurements by phase.
    pub failed: u32,
    /// Failures allowed; `None`: any number.
    pub failure_limit: Option<u32>,
    /// Measurements by phase.
    pub inconclusive: u32,
    /// Measurements by phase.
    pub errors: u32,
    /// Measurements until it has passed, where it counts.
    pub count: Option<u32>,
    /// Last values, oldest first, at most 60; `None` where there was none.
    pub history: Vec<Option<f64>>,
    /// Next measurement.
    pub next_at: Option<Timestamp>,
    /// End of the soak.
    pub until: Option<Timestamp>,
}

/// One thing that is waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// What: `evidence for error-rate`, `approval of deploy`, `node build`.
    pub what: String,
    /// Why: the sentence a person at 3 am needs.
    pub why: String,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Until when at most, and what happens then is said in `why`.
    pub until: Option<Timestamp>,
    /// What to run to get past it; `RUN` stands for the run's id.
    pub unblock: Option<String>,
}

/// Notifications.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationsReport {
    /// Taken by their receivers.
    pub sent: u32,
    /// Written, not yet taken.
    pub waiting: u32,
    /// Given up.
    pub failed: u32,
}
