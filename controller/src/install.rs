//! Everything that a cluster needs, as one list of objects in the order in which it is applied.

use serde_json::Value;

use crate::api;

/// The namespace that the manifests name.
pub const NAMESPACE: &str = "canary-system";
/// The image that the manifests name.
pub const IMAGE: &str = "canary:0.1.0";

const FILES: &[(&str, &str)] = &[
    (
        "namespace.yaml",
        include_str!("../../deploy/kustomize/base/namespace.yaml"),
    ),
    (
        "action-policy.yaml",
        include_str!("../../deploy/kustomize/base/action-policy.yaml"),
    ),
    (
        "people-roles.yaml",
        include_str!("../../deploy/kustomize/base/people-roles.yaml"),
    ),
    (
        "service-account.yaml",
        include_str!("../../deploy/kustomize/base/service-account.yaml"),
    ),
    (
        "controller-role.yaml",
        include_str!("../../deploy/kustomize/base/controller-role.yaml"),
    ),
    (
        "deployment.yaml",
        include_str!("../../deploy/kustomize/base/deployment.yaml"),
    ),
];
const PAUSE: &str = include_str!("../../deploy/kustomize/pause-policy/pause-policy.yaml");

/// What differs from place to place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where the controller runs.
    pub namespace: String,
    /// Its image.
    pub image: String,
    /// With the policy that pauses a Deployment whose template changes. Without it (Kubernetes before 1.36), Deployments
    /// with a Release are kept paused.
    pub pause_policy: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            namespace: NAMESPACE.to_owned(),
            image: IMAGE.to_owned(),
            pause_policy: true,
        }
    }
}

/// The manifests are part of the program; if one cannot be read, the program was built wrong.
#[derive(Debug, thiserror::Error)]
#[error("the manifest {file} of this program cannot be read: {why}")]
pub struct ManifestError {
    file: &'static str,
    why: String,
}

/// All objects, those first that others need: the namespace, definitions, policies, roles, the controller.
pub fn objects(options: &Options) -> Result<Vec<Value>, ManifestError> {
    let mut all = Vec::new();
    for (file, text) in FILES {
        all.extend(documents(file, text)?);
        if *file == "namespace.yaml" {
            for definition in api::definitions() {
                all.push(
                    serde_json::to_value(&definition).map_err(|error| ManifestError {
                        file: "definitions",
                        why: error.to_string(),
                    })?,
                );
            }
        }
    }
    if options.pause_policy {
        let at = all
            .iter()
            .position(|object| object["kind"] == "ServiceAccount");
        let pause = documents("pause-policy.yaml", PAUSE)?;
        let at = at.unwrap_or(all.len());
        all.splice(at..at, pause);
    }
    for object in &mut all {
        place(object, options);
    }
    Ok(all)
}

fn documents(file: &'static str, text: &str) -> Result<Vec<Value>, ManifestError> {
    let wrong = |why: String| ManifestError { file, why };
    text.split("\n---\n")
        .map(|document| {
            serde_saphyr::from_str::<Value>(document).map_err(|error| wrong(error.to_string()))
        })
        .collect()
}

/// Every place of the namespace and of the image, and no other text that happens to be the same.
fn place(object: &mut Value, options: &Options) {
    let namespace = Value::from(options.namespace.as_str());
    if object["kind"] == "Namespace" {
        object["metadata"]["name"] = namespace;
        return;
    }
    if object["metadata"]["namespace"].is_string() {
        object["metadata"]["namespace"] = namespace.clone();
    }
    let subjects = object.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in subjects.into_iter().flatten() {
        if subject["namespace"].is_string() {
            subject["namespace"] = namespace.clone();
        }
    }
    if object["kind"] == "Deployment" {
        object["spec"]["template"]["spec"]["containers"][0]["image"] =
            options.image.as_str().into();
    }
}

/// As one YAML text of several documents.
pub fn to_yaml(objects: &[Value]) -> String {
    let mut all = String::new();
    for object in objects {
        let text = serde_saphyr::to_string(object).unwrap_or_default();
        all.push_str("---\n");
        all.push_str(text.trim_end());
        all.push('\n');
    }
    all
}

/// How a definition is written under `deploy/`: the file name and its text.
pub fn definition_files() -> Vec<(String, String)> {
    api::definitions()
        .iter()
        .map(|definition| {
            let text = serde_saphyr::to_string(definition).unwrap_or_default();
            let head = "# Made of the types in controller/src/api by `CANARY_WRITE=1 cargo test -p canary-controller --test manifests`.\n";
            let name = format!("{}.yaml", definition.spec.names.plural);
            (name, format!("{head}{}\n", text.trim_end()))
        })
        .collect()
}

/// The template of the Helm chart: the same objects, with the values of the chart where they differ from place to place.
pub fn helm_template() -> Result<String, ManifestError> {
    let options = Options {
        namespace: "{{ .Release.Namespace }}".to_owned(),
        image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}".to_owned(),
        pause_policy: true,
    };
    let mut text = "{{- /* Made of deploy/kustomize by `CANARY_WRITE=1 cargo test -p canary-controller --test manifests`. */}}\n".to_owned();
    for mut object in objects(&options)? {
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        // Helm makes the namespace (--create-namespace), and the definitions from `crds/`.
        if kind == "Namespace" || kind == "CustomResourceDefinition" {
            continue;
        }
        if kind == "Deployment" {
            object["spec"]["replicas"] = "REPLICAS".into();
            object["spec"]["template"]["spec"]["containers"][0]["resources"] = "RESOURCES".into();
        }
        let yaml = to_yaml(&[object])
            .replace("replicas: REPLICAS", "replicas: {{ .Values.replicas }}")
            .replace(
                "resources: RESOURCES",
                "resources: {{ toJson .Values.resources }}",
            );
        if kind.starts_with("MutatingAdmissionPolicy") {
            text.push_str(&format!(
                "{{{{- if .Values.pausePolicy }}}}\n{yaml}{{{{- end }}}}\n"
            ));
        } else {
            text.push_str(&yaml);
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &Options) -> Vec<Value> {
        objects(options).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn every_object_is_placed_and_the_order_can_be_applied() {
        let options = Options {
            namespace: "elsewhere".to_owned(),
            image: "registry.test/canary:9".to_owned(),
            pause_policy: true,
        };
        let all = of(&options);
        assert_eq!(all[0]["kind"], "Namespace");
        let text = to_yaml(&all);
        assert!(
            !text.contains("canary-system"),
            "a namespace was not placed"
        );
        assert!(!text.contains(IMAGE) && text.contains("registry.test/canary:9"));
        let place = |kind: &str| all.iter().position(|object| object["kind"] == kind);
        assert!(place("CustomResourceDefinition") < place("Deployment"));
        assert!(place("MutatingAdmissionPolicy").is_some());
        let without = of(&Options {
            pause_policy: false,
            ..options
        });
        assert_eq!(without.len() + 2, all.len());
    }

    #[test]
    fn no_role_has_a_wildcard_and_none_of_the_cluster_reads_secrets() {
        for object in of(&Options::default()) {
            let Some(rules) = object["rules"].as_array() else {
                continue;
            };
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            for rule in rules {
                assert!(!rule.to_string().contains("\"*\""), "{name}: {rule}");
                let secrets = rule["resources"]
                    .as_array()
                    .is_some_and(|all| all.contains(&"secrets".into()));
                let bound_by_a_team = name == "canary-secrets";
                assert!(
                    !secrets || object["kind"] == "Role" || bound_by_a_team,
                    "{name}: {rule}"
                );
            }
        }
    }

    #[test]
    fn the_controller_runs_without_rights_on_its_machine() {
        let all = of(&Options::default());
        let deployment = all
            .iter()
            .find(|object| object["kind"] == "Deployment")
            .expect("a Deployment");
        let pod = &deployment["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(
            container["securityContext"]["allowPrivilegeEscalation"],
            false
        );
        assert_eq!(
            container["securityContext"]["capabilities"]["drop"][0],
            "ALL"
        );
        assert!(container["livenessProbe"].is_object() && container["readinessProbe"].is_object());
    }
}
