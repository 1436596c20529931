//! Whole-program tests: the built binary, real processes, real HTTP. One module per subject.

mod operate;
mod release;
mod stories;
