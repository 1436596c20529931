//! The way to a cluster, and what is read there.

use std::path::PathBuf;
use std::time::Duration;

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::Event;
use kube::api::{ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher;
use kube::{Api, Client, Config, ResourceExt as _};

use super::error::ClientError;
use crate::api::{Release, ReleaseAction};

/// Bound of one request; watches have none.
const PATIENCE: Duration = Duration::from_secs(15);

/// Which cluster, and which namespace of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The kubeconfig file. `None`: as kubectl finds it, or the pod's own account.
    pub kubeconfig: Option<PathBuf>,
    /// Which context of it. `None`: the current one.
    pub context: Option<String>,
    /// Which namespace. `None`: the context's.
    pub namespace: Option<String>,
}

/// A cluster, as one person sees it.
#[derive(Clone)]
pub struct Cluster {
    pub(super) client: Client,
    pub(super) access: Access,
    namespace: String,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// One thing that happened to a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trail {
    /// When.
    pub at: Option<Timestamp>,
    /// `Normal`, `Warning`, or `Action`.
    pub kind: String,
    /// Reason, or what was asked for.
    pub reason: String,
    /// Who said or asked it.
    pub by: String,
    /// In words.
    pub message: String,
}

impl Cluster {
    /// Reads the kubeconfig; sends nothing.
    pub async fn connect(access: Access) -> Result<Self, ClientError> {
        let options = KubeConfigOptions {
            context: access.context.clone(),
            ..KubeConfigOptions::default()
        };
        let wrong = |error: &dyn std::error::Error| ClientError::Config(error.to_string());
        let mut config = match &access.kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|error| wrong(&error))?;
                Config::from_custom_kubeconfig(file, &options)
                    .await
                    .map_err(|error| wrong(&error))?
            }
            None if access.context.is_some() => Config::from_kubeconfig(&options)
                .await
                .map_err(|error| wrong(&error))?,
            None => Config::infer().await.map_err(|error| wrong(&error))?,
        };
        config.connect_timeout = Some(PATIENCE);
        let namespace = access
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(ClientError::of)?;
        Ok(Self {
            client,
            access,
            namespace,
        })
    }

    /// The namespace that is meant where none is named.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The client itself.
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn releases(&self) -> Api<Release> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// One release.
    pub async fn release(&self, name: &str) -> Result<Release, ClientError> {
        let found = bounded(self.releases().get(name)).await?;
        found.map_err(|error| ClientError::about(error, "Release", name, &self.namespace))
    }

    /// Releases of the namespace, or of all; those with `labels` (a selector).
    pub async fn list(
        &self,
        everywhere: bool,
        labels: Option<&str>,
    ) -> Result<Vec<Release>, ClientError> {
        let mut wanted = ListParams::default();
        if let Some(labels) = labels {
            wanted = wanted.labels(labels);
        }
        let list = bounded(self.somewhere(everywhere).list(&wanted)).await?;
        list.map(|list| list.items).map_err(ClientError::of)
    }

    fn somewhere(&self, everywhere: bool) -> Api<Release> {
        if everywhere {
            Api::all(self.client.clone())
        } else {
            self.releases()
        }
    }

    /// Releases as they are and as they change; a name selects one. A lost connection is made again.
    pub fn watch(
        &self,
        everywhere: bool,
        name: Option<&str>,
        labels: Option<&str>,
    ) -> impl Stream<Item = Result<watcher::Event<Release>, ClientError>> + use<> {
        let mut wanted = watcher::Config::default();
        if let Some(name) = name {
            wanted = wanted.fields(&format!("metadata.name={name}"));
        }
        if let Some(labels) = labels {
            wanted = wanted.labels(labels);
        }
        watcher(self.somewhere(everywhere), wanted).map_err(|error| match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => ClientError::of(error),
            watcher::Error::WatchError(status) => ClientError::of(kube::Error::Api(status)),
            watcher::Error::NoResourceVersion => {
                ClientError::Unreachable("a list without a resource version".to_owned())
            }
        })
    }

    /// The name that the API server knows us by.
    pub async fn whoami(&self) -> Result<String, ClientError> {
        let reviews: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let (how, what) = (PostParams::default(), SelfSubjectReview::default());
        let review = bounded(reviews.create(&how, &what))
            .await?
            .map_err(ClientError::of)?;
        review
            .status
            .and_then(|status| status.user_info?.username)
            .ok_or_else(|| ClientError::Config("the API server does not say who we are".to_owned()))
    }

    /// What happened to a release: events and what people asked for, oldest first.
    pub async fn trail(&self, release: &Release) -> Result<Vec<Trail>, ClientError> {
        let name = release.name_any();
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let wanted = ListParams::default().fields(&format!(
            "involvedObject.kind=Release,involvedObject.name={name}"
        ));
        let events = bounded(events.list(&wanted))
            .await?
            .map_err(ClientError::of)?;
        let actions: Api<ReleaseAction> = Api::namespaced(self.client.clone(), &self.namespace);
        let wanted = ListParams::default().fields(&format!("spec.release={name}"));
        let actions = bounded(actions.list(&wanted))
            .await?
            .map_err(ClientError::of)?;
        let mut trail: Vec<Trail> = events.items.into_iter().map(of_event).collect();
        let uid = release.uid().unwrap_or_default();
        trail.extend(
            actions
                .items
                .into_iter()
                .filter(|action| action.spec.release_uid == uid)
                .map(of_action),
        );
        trail.sort_by_key(|one| one.at);
        Ok(trail)
    }
}

fn of_event(event: Event) -> Trail {
    let at = event
        .last_timestamp
        .map(|time| time.0)
        .or(event.event_time.map(|time| time.0))
        .or(event.metadata.creation_timestamp.map(|time| time.0));
    let source = event.source.and_then(|source| source.component);
    Trail {
        at,
        kind: event.type_.unwrap_or_default(),
        reason: event.reason.unwrap_or_default(),
        by: event.reporting_component.or(source).unwrap_or_default(),
        message: event.message.unwrap_or_default(),
    }
}

fn of_action(action: ReleaseAction) -> Trail {
    let at = action.metadata.creation_timestamp.map(|time| time.0);
    let spec = action.spec;
    let full = if spec.full == Some(true) {
        " --full"
    } else {
        ""
    };
    Trail {
        at,
        kind: "Action".to_owned(),
        reason: format!("{}{full}", spec.verb.word()),
        by: spec.user,
        message: spec.reason.unwrap_or_default(),
    }
}

/// No call hangs for ever.
pub(super) async fn bounded<T>(call: impl Future<Output = T>) -> Result<T, ClientError> {
    tokio::time::timeout(PATIENCE, call)
        .await
        .map_err(|_| ClientError::Unreachable(format!("no answer within {} s", PATIENCE.as_secs())))
}

/// The newest state of one release, each time that it changes.
pub(super) fn states(
    changes: impl Stream<Item = Result<watcher::Event<Release>, ClientError>>,
) -> impl Stream<Item = Result<Release, ClientError>> {
    changes.filter_map(|change| async {
        match change {
            Ok(watcher::Event::Apply(release) | watcher::Event::InitApply(release)) => {
                Some(Ok(release))
            }
            Ok(watcher::Event::Delete(_) | watcher::Event::Init | watcher::Event::InitDone) => None,
            Err(error) => Some(Err(error)),
        }
    })
}
