//! A router that raises nothing for a controller that may not.

use canary_traffic::{Observed, Preflight, Router, RouterError, RouterErrorKind, Weight};
use futures::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

use super::metrics::Metrics;
use crate::lease::Claim;

/// Measures the time from an abort being seen to the request for weight 0.
#[derive(Debug)]
pub(super) struct AbortClock {
    seen: Mutex<Option<Instant>>,
    metrics: Metrics,
}

impl AbortClock {
    /// Nothing was seen.
    pub(super) fn new(metrics: Metrics) -> Self {
        Self {
            seen: Mutex::default(),
            metrics,
        }
    }

    /// An abort was seen then.
    pub(super) fn saw(&self, at: Instant) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get_or_insert(at);
    }

    fn sent(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = seen.take() {
            self.metrics
                .abort_seconds
                .observe(seen.elapsed().as_secs_f64());
        }
    }
}

/// Passes everything on, but a raise only while the Lease is held. Taking the canary off needs no Lease.
#[derive(Debug)]
pub(super) struct Leased {
    router: Arc<dyn Router>,
    claim: Claim,
    abort: Arc<AbortClock>,
}

impl Leased {
    /// Around that router.
    pub(super) fn new(router: Arc<dyn Router>, claim: Claim, abort: Arc<AbortClock>) -> Self {
        Self {
            router,
            claim,
            abort,
        }
    }
}

impl Router for Leased {
    fn name(&self) -> String {
        self.router.name()
    }

    fn preflight<'a>(
        &'a self,
        weights: &'a [Weight],
    ) -> BoxFuture<'a, Result<Preflight, RouterError>> {
        self.router.preflight(weights)
    }

    fn observe(&self) -> BoxFuture<'_, Result<Observed, RouterError>> {
        self.router.observe()
    }

    fn set_weight(&self, from: Weight, to: Weight) -> BoxFuture<'_, Result<Observed, RouterError>> {
        if !to.is_zero() && !self.claim.may_raise() {
            let tried = format!("set weight {to} on {}", self.name());
            return Box::pin(async move {
                Err(RouterError::new(
                    RouterErrorKind::Refused,
                    tried,
                    "this controller does not hold the lease any more",
                    "the controller that holds it goes on with the run",
                ))
            });
        }
        self.router.set_weight(from, to)
    }

    fn take_off(&self) -> BoxFuture<'_, Result<Observed, RouterError>> {
        self.abort.sent();
        self.router.take_off()
    }

    fn remove(&self) -> BoxFuture<'_, Result<(), RouterError>> {
        self.router.remove()
    }
}
