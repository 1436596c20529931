//! What is left to be done by hand when a release was promoted.

use canary_orchestrator::machine::{NodePhase, Outcome, Report};
use canary_orchestrator::osop::settings::RouterKind;
use canary_orchestrator::plan::{Action, Plan};
use canary_traffic::Weight;

use super::span::{Line, Tone, wrap};
use crate::demo;

/// A local splitter still sends everything to the canary's address, and no next release begins before that is put right.
/// Lines that say so, unless the workflow did it: by `workload.promote`, or by a node that ran when the canary had everything.
pub(crate) fn left_to_do(plan: &Plan, report: &Report, width: usize) -> Vec<Line> {
    let settings = &plan.settings;
    let traffic = &settings.traffic;
    let local = match traffic.router.as_ref().map(|kind| kind.value) {
        Some(kind) => kind == RouterKind::Local,
        None => traffic.proxy.is_some(),
    };
    let observed = report.traffic.as_ref().and_then(|traffic| traffic.observed);
    if report.outcome != Some(Outcome::Promoted)
        || observed != Some(Weight::FULL)
        || !local
        || settings.workload.promote.is_some()
        || demo::is_demo(plan)
        || did_it(plan, report)
    {
        return Vec::new();
    }
    let proxy = traffic
        .proxy
        .as_ref()
        .map_or("local", |proxy| proxy.value.as_str());
    let text = format!(
        "the proxy `{proxy}` still sends everything to the canary's address: start the new version at stable's address too, \
         then restart the proxy (it begins at 0 %); until then no other release can begin. \
         A command in `workload.promote` does it as a part of the release."
    );
    let mut lines = vec![Line::default()];
    for (index, text) in wrap(&text, width.saturating_sub(12)).iter().enumerate() {
        let mark = if index == 0 { "  to do: " } else { "         " };
        lines.push(Line::default().add(mark, Tone::Warn).add(text, Tone::Plain));
    }
    lines
}

/// A command ran after the canary had everything: it may have been the one.
fn did_it(plan: &Plan, report: &Report) -> bool {
    let since = report.traffic.as_ref().and_then(|traffic| traffic.since);
    plan.nodes.iter().zip(&report.nodes).any(|(node, seen)| {
        matches!(node.action, Action::Task(_))
            && seen.status == NodePhase::Completed
            && since.is_some()
            && seen.started_at >= since
    })
}
