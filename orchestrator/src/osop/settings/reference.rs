//! Every key of `x-canary` and of a profile, with type, range and default: one table for checking, for `canary config` and
//! `canary init`, and for the reference in `docs/`.

use std::fmt;

/// What is written under a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A text.
    Text,
    /// An http or https URL.
    Url,
    /// Name of an environment variable.
    EnvName,
    /// Path of a file.
    Path,
    /// A boolean.
    Bool,
    /// A whole number in this range.
    Count(i64, i64),
    /// A number, or a text of number and unit (`500ms`, `1%`).
    Quantity,
    /// A duration in this range.
    Duration(&'static str, &'static str),
    /// One of these words.
    Words(&'static [&'static str]),
    /// A unit of measurement.
    Unit,
    /// PromQL.
    Query,
    /// An expression.
    Condition,
    /// A list of texts.
    Texts,
    /// A list of words.
    WordList(&'static [&'static str]),
    /// A mapping of names to texts.
    TextMap,
    /// A mapping of names that the user chooses; its values are another section.
    Named,
    /// A mapping; its keys are another section.
    Section,
    /// A list of mappings; their keys are another section.
    Sections,
}

impl fmt::Display for Kind {
    /// For people: `duration, 100ms to 5m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Url => f.write_str("URL"),
            Self::EnvName => f.write_str("name of an environment variable"),
            Self::Path => f.write_str("path of a file"),
            Self::Bool => f.write_str("true or false"),
            Self::Count(low, high) => write!(f, "whole number, {low} to {high}"),
            Self::Quantity => f.write_str("number with a unit"),
            Self::Duration(low, high) => write!(f, "duration, {low} to {high}"),
            Self::Words(words) => f.write_str(&words.join(" or ")),
            Self::Unit => f.write_str("unit"),
            Self::Query => f.write_str("PromQL"),
            Self::Condition => f.write_str("condition"),
            Self::Texts => f.write_str("list of texts"),
            Self::WordList(words) => write!(f, "list of {}", words.join(", ")),
            Self::TextMap => f.write_str("texts by name"),
            Self::Named => f.write_str("mapping by names of your own"),
            Self::Section => f.write_str("mapping"),
            Self::Sections => f.write_str("list of mappings"),
        }
    }
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeyDoc {
    /// Section, for example `sources.prometheus`; empty at the top; `*` stands for a name, `[]` for an entry of a list.
    pub section: &'static str,
    /// The key.
    pub key: &'static str,
    /// What is written under it.
    pub kind: Kind,
    /// What holds where it is not written; empty: nothing.
    pub default: &'static str,
    /// One line for people.
    pub text: &'static str,
}

impl KeyDoc {
    /// Section and key.
    pub fn path(&self) -> String {
        if self.section.is_empty() {
            self.key.to_owned()
        } else {
            format!("{}.{}", self.section, self.key)
        }
    }
}

/// The doc of a key.
pub fn find(section: &str, key: &str) -> Option<&'static KeyDoc> {
    KEYS.iter()
        .find(|doc| doc.section == section && doc.key == key)
}

const fn key(
    section: &'static str,
    key: &'static str,
    kind: Kind,
    default: &'static str,
    text: &'static str,
) -> KeyDoc {
    KeyDoc {
        section,
        key,
        kind,
        default,
        text,
    }
}

const EVENTS: &[&str] = &[
    "started",
    "step",
    "approval",
    "paused",
    "blocked",
    "unblocked",
    "failing",
    "ended",
];
const MANY: i64 = 1_000_000;
const SLACK: &str = "notify.*(slack)";
const PAGERDUTY: &str = "notify.*(pagerduty)";
const WEBHOOK: &str = "notify.*(webhook)";
const COMMAND: &str = "notify.*(command)";
const PROMETHEUS: &str = "sources.prometheus";
const QUERY: &str = "queries.*";

/// All keys, in the order in which people read them.
#[rustfmt::skip]
pub const KEYS: &[KeyDoc] = &[
    key("", "service", Kind::Text, "the workflow's id", "What is released; the name in messages, and `{{service}}` of presets."),
    key("", "namespace", Kind::Text, "", "Where it lives; `{{namespace}}` of presets."),
    key("", "variables", Kind::Named, "", "Values for `${name}` and `{{name}}`: texts, numbers or booleans."),
    key("", "nodes", Kind::Named, "", "A runtime that replaces a node's own, by node id."),
    key("", "queries", Kind::Named, "", "Queries for outputs that name none: by output name, or by node id and then output name."),
    key("", "sources", Kind::Section, "", "Where evidence comes from."),
    key("", "traffic", Kind::Section, "", "What splits traffic."),
    key("", "metrics", Kind::Section, "", "How the service's requests and latency are measured: a preset, or the metrics themselves."),
    key("", "gates", Kind::Sections, "", "Conditions on metrics, watched for as long as the canary has traffic."),
    key("", "bake", Kind::Duration("0s", "30d"), "5m, or the longest gate window", "How long 100 % is watched before the run counts as promoted."),
    key("", "deadlines", Kind::Section, "", "How long to wait for evidence and for people."),
    key("", "notify", Kind::Named, "", "Channels for news, by a name of your own."),
    key("", "on_failure", Kind::Words(&["rollback", "hold"]), "rollback", "What a failure does with the weight: set it to 0, or keep it and tell people."),
    key("", "approvals", Kind::Section, "", "What holds for approvals that do not say it themselves."),
    key("", "workload", Kind::Section, "", "Shell commands that change the workload itself, for the actions promote, rollback and scale."),

    key(QUERY, "query", Kind::Query, "", "PromQL; `{{window}}` is the time since the weight was observed, at most the node's window."),
    key(QUERY, "unit", Kind::Unit, "", "Unit that the source answers in; a latency needs one."),
    key(QUERY, "as", Kind::Unit, "ms for a latency, else unit", "Unit of the output, as conditions see it."),
    key(QUERY, "reduce", Kind::Words(&["last", "max", "min", "mean"]), "last", "How a range of samples becomes one number."),
    key(QUERY, "min_samples", Kind::Count(1, MANY), "1", "Samples needed; with fewer the measurement is inconclusive."),

    key("sources", "prometheus", Kind::Section, "", "A Prometheus API: Prometheus, Thanos, Mimir, VictoriaMetrics."),
    key("sources", "scrape", Kind::Section, "", "`/metrics` of the instances themselves, without a Prometheus."),

    key(PROMETHEUS, "url", Kind::Url, "", "Base URL, without `/api/v1`."),
    key(PROMETHEUS, "timeout", Kind::Duration("100ms", "5m"), "10s", "Bound of one request."),
    key(PROMETHEUS, "bearer_token_env", Kind::EnvName, "", "Environment variable with a bearer token."),
    key(PROMETHEUS, "bearer_token_file", Kind::Path, "", "File with a bearer token; read when the run starts."),
    key(PROMETHEUS, "username", Kind::Text, "", "User for basic authentication."),
    key(PROMETHEUS, "password_env", Kind::EnvName, "", "Environment variable with the password."),
    key(PROMETHEUS, "password_file", Kind::Path, "", "File with the password."),
    key(PROMETHEUS, "headers", Kind::TextMap, "", "Headers of every request; no secrets."),
    key(PROMETHEUS, "headers_env", Kind::TextMap, "", "Headers whose values are in environment variables: header, variable."),
    key(PROMETHEUS, "tenant", Kind::Text, "", "Tenant, sent as `X-Scope-OrgID`."),
    key(PROMETHEUS, "tls", Kind::Section, "", "Certificates."),

    key("sources.prometheus.tls", "ca_file", Kind::Path, "the system's", "Certificates (PEM) that are trusted besides the system's."),
    key("sources.prometheus.tls", "cert_file", Kind::Path, "", "Client certificate (PEM); together with key_file."),
    key("sources.prometheus.tls", "key_file", Kind::Path, "", "Key of the client certificate (PEM)."),
    key("sources.prometheus.tls", "insecure_skip_verify", Kind::Bool, "false", "Do not check the server's certificate."),

    key("sources.scrape", "stable", Kind::Texts, "", "URLs of the stable instances' metrics."),
    key("sources.scrape", "canary", Kind::Texts, "", "URLs of the canary instances' metrics."),
    key("sources.scrape", "interval", Kind::Duration("100ms", "5m"), "5s", "Time between scrapes."),
    key("sources.scrape", "timeout", Kind::Duration("100ms", "1m"), "2s", "Bound of one scrape."),

    key("traffic", "router", Kind::Words(&["local", "gateway-api", "istio", "nginx", "alb", "argo", "replicas", "none"]), "local if proxy is given, else none", "What splits traffic: the splitter of `canary proxy`, something in a cluster, or nothing that canary drives."),
    key("traffic", "proxy", Kind::Text, "", "local: the running `canary proxy`: its name, or the path of its control socket."),
    key("traffic", "kubeconfig", Kind::Path, "as kubectl finds it, or the pod's account", "In a cluster: the kubeconfig file."),
    key("traffic", "context", Kind::Text, "the current one", "In a cluster: the context of the kubeconfig."),
    key("traffic", "namespace", Kind::Text, "namespace of the release, else the context's", "In a cluster: where the objects are."),
    key("traffic", "route", Kind::Text, "the service", "gateway-api: the HTTPRoute or GRPCRoute; istio: the VirtualService."),
    key("traffic", "kind", Kind::Words(&["HTTPRoute", "GRPCRoute"]), "HTTPRoute", "gateway-api: the kind of route."),
    key("traffic", "ingress", Kind::Text, "the service", "nginx, alb: the Ingress."),
    key("traffic", "rollout", Kind::Text, "the service", "argo: the Rollout."),
    key("traffic", "stable", Kind::Text, "the service", "The stable version's Service; istio with host: its subset (default `stable`); replicas: its Deployment."),
    key("traffic", "canary", Kind::Text, "stable's with `-canary`", "The same of the canary (a subset: default `canary`)."),
    key("traffic", "host", Kind::Text, "", "istio: the host whose subsets stable and canary are."),
    key("traffic", "action", Kind::Text, "stable", "alb: the action, as the Ingress' backend names it."),
    key("traffic", "prefix", Kind::Text, "nginx.ingress.kubernetes.io", "nginx: prefix of the annotations."),
    key("traffic", "steps", Kind::Words(&["keep", "replace"]), "keep", "argo: drive the Rollout's own steps, or replace them while a release runs: then any weight can be had."),
    key("traffic", "match", Kind::Section, "", "gateway-api, istio, nginx: requests that go to the canary whatever its weight is, while it has one."),
    key("traffic", "timeout", Kind::Duration("1s", "1h"), "30s", "How long a weight may take to be observed."),

    key("traffic.match", "header", Kind::Text, "", "Name of a header. This or cookie."),
    key("traffic.match", "cookie", Kind::Text, "", "Name of a cookie. This or header."),
    key("traffic.match", "value", Kind::Text, "always", "The whole value of the header or cookie."),

    key("metrics", "preset", Kind::Text, "", "Metrics of a kind of proxy or application; excludes all keys but parameters."),
    key("metrics", "parameters", Kind::TextMap, "", "Parameters of the preset."),
    key("metrics", "requests", Kind::Section, "", "Counter of requests."),
    key("metrics", "latency", Kind::Section, "", "Histogram of latency."),
    key("metrics", "stable", Kind::Text, "", "Label matchers that select stable, for example `version=\"1.4\"`."),
    key("metrics", "canary", Kind::Text, "", "Label matchers that select the canary, for example `version=\"1.5\"`."),
    key("metrics", "pod", Kind::Text, "instance", "Label that tells processes apart."),

    key("metrics.requests", "metric", Kind::Text, "", "Name of the counter."),
    key("metrics.requests", "selector", Kind::Text, "", "Label matchers of the service, for both arms."),
    key("metrics.requests", "errors", Kind::Text, "code=~\"5..\"", "Label matchers of what counts as an error."),

    key("metrics.latency", "metric", Kind::Text, "", "Name of the histogram."),
    key("metrics.latency", "unit", Kind::Words(&["s", "ms"]), "", "Unit of its bounds."),
    key("metrics.latency", "selector", Kind::Text, "", "Label matchers of the service, for both arms."),

    key("gates[]", "name", Kind::Text, "", "Unique name, as messages use it."),
    key("gates[]", "metric", Kind::Text, "", "`error_rate`, or a quantile of latency: `p50_latency`, `p99_latency`, `p99.9_latency`. This or query."),
    key("gates[]", "query", Kind::Query, "", "PromQL; may contain `{{window}}`. This or metric."),
    key("gates[]", "unit", Kind::Unit, "", "Unit that the query's source answers in."),
    key("gates[]", "as", Kind::Unit, "ratio, or ms for a latency", "Unit that conditions see."),
    key("gates[]", "success_condition", Kind::Condition, "", "The measurement passes when true (Argo: successCondition)."),
    key("gates[]", "failure_condition", Kind::Condition, "", "The measurement fails when true; wins over success_condition (Argo: failureCondition)."),
    key("gates[]", "threshold_range", Kind::Section, "", "The measurement fails when outside (Flagger: thresholdRange); excludes conditions."),
    key("gates[]", "syntax", Kind::Words(&["cel", "expr"]), "cel; expr with compat: argo", "Language of the conditions."),
    key("gates[]", "compat", Kind::Words(&["strict", "argo"]), "strict", "How no data, NaN, several series and warnings are read: as inconclusive, or as Argo Rollouts does."),
    key("gates[]", "interval", Kind::Duration("100ms", "1d"), "15s", "Pause between measurements."),
    key("gates[]", "window", Kind::Duration("1s", "7d"), "1m", "How far back one measurement looks; never further than the last change of weight."),
    key("gates[]", "initial_delay", Kind::Duration("0s", "1d"), "0s", "Time to the first measurement (Argo: initialDelay)."),
    key("gates[]", "count", Kind::Count(1, MANY), "as long as it is watched", "Measurements until it has passed."),
    key("gates[]", "failure_limit", Kind::Count(-1, MANY), "0", "Fails when more than this many measurements failed; -1: never by count (Argo: failureLimit)."),
    key("gates[]", "inconclusive_limit", Kind::Count(0, MANY), "0", "Inconclusive when more than this many were (Argo: inconclusiveLimit)."),
    key("gates[]", "consecutive_error_limit", Kind::Count(0, MANY), "4", "Error when more than this many in a row were (Argo: consecutiveErrorLimit)."),
    key("gates[]", "consecutive_success_limit", Kind::Count(0, MANY), "0", "Passes as soon as this many in a row passed; 0: not used (Argo: consecutiveSuccessLimit)."),
    key("gates[]", "min_requests", Kind::Count(0, 1_000_000_000_000), "0", "Requests that the canary must have had in the window, else the measurement is inconclusive."),

    key("gates[].threshold_range", "min", Kind::Quantity, "", "Lowest value that passes."),
    key("gates[].threshold_range", "max", Kind::Quantity, "", "Highest value that passes."),

    key("deadlines", "evidence", Kind::Duration("1s", "1d"), "3 intervals of the gate", "After this long without data a check is inconclusive and the run is blocked."),
    key("deadlines", "decision", Kind::Duration("1s", "30d"), "15m", "After this long without a person's decision a blocked run fails and is rolled back."),

    key(SLACK, "type", Kind::Words(&["slack", "pagerduty", "webhook", "command"]), "the channel's name", "How news get there."),
    key(SLACK, "events", Kind::WordList(EVENTS), "all but step", "Which news."),
    key(SLACK, "timeout", Kind::Duration("100ms", "5m"), "10s", "Bound of one delivery."),
    key(SLACK, "webhook_env", Kind::EnvName, "", "Environment variable with the URL of an incoming webhook."),
    key(SLACK, "webhook_file", Kind::Path, "", "File with that URL."),
    key(SLACK, "token_env", Kind::EnvName, "", "Environment variable with a bot token; together with channel."),
    key(SLACK, "token_file", Kind::Path, "", "File with that token."),
    key(SLACK, "channel", Kind::Text, "", "Channel id or name."),
    key(SLACK, "api_url", Kind::Url, "https://slack.com", "Base URL of Slack's API."),

    key(PAGERDUTY, "type", Kind::Words(&["slack", "pagerduty", "webhook", "command"]), "the channel's name", "How news get there."),
    key(PAGERDUTY, "events", Kind::WordList(EVENTS), "all but step", "Which news."),
    key(PAGERDUTY, "timeout", Kind::Duration("100ms", "5m"), "10s", "Bound of one delivery."),
    key(PAGERDUTY, "routing_key_env", Kind::EnvName, "", "Environment variable with the integration key (Events API v2)."),
    key(PAGERDUTY, "routing_key_file", Kind::Path, "", "File with that key."),
    key(PAGERDUTY, "api_url", Kind::Url, "https://events.pagerduty.com", "Base URL of the Events API."),

    key(WEBHOOK, "type", Kind::Words(&["slack", "pagerduty", "webhook", "command"]), "the channel's name", "How news get there."),
    key(WEBHOOK, "events", Kind::WordList(EVENTS), "all but step", "Which news."),
    key(WEBHOOK, "timeout", Kind::Duration("100ms", "5m"), "10s", "Bound of one delivery."),
    key(WEBHOOK, "url", Kind::Url, "", "Where JSON is posted to."),
    key(WEBHOOK, "url_env", Kind::EnvName, "", "Environment variable with the URL, where the URL is a secret."),
    key(WEBHOOK, "url_file", Kind::Path, "", "File with the URL."),
    key(WEBHOOK, "secret_env", Kind::EnvName, "", "Environment variable with the key of the signature (HMAC-SHA-256)."),
    key(WEBHOOK, "secret_file", Kind::Path, "", "File with that key."),

    key(COMMAND, "type", Kind::Words(&["slack", "pagerduty", "webhook", "command"]), "the channel's name", "How news get there."),
    key(COMMAND, "events", Kind::WordList(EVENTS), "all but step", "Which news."),
    key(COMMAND, "timeout", Kind::Duration("100ms", "5m"), "10s", "Bound of one delivery."),
    key(COMMAND, "argv", Kind::Texts, "", "Program and arguments; it reads JSON on stdin."),

    key("approvals", "approvers", Kind::Texts, "anybody who may operate the run", "People who may approve."),
    key("approvals", "required", Kind::Count(1, 1_000), "1", "How many of them must agree."),
    key("approvals", "timeout", Kind::Duration("1s", "365d"), "none", "After this long an approval times out."),

    key("workload", "promote", Kind::Text, "", "Makes the workload the new version."),
    key("workload", "rollback", Kind::Text, "", "Puts the workload back."),
    key("workload", "scale", Kind::Text, "", "Changes how many instances the canary has; the number is in `CANARY_REPLICAS`."),
    key("workload", "timeout", Kind::Duration("1s", "1d"), "10m", "Bound of one command."),
];
