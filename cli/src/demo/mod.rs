//! `canary demo`: two versions of a small service, their users, the splitter and a release, all in one process.

mod load;
mod service;
pub(crate) mod story;
mod world;

pub(crate) use world::{World, faster};
