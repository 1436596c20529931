//! A program that reads the message as JSON on stdin. No shell: each argument is one.

use tokio_util::sync::CancellationToken;

use super::{Channel, Refused};
use crate::machine::NodeStatus;
use crate::node::process::{self, Request};
use crate::notify::Message;
use crate::notify::text::webhook;
use crate::osop::model::Text;

/// Exit code of sysexits.h for "try again later"; any other failure is final: a command that sends something half way and
/// fails must not do it ten times.
const TRY_AGAIN: i32 = 75;

pub(super) async fn send(
    channel: &Channel,
    argv: &[Text],
    message: &Message,
) -> Result<Option<String>, Refused> {
    let mut environment = channel.tools.environment.clone();
    for (name, value) in [
        ("CANARY_RUN_ID", message.run.clone()),
        ("CANARY_SERVICE", message.service.clone()),
        ("CANARY_TOPIC", message.title().to_owned()),
        ("CANARY_NOTIFICATION", message.key()),
    ] {
        environment.push((name.into(), value.into()));
    }
    let request = Request {
        argv: argv.iter().map(|argument| argument.value.clone()).collect(),
        directory: channel.tools.directory.clone(),
        environment,
        timeout: Some(channel.settings.timeout.value),
        log: None,
        redactor: channel.tools.secrets.redactor(),
        input: Some(webhook(message).to_string().into_bytes()),
        tag: None,
    };
    let name = request.argv.first().cloned().unwrap_or_default();
    let finished = process::run(request, |_| async {}, &CancellationToken::new())
        .await
        .map_err(Refused::never)?;
    if finished.exit.status(&[]) == NodeStatus::Completed {
        return Ok(None);
    }
    let said = finished.stderr.tail();
    let last = said
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    let last: String = last.chars().take(200).collect();
    let why = format!(
        "`{name}` {}{}{last}",
        finished.exit.words(),
        if last.is_empty() { "" } else { ": " }
    );
    if finished.exit.code() == Some(TRY_AGAIN) || finished.exit.status(&[]) == NodeStatus::TimedOut
    {
        return Err(Refused::later(why));
    }
    Err(Refused::never(why))
}
