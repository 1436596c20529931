//! One workflow while it is compiled: its graph, and which outputs are known where.

use std::collections::{BTreeMap, HashMap};

use crate::osop::model::{Edge, EdgeMode, Node, Workflow};
use crate::plan::model::{self, NodeIndex};
use crate::plan::template::Template;

/// One workflow while it is compiled.
pub(in crate::plan) struct Frame<'w> {
    /// The workflow.
    pub(in crate::plan) workflow: &'w Workflow,
    /// Before the ids of its nodes in the plan: empty, or `call/`.
    pub(super) prefix: String,
    /// The call that it is inside of.
    pub(in crate::plan) scope: Option<NodeIndex>,
    /// Index of its first node in the plan.
    pub(in crate::plan) first: usize,
    /// What its caller gives, over its own variables.
    pub(super) inputs: BTreeMap<String, Template>,
    /// Its ways, with the targets of switches apart.
    pub(in crate::plan) arrows: Vec<Arrow>,
    /// By node, the arrows into it.
    incoming: Vec<Vec<usize>>,
    ids: HashMap<&'w str, usize>,
    /// Nodes by output.
    producers: HashMap<&'w str, Vec<usize>>,
    /// By node, a bit for each node that runs before it.
    before: Vec<Vec<u64>>,
}

/// One way of a workflow.
#[derive(Debug, Clone, Copy)]
pub(in crate::plan) struct Arrow {
    /// Index of the edge in the file.
    pub(in crate::plan) edge: usize,
    /// Source, as an index into the workflow's nodes.
    pub(in crate::plan) from: usize,
    /// Target.
    pub(in crate::plan) to: usize,
    /// Which case of a switch it is.
    pub(super) case: Case,
    /// Leads back to a node that runs before its source.
    pub(in crate::plan) back: bool,
}

/// Which case of a switch an arrow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// The edge itself.
    Edge,
    /// `cases[n]`
    Number(usize),
    /// `default_to`
    Default,
}

impl<'w> Frame<'w> {
    pub(super) fn new(
        workflow: &'w Workflow,
        nodes: &[model::Node],
        scope: Option<NodeIndex>,
        prefix: String,
    ) -> Self {
        let ids: HashMap<&str, usize> = workflow
            .nodes
            .iter()
            .enumerate()
            .map(|(local, node)| (node.id.value.as_str(), local))
            .collect();
        let mut producers: HashMap<&str, Vec<usize>> = HashMap::new();
        for (local, node) in workflow.nodes.iter().enumerate() {
            for port in &node.outputs {
                producers
                    .entry(port.name.value.as_str())
                    .or_default()
                    .push(local);
            }
        }
        let mut arrows = Vec::with_capacity(workflow.edges.len());
        for (edge, written) in workflow.edges.iter().enumerate() {
            arrows_of(edge, written, &ids, &mut arrows);
        }
        mark_back(&mut arrows, workflow);
        let before = ancestors(&arrows, workflow.nodes.len());
        let mut incoming = vec![Vec::new(); workflow.nodes.len()];
        for (n, arrow) in arrows.iter().enumerate() {
            incoming[arrow.to].push(n);
        }
        let mut frame = Self {
            workflow,
            prefix,
            scope,
            first: nodes.len(),
            inputs: BTreeMap::new(),
            arrows,
            incoming,
            ids,
            producers,
            before,
        };
        frame.mark_loops();
        frame
    }

    /// A loop edge leads back where its target runs before its source.
    fn mark_loops(&mut self) {
        for n in 0..self.arrows.len() {
            let arrow = self.arrows[n];
            let mode = self.edge(&arrow).mode.value;
            if mode == EdgeMode::Loop {
                self.arrows[n].back =
                    arrow.from == arrow.to || self.runs_before(arrow.to, arrow.from);
            }
        }
    }

    pub(in crate::plan) fn edge(&self, arrow: &Arrow) -> &'w Edge {
        &self.workflow.edges[arrow.edge]
    }

    pub(in crate::plan) fn node(&self, local: usize) -> &'w Node {
        &self.workflow.nodes[local]
    }

    /// Id of a node in the plan.
    pub(super) fn plan_id(&self, local: usize) -> String {
        format!("{}{}", self.prefix, self.node(local).id.value)
    }

    pub(super) fn index(&self, local: usize) -> NodeIndex {
        NodeIndex(self.first + local)
    }

    /// The node of this id; `-` and `.` may be written `_`.
    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.ids.get(id).copied().or_else(|| {
            let mut alike = self.workflow.nodes.iter().enumerate().filter(|(_, node)| {
                let known = &node.id.value;
                known.len() == id.len() && known.replace(['-', '.'], "_") == id
            });
            let (first, _) = alike.next()?;
            alike.next().is_none().then_some(first)
        })
    }

    /// Nodes that declare this output.
    pub(super) fn producers(&self, output: &str) -> &[usize] {
        self.producers.get(output).map_or(&[], Vec::as_slice)
    }

    /// Every declared output.
    pub(super) fn outputs(&self) -> impl Iterator<Item = &'w str> {
        self.producers.keys().copied()
    }

    pub(super) fn runs_before(&self, first: usize, then: usize) -> bool {
        self.before[then][first / 64] & (1 << (first % 64)) != 0
    }

    /// Arrows into a node, in the order of the file.
    pub(super) fn incoming(&self, local: usize) -> impl Iterator<Item = &Arrow> {
        self.incoming[local]
            .iter()
            .map(|arrow| &self.arrows[*arrow])
    }
}

fn arrows_of(edge: usize, written: &Edge, ids: &HashMap<&str, usize>, arrows: &mut Vec<Arrow>) {
    let id = |text: &str| ids.get(text).copied();
    let Some(from) = id(&written.from.value) else {
        return;
    };
    let mut add = |to: Option<usize>, case: Case| {
        if let Some(to) = to {
            arrows.push(Arrow {
                edge,
                from,
                to,
                case,
                back: false,
            });
        }
    };
    if written.mode.value == EdgeMode::Switch && !written.cases.is_empty() {
        for (n, case) in written.cases.iter().enumerate() {
            add(id(&case.to.value), Case::Number(n));
        }
        let to = &written.to.value;
        match &written.default_to {
            Some(default) => add(id(&default.value), Case::Default),
            // `to` is required by the schema; where it repeats a case it says nothing more.
            None if written.cases.iter().all(|case| case.to.value != *to) => {
                add(id(to), Case::Default);
            }
            None => {}
        }
        return;
    }
    add(id(&written.to.value), Case::Edge);
    if let Some(default) = &written.default_to {
        add(id(&default.value), Case::Default);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    New,
    Open,
    Done,
}

/// Marks arrows that close a cycle, found depth first from the nodes that nothing leads to.
fn mark_back(arrows: &mut [Arrow], workflow: &Workflow) {
    let count = workflow.nodes.len();
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut incoming = vec![0_usize; count];
    for (n, arrow) in arrows.iter_mut().enumerate() {
        // Loops are looked at when everything else is known.
        if workflow.edges[arrow.edge].mode.value == EdgeMode::Loop || arrow.from == arrow.to {
            arrow.back = true;
        } else {
            out[arrow.from].push(n);
            incoming[arrow.to] += 1;
        }
    }
    let mut marks = vec![Mark::New; count];
    let roots = (0..count).filter(|n| incoming[*n] == 0);
    let order: Vec<usize> = roots.chain(0..count).collect();
    for root in order {
        if marks[root] != Mark::New {
            continue;
        }
        marks[root] = Mark::Open;
        let mut stack = vec![(root, 0_usize)];
        while let Some((node, next)) = stack.last_mut() {
            let node = *node;
            let Some(arrow) = out[node].get(*next).copied() else {
                marks[node] = Mark::Done;
                stack.pop();
                continue;
            };
            *next += 1;
            let to = arrows[arrow].to;
            match marks[to] {
                Mark::New => {
                    marks[to] = Mark::Open;
                    stack.push((to, 0));
                }
                Mark::Open => arrows[arrow].back = true,
                Mark::Done => {}
            }
        }
    }
}

/// By node, a bit for each node that runs before it; ways back do not count.
fn ancestors(arrows: &[Arrow], count: usize) -> Vec<Vec<u64>> {
    let words = count.div_ceil(64);
    let mut before = vec![vec![0_u64; words]; count];
    let mut incoming = vec![0_usize; count];
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); count];
    for arrow in arrows.iter().filter(|arrow| !arrow.back) {
        incoming[arrow.to] += 1;
        out[arrow.from].push(arrow.to);
    }
    let mut ready: Vec<usize> = (0..count).filter(|n| incoming[*n] == 0).collect();
    while let Some(node) = ready.pop() {
        let mut known = std::mem::take(&mut before[node]);
        known[node / 64] |= 1 << (node % 64);
        for &to in &out[node] {
            for (word, more) in before[to].iter_mut().zip(&known) {
                *word |= more;
            }
            incoming[to] -= 1;
            if incoming[to] == 0 {
                ready.push(to);
            }
        }
        known[node / 64] &= !(1 << (node % 64));
        before[node] = known;
    }
    before
}
