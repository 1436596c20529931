//! The shell of routers that patch one object of somebody else: read it, ask the kind what to send, send it, read what
//! became of it. What is decided is decided in the kinds' pure `read` and `plan`.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::api::{Api, Failure, Patience, Resource, Served};
use super::fields::last_writer;
use super::object::Unfit;
use super::patch::PatchOperation;
use crate::{Acceptance, Observed, Preflight, Router, RouterError, RouterErrorKind, Weight};

/// Tries of one change when the object changes under our hands.
const TRIES: u32 = 6;
/// How long a write waits for the data plane's word before it says `Pending`.
const SETTLE: Duration = Duration::from_millis(1_500);
const SETTLE_FIRST: Duration = Duration::from_millis(10);

/// What is wanted of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// This weight, from the weights that the object has.
    Weight {
        /// The canary's share.
        to: Weight,
        /// Who wants it.
        by: &'a str,
    },
    /// No traffic for the canary.
    Off {
        /// Who wants it.
        by: &'a str,
    },
    /// As it was before us.
    Gone,
}

/// What an object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The canary's share, the highest where there are several.
    pub weight: Weight,
    /// All places of the object agree on it.
    pub even: bool,
    /// Matching requests go to the canary.
    pub matching: bool,
    /// Whether the data plane acts on it.
    pub accepted: Acceptance,
    /// Which field holds the weights, for who wrote it last.
    pub field: Vec<String>,
}

/// A kind of object that routes. All pure.
pub trait RouteKind: Send + Sync + fmt::Debug {
    /// Which kind.
    fn resource(&self) -> &'static Resource;

    /// The object's name.
    fn object(&self) -> &str;

    /// What the object says; or why it cannot be driven.
    fn read(&self, object: &Value) -> Result<Reading, Unfit>;

    /// The patch that makes it what is wanted; empty where it is that already.
    fn plan(&self, object: &Value, wanted: &Wanted<'_>) -> Result<Vec<PatchOperation>, Unfit>;

    /// What must hold before a run, besides what `plan` refuses.
    fn fits(&self, object: &Value) -> Result<Vec<String>, Unfit>;
}

/// A router that patches one object.
#[derive(Debug)]
pub struct Patched<K> {
    kind: K,
    api: Api,
    by: String,
    served: Served,
    /// The object as we saw it last: an abort needs no read before its write.
    seen: Mutex<Option<Value>>,
}

impl<K: RouteKind> Patched<K> {
    /// `by` is remembered as who set a weight: `run checkout-1`.
    pub fn new(kind: K, api: Api, by: impl Into<String>) -> Self {
        Self {
            kind,
            api,
            by: by.into(),
            served: Served::default(),
            seen: Mutex::new(None),
        }
    }

    fn remember(&self, object: &Value) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(object.clone());
    }

    fn remembered(&self) -> Option<Value> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn get(&self, patience: Patience) -> Result<Value, Failure> {
        let object = self
            .api
            .get(
                self.kind.resource(),
                &self.served,
                self.kind.object(),
                patience,
            )
            .await?;
        self.remember(&object);
        Ok(object)
    }

    async fn send(
        &self,
        operations: &[PatchOperation],
        patience: Patience,
    ) -> Result<Value, Failure> {
        let object = self
            .api
            .patch(
                self.kind.resource(),
                &self.served,
                self.kind.object(),
                operations,
                patience,
            )
            .await?;
        self.remember(&object);
        Ok(object)
    }

    fn observed(&self, object: &Value, tried: &str) -> Result<Observed, RouterError> {
        let reading = self.kind.read(object).map_err(|unfit| unfit.tried(tried))?;
        let field: Vec<&str> = reading.field.iter().map(String::as_str).collect();
        let writer = last_writer(object, &field);
        Ok(Observed {
            weight: reading.weight,
            accepted: reading.accepted,
            changed_at: writer.as_ref().and_then(|writer| writer.at),
            changed_by: writer.map(|writer| writer.who),
            requests: None,
        })
    }

    /// Reads until the data plane has said yes or no to what was written, for a short while.
    async fn settled(&self, mut object: Value, tried: &str) -> Result<Observed, RouterError> {
        let deadline = Instant::now() + SETTLE;
        let mut pause = SETTLE_FIRST;
        loop {
            let observed = self.observed(&object, tried)?;
            if !matches!(observed.accepted, Acceptance::Pending { .. })
                || Instant::now() + pause > deadline
            {
                return Ok(observed);
            }
            sleep(pause).await;
            pause *= 2;
            match self.get(Patience::URGENT).await {
                Ok(now) => object = now,
                // It is written; what became of it is seen at the next look.
                Err(_) => return Ok(observed),
            }
        }
    }

    async fn raise(&self, from: Weight, to: Weight) -> Result<Observed, RouterError> {
        let tried = format!("set weight {to} on {}", self.name());
        let mut last = Failure::Conflict("the object changes all the time".to_owned());
        for _ in 0..TRIES {
            let object = self
                .get(Patience::USUAL)
                .await
                .map_err(|failure| failure.tried(&tried))?;
            let reading = self
                .kind
                .read(&object)
                .map_err(|unfit| unfit.tried(&tried))?;
            if reading.weight != to && (reading.weight != from || !reading.even) {
                return self.observed(&object, &tried);
            }
            let wanted = Wanted::Weight { to, by: &self.by };
            let operations = self
                .kind
                .plan(&object, &wanted)
                .map_err(|unfit| unfit.tried(&tried))?;
            if operations.is_empty() {
                return self.settled(object, &tried).await;
            }
            match self.send(&operations, Patience::USUAL).await {
                Ok(object) => return self.settled(object, &tried).await,
                // The object is not what we read: read it again, and decide again.
                Err(failure @ (Failure::Invalid(_) | Failure::Conflict(_))) => last = failure,
                Err(failure) => return Err(failure.tried(&tried)),
            }
        }
        Err(last.tried(&tried))
    }

    /// Makes the object what is wanted without asking what it is: first from what we saw last, in one round trip.
    async fn force(&self, wanted: Wanted<'_>, tried: &str) -> Result<Option<Value>, RouterError> {
        let mut known = self.remembered();
        let mut last = Failure::Conflict("the object changes all the time".to_owned());
        for _ in 0..TRIES {
            let (object, fresh) = match known.take() {
                Some(object) => (object, false),
                None => match self.get(Patience::URGENT).await {
                    Ok(object) => (object, true),
                    // A route that is gone sends nothing anywhere.
                    Err(Failure::NotFound(_)) => return Ok(None),
                    Err(failure) => return Err(failure.tried(tried)),
                },
            };
            let planned = self.kind.plan(&object, &wanted);
            match planned {
                Ok(operations) if operations.is_empty() && fresh => return Ok(Some(object)),
                Ok(operations) if operations.is_empty() => {}
                Ok(operations) => match self.send(&operations, Patience::URGENT).await {
                    Ok(object) => return Ok(Some(object)),
                    Err(failure @ (Failure::Invalid(_) | Failure::Conflict(_))) => last = failure,
                    Err(Failure::NotFound(_)) => return Ok(None),
                    Err(failure) => return Err(failure.tried(tried)),
                },
                Err(unfit) if fresh => return Err(unfit.tried(tried)),
                Err(_) => {}
            }
        }
        Err(last.tried(tried))
    }

    async fn off(&self) -> Result<Observed, RouterError> {
        let tried = format!("take the canary off {}", self.name());
        let wanted = Wanted::Off { by: &self.by };
        let Some(object) = self.force(wanted, &tried).await? else {
            return Ok(nothing_there());
        };
        let reading = self
            .kind
            .read(&object)
            .map_err(|unfit| unfit.tried(&tried))?;
        if reading.weight.is_zero() && reading.matching {
            return Err(RouterError::new(
                RouterErrorKind::Conflict,
                tried,
                "somebody put the canary's header rule back",
                "remove the rule that sends matching requests to the canary",
            ));
        }
        self.settled(object, &tried).await
    }

    async fn look(&self, weights: &[Weight]) -> Result<Preflight, RouterError> {
        let tried = format!("prepare {}", self.name());
        let object = self
            .get(Patience::USUAL)
            .await
            .map_err(|failure| failure.tried(&tried))?;
        let mut warnings = self
            .kind
            .fits(&object)
            .map_err(|unfit| unfit.tried(&tried))?;
        let observed = self.observed(&object, &tried)?;
        match &observed.accepted {
            Acceptance::Refused { reason } => {
                return Err(RouterError::new(
                    RouterErrorKind::Refused,
                    tried,
                    format!("its controller does not accept it as it is: {reason}"),
                    "repair the route first",
                ));
            }
            Acceptance::Pending { reason } => warnings.push(reason.clone()),
            Acceptance::Accepted => {}
        }
        let mut changes = Vec::new();
        for weight in weights.iter().filter(|weight| !weight.is_zero()) {
            let wanted = Wanted::Weight {
                to: *weight,
                by: &self.by,
            };
            let operations = self
                .kind
                .plan(&object, &wanted)
                .map_err(|unfit| unfit.tried(&tried))?;
            if changes.is_empty() {
                // The server says now whether it would take it, and whether we may.
                let resource = self.kind.resource();
                self.api
                    .try_patch(resource, &self.served, self.kind.object(), &operations)
                    .await
                    .map_err(|failure| failure.tried(&tried))?;
                changes.push(format!("patch {}:", self.name()));
                changes.extend(
                    operations
                        .iter()
                        .filter(|operation| operation.is_change())
                        .map(|operation| format!("  {operation}")),
                );
            }
        }
        Ok(Preflight {
            observed,
            rounded: Vec::new(),
            warnings,
            changes,
        })
    }
}

/// What is observed where there is no object: nobody gets the canary by it.
fn nothing_there() -> Observed {
    Observed {
        weight: Weight::ZERO,
        accepted: Acceptance::Accepted,
        changed_by: None,
        changed_at: None,
        requests: None,
    }
}

impl<K: RouteKind> Router for Patched<K> {
    fn name(&self) -> String {
        let kind = self.kind.resource().kind;
        let object = self.kind.object();
        match self.api.namespace_given() {
            Some(namespace) => format!("{kind} {namespace}/{object}"),
            None => format!("{kind} {object}"),
        }
    }

    fn preflight<'a>(
        &'a self,
        weights: &'a [Weight],
    ) -> BoxFuture<'a, Result<Preflight, RouterError>> {
        Box::pin(self.look(weights))
    }

    fn observe(&self) -> BoxFuture<'_, Result<Observed, RouterError>> {
        Box::pin(async {
            let tried = format!("read {}", self.name());
            let object = self
                .get(Patience::USUAL)
                .await
                .map_err(|failure| failure.tried(&tried))?;
            self.observed(&object, &tried)
        })
    }

    fn set_weight(&self, from: Weight, to: Weight) -> BoxFuture<'_, Result<Observed, RouterError>> {
        Box::pin(self.raise(from, to))
    }

    fn take_off(&self) -> BoxFuture<'_, Result<Observed, RouterError>> {
        Box::pin(self.off())
    }

    fn remove(&self) -> BoxFuture<'_, Result<(), RouterError>> {
        Box::pin(async {
            let tried = format!("put {} back", self.name());
            self.force(Wanted::Gone, &tried).await.map(drop)
        })
    }
}

#[cfg(test)]
mod tests;
