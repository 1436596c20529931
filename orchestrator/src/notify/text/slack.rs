//! For Slack: blocks, and a text for notifications and for clients without blocks. Everything that comes from elsewhere is
//! escaped, so that nothing in an error can mention a channel or forge a link.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Message, cut, time};
use crate::machine::{Outcome, Topic};
use crate::node::slack::escape;

/// A section of Slack holds at most 3,000 characters
/// (<https://docs.slack.dev/reference/block-kit/blocks/section-block>); escaping may make text five times as long.
const SECTION: usize = 2_900;

/// What both ways of Slack take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SlackBody {
    /// mrkdwn, and what a phone shows.
    pub text: String,
    /// <https://docs.slack.dev/block-kit>
    pub blocks: Value,
}

/// The message for Slack.
pub fn slack(message: &Message) -> SlackBody {
    let head = format!(
        "{} *{}* {}: {}",
        mark(message),
        escape(&message.service),
        message.title(),
        escape(&message.headline)
    );
    let mut parts = Vec::new();
    for (name, items) in [
        ("Why", message.why.as_slice()),
        ("Cost", message.cost.as_slice()),
    ] {
        match items {
            [] => {}
            [one] => parts.push(format!("*{name}:* {}", escape(one))),
            many => {
                let items: Vec<String> = many
                    .iter()
                    .map(|item| format!("\n• {}", escape(item)))
                    .collect();
                parts.push(format!("*{name}:*{}", items.concat()));
            }
        }
    }
    if !message.done.is_empty() {
        parts.push(format!("*Done:* {}", escape(&message.done)));
    }
    if !message.next.is_empty() {
        let commands: Vec<String> = message
            .next
            .iter()
            .map(|command| format!("`{}`", code(command)))
            .collect();
        parts.push(format!("*Next:* {}", commands.join("  or  ")));
    }
    let foot = format!(
        "run {} of {} · {}",
        escape(&message.run),
        escape(&message.workflow),
        time(message.at)
    );
    let section = |text: &str| json!({"type": "section", "text": {"type": "mrkdwn", "text": cut(text, SECTION)}});
    let mut blocks = vec![section(&head)];
    if !parts.is_empty() {
        blocks.push(section(&parts.join("\n")));
    }
    blocks.push(
        json!({"type": "context", "elements": [{"type": "mrkdwn", "text": cut(&foot, SECTION)}]}),
    );
    let mut text = vec![head];
    text.extend(parts);
    text.push(foot);
    SlackBody {
        text: text.join("\n"),
        blocks: Value::Array(blocks),
    }
}

/// A backtick would end the code.
fn code(text: &str) -> String {
    escape(&text.replace('`', "'"))
}

fn mark(message: &Message) -> &'static str {
    match (message.topic, message.outcome) {
        (Topic::Ended, Some(Outcome::Promoted | Outcome::Completed)) => ":white_check_mark:",
        (Topic::Ended, Some(Outcome::RolledBack { .. } | Outcome::Aborted { .. })) => {
            ":leftwards_arrow_with_hook:"
        }
        (Topic::Failing | Topic::Ended, _) => ":x:",
        (Topic::Blocked, _) => ":warning:",
        (Topic::Approval, _) => ":raised_hand:",
        (Topic::Paused, _) => ":double_vertical_bar:",
        (Topic::Started | Topic::Step | Topic::Unblocked, _) => ":arrow_forward:",
    }
}
