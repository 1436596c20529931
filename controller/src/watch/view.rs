//! What is kept of what is watched.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::api::{Action, Release, ReleaseAction, ReleaseSpec, ReleaseStatus};
use crate::names::FINALIZER;
use crate::workload::health::Counts;

/// Namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    pub(super) fn of(namespace: Option<&String>, name: Option<&String>) -> Self {
        Self {
            namespace: namespace.cloned().unwrap_or_default(),
            name: name.cloned().unwrap_or_default(),
        }
    }

    /// Another name in the same namespace.
    #[must_use]
    pub fn beside(&self, name: &str) -> Self {
        Self {
            namespace: self.namespace.clone(),
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A Release, as far as decisions to begin something need it.
#[derive(Debug, Clone)]
pub struct ReleaseView {
    /// Which.
    pub key: Key,
    /// Its UID.
    pub uid: String,
    /// Generation of the spec.
    pub generation: i64,
    /// What is wanted.
    pub spec: Arc<ReleaseSpec>,
    /// Somebody deletes it.
    pub going: bool,
    /// We are asked before it goes.
    pub guarded: bool,
    /// Who took it over how often.
    pub epoch: i64,
    /// The run that is going on, or whose end is not tidied up yet.
    pub snapshot: Option<String>,
    /// Fingerprint of what stable runs.
    pub stable: Option<String>,
    /// Fingerprint of a template that is not judged again until it changes.
    pub rejected: Option<String>,
    /// Generation that the status speaks of.
    pub observed: Option<i64>,
    /// The last or current run.
    pub run: Option<String>,
    /// When it started.
    pub started: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Actions that were taken in.
    pub handled: Vec<String>,
}

impl From<Release> for ReleaseView {
    fn from(release: Release) -> Self {
        let ReleaseStatus {
            epoch,
            snapshot,
            stable,
            rejected,
            observed_generation,
            run,
            started_at,
            outcome,
            handled,
            ..
        } = release.status.clone().unwrap_or_default();
        Self {
            key: Key::of(
                release.metadata.namespace.as_ref(),
                release.metadata.name.as_ref(),
            ),
            uid: release.uid().unwrap_or_default(),
            generation: release.metadata.generation.unwrap_or_default(),
            going: release.metadata.deletion_timestamp.is_some(),
            guarded: release.finalizers().iter().any(|one| one == FINALIZER),
            epoch: epoch.unwrap_or_default(),
            snapshot,
            stable,
            rejected,
            observed: observed_generation,
            started: started_at,
            run,
            outcome,
            handled,
            spec: Arc::new(release.spec),
        }
    }
}

/// What somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionView {
    /// Name of the object.
    pub name: String,
    /// The Release.
    pub release: Key,
    /// Its UID.
    pub release_uid: String,
    /// The run that is meant.
    pub run: Option<String>,
    /// What.
    pub verb: Action,
    /// Straight to 100 %.
    pub full: bool,
    /// One approval.
    pub node: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Who.
    pub user: String,
    /// When it was made.
    pub at: Option<Timestamp>,
}

impl From<ReleaseAction> for ActionView {
    fn from(action: ReleaseAction) -> Self {
        let spec = action.spec;
        Self {
            name: action.metadata.name.clone().unwrap_or_default(),
            release: Key {
                namespace: action.metadata.namespace.clone().unwrap_or_default(),
                name: spec.release,
            },
            release_uid: spec.release_uid,
            run: spec.run,
            verb: spec.verb,
            full: spec.full.unwrap_or_default(),
            node: spec.node,
            reason: spec.reason,
            user: spec.user,
            at: action.metadata.creation_timestamp.map(|time| time.0),
        }
    }
}

/// A Deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentView {
    /// Which.
    pub key: Key,
    /// The release that it is the canary of.
    pub release: Option<String>,
    /// The admission policy watches over it.
    pub managed: bool,
    /// It is paused.
    pub paused: bool,
    /// Fingerprint of its template.
    pub template: String,
    /// Its own progress deadline has passed: its words.
    pub stuck: Option<String>,
    /// Its pods.
    pub counts: Counts,
}
