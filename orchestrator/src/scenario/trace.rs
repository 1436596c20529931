//! What happened in a simulated run, as text: one line per event, its commands below.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use super::simulation::Moment;
use crate::machine::{Command, Event, OperatorAction, Watch};
use crate::plan::{GateIndex, NodeIndex, Plan};

/// Every event but timers that led to nothing, with what followed.
pub fn trace(plan: &Plan, moments: &[Moment]) -> String {
    let start = moments.first().map(|moment| moment.at);
    let mut text = String::new();
    for moment in moments {
        let quiet = matches!(
            moment.event,
            Event::Timer | Event::NodeStarted { .. } | Event::Notified { .. }
        );
        if quiet && moment.commands.is_empty() {
            continue;
        }
        let at = start.map_or(SignedDuration::ZERO, |start| {
            moment.at.duration_since(start)
        });
        let _ = writeln!(text, "{:>9}  {}", clock(at), event(plan, &moment.event));
        for one in &moment.commands {
            let _ = writeln!(text, "{:>9}    -> {}", "", command(plan, one, start));
        }
    }
    text
}

/// Seconds since the start: `75s`, `0.25s`.
pub fn clock(at: SignedDuration) -> String {
    let millis = at.as_millis();
    if millis % 1000 == 0 {
        format!("{}s", millis / 1000)
    } else {
        let fraction = format!("{:03}", (millis % 1000).abs());
        format!("{}.{}s", millis / 1000, fraction.trim_end_matches('0'))
    }
}

fn node(plan: &Plan, node: NodeIndex) -> &str {
    plan.nodes
        .get(node.0)
        .map_or("(unknown node)", |node| node.id.as_str())
}

fn gate(plan: &Plan, gate: GateIndex, watch: Watch) -> String {
    let name = plan
        .gates
        .get(gate.0)
        .map_or("(unknown gate)", |gate| gate.name.as_str());
    match watch {
        Watch::Guard => format!("guard {name}"),
        Watch::Node(of) => format!("{name} for {}", node(plan, of)),
    }
}

fn event(plan: &Plan, event: &Event) -> String {
    match event {
        Event::Started => "started".to_owned(),
        Event::Resumed => "resumed by another driver".to_owned(),
        Event::WorkloadFailed { why } => format!("the canary cannot serve: {why}"),
        Event::NodeStarted {
            node: index,
            attempt,
            ..
        } => format!("{} began (attempt {attempt})", node(plan, *index)),
        Event::NodeFinished {
            node: index,
            attempt,
            result,
        } => {
            let status = word(&result.status);
            let error = result
                .error
                .as_ref()
                .map(|error| format!(": {error}"))
                .unwrap_or_default();
            format!("{} {status} (attempt {attempt}){error}", node(plan, *index))
        }
        Event::NodeVerified {
            node: index,
            finished,
            ..
        } => match finished {
            Ok(true) => format!("{} had finished", node(plan, *index)),
            Ok(false) => format!("{} had not finished", node(plan, *index)),
            Err(error) => format!(
                "nobody knows whether {} had finished: {error}",
                node(plan, *index)
            ),
        },
        Event::Measured {
            gate: index,
            watch,
            measurement,
        } => {
            format!(
                "{} {}: {}",
                gate(plan, *index, *watch),
                word(&measurement.phase),
                measurement.message
            )
        }
        Event::WeightChanged { weight, foreign } => {
            let who = foreign.as_deref().unwrap_or("somebody");
            format!("the router says {weight} now, set by {who}")
        }
        Event::WeightObserved {
            weight,
            pending,
            foreign,
            ..
        } => {
            let pending = pending
                .as_ref()
                .map(|why| format!(", not in effect: {why}"))
                .unwrap_or_default();
            let foreign = foreign
                .as_ref()
                .map(|who| format!(", set by {who}"))
                .unwrap_or_default();
            format!("weight is {weight}{pending}{foreign}")
        }
        Event::WeightFailed { error, .. } => format!("router failed: {error}"),
        Event::CostCounted { cost } => match cost {
            Some(cost) => format!(
                "cost: {} of {} requests went wrong",
                cost.bad, cost.requests
            ),
            None => "cost: not known".to_owned(),
        },
        Event::Timer => "timer".to_owned(),
        Event::Operator { action, by, reason } => {
            let because = reason
                .as_ref()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            format!("{by} asks to {}{because}", verb(action))
        }
        Event::Notified { channel, error, .. } => match error {
            None => format!("{channel} took a notification"),
            Some(error) => format!("{channel} did not take a notification: {error}"),
        },
    }
}

fn verb(action: &OperatorAction) -> String {
    match action {
        OperatorAction::Abort { signal: None } => "abort".to_owned(),
        OperatorAction::Abort {
            signal: Some(signal),
        } => format!("abort (signal {signal})"),
        OperatorAction::Promote { full: false } => "promote".to_owned(),
        OperatorAction::Promote { full: true } => "promote --full".to_owned(),
        OperatorAction::Pause => "pause".to_owned(),
        OperatorAction::Resume => "resume".to_owned(),
        OperatorAction::Retry => "retry".to_owned(),
        OperatorAction::Answer {
            node,
            approve: true,
        } => format!("approve {node}"),
        OperatorAction::Answer {
            node,
            approve: false,
        } => format!("reject {node}"),
    }
}

/// The word of a simple enum as it is written.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text.replace('_', " "),
        _ => "?".to_owned(),
    }
}

fn command(plan: &Plan, command: &Command, start: Option<Timestamp>) -> String {
    match command {
        Command::StartNode {
            node: index,
            attempt,
            ..
        } => format!("start {} (attempt {attempt})", node(plan, *index)),
        Command::CancelNode {
            node: index,
            attempt,
            reason,
        } => {
            format!(
                "cancel {} (attempt {attempt}): {reason}",
                node(plan, *index)
            )
        }
        Command::VerifyNode { node: index, .. } => format!("verify {}", node(plan, *index)),
        Command::EndProcess { node: index, .. } => {
            format!("end what is left of {}", node(plan, *index))
        }
        Command::SetWeight { weight, .. } => format!("set weight {weight}"),
        Command::ObserveWeight { .. } => "look at the weight".to_owned(),
        Command::Measure {
            gate: index,
            watch,
            since,
        } => {
            let since = start.map_or(SignedDuration::ZERO, |start| since.duration_since(start));
            format!(
                "measure {} (evidence from {} on)",
                gate(plan, *index, *watch),
                clock(since)
            )
        }
        Command::CountCost { .. } => "count the cost".to_owned(),
        Command::Workload {
            node: index,
            attempt,
        } => format!("workload of {} (attempt {attempt})", node(plan, *index)),
        Command::Notify(news) => format!(
            "tell [{}] {} ({})",
            word(&news.topic),
            news.headline,
            news.done
        ),
        Command::Finish { outcome } => format!("finish: {}", outcome.word()),
    }
}
