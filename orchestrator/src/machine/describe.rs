//! The report: a pure function of the state, made when somebody looks.

use canary_analyzer::gate::Verdict;
use jiff::Timestamp;

use super::check::guard_gate;
use super::report::{
    EdgePhase, EdgeReport, GateReport, NodePhase, NodeReport, NotificationsReport, Report,
    RunPhase, TrafficReport,
};
use super::state::{Cause, EdgeLife, End, Life, NodeState, Stage, State};
use super::waits::Reader;
use super::watch::GateWatch;
use crate::plan::{Action, EdgeMode, GateIndex, Node, NodeIndex, Plan};

/// What is going on at that time, why, what is waited for, and what a person may run.
pub fn report(plan: &Plan, state: &State, at: Timestamp) -> Report {
    let reader = Reader { plan, s: state, at };
    let (headline, next) = reader.headline();
    Report {
        workflow: plan.id.clone(),
        name: plan.name.clone(),
        service: plan.service.clone(),
        phase: phase(state),
        headline,
        outcome: state.outcome(),
        traffic: state.graph.moves_traffic.then(|| TrafficReport {
            desired: state.traffic.desired,
            observed: state.traffic.observed,
            since: state.traffic.since,
            first_at: state.traffic.first_at,
            problem: state.traffic.problem.clone(),
        }),
        nodes: plan
            .nodes
            .iter()
            .zip(&state.nodes)
            .enumerate()
            .map(|(index, (node, seen))| node_report(state, NodeIndex(index), node, seen))
            .collect(),
        edges: plan
            .edges
            .iter()
            .zip(&state.edges)
            .filter_map(|(edge, seen)| {
                Some(EdgeReport {
                    from: plan.nodes.get(edge.from.0)?.id.clone(),
                    to: plan.nodes.get(edge.to.0)?.id.clone(),
                    mode: mode_word(&edge.mode).to_owned(),
                    status: match seen.phase {
                        EdgeLife::Open => EdgePhase::Open,
                        EdgeLife::Taken => EdgePhase::Taken,
                        EdgeLife::NotChosen => EdgePhase::NotChosen,
                        EdgeLife::Failed => EdgePhase::Failed,
                    },
                    explanation: seen.explanation.clone(),
                })
            })
            .collect(),
        gates: (0..plan.gates.len())
            .map(|index| gate_report(plan, state, GateIndex(index)))
            .collect(),
        waits: reader.waits(),
        cost: state.cost.cost,
        notifications: NotificationsReport {
            sent: state.sent,
            waiting: u32::try_from(state.next_notification.saturating_sub(1))
                .unwrap_or(u32::MAX)
                .saturating_sub(u32::try_from(state.notified.len()).unwrap_or(u32::MAX)),
            failed: state.given_up,
        },
        answers: state.answers.clone(),
        started_at: state.started_at,
        ended_at: state.ended_at,
        at,
        next,
    }
}

fn phase(state: &State) -> RunPhase {
    match &state.stage {
        Stage::New => RunPhase::New,
        Stage::Ended { .. } => RunPhase::Ended,
        Stage::Forward | Stage::Failing(_) if !state.blocks.is_empty() => RunPhase::Blocked,
        Stage::Failing(_) => RunPhase::RollingBack,
        Stage::Forward if state.paused.is_some() => RunPhase::Paused,
        Stage::Forward
            if state
                .active
                .iter()
                .any(|&index| matches!(state.nodes[index].life, Life::Waiting { .. })) =>
        {
            RunPhase::Waiting
        }
        Stage::Forward if state.bake.is_some() && state.traffic.since.is_some() => RunPhase::Baking,
        Stage::Forward | Stage::Closing { .. } => RunPhase::Progressing,
    }
}

fn node_report(state: &State, index: NodeIndex, node: &Node, seen: &NodeState) -> NodeReport {
    let blocked = state.blocks.iter().any(|block| {
        [
            Cause::Check(index),
            Cause::Route(index),
            Cause::Evidence(index),
        ]
        .contains(&block.cause)
    });
    let doubt = state
        .blocks
        .iter()
        .any(|block| block.cause == Cause::Doubt(index));
    NodeReport {
        id: node.id.clone(),
        kind: node.kind.clone(),
        purpose: node.purpose.clone(),
        action: action_words(&node.action, &node.kind),
        status: match seen.life {
            _ if doubt => NodePhase::InDoubt,
            _ if blocked => NodePhase::Blocked,
            Life::Pending => NodePhase::Pending,
            Life::Ready | Life::Backoff { .. } => NodePhase::Ready,
            Life::Waiting { .. } => NodePhase::Waiting,
            Life::Running | Life::Cancelling { .. } => NodePhase::Running,
            Life::Verifying { .. } => NodePhase::InDoubt,
            Life::Stuck | Life::Done(End::Blocked) => NodePhase::Blocked,
            Life::Done(End::Completed) => NodePhase::Completed,
            Life::Done(End::Failed) => NodePhase::Failed,
            Life::Done(End::TimedOut) => NodePhase::TimedOut,
            Life::Done(End::Skipped) => NodePhase::Skipped,
            Life::Done(End::Cancelled) => NodePhase::Cancelled,
        },
        attempts: seen.tries(),
        iteration: seen.iteration.saturating_add(1),
        started_at: seen.started_at,
        ended_at: seen.ended_at,
        reason: seen.reason.clone(),
        outputs: seen.outputs.clone(),
    }
}

fn action_words(action: &Action, kind: &str) -> String {
    match action {
        Action::Task(_) => kind.to_owned(),
        Action::Measure(_) => "measure".to_owned(),
        Action::Ask(_) => "ask a person".to_owned(),
        Action::SetWeight(weight) => format!("set weight {weight}"),
        Action::Analyze(analyze) if analyze.gates.len() == 1 => "analyze 1 gate".to_owned(),
        Action::Analyze(analyze) => format!("analyze {} gates", analyze.gates.len()),
        Action::Promote => "promote".to_owned(),
        Action::Rollback => "roll back".to_owned(),
        Action::VerifyWeight(_) => "verify weight".to_owned(),
        Action::Scale(count) => format!("scale to {count}"),
        Action::Call => "call a workflow".to_owned(),
    }
}

fn mode_word(mode: &EdgeMode) -> &'static str {
    match mode {
        EdgeMode::Sequential => "sequential",
        EdgeMode::Parallel => "parallel",
        EdgeMode::Conditional(_) | EdgeMode::Otherwise => "conditional",
        EdgeMode::Switch(_) => "switch",
        EdgeMode::Fallback(_) => "fallback",
        EdgeMode::Error(_) => "error",
        EdgeMode::Timeout => "timeout",
        EdgeMode::Loop(_) => "loop",
    }
}

/// The watch that says most about a gate now: the check in progress, else the guard, else the last check.
fn gate_report(plan: &Plan, state: &State, index: GateIndex) -> GateReport {
    let gate = plan.gate(index);
    let guard = state.guards.iter().find(|one| one.gate == index);
    let in_check = |running: bool| {
        state
            .nodes
            .iter()
            .enumerate()
            .filter(move |(_, node)| (node.life == Life::Running) == running)
            .filter_map(|(at, node)| {
                let check = node.check.as_deref()?;
                let one = check.gates.iter().find(|one| one.gate == index)?;
                Some((at, one, check.until, node.ended_at))
            })
    };
    let last = || in_check(false).max_by_key(|(_, _, _, ended)| *ended);
    let running = in_check(true).next();
    let (node, one, until): (Option<usize>, Option<&GateWatch>, Option<Timestamp>) =
        match (running, guard) {
            (Some((at, one, until, _)), _) => (Some(at), Some(one), until),
            (None, Some(one)) if state.guarding => (None, Some(one), None),
            (None, guard) => match last() {
                Some((at, one, ..)) => (Some(at), Some(one), None),
                None => (None, guard, None),
            },
        };
    let as_guard = node.is_none() && guard.is_some();
    let watched = if as_guard {
        guard_gate(gate)
    } else {
        gate.clone()
    };
    let (now, live) = (
        one,
        node.is_none_or(|at| state.nodes[at].life == Life::Running)
            && !matches!(state.stage, Stage::Ended { .. }),
    );
    GateReport {
        name: gate.name.clone(),
        node: node.map(|at| plan.nodes[at].id.clone()),
        guard: guard.is_some(),
        limit: gate.limit(),
        unit: gate.unit,
        value: now
            .and_then(|one| one.last.as_ref())
            .and_then(|last| last.value),
        last: now.and_then(|one| one.last.as_ref()).map(|last| last.phase),
        message: now
            .and_then(|one| one.last.as_ref())
            .map(|last| last.message.clone()),
        requests: now
            .and_then(|one| one.last.as_ref())
            .and_then(|last| last.requests),
        pending_until: if live {
            now.and_then(GateWatch::pending_until)
        } else {
            None
        },
        verdict: now.map_or(Verdict::Running, |one| {
            if live {
                one.tally.verdict(&watched)
            } else {
                one.tally.conclude(&watched)
            }
        }),
        passed: now.map_or(0, |one| one.tally.passed()),
        failed: now.map_or(0, |one| one.tally.failed()),
        failure_limit: gate.failure_limit,
        inconclusive: now.map_or(0, |one| one.tally.inconclusive()),
        errors: now.map_or(0, |one| one.tally.errors()),
        count: if as_guard { None } else { gate.count },
        history: now.map_or_else(Vec::new, |one| one.history.iter().copied().collect()),
        next_at: if live {
            now.and_then(|one| one.next_at(&watched))
        } else {
            None
        },
        until: if live { until } else { None },
    }
}
