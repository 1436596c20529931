//! Who writes: one controller of a shard, by a Lease (coordination.k8s.io/v1).
//!
//! A holder believes its Lease for as long as its own monotonic clock says that the last renewal that it sent is young
//! enough; it never looks at the clock of another. A process that was stopped wakes to a deadline that has passed, and may
//! not raise a weight. Taking traffic off needs no Lease.
//!
//! Whoever waits takes a Lease over when it has seen it unchanged for the whole duration that the holder wrote into it, by
//! its own clock, or at once where the holder gave it up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use canary_traffic::kubernetes::{Api, Failure, PatchOperation, Patience, Resource};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::kinds::{self, Served};

/// How a Lease is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseOptions {
    /// Name of the Lease.
    pub name: String,
    /// Who we are: unique for every process.
    pub identity: String,
    /// For how long one renewal counts.
    pub duration: Duration,
    /// Pause between renewals.
    pub renew: Duration,
}

/// Part of the duration that is given away, so that the old holder stops before the new one begins.
const MARGIN: Duration = Duration::from_secs(2);

/// One call.
const PATIENCE: Patience = Patience {
    each: Duration::from_secs(3),
    all: Duration::from_secs(4),
};

/// Whether this process may raise weights. Cheap to clone and to ask.
#[derive(Debug, Clone)]
pub struct Claim {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    anchor: Instant,
    /// Milliseconds after the anchor; 0: never held.
    until: AtomicU64,
    held: watch::Sender<bool>,
}

impl Default for Claim {
    fn default() -> Self {
        Self::new()
    }
}

impl Claim {
    /// Not held.
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                anchor: Instant::now(),
                until: AtomicU64::new(0),
                held: watch::Sender::new(false),
            }),
        }
    }

    /// The Lease is ours now, by our own clock.
    pub fn may_raise(&self) -> bool {
        let now = self.inner.anchor.elapsed().as_millis();
        now < u128::from(self.inner.until.load(Ordering::SeqCst))
    }

    /// True while the Lease is ours, and each change of that.
    pub fn held(&self) -> watch::Receiver<bool> {
        self.inner.held.subscribe()
    }

    fn deadline(&self) -> Instant {
        self.inner.anchor + Duration::from_millis(self.inner.until.load(Ordering::SeqCst))
    }

    fn keep(&self, until: Instant) {
        let after = until
            .saturating_duration_since(self.inner.anchor)
            .as_millis();
        self.inner
            .until
            .store(u64::try_from(after).unwrap_or(u64::MAX), Ordering::SeqCst);
        self.inner
            .held
            .send_if_modified(|held| !std::mem::replace(held, true));
    }

    fn lose(&self) {
        self.inner.until.store(0, Ordering::SeqCst);
        self.inner
            .held
            .send_if_modified(|held| std::mem::replace(held, false));
    }
}

/// What the Lease said, and since when by our clock.
struct Seen {
    version: String,
    since: Instant,
}

/// Takes the Lease whenever it can be had, and keeps it, until it is told to stop; then gives it up.
pub async fn hold(api: Api, options: LeaseOptions, claim: Claim, stop: CancellationToken) {
    let served = Served::default();
    let mut seen: Option<Seen> = None;
    loop {
        let sent = Instant::now();
        let patience = if claim.may_raise() {
            claim.deadline()
        } else {
            sent + PATIENCE.all
        };
        let taken = timeout_at(patience, take(&api, &served, &options, &mut seen)).await;
        match taken {
            Ok(Ok(true)) => {
                if !claim.may_raise() {
                    tracing::info!(
                        lease = options.name,
                        holder = options.identity,
                        "this controller holds the lease"
                    );
                }
                claim.keep(sent + options.duration.saturating_sub(MARGIN));
            }
            Ok(Ok(false)) => lose(&claim, &options, "another controller holds it"),
            Ok(Err(failure)) => {
                tracing::warn!(lease = options.name, %failure, "the lease could not be renewed");
            }
            Err(_) => {}
        }
        if !claim.may_raise() {
            lose(&claim, &options, "it could not be renewed in time");
        }
        let next = if claim.may_raise() {
            options
                .renew
                .min(claim.deadline().saturating_duration_since(Instant::now()))
        } else {
            options.renew
        };
        tokio::select! {
            () = sleep(next) => {}
            () = stop.cancelled() => break,
        }
    }
    if claim.may_raise() {
        claim.lose();
        if let Err(failure) = give_up(&api, &served, &options).await {
            tracing::warn!(%failure, "the lease could not be given up; it expires by itself");
        }
    }
}

fn lose(claim: &Claim, options: &LeaseOptions, why: &str) {
    if *claim.inner.held.borrow() {
        tracing::warn!(
            lease = options.name,
            why,
            "the lease is lost: this controller raises no weight any more"
        );
    }
    claim.lose();
}

static LEASES: &Resource = &kinds::LEASES;

/// True: it is ours.
async fn take(
    api: &Api,
    served: &Served,
    options: &LeaseOptions,
    seen: &mut Option<Seen>,
) -> Result<bool, Failure> {
    let lease = match api.get(LEASES, served, &options.name, PATIENCE).await {
        Ok(lease) => lease,
        Err(Failure::NotFound(_)) => {
            let made = json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": options.name},
                "spec": spec(options, 0, None),
            });
            return match api.create(LEASES, served, &made, PATIENCE).await {
                Ok(_) => Ok(true),
                Err(Failure::Conflict(_)) => Ok(false),
                Err(failure) => Err(failure),
            };
        }
        Err(failure) => return Err(failure),
    };
    let version = text(&lease, "/metadata/resourceVersion");
    let holder = text(&lease, "/spec/holderIdentity");
    let ours = holder == options.identity;
    if !ours && !holder.is_empty() {
        let length = lease
            .pointer("/spec/leaseDurationSeconds")
            .and_then(Value::as_u64);
        let length = Duration::from_secs(length.unwrap_or(15));
        let now = Instant::now();
        match seen {
            Some(known) if known.version == version => {
                if now.saturating_duration_since(known.since) < length {
                    return Ok(false);
                }
            }
            _ => {
                *seen = Some(Seen {
                    version,
                    since: now,
                });
                return Ok(false);
            }
        }
    }
    let transitions = lease
        .pointer("/spec/leaseTransitions")
        .and_then(Value::as_u64);
    let transitions = transitions.unwrap_or(0) + u64::from(!ours);
    let since = lease.pointer("/spec/acquireTime").filter(|_| ours).cloned();
    let operations = [
        PatchOperation::Test {
            path: "/metadata/resourceVersion".to_owned(),
            value: json!(text(&lease, "/metadata/resourceVersion")),
        },
        PatchOperation::Add {
            path: "/spec".to_owned(),
            value: spec(options, transitions, since),
        },
    ];
    match api
        .patch(LEASES, served, &options.name, &operations, PATIENCE)
        .await
    {
        Ok(_) => Ok(true),
        // Somebody else was faster, or it is gone.
        Err(Failure::Invalid(_) | Failure::Conflict(_) | Failure::NotFound(_)) => Ok(false),
        Err(failure) => Err(failure),
    }
}

fn spec(options: &LeaseOptions, transitions: u64, since: Option<Value>) -> Value {
    #[expect(
        clippy::disallowed_methods,
        reason = "for people: nobody compares it with a clock"
    )]
    let now = Timestamp::now();
    let now = json!(now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string());
    json!({
        "holderIdentity": options.identity,
        "leaseDurationSeconds": options.duration.as_secs(),
        "acquireTime": since.unwrap_or_else(|| now.clone()),
        "renewTime": now,
        "leaseTransitions": transitions,
    })
}

async fn give_up(api: &Api, served: &Served, options: &LeaseOptions) -> Result<(), Failure> {
    let operations = [
        PatchOperation::Test {
            path: "/spec/holderIdentity".to_owned(),
            value: json!(options.identity),
        },
        PatchOperation::Add {
            path: "/spec/holderIdentity".to_owned(),
            value: json!(""),
        },
    ];
    api.patch(LEASES, served, &options.name, &operations, PATIENCE)
        .await
        .map(drop)
}

fn text(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_claim_ends_by_itself() {
        let claim = Claim::new();
        assert!(!claim.may_raise());
        claim.keep(Instant::now() + Duration::from_secs(13));
        let mut held = claim.held();
        assert!(claim.may_raise() && *held.borrow_and_update());
        tokio::time::advance(Duration::from_secs(12)).await;
        assert!(claim.may_raise());
        tokio::time::advance(Duration::from_secs(2)).await;
        // Nobody has to say so.
        assert!(!claim.may_raise());
        claim.lose();
        assert!(held.has_changed().unwrap() && !*held.borrow_and_update());
    }
}
