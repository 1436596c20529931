//! Prometheus by its HTTP API, and all that speak it: Thanos, Mimir, VictoriaMetrics.
//!
//! The requests are built here and not by a client library: the one there is (prometheus-http-query 0.9) sends evaluation
//! times in whole seconds only, so that a window would not start when the weight changed, and its typed answers drop the
//! warnings by which a server says that data are missing.

mod envelope;
mod service;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, StatusCode, Url};
use secrecy::SecretString;

use super::http::{self, Answered, Ask, Auth, Http, Settings, Tls};
use crate::evidence::{Answer, ServiceEvidence, SourceError, Window};
use crate::metric::ServiceMetrics;

/// How a Prometheus is reached. Debug shows no secret.
#[derive(Debug, Clone)]
pub struct PrometheusOptions {
    /// Address, with a path prefix if there is one; `/api/v1/query` is put behind it. User info in it becomes `auth`.
    pub url: String,
    /// Who asks.
    pub auth: Auth,
    /// Further headers, sent with every request. Their values are treated as secrets.
    pub headers: Vec<(String, SecretString)>,
    /// Tenant of a Mimir, Cortex or Loki style server: the header `X-Scope-OrgID`.
    pub tenant: Option<String>,
    /// Trust and our own certificate.
    pub tls: Tls,
    /// Limit of one request with its answer; default 10 s.
    pub timeout: Duration,
    /// Limit of one answer; default 8 MiB. Reading stops there.
    pub max_response_bytes: u64,
    /// Limit of series in one answer; default 10,000.
    pub max_series: usize,
    /// Default `canary/` and the version.
    pub user_agent: String,
}

impl PrometheusOptions {
    /// The defaults, at an address.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            auth: Auth::None,
            headers: Vec::new(),
            tenant: None,
            tls: Tls::default(),
            timeout: Duration::from_secs(10),
            max_response_bytes: 8 << 20,
            max_series: 10_000,
            user_agent: concat!("canary/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// A Prometheus that can be asked.
#[derive(Debug)]
pub struct PrometheusSource {
    http: Http,
    base: Url,
    max_series: usize,
}

/// What a look at a Prometheus says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Its version, where it tells (`/api/v1/status/buildinfo`).
    pub version: Option<String>,
    /// Its clock minus ours, to a second or so; `None` where it does not send the time. A window is meant by our clock.
    pub clock_offset: Option<SignedDuration>,
}

const JSON: &str = "application/json";

impl PrometheusSource {
    /// Prepares to ask. Nothing is sent yet.
    pub fn new(options: PrometheusOptions) -> Result<Self, SourceError> {
        let (base, user_info) = http::address("prometheus url", &options.url)?;
        let auth = match (options.auth, user_info) {
            (Auth::None, Some(user_info)) => user_info,
            (auth, None) => auth,
            (_, Some(_)) => {
                return Err(SourceError::Setting {
                    setting: "prometheus url".to_owned(),
                    message: "credentials are given in the address and besides; keep one of them"
                        .to_owned(),
                });
            }
        };
        let mut headers = options.headers;
        headers.extend(
            options
                .tenant
                .map(|tenant| ("X-Scope-OrgID".to_owned(), SecretString::from(tenant))),
        );
        let settings = Settings {
            auth: &auth,
            headers: &headers,
            tls: &options.tls,
            user_agent: &options.user_agent,
            timeout: options.timeout,
            max_response_bytes: options.max_response_bytes,
            system_proxy: true,
        };
        let http = Http::new(&[&base], &settings)?;
        Ok(Self {
            http,
            base,
            max_series: options.max_series,
        })
    }

    /// The address that is asked, without credentials.
    pub fn address(&self) -> String {
        http::shown_url(&self.base)
    }

    /// Evaluates a query at one time.
    pub async fn instant(&self, query: &str, at: Timestamp) -> Result<Answer, SourceError> {
        let form = vec![
            ("query", query.to_owned()),
            ("time", unix(at)),
            ("timeout", self.server_timeout()),
        ];
        self.ask("api/v1/query", form, at).await
    }

    /// Evaluates a query at every `step` of a window.
    pub async fn range(
        &self,
        query: &str,
        window: Window,
        step: Duration,
    ) -> Result<Answer, SourceError> {
        if step.is_zero() {
            let message = "the step of a range query must be above zero".to_owned();
            return Err(SourceError::Setting {
                setting: "step".to_owned(),
                message,
            });
        }
        let form = vec![
            ("query", query.to_owned()),
            ("start", unix(window.start())),
            ("end", unix(window.end())),
            ("step", format!("{:.3}", step.as_secs_f64().max(0.001))),
            ("timeout", self.server_timeout()),
        ];
        self.ask("api/v1/query_range", form, window.end()).await
    }

    /// What happened to the requests of a service within a window, from the raw counters at its ends.
    pub async fn service_evidence(
        &self,
        metrics: &ServiceMetrics,
        window: Window,
    ) -> Result<ServiceEvidence, SourceError> {
        service::evidence(self, metrics, window).await
    }

    /// Whether it answers queries, which version it is and how its clock differs from ours.
    pub async fn ready(&self) -> Result<Ready, SourceError> {
        let build = self.get("api/v1/status/buildinfo");
        let answered = self.http.exchange(&build).await?;
        // Not all that speak the query API have this; those that do not are asked a query all the same.
        let version = if answered.status.is_success() {
            envelope::version(&answered.body)
        } else {
            None
        };
        let sent = now();
        let query = Ask {
            form: vec![("query", "vector(1)".to_owned())],
            ..self.get("api/v1/query")
        };
        let answered = self.http.exchange(&query).await?;
        let received = now();
        self.understood(&query, &answered, received)?;
        let theirs = http::header(&answered, reqwest::header::DATE).and_then(http::http_date);
        // The date was cut to a second while the answer was under way.
        let ours = sent + received.duration_since(sent) / 2;
        let clock_offset =
            theirs.map(|theirs| theirs.duration_since(ours) + SignedDuration::from_millis(500));
        Ok(Ready {
            version,
            clock_offset,
        })
    }

    /// Form by POST; by GET where a server or proxy does not take POST. (405: so say Prometheus's own API notes.)
    async fn ask(
        &self,
        path: &str,
        form: Vec<(&'static str, String)>,
        at: Timestamp,
    ) -> Result<Answer, SourceError> {
        let mut ask = Ask {
            method: Method::POST,
            form,
            ..self.get(path)
        };
        let mut answered = self.http.exchange(&ask).await?;
        if answered.status == StatusCode::METHOD_NOT_ALLOWED {
            ask.method = Method::GET;
            answered = self.http.exchange(&ask).await?;
        }
        self.understood(&ask, &answered, at)
    }

    fn get(&self, path: &str) -> Ask {
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}/{path}",
            self.base.path().trim_end_matches('/')
        ));
        Ask {
            method: Method::GET,
            url,
            accept: JSON,
            form: Vec::new(),
        }
    }

    /// The answer in what came back, or the most telling error.
    fn understood(
        &self,
        ask: &Ask,
        answered: &Answered,
        at: Timestamp,
    ) -> Result<Answer, SourceError> {
        let tried = http::shown(ask);
        match envelope::read(&answered.body, at, self.max_series) {
            // Prometheus answers its own errors with status 400, 422 or 503 and a body that says more than the status.
            Ok(envelope::Read::Refused { error_type, message }) => {
                let refused = self.http.refused(ask, answered);
                if refused.retry_after().is_some() {
                    return Err(refused);
                }
                Err(SourceError::Query { tried, error_type, message: self.http.scrubbed(&message) })
            }
            _ if !answered.status.is_success() => Err(self.http.refused(ask, answered)),
            Ok(envelope::Read::Answered(answer)) => Ok(answer),
            Err(envelope::Unreadable::NotPrometheus(what)) => {
                Err(SourceError::NotPrometheus { tried, what, excerpt: self.http.excerpt(answered) })
            }
            Err(envelope::Unreadable::TooManySeries) => {
                Err(SourceError::TooManySeries { tried, limit: self.max_series })
            }
            Err(envelope::Unreadable::NativeHistogram) => Err(SourceError::Unusable {
                tried,
                message: "the answer holds native histograms; ask for a number (histogram_quantile, histogram_fraction)"
                    .to_owned(),
            }),
        }
    }

    /// The server is told to stop working when nobody listens any more.
    fn server_timeout(&self) -> String {
        format!("{}ms", self.http.timeout().as_millis().max(1))
    }
}

/// Unix seconds with milliseconds, which is the resolution of Prometheus.
fn unix(at: Timestamp) -> String {
    let milliseconds = at.as_millisecond();
    let sign = if milliseconds < 0 { "-" } else { "" };
    let milliseconds = milliseconds.unsigned_abs();
    format!("{sign}{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the difference between two clocks cannot be had without reading ours"
)]
fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_sent_to_the_millisecond() {
        for (milliseconds, expected) in [
            (0, "0.000"),
            (1_700_000_000_123, "1700000000.123"),
            (-1, "-0.001"),
        ] {
            assert_eq!(
                unix(Timestamp::from_millisecond(milliseconds).unwrap()),
                expected
            );
        }
    }
}
