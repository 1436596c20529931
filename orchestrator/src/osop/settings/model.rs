//! What a release is told besides its graph: `x-canary` of the workflow and the profile, merged.
//!
//! Every value knows its place, and so whether it came from the workflow, the profile or the command line. What is not
//! written is `None` here where its default depends on something else, and has its default where it does not.
//! Keys, units, ranges and defaults for people are in the reference.

use std::collections::BTreeSet;
use std::time::Duration;

use super::channel::Channel;
use super::gate::GateSettings;
use super::source::Sources;
use crate::diagnostic::{Span, Spanned};
use crate::osop::model::Text;
use crate::osop::runtime::Runtime;
use crate::osop::tree::Value;
use crate::osop::word::words;

/// All settings of a release.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What is released.
    pub service: Option<Text>,
    /// Where it lives.
    pub namespace: Option<Text>,
    /// Values for `${name}`, each name once, from all places: `--set`, then `x-canary.variables`, then the profile's, then the
    /// workflow's top-level `variables`.
    pub variables: Vec<(Text, Value)>,
    /// Runtimes that replace a node's own, by node id.
    pub nodes: Vec<(Text, Runtime)>,
    /// Queries for outputs that name none.
    pub queries: Queries,
    /// Where evidence comes from.
    pub sources: Sources,
    /// What splits traffic.
    pub traffic: Traffic,
    /// How the service's own metrics look.
    pub metrics: Metrics,
    /// Gates, watched while the canary has traffic; names are unique.
    pub gates: Vec<GateSettings>,
    /// How 100 % is watched before a run counts as promoted. `None`: 5 minutes or the longest gate window, whichever is longer.
    pub bake: Option<Spanned<Duration>>,
    /// How long to wait for evidence and for people.
    pub deadlines: Deadlines,
    /// Where news go; names are unique.
    pub notify: Vec<Channel>,
    /// What a failure does with the weight. `None`: rollback.
    pub on_failure: Option<Spanned<OnFailure>>,
    /// What holds for approvals that do not say it themselves.
    pub approvals: Approvals,
    /// Commands that change the workload itself.
    pub workload: Workload,
    /// What was refused of them: what is missing there is no second problem.
    pub refused: Refused,
}

/// What was refused of the settings, and so is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Top-level keys with an error in them.
    pub keys: BTreeSet<String>,
    /// There is a top-level key of which nobody knows what it should say.
    pub unknown_key: bool,
    /// A whole file or `x-canary`, or all of its variables.
    pub whole: bool,
}

impl Settings {
    /// Whether something of this top-level key was refused, so that its absence says nothing.
    pub fn is_refused(&self, key: &str) -> bool {
        self.refused.whole || self.refused.unknown_key || self.refused.keys.contains(key)
    }

    /// The value of a variable.
    pub fn variable(&self, name: &str) -> Option<&Value> {
        self.variables
            .iter()
            .find(|(known, _)| known.value == name)
            .map(|(_, value)| value)
    }

    /// The runtime that replaces the one of this node.
    pub fn node_runtime(&self, id: &str) -> Option<&Runtime> {
        self.nodes
            .iter()
            .find(|(known, _)| known.value == id)
            .map(|(_, runtime)| runtime)
    }
}

words! {
    /// What a failure does with the weight.
    pub enum OnFailure {
        /// Weight 0, then the workflow's way back.
        Rollback = "rollback",
        /// Keep the weight and tell people.
        Hold = "hold",
    }
}

/// Queries for outputs that name none: of one node, or of any output of that name.
#[derive(Clone, Debug, Default)]
pub struct Queries {
    /// Node id, then output name.
    pub by_node: Vec<(Text, Vec<(Text, QuerySettings)>)>,
    /// Output name, exact or without its `_<number>` suffix.
    pub general: Vec<(Text, QuerySettings)>,
}

impl Queries {
    /// The query for an output: the node's own, then the general one of that name, then the general one of the name without its
    /// `_<number>` suffix.
    pub fn find(&self, node: &str, output: &str) -> Option<&QuerySettings> {
        let of = |list: &'_ [(Text, QuerySettings)], name: &str| -> Option<usize> {
            list.iter().position(|(known, _)| known.value == name)
        };
        if let Some((_, list)) = self.by_node.iter().find(|(known, _)| known.value == node)
            && let Some(at) = of(list, output)
        {
            return Some(&list[at].1);
        }
        let stem = output
            .rsplit_once('_')
            .filter(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        let at = of(&self.general, output).or_else(|| of(&self.general, stem?.0))?;
        Some(&self.general[at].1)
    }
}

/// One PromQL query and how its answer becomes a number.
#[derive(Clone, Debug)]
pub struct QuerySettings {
    /// The whole entry.
    pub span: Span,
    /// PromQL; may contain `{{window}}` and variables.
    pub query: Text,
    /// Unit that the source answers in.
    pub unit: Option<Text>,
    /// Unit of the output (`as`).
    pub as_unit: Option<Text>,
    /// How a range becomes one number; default last.
    pub reduce: Option<Spanned<Reduce>>,
    /// Samples needed; default 1.
    pub min_samples: Option<Spanned<u32>>,
}

words! {
    /// How a range of samples becomes one number.
    pub enum Reduce { Last = "last", Max = "max", Min = "min", Mean = "mean" }
}

words! {
    /// What splits traffic.
    pub enum RouterKind {
        /// The splitter of `canary proxy`.
        Local = "local",
        /// An HTTPRoute or GRPCRoute.
        GatewayApi = "gateway-api",
        /// A VirtualService.
        Istio = "istio",
        /// An Ingress with NGINX' annotations.
        Nginx = "nginx",
        /// An Ingress of the AWS Load Balancer Controller.
        Alb = "alb",
        /// A Rollout of Argo Rollouts.
        Argo = "argo",
        /// The pods of two Deployments.
        Replicas = "replicas",
        /// Nothing that canary drives: the workflow's own commands do, or no traffic is moved.
        None = "none",
    }
}

words! {
    /// Kinds of routes of Gateway API.
    pub enum RouteKind { Http = "HTTPRoute", Grpc = "GRPCRoute" }
}

words! {
    /// What becomes of the steps of an Argo Rollout.
    pub enum RolloutSteps {
        /// Weights are those of its own steps.
        Keep = "keep",
        /// Its steps are replaced while a release runs.
        Replace = "replace",
    }
}

/// What splits traffic.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// Which router. `None`: local if a proxy is named.
    pub router: Option<Spanned<RouterKind>>,
    /// The running `canary proxy`: its name, or the path of its control socket.
    pub proxy: Option<Text>,
    /// Where and how a cluster is reached.
    pub cluster: Cluster,
    /// The HTTPRoute, GRPCRoute or VirtualService. `None`: named like the service.
    pub route: Option<Text>,
    /// Which kind of route. `None`: HTTPRoute.
    pub kind: Option<Spanned<RouteKind>>,
    /// The Ingress. `None`: named like the service.
    pub ingress: Option<Text>,
    /// The Rollout. `None`: named like the service.
    pub rollout: Option<Text>,
    /// Stable's Service, subset or Deployment. `None`: named like the service.
    pub stable: Option<Text>,
    /// The canary's. `None`: stable's with `-canary`.
    pub canary: Option<Text>,
    /// The host whose subsets the versions are.
    pub host: Option<Text>,
    /// The action of an ALB. `None`: named like stable.
    pub action: Option<Text>,
    /// Prefix of NGINX' annotations. `None`: ingress-nginx' own.
    pub prefix: Option<Text>,
    /// What becomes of a Rollout's steps. `None`: they are kept.
    pub steps: Option<Spanned<RolloutSteps>>,
    /// Requests that go to the canary whatever its weight is.
    pub matching: Option<Matching>,
    /// How long a weight may take to be observed. `None`: 30 s.
    pub timeout: Option<Spanned<Duration>>,
}

/// Where and how a cluster is reached.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// The kubeconfig file. `None`: as kubectl finds it, or the pod's own account.
    pub kubeconfig: Option<Text>,
    /// Which context of it. `None`: the current one.
    pub context: Option<Text>,
    /// The namespace. `None`: that of the release, else the context's.
    pub namespace: Option<Text>,
}

/// Requests that go to the canary whatever its weight is: those with this header, or with this cookie.
#[derive(Clone, Debug)]
pub struct Matching {
    /// Name of a header.
    pub header: Option<Text>,
    /// Name of a cookie.
    pub cookie: Option<Text>,
    /// The whole value. `None`: `always`.
    pub value: Option<Text>,
}

/// How the service's own metrics look: a preset with its parameters, or the metrics themselves.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Place of the mapping, if it is written.
    pub span: Option<Span>,
    /// Name of a preset.
    pub preset: Option<Text>,
    /// Parameters of the preset.
    pub parameters: Vec<(Text, Text)>,
    /// Counter of requests.
    pub requests: Option<RequestsMetric>,
    /// Histogram of latency.
    pub latency: Option<LatencyMetric>,
    /// Label matchers that select the canary, for example `version="2.1"`.
    pub canary: Option<Text>,
    /// Label matchers that select stable.
    pub stable: Option<Text>,
    /// Label that tells processes apart. `None`: `instance`.
    pub pod: Option<Text>,
}

/// Counter of requests.
#[derive(Clone, Debug)]
pub struct RequestsMetric {
    /// The whole mapping.
    pub span: Span,
    /// Name of the counter.
    pub metric: Text,
    /// Label matchers of the service, for both arms.
    pub selector: Option<Text>,
    /// Label matchers of what counts as an error. `None`: `code=~"5.."`.
    pub errors: Option<Text>,
}

/// Histogram of latency.
#[derive(Clone, Debug)]
pub struct LatencyMetric {
    /// The whole mapping.
    pub span: Span,
    /// Name of the histogram, with or without `_bucket`.
    pub metric: Text,
    /// Unit of its bounds. There is no default: a p99 in seconds that is taken for milliseconds passes every gate.
    pub unit: Spanned<LatencyUnit>,
    /// Label matchers of the service, for both arms.
    pub selector: Option<Text>,
}

words! {
    /// Unit of a histogram's bounds.
    pub enum LatencyUnit { Seconds = "s", Milliseconds = "ms" }
}

/// How long to wait for evidence and for people.
#[derive(Clone, Debug, Default)]
pub struct Deadlines {
    /// After this long without data a check is inconclusive. `None`: 3 intervals of the gate.
    pub evidence: Option<Spanned<Duration>>,
    /// After this long without a person's decision a blocked run fails. `None`: 15 minutes.
    pub decision: Option<Spanned<Duration>>,
}

/// What holds for approvals that do not say it themselves.
#[derive(Clone, Debug, Default)]
pub struct Approvals {
    /// People who may approve.
    pub approvers: Vec<Text>,
    /// How many of them must agree.
    pub required: Option<Spanned<u32>>,
    /// After this long an approval times out.
    pub timeout: Option<Spanned<Duration>>,
}

/// Shell commands that change the workload itself, for the native actions.
#[derive(Clone, Debug, Default)]
pub struct Workload {
    /// Makes the workload the new version.
    pub promote: Option<Text>,
    /// Puts the workload back.
    pub rollback: Option<Text>,
    /// Changes how many instances the canary has; the number is in `CANARY_REPLICAS`.
    pub scale: Option<Text>,
    /// Bound of one command. `None`: 10 minutes.
    pub timeout: Option<Spanned<Duration>>,
}
