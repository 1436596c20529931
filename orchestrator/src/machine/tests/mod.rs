//! Tests of the machine.

mod build;
mod stories;
