//! Releases in a Kubernetes cluster: the objects that say what is wanted, what acts on them, and how people reach them.

pub mod api;
pub mod client;
pub mod install;
