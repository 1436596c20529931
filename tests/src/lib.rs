//! What whole-program tests share: a sandbox with its own state, the built binary, tools on a path of their own, HTTP
//! receivers, a proxy with load and a Prometheus on loopback. Nothing here decides what is right; the tests do.

pub mod prometheus;
pub mod proxy;
pub mod receiver;
pub mod sandbox;
