//! What somebody asked of a release.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::NAME;

/// One thing that one person asked of one release, once. Kept as long as the release is: who, what, when and why.
///
/// Nobody may change it, so that it can be believed; that `user` is who created it, and that they may do this, is checked
/// by an admission policy. An action for another run than the current one, or for another Release of the same name, is
/// stale: it is ignored, and the status of the release says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "canary.internal",
    version = "v1alpha1",
    kind = "ReleaseAction",
    plural = "releaseactions",
    shortname = "relaction",
    category = "canary",
    namespaced,
    derive = "PartialEq",
    doc = "One thing that one person asked of one release. Create-only; the answer is in the status of the Release.",
    selectable = ".spec.release",
    printcolumn(name = "Release", type_ = "string", json_path = ".spec.release"),
    printcolumn(name = "Verb", type_ = "string", json_path = ".spec.verb"),
    printcolumn(name = "User", type_ = "string", json_path = ".spec.user"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = ("self == oldSelf", "a ReleaseAction cannot be changed: create another one"),
    validation = ("!has(self.full) || self.verb == 'promote'", "full belongs to verb promote"),
    validation = ("!has(self.node) || self.verb in ['promote', 'abort']", "node belongs to verbs promote and abort: it answers an approval"),
    validation = ("!(has(self.full) && has(self.node))", "full and node exclude each other"),
)]
pub struct ReleaseActionSpec {
    /// Name of the Release.
    #[schemars(length(min = 1, max = 52), regex(pattern = NAME))]
    pub release: String,
    /// Its UID, so that a Release of the same name that is made later is not meant.
    #[schemars(length(min = 36, max = 36))]
    pub release_uid: String,
    /// The run that is meant. Default: the one that is current when the action is seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = NAME))]
    pub run: Option<String>,
    /// What is asked for.
    pub verb: Action,
    /// promote: straight to 100 %, without the remaining checks; gates stay watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<bool>,
    /// promote, abort: agree to, or refuse, the approval of this node only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub node: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
    /// Who asks: the name that the API server knows the requester by.
    #[schemars(length(min = 1, max = 512))]
    pub user: String,
}

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Go on: past a pause, a blocked check, a soak, an approval.
    Promote,
    /// Take traffic off and go back.
    Abort,
    /// Take no further step.
    Pause,
    /// Go on after a pause.
    Resume,
    /// Try the blocked check again; after an end, judge the same version again.
    Retry,
}

impl Action {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Abort => "abort",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Retry => "retry",
        }
    }

    /// The right on `releases` that it takes: what can only hold or take traffic off needs `abort`, what can let it rise `promote`.
    pub fn right(self) -> &'static str {
        match self {
            Self::Promote | Self::Resume | Self::Retry => "promote",
            Self::Abort | Self::Pause => "abort",
        }
    }
}
