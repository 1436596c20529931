//! What whole-program tests share: a sandbox with its own state, the built binary, tools on a path of their own, and HTTP
//! receivers on loopback. Nothing here decides what is right; the tests do.

pub mod receiver;
pub mod sandbox;
