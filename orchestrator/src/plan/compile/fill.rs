//! Variables in settings that are fixed when the plan is made: addresses, and names of tenants and channels.

use std::rc::Rc;

use super::{Compiler, words};
use crate::diagnostic::{Spanned, codes, quote};
use crate::osop::model::Text;
use crate::osop::settings::{self, ChannelTarget, Settings, WebhookUrl};
use crate::plan::template::{Namespace, Part, Template};

impl Compiler<'_> {
    /// Fills variables in, with problems told at the place of the text.
    pub(super) fn fill_settings(&mut self) {
        let mut settings = Settings::clone(&self.settings);
        if let Some(prometheus) = &mut settings.sources.prometheus {
            self.fill_url("sources.prometheus.url", &mut prometheus.url);
            if let Some(tenant) = &mut prometheus.tenant {
                self.fill("sources.prometheus.tenant", tenant);
            }
            for (_, value) in &mut prometheus.headers {
                self.fill("sources.prometheus.headers", value);
            }
        }
        if let Some(scrape) = &mut settings.sources.scrape {
            for url in &mut scrape.stable {
                self.fill_url("sources.scrape.stable", url);
            }
            for url in &mut scrape.canary {
                self.fill_url("sources.scrape.canary", url);
            }
        }
        if let Some(proxy) = &mut settings.traffic.proxy {
            self.fill("traffic.proxy", proxy);
        }
        for channel in &mut settings.notify {
            let key = |key: &str| format!("notify.{}.{key}", channel.name.value);
            match &mut channel.target {
                ChannelTarget::SlackApi {
                    channel, api_url, ..
                } => {
                    self.fill(&key("channel"), channel);
                    self.fill_url(&key("api_url"), api_url);
                }
                ChannelTarget::PagerDuty { api_url, .. } => self.fill_url(&key("api_url"), api_url),
                ChannelTarget::Webhook {
                    url: WebhookUrl::Plain(url),
                    ..
                } => self.fill_url(&key("url"), url),
                ChannelTarget::Webhook { .. }
                | ChannelTarget::SlackWebhook { .. }
                | ChannelTarget::Command { .. } => {}
            }
        }
        self.settings = Rc::new(settings);
    }

    /// An address: what it becomes is checked as if it had been written so.
    fn fill_url(&mut self, key: &str, url: &mut Text) {
        if self.fill(key, url) {
            settings::check_filled_url(&quote(key), url, &mut self.d);
        }
    }

    /// Whether something was filled in, and nothing is missing.
    fn fill(&mut self, key: &str, text: &mut Text) -> bool {
        if !text.value.contains("{{") && !text.value.contains("${") {
            return false;
        }
        let template = match Template::parse(&text.value) {
            Ok(template) => template,
            Err(error) => {
                self.reference_error(text.as_ref().map(String::as_str), &error);
                return false;
            }
        };
        let mut filled = Some(String::new());
        for part in template.parts() {
            let value = match part {
                Part::Literal(literal) => Some(literal.clone()),
                Part::Reference(reference) => {
                    let secret = reference.namespace == Namespace::Secrets
                        || words::names_secret(reference.head());
                    let later = matches!(reference.namespace, Namespace::Outputs | Namespace::Loop);
                    if secret {
                        let message = format!(
                            "{} holds no secrets, and {} looks like one: it would be kept with the run",
                            quote(key),
                            quote(&reference.to_string())
                        );
                        self.d
                            .error(codes::INLINE_SECRET, text.span, message)
                            .help("name it by the key that ends in `_env` or `_file`");
                        None
                    } else if later {
                        let message = format!(
                            "{} must be known before the run, and {} is not",
                            quote(key),
                            quote(&reference.to_string())
                        );
                        self.d
                            .error(codes::INVALID_REFERENCE, text.span, message)
                            .help("use a variable, or a variable of the environment");
                        None
                    } else {
                        self.known_value(key, text, reference)
                    }
                }
            };
            filled = match (filled, value) {
                (Some(filled), Some(value)) => Some(filled + &value),
                _ => None,
            };
        }
        let complete = filled.is_some();
        if let Some(filled) = filled {
            *text = Spanned::new(filled, text.span);
        }
        complete
    }
}
