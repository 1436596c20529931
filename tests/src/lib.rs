//! What whole-program tests share: a sandbox with its own state, the built binary, tools on a path of their own, HTTP
//! receivers, a proxy with load, a Prometheus on loopback and a Kubernetes cluster. Nothing here decides what is right; the tests do.

pub mod cluster;
pub mod prometheus;
pub mod proxy;
pub mod receiver;
pub mod sandbox;
