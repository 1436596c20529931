//! Drivers in a small world: to both ends, killed at every record, with full and hanging disks, aborted.

mod disk;
mod faults;
mod fire;
mod kill;
mod operators;
mod plan;
pub(crate) mod world;
