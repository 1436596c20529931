//! Where news go.

use std::time::Duration;

use super::section::{Section, conflict};
use super::source::SecretRef;
use crate::diagnostic::Span;
use crate::diagnostic::{Diagnostics, Spanned, codes, quote};
use crate::osop::model::Text;
use crate::osop::reader::Reader;
use crate::osop::tree::Value;
use crate::osop::word::Word;
use crate::osop::word::words;
use crate::osop::workflow::check_id;

words! {
    /// News that a channel may ask for.
    pub enum NotifyEvent {
        /// A run started.
        Started = "started",
        /// The weight rose.
        Step = "step",
        /// Somebody must agree.
        Approval = "approval",
        /// Paused by a person.
        Paused = "paused",
        /// Cannot decide by itself.
        Blocked = "blocked",
        /// Goes on after a block or a pause.
        Unblocked = "unblocked",
        /// Something failed; traffic is being taken off.
        Failing = "failing",
        /// A run ended.
        Ended = "ended",
    }
}

words! {
    /// Kinds of channels.
    pub enum ChannelType { Slack = "slack", PagerDuty = "pagerduty", Webhook = "webhook", Command = "command" }
}

/// Where news go.
#[derive(Clone, Debug)]
pub struct Channel {
    /// The whole mapping.
    pub span: Span,
    /// Unique name.
    pub name: Text,
    /// How they get there.
    pub target: ChannelTarget,
    /// Which news. `None`: all but `step`.
    pub events: Option<Vec<Spanned<NotifyEvent>>>,
    /// Bound of one delivery.
    pub timeout: Spanned<Duration>,
}

/// How news get to people.
#[derive(Clone, Debug)]
pub enum ChannelTarget {
    /// Slack's incoming webhook; its URL is a secret.
    SlackWebhook {
        /// The URL.
        webhook: SecretRef,
    },
    /// Slack's `chat.postMessage`.
    SlackApi {
        /// Bot token.
        token: SecretRef,
        /// Channel id or name.
        channel: Text,
        /// Base URL.
        api_url: Text,
    },
    /// PagerDuty's Events API v2.
    PagerDuty {
        /// Integration key.
        routing_key: SecretRef,
        /// Base URL.
        api_url: Text,
    },
    /// A POST of JSON.
    Webhook {
        /// Where to.
        url: WebhookUrl,
        /// Key of the signature.
        secret: Option<SecretRef>,
    },
    /// A program; it reads JSON on stdin.
    Command {
        /// Program and arguments; not empty.
        argv: Vec<Text>,
    },
}

/// Address of a webhook.
#[derive(Clone, Debug)]
pub enum WebhookUrl {
    /// Written in the file.
    Plain(Text),
    /// A secret itself.
    Secret(SecretRef),
}

pub(super) fn read(name: &Text, value: &Value, d: &mut Diagnostics) -> Option<Channel> {
    let what = format!("channel {}", quote(&name.value));
    let fits = check_id("name of a channel", name, d);
    let reader = Reader::of(what.clone(), value, d)?;
    let kind = read_type(name, &reader, d)?;
    let path = match kind {
        ChannelType::Slack => "notify.*(slack)",
        ChannelType::PagerDuty => "notify.*(pagerduty)",
        ChannelType::Webhook => "notify.*(webhook)",
        ChannelType::Command => "notify.*(command)",
    };
    let mut section = Section::new(path, what, reader.map, reader.span);
    section.correct(d);
    section.word::<ChannelType>("type", d);
    let written = section.reader.value("events").is_some();
    let events = section.reader.words("events", d);
    let events = written.then_some(events);
    let timeout = section
        .duration("timeout", d)
        .unwrap_or(Spanned::by_default(Duration::from_secs(10)));
    let target = match kind {
        ChannelType::Slack => slack(&mut section, d),
        ChannelType::PagerDuty => pagerduty(&mut section, d),
        ChannelType::Webhook => webhook(&mut section, d),
        ChannelType::Command => command(&mut section, d),
    };
    let span = section.span();
    section.reader.close_all(d);
    let target = target?;
    fits.then(|| Channel {
        span,
        name: name.clone(),
        target,
        events,
        timeout,
    })
}

/// The `type`, or the name where that says it.
fn read_type(name: &Text, reader: &Reader<'_>, d: &mut Diagnostics) -> Option<ChannelType> {
    let mut reader = Reader::new(reader.what(), reader.map, reader.span);
    if reader.value("type").is_some() {
        return reader.word::<ChannelType>("type", d).map(|kind| kind.value);
    }
    let kind = ChannelType::from_word(&name.value);
    if kind.is_none() {
        reader.correct(&["type"], d);
        if reader.value("type").is_some() {
            return reader.word::<ChannelType>("type", d).map(|kind| kind.value);
        }
        d.error(codes::MISSING_KEY, name.span, format!("{} has no `type`", reader.what()))
            .help("add `type: slack`, `pagerduty`, `webhook` or `command`; a channel of that very name needs none");
    }
    kind
}

fn slack(section: &mut Section<'_>, d: &mut Diagnostics) -> Option<ChannelTarget> {
    let webhook = section.secret(Some("webhook"), "webhook_env", "webhook_file", d);
    let token = section.secret(Some("token"), "token_env", "token_file", d);
    let channel = section.text("channel", d);
    let api_url = section
        .url("api_url", d)
        .unwrap_or_else(|| Spanned::by_default("https://slack.com".to_owned()));
    match (webhook, token) {
        (Some(webhook), Some(token)) => {
            conflict(
                &section.reader,
                ("webhook_env", webhook.name().span),
                ("token_env", token.name().span),
                d,
            );
            None
        }
        (Some(webhook), None) => {
            if let Some(channel) = channel {
                d.warning(
                    codes::CONFLICTING_KEYS,
                    channel.span,
                    "a webhook posts to its own channel; `channel` is not looked at",
                );
            }
            Some(ChannelTarget::SlackWebhook { webhook })
        }
        (None, Some(token)) => {
            if channel.is_none() {
                section.missing("channel", d);
            }
            Some(ChannelTarget::SlackApi {
                token,
                channel: channel?,
                api_url,
            })
        }
        (None, None) => {
            needs(section, "`token_env` (with `channel`) or `webhook_env`", d);
            None
        }
    }
}

fn pagerduty(section: &mut Section<'_>, d: &mut Diagnostics) -> Option<ChannelTarget> {
    let routing_key = section.secret(
        Some("routing_key"),
        "routing_key_env",
        "routing_key_file",
        d,
    );
    let api_url = section
        .url("api_url", d)
        .unwrap_or_else(|| Spanned::by_default("https://events.pagerduty.com".to_owned()));
    if routing_key.is_none() {
        needs(section, "`routing_key_env`", d);
    }
    Some(ChannelTarget::PagerDuty {
        routing_key: routing_key?,
        api_url,
    })
}

fn webhook(section: &mut Section<'_>, d: &mut Diagnostics) -> Option<ChannelTarget> {
    let plain = section.url("url", d);
    // `url` itself is no secret here, so nothing is inline.
    let secret_url = section.secret(None, "url_env", "url_file", d);
    let secret = section.secret(Some("secret"), "secret_env", "secret_file", d);
    let url = match (plain, secret_url) {
        (Some(plain), Some(secret)) => {
            conflict(
                &section.reader,
                ("url", plain.span),
                ("url_env", secret.name().span),
                d,
            );
            return None;
        }
        (Some(plain), None) => WebhookUrl::Plain(plain),
        (None, Some(secret)) => WebhookUrl::Secret(secret),
        (None, None) => {
            if section.reader.map.get("url").is_none() {
                needs(section, "`url` or `url_env`", d);
            }
            return None;
        }
    };
    Some(ChannelTarget::Webhook { url, secret })
}

fn command(section: &mut Section<'_>, d: &mut Diagnostics) -> Option<ChannelTarget> {
    let argv = section.texts("argv", d);
    if argv.as_ref().is_none_or(Vec::is_empty) {
        needs(section, "`argv: [program, argument]`", d);
        return None;
    }
    Some(ChannelTarget::Command { argv: argv? })
}

/// Not said when an inline secret or a bad name was reported instead.
fn needs(section: &Section<'_>, what: &str, d: &mut Diagnostics) {
    let span = section.reader.head();
    if d.any_within(
        section.span(),
        &[codes::INLINE_SECRET, codes::INVALID_NAME, codes::WRONG_TYPE],
    ) {
        return;
    }
    d.error(
        codes::MISSING_KEY,
        span,
        format!("{} needs {what}", section.reader.what()),
    );
}
