//! One bounded HTTP exchange: no redirect, no more bytes than allowed, no longer than allowed, and errors that say what
//! was tried and what came back without any secret in them.

use std::error::Error as _;
use std::net::IpAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};

use crate::evidence::SourceError;

/// Who asks.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// Nobody in particular.
    #[default]
    None,
    /// `Authorization: Bearer`
    Bearer(SecretString),
    /// `Authorization: Basic`
    Basic {
        /// User name.
        user: String,
        /// Password.
        password: SecretString,
    },
}

/// How the server is trusted, and how we prove who we are.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Certificates of authorities to trust besides those of the system, PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// Our own certificate chain, PEM (mTLS); goes with `key_pem`.
    pub cert_pem: Option<Vec<u8>>,
    /// The key of our certificate, PEM.
    pub key_pem: Option<SecretString>,
    /// Believe any certificate. Anyone on the way can then read the credentials and make up the evidence.
    pub insecure_skip_verify: bool,
}

/// What an exchange is limited to and sent with.
#[derive(Debug)]
pub(super) struct Settings<'a> {
    pub(super) auth: &'a Auth,
    pub(super) headers: &'a [(String, SecretString)],
    pub(super) tls: &'a Tls,
    pub(super) user_agent: &'a str,
    pub(super) timeout: Duration,
    pub(super) max_response_bytes: u64,
    /// Whether a proxy from the environment may be used (never for this machine itself).
    pub(super) system_proxy: bool,
}

/// A client for requests of one kind.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    max_response_bytes: u64,
    /// What must never be shown, wherever it turns up.
    secrets: Vec<SecretString>,
}

/// A complete answer, of any status.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A request that can be sent twice.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) accept: &'static str,
    /// Sent as the body of a POST, or as the query of a GET.
    pub(super) form: Vec<(&'static str, String)>,
}

/// Bytes of an error's body that are read: enough for the message in it.
const ERROR_BODY_BYTES: u64 = 64 << 10;
/// Characters of a body that are shown.
const EXCERPT_CHARS: usize = 200;

/// An address to ask: http or https, a host, no query. User info is taken out and handed back as credentials.
pub(super) fn address(setting: &str, text: &str) -> Result<(Url, Option<Auth>), SourceError> {
    let wrong = |message: String| SourceError::Setting {
        setting: setting.to_owned(),
        message,
    };
    // What is wrong with the text is said without the text: it may hold a password.
    let mut url = Url::parse(text.trim()).map_err(|error| {
        wrong(format!(
            "not an address ({error}); expected http://host:port or https://host"
        ))
    })?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong(format!(
            "scheme {:?}; expected http://host:port or https://host",
            url.scheme()
        )));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong(
            "leave out what follows ? or #; write the address alone".to_owned(),
        ));
    }
    let user = percent_decoded(url.username());
    let password = url.password().map(percent_decoded);
    let auth = (!user.is_empty() || password.is_some()).then(|| Auth::Basic {
        user,
        password: SecretString::from(password.unwrap_or_default()),
    });
    // Both succeed for an address with a host, which it has.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Ok((url, auth))
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(byte) = bytes.get(index) {
        let hex = text
            .get(index + 1..index + 3)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match hex {
            Some(decoded) if *byte == b'%' => {
                out.push(decoded);
                index += 3;
            }
            _ => {
                out.push(*byte);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether the address is on this machine.
fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl Http {
    /// A client for the given addresses.
    pub(super) fn new(urls: &[&Url], settings: &Settings<'_>) -> Result<Self, SourceError> {
        let wrong = |setting: &str, message: String| SourceError::Setting {
            setting: setting.to_owned(),
            message,
        };
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            let message = "no TLS provider is installed; call rustls::crypto::ring::default_provider().install_default() first";
            return Err(wrong("tls", message.to_owned()));
        }
        let mut secrets: Vec<SecretString> = Vec::new();
        let mut headers = HeaderMap::new();
        for (name, value) in settings.headers {
            let parsed = HeaderName::try_from(name.as_str())
                .map_err(|_| wrong("headers", format!("{name:?} is no header name")))?;
            headers.append(parsed, secret_header(name, value)?);
            secrets.push(value.clone());
        }
        let mut builder = Client::builder()
            .user_agent(settings.user_agent)
            .default_headers(headers)
            // Credentials and tenant go to the address that was configured, and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(2)
            .connect_timeout(settings.timeout)
            .tls_danger_accept_invalid_certs(settings.tls.insecure_skip_verify);
        if !settings.system_proxy || urls.iter().all(|url| is_local(url)) {
            builder = builder.no_proxy();
        }
        let authorities = match &settings.tls.ca_pem {
            Some(pem) => reqwest::Certificate::from_pem_bundle(pem).map_err(|error| {
                wrong(
                    "ca",
                    format!("no certificates in PEM form: {}", root_cause(&error)),
                )
            })?,
            None => Vec::new(),
        };
        // Plain HTTP needs no authorities; not loading the system's saves memory, and works where there are none.
        let plain = urls.iter().all(|url| url.scheme() == "http");
        builder = if plain {
            builder.tls_certs_only([])
        } else {
            builder.tls_certs_merge(authorities)
        };
        match (&settings.tls.cert_pem, &settings.tls.key_pem) {
            (None, None) => {}
            (Some(cert), Some(key)) => {
                let mut pem = cert.clone();
                pem.push(b'\n');
                pem.extend_from_slice(key.expose_secret().as_bytes());
                let identity = reqwest::Identity::from_pem(&pem).map_err(|error| {
                    wrong(
                        "cert and key",
                        format!(
                            "not a certificate and key in PEM form: {}",
                            root_cause(&error)
                        ),
                    )
                })?;
                builder = builder.identity(identity);
            }
            _ => {
                return Err(wrong(
                    "cert and key",
                    "one is given without the other".to_owned(),
                ));
            }
        }
        let client = builder
            .build()
            .map_err(|error| wrong("tls", root_cause(&error)))?;
        // The header in the form in which it is sent is a secret, too: a server may echo it.
        let mut probe = client.get("http://localhost");
        match settings.auth {
            Auth::None => {}
            Auth::Bearer(token) => {
                secrets.push(SecretString::from(token.expose_secret().trim()));
                probe = probe.bearer_auth(token.expose_secret().trim());
            }
            Auth::Basic { user, password } => {
                secrets.push(password.clone());
                probe = probe.basic_auth(user, Some(password.expose_secret()));
            }
        }
        let probe = probe.build().map_err(|_| {
            wrong(
                "credentials",
                "they have characters that a header cannot have (a line break?)".to_owned(),
            )
        })?;
        let authorization = probe.headers().get(reqwest::header::AUTHORIZATION).cloned();
        if let Some(sent) = authorization.as_ref().and_then(|value| value.to_str().ok()) {
            secrets.extend(
                sent.split_once(' ')
                    .map(|(_, credentials)| SecretString::from(credentials)),
            );
        }
        secrets.retain(|secret| secret.expose_secret().len() >= 4);
        Ok(Self {
            client,
            authorization,
            timeout: settings.timeout,
            max_response_bytes: settings.max_response_bytes,
            secrets,
        })
    }

    /// Sends, and reads the whole answer within time and size. A connection that was reset before an answer came is tried
    /// once more: an idle connection may just have been closed by the server, and asking twice changes nothing there.
    pub(super) async fn exchange(&self, ask: &Ask) -> Result<Answered, SourceError> {
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
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The error for an answer that is not success.
    pub(super) fn refused(&self, ask: &Ask, answered: &Answered) -> SourceError {
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
    pub(super) fn excerpt(&self, answered: &Answered) -> String {
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
    pub(super) fn scrubbed(&self, text: &str) -> String {
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
pub(super) fn header(answered: &Answered, name: HeaderName) -> Option<&str> {
    answered.headers.get(name)?.to_str().ok()
}

/// Method and address, without anything that may be secret.
pub(super) fn shown(ask: &Ask) -> String {
    format!("{} {}", ask.method, shown_url(&ask.url))
}

/// Scheme, host, port and path.
pub(super) fn shown_url(url: &Url) -> String {
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

fn secret_header(what: &str, value: &SecretString) -> Result<HeaderValue, SourceError> {
    let mut header =
        HeaderValue::from_str(value.expose_secret()).map_err(|_| SourceError::Setting {
            setting: what.to_owned(),
            message: "the value has characters that a header cannot have (a line break?)"
                .to_owned(),
        })?;
    header.set_sensitive(true);
    Ok(header)
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
pub(super) fn http_date(text: &str) -> Option<jiff::Timestamp> {
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
    fn addresses_give_up_their_credentials() {
        let (url, auth) =
            address("url", "https://ann:p%40ss@prometheus.example:9090/prefix/").unwrap();
        assert_eq!(url.as_str(), "https://prometheus.example:9090/prefix/");
        let Some(Auth::Basic { user, password }) = auth else {
            panic!("no credentials")
        };
        assert_eq!((user.as_str(), password.expose_secret()), ("ann", "p@ss"));
        assert!(
            address("url", "http://prometheus:9090")
                .unwrap()
                .1
                .is_none()
        );
        for text in [
            "prometheus:9090",
            "ftp://x",
            "http://",
            "",
            "http://a:b@/x",
            "http://x/?a=b",
        ] {
            let message = address("url", text).unwrap_err().to_string();
            assert!(message.starts_with("url: "), "{text}: {message}");
        }
    }

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
