//! Where evidence comes from.

use std::time::Duration;

use super::section::{Section, check_url, conflict};
use crate::diagnostic::Span;
use crate::diagnostic::{Diagnostics, Spanned, codes};
use crate::osop::model::Text;

/// Where evidence comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A Prometheus API.
    pub prometheus: Option<PrometheusSettings>,
    /// `/metrics` of the instances themselves.
    pub scrape: Option<ScrapeSettings>,
}

/// A secret by the place it is kept in, never by its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// Name of an environment variable.
    Env(Text),
    /// Path of a file; its content without the last line end.
    File(Text),
}

impl SecretRef {
    /// Name of the variable or path of the file.
    pub fn name(&self) -> &Text {
        match self {
            Self::Env(name) | Self::File(name) => name,
        }
    }
}

/// A Prometheus API.
#[derive(Clone, Debug)]
pub struct PrometheusSettings {
    /// The whole mapping.
    pub span: Span,
    /// Base URL, without `/api/v1`.
    pub url: Text,
    /// How it is authenticated.
    pub auth: Auth,
    /// Bound of one request.
    pub timeout: Spanned<Duration>,
    /// Headers of every request; no secrets.
    pub headers: Vec<(Text, Text)>,
    /// Headers whose values are in environment variables: header name, variable.
    pub headers_env: Vec<(Text, Text)>,
    /// `X-Scope-OrgID`.
    pub tenant: Option<Text>,
    /// Certificates.
    pub tls: Tls,
}

/// How a source is authenticated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// `Authorization: Bearer`.
    Bearer(SecretRef),
    /// `Authorization: Basic`.
    Basic {
        /// User name.
        username: Text,
        /// Password.
        password: SecretRef,
    },
}

/// Certificates of a source.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Certificates (PEM) that are trusted besides the system's.
    pub ca_file: Option<Text>,
    /// Client certificate (PEM); together with `key_file`.
    pub cert_file: Option<Text>,
    /// Key of the client certificate (PEM).
    pub key_file: Option<Text>,
    /// Do not check the server's certificate.
    pub insecure_skip_verify: bool,
}

/// `/metrics` of the instances themselves.
#[derive(Clone, Debug)]
pub struct ScrapeSettings {
    /// The whole mapping.
    pub span: Span,
    /// URLs of stable instances.
    pub stable: Vec<Text>,
    /// URLs of canary instances; not empty.
    pub canary: Vec<Text>,
    /// Time between scrapes.
    pub interval: Spanned<Duration>,
    /// Bound of one scrape.
    pub timeout: Spanned<Duration>,
}

pub(super) fn read(mut section: Section<'_>, d: &mut Diagnostics) -> Sources {
    let sources = Sources {
        prometheus: section
            .section("prometheus", "sources.prometheus", d)
            .and_then(|section| read_prometheus(section, d)),
        scrape: section
            .section("scrape", "sources.scrape", d)
            .and_then(|section| read_scrape(section, d)),
    };
    section.close(d);
    sources
}

fn read_prometheus(mut section: Section<'_>, d: &mut Diagnostics) -> Option<PrometheusSettings> {
    if section.reader.value("url").is_none() {
        section.missing("url", d);
    }
    let url = section.url("url", d);
    if let Some(url) = &url
        && let Some((base, _)) = url.value.split_once("/api/v1")
        && !base.contains("refused.invalid")
    {
        d.error(
            codes::INVALID_URL,
            url.span,
            "`sources.prometheus.url` is the base of the API: `/api/v1` is added to it",
        )
        .help(format!("write `{base}`"));
    }
    let auth = read_auth(&mut section, d);
    let timeout = section
        .duration("timeout", d)
        .unwrap_or(Spanned::by_default(Duration::from_secs(10)));
    let headers = section.headers(d);
    let headers_env = section.headers_env(d);
    let tenant = section.text("tenant", d);
    let tls = section
        .section("tls", "sources.prometheus.tls", d)
        .map(|section| read_tls(section, d))
        .unwrap_or_default();
    let span = section.span();
    section.close(d);
    Some(PrometheusSettings {
        span,
        url: url?,
        auth,
        timeout,
        headers,
        headers_env,
        tenant,
        tls,
    })
}

fn read_auth(section: &mut Section<'_>, d: &mut Diagnostics) -> Auth {
    let bearer = section.secret(
        Some("bearer_token"),
        "bearer_token_env",
        "bearer_token_file",
        d,
    );
    let password = section.secret(Some("password"), "password_env", "password_file", d);
    let username = section.text("username", d);
    let user = username.as_ref().map(|name| name.span);
    match (bearer, username, password) {
        (Some(bearer), None, None) => Auth::Bearer(bearer),
        (None, Some(username), Some(password)) => Auth::Basic { username, password },
        (Some(bearer), _, _) => {
            let other = user.unwrap_or(bearer.name().span);
            conflict(
                &section.reader,
                ("bearer_token_env", bearer.name().span),
                ("username", other),
                d,
            );
            Auth::None
        }
        (None, Some(username), None) => {
            d.error(
                codes::MISSING_KEY,
                username.span,
                "`username` needs `password_env` or `password_file`",
            );
            Auth::None
        }
        (None, None, Some(password)) => {
            d.error(
                codes::MISSING_KEY,
                password.name().span,
                "a password needs a `username`",
            );
            Auth::None
        }
        (None, None, None) => Auth::None,
    }
}

fn read_tls(mut section: Section<'_>, d: &mut Diagnostics) -> Tls {
    let tls = Tls {
        ca_file: section.text("ca_file", d),
        cert_file: section.text("cert_file", d),
        key_file: section.text("key_file", d),
        insecure_skip_verify: section
            .reader
            .bool("insecure_skip_verify", d)
            .is_some_and(|on| on.value),
    };
    match (&tls.cert_file, &tls.key_file) {
        (Some(cert), None) => {
            d.error(
                codes::MISSING_KEY,
                cert.span,
                "`cert_file` needs `key_file`",
            );
        }
        (None, Some(key)) => {
            d.error(codes::MISSING_KEY, key.span, "`key_file` needs `cert_file`");
        }
        _ => {}
    }
    section.close(d);
    tls
}

fn read_scrape(mut section: Section<'_>, d: &mut Diagnostics) -> Option<ScrapeSettings> {
    let stable = urls(&mut section, "stable", d).unwrap_or_default();
    if section.reader.value("canary").is_none() {
        section.missing("canary", d);
    }
    let canary = urls(&mut section, "canary", d);
    if canary.as_ref().is_some_and(Vec::is_empty)
        && section
            .reader
            .value("canary")
            .is_some_and(|v| v.as_list().is_some_and(<[_]>::is_empty))
    {
        d.error(
            codes::MISSING_KEY,
            section.span(),
            "`canary` of `scrape` names no URL",
        );
    }
    let interval = section
        .duration("interval", d)
        .unwrap_or(Spanned::by_default(Duration::from_secs(5)));
    let timeout = section
        .duration("timeout", d)
        .unwrap_or(Spanned::by_default(Duration::from_secs(2)));
    let span = section.span();
    section.close(d);
    Some(ScrapeSettings {
        span,
        stable,
        canary: canary?,
        interval,
        timeout,
    })
}

fn urls(section: &mut Section<'_>, key: &'static str, d: &mut Diagnostics) -> Option<Vec<Text>> {
    let what = format!("an entry of {}", section.reader.path(key));
    let urls = section.texts(key, d)?;
    for url in &urls {
        check_url(&what, url, d);
    }
    Some(urls)
}
