//! OSOP files: reading them, their schema, and canary's settings in them.
//!
//! [`parse`] turns text into a [`model::Workflow`] and tells all problems of the file at once. What the workflow means
//! (conditions, joins, cycles) is decided where a plan is made from it.

pub mod model;
pub mod runtime;
pub mod settings;
pub mod tree;
pub mod word;
