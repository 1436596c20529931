//! Carries a run out: journal, store and lock of a run, the driver of the machine, and the control socket.

pub mod journal;
pub mod lock;
pub mod store;
