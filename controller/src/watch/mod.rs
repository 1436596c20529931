//! Watches, not polls: what changes in the cluster, as small values, in one stream.
//!
//! A watch that breaks is begun again with backoff; one whose version is too old (410) is begun with a list, after which what
//! is gone is told as gone. Nothing here decides anything.

mod raw;
mod view;

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

use futures::StreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

pub use view::{ActionView, DeploymentView, Key, ReleaseView};

use crate::api::{Release, ReleaseAction};
use crate::names::LABEL_RELEASE;
use crate::workload::health::PodView;
use raw::{RawDeployment, RawPod};

/// What changed.
#[derive(Debug, Clone)]
pub enum Change {
    /// A Release is there, or is another.
    Release(Box<ReleaseView>),
    /// It is gone.
    ReleaseGone(Key),
    /// Somebody asked for something.
    Action(Box<ActionView>),
    /// A Deployment.
    Deployment(DeploymentView),
    /// It is gone.
    DeploymentGone(Key),
    /// A pod of the canary of that release.
    Pod(Key, PodView),
    /// It is gone: release and name of the pod.
    PodGone(Key, String),
    /// One of the watches has told everything that there is.
    Complete,
}

/// Which namespaces are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    Cluster,
    /// These.
    Namespaces(Vec<String>),
}

impl Scope {
    /// It is one of them.
    pub fn contains(&self, namespace: &str) -> bool {
        match self {
            Self::Cluster => true,
            Self::Namespaces(names) => names.iter().any(|name| name == namespace),
        }
    }
}

/// Starts the watches; gives how many [`Change::Complete`] come before everything is known.
pub fn start(client: &Client, scope: &Scope, changes: &mpsc::UnboundedSender<Change>) -> usize {
    let places: Vec<Option<&str>> = match scope {
        Scope::Cluster => vec![None],
        Scope::Namespaces(names) => names.iter().map(|name| Some(name.as_str())).collect(),
    };
    let everything = watcher::Config::default();
    let canaries = watcher::Config::default().labels(LABEL_RELEASE);
    for place in &places {
        spawn(
            api::<Release>(client, *place),
            everything.clone(),
            changes,
            |release| {
                let view = ReleaseView::from(release);
                (view.key.clone(), Change::Release(Box::new(view)))
            },
            |key| Some(Change::ReleaseGone(key)),
        );
        spawn(
            api::<ReleaseAction>(client, *place),
            everything.clone(),
            changes,
            |action| {
                let view = ActionView::from(action);
                (view.name.clone(), Change::Action(Box::new(view)))
            },
            |_| None,
        );
        spawn(
            api::<RawDeployment>(client, *place),
            everything.clone(),
            changes,
            |deployment| {
                let view = deployment.view();
                (view.key.clone(), Change::Deployment(view))
            },
            |key| Some(Change::DeploymentGone(key)),
        );
        spawn(
            api::<RawPod>(client, *place),
            canaries.clone(),
            changes,
            |pod| {
                let (release, view) = pod.view();
                let id = (release.clone(), view.name.clone());
                (id, Change::Pod(release, view))
            },
            |(release, name)| Some(Change::PodGone(release, name)),
        );
    }
    4 * places.len()
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// One watch in a task of its own; it ends when nobody listens any more.
fn spawn<K, I>(
    api: Api<K>,
    config: watcher::Config,
    changes: &mpsc::UnboundedSender<Change>,
    read: impl Fn(K) -> (I, Change) + Send + 'static,
    gone: impl Fn(I) -> Option<Change> + Send + 'static,
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    I: Clone + Eq + Hash + Send + 'static,
{
    let changes = changes.clone();
    tokio::spawn(async move {
        let kind = K::kind(&()).into_owned();
        let mut stream = watch(api, config).default_backoff().boxed();
        let mut known: HashSet<I> = HashSet::new();
        let mut listed: HashSet<I> = HashSet::new();
        while let Some(event) = stream.next().await {
            let sent = match event {
                Err(error) => {
                    tracing::warn!(%kind, %error, "a watch was broken off; it is begun again");
                    Ok(())
                }
                Ok(Event::Init) => {
                    listed.clear();
                    Ok(())
                }
                Ok(Event::InitApply(object)) => {
                    let (id, change) = read(object);
                    listed.insert(id.clone());
                    known.insert(id);
                    changes.send(change)
                }
                Ok(Event::InitDone) => {
                    // What was there before the list and is not in it went meanwhile.
                    let lost: Vec<I> = known
                        .iter()
                        .filter(|id| !listed.contains(*id))
                        .cloned()
                        .collect();
                    for id in lost {
                        known.remove(&id);
                        if let Some(change) = gone(id) {
                            drop(changes.send(change));
                        }
                    }
                    listed = HashSet::new();
                    changes.send(Change::Complete)
                }
                Ok(Event::Apply(object)) => {
                    let (id, change) = read(object);
                    known.insert(id);
                    changes.send(change)
                }
                Ok(Event::Delete(object)) => {
                    let (id, _) = read(object);
                    known.remove(&id);
                    match gone(id) {
                        Some(change) => changes.send(change),
                        None => Ok(()),
                    }
                }
            };
            if sent.is_err() {
                return;
            }
        }
    });
}
