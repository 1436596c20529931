//! Where evidence comes from.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use canary_analyzer::evidence::{Answer, ServiceEvidence, SourceError, Window};
use canary_analyzer::metric::ServiceMetrics;
use canary_analyzer::source::{
    Auth as SourceAuth, PrometheusOptions, PrometheusSource, ScrapeOptions, Scraper, Targets,
    Tls as SourceTls,
};
use jiff::Timestamp;

use super::error::AssembleError;
use crate::node::secrets::Secrets;
use crate::osop::model::Text;
use crate::osop::settings::{Auth, PrometheusSettings, ScrapeSettings, Settings};
use crate::plan::service_metrics;

/// The sources of one release.
#[derive(Debug, Clone)]
pub struct Sources {
    prometheus: Option<Arc<PrometheusSource>>,
    scraper: Option<(Arc<Scraper>, Duration)>,
    metrics: Option<ServiceMetrics>,
}

impl Sources {
    /// Puts them together. Nothing is sent yet.
    pub fn new(
        settings: &Settings,
        service: &str,
        directory: &Path,
        secrets: &Secrets,
    ) -> Result<Self, AssembleError> {
        let metrics = service_metrics(settings, service)
            .map_err(|error| AssembleError::Metrics(error.to_string()))?;
        let prometheus = match &settings.sources.prometheus {
            None => None,
            Some(prometheus) => {
                let options = prometheus_options(prometheus, directory, secrets)?;
                Some(Arc::new(PrometheusSource::new(options)?))
            }
        };
        let scraper = match (&settings.sources.scrape, &metrics) {
            (None, _) => None,
            (Some(scrape), Some(metrics)) => {
                Some((Arc::new(scraper(scrape, metrics)?), scrape.interval.value))
            }
            (Some(_), None) => {
                let text = "x-canary.sources.scrape needs x-canary.metrics: which counter counts requests, and which of \
                            them are errors (for example `metrics: {preset: app}`)";
                return Err(AssembleError::Missing(text.to_owned()));
            }
        };
        Ok(Self {
            prometheus,
            scraper,
            metrics,
        })
    }

    /// Sources of a release whose Prometheus is there already, shared with others. Nothing is scraped.
    pub fn on(
        prometheus: Option<Arc<PrometheusSource>>,
        settings: &Settings,
        service: &str,
    ) -> Result<Self, AssembleError> {
        let metrics = service_metrics(settings, service)
            .map_err(|error| AssembleError::Metrics(error.to_string()))?;
        Ok(Self {
            prometheus,
            scraper: None,
            metrics,
        })
    }

    /// The Prometheus, where there is one.
    pub fn prometheus(&self) -> Option<&Arc<PrometheusSource>> {
        self.prometheus.as_ref()
    }

    /// Scrapes for as long as it is polled; returns at once where nothing is scraped.
    pub async fn watch(&self) {
        if let Some((scraper, interval)) = &self.scraper {
            scraper.run(*interval).await;
        }
    }

    /// Scrapes once now, so that what follows has the newest counts. Nothing to do for a Prometheus.
    pub async fn refresh(&self) {
        if let Some((scraper, _)) = &self.scraper {
            let report = scraper.scrape().await;
            for (target, error) in report.failures {
                tracing::debug!(%target, %error, "scrape failed");
            }
        }
    }

    /// Scrapes each metrics page once: its address and what is wrong with it; nothing where nothing is scraped.
    pub async fn probe(&self) -> Vec<(String, Option<SourceError>)> {
        let Some((scraper, _)) = &self.scraper else {
            return Vec::new();
        };
        let report = scraper.scrape().await;
        let good = match report.answered {
            1 => "1 page answers".to_owned(),
            answered => format!("{answered} pages answer"),
        };
        let good = (report.answered > 0).then_some((good, None));
        good.into_iter()
            .chain(
                report
                    .failures
                    .into_iter()
                    .map(|(target, error)| (target, Some(error))),
            )
            .collect()
    }

    /// The end of a window that holds everything that is known: what was scraped after `now` too.
    pub fn newest(&self, now: Timestamp) -> Timestamp {
        let slack = if self.scraper.is_some() {
            Duration::from_mins(1)
        } else {
            Duration::ZERO
        };
        now.checked_add(slack).unwrap_or(now)
    }

    /// What happened to the service's requests in a window: by direct scrape where that is set up, else by the Prometheus.
    pub async fn evidence(&self, window: Window) -> Result<ServiceEvidence, SourceError> {
        if let Some((scraper, _)) = &self.scraper {
            return scraper.evidence(window);
        }
        match (&self.prometheus, &self.metrics) {
            (Some(prometheus), Some(metrics)) => prometheus.service_evidence(metrics, window).await,
            (None, _) => Err(missing(
                "sources",
                "no source: set x-canary.sources.prometheus.url or x-canary.sources.scrape",
            )),
            (Some(_), None) => Err(missing(
                "metrics",
                "the service's metrics are not known: set x-canary.metrics, for example {preset: app}",
            )),
        }
    }

    /// Something counts the requests of the service.
    pub fn counts_requests(&self) -> bool {
        self.scraper.is_some() || (self.prometheus.is_some() && self.metrics.is_some())
    }

    /// The answer to a query, at a time.
    pub async fn answer(&self, query: &str, at: Timestamp) -> Result<Answer, SourceError> {
        match &self.prometheus {
            Some(prometheus) => prometheus.instant(query, at).await,
            None => Err(missing(
                "sources.prometheus",
                "a query needs a Prometheus: set x-canary.sources.prometheus.url",
            )),
        }
    }
}

fn missing(setting: &str, message: &str) -> SourceError {
    SourceError::Setting {
        setting: format!("x-canary.{setting}"),
        message: message.to_owned(),
    }
}

fn scraper(settings: &ScrapeSettings, metrics: &ServiceMetrics) -> Result<Scraper, AssembleError> {
    let urls = |list: &[Text]| list.iter().map(|url| url.value.clone()).collect::<Vec<_>>();
    let targets = if settings.stable.is_empty() {
        // Pages that report on both arms, as the splitter's do.
        Targets::Labelled(urls(&settings.canary))
    } else {
        Targets::PerArm {
            stable: urls(&settings.stable),
            canary: urls(&settings.canary),
        }
    };
    let options = ScrapeOptions {
        timeout: settings.timeout.value,
        ..ScrapeOptions::default()
    };
    Ok(Scraper::new(metrics.clone(), &targets, &options)?)
}

/// How the Prometheus of the settings is reached; `directory` is where relative paths of certificates start.
pub fn prometheus_options(
    settings: &PrometheusSettings,
    directory: &Path,
    secrets: &Secrets,
) -> Result<PrometheusOptions, AssembleError> {
    let read = |key: &'static str, path: &Option<Text>| -> Result<Option<Vec<u8>>, AssembleError> {
        let Some(path) = path else { return Ok(None) };
        let path = directory.join(&path.value);
        std::fs::read(&path)
            .map(Some)
            .map_err(|why| AssembleError::File {
                key,
                path: path.display().to_string(),
                why: why.to_string(),
            })
    };
    let auth = match &settings.auth {
        Auth::None => SourceAuth::None,
        Auth::Bearer(token) => SourceAuth::Bearer(secrets.resolve_ref(token)?),
        Auth::Basic { username, password } => SourceAuth::Basic {
            user: username.value.clone(),
            password: secrets.resolve_ref(password)?,
        },
    };
    let mut headers: Vec<_> = settings
        .headers
        .iter()
        .map(|(name, value)| (name.value.clone(), value.value.clone().into()))
        .collect();
    for (name, variable) in &settings.headers_env {
        headers.push((name.value.clone(), secrets.resolve(&variable.value)?));
    }
    let key = read("key_file", &settings.tls.key_file)?
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned().into());
    Ok(PrometheusOptions {
        auth,
        headers,
        tenant: settings.tenant.as_ref().map(|tenant| tenant.value.clone()),
        tls: SourceTls {
            ca_pem: read("ca_file", &settings.tls.ca_file)?,
            cert_pem: read("cert_file", &settings.tls.cert_file)?,
            key_pem: key,
            insecure_skip_verify: settings.tls.insecure_skip_verify,
        },
        timeout: settings.timeout.value,
        ..PrometheusOptions::new(settings.url.value.clone())
    })
}
