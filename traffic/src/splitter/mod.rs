//! A reverse proxy for HTTP/1.1 and HTTP/2 that splits requests between two versions of a service by weight.
//!
//! It works on one machine without a cluster: `canary proxy`, the demo and the tests run it. Requests and answers are
//! streamed; connections to the versions are kept and used again; the weight is one atomic word, so that setting it
//! costs no request. What a client meets while a version fails is part of the evidence: an answer that the proxy had to
//! give itself, and one that broke off, count as 5xx of that version.

mod admin;
mod body;
mod choose;
mod counted;
mod forward;
mod headers;
mod metrics;
mod options;
mod patience;
mod record;
mod sequence;
mod serve;
mod shared;
mod socket;
mod upstream;

pub(crate) use admin::{Problem, SetWeight};
pub use choose::Arm;
pub use hyper::Uri;
pub use options::{SplitterError, SplitterOptions, Sticky};
pub use serve::Splitter;
pub use shared::{LastError, SplitterHandle, SplitterState};
