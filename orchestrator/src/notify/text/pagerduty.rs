//! For PagerDuty's Events API v2 (<https://developer.pagerduty.com/docs/send-alert-event>): one incident per run.

use serde_json::{Value, json};

use super::{Message, cut};
use crate::machine::{Outcome, Topic};

/// Longest summary.
const SUMMARY: usize = 1_024;

/// What an alert does with the incident of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alert {
    /// Opens it, or adds to it.
    Trigger,
    /// A person is at it.
    Acknowledge,
    /// It is over.
    Resolve,
}

impl Alert {
    /// What this news means for the person on call; `None`: nothing.
    pub fn of(message: &Message) -> Option<Self> {
        match message.topic {
            Topic::Blocked | Topic::Failing => Some(Self::Trigger),
            Topic::Paused | Topic::Unblocked => Some(Self::Acknowledge),
            Topic::Started | Topic::Step | Topic::Approval => None,
            Topic::Ended => Some(match message.outcome {
                Some(Outcome::Promoted | Outcome::Completed | Outcome::Aborted { .. }) => {
                    Self::Resolve
                }
                Some(Outcome::RolledBack { .. } | Outcome::Held | Outcome::Failed) | None => {
                    Self::Trigger
                }
            }),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Acknowledge => "acknowledge",
            Self::Resolve => "resolve",
        }
    }
}

/// The event without its routing key; `None`: the person on call need not know.
pub fn pagerduty(message: &Message) -> Option<Value> {
    let alert = Alert::of(message)?;
    let mut event = json!({
        "event_action": alert.word(),
        "dedup_key": format!("canary/{}", message.run),
    });
    if alert == Alert::Trigger {
        let summary = format!(
            "{} {}: {}",
            message.service,
            message.title(),
            message.headline
        );
        event["client"] = json!("canary");
        event["payload"] = json!({
            "summary": cut(&summary, SUMMARY),
            "source": message.service,
            "severity": severity(message),
            "timestamp": message.at.to_string(),
            "component": message.workflow,
            "group": message.run,
            "class": message.title(),
            "custom_details": {
                "why": message.why,
                "cost": message.cost,
                "done": message.done,
                "next": message.next,
                "weight": message.weight,
            },
        });
    }
    Some(event)
}

/// Traffic on a bad version is critical; traffic taken off it is an error to look at; a wait is a warning.
fn severity(message: &Message) -> &'static str {
    match (message.topic, message.outcome) {
        (Topic::Blocked, _) => "warning",
        (Topic::Ended, Some(Outcome::RolledBack { .. })) => "error",
        (Topic::Failing, _) if message.weight.is_some_and(canary_traffic::Weight::is_zero) => {
            "error"
        }
        _ => "critical",
    }
}
