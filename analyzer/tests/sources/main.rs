//! The sources against real servers: a Prometheus of our own, and servers that misbehave.
#![cfg(test)]

mod misbehaving;
mod prometheus;
mod support;
mod tls;
