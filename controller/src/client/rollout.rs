//! Rollouts of Argo, where no Release looks after them: what `kubectl argo rollouts` writes and shows.

use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::connect::{Cluster, bounded};
use super::error::ClientError;
use crate::api::{Action, Target, TargetKind};

/// Where a Rollout stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutStatus {
    /// Healthy, Progressing, Paused, Degraded.
    pub phase: String,
    /// Why.
    pub message: String,
    /// `2/5`, where it has steps.
    pub step: Option<String>,
    /// Percent that the canary should have.
    pub set_weight: i64,
    /// Percent that it has.
    pub actual_weight: i64,
    /// Pods: wanted, current, updated, ready, available.
    pub replicas: [i64; 5],
    /// Images of the template.
    pub images: Vec<String>,
    /// `Canary` or `BlueGreen`.
    pub strategy: &'static str,
}

impl Cluster {
    fn rollouts(&self) -> Api<DynamicObject> {
        self.workloads(TargetKind::Rollout)
    }

    /// One Rollout.
    pub async fn rollout(&self, name: &str) -> Result<Value, ClientError> {
        let target = Target {
            kind: TargetKind::Rollout,
            name: name.to_owned(),
        };
        Ok(self.workload(&target).await?.data)
    }

    /// All Rollouts of the namespace: name and content.
    pub async fn rollout_list(
        &self,
        everywhere: bool,
    ) -> Result<Vec<(String, String, Value)>, ClientError> {
        let resource = kube::core::ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(
            "argoproj.io",
            "v1alpha1",
            "Rollout",
        ));
        let api: Api<DynamicObject> = if everywhere {
            Api::all_with(self.client.clone(), &resource)
        } else {
            self.rollouts()
        };
        let list = bounded(api.list(&kube::api::ListParams::default())).await?;
        let list = list.map_err(|error| match ClientError::of(error) {
            ClientError::NotInstalled(_) => {
                ClientError::NotInstalled("rollouts.argoproj.io".to_owned())
            }
            other => other,
        })?;
        Ok(list
            .items
            .into_iter()
            .map(|found| {
                let namespace = found.metadata.namespace.unwrap_or_default();
                (
                    namespace,
                    found.metadata.name.unwrap_or_default(),
                    found.data,
                )
            })
            .collect())
    }

    /// Carries the verb out as Argo's own command line does. Gives what to say.
    pub async fn rollout_act(
        &self,
        name: &str,
        verb: Action,
        full: bool,
    ) -> Result<&'static str, ClientError> {
        let rollout = self.rollout(name).await?;
        match verb {
            Action::Abort => {
                self.patch_rollout(name, true, &json!({"status": {"abort": true}}))
                    .await?;
            }
            Action::Retry => {
                self.patch_rollout(name, true, &json!({"status": {"abort": false}}))
                    .await?;
            }
            Action::Pause => {
                self.patch_rollout(name, false, &json!({"spec": {"paused": true}}))
                    .await?;
            }
            Action::Promote | Action::Resume => {
                let (spec, status) = promote(&rollout, full && verb == Action::Promote);
                if let Some(spec) = spec {
                    self.patch_rollout(name, false, &spec).await?;
                }
                if let Some(status) = status {
                    self.patch_rollout(name, true, &status).await?;
                }
            }
        }
        Ok(match verb {
            Action::Abort => "aborted",
            Action::Retry => "retried",
            Action::Pause => "paused",
            Action::Promote if full => "fully promoted",
            Action::Promote | Action::Resume => "promoted",
        })
    }

    async fn patch_rollout(
        &self,
        name: &str,
        status: bool,
        patch: &Value,
    ) -> Result<(), ClientError> {
        let (api, patch) = (self.rollouts(), Patch::Merge(patch));
        let parameters = PatchParams::default();
        let sent = if status {
            bounded(api.patch_status(name, &parameters, &patch)).await?
        } else {
            bounded(api.patch(name, &parameters, &patch)).await?
        };
        sent.map(drop)
            .map_err(|error| ClientError::about(error, "Rollout", name, self.namespace()))
    }
}

/// Merge patches of the object and of its status.
fn promote(rollout: &Value, full: bool) -> (Option<Value>, Option<Value>) {
    let spec = (rollout["spec"]["paused"] == true).then(|| json!({"spec": {"paused": false}}));
    let status = &rollout["status"];
    if full {
        let moving = status["currentPodHash"] != status["stableRS"];
        return (
            spec,
            moving.then(|| json!({"status": {"promoteFull": true}})),
        );
    }
    let paused = status["pauseConditions"]
        .as_array()
        .is_some_and(|list| !list.is_empty());
    if paused {
        return (spec, Some(json!({"status": {"pauseConditions": null}})));
    }
    let steps = steps(rollout);
    let index = status["currentStepIndex"].as_i64();
    // Only a Rollout that is neither paused nor through goes one step on.
    let next = index.filter(|index| spec.is_none() && *index < steps);
    let status = next
        .map(|index| json!({"status": {"pauseConditions": null, "currentStepIndex": index + 1}}));
    (spec, status)
}

fn steps(rollout: &Value) -> i64 {
    let steps = rollout["spec"]["strategy"]["canary"]["steps"].as_array();
    steps.map_or(0, |steps| i64::try_from(steps.len()).unwrap_or(i64::MAX))
}

/// Reads it off the object.
pub fn rollout_status(rollout: &Value) -> RolloutStatus {
    let (spec, status) = (&rollout["spec"], &rollout["status"]);
    let number = |key: &str| status[key].as_i64().unwrap_or_default();
    let steps = steps(rollout);
    let index = number("currentStepIndex").min(steps);
    let aborted = status["abort"] == true;
    let done = status["currentPodHash"] == status["stableRS"];
    let set_weight = if steps == 0 || done || index >= steps {
        if aborted { 0 } else { 100 }
    } else if aborted {
        0
    } else {
        let all = spec["strategy"]["canary"]["steps"].as_array();
        let passed = usize::try_from(index).unwrap_or_default();
        all.into_iter()
            .flatten()
            .take(passed + 1)
            .filter_map(|step| step["setWeight"].as_i64())
            .last()
            .unwrap_or_default()
    };
    let images = spec["template"]["spec"]["containers"].as_array();
    RolloutStatus {
        phase: status["phase"].as_str().unwrap_or("Progressing").to_owned(),
        message: status["message"].as_str().unwrap_or_default().to_owned(),
        step: (steps > 0).then(|| format!("{index}/{steps}")),
        set_weight,
        actual_weight: status["canary"]["weights"]["canary"]["weight"]
            .as_i64()
            .unwrap_or(if done { 100 } else { set_weight }),
        replicas: [
            spec["replicas"].as_i64().unwrap_or(1),
            number("replicas"),
            number("updatedReplicas"),
            number("readyReplicas"),
            number("availableReplicas"),
        ],
        images: images
            .into_iter()
            .flatten()
            .filter_map(|container| container["image"].as_str().map(str::to_owned))
            .collect(),
        strategy: if spec["strategy"]["blueGreen"].is_object() {
            "BlueGreen"
        } else {
            "Canary"
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(status: Value, paused: bool) -> Value {
        json!({
            "spec": {"paused": paused, "replicas": 4, "strategy": {"canary": {"steps": [{"setWeight": 10}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}]}}},
            "status": status,
        })
    }

    #[test]
    fn promote_writes_what_argo_writes() {
        let paused = json!({"currentStepIndex": 1, "currentPodHash": "b", "stableRS": "a", "pauseConditions": [{"reason": "CanaryPauseStep"}]});
        let moving = json!({"currentStepIndex": 1, "currentPodHash": "b", "stableRS": "a"});
        let still = json!({"currentStepIndex": 4, "currentPodHash": "a", "stableRS": "a"});
        let unpause = || Some(json!({"spec": {"paused": false}}));
        for (status, spec_paused, full, expected) in [
            (
                &paused,
                false,
                false,
                (None, Some(json!({"status": {"pauseConditions": null}}))),
            ),
            (
                &moving,
                false,
                false,
                (
                    None,
                    Some(json!({"status": {"pauseConditions": null, "currentStepIndex": 2}})),
                ),
            ),
            (&moving, true, false, (unpause(), None)),
            (&still, false, false, (None, None)),
            (
                &paused,
                true,
                true,
                (unpause(), Some(json!({"status": {"promoteFull": true}}))),
            ),
            (&still, false, true, (None, None)),
        ] {
            assert_eq!(
                promote(&rollout(status.clone(), spec_paused), full),
                expected,
                "{status}"
            );
        }
    }

    #[test]
    fn a_rollout_says_its_step_and_weight() {
        let status = json!({"currentStepIndex": 1, "currentPodHash": "b", "stableRS": "a", "phase": "Paused", "message": "CanaryPauseStep",
            "canary": {"weights": {"canary": {"weight": 9}}}});
        let found = rollout_status(&rollout(status, false));
        assert_eq!(
            (found.step.as_deref(), found.set_weight, found.actual_weight),
            (Some("1/4"), 10, 9)
        );
        let aborted = json!({"currentStepIndex": 0, "currentPodHash": "b", "stableRS": "a", "abort": true, "phase": "Degraded"});
        assert_eq!(rollout_status(&rollout(aborted, false)).set_weight, 0);
        let done = json!({"currentStepIndex": 4, "currentPodHash": "a", "stableRS": "a", "phase": "Healthy"});
        assert_eq!(rollout_status(&rollout(done, false)).set_weight, 100);
    }
}
