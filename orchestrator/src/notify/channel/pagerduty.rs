//! PagerDuty's Events API v2.

use serde_json::json;

use super::{Again, Channel, Refused, exposed};
use crate::notify::Message;
use crate::notify::text::pagerduty;
use crate::osop::settings::SecretRef;

/// 202 is taken, 400 is a fault of ours, 429 and 5xx are to be tried again
/// (<https://developer.pagerduty.com/docs/events-api-v2-overview#response-codes--retry-logic>).
pub(super) async fn send(
    channel: &Channel,
    routing_key: &SecretRef,
    base: &str,
    message: &Message,
) -> Result<Option<String>, Refused> {
    let Some(mut event) = pagerduty(message) else {
        return Ok(None);
    };
    let key = channel.secret(routing_key)?;
    event["routing_key"] = json!(exposed(&key));
    let url = format!("{}/v2/enqueue", base.trim_end_matches('/'));
    let (tried, answer) = channel
        .exchange(&url, |request| request.json(&event))
        .await?;
    channel.accept(&tried, &answer).map_err(|mut refused| {
        if matches!(refused.again, Again::Never) {
            refused
                .why
                .push_str("; check the integration key (Events API v2, 32 characters)");
        }
        refused
    })?;
    Ok(None)
}
