//! What people are told: one value with every fact in it, and how each kind of receiver wants to hear it. Pure.
//!
//! Each text says what happened, why (the value, the limit, since when), what it cost, what was done, and what to run.

mod pagerduty;
mod plain;
mod slack;
mod webhook;

use canary_analyzer::gate::{Phase, Verdict};
use canary_analyzer::unit::{Quantity, number};
use canary_traffic::Weight;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::machine::{GateReport, Notification, Outcome, Report, RunPhase, Topic};
use crate::node::redact::Redactor;

pub use pagerduty::{Alert, pagerduty};
pub use plain::plain;
pub use slack::{SlackBody, slack};
pub use webhook::webhook;

/// Gates that a message speaks of at most.
const MOST_GATES: usize = 8;

/// A sentence is kept up to this many characters.
const LONGEST: usize = 1_500;

/// Everything that a message says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Id of the run.
    pub run: String,
    /// Id of the workflow.
    pub workflow: String,
    /// What is released.
    pub service: String,
    /// Unique in the run.
    pub notification: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What kind of news.
    pub topic: Topic,
    /// How the run ended, once it has.
    pub outcome: Option<Outcome>,
    /// Percent of requests that the canary gets, as it was last observed.
    pub weight: Option<Weight>,
    /// What happened and why, in one sentence.
    pub headline: String,
    /// The evidence: values, limits, since when.
    pub why: Vec<String>,
    /// What the canary cost, where it was counted.
    pub cost: Option<String>,
    /// What was done about it.
    pub done: String,
    /// What to run.
    pub next: Vec<String>,
}

impl Message {
    /// A message about this news, as things stand in the report.
    pub fn new(run: &str, notification: &Notification, report: &Report) -> Self {
        let next = if notification.next.is_empty() {
            &report.next
        } else {
            &notification.next
        };
        Self {
            run: run.to_owned(),
            workflow: report.workflow.clone(),
            service: report.service.clone(),
            notification: notification.id,
            at: notification.at,
            topic: notification.topic,
            outcome: report.outcome,
            weight: report.traffic.as_ref().and_then(|traffic| traffic.observed),
            headline: bounded(&notification.headline),
            why: why(notification.topic, report),
            cost: cost(report),
            done: bounded(&notification.done),
            next: next
                .iter()
                .take(4)
                .map(|command| bounded(&with_run(command, run)))
                .collect(),
        }
    }

    /// What a node that posts the run's report says.
    pub fn of_report(run: &str, report: &Report) -> Self {
        let topic = match report.phase {
            RunPhase::Ended => Topic::Ended,
            RunPhase::RollingBack => Topic::Failing,
            RunPhase::Blocked => Topic::Blocked,
            RunPhase::Waiting => Topic::Approval,
            RunPhase::Paused => Topic::Paused,
            RunPhase::New => Topic::Started,
            RunPhase::Progressing | RunPhase::Baking => Topic::Step,
        };
        let done = match report.traffic.as_ref().and_then(|traffic| traffic.observed) {
            Some(weight) => format!("The canary gets {} % of requests.", weight.percent()),
            None => String::new(),
        };
        let notification = Notification {
            id: 0,
            at: report.at,
            topic,
            headline: report.headline.clone(),
            done,
            next: Vec::new(),
        };
        Self::new(run, &notification, report)
    }

    /// The receiver's idempotency key.
    pub fn key(&self) -> String {
        format!("{}/{}", self.run, self.notification)
    }

    /// What kind of news, in a word or two: `blocked`, `rolled back`.
    pub fn title(&self) -> &'static str {
        match self.topic {
            Topic::Started => "started",
            Topic::Approval => "needs approval",
            Topic::Paused => "paused",
            Topic::Blocked => "blocked",
            Topic::Step | Topic::Unblocked => "goes on",
            Topic::Failing => "failing",
            Topic::Ended => match self.outcome {
                Some(Outcome::Promoted) => "promoted",
                Some(Outcome::Completed) => "completed",
                Some(Outcome::RolledBack { .. }) => "rolled back",
                Some(Outcome::Aborted { .. }) => "aborted",
                Some(Outcome::Held) => "failed and held",
                Some(Outcome::Failed) => "failed",
                None => "ended",
            },
        }
    }

    /// The same without secrets.
    #[must_use]
    pub fn redacted(mut self, redactor: &Redactor) -> Self {
        let clean = |text: &mut String| {
            if let std::borrow::Cow::Owned(clean) = redactor.text(text) {
                *text = clean;
            }
        };
        clean(&mut self.headline);
        clean(&mut self.done);
        self.why
            .iter_mut()
            .chain(&mut self.next)
            .chain(&mut self.cost)
            .for_each(clean);
        self
    }
}

/// Slack's `text` for a node that posts the report: mrkdwn, escaped.
pub fn report_for_slack(run: &str, report: &Report) -> String {
    slack(&Message::of_report(run, report)).text
}

fn why(topic: Topic, report: &Report) -> Vec<String> {
    let troubled: Vec<&GateReport> = report
        .gates
        .iter()
        .filter(|gate| is_troubled(gate))
        .collect();
    let told: Vec<&GateReport> =
        if troubled.is_empty() && !matches!(topic, Topic::Started | Topic::Failing) {
            report
                .gates
                .iter()
                .filter(|gate| gate.value.is_some())
                .collect()
        } else {
            troubled
        };
    let mut lines: Vec<String> = told
        .iter()
        .take(MOST_GATES)
        .map(|gate| bounded(&gate_line(gate)))
        .collect();
    if told.len() > MOST_GATES {
        lines.push(format!("and {} more gates", told.len() - MOST_GATES));
    }
    if let Some(traffic) = &report.traffic {
        if let (Some(weight), Some(since)) = (traffic.observed, traffic.since)
            && !weight.is_zero()
        {
            lines.push(format!(
                "the canary has had {} % of requests since {}",
                weight.percent(),
                time(since)
            ));
        } else if let (Some(first), Topic::Failing | Topic::Ended) = (traffic.first_at, topic) {
            lines.push(format!("the canary first had traffic at {}", time(first)));
        }
        if let Some(problem) = &traffic.problem {
            lines.push(bounded(problem));
        }
    }
    if matches!(topic, Topic::Blocked | Topic::Approval | Topic::Paused)
        && let Some(wait) = report.waits.first()
        && let Some(until) = wait.until
    {
        lines.push(format!(
            "waits for {} until {}",
            bounded(&wait.what),
            time(until)
        ));
    }
    lines
}

fn is_troubled(gate: &GateReport) -> bool {
    matches!(
        gate.verdict,
        Verdict::Fail | Verdict::Inconclusive | Verdict::Error
    ) || matches!(
        gate.last,
        Some(Phase::Fail | Phase::Inconclusive | Phase::Error)
    )
}

/// `error-rate 7.5 %, limit < 1 %: 2 of 5 measurements failed, 412 requests in the last`.
fn gate_line(gate: &GateReport) -> String {
    let value = gate.value.map_or_else(
        || "no value".to_owned(),
        |value| Quantity::new(value, gate.unit).human(3),
    );
    let mut line = format!("{} {value}, limit {}", gate.name, gate.limit);
    let all = gate
        .passed
        .saturating_add(gate.failed)
        .saturating_add(gate.inconclusive)
        .saturating_add(gate.errors);
    let mut parts = Vec::new();
    for (count, word) in [
        (gate.failed, "failed"),
        (gate.inconclusive, "inconclusive"),
        (gate.errors, "without an answer"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    let counts = match (parts.is_empty(), all) {
        (_, 0) => String::new(),
        (true, all) => format!(
            ": {}",
            counted(u64::from(all), "measurement passed", "measurements passed")
        ),
        (false, all) => format!(
            ": of {} {}",
            counted(u64::from(all), "measurement", "measurements"),
            parts.join(", ")
        ),
    };
    line.push_str(&counts);
    if let Some(requests) = gate.requests {
        line.push_str(", ");
        line.push_str(&counted(requests, "request", "requests"));
        line.push_str(" in the last");
    }
    if gate.value.is_none()
        && let Some(message) = &gate.message
    {
        line.push_str(" (");
        line.push_str(message);
        line.push(')');
    }
    line
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share for people, in three digits"
)]
fn cost(report: &Report) -> Option<String> {
    let cost = report.cost?;
    Some(match (cost.requests, cost.bad) {
        (0, _) => "The canary answered no request.".to_owned(),
        (all, 0) => format!(
            "The canary answered {}, none of them badly.",
            counted(all, "request", "requests")
        ),
        (all, bad) => {
            let share =
                Quantity::new(bad as f64 / all as f64, canary_analyzer::unit::Unit::Ratio).human(3);
            format!(
                "The canary answered {}, {} of them badly ({share}).",
                counted(all, "request", "requests"),
                number(bad as f64, 15)
            )
        }
    })
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// `2026-11-21 14:02:10 UTC`
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `RUN` stands for the run's id in what the machine proposes.
fn with_run(command: &str, run: &str) -> String {
    command
        .split(' ')
        .map(|word| if word == "RUN" { run } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

fn bounded(text: &str) -> String {
    cut(text, LONGEST)
}

/// At most so many characters, with an ellipsis where something is missing.
fn cut(text: &str, longest: usize) -> String {
    if text.char_indices().nth(longest).is_none() {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(longest.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests;
