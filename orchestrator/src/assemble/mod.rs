//! From settings to the things they name: sources, routers, channels. Where a run, `canary analyze` and `canary doctor`
//! get the same parts from.

mod evidence;
mod error;
mod metrics;
mod router;
mod sources;

pub use error::AssembleError;
pub use evidence::Judge;
pub use metrics::service_metrics;
pub use router::{proxy_socket, router};
pub use sources::{Sources, prometheus_options};
