//! A Slack message without a text gets the run's report, and needs a channel.

use super::Compiler;
use super::read::Cx;
use crate::diagnostic::{Spanned, codes};
use crate::node::spec::{HttpBody, HttpWork};
use crate::osop::settings::{ChannelTarget, SecretRef};
use crate::plan::template::Template;

impl Compiler<'_> {
    pub(super) fn slack_report(&mut self, cx: Cx<'_>, work: &mut HttpWork) -> Option<()> {
        let settings = std::rc::Rc::clone(&self.settings);
        let channel = settings
            .notify
            .iter()
            .find_map(|channel| match &channel.target {
                ChannelTarget::SlackApi {
                    token,
                    channel,
                    api_url,
                } => Some((token, channel, api_url)),
                _ => None,
            });
        if let Some((token, _, api_url)) = channel {
            if api_url.is_written() {
                let path = format!(
                    "{}/api/chat.postMessage",
                    api_url.value.trim_end_matches('/')
                );
                work.url = self.template(cx, Spanned::new(path.as_str(), api_url.span))?;
                // The token of that address, not the one of the workflow's own.
                if let SecretRef::Env(name) = token {
                    work.bearer = Some(name.value.clone());
                    self.secrets.insert(name.value.clone());
                }
            } else if work.bearer.is_none()
                && let SecretRef::Env(name) = token
            {
                work.bearer = Some(name.value.clone());
                self.secrets.insert(name.value.clone());
            }
        }
        let own = self.text(cx, "channel");
        let channel = match (own, channel) {
            (Some(own), _) => own,
            (None, Some((_, channel, _))) => Spanned::new(channel.value.as_str(), channel.span),
            (None, None) => {
                let token = work
                    .bearer
                    .clone()
                    .unwrap_or_else(|| "SLACK_BOT_TOKEN".to_owned());
                self.d
                    .error(codes::MISSING_CHANNEL, cx.span(), format!("{} posts to Slack without a text, so it sends the run's report; it does not say where to", cx.what()))
                    .help(format!("add to the profile:\nnotify:\n  slack: {{channel: \"#releases\", token_env: {token}}}"));
                return None;
            }
        };
        let channel: Template = self.template(cx, channel)?;
        work.body = HttpBody::SlackReport { channel };
        Some(())
    }
}
