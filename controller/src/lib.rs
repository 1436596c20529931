//! Releases in a Kubernetes cluster: the objects that say what is wanted, and what acts on them.

pub mod api;
