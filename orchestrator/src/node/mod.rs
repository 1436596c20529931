//! Executors: what carries out the nodes that do something in the world.

pub mod spec;
