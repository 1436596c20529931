//! Runs on a virtual clock: the simulated world that `canary test` and the machine's own tests share.

pub mod simulation;
pub mod trace;
