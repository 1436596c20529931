//! What everything in a controller shares.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use canary_analyzer::source::{Auth, PrometheusOptions, PrometheusSource};
use canary_orchestrator::assemble::{Sources, prometheus_options};
use canary_orchestrator::node::secrets::Secrets;
use canary_orchestrator::plan::Plan;
use canary_orchestrator::run::clock::{Clock, MonotonicClock};
use canary_traffic::Router;
use canary_traffic::kubernetes::Api;
use kube::Client;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use super::metrics::Metrics;
use super::routes;
use crate::api::ReleaseSpec;
use crate::kinds::Cluster;
use crate::lease::Claim;
use crate::plan::Prepared;

/// What everything in a controller shares.
pub struct Context {
    client: Client,
    clusters: Mutex<HashMap<String, Arc<Cluster>>>,
    prometheus: Mutex<HashMap<[u8; 32], Weak<PrometheusSource>>>,
    /// Namespace of the controller: Secrets of cluster-wide objects are there.
    pub namespace: String,
    /// Who we are: what the status says.
    pub identity: String,
    /// Whether weights may be raised.
    pub claim: Claim,
    /// Deployments are paused at rest, because nothing pauses them in the request that changes their template.
    pub keep_paused: bool,
    /// The client of sources and channels.
    pub http: reqwest::Client,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Metrics,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// Sends nothing.
    pub fn new(
        client: Client,
        namespace: String,
        identity: String,
        claim: Claim,
        keep_paused: bool,
        http: reqwest::Client,
        metrics: Metrics,
    ) -> Self {
        Self {
            client,
            clusters: Mutex::default(),
            prometheus: Mutex::default(),
            namespace,
            identity,
            claim,
            keep_paused,
            http,
            clock: Arc::new(MonotonicClock::start(None)),
            metrics,
        }
    }

    /// The way to a namespace.
    pub fn cluster(&self, namespace: &str) -> Arc<Cluster> {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(
            clusters
                .entry(namespace.to_owned())
                .or_insert_with(|| Arc::new(Cluster::new(self.client.clone(), namespace))),
        )
    }

    /// The router of a run.
    pub fn router(
        &self,
        cluster: &Cluster,
        spec: &ReleaseSpec,
        run: &str,
    ) -> Option<Arc<dyn Router>> {
        let api = Api::with_client(self.client.clone(), cluster.namespace());
        routes::router(spec, api, &identity(run))
    }

    /// The sources of a run. A Prometheus is shared by all runs that reach it in the same way: it is one client, with one set
    /// of connections and certificates.
    pub fn sources(
        &self,
        plan: &Plan,
        prepared: &Prepared,
        secrets: &Secrets,
    ) -> Result<Sources, String> {
        let settings = &plan.settings;
        let prometheus = match &settings.sources.prometheus {
            None => None,
            Some(prometheus) => {
                let nowhere = Path::new("/nonexistent");
                let options = prometheus_options(prometheus, nowhere, secrets)
                    .map_err(|error| error.to_string())?;
                let way = way(prepared, &options);
                let mut known = self
                    .prometheus
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                known.retain(|_, source| source.strong_count() > 0);
                match known.get(&way).and_then(Weak::upgrade) {
                    Some(source) => Some(source),
                    None => {
                        let source = PrometheusSource::new(options)
                            .map(Arc::new)
                            .map_err(|error| error.to_string())?;
                        known.insert(way, Arc::downgrade(&source));
                        Some(source)
                    }
                }
            }
        };
        Sources::on(prometheus, settings, &plan.service).map_err(|error| error.to_string())
    }
}

/// Fingerprint of how a Prometheus is reached, secrets included.
fn way(prepared: &Prepared, options: &PrometheusOptions) -> [u8; 32] {
    let mut hash = Sha256::new();
    let text = prepared.inputs.files.get("release");
    let profile: serde_json::Value = text
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    hash.update(profile["sources"]["prometheus"].to_string().as_bytes());
    match &options.auth {
        Auth::None => {}
        Auth::Bearer(secret) => hash.update(secret.expose_secret().as_bytes()),
        Auth::Basic { password, .. } => hash.update(password.expose_secret().as_bytes()),
    }
    for (name, value) in &options.headers {
        hash.update(name.as_bytes());
        hash.update(value.expose_secret().as_bytes());
    }
    hash.finalize().into()
}

/// What a router remembers as who set a weight.
pub fn identity(run: &str) -> String {
    format!("run {run}")
}
