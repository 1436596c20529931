//! Weights along every path: never down on the way up, never up without fresh evidence, and all the way in the end.

use std::collections::BTreeMap;

use crate::diagnostic::{Diagnostics, codes, quote};
use crate::plan::compile::{Frame, handles_failure};
use crate::plan::model::{Action, Node};

/// Weights that may be in force, and whether there was evidence since on every path to each.
type Known = BTreeMap<u8, bool>;

/// `unknown`: by node, whether it was refused, so that nobody knows what it would have done.
pub(super) fn check(
    frame: &Frame<'_>,
    nodes: &[Node],
    unknown: &[bool],
    guarded: bool,
    d: &mut Diagnostics,
) {
    let moves = |node: &Node| matches!(node.action, Action::SetWeight(_) | Action::Promote);
    if !nodes.iter().any(moves) {
        return;
    }
    let mut after: Vec<Known> = vec![Known::new(); nodes.len()];
    let mut incoming = vec![0_usize; nodes.len()];
    let mut out: Vec<Vec<(usize, bool)>> = vec![Vec::new(); nodes.len()];
    for arrow in frame.arrows.iter().filter(|arrow| !arrow.back) {
        incoming[arrow.to] += 1;
        let failed = handles_failure(frame.edge(arrow).mode.value) || nodes[arrow.to].rollback;
        out[arrow.from].push((arrow.to, failed));
    }
    let mut ready: Vec<usize> = (0..nodes.len())
        .filter(|node| incoming[*node] == 0)
        .collect();
    for &root in &ready {
        after[root].insert(0, true);
    }
    while let Some(local) = ready.pop() {
        let before = std::mem::take(&mut after[local]);
        let known = if unknown[local] {
            // It may be a check.
            before.into_keys().map(|weight| (weight, true)).collect()
        } else {
            pass(frame, local, &nodes[local], before, guarded, d)
        };
        for &(to, failed) in &out[local] {
            // A failure sets the weight to 0 before anything else happens.
            if failed {
                merge(&mut after[to], 0, true);
            } else {
                for (&weight, &checked) in &known {
                    merge(&mut after[to], weight, checked);
                }
            }
            incoming[to] -= 1;
            if incoming[to] == 0 {
                ready.push(to);
            }
        }
        after[local] = known;
    }
    if !unknown.contains(&true) {
        never_promoted(frame, nodes, d);
    }
}

fn merge(known: &mut Known, weight: u8, checked: bool) {
    known
        .entry(weight)
        .and_modify(|all| *all &= checked)
        .or_insert(checked);
}

/// What is known after a node.
fn pass(
    frame: &Frame<'_>,
    local: usize,
    node: &Node,
    before: Known,
    guarded: bool,
    d: &mut Diagnostics,
) -> Known {
    let target = match &node.action {
        Action::SetWeight(weight) => weight.percent(),
        Action::Promote => 100,
        Action::Rollback => return Known::from([(0, true)]),
        Action::Analyze(_) | Action::Measure(_) | Action::Ask(_) => {
            return before.into_keys().map(|weight| (weight, true)).collect();
        }
        _ if node.approval.is_some() => {
            return before.into_keys().map(|weight| (weight, true)).collect();
        }
        _ => return before,
    };
    let id = &frame.node(local).id;
    let highest = before.keys().copied().max().unwrap_or(0);
    if target > 0 && target < highest && !node.rollback {
        d.error(codes::WEIGHT_DOWN, id.span, format!("{} sets the weight to {target} % after {highest} %: on the way up it never goes down", quote(&id.value)))
            .help("put the steps in rising order; a way back sets the weight to 0");
    }
    let agreed = node.approval.is_some();
    let unchecked = before
        .iter()
        .find(|(weight, checked)| **weight > 0 && **weight < target && !**checked);
    if let Some((weight, _)) = unchecked
        && !guarded
        && !agreed
    {
        d.error(
            codes::UNCHECKED_WEIGHT,
            id.span,
            format!("{} raises the weight from {weight} % to {target} % without a check: it never rises without fresh evidence", quote(&id.value)),
        )
        .help("put an `analyze` node, a Prometheus query with conditions, or a `human` approval between them")
        .help("or add gates to `x-canary`, which are watched for as long as the canary has traffic");
    }
    let mut known = Known::new();
    for (weight, checked) in before {
        merge(&mut known, target, target <= weight && checked);
    }
    known
}

fn never_promoted(frame: &Frame<'_>, nodes: &[Node], d: &mut Diagnostics) {
    let weight = |node: &Node| match &node.action {
        Action::SetWeight(weight) => Some(weight.percent()),
        Action::Promote => Some(100),
        _ => None,
    };
    let last = (0..nodes.len())
        .filter_map(|local| Some((weight(&nodes[local])?, local)))
        .max();
    if let Some((highest @ 1..=99, local)) = last
        && frame.scope.is_none()
    {
        let id = &frame.node(local).id;
        d.warning(codes::NEVER_PROMOTED, id.span, format!("the workflow moves traffic to {highest} % and never further: the run will be blocked there at its end"))
            .help("add a node with `tool: canary` and `action: promote`");
    }
}
