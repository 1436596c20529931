//! Releases in a Kubernetes cluster: the objects that say what is wanted, what acts on them, and how people reach them.
//!
//! [`api`] is the objects. [`watch`] tells what changes in the cluster, [`lease`] who may write, [`engine`] carries releases
//! out, [`workload`] is what they are about; [`controller`] puts them together. [`client`] and [`install`] are for people.

pub mod api;
pub mod client;
pub mod controller;
pub mod engine;
pub mod install;
pub mod kinds;
pub mod lease;
pub mod names;
pub mod plan;
mod serve;
pub mod watch;
pub mod workload;
