//! A release: what is wanted.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{DURATION, NAME, WORD};
use super::settings::{Channel, Deadlines, Gate, Metrics, OnFailure};
use super::status::ReleaseStatus;

/// How new versions of one workload meet users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "canary.internal",
    version = "v1alpha1",
    kind = "Release",
    plural = "releases",
    shortname = "rel",
    category = "canary",
    namespaced,
    status = "ReleaseStatus",
    derive = "PartialEq",
    doc = "How new versions of one workload meet users: a few percent at a time, judged, and taken away when the evidence says that they are worse.",
    validation = Rule::new("size(self.metadata.name) <= 52").message("the name of a Release has at most 52 characters: runs and objects are named after it"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "Where the release stands"),
    printcolumn(name = "Step", type_ = "string", json_path = ".status.step", description = "Node that is at work"),
    printcolumn(name = "Weight", type_ = "integer", json_path = ".status.weight", description = "Percent of requests that the canary gets, as observed"),
    printcolumn(name = "Why", type_ = "string", json_path = ".status.why", description = "What goes on, or how it ended and why"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.target.name", priority = "1"),
    printcolumn(name = "Router", type_ = "string", json_path = ".spec.traffic.router", priority = "1"),
    printcolumn(name = "Run", type_ = "string", json_path = ".status.run", priority = "1")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = ("(self.traffic.router == 'argo') == (has(self.target.kind) && self.target.kind == 'Rollout')", "router argo drives a target of kind Rollout; every other router a Deployment"),
    validation = ("self.target == oldSelf.target", "target cannot be changed: delete the Release and create another one"),
)]
pub struct ReleaseSpec {
    /// What is released.
    pub target: Target,
    /// The Service whose requests are shared between stable and canary. Default: the target's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 56), regex(pattern = NAME))]
    pub service: Option<String>,
    /// What shares them.
    pub traffic: Traffic,
    /// How a new version meets users.
    pub strategy: Strategy,
    /// How many pods the canary has below 100 %. Default: as many of stable's as it has of the traffic, at least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanarySize>,
    /// How long pods may take until they serve. Default 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = DURATION))]
    pub progress_deadline: Option<String>,
    /// What a profile of the platform team says holds where this release says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileReference>,
    /// Where evidence comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
    /// How the service's requests and latency are measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// Conditions on metrics, watched for as long as the canary has traffic.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub gates: Vec<Gate>,
    /// How long 100 % is watched before a run counts as promoted. Default: 5m, or the longest window of a gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = DURATION))]
    pub bake: Option<String>,
    /// How long to wait for evidence and for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlines: Option<Deadlines>,
    /// What a failure does with the weight. Default: rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// Where news go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub notify: Vec<Channel>,
    /// Values for `${name}` in queries and in the workflow.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64), inner(length(max = 4096)))]
    pub variables: BTreeMap<String, String>,
}

/// What is released; in the namespace of the Release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// Kind of the workload.
    #[serde(default)]
    pub kind: TargetKind,
    /// Its name.
    #[schemars(length(min = 1, max = 63), regex(pattern = NAME))]
    pub name: String,
}

/// Kinds of workloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TargetKind {
    /// `apps/v1`.
    #[default]
    Deployment,
    /// `argoproj.io/v1alpha1`.
    Rollout,
}

/// How many pods the canary has. At 100 % it has as many as stable, whatever is said here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = ("has(self.replicas) != has(self.percent)", "canary has one of replicas and percent"))]
pub struct CanarySize {
    /// This many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub replicas: Option<i32>,
    /// This percentage of stable's, at least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub percent: Option<i32>,
}

/// What shares requests between stable and canary. The keys are those of `x-canary.traffic`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = ("!has(self.route) || self.router in ['gateway-api', 'istio']", "route belongs to routers gateway-api and istio"),
    validation = ("!has(self.kind) || self.router == 'gateway-api'", "kind belongs to router gateway-api"),
    validation = ("!has(self.ingress) || self.router in ['nginx', 'alb']", "ingress belongs to routers nginx and alb"),
    validation = ("!has(self.rollout) && !has(self.steps) || self.router == 'argo'", "rollout and steps belong to router argo"),
    validation = ("!has(self.stable) && !has(self.canary) || self.router != 'argo'", "router argo takes stable and canary from the Rollout"),
    validation = ("!has(self.host) || self.router == 'istio'", "host belongs to router istio"),
    validation = ("!has(self.action) || self.router == 'alb'", "action belongs to router alb"),
    validation = ("!has(self.prefix) || self.router == 'nginx'", "prefix belongs to router nginx"),
    validation = ("!has(self.match) || self.router in ['gateway-api', 'istio', 'nginx']", "match belongs to routers gateway-api, istio and nginx"),
    validation = ("!(has(self.stable) && has(self.canary)) || self.stable != self.canary", "stable and canary are the same: nothing tells the versions apart"),
)]
pub struct Traffic {
    /// Which router.
    pub router: RouterName,
    /// gateway-api: the HTTPRoute or GRPCRoute; istio: the VirtualService. Default: named like the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub route: Option<String>,
    /// gateway-api: the kind of route. Default: HTTPRoute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<RouteKind>,
    /// nginx, alb: the Ingress. Default: named like the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub ingress: Option<String>,
    /// argo: the Rollout. Default: the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub rollout: Option<String>,
    /// argo: drive the Rollout's own steps, or replace them while a release runs. Default: keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<RolloutSteps>,
    /// The stable version's Service; istio with host: its subset; replicas: its Deployment. Default: the service, `stable`, the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = NAME))]
    pub stable: Option<String>,
    /// The same of the canary. Default: stable's with `-canary`; a subset: `canary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = NAME))]
    pub canary: Option<String>,
    /// istio: the host whose subsets stable and canary are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub host: Option<String>,
    /// alb: the action, as the Ingress' backend names it. Default: stable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = NAME))]
    pub action: Option<String>,
    /// nginx: prefix of the annotations. Default: nginx.ingress.kubernetes.io.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub prefix: Option<String>,
    /// Requests that go to the canary whatever its weight is, while it has one.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "match")]
    pub matching: Option<RequestMatch>,
    /// How long a weight may take to be observed. Default 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = DURATION))]
    pub timeout: Option<String>,
}

/// Routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RouterName {
    /// HTTPRoute and GRPCRoute.
    GatewayApi,
    /// VirtualService.
    Istio,
    /// An Ingress with NGINX' annotations.
    Nginx,
    /// An Ingress of the AWS Load Balancer Controller.
    Alb,
    /// A Rollout of Argo Rollouts.
    Argo,
    /// The pods of two Deployments.
    Replicas,
}

/// Kinds of routes of Gateway API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RouteKind {
    /// HTTPRoute.
    #[serde(rename = "HTTPRoute")]
    Http,
    /// GRPCRoute.
    #[serde(rename = "GRPCRoute")]
    Grpc,
}

/// What becomes of the steps of an Argo Rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RolloutSteps {
    /// Weights are those of its own steps.
    Keep,
    /// They are replaced while a release runs.
    Replace,
}

/// Requests with this header or cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = ("has(self.header) != has(self.cookie)", "match has one of header and cookie"))]
pub struct RequestMatch {
    /// Name of a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9-]+$"))]
    pub header: Option<String>,
    /// Name of a cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_-]+$"))]
    pub cookie: Option<String>,
    /// Its whole value. Default: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub value: Option<String>,
}

/// How a new version meets users: steps, or a workflow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = ("has(self.steps) != has(self.workflow)", "strategy has one of steps and workflow"))]
pub struct Strategy {
    /// Weights, rising, the last one 100; below 100 each is judged by all gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(
        validation = Rule::new("self.map(s, s.weight).isSorted() && self.all(a, self.exists_one(b, b.weight == a.weight))").message("the weights of the steps must rise"),
        validation = Rule::new("self[size(self) - 1].weight == 100").message("the last step must have weight 100"),
    )]
    pub steps: Option<Vec<Step>>,
    /// A whole OSOP workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<WorkflowSource>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = ("self.weight < 100 || !(has(self.soak) || has(self.gates))", "a step of weight 100 has neither soak nor gates: 100 % is watched for `bake`, by all gates"),
)]
pub struct Step {
    /// Percent of requests that the canary gets.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,
    /// How long it is judged. Default 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = DURATION))]
    pub soak: Option<String>,
    /// Gates that judge it, by name. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63), regex(pattern = WORD)), extend("x-kubernetes-list-type" = "set"))]
    pub gates: Vec<String>,
    /// A person must agree before the canary gets this weight. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approval: bool,
}

/// Where the workflow is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = ("has(self.inline) != has(self.configMap)", "workflow has one of inline and configMap"))]
pub struct WorkflowSource {
    /// The workflow, as in an OSOP file. What only objects may say (sources, routes, channels) is not said in its `x-canary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub inline: Option<serde_json::Value>,
    /// A ConfigMap with the text. It is read when a run begins; the run keeps what it read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapKey>,
}

fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "nullable": true})
}

/// A key of a ConfigMap in the namespace of the Release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigMapKey {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub name: String,
    /// Key in it.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// A profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProfileReference {
    /// Profile: in the namespace of the Release; ClusterProfile: for all.
    #[serde(default)]
    pub kind: ProfileKind,
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub name: String,
}

/// Kinds of profiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProfileKind {
    /// In the namespace of the Release.
    #[default]
    Profile,
    /// For all namespaces.
    ClusterProfile,
}

/// Where evidence comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sources {
    /// A Prometheus API: Prometheus, Thanos, Mimir, VictoriaMetrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<SourceReference>,
}

/// A source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceReference {
    /// Source: in the namespace of the Release; ClusterSource: for all.
    #[serde(default)]
    pub kind: SourceKind,
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub name: String,
}

/// Kinds of sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SourceKind {
    /// In the namespace of the Release.
    #[default]
    Source,
    /// For all namespaces.
    ClusterSource,
}
