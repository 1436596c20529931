//! One request's entry in the metrics, written however the request ends.

use std::sync::Arc;
use std::time::Instant;

use hyper::StatusCode;

use super::choose::Arm;
use super::shared::Shared;

/// What nginx logs for a client that left before it was answered. It counts as 4xx: a client that ran out of patience
/// is visible in the latency, where it belongs, and not an error of a version that might still have answered.
const CLIENT_LEFT: u16 = 499;

#[expect(
    clippy::disallowed_methods,
    reason = "the proxy measures real requests"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Counts a request as in flight from its creation, and once, with its status and time, when it is dropped.
#[derive(Debug)]
pub(crate) struct Record {
    shared: Arc<Shared>,
    arm: Arm,
    began: Instant,
    status: Option<StatusCode>,
    ended: Option<Instant>,
}

impl Record {
    pub(crate) fn begin(shared: Arc<Shared>, arm: Arm) -> Self {
        shared.metrics.began(arm);
        Self {
            shared,
            arm,
            began: now(),
            status: None,
            ended: None,
        }
    }

    /// The status to count.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// Ends here and now; the time that this was.
    pub(crate) fn end(mut self) -> Instant {
        let ended = now();
        self.ended = Some(ended);
        ended
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let ended = self.ended.unwrap_or_else(now);
        let status = self
            .status
            .or_else(|| StatusCode::from_u16(CLIENT_LEFT).ok())
            .unwrap_or(StatusCode::BAD_REQUEST);
        self.shared.metrics.ended(
            self.arm,
            status,
            ended.saturating_duration_since(self.began),
        );
    }
}
