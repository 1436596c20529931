//! Where a release stands, as its object says it: the report, within bounds.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The spec is understood, and everything that it names is there. False: nothing new is started, and the message says what to do.
pub const CONDITION_READY: &str = "Ready";
/// A run is going on.
pub const CONDITION_PROGRESSING: &str = "Progressing";
/// The last version was not promoted, or the current run needs a person.
pub const CONDITION_DEGRADED: &str = "Degraded";

/// The last version was not promoted: its template is not judged again until it changes, or until `retry` is asked for.
pub const CONDITION_REJECTED: &str = "RejectedTemplate";

/// Where a release stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseStatus {
    /// Raised by every controller that takes the release over; every write tests it, so that one that was overtaken writes
    /// nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// The controller that took it over last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub holder: Option<String>,
    /// The ControllerRevision with what the current run was begun with, until everything about the run is tidied up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub snapshot: Option<String>,
    /// The state of the current run, for whoever goes on with it. Not for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16384))]
    pub checkpoint: Option<String>,
    /// Fingerprint of the template that stable runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub stable: Option<String>,
    /// Fingerprint of a template that was not promoted and is not judged again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub rejected: Option<String>,
    /// Names of the last ReleaseActions that were taken in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 253)))]
    pub handled: Vec<String>,
    /// The `metadata.generation` that this speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<ReleasePhase>,
    /// Name of the current run, or of the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub run: Option<String>,
    /// Node that is at work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub step: Option<String>,
    /// Percent of requests that the canary gets, as observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
    /// Percent that it should get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_weight: Option<i32>,
    /// What goes on, or how it ended and why: one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub why: Option<String>,
    /// What is wrong with the router, or why the observed weight is not the desired one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub traffic_problem: Option<String>,
    /// How the last run ended, once it has: promoted, completed, rolled-back, aborted, held, failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub outcome: Option<String>,
    /// When the run started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub ended_at: Option<Timestamp>,
    /// What is waited for and why, most important first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub waits: Vec<WaitStatus>,
    /// The gates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub gates: Vec<GateStatus>,
    /// The nodes of the graph; those around the one at work, where there are many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub nodes: Vec<NodeStatus>,
    /// What people asked for and what came of it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub answers: Vec<AnswerStatus>,
    /// What a person may run next; `RUN` stands for the release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 256)))]
    pub next: Vec<String>,
    /// The last runs that ended, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub history: Vec<HistoryEntry>,
    /// Ready, Progressing, Degraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A time, RFC 3339.
pub(super) fn time(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "string", "format": "date-time", "nullable": true})
}

/// Where a release stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReleasePhase {
    /// No version is waiting: the workload is what its template says.
    Idle,
    /// Nodes run, weight rises, checks are made.
    Progressing,
    /// A person paused it.
    Paused,
    /// A person must agree to something that the workflow asks.
    Waiting,
    /// It cannot decide by itself; the weight is held.
    Blocked,
    /// At 100 %, watched before it counts.
    Baking,
    /// Traffic goes off, then the way back runs.
    RollingBack,
    /// The last version is the new stable one.
    Promoted,
    /// The workflow came to its end and moved no traffic.
    Completed,
    /// The last version was taken away.
    RolledBack,
    /// A person took the last version away.
    Aborted,
    /// Failed, and the weight was kept as asked for.
    Held,
    /// Failed before traffic moved, or the way back failed.
    Failed,
}

/// One thing that is waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitStatus {
    /// What.
    #[schemars(length(max = 256))]
    pub what: String,
    /// Why.
    #[schemars(length(max = 512))]
    pub why: String,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub since: Option<Timestamp>,
    /// Until when at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub until: Option<Timestamp>,
    /// What to run to get past it; `RUN` stands for the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub unblock: Option<String>,
}

/// One gate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateStatus {
    /// Name.
    #[schemars(length(max = 256))]
    pub name: String,
    /// Last value, with its unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub value: Option<String>,
    /// What must hold.
    #[schemars(length(max = 256))]
    pub limit: String,
    /// pass, fail, inconclusive, error, running.
    #[schemars(length(max = 16))]
    pub verdict: String,
    /// Last message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub message: Option<String>,
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Id.
    #[schemars(length(max = 128))]
    pub id: String,
    /// What it does.
    #[schemars(length(max = 64))]
    pub action: String,
    /// pending, ready, waiting, running, in-doubt, completed, failed, timed-out, skipped, cancelled, blocked.
    #[schemars(length(max = 16))]
    pub status: String,
    /// Why it is where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub reason: Option<String>,
}

/// What somebody asked for and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnswerStatus {
    /// Name of the ReleaseAction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub action: Option<String>,
    /// When it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub at: Option<Timestamp>,
    /// Who asked.
    #[schemars(length(max = 256))]
    pub by: String,
    /// What for.
    #[schemars(length(max = 32))]
    pub verb: String,
    /// What it did, or why it did nothing.
    #[schemars(length(max = 512))]
    pub text: String,
}

/// One run that ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// Its name.
    #[schemars(length(max = 63))]
    pub run: String,
    /// How it ended.
    #[schemars(length(max = 32))]
    pub outcome: String,
    /// Why.
    #[schemars(length(max = 256))]
    pub why: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub ended_at: Option<Timestamp>,
}
