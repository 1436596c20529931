//! Executors: what carries out the nodes that do something in the world.

pub mod outputs;
pub mod path;
pub mod process;
pub mod redact;
pub mod secrets;
pub mod slack;
pub mod spec;
