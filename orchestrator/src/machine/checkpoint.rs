//! A run's state in few bytes, for a store that keeps states instead of events (the status of an object in a cluster).
//!
//! What is kept is what decisions depend on; what only a report shows is kept as far as there is room. Measurements that
//! passed are not kept: whoever takes the run over feeds [`super::Event::Resumed`], after which nothing is fresh, and evidence
//! is asked for again from its window's start. So a checkpoint may be older than the run by any number of measurements that
//! passed, and by weights that were read, and the run goes on all the same; it must not be older by a command, an answer of
//! a node, a person's word or a measurement that failed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::failure::Way;
use super::graph::Graph;
use super::state::{Cause, End, Life, Stage, State};
use super::watch::GateWatch;
use crate::plan::{NodeIndex, Plan};

/// Version of the form; another one is not read.
const VERSION: u32 = 1;

/// Longest checkpoint, in bytes of JSON.
pub const MAX_CHECKPOINT: usize = 10 * 1024;

/// Answers to failed notifications that are remembered one by one.
const NOTIFIED: usize = 64;

/// A state to go on from. Plain data; [`State::restore`] checks it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    version: u32,
    /// Fingerprint of the plan that the state belongs to.
    plan: String,
    state: Value,
}

/// A checkpoint cannot be made, or not be gone on from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The plan is too large.
    #[error(
        "the state of a plan with {nodes} nodes takes {bytes} bytes, and at most {MAX_CHECKPOINT} can be kept; split the workflow"
    )]
    TooLarge {
        /// Nodes of the plan.
        nodes: usize,
        /// Bytes that it takes with everything left out that may be.
        bytes: usize,
    },
    /// Written by another version.
    #[error("it was written in form {found}, and this version of canary reads form {VERSION}")]
    Version {
        /// Its form.
        found: u32,
    },
    /// It belongs to another plan.
    #[error("it belongs to a plan with the fingerprint {found}, and this plan has {expected}")]
    OtherPlan {
        /// Fingerprint in the checkpoint.
        found: String,
        /// Fingerprint of the plan.
        expected: String,
    },
    /// Somebody else wrote it, or it was damaged.
    #[error("it cannot be read: {0}")]
    Malformed(String),
}

/// How much is kept of what is only for people, and of outputs. The first that fits is taken.
struct Room {
    sentence: usize,
    output: usize,
    answers: usize,
}

const ROOMS: [Room; 4] = [
    Room {
        sentence: 400,
        output: 1024,
        answers: 20,
    },
    Room {
        sentence: 160,
        output: 256,
        answers: 5,
    },
    Room {
        sentence: 60,
        output: 64,
        answers: 1,
    },
    Room {
        sentence: 0,
        output: 0,
        answers: 0,
    },
];

impl State {
    /// The state in at most [`MAX_CHECKPOINT`] bytes of JSON. An output that is too large is left out: what names it decides
    /// nothing then, and asks a person.
    pub fn checkpoint(&self, plan: &Plan) -> Result<Checkpoint, CheckpointError> {
        let mut bytes = 0;
        for room in &ROOMS {
            let state = serde_json::to_value(self.slim(room))
                .map_err(|error| CheckpointError::Malformed(error.to_string()))?;
            let checkpoint = Checkpoint {
                version: VERSION,
                plan: plan.hash.clone(),
                state,
            };
            bytes = serde_json::to_string(&checkpoint)
                .map_err(|error| CheckpointError::Malformed(error.to_string()))?
                .len();
            if bytes <= MAX_CHECKPOINT {
                return Ok(checkpoint);
            }
        }
        Err(CheckpointError::TooLarge {
            nodes: plan.nodes.len(),
            bytes,
        })
    }

    /// The state that was kept. Feed [`super::Event::Resumed`] before anything else.
    pub fn restore(plan: &Plan, checkpoint: Checkpoint) -> Result<Self, CheckpointError> {
        if checkpoint.version != VERSION {
            return Err(CheckpointError::Version {
                found: checkpoint.version,
            });
        }
        if checkpoint.plan != plan.hash {
            return Err(CheckpointError::OtherPlan {
                found: checkpoint.plan,
                expected: plan.hash.clone(),
            });
        }
        let mut state: Self = serde_json::from_value(checkpoint.state)
            .map_err(|error| CheckpointError::Malformed(error.to_string()))?;
        if !state.fits(plan) {
            let why = "it speaks of nodes or gates that the plan does not have";
            return Err(CheckpointError::Malformed(why.to_owned()));
        }
        state.graph = std::sync::Arc::new(Graph::new(plan));
        Ok(state)
    }

    /// Attempts that an earlier driver had a process for.
    pub fn processes(&self) -> Vec<super::ProcessMark> {
        self.nodes
            .iter()
            .filter_map(|node| node.process.clone())
            .collect()
    }

    fn slim(&self, room: &Room) -> Self {
        let mut state = self.clone();
        for node in &mut state.nodes {
            if let Life::Done(end) = node.life {
                // When it ran is for people.
                node.attempt_at = None;
                node.process = None;
                for time in [&mut node.started_at, &mut node.ended_at] {
                    *time = time.map(whole_seconds);
                }
                if matches!(end, End::Completed | End::Skipped) && room.sentence < ROOMS[0].sentence
                {
                    node.reason = None;
                }
            }
            shorten(&mut node.reason, room.sentence);
            node.outputs
                .retain(|_, value| value.to_string().len() <= room.output);
            if let Some(check) = &mut node.check {
                check.gates.iter_mut().for_each(slim_watch);
            }
        }
        for edge in &mut state.edges {
            edge.explanation = None;
        }
        state.guards.iter_mut().for_each(slim_watch);
        let answers = state.answers.len().saturating_sub(room.answers);
        state.answers.drain(..answers);
        for answer in &mut state.answers {
            cut(&mut answer.text, room.sentence.max(60));
        }
        while state.notified.len() > NOTIFIED {
            state.notified.pop_first();
        }
        let sentence = room.sentence.max(100);
        for block in &mut state.blocks {
            cut(&mut block.why, sentence);
        }
        state.remarks.truncate(5);
        for remark in &mut state.remarks {
            cut(remark, sentence);
        }
        match &mut state.stage {
            Stage::Failing(failing) => {
                cut(&mut failing.why, sentence);
                shorten(&mut failing.rollback_failed, sentence);
            }
            Stage::Closing { why, .. } | Stage::Ended { why, .. } => cut(why, sentence),
            Stage::New | Stage::Forward => {}
        }
        if let Some(problem) = &mut state.traffic.problem {
            cut(problem, sentence);
        }
        state
    }

    /// Every index is one of the plan.
    fn fits(&self, plan: &Plan) -> bool {
        let node = |index: &NodeIndex| index.0 < plan.nodes.len();
        let watch = |one: &GateWatch| one.gate.0 < plan.gates.len();
        let cause = |cause: Cause| match cause {
            Cause::Check(at) | Cause::Route(at) | Cause::Doubt(at) | Cause::Evidence(at) => {
                node(&at)
            }
            Cause::Guard(gate) => gate.0 < plan.gates.len(),
            Cause::Drift | Cause::Router | Cause::Graph => true,
        };
        let stage = match &self.stage {
            Stage::Failing(failing) => {
                failing.node.iter().all(node)
                    && failing.roots.iter().all(node)
                    && match &failing.way {
                        Way::Off => true,
                        Way::Back { members } => members.iter().all(node),
                    }
            }
            Stage::New | Stage::Forward | Stage::Closing { .. } | Stage::Ended { .. } => true,
        };
        let listed = |list: &std::collections::BTreeSet<usize>| {
            list.iter().all(|&index| index < plan.nodes.len())
        };
        stage
            && self.nodes.len() == plan.nodes.len()
            && self.edges.len() == plan.edges.len()
            && listed(&self.active)
            && listed(&self.touched)
            && self.guards.len() == plan.guards.len()
            && self.guards.iter().all(watch)
            && self.blocks.iter().all(|block| cause(block.cause))
            && self.traffic.owner.iter().all(node)
            && self.bake.iter().all(|bake| bake.node.iter().all(node))
            && self
                .nodes
                .iter()
                .filter_map(|one| one.check.as_ref())
                .all(|check| check.gates.iter().all(watch))
    }
}

/// What is being asked is asked again, and a message that is only shown is short.
fn slim_watch(watch: &mut GateWatch) {
    watch.history.clear();
    if let Some(last) = &mut watch.last {
        cut(&mut last.message, 160);
    }
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn shorten(text: &mut Option<String>, most: usize) {
    match text {
        Some(_) if most == 0 => *text = None,
        Some(text) => cut(text, most),
        None => {}
    }
}

/// At most that many bytes, cut between two characters.
fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        let end = (0..=most.saturating_sub(3))
            .rev()
            .find(|&at| text.is_char_boundary(at))
            .unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}
