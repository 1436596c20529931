//! OSOP workflows, the release state machine, and what carries its commands out.

pub mod assemble;
pub mod diagnostic;
pub mod machine;
pub mod node;
pub mod notify;
pub mod osop;
pub mod plan;
pub mod run;
pub mod scenario;
