//! Whole-program tests: the built binary, real processes, real HTTP. One module per subject.

mod abort_under_fire;
mod bad_input;
mod evidence;
mod kill;
mod newcomer;
mod operate;
mod osoplog;
mod release;
mod seeds;
mod signals;
mod stories;
mod words;
