//! What comes out of the machine: what to do next.

use std::time::Duration;

use canary_traffic::Weight;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::Watch;
use super::outcome::Outcome;
use crate::plan::{GateIndex, NodeIndex};

/// Something to carry out. Journaled before it is, but for `SetWeight` that takes traffic off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Start an attempt of a `Task` or `Measure` node. Answered by `NodeStarted` and `NodeFinished`.
    StartNode {
        /// Which.
        node: NodeIndex,
        /// 1-based; it is the idempotency key together with node and iteration.
        attempt: u32,
        /// How often the node was activated before (loops).
        iteration: u32,
        /// Evidence from before this time says nothing about the present weight.
        evidence_since: Option<Timestamp>,
    },
    /// End an attempt: its process group or request. Answered by `NodeFinished`.
    CancelNode {
        /// Which.
        node: NodeIndex,
        /// 1-based.
        attempt: u32,
        /// For people.
        reason: String,
    },
    /// Ask `runtime.verify` whether an attempt in doubt had finished. What is left of its processes is ended first. Answered by `NodeVerified`.
    VerifyNode {
        /// Which.
        node: NodeIndex,
        /// 1-based.
        attempt: u32,
    },
    /// End what is left of an attempt in doubt; nothing is answered.
    EndProcess {
        /// Which.
        node: NodeIndex,
        /// The group.
        process: super::event::ProcessMark,
    },
    /// Write the weight and read it back. Answered by `WeightObserved` or `WeightFailed`.
    SetWeight {
        /// Id of this command.
        command: u64,
        /// What to write.
        weight: Weight,
    },
    /// Read the weight. Answered by `WeightObserved` or `WeightFailed`.
    ObserveWeight {
        /// Id of this command.
        command: u64,
    },
    /// Measure a gate now over `[since, now]` or the gate's window, whichever is shorter. Answered by `Measured`.
    Measure {
        /// Which gate.
        gate: GateIndex,
        /// For whom.
        watch: Watch,
        /// Evidence from before this time does not count.
        since: Timestamp,
    },
    /// Count what the canary cost since it first had traffic. Answered by `CostCounted`.
    CountCost {
        /// When the canary first had traffic.
        since: Timestamp,
    },
    /// Run the workload's own command (`x-canary.workload`). Answered by `NodeFinished` of that node.
    Workload {
        /// The node that asked: `Promote`, `Rollback` or `Scale`.
        node: NodeIndex,
        /// 1-based.
        attempt: u32,
    },
    /// Tell people. Written to the outbox, sent beside everything else.
    Notify(Notification),
    /// The run has ended.
    Finish {
        /// How.
        outcome: Outcome,
    },
}

/// A message to people; its text is rendered from it and the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// Unique in the run: the receiver's idempotency key is made of run and this.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// What kind of news.
    pub topic: Topic,
    /// One sentence: what happened and why, with the value, the limit and since when.
    pub headline: String,
    /// What was done about it, and the state of traffic.
    pub done: String,
    /// What to run next, if anything.
    pub next: Vec<String>,
}

/// What kind of news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// A run started.
    Started,
    /// The weight rose.
    Step,
    /// Somebody must agree.
    Approval,
    /// Paused by a person.
    Paused,
    /// Cannot decide by itself.
    Blocked,
    /// Goes on after a block or a pause.
    Unblocked,
    /// Something failed; traffic is being, or has been, taken off.
    Failing,
    /// Ended: see the outcome.
    Ended,
}

/// When to feed [`super::Event::Timer`] next, and why: one timer, each decision replaces it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wake {
    /// When.
    pub at: Timestamp,
    /// For people: what is looked at then.
    pub why: String,
}

impl Command {
    /// Takes traffic off: idempotent, so it is carried out before it is journaled.
    pub fn takes_traffic_off(&self) -> bool {
        matches!(self, Self::SetWeight { weight, .. } if weight.is_zero())
    }
}

/// Bounded, growing pause between tries of something that must succeed: 0.2 s, doubling, at most 5 s.
pub fn backoff(failures: u32) -> Duration {
    Duration::from_millis((200_u64 << failures.min(10)).min(5_000))
}
