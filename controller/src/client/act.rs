//! Asking something of a release, and seeing what came of it.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PostParams;
use kube::{Api, Resource as _, ResourceExt as _};

use super::connect::{Cluster, bounded, states};
use super::error::ClientError;
use crate::api::{Action, Release, ReleaseAction, ReleaseActionSpec, ReleasePhase};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What for.
    pub verb: Action,
    /// promote: straight to 100 %.
    pub full: bool,
    /// promote, abort: one approval only.
    pub node: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The controller's answer.
    Answered(String),
    /// Answered, and the canary has no traffic any more.
    TrafficOff(String),
    /// Nobody answered in time: no controller looks after this release.
    NoAnswer,
}

impl Cluster {
    /// Puts it down; the name of the ReleaseAction that was made.
    ///
    /// # Errors
    /// If the API server refuses it, with the words of the policy that did.
    pub async fn ask(&self, release: &Release, ask: &Ask) -> Result<String, ClientError> {
        let name = release.name_any();
        let user = self.whoami().await?;
        let spec = ReleaseActionSpec {
            release: name.clone(),
            release_uid: release.uid().unwrap_or_default(),
            run: release
                .status
                .as_ref()
                .and_then(|status| status.run.clone()),
            verb: ask.verb,
            full: ask.full.then_some(true),
            node: ask.node.clone(),
            reason: ask.reason.clone(),
            user,
        };
        let letters: String = std::iter::repeat_with(fastrand::lowercase)
            .take(6)
            .collect();
        let mut action = ReleaseAction::new(&format!("{name}-{}-{letters}", ask.verb.word()), spec);
        // It goes when the Release goes.
        action.metadata.owner_references = Some(vec![OwnerReference {
            api_version: Release::api_version(&()).into_owned(),
            kind: Release::kind(&()).into_owned(),
            name,
            uid: release.uid().unwrap_or_default(),
            ..OwnerReference::default()
        }]);
        let actions: Api<ReleaseAction> = Api::namespaced(self.client.clone(), self.namespace());
        let made = bounded(actions.create(&PostParams::default(), &action)).await?;
        made.map(|made| made.name_any()).map_err(ClientError::of)
    }

    /// Waits for the answer to it, and after an abort until the canary has no traffic.
    pub async fn answer(
        &self,
        release: &str,
        action: &str,
        verb: Action,
        patience: Duration,
    ) -> Result<Asked, ClientError> {
        let changes = self.watch(false, Some(release), None);
        let mut states = pin!(states(changes));
        let waited = tokio::time::timeout(patience, async {
            while let Some(state) = states.next().await {
                if let Some(asked) = came_of(&state?, action, verb) {
                    return Ok(Some(asked));
                }
            }
            Ok(None)
        });
        match waited.await {
            Ok(Ok(Some(asked))) => Ok(asked),
            Ok(Err(error)) => Err(error),
            Ok(Ok(None)) | Err(_) => Ok(Asked::NoAnswer),
        }
    }
}

fn came_of(release: &Release, action: &str, verb: Action) -> Option<Asked> {
    let status = release.status.as_ref()?;
    let answer = status
        .answers
        .iter()
        .find(|answer| answer.action.as_deref() == Some(action))?;
    let text = answer.text.clone();
    if verb != Action::Abort {
        return Some(Asked::Answered(text));
    }
    let going_back = matches!(
        status.phase,
        Some(ReleasePhase::RollingBack | ReleasePhase::Aborted)
    );
    match status.weight {
        Some(0) | None => Some(Asked::TrafficOff(text)),
        // Refused, or not about traffic: nothing will change.
        Some(_) if !going_back => Some(Asked::Answered(text)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(phase: &str, weight: i32, answered: bool) -> Release {
        let answers = if answered {
            "[{action: a-1, by: mia, verb: abort, text: taking traffic off}]"
        } else {
            "[]"
        };
        serde_saphyr::from_str(&format!(
            "{{apiVersion: canary.internal/v1alpha1, kind: Release, metadata: {{name: a}},
              spec: {{target: {{name: a}}, traffic: {{router: replicas}}, strategy: {{steps: [{{weight: 100}}]}}}},
              status: {{phase: {phase}, weight: {weight}, answers: {answers}}}}}"
        ))
        .expect("a Release")
    }

    #[test]
    fn an_abort_is_waited_for_until_the_traffic_is_off() {
        let came = |release: &Release| came_of(release, "a-1", Action::Abort);
        assert_eq!(came(&release("Progressing", 10, false)), None);
        assert_eq!(came(&release("RollingBack", 10, true)), None);
        let text = || "taking traffic off".to_owned();
        assert_eq!(
            came(&release("RollingBack", 0, true)),
            Some(Asked::TrafficOff(text()))
        );
        assert_eq!(
            came(&release("Promoted", 100, true)),
            Some(Asked::Answered(text()))
        );
    }
}
