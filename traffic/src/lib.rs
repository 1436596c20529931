//! Routers: what sets the share of requests that the canary gets.
//!
//! [`Router`] is what the orchestrator talks to; one file per implementation. In a cluster: [`kubernetes`]. On one
//! machine: [`splitter`] is the proxy itself, [`local`] drives one that runs in another process, over its admin socket.

pub mod kubernetes;
pub mod local;
mod router;
pub mod splitter;
mod weight;

pub use local::LocalSplitter;
pub use router::{
    Acceptance, Observed, Preflight, Requests, Rounded, Router, RouterError, RouterErrorKind,
};
pub use weight::{Weight, WeightError};
