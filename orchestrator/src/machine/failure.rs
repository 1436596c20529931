//! When something fails, or a person aborts: traffic off first, then the way back, then the end.

use std::time::Duration;

use canary_traffic::Weight;
use jiff::Timestamp;

use super::command::Command;
use super::outcome::Outcome;
use super::state::{EdgeLife, EdgeState, End, Life, Stage};
use super::step::{Machine, after};
use super::watch::Bake;
use crate::plan::{NodeIndex, OnFailure};

/// The way back does not wait longer than this for weight 0 to be seen.
const OFF_PATIENCE: Duration = Duration::from_secs(10);

/// Weight 0 is written again and again for at least this long: giving up leaves a bad version with its traffic.
const OFF_BOUND: Duration = Duration::from_secs(15 * 60);

/// How long the count of what the canary cost is waited for.
const COST_PATIENCE: Duration = Duration::from_secs(5);

/// The run is going back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failing {
    /// How the run ends if the way back works.
    pub base: Outcome,
    /// What failed, in one sentence.
    pub why: String,
    pub since: Timestamp,
    /// The node that failed.
    pub node: Option<NodeIndex>,
    /// Where the way back begins; empty: at the rollback node.
    pub roots: Vec<NodeIndex>,
    /// Weight 0 must be seen before the run may end.
    pub needs_zero: bool,
    pub zero_seen: bool,
    /// The first command id that is younger than the one that saw 0.
    pub zero_seen_command: Option<u64>,
    /// The weight is kept.
    pub hold: bool,
    pub way: Way,
    /// Why the rollback node failed.
    pub rollback_failed: Option<String>,
}

/// How far the way back is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Way {
    /// Traffic goes off, what runs is ended.
    Off,
    /// These nodes run.
    Back { members: Vec<NodeIndex> },
}

/// What failed.
#[derive(Debug, Clone, Default)]
pub(super) struct Fault {
    pub why: String,
    pub node: Option<NodeIndex>,
    pub roots: Vec<NodeIndex>,
    pub deadline: bool,
    /// A person asked for it; with the signal, if one did.
    pub abort: Option<Option<i32>>,
    /// Nothing was done to the world that the way back could undo.
    pub early: bool,
}

impl Machine<'_> {
    /// Something that is no node failed.
    pub(super) fn fail_run(&mut self, why: String, node: Option<NodeIndex>, deadline: bool) {
        let unreached = !self.s.traffic.moved && !deadline && node.is_none();
        let early = unreached && !self.rollback_reached();
        self.fail(Fault {
            why,
            node,
            deadline,
            early,
            ..Fault::default()
        });
    }

    /// A node failed and none of its edges handles it.
    pub(super) fn unhandled(&mut self, node: NodeIndex, end: End) {
        let why = self.failure_sentence(node, end);
        let rollback = self.is_rollback(node);
        if let Stage::Failing(failing) = &mut self.s.stage {
            if rollback && failing.rollback_failed.is_none() {
                failing.rollback_failed = Some(why);
            } else {
                self.s.remarks.push(why);
            }
            return;
        }
        if self.s.promoted {
            // The release is through; a message that could not be sent does not take it back.
            self.s.remarks.push(why);
            return;
        }
        match self.plan.node(node).scope {
            Some(call) if self.s.nodes[call.0].life == Life::Running => {
                self.cancel_inside(call, "another node of the same call failed");
                self.finish_attempt(call, End::Failed, Some(why));
            }
            _ => self.fail(Fault {
                why,
                node: Some(node),
                early: true,
                ..Fault::default()
            }),
        }
    }

    /// Enters the way back. Taking traffic off is the first command, whatever else this step decided.
    pub(super) fn fail(&mut self, fault: Fault) {
        if !matches!(
            self.s.stage,
            Stage::Forward | Stage::New | Stage::Closing { .. } | Stage::Ended { .. }
        ) {
            return;
        }
        let traffic = self.may_have_traffic();
        let hold = self.plan.on_failure == OnFailure::Hold && fault.abort.is_none() && traffic;
        let base = match fault.abort {
            Some(signal) => Outcome::Aborted { signal },
            None if hold => Outcome::Held,
            None if fault.early && !self.s.traffic.moved && !traffic => Outcome::Failed,
            None => Outcome::RolledBack {
                deadline: fault.deadline,
            },
        };
        self.take_back_commands();
        if traffic && !hold {
            self.write_off();
        }
        self.s.stage = Stage::Failing(Box::new(Failing {
            base,
            why: fault.why,
            since: self.at,
            node: fault.node,
            roots: fault.roots,
            needs_zero: traffic && !hold,
            zero_seen: false,
            zero_seen_command: None,
            hold,
            way: Way::Off,
            rollback_failed: None,
        }));
        self.s.paused = None;
        self.s.full = None;
        self.s.bake = None::<Bake>;
        self.s.guarding = false;
        self.s.traffic.owner = None;
        self.s.blocks.clear();
        self.s.touched.clear();
        for node in self.active() {
            self.drop_node(node, "the run goes back");
        }
        self.news_failing();
    }

    /// What this step had decided to start is not started.
    fn take_back_commands(&mut self) {
        let mut dropped = Vec::new();
        self.out.retain(|command| match command {
            Command::StartNode { node, .. } | Command::Workload { node, .. } => {
                dropped.push(*node);
                false
            }
            Command::Measure { .. } | Command::VerifyNode { .. } => false,
            Command::SetWeight { weight, .. } => weight.is_zero(),
            _ => true,
        });
        let at = self.at;
        for node in dropped {
            let state = &mut self.s.nodes[node.0];
            state.life = Life::Done(End::Cancelled);
            state.ended_at = Some(at);
            state.reason = Some("the run went back before it began".to_owned());
            self.s.active.remove(&node.0);
        }
    }

    /// A person, or a signal, aborts. Looked at before anything else.
    pub(super) fn abort(&mut self, signal: Option<i32>, by: &str, reason: Option<&str>) {
        let because = reason
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        let why = format!("aborted by {by}{because}");
        match &mut self.s.stage {
            Stage::Failing(failing) if failing.hold => {
                // Held runs keep their weight until a person says otherwise: this is that.
                failing.hold = false;
                failing.needs_zero = true;
                failing.base = Outcome::Aborted { signal };
                failing.why = why;
                self.write_off();
                self.answer(by, "abort", "taking traffic off, then going back");
            }
            Stage::Failing(_) => {
                if self.may_have_traffic() {
                    self.write_off();
                }
                let doubts: Vec<_> = self.s.blocks.iter().map(|block| block.cause).collect();
                for cause in doubts {
                    if let super::state::Cause::Doubt(node) = cause {
                        self.end_node(node, End::Failed, Some(format!("given up by {by}")));
                    }
                }
                self.answer(
                    by,
                    "abort",
                    "the run is going back already; weight 0 is written again if it was not seen",
                );
            }
            Stage::Ended { outcome, .. } | Stage::Closing { outcome, .. }
                if *outcome != Outcome::Held && *outcome != Outcome::Promoted =>
            {
                let word = outcome.word();
                self.answer(
                    by,
                    "abort",
                    &format!("nothing to abort: the run is over ({word})"),
                );
            }
            Stage::Ended {
                outcome: Outcome::Promoted,
                ..
            } => {
                self.answer(by, "abort", "nothing to abort: the run is over (promoted); release the version before to go back");
            }
            _ => {
                self.s.ended_at = None;
                self.s.cost = super::state::CostCount::default();
                self.fail(Fault {
                    why,
                    abort: Some(signal),
                    early: true,
                    ..Fault::default()
                });
                self.answer(by, "abort", "taking traffic off, then going back");
            }
        }
    }

    /// Some node that leads to a rollback node was begun: there is something to undo.
    fn rollback_reached(&self) -> bool {
        self.plan
            .edges
            .iter()
            .any(|edge| self.is_rollback(edge.to) && self.s.nodes[edge.from.0].started_at.is_some())
    }

    /// Goes on with the way back.
    pub(super) fn way_back(&mut self) -> bool {
        let Stage::Failing(failing) = &self.s.stage else {
            return false;
        };
        let off = !failing.needs_zero || failing.zero_seen;
        match &failing.way {
            Way::Off => {
                if !self.s.active.is_empty()
                    || !(off || self.at >= after(failing.since, OFF_PATIENCE))
                {
                    return false;
                }
                if off && self.s.traffic.first_at.is_some() {
                    self.count_cost();
                }
                let roots = self.way_roots();
                self.begin_way(&roots);
                true
            }
            Way::Back { .. } => {
                if !self.s.active.is_empty() || !self.s.touched.is_empty() {
                    return false;
                }
                if off {
                    self.end_way(None);
                    return true;
                }
                if self.at >= after(failing.since, self.off_bound()) {
                    let problem = self
                        .s
                        .traffic
                        .problem
                        .clone()
                        .unwrap_or_else(|| "the router did not answer".to_owned());
                    self.end_way(Some(format!("weight 0 could not be confirmed: {problem}")));
                    return true;
                }
                false
            }
        }
    }

    /// How long weight 0 is written before the run ends without having seen it.
    fn off_bound(&self) -> Duration {
        self.plan.deadlines.decision.max(OFF_BOUND)
    }

    /// When the way back goes on by itself.
    pub(super) fn way_due(&self) -> Option<Timestamp> {
        let Stage::Failing(failing) = &self.s.stage else {
            return None;
        };
        if !failing.needs_zero || failing.zero_seen {
            return None;
        }
        Some(match failing.way {
            Way::Off => after(failing.since, OFF_PATIENCE),
            Way::Back { .. } => after(failing.since, self.off_bound()),
        })
        // What has passed is waited for no more: other nodes have to end first.
        .filter(|due| *due > self.at)
    }

    /// Where the way back begins: the failed node's own handlers, else the rollback node.
    fn way_roots(&self) -> Vec<NodeIndex> {
        let Stage::Failing(failing) = &self.s.stage else {
            return Vec::new();
        };
        if failing.hold || failing.base == Outcome::Failed {
            return Vec::new();
        }
        if !failing.roots.is_empty() {
            return failing.roots.clone();
        }
        if !self.s.traffic.moved && failing.node.is_none() && !self.rollback_reached() {
            return Vec::new();
        }
        let scope = failing.node.and_then(|node| self.plan.node(node).scope);
        let indices = || (0..self.plan.nodes.len()).map(NodeIndex);
        let in_scope = |scope: Option<NodeIndex>| {
            indices().find(|&node| self.is_rollback(node) && self.plan.node(node).scope == scope)
        };
        let rollback = scope
            .and_then(|scope| in_scope(Some(scope)))
            .or_else(|| in_scope(None))
            .or_else(|| indices().find(|&node| self.is_rollback(node)));
        match rollback {
            Some(node) => vec![node],
            // No rollback node: what the nodes that were taken away have for their failure.
            None => indices()
                .filter(|node| self.s.nodes[node.0].end() == Some(End::Cancelled))
                .flat_map(|node| self.handlers(node, End::Failed))
                .map(|edge| self.plan.edges[edge.0].to)
                .collect(),
        }
    }

    /// Starts the way back from these nodes; without any, it is over at once.
    fn begin_way(&mut self, roots: &[NodeIndex]) {
        let graph = self.s.graph.clone();
        let ran =
            |end: Option<End>| matches!(end, Some(End::Completed | End::Failed | End::TimedOut));
        let mut roots: Vec<NodeIndex> = roots.to_vec();
        roots.retain(|&root| !ran(self.s.nodes[root.0].end()));
        roots.sort_unstable();
        roots.dedup();
        let mut members = graph.downstream(self.plan, &roots);
        members.retain(|member| !ran(self.s.nodes[member.0].end()));
        let mut inside = vec![false; self.plan.nodes.len()];
        for &member in &members {
            inside[member.0] = true;
        }
        for &member in &members {
            let state = &mut self.s.nodes[member.0];
            state.life = Life::Pending;
            state.reason = None;
            state.attempt_base = state.attempt;
            state.retries = 0;
            state.check = None;
            for &edge in &graph.outgoing[member.0] {
                self.s.edges[edge.0] = EdgeState {
                    iterations: self.s.edges[edge.0].iterations,
                    ..EdgeState::default()
                };
            }
        }
        for &member in &members {
            for &edge in &graph.incoming[member.0] {
                // What is not on the way back leads nowhere any more.
                let outside = !inside[self.plan.edges[edge.0].from.0];
                if outside && self.s.edges[edge.0].phase != EdgeLife::Taken {
                    self.s.edges[edge.0].phase = EdgeLife::NotChosen;
                }
            }
        }
        let failed = match &self.s.stage {
            Stage::Failing(failing) => failing.node,
            _ => None,
        };
        for &root in &roots {
            let state = &mut self.s.nodes[root.0];
            state.forced = true;
            state.life = Life::Ready;
            self.s.active.insert(root.0);
            if let Some(failed) = failed {
                for &edge in &graph.incoming[root.0] {
                    if self.plan.edges[edge.0].from == failed {
                        self.s.edges[edge.0].phase = EdgeLife::Taken;
                    }
                }
            }
        }
        for &member in &members {
            // Nodes inside of a call start with the call.
            if !roots.contains(&member) && !graph.incoming[member.0].is_empty() {
                self.s.touched.insert(member.0);
            }
        }
        if let Stage::Failing(failing) = &mut self.s.stage {
            failing.way = Way::Back { members };
        }
    }

    fn end_way(&mut self, stuck: Option<String>) {
        let Stage::Failing(failing) = &self.s.stage else {
            return;
        };
        let mut why = failing.why.clone();
        let mut outcome = failing.base;
        if let Some(failed) = &failing.rollback_failed {
            outcome = Outcome::Failed;
            why = format!("{why}; the way back failed too: {failed}");
        }
        if let Some(stuck) = stuck {
            outcome = Outcome::Failed;
            why = format!("{why}; {stuck}");
        }
        self.finish(outcome, why);
    }

    fn count_cost(&mut self) {
        if let (false, Some(since)) = (self.s.cost.asked, self.s.traffic.first_at) {
            self.s.cost.asked = true;
            self.out.push(Command::CountCost { since });
        }
    }

    /// Everything is through.
    pub(super) fn finish(&mut self, outcome: Outcome, why: String) {
        self.s.paused = None;
        self.s.blocks.clear();
        self.s.guarding = false;
        self.s.traffic.again_at = None;
        self.s.traffic.out = None;
        for index in 0..self.s.nodes.len() {
            if self.s.nodes[index].life == Life::Pending {
                self.s.nodes[index].life = Life::Done(End::Skipped);
                self.s.nodes[index].reason = Some("no path led here".to_owned());
            }
        }
        if self.s.traffic.first_at.is_some() {
            self.count_cost();
        }
        self.s.stage = Stage::Closing {
            outcome,
            why,
            until: after(self.at, COST_PATIENCE),
        };
    }

    /// Ends the run once the cost is counted, or was waited for long enough.
    pub(super) fn close(&mut self) -> bool {
        let Stage::Closing {
            outcome,
            why,
            until,
        } = &self.s.stage
        else {
            return false;
        };
        if self.s.cost.asked && !self.s.cost.answered && self.at < *until {
            return false;
        }
        let (outcome, why) = (*outcome, why.clone());
        self.s.ended_at = Some(self.at);
        self.s.stage = Stage::Ended { outcome, why };
        self.news_ended();
        self.out.push(Command::Finish { outcome });
        true
    }

    /// The weight that the canary has for all that is known: what a message says.
    pub(super) fn weight_now(&self) -> Weight {
        self.s.traffic.observed.unwrap_or(self.s.traffic.desired)
    }
}
