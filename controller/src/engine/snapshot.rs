//! What a run was begun with, in a ControllerRevision: nobody can change it, so that a Release that is edited, a Profile that
//! is replaced or a controller that restarts changes nothing about a run that goes on.

use std::time::Duration;

use canary_orchestrator::plan::Plan;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::ReleaseSpec;
use crate::names::LABEL_RELEASE;
use crate::plan::{self, Prepared};
use crate::workload::canary::{Owner, Split, owner_reference};
use crate::workload::scale::{self, Size};

/// What a run was begun with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Name of the run.
    pub run: String,
    /// Name of the Release.
    pub release: String,
    /// Its UID.
    pub uid: String,
    /// Its spec.
    pub spec: ReleaseSpec,
    /// What its plan is compiled from.
    pub prepared: Prepared,
    /// Pods of stable when the run began.
    pub stable_pods: u32,
    /// The template that is judged.
    pub template: Value,
    /// Its fingerprint.
    pub hash: String,
    /// The template that stable runs.
    pub stable_template: Value,
    /// Its fingerprint.
    pub stable_hash: String,
    /// What tells the canary's pods from stable's.
    pub split: Split,
}

impl Snapshot {
    /// As an object.
    pub fn object(&self, epoch: i64) -> Value {
        json!({
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {
                "name": self.run,
                "labels": {
                    canary_traffic::kubernetes::LABEL_MANAGED_BY: canary_traffic::kubernetes::MANAGED_BY,
                    LABEL_RELEASE: self.release,
                },
                "ownerReferences": [owner_reference(&self.owner())],
            },
            "revision": epoch,
            "data": self,
        })
    }

    /// From an object.
    pub fn read(object: &Value) -> Result<Self, String> {
        let data = object.get("data").cloned().unwrap_or_default();
        serde_json::from_value(data).map_err(|error| error.to_string())
    }

    /// Whose it is.
    pub fn owner(&self) -> Owner<'_> {
        Owner {
            release: &self.release,
            uid: &self.uid,
            run: &self.run,
        }
    }

    /// The plan, with the nodes that bring the canary's pods up; the same one every time.
    pub fn plan(&self) -> Result<Plan, String> {
        let mut plan = plan::plan(&self.prepared)?;
        scale::insert(&mut plan, self.size(), self.stable_pods, self.deadline());
        Ok(plan)
    }

    /// How many pods the canary has.
    pub fn size(&self) -> Size {
        let canary = self.spec.canary.clone().unwrap_or_default();
        match (canary.replicas, canary.percent) {
            (Some(replicas), _) => Size::Replicas(u32::try_from(replicas).unwrap_or(1)),
            (None, Some(percent)) => Size::Percent(u32::try_from(percent).unwrap_or(100)),
            (None, None) => Size::MatchWeight,
        }
    }

    /// How long pods may take until they serve.
    pub fn deadline(&self) -> Duration {
        self.spec
            .progress_deadline
            .as_deref()
            .and_then(|text| canary_analyzer::duration::parse(text).ok())
            .unwrap_or(Duration::from_mins(10))
    }
}
