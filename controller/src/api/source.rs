//! Sources of evidence: an address that an administrator allows, and its credentials.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{DURATION, URL};
use super::settings::SecretKey;

/// Where evidence comes from, for releases of one namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "canary.internal",
    version = "v1alpha1",
    kind = "Source",
    plural = "sources",
    category = "canary",
    namespaced,
    derive = "PartialEq",
    doc = "Where evidence comes from, for releases of this namespace: an address, and its credentials by the name of a Secret.",
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.prometheus.url"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceSpec {
    /// A Prometheus API: Prometheus, Thanos, Mimir, VictoriaMetrics.
    pub prometheus: PrometheusSource,
}

/// Where evidence comes from, for releases of every namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "canary.internal",
    version = "v1alpha1",
    kind = "ClusterSource",
    plural = "clustersources",
    category = "canary",
    derive = "PartialEq",
    doc = "Where evidence comes from, for releases of every namespace: an address, and its credentials by the name of a Secret in the controller's namespace.",
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.prometheus.url"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSourceSpec {
    /// A Prometheus API: Prometheus, Thanos, Mimir, VictoriaMetrics.
    pub prometheus: PrometheusSource,
}

/// A Prometheus API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = ("!(has(self.bearerTokenSecret) && has(self.basic))", "a source has at most one of bearerTokenSecret and basic"),
)]
pub struct PrometheusSource {
    /// Base URL, without `/api/v1`.
    #[schemars(length(max = 1024), regex(pattern = URL))]
    pub url: String,
    /// Bound of one request. Default 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = DURATION))]
    pub timeout: Option<String>,
    /// Bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token_secret: Option<SecretKey>,
    /// Basic authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic: Option<BasicAuthentication>,
    /// Headers of every request; no secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16), inner(length(max = 1024)))]
    pub headers: BTreeMap<String, String>,
    /// Headers whose values are secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub header_secrets: BTreeMap<String, SecretKey>,
    /// Tenant, sent as `X-Scope-OrgID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 150))]
    pub tenant: Option<String>,
    /// Do not check the server's certificate. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure_skip_verify: bool,
}

/// Basic authentication.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BasicAuthentication {
    /// User.
    #[schemars(length(min = 1, max = 256))]
    pub username: String,
    /// Password.
    pub password_secret: SecretKey,
}
