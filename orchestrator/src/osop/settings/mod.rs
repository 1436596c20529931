//! Settings of a release: `x-canary` in the workflow, the same mapping in a profile file, `--set` on the command line.

mod channel;
mod gate;
mod merge;
mod model;
mod read;
pub mod reference;
mod section;
mod source;

pub use gate::read as read_gate;
pub use merge::{Profile, merge, parse_profile};
pub use model::{
    Approvals, Auth, Channel, ChannelTarget, ChannelType, Compat, Deadlines, GateMetric,
    GateSettings, LatencyMetric, LatencyUnit, Metrics, NotifyEvent, OnFailure, PrometheusSettings,
    Queries, QuerySettings, Reduce, RequestsMetric, RouterKind, ScrapeSettings, SecretRef,
    Settings, Sources, Syntax, ThresholdRange, Tls, Traffic, WebhookUrl, Workload,
};
pub use read::read_query_map;

#[cfg(test)]
mod tests;
