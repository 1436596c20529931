//! A client from its settings: credentials, headers, trust, our own certificate.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};
use secrecy::{ExposeSecret as _, SecretString};

use super::address::is_local;
use super::{Http, root_cause};
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
pub(in crate::source) struct Settings<'a> {
    pub(in crate::source) auth: &'a Auth,
    pub(in crate::source) headers: &'a [(String, SecretString)],
    pub(in crate::source) tls: &'a Tls,
    pub(in crate::source) user_agent: &'a str,
    pub(in crate::source) timeout: Duration,
    pub(in crate::source) max_response_bytes: u64,
    /// Whether a proxy from the environment may be used (never for this machine itself).
    pub(in crate::source) system_proxy: bool,
}

impl Http {
    /// A client for the given addresses.
    pub(in crate::source) fn new(
        urls: &[&Url],
        settings: &Settings<'_>,
    ) -> Result<Self, SourceError> {
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
