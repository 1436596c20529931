//! What happened, one line per event: `canary run` without a terminal, `canary logs`, and the report.

use canary_analyzer::gate::Phase;
use canary_orchestrator::machine::{Command, Event, NodeStatus, OperatorAction, Outcome, Watch};
use canary_orchestrator::plan::Plan;

use super::span::{Line, Tone};

/// The lines of one journal record: the event, then the commands that people want to know of.
pub(crate) fn lines(plan: &Plan, event: &Event, commands: &[Command]) -> Vec<Line> {
    let mut lines = Vec::new();
    lines.extend(of_event(plan, event));
    lines.extend(
        commands
            .iter()
            .filter_map(|command| of_command(plan, command)),
    );
    lines
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every arm below gives a line or none"
)]
fn line(text: impl Into<String>, tone: Tone) -> Option<Line> {
    Some(Line::default().add(text, tone))
}

fn node(plan: &Plan, index: canary_orchestrator::plan::NodeIndex) -> &str {
    plan.nodes.get(index.0).map_or("?", |node| node.id.as_str())
}

fn of_event(plan: &Plan, event: &Event) -> Option<Line> {
    match event {
        Event::Started => line(
            format!("release of {} starts: {}", plan.service, plan.name),
            Tone::Strong,
        ),
        Event::Resumed => line(
            "resumed: looking at weight and evidence first",
            Tone::Strong,
        ),
        Event::NodeFinished {
            node: index,
            attempt,
            result,
        } => {
            let id = node(plan, *index);
            let attempt = if *attempt > 1 {
                format!(" (attempt {attempt})")
            } else {
                String::new()
            };
            let why = result
                .error
                .as_deref()
                .map_or_else(String::new, |error| format!(": {error}"));
            let (word, tone) = match result.status {
                NodeStatus::Completed => ("completed", Tone::Good),
                NodeStatus::Failed => ("failed", Tone::Bad),
                NodeStatus::TimedOut => ("timed out", Tone::Bad),
                NodeStatus::Inconclusive => ("decided nothing", Tone::Warn),
                NodeStatus::Cancelled => ("was ended", Tone::Warn),
            };
            line(format!("{id} {word}{attempt}{why}"), tone)
        }
        Event::NodeVerified {
            node: index,
            finished,
            ..
        } => {
            let said = match finished {
                Ok(true) => "had finished".to_owned(),
                Ok(false) => "had not finished".to_owned(),
                Err(error) => format!("is in doubt: {error}"),
            };
            line(format!("{} {said}", node(plan, *index)), Tone::Warn)
        }
        // A check of the same gate says it too; a guard that is content or waits for data need not.
        Event::Measured {
            watch: Watch::Guard,
            measurement,
            ..
        } if measurement.no_data || measurement.phase == Phase::Pass => None,
        Event::Measured {
            watch, measurement, ..
        } => {
            let (word, tone) = match measurement.phase {
                Phase::Pass => ("pass", Tone::Good),
                Phase::Fail => ("FAIL", Tone::Bad),
                Phase::Inconclusive => ("inconclusive", Tone::Warn),
                Phase::Error => ("error", Tone::Warn),
            };
            let place = match watch {
                Watch::Guard => "guard".to_owned(),
                Watch::Node(index) => node(plan, *index).to_owned(),
            };
            line(format!("{place}: {word}: {}", measurement.message), tone)
        }
        Event::WeightObserved {
            weight,
            pending,
            foreign,
            ..
        } => {
            let pending = pending
                .as_deref()
                .map_or_else(String::new, |why| format!(", not in effect yet: {why}"));
            let foreign = foreign
                .as_deref()
                .map_or_else(String::new, |who| format!(", set by {who}"));
            line(
                format!("canary gets {weight}{pending}{foreign}"),
                Tone::Strong,
            )
        }
        Event::WeightFailed { error, .. } => line(format!("router: {error}"), Tone::Bad),
        Event::CostCounted { cost: Some(cost) } => line(
            format!(
                "the canary answered {} requests, {} of them badly",
                cost.requests, cost.bad
            ),
            Tone::Plain,
        ),
        Event::Operator { action, by, reason } => {
            let reason = reason
                .as_deref()
                .map_or_else(String::new, |reason| format!(": {reason}"));
            line(
                format!("{by} asked for {}{reason}", verb(action)),
                Tone::Strong,
            )
        }
        Event::Notified {
            channel,
            error: Some(error),
            ..
        } => line(
            format!("notification to {channel} was given up: {error}"),
            Tone::Warn,
        ),
        Event::Notified { .. }
        | Event::CostCounted { cost: None }
        | Event::NodeStarted { .. }
        | Event::Timer => None,
    }
}

/// What a person asked for, in a word.
pub(crate) fn verb(action: &OperatorAction) -> String {
    match action {
        OperatorAction::Abort { signal: None } => "abort".to_owned(),
        OperatorAction::Abort { signal: Some(2) } => "abort (Ctrl-C)".to_owned(),
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
        } => format!("approval of {node}"),
        OperatorAction::Answer {
            node,
            approve: false,
        } => format!("refusal of {node}"),
    }
}

fn of_command(plan: &Plan, command: &Command) -> Option<Line> {
    match command {
        Command::StartNode {
            node: index,
            attempt,
            ..
        } => {
            let attempt = if *attempt > 1 {
                format!(" (attempt {attempt})")
            } else {
                String::new()
            };
            line(
                format!("{} starts{attempt}", node(plan, *index)),
                Tone::Busy,
            )
        }
        Command::CancelNode {
            node: index,
            reason,
            ..
        } => line(
            format!("{} is being ended: {reason}", node(plan, *index)),
            Tone::Warn,
        ),
        Command::SetWeight { weight, .. } => line(format!("set weight {weight}"), Tone::Busy),
        Command::Notify(notification) => line(notification.headline.clone(), Tone::Plain),
        Command::Finish { outcome } => {
            let tone = if outcome.exit_code() == 0 {
                Tone::Good
            } else {
                Tone::Bad
            };
            line(finish(*outcome), tone)
        }
        Command::VerifyNode { .. }
        | Command::EndProcess { .. }
        | Command::ObserveWeight { .. }
        | Command::Measure { .. }
        | Command::CountCost { .. }
        | Command::Workload { .. } => None,
    }
}

fn finish(outcome: Outcome) -> String {
    format!("ended: {}", outcome.word())
}
