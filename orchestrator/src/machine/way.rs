//! The way back, once traffic is off: the failed node's handlers or the rollback node; then the end of the run.

use std::time::Duration;

use jiff::Timestamp;

use super::command::Command;
use super::failure::Way;
use super::outcome::Outcome;
use super::state::{EdgeLife, EdgeState, End, Life, Stage};
use super::step::{Machine, after};
use crate::plan::NodeIndex;

/// The way back does not wait longer than this for weight 0 to be seen.
const OFF_PATIENCE: Duration = Duration::from_secs(10);

/// Weight 0 is written again and again for at least this long: giving up leaves a bad version with its traffic.
const OFF_BOUND: Duration = Duration::from_mins(15);

/// How long the count of what the canary cost is waited for.
const COST_PATIENCE: Duration = Duration::from_secs(5);

impl Machine<'_> {
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

    /// Weight 0 comes before the way back, also for what is started again after a crash; but not for ever, where the
    /// router does not answer.
    pub(super) fn off_comes_first(&self) -> bool {
        matches!(&self.s.stage, Stage::Failing(failing)
            if failing.needs_zero
                && !failing.zero_seen
                && self.at < after(failing.since, OFF_PATIENCE))
    }

    /// How long weight 0 is written before the run ends without having seen it.
    pub(super) fn off_bound(&self) -> Duration {
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
            Way::Back { .. } if !self.off_comes_first() => after(failing.since, self.off_bound()),
            Way::Off | Way::Back { .. } => after(failing.since, OFF_PATIENCE),
        })
        // What has passed is waited for no more: other nodes have to end first.
        .filter(|due| *due > self.at)
    }

    /// Where the way back begins: the failed node's own handlers, else the rollback node.
    pub(super) fn way_roots(&self) -> Vec<NodeIndex> {
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
    pub(super) fn begin_way(&mut self, roots: &[NodeIndex]) {
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

    pub(super) fn end_way(&mut self, stuck: Option<String>) {
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

    pub(super) fn count_cost(&mut self) {
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
}
