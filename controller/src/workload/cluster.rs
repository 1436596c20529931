//! Acts on the workload of a run: brings the canary up, makes the new version the workload, or puts the old one back.
//!
//! Everything may be done again: whoever takes a run over does not know what was done. What is not ours is changed field by
//! field, each change with the template that it is about as its precondition.

use std::sync::Arc;

use canary_traffic::kubernetes::Failure;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{canary, template};
use crate::engine::snapshot::Snapshot;
use crate::engine::world::World;
use crate::kinds::{Cluster, DEPLOYMENTS, SERVICES, set, test};
use crate::names::{self, ANNOTATION_TEMPLATE, LABEL_RELEASE, LABEL_RUN};

/// The workload of one run.
#[derive(Debug, Clone)]
pub struct Workload {
    cluster: Arc<Cluster>,
    snapshot: Arc<Snapshot>,
    world: watch::Receiver<World>,
    /// Where nothing pauses a Deployment in the request that changes its template, it is paused at rest.
    keep_paused: bool,
}

/// What became of the judged template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutBack {
    /// The Deployment has stable's template again.
    Restored,
    /// It belongs to that manager, which would write it again: it stays, paused.
    Left {
        /// Name of the field manager.
        manager: String,
    },
    /// Somebody has written another one meanwhile: it stays, paused.
    Newer,
    /// The Deployment is gone.
    Gone,
}

/// Field managers that write what is in Git, whatever anybody else writes.
const GIT: [&str; 6] = [
    "argocd",
    "argo-cd",
    "kustomize-controller",
    "helm-controller",
    "flux",
    "fleet",
];

impl Workload {
    /// Sends nothing.
    pub fn new(
        cluster: Arc<Cluster>,
        snapshot: Arc<Snapshot>,
        world: watch::Receiver<World>,
        keep_paused: bool,
    ) -> Self {
        Self {
            cluster,
            snapshot,
            world,
            keep_paused,
        }
    }

    fn target(&self) -> &str {
        &self.snapshot.spec.target.name
    }

    fn canary(&self) -> String {
        names::canary(self.target())
    }

    async fn deployment(&self) -> Result<Option<Value>, String> {
        self.cluster
            .find(&DEPLOYMENTS, self.target())
            .await
            .map_err(|failure| {
                format!("could not read the Deployment {}: {failure}", self.target())
            })
    }

    /// Has that many pods of the canary, and waits until they serve. Ends when they do; drop it to give up.
    pub async fn bring_up(&self, pods: u32) -> Result<(), String> {
        let target = self
            .deployment()
            .await?
            .ok_or_else(|| format!("there is no Deployment {}", self.target()))?;
        let stable = crate::plan::service(&self.snapshot.spec);
        let service = self
            .cluster
            .get(&SERVICES, stable)
            .await
            .map_err(|failure| format!("could not read the Service {stable}: {failure}"))?;
        let owner = self.snapshot.owner();
        let split = &self.snapshot.split;
        self.ensure_service(&canary::service(&service, split, &owner))
            .await?;
        let made = canary::deployment(
            &target,
            &self.snapshot.template,
            &self.snapshot.hash,
            split,
            &owner,
            pods,
        );
        let hash = template::hash(&made["spec"]["template"]);
        // What the API server fills in changes the fingerprint: what counts is the one that it gives back.
        let hash = match self.ensure_deployment(&made).await? {
            Some(object) => object
                .pointer("/spec/template")
                .map_or(hash, template::hash),
            None => hash,
        };
        let mut world = self.world.clone();
        let run = &self.snapshot.run;
        world
            .wait_for(|world| world.has_ready(run, &hash, pods))
            .await
            .map(drop)
            .map_err(|_| "this controller stops watching the run".to_owned())
    }

    async fn ensure_service(&self, service: &Value) -> Result<(), String> {
        let name = service["metadata"]["name"].as_str().unwrap_or_default();
        match self.cluster.create(&SERVICES, service).await {
            Ok(_) => Ok(()),
            Err(Failure::Conflict(_)) => {
                let there = self
                    .cluster
                    .get(&SERVICES, name)
                    .await
                    .map_err(|failure| failure.to_string())?;
                self.check_ours("Service", name, &there)?;
                let wanted = json!({"spec": {"selector": service["spec"]["selector"], "ports": service["spec"]["ports"]}});
                if there.pointer("/spec/selector") == service.pointer("/spec/selector") {
                    return Ok(());
                }
                self.cluster
                    .merge(&SERVICES, name, &wanted)
                    .await
                    .map(drop)
                    .map_err(|failure| format!("could not change the Service {name}: {failure}"))
            }
            Err(failure) => Err(format!("could not make the Service {name}: {failure}")),
        }
    }

    async fn ensure_deployment(&self, wanted: &Value) -> Result<Option<Value>, String> {
        let name = self.canary();
        match self.cluster.create(&DEPLOYMENTS, wanted).await {
            Ok(object) => return Ok(Some(object)),
            Err(Failure::Conflict(_)) => {}
            Err(failure) => return Err(format!("could not make the Deployment {name}: {failure}")),
        }
        let there = self
            .cluster
            .get(&DEPLOYMENTS, &name)
            .await
            .map_err(|failure| failure.to_string())?;
        self.check_ours("Deployment", &name, &there)?;
        let run = |object: &Value| {
            object
                .pointer("/spec/template/metadata/labels")
                .and_then(|labels| labels.get(LABEL_RUN))
                .cloned()
        };
        let mut operations = vec![set("/spec/replicas", wanted["spec"]["replicas"].clone())];
        if run(&there) != run(wanted) {
            // What an earlier run left.
            operations.push(set("/spec/template", wanted["spec"]["template"].clone()));
            let pointer = format!(
                "/metadata/annotations/{}",
                ANNOTATION_TEMPLATE.replace('/', "~1")
            );
            if there.pointer("/metadata/annotations").is_some() {
                operations.push(set(&pointer, self.snapshot.hash.clone()));
            }
        }
        self.cluster
            .patch(&DEPLOYMENTS, &name, &operations)
            .await
            .map(Some)
            .map_err(|failure| format!("could not change the Deployment {name}: {failure}"))
    }

    fn check_ours(&self, kind: &str, name: &str, object: &Value) -> Result<(), String> {
        let release = object
            .pointer("/metadata/labels")
            .and_then(|labels| labels.get(LABEL_RELEASE));
        if release.and_then(Value::as_str) == Some(&self.snapshot.release) {
            return Ok(());
        }
        Err(format!(
            "there is a {kind} {name} that is not ours (it has no label {LABEL_RELEASE}={}); rename or remove it, the canary needs its name",
            self.snapshot.release
        ))
    }

    /// Makes the judged version the workload: only that version, and waits until all pods are of it. The canary carries the
    /// load meanwhile.
    pub async fn commit(&self) -> Result<(), String> {
        let hash = &self.snapshot.hash;
        let target = self.target();
        let there = self
            .deployment()
            .await?
            .ok_or_else(|| format!("there is no Deployment {target}"))?;
        let now = there.pointer("/spec/template").cloned().unwrap_or_default();
        if template::hash(&now) != *hash {
            return Err(format!(
                "the template of the Deployment {target} is not the one that was judged any more: somebody changed it meanwhile; nothing was rolled out"
            ));
        }
        let operations = [test("/spec/template", now), set("/spec/paused", false)];
        self.cluster
            .patch(&DEPLOYMENTS, target, &operations)
            .await
            .map_err(|failure| {
                format!("could not let the Deployment {target} roll out: {failure}")
            })?;
        let mut world = self.world.clone();
        let seen = world
            .wait_for(|world| {
                world.rolled_out(hash)
                    || world.target.as_ref().is_none_or(|target| {
                        target.template != *hash || (!target.paused && target.stuck.is_some())
                    })
            })
            .await
            .map_err(|_| "this controller stops watching the run".to_owned())?
            .clone();
        if !seen.rolled_out(hash) {
            return Err(format!(
                "the Deployment {target} does not become the new version: {}",
                seen.progress()
            ));
        }
        if self.keep_paused {
            self.pause(true).await?;
        }
        Ok(())
    }

    async fn pause(&self, paused: bool) -> Result<(), String> {
        let target = self.target();
        self.cluster
            .patch(&DEPLOYMENTS, target, &[set("/spec/paused", paused)])
            .await
            .map(drop)
            .map_err(|failure| {
                format!("could not change spec.paused of the Deployment {target}: {failure}")
            })
    }

    /// Puts stable's template back, where the judged one is still there and nobody would write it again.
    pub async fn put_back(&self) -> Result<PutBack, String> {
        let target = self.target();
        for _ in 0..5 {
            let Some(there) = self.deployment().await? else {
                return Ok(PutBack::Gone);
            };
            let now = there.pointer("/spec/template").cloned().unwrap_or_default();
            let hash = template::hash(&now);
            let paused = there.pointer("/spec/paused") == Some(&json!(true));
            if hash == self.snapshot.stable_hash {
                if paused && !self.keep_paused {
                    // Nothing rolls out: it is what runs.
                    let operations = [test("/spec/template", now), set("/spec/paused", false)];
                    match self.cluster.patch(&DEPLOYMENTS, target, &operations).await {
                        Ok(_) => {}
                        Err(Failure::Invalid(_) | Failure::Conflict(_)) => continue,
                        Err(failure) => {
                            return Err(format!(
                                "could not un-pause the Deployment {target}: {failure}"
                            ));
                        }
                    }
                }
                return Ok(PutBack::Restored);
            }
            if hash != self.snapshot.hash {
                return Ok(PutBack::Newer);
            }
            if let (Some(manager), true) = (git_manager(&there), paused) {
                return Ok(PutBack::Left { manager });
            }
            let operations = [
                test("/spec/template", now),
                set("/spec/template", self.snapshot.stable_template.clone()),
            ];
            match self.cluster.patch(&DEPLOYMENTS, target, &operations).await {
                Ok(_) | Err(Failure::Invalid(_) | Failure::Conflict(_)) => {}
                Err(failure) => {
                    return Err(format!(
                        "could not put the old template of the Deployment {target} back: {failure}"
                    ));
                }
            }
        }
        Err(format!("the Deployment {target} changes all the time"))
    }

    /// Removes the canary.
    pub async fn tear_down(&self) -> Result<(), String> {
        for (kind, name) in [
            (&DEPLOYMENTS, self.canary()),
            (
                &SERVICES,
                names::canary(crate::plan::service(&self.snapshot.spec)),
            ),
        ] {
            let there = self
                .cluster
                .find(kind, &name)
                .await
                .map_err(|failure| failure.to_string())?;
            if let Some(there) = there
                && self.check_ours(kind.kind, &name, &there).is_ok()
            {
                self.cluster.delete(kind, &name).await.map_err(|failure| {
                    format!("could not remove {} {name}: {failure}", kind.kind)
                })?;
            }
        }
        Ok(())
    }
}

/// Who wrote the template and would write it again, because Git has it.
fn git_manager(deployment: &Value) -> Option<String> {
    let managers = deployment.pointer("/metadata/managedFields")?.as_array()?;
    managers
        .iter()
        .filter(|entry| entry.pointer("/fieldsV1/f:spec/f:template").is_some())
        .filter_map(|entry| entry.get("manager")?.as_str())
        .find(|manager| {
            let manager = manager.to_ascii_lowercase();
            GIT.iter().any(|known| manager.contains(known))
        })
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_would_write_it_again() {
        let fields = json!({"f:spec": {"f:template": {}}});
        let object = |manager: &str| json!({"metadata": {"managedFields": [{"manager": manager, "fieldsV1": fields}]}});
        assert_eq!(
            git_manager(&object("argocd-controller")).as_deref(),
            Some("argocd-controller")
        );
        assert_eq!(git_manager(&object("kubectl-set")), None);
        assert_eq!(git_manager(&json!({"metadata": {}})), None);
    }
}
