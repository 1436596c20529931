//! The demo's users: a steady stream of requests through the splitter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// What the users saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    sent: AtomicU64,
    bad: AtomicU64,
}

impl Seen {
    /// Requests answered, and how many of them with an error or not at all.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (
            self.sent.load(Ordering::Relaxed),
            self.bad.load(Ordering::Relaxed),
        )
    }
}

/// Sends `per_second` requests to `url` until `stop`; users do not wait for each other.
pub(crate) async fn generate(
    client: reqwest::Client,
    url: String,
    per_second: u32,
    seen: Arc<Seen>,
    stop: CancellationToken,
) {
    if per_second == 0 {
        return stop.cancelled().await;
    }
    let mut ticks = tokio::time::interval_at(Instant::now(), Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let request = client.get(&url).send();
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            let good = matches!(request.await, Ok(response) if response.status().is_success());
            seen.sent.fetch_add(1, Ordering::Relaxed);
            if !good {
                seen.bad.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}
