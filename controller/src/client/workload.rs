//! New images and old templates: changes of the workload itself, with the rights of whoever asks. They are judged as any
//! other new version is.

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::connect::{Cluster, bounded};
use super::error::ClientError;
use crate::api::{Target, TargetKind};

/// Annotation: which revision of its workload a ReplicaSet is; Deployments and Rollouts have one each.
const REVISIONS: [&str; 2] = [
    "deployment.kubernetes.io/revision",
    "rollout.argoproj.io/revision",
];
/// Labels that the workload's own controller adds to a template.
const HASHES: [&str; 2] = ["pod-template-hash", "rollouts-pod-template-hash"];

impl Cluster {
    pub(super) fn workloads(&self, kind: TargetKind) -> Api<DynamicObject> {
        let (group, version, name) = match kind {
            TargetKind::Deployment => ("apps", "v1", "Deployment"),
            TargetKind::Rollout => ("argoproj.io", "v1alpha1", "Rollout"),
        };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, name));
        Api::namespaced_with(self.client.clone(), self.namespace(), &resource)
    }

    pub(super) async fn workload(&self, target: &Target) -> Result<DynamicObject, ClientError> {
        let kind = match target.kind {
            TargetKind::Deployment => "Deployment",
            TargetKind::Rollout => "Rollout",
        };
        let found = bounded(self.workloads(target.kind).get(&target.name)).await?;
        found.map_err(|error| ClientError::about(error, kind, &target.name, self.namespace()))
    }

    /// Sets images of containers: pairs of container and image; `*` means every container.
    pub async fn set_images(
        &self,
        target: &Target,
        images: &[(String, String)],
    ) -> Result<(), ClientError> {
        let workload = self.workload(target).await?;
        let patch = image_patch(&workload.data, images)?;
        self.patch_workload(target, &patch).await
    }

    /// Puts an older template back: that of this revision, or of the one before the newest. Gives the revision.
    pub async fn undo(&self, target: &Target, revision: Option<u64>) -> Result<u64, ClientError> {
        let workload = self.workload(target).await?;
        let uid = workload.uid().unwrap_or_default();
        let sets: Api<ReplicaSet> = Api::namespaced(self.client.clone(), self.namespace());
        let list = bounded(sets.list(&ListParams::default()))
            .await?
            .map_err(ClientError::of)?;
        let mut own: Vec<(u64, Value)> = list
            .items
            .iter()
            .filter(|set| set.owner_references().iter().any(|owner| owner.uid == uid))
            .filter_map(|set| Some((revision_of(set)?, template_of(set)?)))
            .collect();
        own.sort_by_key(|(revision, _)| std::cmp::Reverse(*revision));
        let current = without_hashes(workload.data["spec"]["template"].clone());
        let found = match revision {
            Some(wanted) => own.into_iter().find(|(known, _)| *known == wanted),
            // The newest that is not what the workload says already.
            None => own.into_iter().find(|(_, template)| *template != current),
        };
        let Some((revision, template)) = found else {
            let wanted = revision.map_or_else(
                || "an older revision".to_owned(),
                |n| format!("revision {n}"),
            );
            return Err(ClientError::Unsuitable(format!(
                "{} has no {wanted} to go back to",
                target.name
            )));
        };
        let patch = json!([
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "replace", "path": "/spec/template", "value": template},
        ]);
        self.patch_workload(target, &patch).await?;
        Ok(revision)
    }

    async fn patch_workload(&self, target: &Target, patch: &Value) -> Result<(), ClientError> {
        let patch = serde_json::from_value(patch.clone())
            .map_err(|error| ClientError::Unsuitable(error.to_string()))?;
        let patch: Patch<()> = Patch::Json(patch);
        let (workloads, how) = (self.workloads(target.kind), PatchParams::default());
        let sent = bounded(workloads.patch(&target.name, &how, &patch)).await?;
        sent.map(drop).map_err(ClientError::of)
    }
}

fn image_patch(workload: &Value, images: &[(String, String)]) -> Result<Value, ClientError> {
    const PATH: &str = "/spec/template/spec/containers";
    let containers = workload.pointer(PATH).and_then(Value::as_array);
    let containers = containers.map_or(&[][..], Vec::as_slice);
    let name = |container: &Value| container["name"].as_str().unwrap_or_default().to_owned();
    let mut patch = Vec::new();
    for (wanted, image) in images {
        let mut found = false;
        for (place, container) in containers.iter().enumerate() {
            if wanted != "*" && name(container) != *wanted {
                continue;
            }
            found = true;
            patch.push(json!({"op": "test", "path": format!("{PATH}/{place}/name"), "value": container["name"]}));
            patch.push(
                json!({"op": "replace", "path": format!("{PATH}/{place}/image"), "value": image}),
            );
        }
        if !found {
            let known: Vec<String> = containers.iter().map(name).collect();
            return Err(ClientError::Unsuitable(format!(
                "there is no container {wanted}; there are {}",
                known.join(", ")
            )));
        }
    }
    Ok(Value::Array(patch))
}

fn revision_of(set: &ReplicaSet) -> Option<u64> {
    let annotations = set.metadata.annotations.as_ref()?;
    REVISIONS
        .iter()
        .find_map(|key| annotations.get(*key)?.parse().ok())
}

fn template_of(set: &ReplicaSet) -> Option<Value> {
    let template = set.spec.as_ref()?.template.as_ref()?;
    Some(without_hashes(serde_json::to_value(template).ok()?))
}

fn without_hashes(mut template: Value) -> Value {
    if let Some(labels) = template
        .pointer_mut("/metadata/labels")
        .and_then(Value::as_object_mut)
    {
        labels.retain(|key, _| !HASHES.contains(&key.as_str()));
    }
    if let Some(metadata) = template
        .pointer_mut("/metadata")
        .and_then(Value::as_object_mut)
    {
        metadata.retain(|key, value| key != "creationTimestamp" || !value.is_null());
    }
    template
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, image): &(&str, &str)| ((*name).to_owned(), (*image).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn an_image_is_set_where_its_container_is() {
        let workload =
            json!({"spec": {"template": {"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}}});
        let patch = image_patch(&workload, &images(&[("b", "i:2")])).expect("a patch");
        assert_eq!(
            patch,
            json!([
                {"op": "test", "path": "/spec/template/spec/containers/1/name", "value": "b"},
                {"op": "replace", "path": "/spec/template/spec/containers/1/image", "value": "i:2"},
            ])
        );
        let all = image_patch(&workload, &images(&[("*", "i:2")])).expect("a patch");
        assert_eq!(all.as_array().map(Vec::len), Some(4));
        let error = image_patch(&workload, &images(&[("c", "i")])).expect_err("no such container");
        assert_eq!(error.to_string(), "there is no container c; there are a, b");
    }

    #[test]
    fn templates_are_compared_without_what_their_controller_adds() {
        let theirs = json!({"metadata": {"creationTimestamp": null, "labels": {"app": "a", "pod-template-hash": "1"}}});
        assert_eq!(
            without_hashes(theirs),
            json!({"metadata": {"labels": {"app": "a"}}})
        );
    }
}
