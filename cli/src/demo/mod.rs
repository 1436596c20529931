//! `canary demo`: two versions of a small service, their users, the splitter and a release, all in one process.

pub(crate) mod load;
pub(crate) mod service;
pub(crate) mod story;
