//! What comes into the machine: everything that happened, each journaled with its time.

use std::collections::BTreeMap;

use canary_analyzer::gate::Measurement;
use canary_traffic::Weight;
use serde::{Deserialize, Serialize};

use crate::plan::{GateIndex, NodeIndex};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// The first event of a run.
    Started,
    /// A driver took the run over after a crash or a leave: nothing was watched since the event before.
    Resumed,
    /// An executor began an attempt; `process` lets a later driver find and end what is left of it.
    NodeStarted {
        /// Which.
        node: NodeIndex,
        /// 1-based.
        attempt: u32,
        /// The process group, where there is one.
        process: Option<ProcessMark>,
    },
    /// An attempt ended and was seen to end.
    NodeFinished {
        /// Which.
        node: NodeIndex,
        /// 1-based.
        attempt: u32,
        /// How.
        result: NodeResult,
    },
    /// `runtime.verify` of an attempt in doubt answered.
    NodeVerified {
        /// Which.
        node: NodeIndex,
        /// 1-based.
        attempt: u32,
        /// True: it had finished; false: it had not; error: nobody knows.
        finished: Result<bool, String>,
    },
    /// A gate was measured.
    Measured {
        /// Which gate.
        gate: GateIndex,
        /// For whom.
        watch: Watch,
        /// What came out.
        measurement: Measurement,
    },
    /// The router was read: after a write (`command` is that of the `SetWeight`), or because it was asked for.
    WeightObserved {
        /// Id of the command that this answers.
        command: u64,
        /// What the router says.
        weight: Weight,
        /// The data plane follows it; if not, why.
        pending: Option<String>,
        /// Who set it, where the router knows and it was not us.
        foreign: Option<String>,
        /// Requests seen since that weight was set (canary, all), where the router counts them.
        seen: Option<(u64, u64)>,
    },
    /// The router could not be read or written.
    WeightFailed {
        /// Id of the command that this answers.
        command: u64,
        /// What was tried and what came back.
        error: String,
    },
    /// The router was looked at beside everything, or said so by itself: its weight is not the one that was observed last.
    /// Only a hint: the machine asks for itself.
    WeightChanged {
        /// What it is now.
        weight: Weight,
        /// Who set it, where the router knows and it was not us.
        foreign: Option<String>,
    },
    /// What the canary cost so far was counted.
    CostCounted {
        /// Requests that the canary answered, and how many of them badly; `None`: not known.
        cost: Option<Cost>,
    },
    /// The canary's own instances say that it cannot serve: a crash loop, an image that is not there. Nothing needs to be
    /// measured then.
    WorkloadFailed {
        /// Their words.
        why: String,
    },
    /// The time of the last [`super::Wake`] has come.
    Timer,
    /// A person, or a program for them, asked for something.
    Operator {
        /// What.
        action: OperatorAction,
        /// Who.
        by: String,
        /// Why, in their words.
        reason: Option<String>,
    },
    /// A notification was taken by its receiver, or given up.
    Notified {
        /// Id of the `Notify` command.
        notification: u64,
        /// Channel.
        channel: String,
        /// What went wrong for good.
        error: Option<String>,
    },
}

/// For whom a gate is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watch {
    /// As a guard.
    Guard,
    /// In an analysis of this node.
    Node(NodeIndex),
}

/// Enough to find a process group again and to know that it is the same one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessMark {
    /// Process id of the leader; also the id of its group.
    pub pid: u32,
    /// Start time in clock ticks since boot (`/proc/PID/stat`, field 22), so that a reused pid is not mistaken.
    pub start_ticks: u64,
    /// Boot id of the machine.
    pub boot: String,
    /// What processes of the attempt carry in their environment (`CANARY_PROCESS`): finds those that left the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeResult {
    /// How.
    pub status: NodeStatus,
    /// Declared outputs that were bound, and what is always there (`exit_code`, `stdout`, `http_status`, ...). Redacted, bounded.
    pub outputs: BTreeMap<String, serde_json::Value>,
    /// One sentence: what was tried, what came back, what to do.
    pub error: Option<String>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeStatus {
    /// Did what it should.
    Completed,
    /// Did not.
    Failed,
    /// Took longer than its bound.
    TimedOut,
    /// Has an answer that decides nothing (no data, NaN, several series, source unreachable).
    Inconclusive,
    /// Was ended by a `CancelNode`.
    Cancelled,
}

/// What the canary cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Requests that the canary answered.
    pub requests: u64,
    /// How many of them were answered with an error.
    pub bad: u64,
}

/// What a person may ask for. The words mean what they mean in Argo's CLI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum OperatorAction {
    /// Take traffic off at once and go back.
    Abort {
        /// The signal that asked for it, where one did (1, 2 or 15): it chooses the exit code.
        signal: Option<i32>,
    },
    /// Go on: past a pause, a blocked check, a running soak, or an approval. Full: straight to 100 %.
    Promote {
        /// Skip every remaining check (guards stay).
        full: bool,
    },
    /// Start nothing new; guards and checks go on.
    Pause,
    /// Go on after a pause.
    Resume,
    /// Try the blocked or failed check again.
    Retry,
    /// Agree to, or refuse, one approval.
    Answer {
        /// Node id.
        node: String,
        /// Agree.
        approve: bool,
    },
}
