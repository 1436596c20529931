//! What a splitter is told at the start, and what is wrong with it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};

use crate::Weight;

/// Everything that a splitter is told at the start. [`SplitterOptions::new`] fills in the defaults named here.
#[derive(Clone, Debug)]
pub struct SplitterOptions {
    /// What people call it, such as the service's name; shown by status and in errors. Default `local`.
    pub name: String,
    /// Where clients connect. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The version that users trust: `http://host:port`, or `h2c://host:port` for HTTP/2 without TLS always. With
    /// `http`, gRPC requests go by HTTP/2 and everything else by HTTP/1.1.
    pub stable: Uri,
    /// The version on trial, in the same form.
    pub canary: Uri,
    /// The weight until somebody sets another one. Default 0 %.
    pub weight: Weight,
    /// Whether a client stays with one version. Default [`Sticky::None`].
    pub sticky: Sticky,
    /// The request header that overrides the split: `always` goes to the canary, `never` to stable, anything else
    /// changes nothing. None switches it off. Default `X-Canary`.
    pub override_header: Option<String>,
    /// Lets `X-Canary: always` reach the canary at weight 0 too, to try a version before it meets users. Off by
    /// default: an abort then takes everybody off.
    pub override_at_zero: bool,
    /// Makes the sequence of arms repeatable. Random by default.
    pub seed: Option<u64>,
    /// The Unix socket of the admin interface; none by default. Its directory is made, or must be, 0700.
    pub admin: Option<PathBuf>,
    /// Serves GET /metrics over TCP too, for a Prometheus; none by default.
    pub metrics_listen: Option<SocketAddr>,
    /// How long a connection to a version may take. Default 5 s.
    pub connect_timeout: Duration,
    /// How long a version may take from the end of a request to the beginning of its answer. Default 60 s.
    pub response_timeout: Duration,
    /// How long a client may take to send a request's header, and how long its connection may be idle between requests.
    /// Default 60 s.
    pub client_header_timeout: Duration,
    /// How long requests in flight may take to finish after the stop. Default 30 s.
    pub drain_timeout: Duration,
    /// Largest header section, of requests and of answers, in bytes, 8 KiB to 1 MiB. Default 64 KiB.
    pub max_header_bytes: usize,
    /// Most client connections at a time; more wait in the listen queue. Default 10,000.
    pub max_connections: usize,
}

/// Whether and how a client stays with one version.
///
/// Stickiness is by ticket: each client has a number, and the canary takes the clients whose number is below the
/// weight. So raising the weight only adds clients to the canary, lowering it only takes clients away, and at 0 %
/// everybody is on stable at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sticky {
    /// Each request is decided for itself.
    #[default]
    None,
    /// A cookie holds the ticket; it is set on the first answer.
    Cookie {
        /// The cookie's name, such as `canary`.
        name: String,
        /// How long it lives; none for until the browser closes.
        max_age: Option<Duration>,
        /// Its other attributes, such as `Secure; SameSite=None; Path=/`. Empty for `Path=/; HttpOnly; SameSite=Lax`.
        attributes: String,
    },
    /// The ticket is a hash of this request header's value, such as a user id. Requests without it are decided each
    /// for itself.
    Header {
        /// The header's name, such as `X-User-Id`.
        name: String,
        /// Mixed into the hash, so that not every release tries the same users first. May be empty.
        salt: String,
    },
}

impl SplitterOptions {
    /// Listens there and splits between the two, at weight 0 %, everything else at its default.
    #[must_use]
    pub fn new(listen: SocketAddr, stable: Uri, canary: Uri) -> Self {
        Self {
            name: "local".to_owned(),
            listen,
            stable,
            canary,
            weight: Weight::ZERO,
            sticky: Sticky::None,
            override_header: Some("X-Canary".to_owned()),
            override_at_zero: false,
            seed: None,
            admin: None,
            metrics_listen: None,
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_mins(1),
            client_header_timeout: Duration::from_mins(1),
            drain_timeout: Duration::from_secs(30),
            max_header_bytes: 64 * 1024,
            max_connections: 10_000,
        }
    }
}

/// A splitter could not start.
#[derive(Debug, thiserror::Error)]
pub enum SplitterError {
    /// An option makes no sense.
    #[error("{option} `{value}`: {problem}; {hint}")]
    Option {
        /// Which one.
        option: &'static str,
        /// What it said, shortened.
        value: String,
        /// What is wrong with it.
        problem: String,
        /// What to write instead.
        hint: &'static str,
    },
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {addr} for {purpose}: {source}; choose another address or stop what uses it"
    )]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What it was for.
        purpose: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The admin socket cannot be made.
    #[error("cannot make the admin socket {}: {problem}; {hint}", path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// What stands in the way.
        problem: String,
        /// What to do.
        hint: String,
    },
}

pub(crate) fn bad(
    option: &'static str,
    value: impl std::fmt::Display,
    problem: impl Into<String>,
    hint: &'static str,
) -> SplitterError {
    let value = value.to_string().chars().take(100).collect();
    SplitterError::Option {
        option,
        value,
        problem: problem.into(),
        hint,
    }
}

/// Checks the numbers.
pub(crate) fn check_limits(options: &SplitterOptions) -> Result<(), SplitterError> {
    if !(8 * 1024..=1024 * 1024).contains(&options.max_header_bytes) {
        return Err(bad(
            "max header bytes",
            options.max_header_bytes,
            "out of range",
            "choose 8192 to 1048576",
        ));
    }
    if options.max_connections == 0 {
        return Err(bad(
            "max connections",
            0,
            "no client could connect",
            "choose at least 1",
        ));
    }
    for (option, timeout) in [
        ("connect timeout", options.connect_timeout),
        ("response timeout", options.response_timeout),
        ("client header timeout", options.client_header_timeout),
    ] {
        if timeout.is_zero() || timeout > Duration::from_hours(24) {
            return Err(bad(
                option,
                format!("{timeout:?}"),
                "out of range",
                "choose more than nothing and at most a day",
            ));
        }
    }
    Ok(())
}

/// A header's name from what a person wrote.
pub(crate) fn header_name(option: &'static str, name: &str) -> Result<HeaderName, SplitterError> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        bad(
            option,
            name,
            "not a header name",
            "use letters, digits and dashes, such as X-Canary",
        )
    })
}

/// The `Set-Cookie` value in two halves around the ticket.
pub(crate) fn cookie_halves(
    name: &str,
    max_age: Option<Duration>,
    attributes: &str,
) -> Result<(String, String), SplitterError> {
    // RFC 6265 section 4.1.1: a cookie's name is a token, as a header's name is.
    header_name("sticky cookie", name)?;
    let mut tail = String::from("; ");
    if attributes.is_empty() {
        tail.push_str("Path=/; HttpOnly; SameSite=Lax");
    } else {
        tail.push_str(attributes.trim().trim_start_matches(';').trim_start());
    }
    if let Some(age) = max_age {
        tail.push_str("; Max-Age=");
        tail.push_str(&age.as_secs().to_string());
    }
    if HeaderValue::from_str(&tail).is_err() || !tail.is_ascii() || tail.len() > 512 {
        return Err(bad(
            "sticky cookie attributes",
            attributes,
            "not usable in a header",
            "use something like `Path=/; Secure; SameSite=Lax`",
        ));
    }
    Ok((format!("{name}="), tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookie_attributes_cannot_carry_a_second_header() {
        assert!(cookie_halves("canary", None, "Path=/\r\nSet-Cookie: a=b").is_err());
        assert!(cookie_halves("can ary", None, "").is_err());
        let (head, tail) = cookie_halves("c", Some(Duration::from_mins(1)), "Secure").unwrap();
        assert_eq!(format!("{head}7{tail}"), "c=7; Secure; Max-Age=60");
    }

    #[test]
    fn errors_say_what_where_and_what_to_do() {
        let error = header_name("override header", "X Canary")
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "override header `X Canary`: not a header name; use letters, digits and dashes, such as X-Canary"
        );
    }
}
