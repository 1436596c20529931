//! OSOP files: reading them, their schema, and canary's settings in them.
//!
//! [`parse`] turns text into a [`model::Workflow`] and tells all problems of the file at once. What the workflow means
//! (conditions, joins, cycles) is decided where a plan is made from it.

mod approval;
mod build;
mod cast;
mod descriptive;
mod edge;
mod known_runtime;
pub(crate) mod load;
pub mod model;
mod node;
pub mod object;
pub(crate) mod reader;
pub mod runtime;
mod scalar;
mod scan_error;
pub mod settings;
pub mod tree;
pub mod word;
mod workflow;

pub use load::{MAX_DEPTH, MAX_FILE_BYTES, MAX_VALUES, source_from_bytes};

use std::sync::Arc;

use crate::diagnostic::{Diagnostics, Origin, SourceFile};
use model::Workflow;

/// Reads a workflow: YAML or JSON, at most [`MAX_FILE_BYTES`]. A Release ([`object`]) is one, too.
///
/// A workflow may come with errors: it is then what could be read, without the nodes and edges that could not, and is
/// good for finding further problems, never for running. Without one, nothing could be read.
pub fn parse(file: SourceFile) -> (Option<Workflow>, Diagnostics) {
    let file = Arc::new(file);
    let mut diagnostics = Diagnostics::new(Arc::clone(&file));
    let workflow = load::load(&file, Origin::Workflow, &mut diagnostics)
        .and_then(|root| match object::kind(&root) {
            Some(object::ObjectKind::Release) => {
                object::workflow_tree(&root, None, &mut diagnostics)
            }
            Some(_) | None => Some(root),
        })
        .and_then(|root| workflow::read_workflow(&file, &root, &mut diagnostics));
    (workflow, diagnostics)
}

#[cfg(test)]
#[expect(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "texts of tests are made once"
)]
mod tests;
#[cfg(test)]
#[expect(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "texts of tests are made once"
)]
mod tests_hostile;
#[cfg(test)]
mod tests_properties;
