//! Why a source gave no answer. Each message says what was tried, what came back and what to do; none holds a secret.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A source could not answer. Never a reason to pass or to fail a gate.
///
/// `tried` is the method and address without user info and query, `excerpt` at most a few hundred characters of what came back.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SourceError {
    /// No connection, or one that broke.
    #[error(
        "{tried}: no answer: {reason}; check the address, that the server runs, and the network between"
    )]
    Unreachable {
        /// Method and address.
        tried: String,
        /// What the system said.
        reason: String,
    },
    /// The server took too long.
    #[error(
        "{tried}: no complete answer within {after:?}; raise the timeout, or ask for less in one query"
    )]
    Timeout {
        /// Method and address.
        tried: String,
        /// The limit that was hit.
        after: Duration,
    },
    /// An HTTP status that is not success.
    #[error("{tried}: HTTP status {code}{}{}; {}", retry_text(*retry_after), excerpt_text(excerpt), status_hint(*code))]
    Status {
        /// Method and address.
        tried: String,
        /// The status code.
        code: u16,
        /// How long the server asked to be left alone.
        retry_after: Option<Duration>,
        /// The start of the body.
        excerpt: String,
    },
    /// A redirect. It is not followed: credentials and tenant must not travel to a place nobody named.
    #[error(
        "{tried}: redirected (HTTP status {code}) to {location}; if that is the right place, set the address to it"
    )]
    Redirected {
        /// Method and address.
        tried: String,
        /// The status code.
        code: u16,
        /// Where to, without user info and query.
        location: String,
    },
    /// Success, but what came back is not what this API answers.
    #[error(
        "{tried}: this is not a Prometheus answer but {what}{}; check that the address is that of the API itself (no login page or proxy before it, the path prefix right)",
        excerpt_text(excerpt)
    )]
    NotPrometheus {
        /// Method and address.
        tried: String,
        /// What came back instead, for instance "an HTML page".
        what: String,
        /// The start of the body.
        excerpt: String,
    },
    /// More bytes than allowed; reading stopped there.
    #[error(
        "{tried}: the answer is larger than {limit} bytes; aggregate in the query (sum by), or raise the limit"
    )]
    TooLarge {
        /// Method and address.
        tried: String,
        /// The limit, in bytes.
        limit: u64,
    },
    /// More series than allowed.
    #[error("{tried}: the answer has more than {limit} series; aggregate in the query (sum by)")]
    TooManySeries {
        /// Method and address.
        tried: String,
        /// The limit.
        limit: usize,
    },
    /// The server understood and refused: a query with a mistake, or one that it could not carry out.
    #[error("{tried}: {error_type}: {message}; {}", query_hint(error_type))]
    Query {
        /// Method and address.
        tried: String,
        /// Prometheus's errorType: `bad_data`, `execution`, `timeout`, `canceled`, `unavailable`, ...
        error_type: String,
        /// Prometheus's message.
        message: String,
    },
    /// The text of a /metrics page cannot be read.
    #[error("{tried}: line {line}: {message}")]
    Exposition {
        /// Method and address.
        tried: String,
        /// Line, from 1; 0 for the text as a whole.
        line: usize,
        /// What was wrong there.
        message: String,
    },
    /// The answer is of a shape or value that these metrics cannot have.
    #[error("{tried}: {message}")]
    Unusable {
        /// Method and address.
        tried: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// A setting of the source is wrong. Nothing was sent.
    #[error("{setting}: {message}")]
    Setting {
        /// Which one.
        setting: String,
        /// What is wrong and what to do.
        message: String,
    },
}

impl SourceError {
    /// Whether asking again later can help without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Status { code, .. } => matches!(code, 408 | 425 | 429 | 500..=599),
            Self::Query { error_type, .. } => {
                matches!(
                    error_type.as_str(),
                    "timeout" | "canceled" | "unavailable" | "internal" | "too_many_requests"
                )
            }
            Self::Redirected { .. }
            | Self::NotPrometheus { .. }
            | Self::TooLarge { .. }
            | Self::TooManySeries { .. }
            | Self::Exposition { .. }
            | Self::Unusable { .. }
            | Self::Setting { .. } => false,
        }
    }

    /// How long the server asked to be left alone, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn retry_text(retry_after: Option<Duration>) -> String {
    retry_after
        .map(|wait| format!(", asks to wait {} s", wait.as_secs()))
        .unwrap_or_default()
}

fn excerpt_text(excerpt: &str) -> String {
    if excerpt.is_empty() {
        String::new()
    } else {
        format!(" ({excerpt})")
    }
}

fn status_hint(code: u16) -> &'static str {
    match code {
        401 => "give a token or user and password that the server accepts",
        403 => "the credentials are known but may not read this; check the tenant and the rights",
        404 => "check the path of the address",
        413 | 414 => "the query is too long for the server",
        429 => "the server limits requests; measure less often",
        503 => "the server is overloaded or starting; try again later",
        500..=599 => "look at the server's own log",
        _ => "check the address",
    }
}

fn query_hint(error_type: &str) -> &'static str {
    match error_type {
        "bad_data" => "correct the query",
        "execution" => "the query is valid but could not be carried out: see the message",
        "timeout" | "canceled" => "the server gave up on it; ask for less in one query",
        _ => "see the server's own log",
    }
}
