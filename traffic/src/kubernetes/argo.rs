//! Argo Rollouts: drives a Rollout that is there, through the fields that its own command line writes.
//!
//! The Rollout's controller moves the traffic; a weight is what that controller says it has set. Two ways to ask for one:
//!
//! - [`Steps::Keep`]: the Rollout's own steps. A weight is a `setWeight` of it that is followed by a `pause` without a
//!   duration, and is gone to by `status.currentStepIndex`. 100 is the Rollout's end, unless it has such a step for it.
//! - [`Steps::Replace`]: any weight. The steps are replaced by that weight and a pause: the pause is what keeps Argo from
//!   promoting, so no step is ever written without one. At the end they are put back; changed steps begin anew, so
//!   after an abort they are put back together with the stable version's template, never beside the rejected one.
//!
//! Taking off is Argo's own abort. It is *requested*: Argo keeps the weight while stable is not fully available
//! (1.10.1, measured), and this router says so until it is 0.

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::api::{Api, Failure, Patience, Resource, Served};
use super::fields::last_writer;
use super::object::{Unfit, annotation, list, number, text};
use super::patch::{PatchOperation, annotate, forget};
use super::{ANNOTATION_BEFORE, ANNOTATION_BY, ANNOTATION_WEIGHT};
use crate::{Acceptance, Observed, Preflight, Router, RouterError, RouterErrorKind, Weight};

static ROLLOUT: Resource = Resource {
    group: "argoproj.io",
    versions: &["v1alpha1"],
    plural: "rollouts",
    kind: "Rollout",
};
static REPLICA_SET: Resource = Resource {
    group: "apps",
    versions: &["v1"],
    plural: "replicasets",
    kind: "ReplicaSet",
};

/// Argo's label of a version.
const HASH: &str = "rollouts-pod-template-hash";
const STEPS: &str = "/spec/strategy/canary/steps";

/// Which weights a Rollout can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    /// Those of its own steps.
    Keep,
    /// All: its steps are replaced for as long as the release runs.
    Replace,
}

/// Where a Rollout stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// The newest version is the stable one.
    Rested,
    /// A new version is on its way.
    Canary {
        /// The present step, by index; the number of steps at the end.
        step: u64,
        /// It waits for somebody.
        paused: bool,
        /// It was told to go back.
        aborted: bool,
    },
}

pub(super) fn stand(rollout: &Value) -> Stand {
    let (current, stable) = (
        text(rollout, "/status/currentPodHash"),
        text(rollout, "/status/stableRS"),
    );
    if current.is_none() || stable.is_none_or(str::is_empty) || current == stable {
        return Stand::Rested;
    }
    let aborted = rollout.pointer("/status/abort") == Some(&Value::Bool(true));
    Stand::Canary {
        step: number(rollout, "/status/currentStepIndex").unwrap_or(0),
        paused: !list(rollout, "/status/pauseConditions").is_empty(),
        aborted,
    }
}

fn steps(rollout: &Value) -> &[Value] {
    list(rollout, STEPS)
}

fn set_weight(step: &Value) -> Option<u64> {
    number(step, "/setWeight")
}

fn is_endless_pause(step: &Value) -> bool {
    step.get("pause")
        .is_some_and(|pause| pause.get("duration").is_none_or(Value::is_null))
}

/// The step of the Rollout's own that gives this weight and then waits.
fn own_step(rollout: &Value, to: Weight) -> Option<usize> {
    let steps = steps(rollout);
    (0..steps.len()).find(|&index| {
        set_weight(&steps[index]) == Some(u64::from(to.percent()))
            && steps.get(index + 1).is_some_and(is_endless_pause)
    })
}

/// The weight that the step asks for: that of the last `setWeight` up to it.
fn weight_of_step(rollout: &Value, step: u64) -> Weight {
    let steps = steps(rollout);
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    if step >= steps.len() {
        return Weight::FULL;
    }
    let percent = steps[..=step]
        .iter()
        .rev()
        .find_map(set_weight)
        .unwrap_or(0);
    Weight::saturating(u8::try_from(percent).unwrap_or(100))
}

/// The weight that Argo has set in its own traffic router, where it has one.
fn weight_of_router(rollout: &Value) -> Option<Weight> {
    let percent = number(rollout, "/status/canary/weights/canary/weight")?;
    Some(Weight::saturating(u8::try_from(percent).unwrap_or(100)))
}

/// The canary's share of the pods, where Argo splits by pods.
fn weight_of_pods(rollout: &Value) -> Weight {
    let of = |pointer| number(rollout, pointer).unwrap_or(0);
    let (all, canary) = (of("/status/replicas"), of("/status/updatedReplicas"));
    if canary == 0 || all == 0 {
        return Weight::ZERO;
    }
    let percent = (canary.saturating_mul(100).saturating_add(all / 2) / all).clamp(1, 100);
    Weight::saturating(u8::try_from(percent).unwrap_or(100))
}

fn routes(rollout: &Value) -> bool {
    rollout
        .pointer("/spec/strategy/canary/trafficRouting")
        .is_some()
}

fn generation_seen(rollout: &Value) -> bool {
    let generation = number(rollout, "/metadata/generation")
        .unwrap_or(0)
        .to_string();
    // Argo writes it as a text.
    text(rollout, "/status/observedGeneration") == Some(generation.as_str())
}

/// The weight, and whether it is in force.
pub(super) fn read(rollout: &Value) -> (Weight, Acceptance) {
    let pending = |reason: String| Acceptance::Pending { reason };
    let noted = annotation(rollout, ANNOTATION_WEIGHT);
    match stand(rollout) {
        // Nothing on its way: nothing at all, or all of what we promoted.
        Stand::Rested if noted == Some("100") => (Weight::FULL, Acceptance::Accepted),
        Stand::Rested => (Weight::ZERO, Acceptance::Accepted),
        Stand::Canary { aborted: true, .. } => {
            let weight = if routes(rollout) {
                weight_of_router(rollout).unwrap_or(Weight::ZERO)
            } else {
                weight_of_pods(rollout)
            };
            if weight.is_zero() {
                (weight, Acceptance::Accepted)
            } else {
                let why =
                    text(rollout, "/status/message").unwrap_or("its controller has not acted yet");
                (
                    weight,
                    pending(format!(
                        "requested, not yet effective: Argo Rollouts was told to abort and the canary still has {weight} ({why})"
                    )),
                )
            }
        }
        Stand::Canary { step, paused, .. } => {
            let asked = weight_of_step(rollout, step);
            let weight = if routes(rollout) {
                weight_of_router(rollout).unwrap_or(Weight::ZERO)
            } else {
                asked
            };
            let acceptance = if !generation_seen(rollout) {
                pending("the Argo Rollouts controller has not looked at it yet".to_owned())
            } else if weight != asked {
                pending(format!(
                    "requested, not yet effective: step {step} asks for {asked}, Argo Rollouts has set {weight}"
                ))
            } else if !paused {
                let why = text(rollout, "/status/message").unwrap_or("pods are on their way");
                pending(format!(
                    "Argo Rollouts is not at the pause of this step yet: {why}"
                ))
            } else {
                Acceptance::Accepted
            };
            (weight, acceptance)
        }
    }
}

/// What is sent for a weight.
#[derive(Debug, PartialEq)]
pub(super) struct Write {
    /// To the object.
    pub object: Vec<PatchOperation>,
    /// To its status, after that.
    pub status: Vec<PatchOperation>,
}

/// The writes that ask for this weight, from the step where the Rollout is.
pub(super) fn plan(rollout: &Value, mode: Steps, to: Weight, by: &str) -> Result<Write, Unfit> {
    let mut object = Vec::new();
    let mut status = Vec::new();
    let mut notes = vec![
        (ANNOTATION_BY, by.to_owned()),
        (ANNOTATION_WEIGHT, to.percent().to_string()),
    ];
    if mode == Steps::Replace {
        let new = json!([{"setWeight": to.percent()}, {"pause": {}}]);
        object.push(PatchOperation::test(STEPS, steps(rollout).to_vec()));
        object.push(PatchOperation::add(STEPS, new));
        if annotation(rollout, ANNOTATION_BEFORE).is_none() {
            notes.push((
                ANNOTATION_BEFORE,
                json!({"steps": steps(rollout)}).to_string(),
            ));
        }
        annotate(rollout, &notes, &mut object);
        return Ok(Write { object, status });
    }
    let index = match own_step(rollout, to) {
        Some(index) => index,
        None if to == Weight::FULL => steps(rollout).len(),
        None => return Err(unreachable_weight(rollout, to)),
    };
    annotate(rollout, &notes, &mut object);
    if let Some(hash) = text(rollout, "/status/currentPodHash") {
        status.push(PatchOperation::test("/status/currentPodHash", hash));
    }
    if let Some(step) = number(rollout, "/status/currentStepIndex") {
        status.push(PatchOperation::test("/status/currentStepIndex", step));
    }
    status.push(PatchOperation::add("/status/currentStepIndex", index));
    // Else the next pause counts as one that somebody has resumed already.
    status.push(PatchOperation::add("/status/controllerPause", false));
    if rollout.pointer("/status/pauseConditions").is_some() {
        status.push(PatchOperation::remove("/status/pauseConditions"));
    }
    if rollout.pointer("/status/abort").is_some() {
        status.push(PatchOperation::add("/status/abort", false));
    }
    Ok(Write { object, status })
}

fn unreachable_weight(rollout: &Value, to: Weight) -> Unfit {
    let steps = steps(rollout);
    let known: Vec<String> = (0..steps.len())
        .filter_map(|index| set_weight(&steps[index]))
        .filter(|percent| {
            u8::try_from(*percent)
                .ok()
                .and_then(|percent| Weight::try_from(percent).ok())
                .is_some_and(|weight| own_step(rollout, weight).is_some())
        })
        .map(|percent| format!("{percent} %"))
        .collect();
    let known = if known.is_empty() {
        "none of its steps waits for anybody".to_owned()
    } else {
        format!("its steps wait at {}", known.join(", "))
    };
    Unfit::new(
        format!("no step of it sets {to} and then waits: {known}"),
        format!(
            "add `- setWeight: {}` and `- pause: {{}}` to its steps, or set `traffic.steps: replace`",
            to.percent()
        ),
    )
}

/// Argo must not give a new version anything before a run says so.
pub(super) fn fits(rollout: &Value) -> Result<(), Unfit> {
    if rollout.pointer("/spec/strategy/canary").is_none() {
        return Err(Unfit::new(
            "its strategy is not canary",
            "set spec.strategy.canary, with steps",
        ));
    }
    // Steps that are ours are followed by a pause, always.
    if annotation(rollout, ANNOTATION_BEFORE).is_some() {
        return Ok(());
    }
    let steps = steps(rollout);
    let first = steps.iter().find_map(set_weight);
    let waits = steps
        .iter()
        .take_while(|step| set_weight(step).is_none_or(|percent| percent == 0))
        .any(is_endless_pause);
    if waits {
        return Ok(());
    }
    Err(Unfit::new(
        match first {
            Some(percent) => format!(
                "its controller gives a new version {percent} % as soon as it sees one, whatever a run decides"
            ),
            None => "it has no steps: its controller promotes a new version as soon as it sees one"
                .to_owned(),
        },
        "begin its steps with `- setWeight: 0` and `- pause: {}`: then the run decides when the first users come",
    ))
}

/// The patch that puts replaced steps back. `stable`: the stable version's pod template, needed where another version
/// was aborted: changed steps would begin it anew.
pub(super) fn put_back(
    rollout: &Value,
    stable: Option<&Value>,
) -> Result<Vec<PatchOperation>, Unfit> {
    let mut operations = Vec::new();
    let before: Option<Value> =
        annotation(rollout, ANNOTATION_BEFORE).and_then(|note| serde_json::from_str(note).ok());
    if let Some(before) = before {
        operations.push(PatchOperation::test(STEPS, steps(rollout).to_vec()));
        operations.push(PatchOperation::add(STEPS, before["steps"].clone()));
        if stand(rollout) != Stand::Rested {
            let Some(template) = stable else {
                return Err(Unfit::new(
                    "its steps cannot be put back: changed steps would begin the aborted version anew, and the stable version's template was not found",
                    "undo the version (`kubectl argo rollouts undo`), then put the steps back from the manifest",
                ));
            };
            operations.push(PatchOperation::add("/spec/template", template.clone()));
        }
    }
    forget(rollout, &mut operations);
    Ok(operations)
}

/// The pod template of a ReplicaSet, without Argo's own label.
fn template(replica_set: &Value) -> Option<Value> {
    let mut template = replica_set.pointer("/spec/template")?.clone();
    if let Some(labels) = template
        .pointer_mut("/metadata/labels")
        .and_then(Value::as_object_mut)
    {
        labels.remove(HASH);
    }
    Some(template)
}

/// The router.
#[derive(Debug)]
pub struct Argo {
    rollout: String,
    mode: Steps,
    api: Api,
    by: String,
    served: Served,
    served_replica_sets: Served,
}

impl Argo {
    /// `by` is remembered as who set a weight: `run checkout-1`.
    pub fn new(rollout: impl Into<String>, mode: Steps, api: Api, by: impl Into<String>) -> Self {
        Self {
            rollout: rollout.into(),
            mode,
            api,
            by: by.into(),
            served: Served::default(),
            served_replica_sets: Served::default(),
        }
    }

    async fn get(&self, patience: Patience) -> Result<Value, Failure> {
        self.api
            .get(&ROLLOUT, &self.served, &self.rollout, patience)
            .await
    }

    async fn patch(
        &self,
        sub: &str,
        operations: &[PatchOperation],
        patience: Patience,
    ) -> Result<Value, Failure> {
        let name = format!("{}{sub}", self.rollout);
        self.api
            .patch(&ROLLOUT, &self.served, &name, operations, patience)
            .await
    }

    fn observed(rollout: &Value) -> Observed {
        let (weight, accepted) = read(rollout);
        let path = ["spec", "strategy", "canary", "steps"];
        // Who wrote the steps says nothing of a weight that Argo's controller set by them, unless they are ours.
        let writer = last_writer(rollout, &path);
        let by = annotation(rollout, ANNOTATION_BY)
            .filter(|_| {
                annotation(rollout, ANNOTATION_WEIGHT) == Some(&weight.percent().to_string())
            })
            .map(str::to_owned);
        Observed {
            weight,
            accepted,
            changed_at: writer.as_ref().and_then(|writer| writer.at),
            changed_by: by.or_else(|| Some("the Argo Rollouts controller".to_owned())),
            requests: None,
        }
    }

    async fn raise(&self, from: Weight, to: Weight) -> Result<Observed, RouterError> {
        let tried = format!("set weight {to} on {}", self.name());
        let fail = |failure: Failure| failure.tried(&tried);
        let mut last = Failure::Conflict("the Rollout changes all the time".to_owned());
        for _ in 0..6 {
            let rollout = self.get(Patience::USUAL).await.map_err(fail)?;
            let observed = Self::observed(&rollout);
            if observed.weight != from && observed.weight != to {
                return Ok(observed);
            }
            let Stand::Canary { step, aborted, .. } = stand(&rollout) else {
                if observed.weight == to {
                    return Ok(observed);
                }
                return Err(RouterError::new(
                    RouterErrorKind::Conflict,
                    tried,
                    "there is no new version in this Rollout",
                    "give it one first: `kubectl argo rollouts set image`",
                ));
            };
            let noted = annotation(&rollout, ANNOTATION_WEIGHT) == Some(&to.percent().to_string());
            if observed.weight == to && weight_of_step(&rollout, step) == to && noted && !aborted {
                return Ok(observed);
            }
            let write =
                plan(&rollout, self.mode, to, &self.by).map_err(|unfit| unfit.tried(&tried))?;
            match self.write(&write).await {
                Ok(rollout) => return Ok(Self::observed(&rollout)),
                Err(failure @ (Failure::Invalid(_) | Failure::Conflict(_))) => last = failure,
                Err(failure) => return Err(fail(failure)),
            }
        }
        Err(last.tried(&tried))
    }

    async fn write(&self, write: &Write) -> Result<Value, Failure> {
        let mut rollout = Value::Null;
        if !write.object.is_empty() {
            rollout = self.patch("", &write.object, Patience::USUAL).await?;
        }
        if !write.status.is_empty() {
            rollout = self
                .patch("/status", &write.status, Patience::USUAL)
                .await?;
        }
        Ok(rollout)
    }

    async fn off(&self) -> Result<Observed, RouterError> {
        let tried = format!("take the canary off {}", self.name());
        let fail = |failure: Failure| failure.tried(&tried);
        // One round trip, and no precondition: what Argo's own command line sends.
        let abort = json!({"status": {"abort": true}});
        let name = format!("{}/status", self.rollout);
        let rollout = match self
            .api
            .merge(&ROLLOUT, &self.served, &name, &abort, Patience::URGENT)
            .await
        {
            Ok(rollout) => rollout,
            Err(Failure::NotFound(_)) => {
                return Ok(Observed {
                    weight: Weight::ZERO,
                    accepted: Acceptance::Accepted,
                    changed_by: None,
                    changed_at: None,
                    requests: None,
                });
            }
            Err(failure) => return Err(fail(failure)),
        };
        let observed = Self::observed(&rollout);
        if stand(&rollout) == Stand::Rested {
            // An abort that stays there would abort the next version.
            let clear = json!({"status": {"abort": false}});
            self.api
                .merge(&ROLLOUT, &self.served, &name, &clear, Patience::URGENT)
                .await
                .map_err(fail)?;
            if observed.weight == Weight::FULL {
                return Err(RouterError::new(
                    RouterErrorKind::Refused,
                    tried,
                    "Argo Rollouts has promoted the new version: it is the stable one now",
                    format!("go back by `kubectl argo rollouts undo {}`", self.rollout),
                ));
            }
        }
        Ok(observed)
    }

    async fn stable_template(&self, rollout: &Value) -> Result<Option<Value>, Failure> {
        let Some(hash) = text(rollout, "/status/stableRS") else {
            return Ok(None);
        };
        let selector = format!("{HASH}={hash}");
        let sets = self
            .api
            .list(
                &REPLICA_SET,
                &self.served_replica_sets,
                Some(&selector),
                Patience::USUAL,
            )
            .await?;
        let owned = sets.iter().find(|set| {
            list(set, "/metadata/ownerReferences")
                .iter()
                .any(|owner| owner.get("uid") == rollout.pointer("/metadata/uid"))
        });
        Ok(owned.and_then(template))
    }

    async fn clean(&self) -> Result<(), RouterError> {
        let tried = format!("put {} back", self.name());
        let fail = |failure: Failure| failure.tried(&tried);
        let mut last = Failure::Conflict("the Rollout changes all the time".to_owned());
        for _ in 0..6 {
            let rollout = match self.get(Patience::URGENT).await {
                Ok(rollout) => rollout,
                Err(Failure::NotFound(_)) => return Ok(()),
                Err(failure) => return Err(fail(failure)),
            };
            if matches!(stand(&rollout), Stand::Canary { aborted: false, .. }) {
                self.off().await?;
                continue;
            }
            let needs = stand(&rollout) != Stand::Rested
                && annotation(&rollout, ANNOTATION_BEFORE).is_some();
            let stable = if needs {
                self.stable_template(&rollout).await.map_err(fail)?
            } else {
                None
            };
            let operations =
                put_back(&rollout, stable.as_ref()).map_err(|unfit| unfit.tried(&tried))?;
            if operations.is_empty() {
                return Ok(());
            }
            match self.patch("", &operations, Patience::URGENT).await {
                Ok(_) => return Ok(()),
                Err(failure @ (Failure::Invalid(_) | Failure::Conflict(_))) => last = failure,
                Err(failure) => return Err(fail(failure)),
            }
        }
        Err(last.tried(&tried))
    }

    async fn look(&self, weights: &[Weight]) -> Result<Preflight, RouterError> {
        let tried = format!("prepare {}", self.name());
        let fail = |failure: Failure| failure.tried(&tried);
        let unfit = |unfit: Unfit| unfit.tried(&tried);
        let rollout = self.get(Patience::USUAL).await.map_err(fail)?;
        fits(&rollout).map_err(unfit)?;
        let mut warnings = Vec::new();
        let mut changes = Vec::new();
        for weight in weights.iter().filter(|weight| !weight.is_zero()) {
            let write = plan(&rollout, self.mode, *weight, &self.by).map_err(unfit)?;
            if *weight == Weight::FULL
                && self.mode == Steps::Keep
                && own_step(&rollout, Weight::FULL).is_none()
            {
                warnings.push("100 % is this Rollout's end: Argo Rollouts makes the new version the stable one, and a failure after that is undone by a new rollout, not by a weight; `- setWeight: 100` and `- pause: {}` as last steps would keep it a weight".to_owned());
            }
            if changes.is_empty() {
                if !write.object.is_empty() {
                    self.api
                        .try_patch(&ROLLOUT, &self.served, &self.rollout, &write.object)
                        .await
                        .map_err(fail)?;
                }
                changes.push(format!("patch {}:", self.name()));
                let all = write.object.iter().chain(&write.status);
                changes.extend(
                    all.filter(|operation| operation.is_change())
                        .map(|operation| format!("  {operation}")),
                );
            }
        }
        Ok(Preflight {
            observed: Self::observed(&rollout),
            rounded: Vec::new(),
            warnings,
            changes,
        })
    }
}

impl Router for Argo {
    fn name(&self) -> String {
        match self.api.namespace_given() {
            Some(namespace) => format!("Rollout {namespace}/{}", self.rollout),
            None => format!("Rollout {}", self.rollout),
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
            self.get(Patience::USUAL)
                .await
                .map(|rollout| Self::observed(&rollout))
                .map_err(|failure| failure.tried(tried))
        })
    }

    fn set_weight(&self, from: Weight, to: Weight) -> BoxFuture<'_, Result<Observed, RouterError>> {
        Box::pin(self.raise(from, to))
    }

    fn take_off(&self) -> BoxFuture<'_, Result<Observed, RouterError>> {
        Box::pin(self.off())
    }

    fn remove(&self) -> BoxFuture<'_, Result<(), RouterError>> {
        Box::pin(self.clean())
    }
}

#[cfg(test)]
mod tests;
