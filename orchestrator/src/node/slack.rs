//! What Slack's answers mean. Its Web API says no with HTTP 200 and `ok: false`
//! (<https://docs.slack.dev/apis/web-api/#responses>); incoming webhooks say it with a status and a word
//! (<https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors>).

use serde_json::Value;

/// `Err`: Slack refused, with its word and what to do. Anything that is not an object with `ok` counts as refused.
pub fn check(body: &str) -> Result<Value, String> {
    let Ok(answer) = serde_json::from_str::<Value>(body) else {
        return Err(
            "what came back is not an answer of Slack's Web API: is the address right?".to_owned(),
        );
    };
    match answer.get("ok").and_then(Value::as_bool) {
        Some(true) => Ok(answer),
        Some(false) => {
            let word = answer
                .get("error")
                .and_then(Value::as_str)
                .unwrap_or("unknown_error");
            let word: String = word
                .chars()
                .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
                .take(64)
                .collect();
            let needed = answer
                .get("needed")
                .and_then(Value::as_str)
                .map(|scope| format!(" (needed: {scope})"));
            Err(format!(
                "Slack refused: {word}{}{}",
                needed.unwrap_or_default(),
                hint(&word)
            ))
        }
        None => {
            Err("what came back has no `ok`, so it is not an answer of Slack's Web API".to_owned())
        }
    }
}

/// Whether trying again may help.
pub fn is_passing(word: &str) -> bool {
    matches!(
        word,
        "ratelimited"
            | "rate_limited"
            | "internal_error"
            | "fatal_error"
            | "service_unavailable"
            | "request_timeout"
            | "rollup_error"
    )
}

/// `; what to do`.
pub fn hint(word: &str) -> &'static str {
    match word {
        "not_in_channel" => {
            "; invite the bot with /invite @name in that channel, or give it chat:write.public"
        }
        "channel_not_found" => {
            "; check the channel's id or name; a private channel needs the bot invited"
        }
        "is_archived" | "channel_is_archived" => "; the channel is archived, name another",
        "invalid_auth" | "not_authed" | "token_expired" | "token_revoked" | "account_inactive" => {
            "; the token is not valid (any longer): it should start with xoxb- and belong to an installed app"
        }
        "missing_scope" | "no_permission" | "not_allowed_token_type" => {
            "; give the app the scope chat:write and install it again"
        }
        "no_text" | "invalid_blocks" | "invalid_payload" | "invalid_arguments" => {
            "; the body is not what Slack expects"
        }
        "msg_too_long" | "too_many_attachments" => "; the text is too long",
        "ratelimited" | "rate_limited" => "; too many messages, it helps to wait",
        "no_service" | "no_active_hooks" | "invalid_token" => {
            "; the webhook was removed: make a new one and set its address"
        }
        "action_prohibited" | "restricted_action" | "posting_to_general_channel_denied" => {
            "; an administrator of the workspace forbids it in that channel"
        }
        _ => "",
    }
}

/// Text as Slack's mrkdwn wants it: three characters escaped, nothing else
/// (<https://docs.slack.dev/messaging/formatting-message-text#escaping>). Names of people and groups in it mention nobody.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_a_yes() {
        assert!(check(r#"{"ok": true, "ts": "1.2"}"#).is_ok());
        for (body, expected) in [
            (
                r#"{"ok": false, "error": "not_in_channel"}"#,
                "Slack refused: not_in_channel; invite the bot",
            ),
            (
                r#"{"ok": false, "error": "missing_scope", "needed": "chat:write"}"#,
                "missing_scope (needed: chat:write)",
            ),
            (r#"{"ok": false}"#, "unknown_error"),
            ("{}", "no `ok`"),
            ("<html>", "not an answer of Slack"),
            ("ok", "not an answer of Slack"),
        ] {
            let error = check(body).unwrap_err();
            assert!(error.contains(expected), "{body}: {error}");
        }
    }

    #[test]
    fn nobody_is_mentioned_by_accident() {
        assert_eq!(
            escape("a < b && <!channel>"),
            "a &lt; b &amp;&amp; &lt;!channel&gt;"
        );
    }
}
