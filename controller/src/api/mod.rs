//! The objects of a release in a cluster, group [`GROUP`], version [`VERSION`].
//!
//! | kind | where | who writes it | what it is |
//! |---|---|---|---|
//! | [`Release`] | namespace | the team | how new versions of one workload meet users |
//! | [`ReleaseAction`] | namespace | people, through the command line | one thing that somebody asked for: create-only |
//! | [`Profile`], [`ClusterProfile`] | namespace, cluster | the platform team | gates, metrics and channels that releases share |
//! | [`Source`], [`ClusterSource`] | namespace, cluster | the platform team | an address for evidence, and its credentials |
//!
//! The types are the schema: `crd` makes the manifests of them, and what the API server can check (ranges, sizes, rules in
//! CEL) is said here once. What a release says is the vocabulary of `x-canary` in `camelCase`; what it means is decided in
//! one place, by the compiler of plans.

#[expect(
    unreachable_pub,
    reason = "KubeSchema repeats each type inside of a function"
)]
#[expect(clippy::duplicated_attributes, reason = "columns of the same type")]
mod action;
mod crd;
mod inputs;
#[expect(
    unreachable_pub,
    reason = "KubeSchema repeats each type inside of a function"
)]
mod profile;
#[expect(
    unreachable_pub,
    reason = "KubeSchema repeats each type inside of a function"
)]
mod release;
mod report;
mod schema;
#[expect(
    unreachable_pub,
    reason = "KubeSchema repeats each type inside of a function"
)]
mod settings;
#[expect(
    unreachable_pub,
    reason = "KubeSchema repeats each type inside of a function"
)]
mod source;
mod status;

pub use action::{Action, ReleaseAction, ReleaseActionSpec};
pub use crd::definitions;
pub use inputs::{
    Named, NamedProfile, NamedSource, PrepareError, Prepared, SecretVariable, prepare, problems,
    source_reference, workflow_config_map,
};
pub use profile::{ClusterProfile, ClusterProfileSpec, Profile, ProfileSpec};
pub use release::{
    CanarySize, ConfigMapKey, ProfileKind, ProfileReference, Release, ReleaseSpec, RequestMatch,
    RolloutSteps, RouteKind, RouterName, SourceKind, SourceReference, Sources, Step, Strategy,
    Target, TargetKind, Traffic, WorkflowSource,
};
pub use settings::{
    Channel, ChannelType, Compat, Deadlines, Gate, LatencyMetric, LatencyUnit, Metrics, News,
    OnFailure, RequestsMetric, SecretKey, Syntax, ThresholdRange,
};
pub use source::{
    BasicAuthentication, ClusterSource, ClusterSourceSpec, PrometheusSource, Source, SourceSpec,
};
pub use status::{
    AnswerStatus, CONDITION_DEGRADED, CONDITION_PROGRESSING, CONDITION_READY, CONDITION_REJECTED,
    GateStatus, HistoryEntry, NodeStatus, ReleasePhase, ReleaseStatus, WaitStatus,
};

pub use canary_orchestrator::osop::object::GROUP;

/// Version of all our objects.
pub const VERSION: &str = "v1alpha1";
