//! One bounded HTTP exchange: no redirect, no more bytes than allowed, no longer than allowed, and errors that say what
//! was tried and what came back without any secret in them.

mod address;
mod client;

use std::error::Error as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};

use crate::evidence::SourceError;

pub(super) use address::address;
pub(super) use client::Settings;
pub use client::{Auth, Tls};

/// A client for requests of one kind.
#[derive(Debug)]
pub(in crate::source) struct Http {
    client: Client,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    max_response_bytes: u64,
    /// What must never be shown, wherever it turns up.
    secrets: Vec<SecretString>,
}

/// A complete answer, of any status.
#[derive(Debug)]
pub(in crate::source) struct Answered {
    pub(in crate::source) status: StatusCode,
    pub(in crate::source) headers: HeaderMap,
    pub(in crate::source) body: Bytes,
}

/// A request that can be sent twice.
#[derive(Debug, Clone)]
pub(in crate::source) struct Ask {
    pub(in crate::source) method: Method,
    pub(in crate::source) url: Url,
    pub(in crate::source) accept: &'static str,
    /// Sent as the body of a POST, or as the query of a GET.
    pub(in crate::source) form: Vec<(&'static str, String)>,
}

/// Bytes of an error's body that are read: enough for the message in it.
const ERROR_BODY_BYTES: u64 = 64 << 10;
/// Characters of a body that are shown.
const EXCERPT_CHARS: usize = 200;

impl Http {
    /// Sends, and reads the whole answer within time and size. A connection that was reset before an answer came is tried
    /// once more: an idle connection may just have been closed by the server, and asking twice changes nothing there.
    pub(in crate::source) async fn exchange(&self, ask: &Ask) -> Result<Answered, SourceError> {
        let tried = shown(ask);
        let attempt = async {
            match self.once(ask, &tried).await {
                Err(Broken::Reset(_)) => self.once(ask, &tried).await,
                other => other,
            }
        };
        match tokio::time::timeout(self.timeout, attempt).await {
            Ok(Ok(answered)) => Ok(answered),
            Ok(Err(Broken::Reset(error) | Broken::Other(error))) => Err(error),
            Err(_elapsed) => Err(SourceError::Timeout {
                tried,
                after: self.timeout,
            }),
        }
    }

    async fn once(&self, ask: &Ask, tried: &str) -> Result<Answered, Broken> {
        let mut url = ask.url.clone();
        let mut body = String::new();
        if ask.method == Method::GET && !ask.form.is_empty() {
            url.query_pairs_mut()
                .extend_pairs(ask.form.iter().map(|(name, value)| (*name, value.as_str())));
        } else {
            body = encoded(&ask.form);
        }
        let mut request = self.client.request(ask.method.clone(), url);
        request = request.header(
            reqwest::header::ACCEPT,
            HeaderValue::from_static(ask.accept),
        );
        if let Some(authorization) = &self.authorization {
            request = request.header(reqwest::header::AUTHORIZATION, authorization.clone());
        }
        if !body.is_empty() {
            request = request
                .header(
                    reqwest::header::CONTENT_TYPE,
                    "application/x-www-form-urlencoded",
                )
                .body(body);
        }
        let broken = |error: &reqwest::Error| {
            let unreachable = SourceError::Unreachable {
                tried: tried.to_owned(),
                reason: self.scrubbed(&root_cause(error)),
            };
            if is_reset(error) {
                Broken::Reset(unreachable)
            } else {
                Broken::Other(unreachable)
            }
        };
        let response = request.send().await.map_err(|error| broken(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let ok = status.is_success();
        let limit = if ok {
            self.max_response_bytes
        } else {
            ERROR_BODY_BYTES.min(self.max_response_bytes)
        };
        let too_large = || {
            Broken::Other(SourceError::TooLarge {
                tried: tried.to_owned(),
                limit,
            })
        };
        if ok
            && response
                .content_length()
                .is_some_and(|length| length > limit)
        {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        let mut stream = response.bytes_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                // The status of an error is worth more than the rest of its body.
                Err(_) if !ok => break,
                Err(error) => return Err(broken(&error)),
            };
            if (body.len() + chunk.len()) as u64 > limit {
                if ok {
                    return Err(too_large());
                }
                break;
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answered {
            status,
            headers,
            body: body.freeze(),
        })
    }

    /// Limit of one exchange.
    pub(in crate::source) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The error for an answer that is not success.
    pub(in crate::source) fn refused(&self, ask: &Ask, answered: &Answered) -> SourceError {
        let tried = shown(ask);
        let code = answered.status.as_u16();
        if answered.status.is_redirection() {
            let location = header(answered, reqwest::header::LOCATION).unwrap_or_default();
            let location = match ask.url.join(location) {
                Ok(url) => shown_url(&url),
                Err(_) => "an address that cannot be read".to_owned(),
            };
            return SourceError::Redirected {
                tried,
                code,
                location: self.scrubbed(&location),
            };
        }
        let retry_after = header(answered, reqwest::header::RETRY_AFTER)
            .and_then(|text| retry_after(text, header(answered, reqwest::header::DATE)));
        SourceError::Status {
            tried,
            code,
            retry_after,
            excerpt: self.excerpt(answered),
        }
    }

    /// The start of the body, on one line, without secrets.
    pub(in crate::source) fn excerpt(&self, answered: &Answered) -> String {
        let text = String::from_utf8_lossy(answered.body.get(..4096).unwrap_or(&answered.body));
        let words = text
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|word| !word.is_empty());
        let line = self.scrubbed(&words.collect::<Vec<_>>().join(" "));
        match line.char_indices().nth(EXCERPT_CHARS) {
            Some((end, _)) => format!("{}...", &line[..end]),
            None => line,
        }
    }

    /// The text with every secret of ours replaced: a server may echo what it was sent.
    pub(in crate::source) fn scrubbed(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| {
            text.replace(secret.expose_secret(), "***")
        })
    }
}

enum Broken {
    Reset(SourceError),
    Other(SourceError),
}

/// A header of the answer as text.
pub(in crate::source) fn header(answered: &Answered, name: HeaderName) -> Option<&str> {
    answered.headers.get(name)?.to_str().ok()
}

/// Method and address, without anything that may be secret.
pub(in crate::source) fn shown(ask: &Ask) -> String {
    format!("{} {}", ask.method, shown_url(&ask.url))
}

/// Scheme, host, port and path.
pub(in crate::source) fn shown_url(url: &Url) -> String {
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!(
        "{}://{}{port}{}",
        url.scheme(),
        url.host_str().unwrap_or_default(),
        url.path()
    )
}

fn encoded(form: &[(&str, String)]) -> String {
    // The address of nowhere: only its encoder of queries is wanted.
    let mut url = Url::parse("http://localhost").ok();
    if let Some(url) = &mut url {
        url.query_pairs_mut()
            .extend_pairs(form.iter().map(|(name, value)| (*name, value.as_str())));
    }
    url.as_ref()
        .and_then(Url::query)
        .unwrap_or_default()
        .to_owned()
}

/// `Retry-After`: seconds, or a date (RFC 9110, 10.2.3), taken relative to the server's own clock.
fn retry_after(text: &str, now: Option<&str>) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = http_date(text)?;
    let wait = until.duration_since(http_date(now?)?);
    Some(Duration::try_from(wait).unwrap_or_default())
}

/// A date as HTTP writes it.
pub(in crate::source) fn http_date(text: &str) -> Option<jiff::Timestamp> {
    jiff::fmt::rfc2822::parse(text.trim())
        .ok()
        .map(|zoned| zoned.timestamp())
}

/// The innermost error: what the system or the TLS library said. The outer ones repeat the address.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.source().is_none() {
        "the request could not be made".to_owned()
    } else {
        cause.to_string()
    }
}

fn is_reset(error: &reqwest::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>()
            && matches!(
                io.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
            )
        {
            return true;
        }
        if inner
            .to_string()
            .contains("connection closed before message completed")
        {
            return true;
        }
        cause = inner.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_in_both_forms() {
        assert_eq!(retry_after("120", None), Some(Duration::from_mins(2)));
        let now = "Wed, 21 Oct 2015 07:27:50 GMT";
        assert_eq!(
            retry_after("Wed, 21 Oct 2015 07:28:00 GMT", Some(now)),
            Some(Duration::from_secs(10))
        );
        assert_eq!(
            retry_after("Wed, 21 Oct 2015 07:00:00 GMT", Some(now)),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after("soon", Some(now)), None);
    }
}
