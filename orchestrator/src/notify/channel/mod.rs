//! The channels of the settings: Slack, PagerDuty, a webhook, a command.

mod command;
mod pagerduty;
mod slack;
mod webhook;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Delivery, Message, Receiver};
use crate::machine::Topic;
use crate::node::http::{Answer, read, reason, shown};
use crate::node::secrets::Secrets;
use crate::osop::settings::{self, ChannelTarget, NotifyEvent, SecretRef};

/// What channels work with.
#[derive(Clone)]
pub struct Tools {
    /// The client of [`crate::node::client`].
    pub http: reqwest::Client,
    /// Finds secrets.
    pub secrets: Secrets,
    /// Directory of the workflow: commands run there.
    pub directory: PathBuf,
    /// canary's own environment, for commands.
    pub environment: Vec<(OsString, OsString)>,
    /// The time, for signatures and for `Retry-After` dates.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// A channel of the settings.
pub struct Channel {
    settings: settings::Channel,
    tools: Tools,
}

/// All channels of the settings.
pub fn channels(settings: &settings::Settings, tools: &Tools) -> Vec<Arc<dyn Receiver>> {
    let channel = |channel: &settings::Channel| -> Arc<dyn Receiver> {
        Arc::new(Channel {
            settings: channel.clone(),
            tools: tools.clone(),
        })
    };
    settings.notify.iter().map(channel).collect()
}

impl Receiver for Channel {
    fn name(&self) -> &str {
        &self.settings.name.value
    }

    fn wants(&self, topic: Topic) -> bool {
        let event = match topic {
            Topic::Started => NotifyEvent::Started,
            Topic::Step => NotifyEvent::Step,
            Topic::Approval => NotifyEvent::Approval,
            Topic::Paused => NotifyEvent::Paused,
            Topic::Blocked => NotifyEvent::Blocked,
            Topic::Unblocked => NotifyEvent::Unblocked,
            Topic::Failing => NotifyEvent::Failing,
            Topic::Ended => NotifyEvent::Ended,
        };
        match &self.settings.events {
            Some(events) => events.iter().any(|wanted| wanted.value == event),
            None => event != NotifyEvent::Step,
        }
    }

    fn deliver<'a>(
        &'a self,
        message: &'a Message,
        thread: Option<&'a str>,
    ) -> BoxFuture<'a, Delivery> {
        Box::pin(self.send(message, thread))
    }
}

impl Channel {
    async fn send(&self, message: &Message, thread: Option<&str>) -> Delivery {
        let sent = match &self.settings.target {
            ChannelTarget::SlackWebhook { webhook } => slack::webhook(self, webhook, message).await,
            ChannelTarget::SlackApi {
                token,
                channel,
                api_url,
            } => {
                slack::post_message(self, token, &channel.value, &api_url.value, message, thread)
                    .await
            }
            ChannelTarget::PagerDuty {
                routing_key,
                api_url,
            } => pagerduty::send(self, routing_key, &api_url.value, message).await,
            ChannelTarget::Webhook { url, secret } => {
                webhook::send(self, url, secret.as_ref(), message).await
            }
            ChannelTarget::Command { argv } => command::send(self, argv, message).await,
        };
        let redactor = self.tools.secrets.redactor();
        let refused = match sent {
            Ok(thread) => return Delivery::Sent { thread },
            Err(refused) => refused,
        };
        let why = redactor.text(&refused.why).into_owned();
        match refused.again {
            Again::Never => Delivery::Never { why },
            Again::Soon => Delivery::Later { why, after: None },
            Again::After(after) => Delivery::Later {
                why,
                after: Some(after),
            },
        }
    }

    fn secret(&self, place: &SecretRef) -> Result<SecretString, Refused> {
        // A file may be mounted late; a variable that is missing stays missing.
        self.tools
            .secrets
            .resolve_ref(place)
            .map_err(|error| match place {
                SecretRef::File(_) => Refused::later(error.to_string()),
                SecretRef::Env(_) => Refused::never(error.to_string()),
            })
    }

    /// Sends a request and reads the answer, whatever its status.
    async fn exchange(
        &self,
        url: &str,
        build: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> Result<(String, Answer), Refused> {
        // The path may be a secret: it is known to the redactor, which sees every text that leaves here.
        let url = reqwest::Url::parse(url.trim()).map_err(|error| {
            Refused::never(format!(
                "the address of channel {} is none: {error}",
                self.name()
            ))
        })?;
        let tried = format!("POST {}", shown(&url));
        let limit = self.settings.timeout.value;
        let request = build(self.tools.http.post(url)).build();
        let request =
            request.map_err(|error| Refused::never(format!("{tried}: {}", reason(&error))))?;
        let exchange = async {
            let response = self
                .tools
                .http
                .execute(request)
                .await
                .map_err(|error| reason(&error))?;
            read(response).await
        };
        match tokio::time::timeout(limit, exchange).await {
            Ok(Ok(answer)) => Ok((tried, answer)),
            Ok(Err(why)) => Err(Refused::later(format!("{tried}: no answer: {why}"))),
            Err(_) => Err(Refused::later(format!(
                "{tried}: no complete answer within {limit:?}"
            ))),
        }
    }

    /// 2xx is taken; 408, 429 and 5xx may pass; anything else will not.
    fn accept(&self, tried: &str, answer: &Answer) -> Result<(), Refused> {
        if (200..300).contains(&answer.status) {
            return Ok(());
        }
        let why = format!("{tried}: {}", answer.words(&[]));
        if answer.status == 408 || answer.status == 429 || answer.status >= 500 {
            return Err(Refused {
                why,
                again: self.retry_after(answer).into(),
            });
        }
        Err(Refused::never(why))
    }

    /// Seconds or a date (RFC 9110, 10.2.3).
    fn retry_after(&self, answer: &Answer) -> Option<Duration> {
        let text = answer.retry_after.as_deref()?.trim();
        if let Ok(seconds) = text.parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Duration::try_from(until.duration_since((self.tools.clock)())).ok()
    }
}

/// A try that did not get through.
struct Refused {
    why: String,
    again: Again,
}

/// Whether trying again may help.
enum Again {
    /// It will not.
    Never,
    /// It may, and the receiver did not say when.
    Soon,
    /// It may, not before this long.
    After(Duration),
}

impl From<Option<Duration>> for Again {
    fn from(asked: Option<Duration>) -> Self {
        asked.map_or(Self::Soon, Self::After)
    }
}

impl Refused {
    fn later(why: String) -> Self {
        Self {
            why,
            again: Again::Soon,
        }
    }

    fn never(why: String) -> Self {
        Self {
            why,
            again: Again::Never,
        }
    }
}

fn exposed(secret: &SecretString) -> &str {
    secret.expose_secret().trim()
}

#[cfg(test)]
mod tests;
