//! Before a run: what the Release names is found, understood and looked at; then the run is begun, in one write.

use std::collections::BTreeMap;

use canary_orchestrator::machine::State;
use canary_orchestrator::plan::{Action, Plan};
use canary_traffic::kubernetes::Failure;
use canary_traffic::{RouterErrorKind, Weight};
use jiff::Timestamp;
use kube::Api;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::context::Context;
use super::keeper::take_over;
use super::snapshot::Snapshot;
use crate::api::{
    CONDITION_REJECTED, Named, NamedProfile, NamedSource, ProfileKind, Release, ReleasePhase,
    ReleaseStatus, RouterName, SourceKind, prepare, source_reference, workflow_config_map,
};
use crate::kinds::{
    CONFIG_MAPS, Cluster, DEPLOYMENTS, PROFILES, RELEASES, REPLICA_SETS, SECRETS, SERVICES,
    SOURCES, set, test,
};
use crate::names::{self, FINALIZER, LABEL_MANAGED};
use crate::plan::{Prepared, SecretPlace, service};
use crate::watch::ReleaseView;
use crate::workload::{canary, template};

/// Why nothing was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotYet {
    /// Something is wrong that stays wrong until somebody changes it: reason and message.
    Wrong(&'static str, String),
    /// The cluster did not answer: it is tried again.
    Later(String),
}

impl From<Failure> for NotYet {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotFound(_) | Failure::Forbidden(_) | Failure::NotServed { .. } => {
                Self::Wrong("NotFound", failure.to_string())
            }
            failure => Self::Later(failure.to_string()),
        }
    }
}

/// What a look at the target led to.
#[derive(Debug)]
pub(super) enum Begun {
    /// There is nothing new: stable runs this.
    AtRest {
        /// Fingerprint of stable's template.
        stable: String,
    },
    /// A run was begun.
    Run {
        /// What it was begun with.
        snapshot: Box<Snapshot>,
        /// Its plan.
        plan: Box<Plan>,
        /// The status with the new epoch.
        status: Box<ReleaseStatus>,
    },
    /// Another controller was faster, or the world is another one meanwhile: the watch says what to do.
    Overtaken,
}

/// Looks at the target and begins a run where it has a new template.
pub(super) async fn begin(
    context: &Context,
    cluster: &Cluster,
    view: &ReleaseView,
) -> Result<Begun, NotYet> {
    let spec = &view.spec;
    if matches!(spec.traffic.router, RouterName::Argo | RouterName::Replicas) {
        let why = "the controller drives the routers gateway-api, istio, nginx and alb; use `canary run` for a Rollout or for plain replica counts";
        return Err(NotYet::Wrong("RouterNotDriven", why.to_owned()));
    }
    let target = &spec.target.name;
    let deployment = cluster.get(&DEPLOYMENTS, target).await?;
    adopt(cluster, view, &deployment).await?;
    let now = deployment
        .pointer("/spec/template")
        .cloned()
        .unwrap_or_default();
    let hash = template::hash(&now);
    let Some((stable_template, stable_pods)) = stable(cluster, &deployment, &hash).await? else {
        // Nothing runs that could be protected.
        return at_rest(context, cluster, target, &deployment, hash).await;
    };
    let stable_hash = template::hash(&stable_template);
    if stable_hash == hash {
        return at_rest(context, cluster, target, &deployment, hash).await;
    }
    if deployment.pointer("/spec/paused") != Some(&Value::Bool(true)) {
        let operations = [
            test("/spec/template", now.clone()),
            set("/spec/paused", true),
        ];
        match cluster.patch(&DEPLOYMENTS, target, &operations).await {
            Ok(_) => tracing::warn!(
                target,
                "a new template was not paused by admission; it is now"
            ),
            Err(Failure::Invalid(_) | Failure::Conflict(_)) => return Ok(Begun::Overtaken),
            Err(failure) => return Err(failure.into()),
        }
    }
    let stable_service = cluster.get(&SERVICES, service(spec)).await?;
    let split = canary::split(&stable_service, &deployment)
        .map_err(|unfit| NotYet::Wrong("NotSplittable", unfit.to_string()))?;
    let release: Release = read(
        cluster.get(&RELEASES, &view.key.name).await?,
        "Release",
        &view.key.name,
    )?;
    let named = named(cluster, &release).await?;
    let made = prepare(&release, &named)
        .map_err(|error| NotYet::Wrong(error.reason(), error.to_string()))?;
    let prepared = Prepared::new(
        made,
        address(&named),
        cluster.namespace(),
        &context.namespace,
    );
    let epoch = view.epoch + 1;
    let snapshot = Snapshot {
        run: names::run(&view.key.name, &hash, epoch),
        release: view.key.name.clone(),
        uid: view.uid.clone(),
        spec: (**spec).clone(),
        prepared,
        stable_pods,
        template: now,
        hash,
        stable_template,
        stable_hash,
        split,
    };
    let plan = snapshot
        .plan()
        .map_err(|why| NotYet::Wrong("Invalid", why))?;
    State::new(&plan)
        .checkpoint(&plan)
        .map_err(|error| NotYet::Wrong("Invalid", error.to_string()))?;
    // Secrets that are missing are said now, not at the first measurement.
    secrets(cluster, &snapshot.prepared).await?;
    preflight(context, cluster, &snapshot, &plan).await?;
    match cluster
        .create(&crate::kinds::REVISIONS, &snapshot.object(epoch))
        .await
    {
        // A run of that name was begun and not recorded: its snapshot says the same.
        Ok(_) => {}
        Err(Failure::Conflict(_)) => {
            cluster
                .delete(&crate::kinds::REVISIONS, &snapshot.run)
                .await?;
            return Err(NotYet::Later(
                "an earlier try left its snapshot behind".to_owned(),
            ));
        }
        Err(failure) => return Err(failure.into()),
    }
    let release = cluster.get(&RELEASES, &view.key.name).await?;
    if release.pointer("/status/snapshot").is_some() {
        // A run is going on already.
        cluster
            .delete(&crate::kinds::REVISIONS, &snapshot.run)
            .await?;
        return Ok(Begun::Overtaken);
    }
    let (run, generation) = (snapshot.run.clone(), view.generation);
    let status = take_over(cluster, &release, &context.identity, |status| {
        fresh(
            status,
            &run,
            &snapshot.stable_hash,
            generation,
            context.clock.now(),
        );
    })
    .await?;
    Ok(match status {
        Some(status) => Begun::Run {
            snapshot: Box::new(snapshot),
            plan: Box::new(plan),
            status: Box::new(status),
        },
        None => {
            cluster
                .delete(&crate::kinds::REVISIONS, &snapshot.run)
                .await?;
            Begun::Overtaken
        }
    })
}

/// The status of a run that has just been begun.
fn fresh(status: &mut ReleaseStatus, run: &str, stable: &str, generation: i64, now: Timestamp) {
    *status = ReleaseStatus {
        epoch: status.epoch,
        holder: status.holder.clone(),
        observed_generation: Some(generation),
        phase: Some(ReleasePhase::Progressing),
        run: Some(run.to_owned()),
        snapshot: Some(run.to_owned()),
        stable: Some(stable.to_owned()),
        weight: Some(0),
        desired_weight: Some(0),
        why: Some("a new version is about to be judged".to_owned()),
        handled: std::mem::take(&mut status.handled),
        history: std::mem::take(&mut status.history),
        conditions: std::mem::take(&mut status.conditions),
        ..ReleaseStatus::default()
    };
    status.ready(Ok(()), now);
    status.judge_conditions(now);
    status
        .conditions
        .retain(|one| one.type_ != CONDITION_REJECTED);
}

/// The marks that we need on what is released: that we are asked before the Release goes, and that admission pauses the target.
async fn adopt(cluster: &Cluster, view: &ReleaseView, deployment: &Value) -> Result<(), NotYet> {
    if !view.guarded {
        let release = cluster.get(&RELEASES, &view.key.name).await?;
        let mut finalizers: Vec<Value> = release
            .pointer("/metadata/finalizers")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        if !finalizers.iter().any(|one| one == FINALIZER) {
            finalizers.push(FINALIZER.into());
            let operations = [
                crate::kinds::unchanged(&release),
                set("/metadata/finalizers", finalizers),
            ];
            match cluster.patch(&RELEASES, &view.key.name, &operations).await {
                Ok(_) => {}
                Err(Failure::Invalid(why)) => return Err(NotYet::Later(why)),
                Err(failure) => return Err(failure.into()),
            }
        }
    }
    let labels = deployment.pointer("/metadata/labels");
    if labels
        .and_then(|labels| labels.get(LABEL_MANAGED))
        .is_none()
    {
        let patch = serde_json::json!({"metadata": {"labels": {LABEL_MANAGED: "true"}}});
        cluster
            .merge(&DEPLOYMENTS, &view.spec.target.name, &patch)
            .await?;
    }
    Ok(())
}

/// Nothing new: the Deployment is un-paused where it need not be paused, or paused where it must be.
async fn at_rest(
    context: &Context,
    cluster: &Cluster,
    target: &str,
    deployment: &Value,
    stable: String,
) -> Result<Begun, NotYet> {
    let paused = deployment.pointer("/spec/paused") == Some(&Value::Bool(true));
    if paused != context.keep_paused {
        let now = deployment.pointer("/spec/template").cloned();
        let operations = [
            test("/spec/template", now.unwrap_or_default()),
            set("/spec/paused", context.keep_paused),
        ];
        match cluster.patch(&DEPLOYMENTS, target, &operations).await {
            Ok(_) => {}
            Err(Failure::Invalid(_) | Failure::Conflict(_)) => return Ok(Begun::Overtaken),
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(Begun::AtRest { stable })
}

/// The template that the Deployment's pods run, and how many there are: of its ReplicaSets with pods, the newest that is not
/// of the new template. `None`: there are no pods.
async fn stable(
    cluster: &Cluster,
    deployment: &Value,
    new: &str,
) -> Result<Option<(Value, u32)>, NotYet> {
    let selector = deployment
        .pointer("/spec/selector/matchLabels")
        .and_then(Value::as_object)
        .map(|labels| {
            labels
                .iter()
                .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
                .collect::<Vec<_>>()
                .join(",")
        })
        .unwrap_or_default();
    let uid = deployment.pointer("/metadata/uid");
    let sets = cluster.list(&REPLICA_SETS, &selector).await?;
    let mut owned: Vec<(u64, u32, Value)> = sets
        .iter()
        .filter(|set| {
            let owners = set
                .pointer("/metadata/ownerReferences")
                .and_then(Value::as_array);
            owners.is_some_and(|owners| owners.iter().any(|owner| owner.get("uid") == uid))
        })
        .filter_map(|set| {
            let pods = u32::try_from(set.pointer("/spec/replicas")?.as_u64()?).ok()?;
            let revision = set
                .pointer("/metadata/annotations")?
                .get("deployment.kubernetes.io/revision")?
                .as_str()?
                .parse()
                .ok()?;
            (pods > 0).then_some((revision, pods, template::of_replica_set(set)?))
        })
        .collect();
    owned.sort_by_key(|(revision, _, _)| *revision);
    let wanted = deployment
        .pointer("/spec/replicas")
        .and_then(Value::as_u64)
        .and_then(|pods| u32::try_from(pods).ok())
        .unwrap_or(1);
    let old = owned
        .iter()
        .rev()
        .find(|(_, _, template)| template::hash(template) != new)
        .or(owned.last());
    Ok(old.map(|(_, pods, template)| (template.clone(), wanted.max(*pods).max(1))))
}

/// What the Release names.
async fn named(cluster: &Cluster, release: &Release) -> Result<Named, NotYet> {
    let spec = &release.spec;
    let profile = match &spec.profile {
        None => None,
        Some(profile) => Some(match profile.kind {
            ProfileKind::Profile => NamedProfile::Namespaced(Box::new(read(
                cluster.get(&PROFILES, &profile.name).await?,
                "Profile",
                &profile.name,
            )?)),
            ProfileKind::ClusterProfile => {
                NamedProfile::Cluster(Box::new(cluster_wide(cluster, &profile.name).await?))
            }
        }),
    };
    let source = match source_reference(release, profile.as_ref()) {
        None => None,
        Some(source) => Some(match source.kind {
            SourceKind::Source => NamedSource::Namespaced(Box::new(read(
                cluster.get(&SOURCES, &source.name).await?,
                "Source",
                &source.name,
            )?)),
            SourceKind::ClusterSource => {
                NamedSource::Cluster(Box::new(cluster_wide(cluster, &source.name).await?))
            }
        }),
    };
    let workflow = match workflow_config_map(release) {
        None => None,
        Some(place) => {
            let map = cluster.get(&CONFIG_MAPS, &place.name).await?;
            map.pointer("/data")
                .and_then(|data| data.get(&place.key)?.as_str())
                .map(str::to_owned)
        }
    };
    Ok(Named {
        profile,
        source,
        workflow,
    })
}

fn address(named: &Named) -> Option<String> {
    named.source.as_ref().map(|source| match source {
        NamedSource::Namespaced(source) => source.spec.prometheus.url.clone(),
        NamedSource::Cluster(source) => source.spec.prometheus.url.clone(),
    })
}

fn read<T: DeserializeOwned>(object: Value, kind: &str, name: &str) -> Result<T, NotYet> {
    serde_json::from_value(object).map_err(|error| {
        NotYet::Wrong(
            "NotUnderstood",
            format!("the {kind} {name} cannot be read: {error}"),
        )
    })
}

async fn cluster_wide<K>(cluster: &Cluster, name: &str) -> Result<K, NotYet>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    Api::<K>::all(cluster.client().clone())
        .get(name)
        .await
        .map_err(|error| match error {
            kube::Error::Api(status) if status.code == 404 || status.code == 403 => {
                NotYet::Wrong("NotFound", status.message)
            }
            error => NotYet::Later(error.to_string()),
        })
}

/// The values of the secrets that a run names, by variable.
pub(super) async fn secrets(
    cluster: &Cluster,
    prepared: &Prepared,
) -> Result<BTreeMap<String, SecretString>, NotYet> {
    let mut values = BTreeMap::new();
    for (variable, place) in &prepared.secrets {
        values.insert(variable.clone(), secret(cluster, place).await?);
    }
    Ok(values)
}

async fn secret(cluster: &Cluster, place: &SecretPlace) -> Result<SecretString, NotYet> {
    let elsewhere;
    let cluster = if place.namespace == cluster.namespace() {
        cluster
    } else {
        elsewhere = Cluster::new(cluster.client().clone(), &place.namespace);
        &elsewhere
    };
    let object = cluster.get(&SECRETS, &place.name).await?;
    let missing = |what: &str| {
        NotYet::Wrong(
            "NotFound",
            format!(
                "the Secret {}/{} {what} {}",
                place.namespace, place.name, place.key
            ),
        )
    };
    let encoded = object
        .pointer("/data")
        .and_then(|data| data.get(&place.key)?.as_str())
        .ok_or_else(|| missing("has no key"))?;
    let bytes: k8s_openapi::ByteString = serde_json::from_value(encoded.into())
        .map_err(|_| missing("has a value that is no base64 under"))?;
    String::from_utf8(bytes.0)
        .map(|text| SecretString::from(text.trim_end_matches('\n').to_owned()))
        .map_err(|_| missing("has a value that is no text under"))
}

async fn preflight(
    context: &Context,
    cluster: &Cluster,
    snapshot: &Snapshot,
    plan: &Plan,
) -> Result<(), NotYet> {
    let weights: Vec<Weight> = plan
        .nodes
        .iter()
        .filter_map(|node| match node.action {
            Action::SetWeight(weight) if !weight.is_zero() => Some(weight),
            Action::Promote => Some(Weight::FULL),
            _ => None,
        })
        .collect();
    let router = context
        .router(cluster, &snapshot.spec, &snapshot.run)
        .ok_or_else(|| {
            NotYet::Wrong(
                "Invalid",
                "the Release names no router that can be driven".to_owned(),
            )
        })?;
    match router.preflight(&weights).await {
        Ok(found) => {
            for warning in found.warnings {
                tracing::warn!(release = snapshot.release, warning, "before a run");
            }
            Ok(())
        }
        Err(error) => Err(match error.kind {
            RouterErrorKind::Refused | RouterErrorKind::Unexpected => {
                NotYet::Wrong("RouteUnfit", error.to_string())
            }
            RouterErrorKind::Unreachable
            | RouterErrorKind::TimedOut
            | RouterErrorKind::Conflict => NotYet::Later(error.to_string()),
        }),
    }
}
