//! Carries a run out: journal, store and lock of a run, the driver of the machine, and the control socket.
//!
//! [`session::Session`] puts the parts together for a run in this process; [`control::Client`] talks to one in another;
//! [`inspect::Inspection`] reads one from its files.

pub mod clock;
pub mod control;
pub mod driver;
pub mod inspect;
pub mod journal;
pub mod lock;
pub mod osoplog;
pub mod replay;
pub mod session;
pub mod store;
mod weights;

#[cfg(test)]
mod session_tests;
