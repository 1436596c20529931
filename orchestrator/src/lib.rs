//! OSOP workflows, the release state machine, and what carries its commands out.

pub mod diagnostic;
pub mod osop;
pub mod run;
