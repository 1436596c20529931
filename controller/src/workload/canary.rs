//! The canary of a Deployment: a second, temporary Deployment of the new template, and a Service that only it answers to.
//!
//! One label of the Service's selector gets another value, so that stable's Service never sends to the canary by itself:
//! only the router does. Both objects belong to the Release: whatever happens to us, they go when it goes. Nothing is copied
//! but the template: ConfigMaps and Secrets are named by it as they were.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::names::{ANNOTATION_TEMPLATE, LABEL_RELEASE, LABEL_RUN, canary, canary_value};

/// What tells the canary's pods from stable's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// A label of the Service's selector.
    pub label: String,
    /// Its value on the canary's pods.
    pub value: String,
}

/// A workload that cannot be split: why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {hint}")]
pub struct Unfit {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

/// Whose the canary is.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// Name of the Release.
    pub release: &'a str,
    /// Its UID.
    pub uid: &'a str,
    /// The run.
    pub run: &'a str,
}

/// Which label is changed: one that both the Service and the Deployment select by, so that neither takes the canary's pods
/// for its own; the name of the application before what may be shared with others.
pub fn split(service: &Value, deployment: &Value) -> Result<Split, Unfit> {
    let name = service.pointer("/metadata/name").and_then(Value::as_str);
    let name = name.unwrap_or("?");
    let selector = service
        .pointer("/spec/selector")
        .and_then(Value::as_object)
        .filter(|selector| !selector.is_empty())
        .ok_or_else(|| Unfit {
            what: format!("the Service {name} selects no pods by labels"),
            hint: "give it a selector that the Deployment's pods have".to_owned(),
        })?;
    let labels = object(deployment, "/spec/template/metadata/labels");
    if let Some((label, value)) = selector
        .iter()
        .find(|(label, value)| labels.and_then(|labels| labels.get(*label)) != Some(value))
    {
        return Err(Unfit {
            what: format!(
                "the Service {name} selects pods with {label}={}, and the Deployment's template does not have that label",
                value.as_str().unwrap_or_default()
            ),
            hint: "make the Service select the Deployment's pods, or name the right Service in spec.service".to_owned(),
        });
    }
    let matched = object(deployment, "/spec/selector/matchLabels");
    let both = |label: &&String| matched.is_some_and(|matched| matched.contains_key(*label));
    let mut candidates: Vec<&String> = selector.keys().filter(both).collect();
    candidates.sort_by_key(|label| {
        let usual = [
            "app.kubernetes.io/instance",
            "app",
            "app.kubernetes.io/name",
        ];
        usual.iter().position(|known| known == label).unwrap_or(9)
    });
    let label = candidates.first().ok_or_else(|| Unfit {
        what: format!("the Service {name} and the Deployment select by different labels"),
        hint: "give them one label in common, so that changing it keeps the canary apart from both"
            .to_owned(),
    })?;
    let value = selector[*label].as_str().unwrap_or_default();
    Ok(Split {
        label: (*label).clone(),
        value: canary_value(value),
    })
}

fn object<'a>(value: &'a Value, pointer: &str) -> Option<&'a Map<String, Value>> {
    value.pointer(pointer).and_then(Value::as_object)
}

/// The canary's Deployment.
pub fn deployment(
    target: &Value,
    template: &Value,
    hash: &str,
    split: &Split,
    owner: &Owner<'_>,
    replicas: u32,
) -> Value {
    let mut template = template.clone();
    let selector = json!({ &split.label: split.value, LABEL_RELEASE: owner.release });
    for (label, value) in [
        (split.label.as_str(), split.value.as_str()),
        (LABEL_RELEASE, owner.release),
        (LABEL_RUN, owner.run),
    ] {
        template["metadata"]["labels"][label] = json!(value);
    }
    let mut spec = json!({
        "replicas": replicas,
        "revisionHistoryLimit": 0,
        "selector": {"matchLabels": selector},
        // There is nothing to be gentle with: a canary that is replaced has no traffic.
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%", "maxSurge": 0}},
        "template": template,
    });
    for field in ["minReadySeconds", "progressDeadlineSeconds"] {
        if let Some(value) = target.pointer(&format!("/spec/{field}")) {
            spec[field] = value.clone();
        }
    }
    let name = target.pointer("/metadata/name").and_then(Value::as_str);
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(&canary(name.unwrap_or_default()), target, owner, Some(hash)),
        "spec": spec,
    })
}

/// The Service that only the canary answers to: the same ports, without addresses of its own outside the cluster.
pub fn service(stable: &Value, split: &Split, owner: &Owner<'_>) -> Value {
    let name = stable.pointer("/metadata/name").and_then(Value::as_str);
    let mut selector = stable
        .pointer("/spec/selector")
        .cloned()
        .unwrap_or_else(|| json!({}));
    selector[&split.label] = json!(split.value);
    let ports: Vec<Value> = stable
        .pointer("/spec/ports")
        .and_then(Value::as_array)
        .map_or_else(Vec::new, Clone::clone)
        .into_iter()
        .map(|mut port| {
            if let Some(port) = port.as_object_mut() {
                port.remove("nodePort");
            }
            port
        })
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(&canary(name.unwrap_or_default()), stable, owner, None),
        "spec": {"type": "ClusterIP", "selector": selector, "ports": ports},
    })
}

fn metadata(name: &str, like: &Value, owner: &Owner<'_>, hash: Option<&str>) -> Value {
    let mut metadata = json!({
        "name": name,
        "namespace": like.pointer("/metadata/namespace"),
        "labels": {
            canary_traffic::kubernetes::LABEL_MANAGED_BY: canary_traffic::kubernetes::MANAGED_BY,
            LABEL_RELEASE: owner.release,
        },
        "ownerReferences": [owner_reference(owner)],
    });
    if let Some(hash) = hash {
        metadata["annotations"] = json!({ ANNOTATION_TEMPLATE: hash });
    }
    metadata
}

/// The Release owns it.
pub fn owner_reference(owner: &Owner<'_>) -> Value {
    json!({
        "apiVersion": format!("{}/{}", crate::api::GROUP, crate::api::VERSION),
        "kind": "Release",
        "name": owner.release,
        "uid": owner.uid,
        "controller": true,
        "blockOwnerDeletion": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Value {
        json!({"metadata": {"name": "checkout", "namespace": "shop"}, "spec": {
            "replicas": 4, "minReadySeconds": 3,
            "selector": {"matchLabels": {"app": "checkout", "tier": "web"}},
            "template": {"metadata": {"labels": {"app": "checkout", "tier": "web", "version": "1"}},
                "spec": {"containers": [{"name": "app", "image": "checkout:1"}]}}}})
    }

    fn stable() -> Value {
        json!({"metadata": {"name": "checkout", "namespace": "shop"}, "spec": {"type": "NodePort", "clusterIP": "10.0.0.1",
            "selector": {"tier": "web", "app": "checkout"}, "ports": [{"port": 80, "targetPort": 8080, "nodePort": 30001}]}})
    }

    const OWNER: Owner<'_> = Owner {
        release: "checkout",
        uid: "u",
        run: "checkout-abc-1",
    };

    #[test]
    fn neither_the_service_nor_the_deployment_takes_the_canary_for_its_own() {
        let split = split(&stable(), &target()).unwrap();
        assert_eq!(
            (split.label.as_str(), split.value.as_str()),
            ("app", "checkout-canary")
        );
        let template = target()["spec"]["template"].clone();
        let made = deployment(&target(), &template, "h", &split, &OWNER, 2);
        let labels = &made["spec"]["template"]["metadata"]["labels"];
        assert_eq!(labels["app"], "checkout-canary");
        assert_eq!(labels["tier"], "web");
        assert_eq!(labels[LABEL_RUN], "checkout-abc-1");
        for (label, value) in made["spec"]["selector"]["matchLabels"].as_object().unwrap() {
            assert_eq!(&labels[label], value);
        }
        assert_eq!(made["spec"]["replicas"], 2);
        assert_eq!(made["spec"]["minReadySeconds"], 3);
        assert_eq!(made["metadata"]["ownerReferences"][0]["kind"], "Release");
        let service = service(&stable(), &split, &OWNER);
        assert_eq!(
            service["spec"]["selector"],
            json!({"tier": "web", "app": "checkout-canary"})
        );
        assert_eq!(
            service["spec"]["ports"],
            json!([{"port": 80, "targetPort": 8080}])
        );
        assert_eq!(service["spec"].get("clusterIP"), None);
    }

    #[test]
    fn what_cannot_be_split_is_said() {
        let mut service = stable();
        service["spec"]["selector"] = json!({"app": "cart"});
        let error = split(&service, &target()).unwrap_err().to_string();
        assert!(error.contains("app=cart"), "{error}");
        service["spec"]["selector"] = json!({"version": "1"});
        let error = split(&service, &target()).unwrap_err().to_string();
        assert!(error.contains("different labels"), "{error}");
        service["spec"]["selector"] = json!({});
        assert!(split(&service, &target()).is_err());
    }
}
