//! From a workflow to a [`Plan`]: semantics, interpolation, graph checks.

mod checks;
mod compile;
mod describe;
pub mod draw;
mod inputs;
mod metrics;
mod model;
mod reference;
mod script;
mod shell;
pub mod short;
pub mod template;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_errors;

pub use compile::{compile, graph};
pub use describe::{Description, Step, describe};
pub use inputs::Inputs;
pub use metrics::service_metrics;
pub use model::{
    Action, Analyze, Approval, Deadlines, Edge, EdgeIndex, EdgeMode, GateIndex, Join, Node,
    NodeIndex, OnFailure, Output, Plan, Retry, SwitchCase, Task, Values, VerifyWeight,
};
