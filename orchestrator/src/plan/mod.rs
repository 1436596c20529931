//! From a workflow to a [`Plan`]: semantics, interpolation, graph checks.

pub mod draw;
mod model;
mod reference;
mod script;
mod shell;
pub mod short;
pub mod template;

pub use model::{
    Action, Analyze, Approval, Deadlines, Edge, EdgeIndex, EdgeMode, GateIndex, Join, Node,
    NodeIndex, OnFailure, Output, Plan, Retry, SwitchCase, Task, Values, VerifyWeight,
};
