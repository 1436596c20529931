//! Settings of a release: `x-canary` in the workflow, the same mapping in a profile file, `--set` on the command line.

mod channel;
mod gate;
mod listing;
mod merge;
mod model;
mod read;
pub mod reference;
mod section;
mod source;
mod traffic;

pub use channel::{Channel, ChannelTarget, ChannelType, NotifyEvent, WebhookUrl};
pub use gate::{Compat, GateMetric, GateSettings, Syntax, ThresholdRange, read as read_gate};
pub use listing::{Listed, list};
pub(in crate::osop) use merge::merge_values;
pub use merge::{Profile, check_profile, merge, parse_profile};
pub use model::{
    Approvals, Cluster, Deadlines, LatencyMetric, LatencyUnit, Matching, Metrics, OnFailure,
    Queries, QuerySettings, Reduce, Refused, RequestsMetric, RolloutSteps, RouteKind, RouterKind,
    Settings, Traffic, Workload,
};
pub use read::read_query_map;
pub(crate) use section::check_filled_url;
pub use source::{Auth, PrometheusSettings, ScrapeSettings, SecretRef, Sources, Tls};

#[cfg(test)]
mod docs_tests;
#[cfg(test)]
#[expect(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "texts of tests are made once"
)]
mod tests;
