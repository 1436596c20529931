//! A POST of JSON, signed so that the receiver can tell who sent it and when.
//!
//! `X-Canary-Signature: sha256=<hex>` is the HMAC-SHA256 of `<X-Canary-Timestamp>.<body>` under the shared secret; the time
//! is inside, so that an old request cannot be sent again. `Idempotency-Key` is the same for every try of one message.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::CONTENT_TYPE;
use sha2::Sha256;

use super::{Channel, Refused, exposed};
use crate::notify::Message;
use crate::notify::text::webhook;
use crate::osop::settings::{SecretRef, WebhookUrl};

pub(super) async fn send(
    channel: &Channel,
    url: &WebhookUrl,
    secret: Option<&SecretRef>,
    message: &Message,
) -> Result<Option<String>, Refused> {
    let url = match url {
        WebhookUrl::Plain(url) => url.value.clone(),
        WebhookUrl::Secret(place) => exposed(&channel.secret(place)?).to_owned(),
    };
    let body = webhook(message).to_string();
    let timestamp = (channel.tools.clock)().as_second().to_string();
    let signature = match secret {
        Some(place) => Some(sign(exposed(&channel.secret(place)?), &timestamp, &body)?),
        None => None,
    };
    let (tried, answer) = channel
        .exchange(&url, |request| {
            let request = request
                .header(CONTENT_TYPE, "application/json")
                .header("Idempotency-Key", message.key())
                .header("X-Canary-Timestamp", &timestamp);
            let request = match &signature {
                Some(signature) => request.header("X-Canary-Signature", signature),
                None => request,
            };
            request.body(body)
        })
        .await?;
    channel.accept(&tried, &answer)?;
    Ok(None)
}

fn sign(secret: &str, timestamp: &str, body: &str) -> Result<String, Refused> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|error| {
        Refused::never(format!(
            "the secret of the signature cannot be used: {error}"
        ))
    })?;
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    let mut text = "sha256=".to_owned();
    for byte in mac.finalize().into_bytes() {
        let _never_fails = write!(text, "{byte:02x}");
    }
    Ok(text)
}
