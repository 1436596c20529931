//! Settings of a release: `x-canary` in the workflow, the same mapping in a profile file, `--set` on the command line.

mod model;

pub use model::{
    Approvals, Auth, Channel, ChannelTarget, ChannelType, Compat, Deadlines, GateMetric,
    GateSettings, LatencyMetric, Metrics, NotifyEvent, OnFailure, PrometheusSettings, Queries,
    QuerySettings, Reduce, RequestsMetric, RouterKind, ScrapeSettings, SecretRef, Settings,
    Sources, Syntax, ThresholdRange, Tls, Traffic, WebhookUrl, Workload,
};
