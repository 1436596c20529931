//! Direct scrape: /metrics pages read by ourselves, for those who have no Prometheus or want seconds instead of minutes.
//! The IO only; what is read goes into a [`Ledger`], which is pure.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use reqwest::{Method, Url};
use secrecy::SecretString;

use super::http::{self, Ask, Auth, Http, Settings, Tls};
use crate::evidence::{Arm, ServiceEvidence, SourceError, Window};
use crate::exposition::{self, Limits};
use crate::metric::{Counters, Failure, Ledger, Reading, Selector, ServiceMetrics};

/// What is scraped. An address without a path means its `/metrics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// Each address belongs to one arm: the pods of stable and of the canary. The selectors of the arms are not needed.
    PerArm {
        /// Addresses of stable's pages.
        stable: Vec<String>,
        /// Addresses of the canary's pages.
        canary: Vec<String>,
    },
    /// Pages that report on both arms, told apart by the selectors of the metrics: the splitter, a gateway.
    Labelled(Vec<String>),
}

/// How targets are scraped. Debug shows no secret.
#[derive(Debug, Clone)]
pub struct ScrapeOptions {
    /// Limit of one scrape; default 5 s.
    pub timeout: Duration,
    /// Bounds of one page; default 16 MiB, 100,000 series.
    pub limits: Limits,
    /// How many increments are kept (one per target, arm and scrape); default 20,000.
    pub capacity: usize,
    /// How many targets there may be; default 1,000.
    pub max_targets: usize,
    /// Who asks.
    pub auth: Auth,
    /// Further headers.
    pub headers: Vec<(String, SecretString)>,
    /// Trust and our own certificate.
    pub tls: Tls,
    /// Default `canary/` and the version.
    pub user_agent: String,
}

impl Default for ScrapeOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            limits: Limits::default(),
            capacity: 20_000,
            max_targets: 1_000,
            auth: Auth::None,
            headers: Vec::new(),
            tls: Tls::default(),
            user_agent: concat!("canary/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// What one round of scrapes came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScrapeReport {
    /// How many targets answered.
    pub answered: usize,
    /// Those that did not, with the reason.
    pub failures: Vec<(String, SourceError)>,
}

/// Scrapes targets and keeps what they counted.
#[derive(Debug)]
pub struct Scraper {
    http: Http,
    metrics: ServiceMetrics,
    limits: Limits,
    max_targets: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    targets: Vec<Target>,
    ledger: Ledger,
    /// The present failure of each target that fails.
    failing: BTreeMap<String, SourceError>,
    rounds: u64,
}

#[derive(Debug, Clone, PartialEq)]
struct Target {
    /// The address as shown: without credentials, unique.
    name: String,
    url: Url,
    arms: Vec<(Arm, Selector)>,
}

/// What we can read, best first.
const ACCEPT: &str =
    "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.7,*/*;q=0.1";
/// Scrapes under way at the same time.
const CONCURRENT: usize = 16;

impl Scraper {
    /// Prepares to scrape. Nothing is sent yet.
    pub fn new(
        metrics: ServiceMetrics,
        targets: &Targets,
        options: &ScrapeOptions,
    ) -> Result<Self, SourceError> {
        let targets = resolve(&metrics, targets, options.max_targets)?;
        let settings = Settings {
            auth: &options.auth,
            headers: &options.headers,
            tls: &options.tls,
            user_agent: &options.user_agent,
            timeout: options.timeout,
            max_response_bytes: options.limits.bytes as u64,
            // Pods are asked themselves.
            system_proxy: false,
        };
        // Targets may be replaced later by others with https.
        let urls: Vec<&Url> = targets.iter().map(|target| &target.url).collect();
        let http = Http::new(&urls, &settings)?;
        let state = State {
            targets,
            ledger: Ledger::new(options.capacity),
            failing: BTreeMap::new(),
            rounds: 0,
        };
        Ok(Self {
            http,
            metrics,
            limits: options.limits,
            max_targets: options.max_targets,
            state: Mutex::new(state),
        })
    }

    /// Replaces the targets: those that stay keep their history, those that go keep what they counted, those that come are new.
    pub fn set_targets(&self, targets: &Targets) -> Result<(), SourceError> {
        let targets = resolve(&self.metrics, targets, self.max_targets)?;
        let mut state = self.state();
        let plain = |targets: &[Target]| targets.iter().all(|target| target.url.scheme() == "http");
        if plain(&state.targets) && !plain(&targets) {
            return Err(SourceError::Setting {
                setting: "targets".to_owned(),
                message: "https targets cannot join http ones later; start with one of them"
                    .to_owned(),
            });
        }
        let gone: Vec<String> = (state.targets.iter().filter(|old| !targets.contains(old)))
            .map(|old| old.name.clone())
            .collect();
        for name in gone {
            state.ledger.forget(&name);
            state.failing.remove(&name);
        }
        state.targets = targets;
        Ok(())
    }

    /// Scrapes every target once. A failure of one is reported and noted as a gap; it does not stop the others.
    pub async fn scrape(&self) -> ScrapeReport {
        let targets = self.state().targets.clone();
        let mut looks = futures::stream::iter(targets.into_iter().map(|target| async {
            let look = self.look(&target).await;
            (target, look)
        }))
        .buffer_unordered(CONCURRENT);
        let mut report = ScrapeReport::default();
        while let Some((target, look)) = looks.next().await {
            let mut state = self.state();
            // It may have been taken off the list while it was asked.
            if !state.targets.contains(&target) {
                continue;
            }
            match look {
                Ok(reading) => {
                    report.answered += 1;
                    state.failing.remove(&target.name);
                    state.ledger.record(&target.name, reading);
                }
                Err(error) => {
                    let failure = Failure {
                        at: now(),
                        reason: error.to_string(),
                    };
                    let arms: Vec<Arm> = target.arms.iter().map(|(arm, _)| *arm).collect();
                    state.ledger.record_failure(&target.name, &arms, failure);
                    state.failing.insert(target.name.clone(), error.clone());
                    report.failures.push((target.name, error));
                }
            }
        }
        self.state().rounds += 1;
        report
    }

    /// Scrapes at once and then every `interval`, until dropped. A round that takes longer delays the next; none is made up for.
    pub async fn run(&self, interval: Duration) {
        let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let report = self.scrape().await;
            for (target, error) in report.failures {
                tracing::debug!(%target, %error, "scrape failed");
            }
        }
    }

    /// What happened within a window: the increments that lie wholly inside it. An error only where there is nothing to show
    /// and every target fails; what is missing from the rest is in the notes.
    pub fn evidence(&self, window: Window) -> Result<ServiceEvidence, SourceError> {
        let state = self.state();
        let mut evidence = state.ledger.evidence(window);
        let nothing = evidence.stable.pods + evidence.canary.pods == 0;
        let all_fail = !state.targets.is_empty() && state.failing.len() == state.targets.len();
        if nothing
            && all_fail
            && let Some(error) = state.failing.values().next()
        {
            return Err(error.clone());
        }
        if state.targets.is_empty() {
            evidence.partial = true;
            evidence
                .notes
                .push("there is no target to scrape".to_owned());
        } else if nothing && state.rounds > 1 && state.failing.is_empty() {
            evidence.notes.push(format!(
                "the targets answer, but within the window there are no two scrapes with a series of {}",
                self.metrics.requests.metric
            ));
        }
        Ok(evidence)
    }

    async fn look(&self, target: &Target) -> Result<Reading, SourceError> {
        let ask = Ask {
            method: Method::GET,
            url: target.url.clone(),
            accept: ACCEPT,
            form: Vec::new(),
        };
        let asked = now();
        let answered = self.http.exchange(&ask).await?;
        if !answered.status.is_success() {
            return Err(self.http.refused(&ask, &answered));
        }
        let tried = http::shown(&ask);
        let page = exposition::parse(&answered.body, self.limits).map_err(|error| {
            SourceError::Exposition {
                tried: tried.clone(),
                line: error.line,
                message: error.message,
            }
        })?;
        let content_type =
            http::header(&answered, reqwest::header::CONTENT_TYPE).unwrap_or_default();
        if content_type.starts_with("application/openmetrics-text") && !page.openmetrics {
            let message = "the page ends without # EOF: it was cut off".to_owned();
            return Err(SourceError::Exposition {
                tried,
                line: 0,
                message,
            });
        }
        let ours = |series: &str| {
            series.starts_with(&self.metrics.requests.metric)
                || self
                    .metrics
                    .latency
                    .as_ref()
                    .is_some_and(|latency| series.starts_with(&latency.metric))
        };
        if let Some(twice) = page
            .duplicates
            .iter()
            .find(|duplicate| ours(&duplicate.series))
        {
            let message = format!(
                "{} comes twice; which of its values is right, nobody knows",
                twice.series
            );
            return Err(SourceError::Exposition {
                tried,
                line: twice.line,
                message,
            });
        }
        let counters = Counters::read(&page, &self.metrics, &target.arms).map_err(|invalid| {
            SourceError::Unusable {
                tried,
                message: invalid.to_string(),
            }
        })?;
        Ok(Reading {
            asked,
            answered: now(),
            counters,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked while holding it left whole readings behind: each is recorded in one call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The targets with their addresses checked; each once.
fn resolve(
    metrics: &ServiceMetrics,
    targets: &Targets,
    most: usize,
) -> Result<Vec<Target>, SourceError> {
    let wrong = |message: String| SourceError::Setting {
        setting: "targets".to_owned(),
        message,
    };
    let listed: Vec<(&String, Vec<(Arm, Selector)>)> = match targets {
        Targets::PerArm { stable, canary } => {
            let whole = |arm| vec![(arm, Selector::default())];
            let stable = stable.iter().map(|url| (url, whole(Arm::Stable)));
            stable
                .chain(canary.iter().map(|url| (url, whole(Arm::Canary))))
                .collect()
        }
        Targets::Labelled(urls) => {
            let arms = Arm::BOTH
                .map(|arm| (arm, metrics.arm(arm).clone()))
                .to_vec();
            urls.iter().map(|url| (url, arms.clone())).collect()
        }
    };
    if listed.len() > most {
        return Err(wrong(format!(
            "{} targets; at most {most} are scraped",
            listed.len()
        )));
    }
    let mut resolved: Vec<Target> = Vec::with_capacity(listed.len());
    for (text, arms) in listed {
        let (mut url, auth) = http::address("target", text)?;
        if url.path() == "/" {
            url.set_path("/metrics");
        }
        if auth.is_some() {
            return Err(wrong(format!(
                "{}: credentials do not belong into the address",
                http::shown_url(&url)
            )));
        }
        let name = http::shown_url(&url);
        if resolved.iter().any(|other| other.name == name) {
            return Err(wrong(format!("{name} is named twice")));
        }
        resolved.push(Target { name, url, arms });
    }
    Ok(resolved)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a scrape happens when it happens; the ledger is told the time"
)]
fn now() -> Timestamp {
    Timestamp::now()
}
