//! Tests of the machine.

mod build;
mod cases;
mod checkpoint;
mod fresh;
mod laws;
mod properties;
mod small_graphs;
mod stories;
mod unwatched;
