//! What a run remembers. On one machine it is never written: replaying the journal's events makes it again. A cluster keeps a
//! bounded [`super::Checkpoint`] of it instead.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use canary_traffic::Weight;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{Cost, ProcessMark};
use super::failure::Failing;
use super::graph::Graph;
use super::operator::Answer;
use super::outcome::Outcome;
use super::traffic::Traffic;
use super::watch::{Bake, Check, GateWatch};
use crate::plan::{GateIndex, NodeIndex, Plan};

/// The state of a run: the fold of [`super::step()`] over its events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub(super) stage: Stage,
    pub(super) started_at: Option<Timestamp>,
    pub(super) ended_at: Option<Timestamp>,
    /// Time of the last event; time never goes back.
    pub(super) now: Option<Timestamp>,
    /// When the machine wanted to be asked again; much later than that means that nothing was watched in between.
    pub(super) due: Option<Timestamp>,
    pub(super) nodes: Vec<NodeState>,
    pub(super) edges: Vec<EdgeState>,
    /// Nodes that are between their activation and their end.
    pub(super) active: BTreeSet<usize>,
    /// Nodes whose incoming edges changed and that have not been looked at since.
    pub(super) touched: BTreeSet<usize>,
    pub(super) traffic: Traffic,
    pub(super) guards: Vec<GateWatch>,
    /// Guards are watched: the canary has, or may have, traffic.
    pub(super) guarding: bool,
    pub(super) bake: Option<Bake>,
    pub(super) blocks: Vec<Block>,
    pub(super) paused: Option<Paused>,
    /// A person asked for 100 % without further checks.
    pub(super) full: Option<String>,
    /// The `Promote` node, or the bake at the end of the graph, is through.
    pub(super) promoted: bool,
    /// Something that does not change the outcome went wrong: said at the end.
    pub(super) remarks: Vec<String>,
    pub(super) cost: CostCount,
    pub(super) answers: Vec<Answer>,
    pub(super) next_command: u64,
    pub(super) next_notification: u64,
    pub(super) notified: BTreeMap<u64, bool>,
    pub(super) sent: u32,
    pub(super) given_up: u32,
    /// Made of the plan.
    #[serde(skip)]
    pub(super) graph: Arc<Graph>,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    New,
    Forward,
    Failing(Box<Failing>),
    /// Everything is through; what the canary cost is being counted.
    Closing {
        outcome: Outcome,
        why: String,
        until: Timestamp,
    },
    Ended {
        outcome: Outcome,
        why: String,
    },
}

/// One node.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct NodeState {
    #[serde(rename = "l", skip_serializing_if = "unset")]
    pub life: Life,
    /// How often it was activated before.
    #[serde(rename = "i", skip_serializing_if = "unset")]
    pub iteration: u32,
    /// Number of the last attempt; it goes on counting over iterations, so that a late answer is never mistaken.
    #[serde(rename = "a", skip_serializing_if = "unset")]
    pub attempt: u32,
    /// Attempts of earlier iterations.
    #[serde(rename = "base", skip_serializing_if = "unset")]
    pub attempt_base: u32,
    /// Retries used in this iteration.
    #[serde(rename = "r", skip_serializing_if = "unset")]
    pub retries: u32,
    #[serde(rename = "s", skip_serializing_if = "unset")]
    pub started_at: Option<Timestamp>,
    #[serde(rename = "at", skip_serializing_if = "unset")]
    pub attempt_at: Option<Timestamp>,
    #[serde(rename = "e", skip_serializing_if = "unset")]
    pub ended_at: Option<Timestamp>,
    #[serde(rename = "why", skip_serializing_if = "unset")]
    pub reason: Option<String>,
    #[serde(rename = "out", skip_serializing_if = "unset")]
    pub outputs: BTreeMap<String, Value>,
    /// The executor said that this attempt began.
    #[serde(rename = "b", skip_serializing_if = "unset")]
    pub begun: bool,
    #[serde(rename = "p", skip_serializing_if = "unset")]
    pub process: Option<ProcessMark>,
    /// Who agreed so far.
    #[serde(rename = "agreed", skip_serializing_if = "unset")]
    pub agreed: Vec<String>,
    #[serde(rename = "ok", skip_serializing_if = "unset")]
    pub approved: bool,
    /// Started as the beginning of the way back, whatever its edges say.
    #[serde(rename = "forced", skip_serializing_if = "unset")]
    pub forced: bool,
    #[serde(rename = "check", skip_serializing_if = "unset")]
    pub check: Option<Box<Check>>,
    /// It is measured again to confirm what it said before a crash.
    #[serde(rename = "again", skip_serializing_if = "unset")]
    pub recheck: bool,
}

/// Not written: it is what it is when nothing is said.
fn unset<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Where a node stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Life {
    /// Its incoming edges are not resolved.
    #[default]
    Pending,
    /// May start as soon as nothing holds it back.
    Ready,
    /// Waits for a person since then.
    Waiting { since: Timestamp },
    /// Runs.
    Running,
    /// The next attempt starts then.
    Backoff { until: Timestamp },
    /// `runtime.verify` was asked.
    Verifying { until: Timestamp },
    /// Was asked to end; treated as ended then.
    Cancelling { until: Timestamp, then: End },
    /// Cannot go on by itself: a block says why.
    Stuck,
    /// Ended.
    Done(End),
}

/// How a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    Completed,
    Failed,
    TimedOut,
    Skipped,
    Cancelled,
    /// It cannot start: something that it needs failed.
    Blocked,
}

/// One edge.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct EdgeState {
    #[serde(rename = "p", skip_serializing_if = "unset")]
    pub phase: EdgeLife,
    #[serde(rename = "why", skip_serializing_if = "unset")]
    pub explanation: Option<String>,
    /// How often a back edge was taken.
    #[serde(rename = "i", skip_serializing_if = "unset")]
    pub iterations: u32,
}

/// Where an edge stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EdgeLife {
    #[default]
    Open,
    Taken,
    NotChosen,
    Failed,
}

/// Why the run cannot decide by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Block {
    pub cause: Cause,
    pub since: Timestamp,
    pub why: String,
}

/// What a block is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cause {
    /// A check ended without a decision.
    Check(NodeIndex),
    /// None of the edges of a node could be chosen.
    Route(NodeIndex),
    /// It is not known whether an attempt finished.
    Doubt(NodeIndex),
    /// Nothing has judged the canary at the present weight.
    Evidence(NodeIndex),
    /// A guard has no data or no answer.
    Guard(GateIndex),
    /// Somebody else set the weight.
    Drift,
    /// The router cannot be read or written.
    Router,
    /// The graph is over and the canary has some of the traffic.
    Graph,
}

/// A person paused the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Paused {
    pub by: String,
    pub since: Timestamp,
    pub reason: Option<String>,
}

/// What the canary cost: asked once, at the end.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct CostCount {
    pub asked: bool,
    pub answered: bool,
    pub cost: Option<Cost>,
}

impl State {
    /// The state before the first event.
    pub fn new(plan: &Plan) -> Self {
        Self {
            stage: Stage::New,
            started_at: None,
            ended_at: None,
            now: None,
            due: None,
            nodes: vec![NodeState::default(); plan.nodes.len()],
            edges: vec![EdgeState::default(); plan.edges.len()],
            active: BTreeSet::new(),
            touched: BTreeSet::new(),
            traffic: Traffic::default(),
            guards: plan
                .guards
                .iter()
                .map(|&gate| GateWatch::new(gate))
                .collect(),
            guarding: false,
            bake: None,
            blocks: Vec::new(),
            paused: None,
            full: None,
            promoted: false,
            remarks: Vec::new(),
            cost: CostCount::default(),
            answers: Vec::new(),
            next_command: 1,
            next_notification: 1,
            notified: BTreeMap::new(),
            sent: 0,
            given_up: 0,
            graph: Arc::new(Graph::new(plan)),
        }
    }

    /// How the run ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        match self.stage {
            Stage::Ended { outcome, .. } => Some(outcome),
            _ => None,
        }
    }

    /// Time of the last event.
    pub fn now(&self) -> Option<Timestamp> {
        self.now
    }

    /// Outputs of a node's last attempt; empty for a node that is not in the plan.
    pub fn outputs(&self, node: NodeIndex) -> &BTreeMap<String, Value> {
        static EMPTY: BTreeMap<String, Value> = BTreeMap::new();
        self.nodes
            .get(node.0)
            .map_or(&EMPTY, |state| &state.outputs)
    }

    /// Attempts that are running or asked to end: node and attempt.
    pub fn running(&self) -> Vec<(NodeIndex, u32)> {
        self.active
            .iter()
            .filter_map(|&index| self.nodes.get(index).map(|node| (NodeIndex(index), node)))
            .filter(|(_, node)| {
                matches!(node.life, Life::Running | Life::Cancelling { .. }) && node.attempt > 0
            })
            .map(|(index, node)| (index, node.attempt))
            .collect()
    }

    /// What operators asked for and what came of it, oldest first; the last 20.
    pub fn answers(&self) -> &[Answer] {
        &self.answers
    }

    /// Waits for a person: an approval, a pause or a block.
    pub fn needs_person(&self) -> bool {
        match &self.stage {
            Stage::Forward => {
                self.paused.is_some()
                    || !self.blocks.is_empty()
                    || self.active.iter().any(|&index| {
                        self.nodes
                            .get(index)
                            .is_some_and(|node| matches!(node.life, Life::Waiting { .. }))
                    })
            }
            _ => false,
        }
    }

    /// The weight that was observed last, while the canary has, or should have, traffic and nothing is being asked of the
    /// router: a router that says something else was changed by somebody.
    pub fn weight_to_watch(&self) -> Option<Weight> {
        let traffic = &self.traffic;
        let observed = traffic.observed?;
        let on = !observed.is_zero() || !traffic.desired.is_zero();
        let settled = self.forward() && !self.promoted && traffic.out.is_none();
        (on && settled && traffic.moved).then_some(observed)
    }

    /// Evidence from before this time says nothing about the present weight.
    pub fn evidence_since(&self) -> Option<Timestamp> {
        self.traffic.since
    }

    /// The run has ended and its canary may still have traffic, although it is not promoted: it was held, or weight 0
    /// was never confirmed. An abort takes it off.
    pub fn left_traffic_on(&self) -> bool {
        let observed = self.traffic.observed.is_none_or(|weight| !weight.is_zero());
        self.outcome().is_some_and(|outcome| {
            !matches!(outcome, Outcome::Promoted | Outcome::Completed)
                && self.traffic.moved
                && (observed || !self.traffic.desired.is_zero())
        })
    }

    /// Nothing but the time and what was answered is different: what a person asked for changed nothing.
    pub fn unchanged_since(&self, before: &Self) -> bool {
        let bare = |state: &Self| Self {
            now: None,
            due: None,
            answers: Vec::new(),
            ..state.clone()
        };
        bare(self) == bare(before)
    }

    pub(super) fn forward(&self) -> bool {
        matches!(self.stage, Stage::Forward)
    }
}

impl NodeState {
    pub(super) fn end(&self) -> Option<End> {
        match self.life {
            Life::Done(end) => Some(end),
            _ => None,
        }
    }

    /// Attempts made in this iteration.
    pub(super) fn tries(&self) -> u32 {
        self.attempt.saturating_sub(self.attempt_base)
    }
}
