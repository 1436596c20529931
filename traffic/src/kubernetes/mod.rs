//! Routers that live in a Kubernetes cluster, and the little that they share.
//!
//! Objects that belong to somebody else are changed field by field with a JSON Patch whose `test`s say what we are about
//! to change, and put back at the end; what we noted to put them back stands in an annotation of ours on them. Objects
//! that we make carry [`LABEL_MANAGED_BY`] and are found by it, whichever run made them.
//!
//! `api` is the one way to the API server; `object`, `fields`, `weighted` and the `plan` of each router are pure.

mod api;
mod fields;
mod object;
mod patch;
mod patched;
mod weighted;

pub mod alb;
pub mod argo;
pub mod gateway;
pub mod istio;
pub mod nginx;
pub mod replicas;

pub use api::{Access, Api, Failure, Patience, Resource, Served};
pub use fields::Writer;
pub use object::Unfit;
pub use patch::PatchOperation;
pub use patched::{Patched, Reading, RouteKind, Wanted};
pub use weighted::Match;

/// Who we are in `managedFields`.
pub const FIELD_MANAGER: &str = "canary";

/// Label of every object that we make.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Its value.
pub const MANAGED_BY: &str = "canary";

/// Annotation: which run, or which person, wrote to this object last.
pub const ANNOTATION_BY: &str = "canary.internal/by";

/// Annotation on an object of somebody else: what it takes to put it back.
pub const ANNOTATION_BEFORE: &str = "canary.internal/before";

/// Annotation: the weight that was asked for, where the object itself holds only what it was rounded to.
pub const ANNOTATION_WEIGHT: &str = "canary.internal/weight";
