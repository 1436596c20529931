//! A controller, from its options until it is told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use canary_traffic::kubernetes::Api;
use kube::{Client, Config};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine::context::Context;
use crate::engine::metrics::Metrics;
use crate::engine::{Engine, Shard};
use crate::lease::{Claim, LeaseOptions, hold};
use crate::serve::serve;
use crate::watch::{self, Scope};

/// What a controller is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which namespaces it looks at.
    pub scope: Scope,
    /// Namespace of the controller: its Lease and the Secrets of cluster-wide objects.
    pub namespace: String,
    /// A part of the releases.
    pub shard: Option<Shard>,
    /// Where /metrics, /healthz and /readyz are served; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// How the Lease is held.
    pub lease: LeaseOptions,
    /// Whether Deployments are paused at rest. `None`: where the cluster has no MutatingAdmissionPolicy.
    pub keep_paused: Option<bool>,
}

/// Why a controller cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// There is no way to the cluster.
    #[error("no way to the cluster: {0}; set KUBECONFIG, or run in a pod with a service account")]
    Config(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The client of sources and channels cannot be made.
    #[error("{0}")]
    Http(String),
    /// The cluster does not serve our objects.
    #[error(
        "the cluster does not serve releases.canary.internal: {0}; install them first: canary install"
    )]
    NotInstalled(String),
}

/// Runs until `stop`; then leaves every run so that another controller can go on with it, and gives the Lease up.
pub async fn run(
    mut config: Config,
    options: Options,
    stop: CancellationToken,
) -> Result<(), ControllerError> {
    // Each call has its own bounds; a retry that nobody sees would hold an abort up.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(2));
    let client =
        Client::try_from(config).map_err(|error| ControllerError::Config(error.to_string()))?;
    let keep_paused = match options.keep_paused {
        Some(keep) => keep,
        None => !pauses_by_admission(&client).await?,
    };
    if keep_paused {
        tracing::warn!(
            "no MutatingAdmissionPolicy pauses a new template: targets are kept paused at rest"
        );
    }
    let http = canary_orchestrator::node::client().map_err(ControllerError::Http)?;
    let metrics = Metrics::new();
    let claim = Claim::new();
    let context = Arc::new(Context::new(
        client.clone(),
        options.namespace.clone(),
        options.lease.identity.clone(),
        claim.clone(),
        keep_paused,
        http,
        metrics.clone(),
    ));
    let (changes, incoming) = mpsc::unbounded_channel();
    let incomplete = watch::start(&client, &options.scope, &changes);
    drop(changes);
    let engine = Engine::new(context, options.scope, options.shard, incomplete);
    if let Some(address) = options.listen {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|source| ControllerError::Listen { address, source })?;
        tokio::spawn(serve(listener, metrics, engine.ready(), stop.clone()));
    }
    // The Lease is given up after every run is left.
    let let_go = CancellationToken::new();
    let api = Api::with_client(client, &options.namespace);
    let holding = tokio::spawn(hold(api, options.lease, claim, let_go.clone()));
    engine.run(incoming, stop).await;
    let_go.cancel();
    // A holder that met a bug has nothing to give up.
    drop(tokio::time::timeout(Duration::from_secs(5), holding).await);
    Ok(())
}

/// A policy of ours is there that pauses a Deployment in the request that changes its template.
async fn pauses_by_admission(client: &Client) -> Result<bool, ControllerError> {
    use kube::api::{Api, DynamicObject, ListParams};
    use kube::core::{ApiResource, GroupVersionKind};
    let kind = GroupVersionKind::gvk(
        "admissionregistration.k8s.io",
        "v1",
        "MutatingAdmissionPolicy",
    );
    let resource = ApiResource::from_gvk_with_plural(&kind, "mutatingadmissionpolicies");
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let labels = format!(
        "{}={}",
        canary_traffic::kubernetes::LABEL_MANAGED_BY,
        canary_traffic::kubernetes::MANAGED_BY
    );
    match api
        .list_metadata(&ListParams::default().labels(&labels))
        .await
    {
        Ok(list) => Ok(!list.items.is_empty()),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 403 => Ok(false),
        Err(error) => Err(ControllerError::Config(error.to_string())),
    }
}
