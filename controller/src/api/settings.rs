//! What releases and profiles both say: the vocabulary of `x-canary`, in `camelCase`.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{DURATION, NAME, URL, WORD};

/// A condition on a metric, with limits. Fields mean what Argo Rollouts' of the same name mean.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = ("has(self.metric) != has(self.query)", "a gate has one of metric and query"),
    validation = ("has(self.thresholdRange) != (has(self.successCondition) || has(self.failureCondition))", "a gate has conditions (successCondition, failureCondition) or a thresholdRange"),
)]
pub struct Gate {
    /// Unique name, as messages use it.
    #[schemars(length(min = 1, max = 63), regex(pattern = WORD))]
    pub name: String,
    /// `error_rate`, or a quantile of latency: `p50_latency`, `p99_latency`, `p99.9_latency`. This or query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^(error_rate|p[0-9.]+_latency)$"))]
    pub metric: Option<String>,
    /// PromQL; `{{window}}` is the time since the weight was observed, at most `window`. This or metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8192))]
    pub query: Option<String>,
    /// Unit that the query's source answers in; a latency needs one: `s`, `ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub unit: Option<String>,
    /// Unit that conditions see. Default: ratio, or ms for a latency.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "as")]
    #[schemars(length(min = 1, max = 16))]
    pub as_unit: Option<String>,
    /// The measurement passes when true: `error_rate < 1%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub success_condition: Option<String>,
    /// The measurement fails when true; wins over successCondition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub failure_condition: Option<String>,
    /// The measurement fails when outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_range: Option<ThresholdRange>,
    /// Language of the conditions. Default: cel; expr with `compat: argo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syntax: Option<Syntax>,
    /// How no data, NaN, several series and warnings are read. Default: strict, as inconclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compat: Option<Compat>,
    /// Pause between measurements. Default 15s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = DURATION))]
    pub interval: Option<String>,
    /// How far back one measurement looks; never further than the last change of weight. Default 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = DURATION))]
    pub window: Option<String>,
    /// Time to the first measurement. Default 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = DURATION))]
    pub initial_delay: Option<String>,
    /// Measurements until it has passed. Default: as long as it is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub count: Option<i32>,
    /// Fails when more than this many measurements failed; -1: never by count. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 1_000_000))]
    pub failure_limit: Option<i32>,
    /// Inconclusive when more than this many were. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub inconclusive_limit: Option<i32>,
    /// Error when more than this many in a row were. Default 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub consecutive_error_limit: Option<i32>,
    /// Passes as soon as this many in a row passed; 0: not used. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub consecutive_success_limit: Option<i32>,
    /// Requests that the canary must have had in the window, else the measurement is inconclusive. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub min_requests: Option<i64>,
}

/// Bounds with a unit: `500ms`, `1%`, `0.5`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = ("has(self.min) || has(self.max)", "a thresholdRange has a min or a max"))]
pub struct ThresholdRange {
    /// Lowest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub min: Option<String>,
    /// Highest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub max: Option<String>,
}

/// Language of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Syntax {
    /// CEL.
    Cel,
    /// expr-lang, as AnalysisTemplates use it.
    Expr,
}

/// How doubtful answers are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compat {
    /// As inconclusive.
    Strict,
    /// As Argo Rollouts reads them.
    Argo,
}

/// How the service's requests and latency are measured: a preset, or the metrics themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = ("has(self.preset) || !has(self.parameters)", "parameters belong to a preset"),
    validation = ("!has(self.preset) || !(has(self.requests) || has(self.latency) || has(self.stable) || has(self.canary) || has(self.pod))", "a preset excludes all keys but parameters"),
)]
pub struct Metrics {
    /// Metrics of a kind of proxy or application: app, nginx-ingress, istio, linkerd, envoy, traefik, canary-proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub preset: Option<String>,
    /// Parameters of the preset.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32), inner(length(max = 1024)))]
    pub parameters: BTreeMap<String, String>,
    /// Counter of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<RequestsMetric>,
    /// Histogram of latency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyMetric>,
    /// Label matchers that select stable, for example `version="1.4"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub stable: Option<String>,
    /// Label matchers that select the canary, for example `version="1.5"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub canary: Option<String>,
    /// Label that tells processes apart. Default: instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub pod: Option<String>,
}

/// Counter of requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestsMetric {
    /// Name of the counter.
    #[schemars(length(min = 1, max = 256))]
    pub metric: String,
    /// Label matchers of the service, for both versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub selector: Option<String>,
    /// Label matchers of what counts as an error. Default: `code=~"5.."`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub errors: Option<String>,
}

/// Histogram of latency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LatencyMetric {
    /// Name of the histogram, with or without `_bucket`.
    #[schemars(length(min = 1, max = 256))]
    pub metric: String,
    /// Unit of its bounds; there is no default.
    pub unit: LatencyUnit,
    /// Label matchers of the service, for both versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub selector: Option<String>,
}

/// Unit of a histogram's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LatencyUnit {
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
}

/// How long to wait for evidence and for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deadlines {
    /// After this long without data a check is inconclusive and the run is blocked. Default: 3 intervals of the gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = DURATION))]
    pub evidence: Option<String>,
    /// After this long without a person's decision a blocked run fails and is rolled back. Default 15m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = DURATION))]
    pub decision: Option<String>,
}

/// What a failure does with the weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Weight 0, then the way back.
    Rollback,
    /// Keep the weight and tell people.
    Hold,
}

/// A key of a Secret. It is read when it is used; no Secret is copied.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKey {
    /// Name of the Secret: in the namespace of the object that names it; for cluster-wide objects, in that of the controller.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub name: String,
    /// Key in it.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// Where news go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = ("self.type != 'slack' || has(self.webhookSecret) != has(self.tokenSecret)", "a slack channel has one of webhookSecret and tokenSecret"),
    validation = ("self.type != 'slack' || has(self.tokenSecret) == has(self.channel)", "channel goes with tokenSecret; a webhook posts to its own channel"),
    validation = ("self.type != 'pagerduty' || has(self.routingKeySecret)", "a pagerduty channel needs routingKeySecret"),
    validation = ("self.type != 'webhook' || has(self.url) != has(self.urlSecret)", "a webhook channel has one of url and urlSecret"),
    validation = ("self.type == 'slack' || !(has(self.webhookSecret) || has(self.tokenSecret) || has(self.channel))", "webhookSecret, tokenSecret and channel belong to type slack"),
    validation = ("self.type == 'pagerduty' || !has(self.routingKeySecret)", "routingKeySecret belongs to type pagerduty"),
    validation = ("self.type == 'webhook' || !(has(self.url) || has(self.urlSecret) || has(self.signingSecret))", "url, urlSecret and signingSecret belong to type webhook"),
    validation = ("self.type != 'webhook' || !has(self.apiUrl)", "apiUrl belongs to types slack and pagerduty"),
)]
pub struct Channel {
    /// Unique name.
    #[schemars(length(min = 1, max = 63), regex(pattern = WORD))]
    pub name: String,
    /// How news get there.
    #[serde(rename = "type")]
    pub channel_type: ChannelType,
    /// Which news. Default: all but step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub events: Vec<News>,
    /// Bound of one delivery. Default 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = DURATION))]
    pub timeout: Option<String>,
    /// Slack: the URL of an incoming webhook. This, or tokenSecret and channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_secret: Option<SecretKey>,
    /// Slack: a bot token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret: Option<SecretKey>,
    /// Slack: channel id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub channel: Option<String>,
    /// Slack, PagerDuty: base URL of the API, where it is not theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = URL))]
    pub api_url: Option<String>,
    /// PagerDuty: the integration key (Events API v2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing_key_secret: Option<SecretKey>,
    /// Webhook: where JSON is posted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = URL))]
    pub url: Option<String>,
    /// Webhook: the URL, where it is a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_secret: Option<SecretKey>,
    /// Webhook: key of the signature of each post.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_secret: Option<SecretKey>,
}

/// Kinds of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChannelType {
    /// Slack.
    Slack,
    /// PagerDuty.
    PagerDuty,
    /// A POST of JSON.
    Webhook,
}

/// News that a channel may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum News {
    /// A run started.
    Started,
    /// The weight rose.
    Step,
    /// Somebody must agree.
    Approval,
    /// Paused by a person.
    Paused,
    /// Cannot decide by itself.
    Blocked,
    /// Goes on after a block or a pause.
    Unblocked,
    /// Something failed; traffic is being taken off.
    Failing,
    /// A run ended.
    Ended,
}
