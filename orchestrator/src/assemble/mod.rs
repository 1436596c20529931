//! From settings to the things they name: sources, routers, executors, channels. Where a run, `canary analyze` and
//! `canary doctor` get the same parts from.

mod error;
mod evidence;
mod executor;
mod hooks;
mod notifier;
mod router;
mod sources;

pub use error::AssembleError;
pub use evidence::Judge;
pub use executor::NodeExecutor;
pub use hooks::{MakeRouter, Parts, Surroundings};
pub use notifier::OutboxNotifier;
pub use router::{proxy_socket, router};
pub use sources::{Sources, prometheus_options};
