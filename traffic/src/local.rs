//! Drives a splitter in another process.

