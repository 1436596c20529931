//! What releases share: gates, metrics, channels, deadlines.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::release::Sources;
use super::schema::DURATION;
use super::settings::{Channel, Deadlines, Gate, Metrics, OnFailure};

/// What releases of one namespace share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "canary.internal",
    version = "v1alpha1",
    kind = "Profile",
    plural = "profiles",
    category = "canary",
    namespaced,
    derive = "PartialEq",
    doc = "What releases of this namespace share. What a release says itself wins.",
    printcolumn(name = "Gates", type_ = "string", json_path = ".spec.gates[*].name"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProfileSpec {
    /// Where evidence comes from. A Source that is named here is looked for in the namespace of the Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
    /// How requests and latency are measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// Gates; one of a release with the same name replaces it whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub gates: Vec<Gate>,
    /// How long 100 % is watched before a run counts as promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = DURATION))]
    pub bake: Option<String>,
    /// How long to wait for evidence and for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlines: Option<Deadlines>,
    /// What a failure does with the weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// Where news go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub notify: Vec<Channel>,
    /// Values for `${name}` in queries and workflows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64), inner(length(max = 4096)))]
    pub variables: BTreeMap<String, String>,
}

/// What releases of every namespace share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "canary.internal",
    version = "v1alpha1",
    kind = "ClusterProfile",
    plural = "clusterprofiles",
    category = "canary",
    derive = "PartialEq",
    doc = "What releases of every namespace share. What a release says itself wins.",
    printcolumn(name = "Gates", type_ = "string", json_path = ".spec.gates[*].name"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterProfileSpec {
    /// Where evidence comes from. A Source that is named here is looked for in the namespace of the Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
    /// How requests and latency are measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// Gates; one of a release with the same name replaces it whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub gates: Vec<Gate>,
    /// How long 100 % is watched before a run counts as promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = DURATION))]
    pub bake: Option<String>,
    /// How long to wait for evidence and for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlines: Option<Deadlines>,
    /// What a failure does with the weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// Where news go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub notify: Vec<Channel>,
    /// Values for `${name}` in queries and workflows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64), inner(length(max = 4096)))]
    pub variables: BTreeMap<String, String>,
}
