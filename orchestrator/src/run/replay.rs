//! From a journal to a state: the same steps again, checked against what was written.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::driver::{RunRecord, Start};
use crate::machine::{self, Command, Event, Notification, ProcessMark, State, Watch};
use crate::plan::{NodeIndex, Plan};

/// What a journal says.
#[derive(Debug, Clone)]
pub struct Replayed {
    /// The state after the last record.
    pub state: State,
    /// Number of the last record; 0 where there is none.
    pub seq: u64,
    /// Time of the last record.
    pub at: Option<Timestamp>,
    /// Process groups of attempts that were started and not seen to end.
    pub left_behind: Vec<ProcessMark>,
    /// Notifications that were asked for and of which it is not known what became.
    pub untold: Vec<Notification>,
    /// What became of the others: id and channel.
    pub told: BTreeSet<(u64, String)>,
    /// Records of measurements that found nothing to judge while that counted for nothing: until when, by number.
    pub pending: BTreeMap<u64, Timestamp>,
    /// The first record that this version of canary would have followed by something else.
    pub mismatch: Option<Mismatch>,
}

/// The journal and the machine do not agree: the run can be looked at and aborted, and not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "record {seq} of the journal was followed by other commands than this version of canary would give{versions}.\n  \
     journal: {journaled}\n  now:     {now}\n\
     resume it with the version that started it, or abort it with `canary abort`"
)]
pub struct Mismatch {
    /// Number of the record.
    pub seq: u64,
    /// Commands in the journal, as JSON.
    pub journaled: String,
    /// Commands that the machine gives now, as JSON.
    pub now: String,
    /// Names both versions where they differ.
    pub versions: String,
}

/// Replays records that were written by the version `written_by`, and checks that each caused what it causes now.
/// Records that speak of nodes or gates which the plan does not have are left out.
pub fn replay(plan: &Plan, records: &[RunRecord], written_by: &str) -> Replayed {
    let mut replayed = Replayed {
        state: State::new(plan),
        seq: 0,
        at: None,
        left_behind: Vec::new(),
        untold: Vec::new(),
        told: BTreeSet::new(),
        pending: BTreeMap::new(),
        mismatch: None,
    };
    let mut processes: Vec<(NodeIndex, u32, ProcessMark)> = Vec::new();
    for record in records {
        (replayed.seq, replayed.at) = (record.seq, Some(record.at));
        let differs = |journaled: String, now: String| {
            let ours = env!("CARGO_PKG_VERSION");
            let versions = if written_by == ours {
                String::new()
            } else {
                format!(" (the run was started by canary {written_by}, this is {ours})")
            };
            Mismatch {
                seq: record.seq,
                journaled,
                now,
                versions,
            }
        };
        if !fits(plan, &record.event) {
            let now = "it speaks of a node or gate that the plan does not have".to_owned();
            replayed
                .mismatch
                .get_or_insert_with(|| differs(json(&record.commands), now));
            continue;
        }
        let decision = machine::step(plan, replayed.state, record.at, record.event.clone());
        // What is compared has gone through JSON on both sides.
        let (journaled, now) = (json(&record.commands), json(&decision.commands));
        if journaled != now {
            replayed
                .mismatch
                .get_or_insert_with(|| differs(journaled, now));
        }
        match &record.event {
            Event::NodeStarted {
                node,
                attempt,
                process: Some(process),
            } => {
                processes.push((*node, *attempt, process.clone()));
            }
            Event::Measured {
                gate,
                watch,
                measurement,
            } if measurement.no_data => {
                let until = decision.state.pending_until(*gate, *watch);
                replayed
                    .pending
                    .extend(until.map(|until| (record.seq, until)));
            }
            Event::NodeFinished { node, attempt, .. } => {
                processes.retain(|(started, number, _)| (started, number) != (node, attempt));
            }
            Event::Notified {
                notification,
                channel,
                ..
            } => {
                replayed.untold.retain(|told| told.id != *notification);
                replayed.told.insert((*notification, channel.clone()));
            }
            _ => {}
        }
        for command in &record.commands {
            if let Command::Notify(notification) = command {
                replayed.untold.push(notification.clone());
            }
        }
        replayed.state = decision.state;
    }
    replayed.left_behind = processes
        .into_iter()
        .map(|(_, _, process)| process)
        .collect();
    replayed
}

/// The event speaks of what is in the plan. One that was made again for another plan may be shorter.
fn fits(plan: &Plan, event: &Event) -> bool {
    let is_node = |node: &NodeIndex| node.0 < plan.nodes.len();
    match event {
        Event::NodeStarted { node, .. }
        | Event::NodeFinished { node, .. }
        | Event::NodeVerified { node, .. } => is_node(node),
        Event::Measured { gate, watch, .. } => {
            let of_node = match watch {
                Watch::Guard => true,
                Watch::Node(node) => is_node(node),
            };
            gate.0 < plan.gates.len() && of_node
        }
        Event::Started
        | Event::Resumed
        | Event::WeightObserved { .. }
        | Event::WeightFailed { .. }
        | Event::WeightChanged { .. }
        | Event::CostCounted { .. }
        | Event::WorkloadFailed { .. }
        | Event::Timer
        | Event::Operator { .. }
        | Event::Notified { .. } => true,
    }
}

fn json(commands: &[Command]) -> String {
    // Commands are plain data; what cannot be written differs from everything that was.
    serde_json::to_string(commands).unwrap_or_else(|error| error.to_string())
}

impl From<Replayed> for Start {
    fn from(replayed: Replayed) -> Self {
        Self {
            state: replayed.state,
            seq: replayed.seq,
            at: replayed.at,
            left_behind: replayed.left_behind,
            untold: replayed.untold,
            told: replayed.told,
            first: None,
        }
    }
}
