//! Tests of the machine.

mod build;
mod laws;
mod properties;
mod stories;
