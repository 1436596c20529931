//! What happened, one line per event: `canary run` without a terminal, `canary logs`, and the report. Each fact is said once:
//! what an event and the news about it have in common is one line, and what stays so is not said again and again.

use std::collections::BTreeMap;

use canary_analyzer::gate::{Measurement, Phase};
use canary_orchestrator::machine::{
    Command, Event, NodeResult, NodeStatus, Notification, OperatorAction, Outcome, Topic, Watch,
};
use canary_orchestrator::plan::{GateIndex, NodeIndex, Plan};
use canary_orchestrator::run::driver::RunRecord;
use canary_traffic::Weight;
use jiff::Timestamp;

use super::repeats::{self, Now, Repeated};
use super::said::Said;
use super::span::{Line, Tone};
use super::time;

/// The lines of a run's records, one record after the other.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// What the router fails with.
    router: Option<Repeated>,
    /// What was last said of the weight.
    weight: Option<String>,
    /// The weight that was last set.
    set: Option<Weight>,
    /// What the checks of a gate measured last.
    checks: BTreeMap<GateIndex, String>,
    /// The run goes back: what is still measured leads to nothing.
    going_back: bool,
    /// What a gate cannot be measured for.
    gates: BTreeMap<(GateIndex, Watch), Repeated>,
    /// Why the run goes back, and what was said since.
    said: Said,
}

impl Log {
    /// The lines of one record: the event, then the commands that people want to know of. `pending`: until when the
    /// absence of evidence that this record tells of counts for nothing.
    pub(crate) fn lines(
        &mut self,
        plan: &Plan,
        record: &RunRecord,
        pending: Option<Timestamp>,
    ) -> Vec<Line> {
        let news = |wanted: Topic| {
            record.commands.iter().find_map(|command| match command {
                Command::Notify(news) if news.topic == wanted => Some(news),
                _ => None,
            })
        };
        // What the news say of this event as well, with more around it, is not said before them.
        let told = [Topic::Failing, Topic::Blocked]
            .into_iter()
            .filter_map(news)
            .any(|news| detail(&record.event).is_some_and(|detail| news.headline.contains(detail)));
        let mut lines = Vec::new();
        let event = self.of_event(plan, record, pending);
        if !told {
            lines.extend(event);
        }
        for command in &record.commands {
            lines.extend(self.of_command(plan, record, command));
        }
        // Measurements are many, and what they lead to is said by the news.
        if !matches!(record.event, Event::Measured { .. }) || told {
            for line in &lines {
                self.said.note(line.text());
            }
        }
        lines
    }

    fn of_event(
        &mut self,
        plan: &Plan,
        record: &RunRecord,
        pending: Option<Timestamp>,
    ) -> Option<Line> {
        match &record.event {
            Event::Started => line(
                format!("release of {} starts: {}", plan.service, plan.name),
                Tone::Strong,
            ),
            Event::Resumed => {
                // Nothing was watched since: all of it is news.
                *self = Self::default();
                line(
                    "resumed: looking at weight and evidence first",
                    Tone::Strong,
                )
            }
            Event::NodeFinished {
                node,
                attempt,
                result,
            } => finished(plan, *node, *attempt, result),
            Event::NodeVerified { node, finished, .. } => {
                let said = match finished {
                    Ok(true) => "had finished".to_owned(),
                    Ok(false) => "had not finished".to_owned(),
                    Err(error) => format!("is in doubt: {error}"),
                };
                line(format!("{} {said}", id(plan, *node)), Tone::Warn)
            }
            Event::Measured {
                gate,
                watch,
                measurement,
            } => self.measured(plan, *gate, *watch, measurement, pending),
            Event::WeightObserved {
                weight,
                pending,
                foreign,
                ..
            } => self.weight(*weight, pending.as_deref(), foreign.as_deref(), record.at),
            Event::WeightFailed { error, .. } => {
                match repeats::note(&mut self.router, error, record.at) {
                    Now::New => line(format!("router: {error}"), Tone::Bad),
                    Now::Still(lasted) => line(
                        format!("router: still so after {}", time::duration(lasted)),
                        Tone::Bad,
                    ),
                    Now::Nothing => None,
                }
            }
            Event::CostCounted { cost: Some(cost) } => line(
                format!(
                    "the canary answered {} requests, {} of them badly",
                    cost.requests, cost.bad
                ),
                Tone::Plain,
            ),
            Event::WorkloadFailed { why } => {
                line(format!("the canary cannot serve: {why}"), Tone::Bad)
            }
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
            // Read again at once: that says it.
            | Event::WeightChanged { .. }
            | Event::Timer => None,
        }
    }

    fn measured(
        &mut self,
        plan: &Plan,
        gate: GateIndex,
        watch: Watch,
        measurement: &Measurement,
        pending: Option<Timestamp>,
    ) -> Option<Line> {
        let same = self.checks.get(&gate) == Some(&measurement.message);
        let quiet = measurement.no_data || measurement.phase == Phase::Pass || same;
        // A check of the same gate says it too; a guard that is content or waits for data need not.
        if self.going_back || (watch == Watch::Guard && quiet) {
            return None;
        }
        if watch != Watch::Guard {
            self.checks.insert(gate, measurement.message.clone());
        }
        let (word, tone) = match measurement.phase {
            _ if pending.is_some() => ("pending", Tone::Busy),
            Phase::Pass => ("pass", Tone::Good),
            Phase::Fail => ("FAIL", Tone::Bad),
            Phase::Inconclusive => ("inconclusive", Tone::Warn),
            Phase::Error => ("error", Tone::Warn),
        };
        let place = match watch {
            Watch::Guard => "guard".to_owned(),
            Watch::Node(index) => id(plan, index).to_owned(),
        };
        let until = pending.map_or_else(String::new, |until| {
            format!("; waited for until {}", time::clock(until))
        });
        let said = format!("{place}: {word}: {}{until}", measurement.message);
        if matches!(measurement.phase, Phase::Pass | Phase::Fail) {
            self.gates.remove(&(gate, watch));
            return line(said, tone);
        }
        let mut known = self.gates.remove(&(gate, watch));
        let now = repeats::note(
            &mut known,
            &format!("{word}: {}", measurement.message),
            measurement.at,
        );
        self.gates.extend(known.map(|known| ((gate, watch), known)));
        match now {
            // The run is blocked for it, and that was said.
            Now::New if pending.is_none() && self.said.holds(&measurement.message) => None,
            Now::New => line(said, tone),
            Now::Still(lasted) => line(format!("{said} (so for {})", time::duration(lasted)), tone),
            Now::Nothing => None,
        }
    }

    fn weight(
        &mut self,
        weight: Weight,
        pending: Option<&str>,
        foreign: Option<&str>,
        at: Timestamp,
    ) -> Option<Line> {
        let again = self.router.take().map(|trouble| {
            let lasted = time::duration(time::between(trouble.since(), at));
            format!("router: answers again after {lasted}: ")
        });
        let pending = pending.map_or_else(String::new, |why| format!(", not in effect yet: {why}"));
        let foreign = foreign.map_or_else(String::new, |who| format!(", set by {who}"));
        let said = format!("canary gets {weight}{pending}{foreign}");
        if again.is_none() && self.weight.as_ref() == Some(&said) {
            return None;
        }
        let shown = format!("{}{said}", again.unwrap_or_default());
        self.weight = Some(said);
        line(shown, Tone::Strong)
    }

    fn of_command(&mut self, plan: &Plan, record: &RunRecord, command: &Command) -> Option<Line> {
        match command {
            Command::StartNode { node, attempt, .. } => line(
                format!("{} starts{}", id(plan, *node), attempt_of(*attempt)),
                Tone::Busy,
            ),
            Command::CancelNode { node, reason, .. } => line(
                format!("{} is being ended: {reason}", id(plan, *node)),
                Tone::Warn,
            ),
            Command::SetWeight { weight, .. } => {
                // While the router does not answer it is written again and again.
                let repeated = self.router.is_some() && self.set == Some(*weight);
                self.set = Some(*weight);
                if repeated {
                    return None;
                }
                line(format!("set weight {weight}"), Tone::Busy)
            }
            Command::Notify(news) => self.news(plan, &record.event, news),
            Command::Finish { outcome } => {
                let tone = if outcome.exit_code() == 0 {
                    Tone::Good
                } else {
                    Tone::Bad
                };
                line(self.finish(plan, *outcome, &record.commands), tone)
            }
            Command::VerifyNode { .. }
            | Command::EndProcess { .. }
            | Command::ObserveWeight { .. }
            | Command::Measure { .. }
            | Command::CountCost { .. }
            | Command::Workload { .. } => None,
        }
    }

    /// News of what no other line says.
    fn news(&mut self, plan: &Plan, event: &Event, news: &Notification) -> Option<Line> {
        match news.topic {
            Topic::Failing => self.going_back = true,
            Topic::Unblocked => self.said = Said::default(),
            _ => {}
        }
        let by_person = matches!(event, Event::Operator { .. });
        let headline = news
            .headline
            .strip_prefix(&format!("{}: ", plan.service))
            .unwrap_or(&news.headline);
        let tone = match news.topic {
            // The event, the weight or the end says it.
            Topic::Started | Topic::Step | Topic::Paused | Topic::Ended => return None,
            Topic::Unblocked | Topic::Failing if by_person => return None,
            Topic::Failing => Tone::Bad,
            Topic::Blocked | Topic::Approval => Tone::Warn,
            Topic::Unblocked => Tone::Plain,
        };
        let why = headline.split_once(" is blocked: ").map(|(_, why)| why);
        if self.said.rest(why.unwrap_or(headline)).is_empty() {
            return None;
        }
        // The next news of this record may say the same.
        self.said.note(headline);
        line(headline, tone)
    }

    /// The outcome, and of its reasons what was not said when the run went back.
    fn finish(&self, plan: &Plan, outcome: Outcome, commands: &[Command]) -> String {
        let word = outcome.word();
        let headline = commands.iter().find_map(|command| match command {
            Command::Notify(news) if news.topic == Topic::Ended => Some(news.headline.as_str()),
            _ => None,
        });
        let why = headline
            .and_then(|headline| headline.strip_prefix(&format!("{} {word}", plan.service)))
            .unwrap_or_default();
        // `aborted by ann; and more`: who aborted it was said when they did.
        let why = why
            .strip_prefix(": ")
            .or_else(|| Some(why.split_once("; ")?.1));
        match why.map(|why| self.said.rest(why)) {
            Some(new) if !new.is_empty() => format!("ended: {word}: {new}"),
            Some(_) | None => format!("ended: {word}"),
        }
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every arm above gives a line or none"
)]
fn line(text: impl AsRef<str>, tone: Tone) -> Option<Line> {
    Some(Line::default().add(text, tone))
}

fn id(plan: &Plan, index: NodeIndex) -> &str {
    plan.nodes.get(index.0).map_or("?", |node| node.id.as_str())
}

fn attempt_of(attempt: u32) -> String {
    if attempt > 1 {
        format!(" (attempt {attempt})")
    } else {
        String::new()
    }
}

/// What an event brings that news about it repeat.
fn detail(event: &Event) -> Option<&str> {
    match event {
        Event::Measured { measurement, .. } => Some(&measurement.message),
        Event::NodeFinished { result, .. } => result.error.as_deref(),
        Event::WeightFailed { error, .. } => Some(error),
        _ => None,
    }
}

fn finished(plan: &Plan, node: NodeIndex, attempt: u32, result: &NodeResult) -> Option<Line> {
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
    line(
        format!("{} {word}{}{why}", id(plan, node), attempt_of(attempt)),
        tone,
    )
}

/// What a person asked for, in a word.
pub(crate) fn verb(action: &OperatorAction) -> String {
    match action {
        OperatorAction::Abort { signal: None } => "abort".to_owned(),
        OperatorAction::Abort { signal: Some(1) } => "abort (its terminal is gone)".to_owned(),
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
