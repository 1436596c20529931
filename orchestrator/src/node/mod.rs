//! Executors: what carries out the nodes that do something in the world.
//!
//! [`execute`] is the one door. Whatever it meets it answers with a [`NodeResult`]: nothing here fails the program.
//! Everything in a result, in an error and in a log went through the [`redact::Redactor`] of the run.

mod command;
pub(crate) mod http;
pub mod outputs;
pub mod path;
pub mod process;
mod query;
pub mod redact;
pub mod secrets;
pub mod slack;
pub mod spec;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use canary_analyzer::source::PrometheusSource;
use futures::future::BoxFuture;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::machine::{NodeResult, NodeStatus, ProcessMark, Report};
use crate::plan::Node;
use crate::plan::template::{Lookup, Namespace, Reference, Template};

use redact::Redactor;
use secrets::Secrets;
use spec::{HttpBody, JsonTemplate, TaskSpec, Work};

pub use http::client;
pub use process::{Ended, end_process};

/// An attempt at an HTTP request or a query that sets no bound of its own is given up after this long.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What all attempts of a run share.
pub struct Shared {
    /// Id of the run.
    pub run: String,
    /// Directory of the workflow: relative paths start here.
    pub directory: PathBuf,
    /// canary's own environment, which processes inherit; read once, at the program's edge.
    pub environment: Vec<(OsString, OsString)>,
    /// Finds secrets.
    pub secrets: Secrets,
    /// For all HTTP, made by [`client`].
    pub http: reqwest::Client,
    /// The Prometheus of the settings.
    pub prometheus: Option<Arc<PrometheusSource>>,
    /// The time of the run.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// The report as it is now.
    pub report: Arc<dyn Fn() -> Report + Send + Sync>,
}

/// What one attempt is given.
#[derive(Clone)]
pub struct Context {
    /// What all attempts share.
    pub shared: Arc<Shared>,
    /// 1-based.
    pub attempt: u32,
    /// How often the node was activated before.
    pub iteration: u32,
    /// Its log; stdout and stderr go there as they come.
    pub log: PathBuf,
    /// Outputs, inputs, variables, environment, metadata as they are now; never secrets.
    pub values: Arc<dyn Lookup + Send + Sync>,
    /// Evidence from before this time says nothing about the present weight.
    pub evidence_since: Option<Timestamp>,
}

/// Carries out one attempt. `started` is awaited exactly once, before anything is done in the world: what it is given is
/// to be on disk when it returns. If `cancel` is set by then, nothing is done.
pub async fn execute(
    task: &TaskSpec,
    node: &Node,
    context: Context,
    started: impl Fn(Option<ProcessMark>) -> BoxFuture<'static, ()> + Send + Sync,
    cancel: CancellationToken,
) -> NodeResult {
    let told = AtomicBool::new(false);
    let tell = |mark: Option<ProcessMark>| {
        told.store(true, Ordering::Relaxed);
        started(mark)
    };
    let attempt = Attempt::prepare(task, node, &context);
    let ended = match &task.work {
        Work::Shell(work) => command::shell(&attempt, work, tell, &cancel).await,
        Work::Program(work) => command::program(&attempt, work, tell, &cancel).await,
        Work::Http(work) => http::request(&attempt, work, tell, &cancel).await,
        Work::Query(work) => query::ask(&attempt, work, tell, &cancel).await,
    };
    if !told.load(Ordering::Relaxed) {
        started(None).await;
    }
    attempt.result(ended)
}

/// Asks `runtime.verify` whether an attempt in doubt had finished.
///
/// # Errors
/// Nobody knows: there is no such script, or it could not be run, or it said neither yes (0) nor no (1).
pub async fn verify(
    task: &TaskSpec,
    node: &Node,
    context: Context,
    cancel: CancellationToken,
) -> Result<bool, String> {
    let attempt = Attempt::prepare(task, node, &context);
    let answer = command::verify(&attempt, task, &cancel).await;
    answer.map_err(|why| attempt.redactor.text(&why).into_owned())
}

/// One attempt while it is made.
struct Attempt<'a> {
    node: &'a Node,
    context: &'a Context,
    values: WithSecrets,
    redactor: Redactor,
}

/// How an attempt ended, before redaction and bounds.
#[derive(Default)]
struct Ending {
    status: Option<NodeStatus>,
    error: Option<String>,
    file: Option<String>,
    mapping: BTreeMap<String, String>,
    body: Option<String>,
    facts: BTreeMap<String, Value>,
    always: BTreeMap<String, Value>,
    notes: Vec<String>,
}

impl Ending {
    fn with(status: NodeStatus, error: impl Into<String>) -> Self {
        Self {
            status: Some(status),
            error: Some(error.into()),
            ..Self::default()
        }
    }

    fn failed(error: impl Into<String>) -> Self {
        Self::with(NodeStatus::Failed, error)
    }
}

impl<'a> Attempt<'a> {
    /// Finds the secrets of the task. One that is missing is not an error yet: `KUBECONFIG` may be named and not be
    /// set; what needs its value says so.
    fn prepare(task: &TaskSpec, node: &'a Node, context: &'a Context) -> Self {
        let secrets = &context.shared.secrets;
        let mut known = BTreeMap::new();
        let mut names = task.secrets.clone();
        for_each_template(task, &mut |template| {
            names.extend(secret_names(template.each_reference()));
        });
        for script in [task.verify.as_ref(), shell_script(task)]
            .into_iter()
            .flatten()
        {
            names.extend(secret_names(script.references().iter()));
        }
        for name in names {
            if let Ok(value) = secrets.resolve(&name) {
                known.insert(name, value.expose_secret().to_owned());
            }
        }
        if let Work::Http(work) = &task.work
            && let Some(name) = &work.bearer
        {
            // Known to the redactor from here on; that it is missing is said where it is used.
            drop(secrets.resolve(name));
        }
        let values = WithSecrets {
            values: Arc::clone(&context.values),
            secrets: known,
        };
        Self {
            node,
            context,
            values,
            redactor: secrets.redactor(),
        }
    }

    fn render(&self, template: &Template) -> Result<String, String> {
        template
            .render(&self.values)
            .map_err(|error| error.to_string())
    }

    fn timeout(&self) -> Duration {
        self.node.timeout.unwrap_or(DEFAULT_REQUEST_TIMEOUT)
    }

    fn result(&self, mut ending: Ending) -> NodeResult {
        let status = ending.status.unwrap_or(NodeStatus::Failed);
        let word = match status {
            NodeStatus::Completed => "completed",
            NodeStatus::Failed => "failed",
            NodeStatus::TimedOut => "timed-out",
            NodeStatus::Inconclusive => "inconclusive",
            NodeStatus::Cancelled => "cancelled",
        };
        ending.always.insert("status".to_owned(), Value::from(word));
        ending
            .always
            .insert("attempt".to_owned(), Value::from(self.context.attempt));
        let found = outputs::Found {
            file: ending.file.as_deref(),
            mapping: Some(&ending.mapping),
            body: ending.body.as_deref(),
            facts: ending.facts,
            always: ending.always,
        };
        let mut bound = outputs::bind(&self.node.outputs, &found, &self.redactor);
        ending.notes.append(&mut bound.notes);
        if !ending.notes.is_empty() {
            let notes = ending
                .notes
                .iter()
                .map(|note| Value::from(self.redactor.text(note).into_owned()))
                .collect();
            bound
                .values
                .entry("notes".to_owned())
                .or_insert(Value::Array(notes));
        }
        let error = ending
            .error
            .map(|error| self.redactor.text(&error).into_owned());
        NodeResult {
            status,
            outputs: bound.values,
            error,
        }
    }
}

/// The values of the run, and the secrets that this attempt may use.
struct WithSecrets {
    values: Arc<dyn Lookup + Send + Sync>,
    secrets: BTreeMap<String, String>,
}

impl Lookup for WithSecrets {
    fn get(&self, reference: &Reference) -> Option<Value> {
        if reference.namespace == Namespace::Secrets {
            return self
                .secrets
                .get(reference.head())
                .cloned()
                .map(Value::String);
        }
        self.values.get(reference)
    }
}

fn secret_names<'r>(references: impl Iterator<Item = &'r Reference>) -> Vec<String> {
    references
        .filter(|reference| reference.namespace == Namespace::Secrets)
        .map(|reference| reference.head().to_owned())
        .collect()
}

fn shell_script(task: &TaskSpec) -> Option<&crate::plan::template::Script> {
    match &task.work {
        Work::Shell(work) => Some(&work.script),
        _ => None,
    }
}

fn for_each_template(task: &TaskSpec, visit: &mut dyn FnMut(&Template)) {
    fn process(work: &spec::ProcessSpec, visit: &mut dyn FnMut(&Template)) {
        work.working_directory
            .iter()
            .chain(work.environment.values())
            .for_each(&mut *visit);
    }
    fn json(template: &JsonTemplate, visit: &mut dyn FnMut(&Template)) {
        match template {
            JsonTemplate::Literal(_) => {}
            JsonTemplate::Text(text) => visit(text),
            JsonTemplate::List(items) => items.iter().for_each(|item| json(item, visit)),
            JsonTemplate::Map(entries) => entries.iter().for_each(|(_, item)| json(item, visit)),
        }
    }
    match &task.work {
        Work::Shell(work) => process(&work.process, visit),
        Work::Program(work) => {
            work.argv
                .iter()
                .chain(work.facts.values())
                .for_each(&mut *visit);
            process(&work.process, visit);
        }
        Work::Http(work) => {
            visit(&work.url);
            work.query
                .values()
                .chain(work.headers.values())
                .for_each(&mut *visit);
            match &work.body {
                HttpBody::Empty => {}
                HttpBody::Text(text) => visit(text),
                HttpBody::Json(body) => json(body, visit),
                HttpBody::SlackReport { channel } => visit(channel),
            }
        }
        Work::Query(work) => {
            work.url
                .iter()
                .chain(work.queries.iter().map(|query| &query.promql))
                .for_each(&mut *visit);
        }
    }
}

#[cfg(test)]
mod tests;
