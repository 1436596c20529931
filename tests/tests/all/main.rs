//! Whole-program tests: the built binary, real processes, real HTTP. One module per subject.

mod operate;
mod osoplog;
mod release;
mod seeds;
mod stories;
