//! From a workflow to a [`Plan`]: semantics, interpolation, graph checks.

mod checks;
mod compile;
pub mod draw;
mod inputs;
mod model;
mod reference;
mod script;
mod shell;
pub mod short;
pub mod template;

pub use compile::compile;
pub use inputs::Inputs;
pub use model::{
    Action, Analyze, Approval, Deadlines, Edge, EdgeIndex, EdgeMode, GateIndex, Join, Node,
    NodeIndex, OnFailure, Output, Plan, Retry, SwitchCase, Task, Values, VerifyWeight,
};
