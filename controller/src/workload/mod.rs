//! What a release is about: a Deployment, its canary, and how it becomes the new version or is put back. All pure but
//! [`cluster`], which sends.

pub mod canary;
pub mod cluster;
pub mod health;
pub mod scale;
pub mod template;
