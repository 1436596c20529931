//! Drivers in a small world: to both ends, killed at every record, with full and hanging disks, aborted.

mod faults;
mod kill;
mod operators;
pub(crate) mod world;
