//! What people do to releases in a cluster, with their own rights: the command line and its plugins.

mod act;
mod connect;
mod direct;
mod error;
mod rollout;
mod workload;

pub use act::{Ask, Asked};
pub use connect::{Access, Cluster, Trail};
pub use direct::direct_router;
pub use error::ClientError;
pub use rollout::{RolloutStatus, rollout_status};
