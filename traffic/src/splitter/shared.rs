//! What all connections of one splitter share, and the handle to it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::choose::{Arm, Rules};
use super::headers::Via;
use super::metrics::Metrics;
use super::options::{self, SplitterError, SplitterOptions};
use super::sequence::Sequence;
use super::upstream::Upstream;
use crate::{Acceptance, Observed, Requests, Router, RouterError, Weight};

/// A splitter as it is at one moment: what `GET /v1/state` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitterState {
    /// What people call it.
    pub name: String,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// `host:port` of stable.
    pub stable: String,
    /// `host:port` of the canary.
    pub canary: String,
    /// The weight in force.
    pub weight: Weight,
    /// Who set it; none for the one that the splitter started with.
    pub changed_by: Option<String>,
    /// When it was set.
    pub changed_at: Timestamp,
    /// How often it was set since the start.
    pub changes: u64,
    /// Requests since then that the weight decided about; those that a client sent to one arm by the override header
    /// are not in it.
    pub requests: Requests,
    /// Requests that have no end of answer yet.
    pub in_flight: Requests,
    /// The last time that a version gave no answer, or half of one.
    pub last_error: Option<LastError>,
}

/// A failure of a version as the splitter saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// Which version.
    pub arm: Arm,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub message: String,
}

impl From<SplitterState> for Observed {
    fn from(state: SplitterState) -> Self {
        Self {
            weight: state.weight,
            // The word that the weight is in is the word that every request is dealt by.
            accepted: Acceptance::Accepted,
            changed_by: state.changed_by,
            changed_at: Some(state.changed_at),
            requests: Some(state.requests),
        }
    }
}

#[derive(Debug)]
struct Change {
    by: Option<String>,
    at: Timestamp,
    count: u64,
    /// What the counters of decided requests were at that time.
    base: Requests,
}

#[derive(Debug)]
pub(crate) struct Shared {
    name: String,
    listen: SocketAddr,
    pub(crate) rules: Rules,
    pub(crate) sequence: Sequence,
    pub(crate) metrics: Metrics,
    pub(crate) via: Via,
    pub(crate) response_timeout: Duration,
    upstreams: [Upstream; 2],
    decided: [AtomicU64; 2],
    change: Mutex<Change>,
    last_error: Mutex<Option<LastError>>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "people want to know when a weight was set"
)]
fn timestamp() -> Timestamp {
    Timestamp::now()
}

impl Shared {
    pub(crate) fn new(
        options: &SplitterOptions,
        listen: SocketAddr,
    ) -> Result<Self, SplitterError> {
        options::check_limits(options)?;
        let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
        let metrics = Metrics::new();
        metrics.set_weight(options.weight);
        Ok(Self {
            name: options.name.clone(),
            listen,
            rules: Rules::new(options)?,
            sequence: Sequence::new(seed, options.weight),
            metrics,
            via: Via::new(fastrand::u32(..)),
            response_timeout: options.response_timeout,
            upstreams: [
                Upstream::new("stable", &options.stable, options)?,
                Upstream::new("canary", &options.canary, options)?,
            ],
            decided: [AtomicU64::new(0), AtomicU64::new(0)],
            change: Mutex::new(Change {
                by: None,
                at: timestamp(),
                count: 0,
                base: Requests::default(),
            }),
            last_error: Mutex::new(None),
        })
    }

    pub(crate) fn upstream(&self, arm: Arm) -> &Upstream {
        &self.upstreams[arm.index()]
    }

    pub(crate) fn decided(&self, arm: Arm) {
        self.decided[arm.index()].fetch_add(1, Ordering::Relaxed);
    }

    fn decided_so_far(&self) -> Requests {
        let of = |arm: Arm| self.decided[arm.index()].load(Ordering::Relaxed);
        Requests {
            stable: of(Arm::Stable),
            canary: of(Arm::Canary),
        }
    }

    pub(crate) fn failed(&self, arm: Arm, message: String) {
        tracing::debug!(arm = arm.as_str(), %message, "no answer");
        let error = LastError {
            arm,
            at: timestamp(),
            message,
        };
        *self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// Sets the weight if it is `from` now.
    fn set_weight(&self, from: Option<Weight>, weight: Weight, by: Option<String>) {
        let mut change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.sequence.weight();
        if from.is_some_and(|from| now != from && now != weight) {
            return;
        }
        self.sequence.set(weight);
        self.metrics.set_weight(weight);
        tracing::info!(%weight, by = by.as_deref(), "weight set");
        *change = Change {
            by,
            at: timestamp(),
            count: change.count + 1,
            base: self.decided_so_far(),
        };
    }

    fn state(&self) -> SplitterState {
        let last_error = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let decided = self.decided_so_far();
        SplitterState {
            name: self.name.clone(),
            listen: self.listen,
            stable: self.upstream(Arm::Stable).authority().to_owned(),
            canary: self.upstream(Arm::Canary).authority().to_owned(),
            weight: self.sequence.weight(),
            changed_by: change.by.clone(),
            changed_at: change.at,
            changes: change.count,
            requests: Requests {
                stable: decided.stable.saturating_sub(change.base.stable),
                canary: decided.canary.saturating_sub(change.base.canary),
            },
            in_flight: Requests {
                stable: self.metrics.in_flight(Arm::Stable),
                canary: self.metrics.in_flight(Arm::Canary),
            },
            last_error,
        }
    }
}

/// Reads and sets a splitter of the same process. Cheap to clone; outlives the splitter.
///
/// As a [`Router`] it signs with `this process`; [`signed`](Self::signed) gives one that signs with another name.
#[derive(Clone, Debug)]
pub struct SplitterHandle {
    shared: Arc<Shared>,
    by: Arc<str>,
}

impl SplitterHandle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            by: Arc::from("this process"),
        }
    }

    /// The same handle, signing its changes with that name.
    #[must_use]
    pub fn signed(&self, by: &str) -> Self {
        Self {
            shared: self.shared.clone(),
            by: Arc::from(by),
        }
    }

    /// Sets the weight: the next request follows it, those in flight finish where they are.
    pub fn set_weight(&self, weight: Weight, by: &str) -> SplitterState {
        self.change(None, weight, by)
    }

    /// The same, if the weight is `from` now; the answer is how it is after that, changed or not.
    pub(crate) fn change(&self, from: Option<Weight>, weight: Weight, by: &str) -> SplitterState {
        self.shared.set_weight(from, weight, Some(by.to_owned()));
        self.state()
    }

    /// How it is now.
    #[must_use]
    pub fn state(&self) -> SplitterState {
        self.shared.state()
    }

    /// Its metrics as OpenMetrics text.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.shared.metrics.text()
    }
}

impl Router for SplitterHandle {
    fn name(&self) -> String {
        format!("local splitter {}", self.shared.name)
    }

    fn observe(&self) -> BoxFuture<'_, Result<Observed, RouterError>> {
        Box::pin(async { Ok(self.state().into()) })
    }

    fn set_weight(&self, from: Weight, to: Weight) -> BoxFuture<'_, Result<Observed, RouterError>> {
        Box::pin(async move { Ok(self.change(Some(from), to, &self.by).into()) })
    }

    fn take_off(&self) -> BoxFuture<'_, Result<Observed, RouterError>> {
        Box::pin(async { Ok(self.change(None, Weight::ZERO, &self.by).into()) })
    }

    fn remove(&self) -> BoxFuture<'_, Result<(), RouterError>> {
        Box::pin(async {
            SplitterHandle::set_weight(self, Weight::ZERO, &self.by);
            Ok(())
        })
    }
}
