//! The record of a run in OSOP's own format (`.osoplog`), made from its journal.
//!
//! One record per attempt of what executors carried out, one per other node; what was skipped or blocked is there with
//! its reason. The official schema is open for extras: `workflow_hash`, `edge_records`, `outcome`, `canary_version`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::driver::RunRecord;
use crate::machine::{
    Command, EdgePhase, Event, NodePhase, NodeReport, NodeStatus, Outcome, Report, RunPhase,
};
use crate::plan::{NodeIndex, Plan};

/// Version of the format.
const VERSION: &str = "1.0";

/// The record of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OsopLog {
    osoplog_version: &'static str,
    run_id: String,
    workflow_id: String,
    workflow_name: String,
    workflow_hash: String,
    mode: &'static str,
    status: &'static str,
    /// Extra: canary's word for how it ended.
    outcome: Option<&'static str>,
    started_at: Timestamp,
    ended_at: Timestamp,
    duration_ms: u64,
    result_summary: String,
    canary_version: &'static str,
    node_records: Vec<NodeRecord>,
    edge_records: Vec<EdgeRecord>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct NodeRecord {
    node_id: String,
    node_type: String,
    attempt: u32,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iteration: Option<u32>,
    inputs: BTreeMap<String, Value>,
    outputs: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct EdgeRecord {
    from: String,
    to: String,
    mode: String,
    result: EdgePhase,
    #[serde(skip_serializing_if = "Option::is_none")]
    expression: Option<String>,
}

/// One attempt, as the journal tells it.
#[derive(Debug, Default)]
struct Told {
    iteration: u32,
    started_at: Option<Timestamp>,
    ended: Option<(Timestamp, NodeStatus)>,
    outputs: BTreeMap<String, Value>,
    error: Option<String>,
}

impl OsopLog {
    /// The record of this run. `status` BLOCKED where it was left waiting for a person.
    pub fn new(run: &str, plan: &Plan, records: &[RunRecord], report: &Report) -> Self {
        let first = records.first().map_or(report.at, |record| record.at);
        let last = records.last().map_or(report.at, |record| record.at);
        let (started_at, ended_at) = (
            report.started_at.unwrap_or(first),
            report.ended_at.unwrap_or(last),
        );
        Self {
            osoplog_version: VERSION,
            run_id: run.to_owned(),
            workflow_id: plan.id.clone(),
            workflow_name: plan.name.clone(),
            workflow_hash: plan.hash.clone(),
            mode: "live",
            status: status(report),
            outcome: report.outcome.map(Outcome::word),
            started_at,
            ended_at,
            duration_ms: milliseconds(started_at, ended_at),
            result_summary: report.headline.clone(),
            canary_version: env!("CARGO_PKG_VERSION"),
            node_records: node_records(plan, records, report),
            edge_records: report
                .edges
                .iter()
                .map(|edge| EdgeRecord {
                    from: edge.from.clone(),
                    to: edge.to.clone(),
                    mode: edge.mode.clone(),
                    result: edge.status,
                    expression: edge.explanation.clone(),
                })
                .collect(),
        }
    }

    /// As YAML.
    pub fn to_yaml(&self) -> Result<String, String> {
        serde_saphyr::to_string(self).map_err(|error| error.to_string())
    }
}

fn status(report: &Report) -> &'static str {
    match (report.outcome, report.phase) {
        (Some(outcome), _) => outcome.osoplog_status(),
        // The format knows no run that goes on.
        (None, RunPhase::Blocked | RunPhase::Waiting | RunPhase::Paused) => "BLOCKED",
        (None, _) => "FAILED",
    }
}

fn node_records(plan: &Plan, records: &[RunRecord], report: &Report) -> Vec<NodeRecord> {
    let mut told = attempts(records);
    let mut all = Vec::new();
    for (index, (node, now)) in plan.nodes.iter().zip(&report.nodes).enumerate() {
        let of_node: Vec<_> = told
            .extract_if(.., |(node, _), _| node.0 == index)
            .collect();
        let mut number = 0;
        let mut iteration = 0;
        for (position, (_, attempt)) in of_node.iter().enumerate() {
            // Numbers start again with each iteration of a loop.
            number = if attempt.iteration == iteration {
                number + 1
            } else {
                1
            };
            iteration = attempt.iteration;
            let next = of_node.get(position + 1);
            let again = next.is_some_and(|(_, next)| next.iteration == attempt.iteration);
            let mut record = record_of(&node.id, &node.kind, number, attempt, now);
            record.not_accepted(again, next.is_none().then_some(now));
            all.push(record);
        }
        if of_node.is_empty() && now.status != NodePhase::Pending {
            all.push(record_of_native(now));
        }
    }
    all
}

/// All attempts that executors carried out, by node and number.
fn attempts(records: &[RunRecord]) -> BTreeMap<(NodeIndex, u32), Told> {
    let mut told = BTreeMap::<(NodeIndex, u32), Told>::new();
    for record in records {
        match &record.event {
            Event::NodeStarted { node, attempt, .. } => {
                told.entry((*node, *attempt))
                    .or_default()
                    .started_at
                    .get_or_insert(record.at);
            }
            Event::NodeFinished {
                node,
                attempt,
                result,
            } => {
                let entry = told.entry((*node, *attempt)).or_default();
                if entry.ended.is_none() {
                    entry.ended = Some((record.at, result.status));
                    entry.outputs.clone_from(&result.outputs);
                    entry.error.clone_from(&result.error);
                }
            }
            _ => {}
        }
        for command in &record.commands {
            if let Command::StartNode {
                node,
                attempt,
                iteration,
                ..
            } = command
            {
                let entry = told.entry((*node, *attempt)).or_default();
                entry.iteration = *iteration;
                entry.started_at.get_or_insert(record.at);
            }
        }
    }
    told
}

fn record_of(id: &str, kind: &str, attempt: u32, told: &Told, now: &NodeReport) -> NodeRecord {
    let (status, reason) = match told.ended.map(|(_, status)| status) {
        Some(NodeStatus::Completed) => ("COMPLETED", None),
        Some(NodeStatus::Failed) => ("FAILED", None),
        Some(NodeStatus::TimedOut) => ("TIMEOUT", None),
        Some(NodeStatus::Inconclusive) => (
            "FAILED",
            Some("inconclusive: its answer decides nothing".to_owned()),
        ),
        Some(NodeStatus::Cancelled) => ("FAILED", Some("cancelled".to_owned())),
        None if now.status == NodePhase::Running => ("RUNNING", None),
        None => (
            "ERROR",
            Some("it is not known whether it finished".to_owned()),
        ),
    };
    let ended_at = told.ended.map(|(at, _)| at);
    NodeRecord {
        node_id: id.to_owned(),
        node_type: kind.to_owned(),
        attempt,
        status,
        started_at: told.started_at,
        ended_at,
        duration_ms: told
            .started_at
            .zip(ended_at)
            .map(|(start, end)| milliseconds(start, end)),
        iteration: (told.iteration > 0).then_some(told.iteration + 1),
        inputs: BTreeMap::new(),
        outputs: told.outputs.clone(),
        error: told.error.clone(),
        reason,
    }
}

impl NodeRecord {
    /// What ended well and was tried again all the same, or counts as failed, is a failed attempt: a failure test of
    /// the workflow held. `last`: the node as it is, where this is its last attempt.
    fn not_accepted(&mut self, again: bool, last: Option<&NodeReport>) {
        if self.status != "COMPLETED" {
            return;
        }
        let failed = last.filter(|node| node.status == NodePhase::Failed);
        if let Some(node) = failed {
            self.status = "FAILED";
            self.error.clone_from(&node.reason);
        } else if again {
            self.status = "FAILED";
            self.reason = Some("what it gave was not accepted; it was tried again".to_owned());
        }
    }
}

/// A node that no executor carries out, or that was never started.
fn record_of_native(now: &NodeReport) -> NodeRecord {
    let reason = || {
        now.reason
            .clone()
            .unwrap_or_else(|| "no reason is known".to_owned())
    };
    let (status, error, reason) = match now.status {
        NodePhase::Completed => ("COMPLETED", None, now.reason.clone()),
        NodePhase::Failed => ("FAILED", Some(reason()), None),
        NodePhase::TimedOut => ("TIMEOUT", Some(reason()), None),
        NodePhase::Skipped => ("SKIPPED", None, Some(reason())),
        NodePhase::Cancelled => ("FAILED", None, Some(format!("cancelled: {}", reason()))),
        NodePhase::Blocked | NodePhase::Waiting | NodePhase::Pending | NodePhase::Ready => {
            ("BLOCKED", None, Some(reason()))
        }
        NodePhase::InDoubt => ("ERROR", Some(reason()), None),
        NodePhase::Running => ("RUNNING", None, now.reason.clone()),
    };
    NodeRecord {
        node_id: now.id.clone(),
        node_type: now.kind.clone(),
        attempt: now.attempts.max(1),
        status,
        started_at: now.started_at,
        ended_at: now.ended_at,
        duration_ms: now
            .started_at
            .zip(now.ended_at)
            .map(|(start, end)| milliseconds(start, end)),
        iteration: (now.iteration > 1).then_some(now.iteration),
        inputs: BTreeMap::new(),
        outputs: now.outputs.clone(),
        error,
        reason,
    }
}

fn milliseconds(from: Timestamp, to: Timestamp) -> u64 {
    let duration = Duration::try_from(to.duration_since(from)).unwrap_or_default();
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
