//! What can be said of a graph before it runs.

mod overlap;
mod weights;

use std::collections::BTreeSet;

use canary_analyzer::gate::{Gate, Metric};
use canary_analyzer::metric::PRESETS;

use super::compile::Arrow;
use super::compile::Frame;
use super::model::{Action, Edge, Node, NodeIndex};
use crate::diagnostic::{Diagnostics, codes, quote};
use crate::osop::settings::Settings;

/// Checks the graph of one workflow; `nodes` are those of the plan so far, with its own from `frame.first`.
pub(super) fn graph(
    frame: &Frame<'_>,
    nodes: &[Node],
    refused: &BTreeSet<NodeIndex>,
    edges: &[(Edge, Arrow)],
    guarded: bool,
    d: &mut Diagnostics,
) {
    let all = frame.first..frame.first + frame.workflow.nodes.len();
    let own = &nodes[all.clone()];
    let unknown: Vec<bool> = all.map(|node| refused.contains(&NodeIndex(node))).collect();
    // What an edge or node that was refused would have done is not known: nothing is said of what may depend on it.
    let lost = frame.workflow.lost;
    if !lost.edges && !lost.nodes {
        reachable(frame, d);
        weights::check(frame, own, &unknown, guarded, d);
    }
    if !lost.nodes && !unknown.contains(&true) {
        way_back(frame, own, d);
    }
    overlap::check(frame, own, edges, d);
}

fn reachable(frame: &Frame<'_>, d: &mut Diagnostics) {
    let count = frame.workflow.nodes.len();
    if count < 2 {
        return;
    }
    let mut entered = vec![false; count];
    let mut touched = vec![false; count];
    let mut begins_cycle = vec![false; count];
    for arrow in &frame.arrows {
        touched[arrow.from] = true;
        touched[arrow.to] = true;
        if arrow.back && arrow.from != arrow.to {
            begins_cycle[arrow.to] = true;
        } else {
            entered[arrow.to] |= arrow.from != arrow.to;
        }
    }
    for node in 0..count {
        let id = &frame.node(node).id;
        // The first node of the file may be the start of a cycle; any other one would start by chance.
        if node > 0 && begins_cycle[node] && !entered[node] {
            d.error(codes::UNREACHABLE, id.span, format!("nothing leads to {} but what comes after it: the cycle cannot be entered", quote(&id.value)))
                .help("add an edge from a node that runs before, or remove the edge that closes the cycle");
        } else if !touched[node] && !frame.node(node).is_rollback() {
            // The rollback node needs no edge: it runs after a failure that nothing else handles.
            d.warning(
                codes::UNREACHABLE,
                id.span,
                format!(
                    "no edge touches {}: it runs at once, beside everything else",
                    quote(&id.value)
                ),
            )
            .help("connect it with an edge, or remove it");
        }
    }
}

/// Traffic that is moved should have a way back.
fn way_back(frame: &Frame<'_>, nodes: &[Node], d: &mut Diagnostics) {
    let first = nodes.iter().position(|node| match &node.action {
        Action::SetWeight(weight) => !weight.is_zero(),
        Action::Promote => true,
        _ => false,
    });
    let Some(first) = first else { return };
    let rollback = nodes
        .iter()
        .any(|node| node.rollback || matches!(node.action, Action::Rollback));
    if frame.scope.is_none() && !rollback {
        let id = &frame.node(first).id;
        d.warning(codes::NO_ROLLBACK, id.span, format!("{} moves traffic, and the workflow has no rollback node", quote(&id.value)))
            .help("a failure still sets the weight to 0; add a node `rollback` (`tool: canary`, `action: rollback`) to put the workload back, too");
    }
}

/// What gates need from the settings.
///
/// `sure`: what all nodes do is known.
pub(super) fn gates(
    settings: &Settings,
    gates: &[Gate],
    nodes: &[Node],
    sure: bool,
    d: &mut Diagnostics,
) {
    let Some(gate) = gates.first() else { return };
    let place = |gate: &Gate| {
        let written = settings
            .gates
            .iter()
            .find(|written| written.name.value == gate.name);
        written.map_or_else(Default::default, |written| written.name.span)
    };
    let needs_metrics = gates
        .iter()
        .find(|gate| !matches!(gate.metric, Metric::Query { .. }));
    if let Some(gate) = needs_metrics
        && settings.metrics.span.is_none()
        && !settings.is_refused("metrics")
    {
        let known: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        d.error(
            codes::MISSING_KEY,
            place(gate),
            format!(
                "gate {} needs to know how the service's requests are counted",
                quote(&gate.name)
            ),
        )
        .help(format!(
            "add to the profile (or `x-canary`):\nmetrics:\n  preset: {}",
            known.first().copied().unwrap_or("app")
        ))
        .help(format!(
            "known presets are {}; or name the metrics yourself",
            known.join(", ")
        ));
    }
    let needs_prometheus = gates
        .iter()
        .find(|gate| matches!(gate.metric, Metric::Query { .. }));
    if settings.is_refused("sources") {
        // What is missing may be what was refused.
    } else if let Some(gate) = needs_prometheus
        && settings.sources.prometheus.is_none()
    {
        d.error(codes::MISSING_KEY, place(gate), format!("gate {} asks a Prometheus, and none is named", quote(&gate.name)))
            .help("add to the profile (or `x-canary`):\nsources:\n  prometheus:\n    url: http://prometheus:9090");
    } else if settings.sources.prometheus.is_none() && settings.sources.scrape.is_none() {
        d.error(codes::MISSING_KEY, place(gate), format!("gate {} has no source of evidence", quote(&gate.name)))
            .help("add to the profile (or `x-canary`):\nsources:\n  prometheus:\n    url: http://prometheus:9090")
            .help("or, without a Prometheus:\nsources:\n  scrape:\n    stable: [http://127.0.0.1:8081/metrics]\n    canary: [http://127.0.0.1:8082/metrics]");
    }
    let judged = nodes.iter().any(|node| {
        matches!(
            node.action,
            Action::Analyze(_) | Action::SetWeight(_) | Action::Promote
        )
    });
    if !judged && sure {
        d.warning(
            codes::UNKNOWN_GATE,
            place(gate),
            "the gates are never looked at: nothing in the workflow moves traffic by canary",
        )
        .help(
            "gates watch traffic that native actions move (`tool: canary`, `action: set-weight`)",
        );
    }
}
