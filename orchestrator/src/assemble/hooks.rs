//! Everything that a driver works with, for a run on this machine.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use canary_traffic::Router;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::error::AssembleError;
use super::evidence::Judge;
use super::executor::NodeExecutor;
use super::notifier::OutboxNotifier;
use super::router::router;
use super::sources::Sources;
use crate::node::secrets::Secrets;
use crate::node::{self, Shared};
use crate::notify::{Tools, channels};
use crate::plan::Plan;
use crate::run::clock::{Clock, MonotonicClock};
use crate::run::driver::Hooks;
use crate::run::journal::JournalSink;
use crate::run::session::Place;

/// What a run finds around it: read by the program, once.
#[derive(Clone)]
pub struct Surroundings {
    /// Directory of the workflow: relative paths start here.
    pub directory: PathBuf,
    /// Where the sockets of proxies are.
    pub runtime_directory: PathBuf,
    /// The program's environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Finds secrets.
    pub secrets: Secrets,
    /// Makes the router of a run whose router is in this process, instead of the one that the settings name; it is
    /// given what the router is to remember as who sets weights.
    pub router: Option<MakeRouter>,
}

/// Makes a router for whoever sets weights.
pub type MakeRouter = Arc<dyn Fn(&str) -> Arc<dyn Router> + Send + Sync>;

/// The parts of a run that can be wrong, made before anything of the run exists.
#[derive(Clone)]
pub struct Parts {
    sources: Sources,
    http: reqwest::Client,
    surroundings: Surroundings,
}

impl Parts {
    /// Makes them. Nothing is sent.
    pub fn new(plan: &Plan, surroundings: &Surroundings) -> Result<Self, AssembleError> {
        let sources = Sources::new(
            &plan.settings,
            &plan.service,
            &surroundings.directory,
            &surroundings.secrets,
        )?;
        let http = node::client().map_err(AssembleError::Missing)?;
        Ok(Self {
            sources,
            http,
            surroundings: surroundings.clone(),
        })
    }

    /// The hooks of a driver. Sources are watched until `stop`. Must be called inside a runtime.
    pub fn hooks(
        &self,
        place: &Place<'_>,
        journal: Box<dyn JournalSink>,
        stop: CancellationToken,
    ) -> Hooks {
        let (plan, run) = (place.plan, place.run);
        let around = &self.surroundings;
        let clock = Arc::new(MonotonicClock::start(place.not_before));
        let now: Arc<dyn Fn() -> Timestamp + Send + Sync> = {
            let clock = Arc::clone(&clock);
            Arc::new(move || clock.now())
        };
        let identity = format!("run {}", run.id());
        let router = match &around.router {
            Some(make) => Some(make(&identity)),
            None => router(
                &plan.settings,
                &plan.service,
                &identity,
                &around.runtime_directory,
                &around.directory,
            ),
        };
        let sources = self.sources.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = sources.watch() => {}
                () = stop.cancelled() => {}
            }
        });
        let tools = Tools {
            http: self.http.clone(),
            secrets: around.secrets.clone(),
            directory: around.directory.clone(),
            environment: around.environment.clone(),
            clock: Arc::clone(&now),
        };
        let receivers = channels(&plan.settings, &tools);
        let notifier =
            OutboxNotifier::new(run.id(), run.outbox(), receivers, around.secrets.clone());
        let shared = {
            let (id, parts, now) = (run.id().to_owned(), self.clone(), Arc::clone(&now));
            Arc::new(move |report: Arc<crate::machine::Report>| Shared {
                run: id.clone(),
                directory: parts.surroundings.directory.clone(),
                environment: parts.surroundings.environment.clone(),
                secrets: parts.surroundings.secrets.clone(),
                http: parts.http.clone(),
                prometheus: parts.sources.prometheus().cloned(),
                clock: Arc::clone(&now),
                report: Arc::new(move || (*report).clone()),
            })
        };
        Hooks {
            router,
            executor: Arc::new(NodeExecutor::new(run.clone(), shared)),
            evidence: Arc::new(Judge::new(self.sources.clone())),
            notifier: Arc::new(notifier),
            clock,
            journal,
        }
    }
}
