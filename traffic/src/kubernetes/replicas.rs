//! Plain replica counts: stable and canary are two Deployments behind one Service, and the share of requests is about the
//! share of pods. For clusters without anything that splits traffic.
//!
//! Stable keeps all its pods until the canary has half of the traffic, so an abort below that only takes pods away. Above,
//! the canary has as many pods as stable had, and stable shrinks; it shrinks when the canary's pods are there, never before.
//! A weight is in force when the pods are: until then it is requested, not yet effective.

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::api::{Api, Failure, Patience, Resource, Served};
use super::fields::last_writer;
use super::object::{Unfit, annotation, number, text};
use super::patch::{PatchOperation, annotate, forget};
use super::{ANNOTATION_BEFORE, ANNOTATION_BY, ANNOTATION_WEIGHT};
use crate::{
    Acceptance, Observed, Preflight, Rounded, Router, RouterError, RouterErrorKind, Weight,
};

static DEPLOYMENT: Resource = Resource {
    group: "apps",
    versions: &["v1"],
    plural: "deployments",
    kind: "Deployment",
};
static AUTOSCALER: Resource = Resource {
    group: "autoscaling",
    versions: &["v2"],
    plural: "horizontalpodautoscalers",
    kind: "HorizontalPodAutoscaler",
};

/// How many pods each version has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Stable's.
    pub stable: u64,
    /// The canary's.
    pub canary: u64,
}

impl Counts {
    /// The pods for a weight, where stable has `whole` pods at rest. A canary that is to have anything has a pod.
    #[must_use]
    pub fn of(weight: Weight, whole: u64) -> Self {
        let (percent, rest) = (
            u64::from(weight.percent()),
            100 - u64::from(weight.percent()),
        );
        let nearest =
            |part: u64, of: u64| (whole.saturating_mul(part).saturating_add(of / 2) / of).max(1);
        match percent {
            0 => Self {
                stable: whole,
                canary: 0,
            },
            100 => Self {
                stable: 0,
                canary: whole.max(1),
            },
            1..=50 => Self {
                stable: whole,
                canary: nearest(percent, rest),
            },
            _ => Self {
                stable: nearest(rest, percent),
                canary: whole.max(1),
            },
        }
    }

    /// The canary's share of the pods, nearest percent; never 0 for a canary that has a pod.
    #[must_use]
    pub fn weight(self) -> Weight {
        if self.canary == 0 {
            return Weight::ZERO;
        }
        let all = self.stable.saturating_add(self.canary);
        let percent = (self.canary.saturating_mul(100).saturating_add(all / 2) / all).max(1);
        Weight::saturating(u8::try_from(percent).unwrap_or(100))
    }
}

/// The two Deployments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployments {
    /// Of the stable version.
    pub stable: String,
    /// Of the canary.
    pub canary: String,
}

/// Both as they are.
#[derive(Clone, Debug)]
struct Pair {
    stable: Value,
    canary: Value,
}

fn asked(deployment: &Value) -> u64 {
    number(deployment, "/spec/replicas").unwrap_or(1)
}

fn available(deployment: &Value) -> u64 {
    number(deployment, "/status/availableReplicas").unwrap_or(0)
}

impl Pair {
    /// Stable's pods at rest: as noted, else as they are.
    fn whole(&self) -> u64 {
        annotation(&self.stable, ANNOTATION_BEFORE)
            .and_then(|note| number(&serde_json::from_str(note).ok()?, "/replicas"))
            .unwrap_or_else(|| asked(&self.stable))
    }

    fn counts(&self) -> Counts {
        Counts {
            stable: asked(&self.stable),
            canary: asked(&self.canary),
        }
    }

    /// The weight that was asked for last.
    fn noted(&self) -> Option<Weight> {
        annotation(&self.canary, ANNOTATION_WEIGHT)?.parse().ok()
    }

    /// The weight that the counts are for: what was asked, where they are those of it; else the share.
    fn weight(&self) -> Weight {
        match self.noted() {
            Some(weight) if Counts::of(weight, self.whole()) == self.counts() => weight,
            _ => self.counts().weight(),
        }
    }

    fn acceptance(&self, names: &Deployments) -> Acceptance {
        let counts = self.counts();
        let left = number(&self.canary, "/status/replicas").unwrap_or(0);
        if counts.canary == 0 {
            return if left == 0 {
                Acceptance::Accepted
            } else {
                pending(format!("{left} pods of {} are still there", names.canary))
            };
        }
        for (name, deployment) in [(&names.canary, &self.canary), (&names.stable, &self.stable)] {
            let generation = number(deployment, "/metadata/generation").unwrap_or(0);
            if number(deployment, "/status/observedGeneration").unwrap_or(0) < generation {
                return pending(format!("nobody has looked at {name} since it was scaled"));
            }
            let (there, wanted) = (available(deployment), asked(deployment));
            if there != wanted {
                return pending(format!("{there} of {wanted} pods of {name} are available"));
            }
        }
        Acceptance::Accepted
    }

    /// Scales the canary from what it is, and notes what for.
    fn scale_canary(&self, to: Weight, by: &str) -> Vec<PatchOperation> {
        let counts = Counts::of(to, self.whole());
        let mut operations = scale(&self.canary, counts.canary, true);
        let notes = [
            (ANNOTATION_BY, by.to_owned()),
            (ANNOTATION_WEIGHT, to.percent().to_string()),
        ];
        annotate(&self.canary, &notes, &mut operations);
        changes(operations)
    }

    /// Scales stable, and notes how many pods it had.
    fn scale_stable(&self, to: u64, tested: bool, by: &str) -> Vec<PatchOperation> {
        let mut operations = scale(&self.stable, to, tested);
        if operations.iter().any(PatchOperation::is_change) {
            let notes = [
                (ANNOTATION_BY, by.to_owned()),
                (
                    ANNOTATION_BEFORE,
                    json!({"replicas": self.whole()}).to_string(),
                ),
            ];
            annotate(&self.stable, &notes, &mut operations);
        }
        changes(operations)
    }

    /// What a person should know of these weights here.
    fn rounded(&self, weights: &[Weight]) -> Vec<Rounded> {
        weights
            .iter()
            .filter_map(|asked| {
                let counts = Counts::of(*asked, self.whole());
                let becomes = counts.weight();
                (becomes != *asked).then(|| Rounded {
                    asked: *asked,
                    becomes,
                    because: format!(
                        "{} of {} pods",
                        counts.canary,
                        counts.stable + counts.canary
                    ),
                })
            })
            .collect()
    }
}

fn pending(reason: String) -> Acceptance {
    Acceptance::Pending { reason }
}

fn scale(deployment: &Value, to: u64, tested: bool) -> Vec<PatchOperation> {
    let mut operations = Vec::new();
    if tested && let Some(now) = number(deployment, "/spec/replicas") {
        operations.push(PatchOperation::test("/spec/replicas", now));
    }
    if asked(deployment) != to {
        operations.push(PatchOperation::add("/spec/replicas", to));
    }
    operations
}

/// The patch, if it changes anything.
fn changes(operations: Vec<PatchOperation>) -> Vec<PatchOperation> {
    if operations.iter().any(PatchOperation::is_change) {
        operations
    } else {
        Vec::new()
    }
}

/// The router.
#[derive(Debug)]
pub struct Replicas {
    names: Deployments,
    api: Api,
    by: String,
    served: Served,
    served_autoscaler: Served,
}

impl Replicas {
    /// `by` is remembered as who set a weight: `run checkout-1`.
    pub fn new(names: Deployments, api: Api, by: impl Into<String>) -> Self {
        Self {
            names,
            api,
            by: by.into(),
            served: Served::default(),
            served_autoscaler: Served::default(),
        }
    }

    async fn pair(&self, patience: Patience) -> Result<Pair, Failure> {
        let get = |name| self.api.get(&DEPLOYMENT, &self.served, name, patience);
        let (stable, canary) =
            futures::future::try_join(get(&self.names.stable), get(&self.names.canary)).await?;
        Ok(Pair { stable, canary })
    }

    async fn send(
        &self,
        name: &str,
        operations: &[PatchOperation],
        patience: Patience,
    ) -> Result<(), Failure> {
        if operations.is_empty() {
            return Ok(());
        }
        self.api
            .patch(&DEPLOYMENT, &self.served, name, operations, patience)
            .await
            .map(drop)
    }

    fn observed(&self, pair: &Pair) -> Observed {
        let writer = last_writer(&pair.canary, &["spec", "replicas"]);
        Observed {
            weight: pair.weight(),
            accepted: pair.acceptance(&self.names),
            changed_at: writer.as_ref().and_then(|writer| writer.at),
            changed_by: writer.map(|writer| writer.who),
            requests: None,
        }
    }

    async fn raise(&self, from: Weight, to: Weight) -> Result<Observed, RouterError> {
        let tried = format!("set weight {to} on {}", self.name());
        let fail = |failure: Failure| failure.tried(&tried);
        let mut last = Failure::Conflict("the Deployments change all the time".to_owned());
        for _ in 0..5 {
            let pair = self.pair(Patience::USUAL).await.map_err(fail)?;
            let weight = pair.weight();
            let going_on = pair.noted() == Some(to)
                && Counts::of(to, pair.whole()).canary == pair.counts().canary;
            if weight != from && weight != to && !going_on {
                return Ok(self.observed(&pair));
            }
            let counts = Counts::of(to, pair.whole());
            let result = self
                .send(
                    &self.names.canary,
                    &pair.scale_canary(to, &self.by),
                    Patience::USUAL,
                )
                .await;
            match result {
                Ok(()) => {}
                Err(failure @ (Failure::Invalid(_) | Failure::Conflict(_))) => {
                    last = failure;
                    continue;
                }
                Err(failure) => return Err(fail(failure)),
            }
            // Stable gives pods up only when the canary's are there.
            let there = available(&pair.canary);
            if counts.stable < asked(&pair.stable) && there < counts.canary {
                return Err(RouterError::new(
                    RouterErrorKind::TimedOut,
                    tried,
                    format!(
                        "{there} of {} pods of {} are available, and {} keeps its pods until they are",
                        counts.canary, self.names.canary, self.names.stable
                    ),
                    "it goes on by itself as soon as they are",
                ));
            }
            let stable = pair.scale_stable(counts.stable, true, &self.by);
            match self
                .send(&self.names.stable, &stable, Patience::USUAL)
                .await
            {
                Ok(()) => {
                    let pair = self.pair(Patience::USUAL).await.map_err(fail)?;
                    return Ok(self.observed(&pair));
                }
                Err(failure @ (Failure::Invalid(_) | Failure::Conflict(_))) => last = failure,
                Err(failure) => return Err(fail(failure)),
            }
        }
        Err(last.tried(&tried))
    }

    async fn off(&self, tried: &str) -> Result<Pair, RouterError> {
        let fail = |failure: Failure| failure.tried(tried);
        let pair = self.pair(Patience::URGENT).await.map_err(fail)?;
        let stable = pair.scale_stable(pair.whole(), false, &self.by);
        // Somebody must answer: the canary's pods go when stable has one. Who asks again finds out.
        if available(&pair.stable) > 0 {
            let mut canary = scale(&pair.canary, 0, false);
            let notes = [
                (ANNOTATION_BY, self.by.clone()),
                (ANNOTATION_WEIGHT, "0".to_owned()),
            ];
            annotate(&pair.canary, &notes, &mut canary);
            self.send(&self.names.canary, &changes(canary), Patience::URGENT)
                .await
                .map_err(fail)?;
        }
        self.send(&self.names.stable, &stable, Patience::URGENT)
            .await
            .map_err(fail)?;
        self.pair(Patience::URGENT).await.map_err(fail)
    }

    async fn take_off(&self) -> Result<Observed, RouterError> {
        let tried = format!("take the canary off {}", self.name());
        let pair = self.off(&tried).await?;
        let mut observed = self.observed(&pair);
        if !observed.weight.is_zero() {
            observed.accepted = pending(format!(
                "requested, not yet effective: no pod of {} is available to take over",
                self.names.stable
            ));
        }
        Ok(observed)
    }

    async fn clean(&self) -> Result<(), RouterError> {
        let tried = format!("put {} back", self.name());
        let pair = self.off(&tried).await?;
        if asked(&pair.canary) > 0 {
            return Err(RouterError::new(
                RouterErrorKind::TimedOut,
                tried,
                format!("no pod of {} is available to take over", self.names.stable),
                "it is done as soon as there is one: try again",
            ));
        }
        for (name, deployment) in [
            (&self.names.stable, &pair.stable),
            (&self.names.canary, &pair.canary),
        ] {
            let mut operations = Vec::new();
            forget(deployment, &mut operations);
            self.send(name, &operations, Patience::URGENT)
                .await
                .map_err(|failure| failure.tried(&tried))?;
        }
        Ok(())
    }

    async fn look(&self, weights: &[Weight]) -> Result<Preflight, RouterError> {
        let tried = format!("prepare {}", self.name());
        let fail = |failure: Failure| failure.tried(&tried);
        let pair = self.pair(Patience::USUAL).await.map_err(fail)?;
        if pair.whole() == 0 {
            return Err(Unfit::new(
                format!("{} has no pods", self.names.stable),
                "scale it up first: the canary's pods are a share of stable's",
            )
            .tried(&tried));
        }
        let autoscalers = self
            .api
            .list(&AUTOSCALER, &self.served_autoscaler, None, Patience::USUAL)
            .await
            .map_err(fail)?;
        let rival = autoscalers.iter().find(|one| {
            text(one, "/spec/scaleTargetRef/kind") == Some("Deployment")
                && text(one, "/spec/scaleTargetRef/name")
                    .is_some_and(|name| name == self.names.stable || name == self.names.canary)
        });
        if let Some(name) = rival.and_then(|rival| text(rival, "/metadata/name")) {
            return Err(Unfit::new(
                format!("the HorizontalPodAutoscaler {name} scales one of these Deployments: the two would undo each other"),
                "remove it for the release, or use a router that splits requests instead of pods",
            )
            .tried(&tried));
        }
        let mut changes = Vec::new();
        if let Some(first) = weights.iter().find(|weight| !weight.is_zero()) {
            let operations = pair.scale_canary(*first, &self.by);
            self.api
                .try_patch(&DEPLOYMENT, &self.served, &self.names.canary, &operations)
                .await
                .map_err(fail)?;
            for weight in weights {
                let counts = Counts::of(*weight, pair.whole());
                changes.push(format!(
                    "{weight}: {} pods of {}, {} of {}",
                    counts.stable, self.names.stable, counts.canary, self.names.canary
                ));
            }
        }
        Ok(Preflight {
            observed: self.observed(&pair),
            rounded: pair.rounded(weights),
            warnings: Vec::new(),
            changes,
        })
    }
}

impl Router for Replicas {
    fn name(&self) -> String {
        let Deployments { stable, canary } = &self.names;
        match self.api.namespace_given() {
            Some(namespace) => format!("replicas of {namespace}/{stable} and {namespace}/{canary}"),
            None => format!("replicas of {stable} and {canary}"),
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
            self.pair(Patience::USUAL)
                .await
                .map(|pair| self.observed(&pair))
                .map_err(|failure| failure.tried(tried))
        })
    }

    fn set_weight(&self, from: Weight, to: Weight) -> BoxFuture<'_, Result<Observed, RouterError>> {
        Box::pin(self.raise(from, to))
    }

    fn take_off(&self) -> BoxFuture<'_, Result<Observed, RouterError>> {
        Box::pin(Self::take_off(self))
    }

    fn remove(&self) -> BoxFuture<'_, Result<(), RouterError>> {
        Box::pin(self.clean())
    }
}

#[cfg(test)]
mod tests;
