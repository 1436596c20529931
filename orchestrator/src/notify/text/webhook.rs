//! For programs: the message as JSON, with the plain text beside its parts.

use serde_json::{Value, json};

use super::{Message, plain};

/// The body of a webhook, and what a command reads on stdin.
pub fn webhook(message: &Message) -> Value {
    json!({
        "version": 1,
        "id": message.key(),
        "topic": message.topic,
        "title": message.title(),
        "run": message.run,
        "workflow": message.workflow,
        "service": message.service,
        "at": message.at,
        "outcome": message.outcome.map(crate::machine::Outcome::word),
        "weight": message.weight,
        "headline": message.headline,
        "why": message.why,
        "cost": message.cost,
        "done": message.done,
        "next": message.next,
        "text": plain(message),
    })
}
