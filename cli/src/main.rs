//! The binary `canary`.
fn main() {}
