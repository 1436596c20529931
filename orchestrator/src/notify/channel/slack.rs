//! Slack: an incoming webhook, or `chat.postMessage` with one thread per run.

use serde_json::{Value, json};

use super::{Channel, Refused, exposed};
use crate::machine::Topic;
use crate::node::slack as answers;
use crate::notify::Message;
use crate::notify::text::slack;
use crate::osop::settings::SecretRef;

/// Incoming webhooks answer `ok`, or a status and a word.
pub(super) async fn webhook(
    channel: &Channel,
    url: &SecretRef,
    message: &Message,
) -> Result<Option<String>, Refused> {
    let url = channel.secret(url)?;
    let body = json!(slack(message));
    let (tried, answer) = channel
        .exchange(exposed(&url), |request| request.json(&body))
        .await?;
    let word = answer.body.as_deref().unwrap_or_default().trim();
    channel.accept(&tried, &answer).map_err(|mut refused| {
        refused.why.push_str(answers::hint(word));
        refused
    })?;
    if word == "ok" || word.is_empty() {
        return Ok(None);
    }
    // Services that speak like Slack answer in JSON.
    match serde_json::from_str::<Value>(word) {
        Ok(_) if answers::check(word).is_ok() => Ok(None),
        _ => Err(Refused::never(format!(
            "{tried}: Slack did not say `ok` but: {}",
            word.chars().take(100).collect::<String>()
        ))),
    }
}

/// The first message of a run begins a thread; later ones go into it. What somebody must act on is shown in the channel too.
pub(super) async fn post_message(
    channel: &Channel,
    token: &SecretRef,
    to: &str,
    base: &str,
    message: &Message,
    thread: Option<&str>,
) -> Result<Option<String>, Refused> {
    let token = channel.secret(token)?;
    let mut body = json!(slack(message));
    body["channel"] = json!(to);
    body["unfurl_links"] = json!(false);
    if let Some(thread) = thread {
        body["thread_ts"] = json!(thread);
        body["reply_broadcast"] = json!(matches!(
            message.topic,
            Topic::Approval | Topic::Blocked | Topic::Failing | Topic::Ended
        ));
    }
    let url = format!("{}/api/chat.postMessage", base.trim_end_matches('/'));
    let (tried, answer) = channel
        .exchange(&url, |request| {
            request.bearer_auth(exposed(&token)).json(&body)
        })
        .await?;
    channel.accept(&tried, &answer)?;
    let text = answer.body.as_deref().unwrap_or_default();
    match answers::check(text) {
        Ok(said) => {
            let own = said.get("ts").and_then(Value::as_str).map(str::to_owned);
            Ok(thread.map(str::to_owned).or(own))
        }
        Err(why) => {
            let word = serde_json::from_str::<Value>(text).ok();
            let word = word
                .as_ref()
                .and_then(|said| said.get("error"))
                .and_then(Value::as_str)
                .unwrap_or_default();
            let why = format!("{tried}: {why}");
            if answers::is_passing(word) {
                return Err(Refused {
                    why,
                    again: channel.retry_after(&answer).into(),
                });
            }
            Err(Refused::never(why))
        }
    }
}
