//! Which nodes may start: activation, joins (S1), what is skipped, sub-workflow calls.

use super::state::{EdgeLife, End, Life};
use super::step::Machine;
use crate::plan::{Action, EdgeIndex, EdgeMode, Join, NodeIndex, Plan};

/// Who is next to whom, made once per run.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Graph {
    /// Edges into each node, back edges left out.
    pub incoming: Vec<Vec<EdgeIndex>>,
    /// Edges out of each node, in the order of the plan.
    pub outgoing: Vec<Vec<EdgeIndex>>,
    /// Nodes inside each call.
    pub inside: Vec<Vec<NodeIndex>>,
    /// Nodes of the top level.
    pub top: Vec<NodeIndex>,
    /// The plan moves traffic.
    pub moves_traffic: bool,
}

impl Graph {
    pub(super) fn new(plan: &Plan) -> Self {
        let size = plan.nodes.len();
        let mut graph = Self {
            incoming: vec![Vec::new(); size],
            outgoing: vec![Vec::new(); size],
            inside: vec![Vec::new(); size],
            top: Vec::new(),
            moves_traffic: plan.nodes.iter().any(|node| match node.action {
                Action::SetWeight(weight) => !weight.is_zero(),
                Action::Promote => true,
                _ => false,
            }),
        };
        for (index, edge) in plan.edges.iter().enumerate() {
            if let Some(list) = graph.outgoing.get_mut(edge.from.0) {
                list.push(EdgeIndex(index));
            }
            if !edge.back
                && let Some(list) = graph.incoming.get_mut(edge.to.0)
            {
                list.push(EdgeIndex(index));
            }
        }
        for (index, node) in plan.nodes.iter().enumerate() {
            match node.scope.and_then(|scope| graph.inside.get_mut(scope.0)) {
                Some(list) => list.push(NodeIndex(index)),
                None => graph.top.push(NodeIndex(index)),
            }
        }
        graph
    }

    /// Nodes that can be reached from `from` without back edges, `from` first.
    pub(super) fn downstream(&self, plan: &Plan, from: &[NodeIndex]) -> Vec<NodeIndex> {
        let mut seen = vec![false; plan.nodes.len()];
        let mut found = Vec::new();
        let mut queue = from.to_vec();
        while let Some(node) = queue.pop() {
            match seen.get_mut(node.0) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            found.push(node);
            for &edge in &self.outgoing[node.0] {
                let edge = &plan.edges[edge.0];
                if !edge.back {
                    queue.push(edge.to);
                }
            }
            queue.extend(&self.inside[node.0]);
        }
        found
    }

    /// Nodes from which `to` can be reached without back edges, calls around it and what lies before them included;
    /// nearest first.
    pub(super) fn upstream(&self, plan: &Plan, to: NodeIndex) -> Vec<NodeIndex> {
        let mut seen = vec![false; plan.nodes.len()];
        let mut found = Vec::new();
        let mut queue = std::collections::VecDeque::from([to]);
        while let Some(node) = queue.pop_front() {
            match seen.get_mut(node.0) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            if node != to {
                found.push(node);
            }
            queue.extend(
                self.incoming[node.0]
                    .iter()
                    .map(|edge| plan.edges[edge.0].from),
            );
            queue.extend(plan.nodes[node.0].scope);
            // What a call did is upstream of what follows the call.
            if node != to {
                queue.extend(
                    self.inside[node.0]
                        .iter()
                        .copied()
                        .filter(|inner| !is_around(plan, *inner, to)),
                );
            }
        }
        found
    }
}

/// `inner` is `of`, or a call around it.
fn is_around(plan: &Plan, inner: NodeIndex, of: NodeIndex) -> bool {
    let mut at = Some(of);
    // Scopes nest at most as deep as there are nodes.
    for _ in 0..=plan.nodes.len() {
        match at {
            Some(node) if node == inner => return true,
            Some(node) => at = plan.nodes.get(node.0).and_then(|node| node.scope),
            None => return false,
        }
    }
    false
}

/// What the incoming edges say.
enum JoinSays {
    Wait,
    Start,
    End(End),
}

impl Machine<'_> {
    /// Starts the roots of a scope.
    pub(super) fn enter(&mut self, scope: Option<NodeIndex>) {
        let graph = self.s.graph.clone();
        let members = match scope {
            None => &graph.top,
            Some(call) => &graph.inside[call.0],
        };
        for &node in members {
            if !graph.incoming[node.0].is_empty() || self.s.nodes[node.0].life != Life::Pending {
                continue;
            }
            if self.is_rollback(node) {
                // A rollback node that nothing leads to is there for failures only.
                self.end_node(node, End::Skipped, Some("nothing has failed".to_owned()));
            } else {
                self.ready(node);
            }
        }
    }

    /// Looks at the nodes whose incoming edges changed.
    pub(super) fn activate(&mut self) -> bool {
        let mut changed = false;
        while let Some(index) = self.s.touched.pop_first() {
            let node = NodeIndex(index);
            if self.s.nodes[index].life != Life::Pending {
                continue;
            }
            match self.join(node) {
                JoinSays::Wait => {}
                JoinSays::Start => {
                    changed = true;
                    self.ready(node);
                }
                JoinSays::End(end) => {
                    changed = true;
                    let why = match end {
                        End::Blocked => self.blocked_reason(node),
                        _ => "no path leads here".to_owned(),
                    };
                    self.end_node(node, end, Some(why));
                }
            }
        }
        changed
    }

    fn ready(&mut self, node: NodeIndex) {
        self.s.nodes[node.0].life = Life::Ready;
        self.s.active.insert(node.0);
    }

    /// S1 and `join_mode`.
    fn join(&self, node: NodeIndex) -> JoinSays {
        let incoming = &self.s.graph.incoming[node.0];
        if incoming.is_empty() {
            // A root starts with its scope.
            return JoinSays::Wait;
        }
        let (mut open, mut taken, mut failed, mut other) = (0_u32, 0_u32, 0_u32, 0_u32);
        for &edge in incoming {
            match self.s.edges[edge.0].phase {
                EdgeLife::Open => open += 1,
                EdgeLife::Taken => taken += 1,
                EdgeLife::NotChosen => other += 1,
                EdgeLife::Failed if self.handled_into(edge, node) => other += 1,
                EdgeLife::Failed => failed += 1,
            }
        }
        let enough = match self.plan.node(node).join {
            Join::Settled if open > 0 => return JoinSays::Wait,
            Join::Settled => taken > 0 && failed == 0,
            Join::All => open == 0 && failed == 0 && other == 0,
            Join::Any => taken > 0,
            Join::Count(count) => taken >= count.max(1),
        };
        if enough {
            return JoinSays::Start;
        }
        let possible = match self.plan.node(node).join {
            Join::All => failed == 0 && other == 0,
            Join::Count(count) => taken.saturating_add(open) >= count.max(1),
            Join::Settled | Join::Any => open > 0,
        };
        if possible && open > 0 {
            JoinSays::Wait
        } else if failed > 0 {
            JoinSays::End(End::Blocked)
        } else {
            JoinSays::End(End::Skipped)
        }
    }

    /// The source of a failed edge failed, and a taken edge into `node` descends from that failure's handler.
    fn handled_into(&self, failed: EdgeIndex, node: NodeIndex) -> bool {
        let mut sources = Vec::new();
        self.failed_sources(self.plan.edges[failed.0].from, &mut sources, 0);
        !sources.is_empty()
            && sources
                .iter()
                .all(|&source| self.descends_from_handler(node, source))
    }

    /// The nodes whose failure is behind `node`'s.
    fn failed_sources(&self, node: NodeIndex, into: &mut Vec<NodeIndex>, depth: usize) {
        match self.s.nodes[node.0].end() {
            Some(End::Blocked) if depth <= self.plan.nodes.len() => {
                for &edge in &self.s.graph.incoming[node.0] {
                    if self.s.edges[edge.0].phase == EdgeLife::Failed {
                        self.failed_sources(self.plan.edges[edge.0].from, into, depth + 1);
                    }
                }
            }
            Some(End::Failed | End::TimedOut | End::Cancelled) if !into.contains(&node) => {
                into.push(node);
            }
            _ => {}
        }
    }

    /// A path of taken edges leads from a failure edge of `source` to `node`.
    fn descends_from_handler(&self, node: NodeIndex, source: NodeIndex) -> bool {
        let mut seen = vec![false; self.plan.nodes.len()];
        let mut queue = vec![node];
        while let Some(at) = queue.pop() {
            if std::mem::replace(&mut seen[at.0], true) {
                continue;
            }
            for &index in &self.s.graph.incoming[at.0] {
                let edge = &self.plan.edges[index.0];
                if self.s.edges[index.0].phase != EdgeLife::Taken {
                    continue;
                }
                if edge.from == source && is_failure_edge(&edge.mode) {
                    return true;
                }
                queue.push(edge.from);
            }
        }
        false
    }

    fn blocked_reason(&self, node: NodeIndex) -> String {
        let mut sources = Vec::new();
        for &edge in &self.s.graph.incoming[node.0] {
            if self.s.edges[edge.0].phase == EdgeLife::Failed {
                self.failed_sources(self.plan.edges[edge.0].from, &mut sources, 0);
            }
        }
        let names: Vec<_> = sources
            .iter()
            .map(|&node| self.plan.node(node).id.as_str())
            .collect();
        format!(
            "it needs {}, which failed",
            if names.is_empty() {
                "a node".to_owned()
            } else {
                names.join(", ")
            }
        )
    }

    /// Ends the calls whose scope is settled.
    pub(super) fn settle_calls(&mut self) -> bool {
        let calls: Vec<NodeIndex> = self
            .s
            .active
            .iter()
            .map(|&index| NodeIndex(index))
            .filter(|&node| {
                matches!(self.plan.node(node).action, Action::Call)
                    && self.s.nodes[node.0].life == Life::Running
            })
            .filter(|&call| {
                !self.s.graph.inside[call.0].iter().any(|inner| {
                    self.s.active.contains(&inner.0) || self.s.touched.contains(&inner.0)
                })
            })
            .collect();
        for &call in &calls {
            let graph = self.s.graph.clone();
            let inside = &graph.inside[call.0];
            for &inner in inside {
                if self.s.nodes[inner.0].life == Life::Pending {
                    self.end_node(inner, End::Skipped, Some("no path led here".to_owned()));
                }
            }
            let blocked = inside
                .iter()
                .find(|inner| self.s.nodes[inner.0].end() == Some(End::Blocked));
            if let Some(&blocked) = blocked {
                let why = format!(
                    "{} could not start: {}",
                    self.plan.node(blocked).id,
                    self.blocked_reason(blocked)
                );
                self.finish_attempt(call, End::Failed, Some(why));
                continue;
            }
            let wanted = &self.plan.node(call).outputs;
            let mut outputs = std::collections::BTreeMap::new();
            for output in wanted {
                let value = inside
                    .iter()
                    .rev()
                    .find_map(|inner| self.s.nodes[inner.0].outputs.get(&output.name));
                if let Some(value) = value {
                    outputs.insert(output.name.clone(), value.clone());
                }
            }
            self.s.nodes[call.0].outputs = outputs;
            self.finish_attempt(call, End::Completed, None);
        }
        !calls.is_empty()
    }
}

/// An edge that is taken when its source fails.
pub(super) fn is_failure_edge(mode: &EdgeMode) -> bool {
    matches!(
        mode,
        EdgeMode::Fallback(_) | EdgeMode::Error(_) | EdgeMode::Timeout
    )
}
