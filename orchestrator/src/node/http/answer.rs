//! What came back: bounded, and in words.

use reqwest::Response;
use reqwest::header::{LOCATION, RETRY_AFTER};

/// A body is read up to this many bytes.
pub(crate) const LARGEST_BODY: usize = 1024 * 1024;

/// Of a body an error quotes this many characters.
const EXCERPT: usize = 300;

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// Status code.
    pub(crate) status: u16,
    /// The body; `None` if it was larger than [`LARGEST_BODY`].
    pub(crate) body: Option<String>,
    /// `Retry-After` as it was sent.
    pub(crate) retry_after: Option<String>,
    /// Host that a redirect, which was not followed, leads to.
    location: Option<String>,
    /// Start of the body.
    excerpt: String,
}

impl Answer {
    /// `answered 503 Service Unavailable, expected 200-299: start of the body`.
    pub(crate) fn words(&self, expected: &[u16]) -> String {
        let name = reqwest::StatusCode::from_u16(self.status)
            .ok()
            .and_then(|code| code.canonical_reason());
        let name = name.map(|name| format!(" {name}")).unwrap_or_default();
        let expected = if expected.is_empty() {
            "200-299".to_owned()
        } else {
            expected
                .iter()
                .map(u16::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let redirect = self.location.as_ref().map(|host| {
            format!("; it leads to {host}, and another host is not followed: write that address if it is the right one")
        });
        let excerpt = if self.excerpt.is_empty() {
            String::new()
        } else {
            format!(": {}", self.excerpt)
        };
        format!(
            "answered {}{name}, expected {expected}{excerpt}{}",
            self.status,
            redirect.unwrap_or_default()
        )
    }
}

/// Reads an answer up to its bound.
pub(crate) async fn read(mut response: Response) -> Result<Answer, String> {
    let header = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let retry_after = header(RETRY_AFTER);
    let location = response
        .status()
        .is_redirection()
        .then(|| header(LOCATION))
        .flatten()
        .map(|to| {
            let url = response.url().join(&to);
            url.ok()
                .and_then(|url| url.host_str().map(str::to_owned))
                .unwrap_or_else(|| "another place".to_owned())
        });
    let status = response.status().as_u16();
    let mut bytes = Vec::new();
    let mut whole = true;
    while let Some(chunk) = response.chunk().await.map_err(|error| reason(&error))? {
        let room = LARGEST_BODY - bytes.len();
        if chunk.len() > room {
            bytes.extend_from_slice(&chunk[..room]);
            whole = false;
            break;
        }
        bytes.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    let mut excerpt: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = excerpt.char_indices().nth(EXCERPT) {
        excerpt.truncate(end);
        excerpt.push('…');
    }
    Ok(Answer {
        status,
        body: whole.then_some(text),
        retry_after,
        location,
        excerpt,
    })
}

/// An error of the client in words: the deepest cause says most, and the address, which may hold a secret, is left out.
pub(crate) fn reason(error: &reqwest::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    if std::ptr::eq(deepest, std::ptr::from_ref::<dyn std::error::Error>(error)) {
        let kind = if error.is_builder() {
            "the request cannot be made"
        } else if error.is_timeout() {
            "it took too long"
        } else if error.is_body() || error.is_decode() {
            "the answer broke off"
        } else {
            "the exchange failed"
        };
        return kind.to_owned();
    }
    deepest.to_string()
}
