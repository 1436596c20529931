//! Objects as they come from the API server, read no further than they are used: what is not named here is never kept.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer};

use super::view::{DeploymentView, Key};
use crate::names::{LABEL_RELEASE, LABEL_RUN};
use crate::workload::health::{Counts, PodView};
use crate::workload::template;

/// Longest message that is kept.
const MESSAGE: usize = 300;

/// A Deployment.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RawDeployment {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: RawSpec,
    #[serde(default)]
    status: RawStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawSpec {
    replicas: Option<u32>,
    paused: bool,
    template: Hash,
}

/// The fingerprint of a template; the template itself is gone as soon as it was read.
#[derive(Debug, Clone, Default)]
struct Hash(String);

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_json::Value::deserialize(deserializer).map(|value| Self(template::hash(&value)))
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawStatus {
    observed_generation: Option<i64>,
    replicas: u32,
    updated_replicas: u32,
    available_replicas: u32,
    conditions: Vec<RawCondition>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawCondition {
    r#type: String,
    status: String,
    reason: String,
    message: String,
}

macro_rules! resource {
    ($type:ty, $group:literal, $kind:literal, $plural:literal) => {
        impl kube::Resource for $type {
            type DynamicType = ();
            type Scope = NamespaceResourceScope;
            fn kind((): &()) -> Cow<'_, str> {
                $kind.into()
            }
            fn group((): &()) -> Cow<'_, str> {
                $group.into()
            }
            fn version((): &()) -> Cow<'_, str> {
                "v1".into()
            }
            fn plural((): &()) -> Cow<'_, str> {
                $plural.into()
            }
            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

resource!(RawDeployment, "apps", "Deployment", "deployments");
resource!(RawPod, "", "Pod", "pods");

impl RawDeployment {
    /// What is kept of it.
    pub(super) fn view(self) -> DeploymentView {
        let labels = self.metadata.labels.unwrap_or_default();
        let status = self.status;
        let condition = |kind: &str| {
            status
                .conditions
                .iter()
                .find(|condition| condition.r#type == kind)
        };
        let refused = condition("ReplicaFailure")
            .filter(|condition| condition.status == "True")
            .map(|condition| words(&condition.reason, &condition.message));
        let stuck = condition("Progressing")
            .filter(|condition| condition.reason == "ProgressDeadlineExceeded")
            .map(|condition| words(&condition.reason, &condition.message));
        let current = status.observed_generation >= self.metadata.generation;
        DeploymentView {
            key: Key::of(
                self.metadata.namespace.as_ref(),
                self.metadata.name.as_ref(),
            ),
            release: labels.get(LABEL_RELEASE).cloned(),
            managed: labels.contains_key(crate::names::LABEL_MANAGED),
            paused: self.spec.paused,
            template: self.spec.template.0,
            stuck,
            counts: Counts {
                wanted: self.spec.replicas.unwrap_or(1),
                updated: status.updated_replicas,
                available: status.available_replicas,
                all: status.replicas,
                current,
                refused,
            },
        }
    }
}

/// A pod of a canary.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RawPod {
    metadata: ObjectMeta,
    #[serde(default)]
    status: RawPodStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawPodStatus {
    conditions: Vec<PodCondition>,
    init_container_statuses: Vec<ContainerStatus>,
    container_statuses: Vec<ContainerStatus>,
}

impl RawPod {
    /// The release that it belongs to, and what is kept of it.
    pub(super) fn view(self) -> (Key, PodView) {
        let labels = self.metadata.labels.unwrap_or_default();
        let label = |labels: &BTreeMap<String, String>, name: &str| {
            labels.get(name).cloned().unwrap_or_default()
        };
        let is = |kind: &str, status: &str| {
            self.status
                .conditions
                .iter()
                .find(|condition| condition.type_ == kind && condition.status == status)
        };
        let mut containers = self
            .status
            .init_container_statuses
            .iter()
            .chain(&self.status.container_statuses);
        let trouble = containers
            .find_map(container)
            .or_else(|| {
                is("PodScheduled", "False").map(|condition| {
                    let reason = condition.reason.clone().unwrap_or_default();
                    (reason, condition.message.clone().unwrap_or_default())
                })
            })
            .or_else(|| {
                is("ContainersReady", "False").map(|condition| {
                    let message = condition.message.clone().unwrap_or_default();
                    ("NotReady".to_owned(), message)
                })
            })
            .map(|(reason, message)| (reason, short(message)));
        let view = PodView {
            name: self.metadata.name.clone().unwrap_or_default(),
            run: label(&labels, LABEL_RUN),
            ready: is("Ready", "True").is_some(),
            going: self.metadata.deletion_timestamp.is_some(),
            trouble,
        };
        let release = Key {
            namespace: self.metadata.namespace.unwrap_or_default(),
            name: label(&labels, LABEL_RELEASE),
        };
        (release, view)
    }
}

/// What is wrong with a container, in the kubelet's words.
fn container(status: &ContainerStatus) -> Option<(String, String)> {
    let state = status.state.as_ref()?;
    let name = &status.name;
    let last = status
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.clone().unwrap_or_default();
        if matches!(
            reason.as_str(),
            "ContainerCreating" | "PodInitializing" | ""
        ) {
            return None;
        }
        let message = waiting.message.clone().unwrap_or_default();
        let code = last.map_or_else(String::new, |last| {
            format!(" (container {name} exited with code {})", last.exit_code)
        });
        return Some((reason, format!("{message}{code}")));
    }
    if let Some(terminated) = &state.terminated
        && terminated.exit_code != 0
    {
        let reason = terminated.reason.clone().unwrap_or_default();
        let code = terminated.exit_code;
        return Some((reason, format!("container {name} exited with code {code}")));
    }
    if !status.ready && status.restart_count > 0 && state.running.is_some() {
        let code = last.map_or_else(String::new, |last| {
            format!(", last with code {}", last.exit_code)
        });
        let times = status.restart_count;
        return Some((
            "Restarted".to_owned(),
            format!("container {name} was started again {times} times{code}"),
        ));
    }
    None
}

fn words(reason: &str, message: &str) -> String {
    short(format!("{reason}: {message}"))
}

fn short(mut text: String) -> String {
    if text.len() > MESSAGE {
        let end = (0..=MESSAGE)
            .rev()
            .find(|&at| text.is_char_boundary(at))
            .unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_is_a_few_numbers_and_a_fingerprint() {
        let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": []}});
        let raw: RawDeployment = serde_json::from_value(json!({
            "metadata": {"name": "a", "namespace": "n", "generation": 3, "managedFields": [{"manager": "x"}]},
            "spec": {"replicas": 4, "paused": true, "template": template, "selector": {"matchLabels": {"app": "a"}}},
            "status": {"observedGeneration": 3, "replicas": 4, "availableReplicas": 3, "conditions": [
                {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}]},
        }))
        .unwrap();
        let view = raw.view();
        assert!(view.paused && view.counts.current && !view.counts.settled());
        assert_eq!(view.template, template::hash(&template));
        assert_eq!(
            view.counts.refused.as_deref(),
            Some("FailedCreate: exceeded quota")
        );
    }

    #[test]
    fn a_pod_says_what_is_wrong_with_it() {
        let pod = |status: serde_json::Value| {
            let raw: RawPod = serde_json::from_value(json!({
                "metadata": {"name": "p", "namespace": "n", "labels": {LABEL_RELEASE: "r", LABEL_RUN: "r-1"}}, "status": status,
            }))
            .unwrap();
            raw.view()
        };
        let container = |state: serde_json::Value, last: serde_json::Value| json!({"containerStatuses": [{"name": "app", "ready": false, "restartCount": 2, "image": "i", "imageID": "", "state": state, "lastState": last}]});
        let (release, view) = pod(container(
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}}),
            json!({"terminated": {"exitCode": 3}}),
        ));
        assert_eq!(
            release,
            Key {
                namespace: "n".to_owned(),
                name: "r".to_owned()
            }
        );
        assert_eq!(
            view.trouble,
            Some((
                "CrashLoopBackOff".to_owned(),
                "back-off 20s (container app exited with code 3)".to_owned()
            ))
        );
        let (_, view) = pod(json!({"conditions": [{"type": "Ready", "status": "True"}]}));
        assert!(view.ready && view.trouble.is_none());
        let (_, view) = pod(
            json!({"conditions": [{"type": "ContainersReady", "status": "False", "message": "containers with unready status: [app]"}]}),
        );
        assert_eq!(view.trouble.unwrap().0, "NotReady");
    }
}
