//! The executors as a whole: real processes, real HTTP servers.

mod commands;
mod queries;
mod requests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::spec::*;
use super::*;
use crate::machine::{NotificationsReport, RunPhase};
use crate::plan::template::{Script, dig};
use crate::plan::{Action, Join, Output, Retry};

/// What the clock says.
const NOW: &str = "2026-11-21T14:10:00Z";

/// A place for one attempt, and what is known in it.
struct World {
    directory: tempfile::TempDir,
    values: Value,
    secrets: BTreeMap<&'static str, &'static str>,
    outputs: Vec<Output>,
    timeout: Option<Duration>,
    prometheus: Option<Arc<PrometheusSource>>,
    since: Option<Timestamp>,
    marks: Arc<Mutex<Vec<Option<ProcessMark>>>>,
}

struct Fixed(Value);

impl Lookup for Fixed {
    fn get(&self, reference: &Reference) -> Option<Value> {
        dig(&self.0, &reference.path).cloned()
    }
}

impl World {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            values: json!({}),
            secrets: BTreeMap::new(),
            outputs: Vec::new(),
            timeout: Some(Duration::from_secs(30)),
            prometheus: None,
            since: None,
            marks: Arc::default(),
        }
    }

    fn outputs(mut self, names: &[&str]) -> Self {
        self.outputs = names
            .iter()
            .map(|name| Output {
                name: (*name).to_owned(),
                unit: None,
            })
            .collect();
        self
    }

    fn values(mut self, values: Value) -> Self {
        self.values = values;
        self
    }

    fn secret(mut self, name: &'static str, value: &'static str) -> Self {
        self.secrets.insert(name, value);
        self
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn node(&self) -> Node {
        Node {
            id: "check".to_owned(),
            kind: "cli".to_owned(),
            purpose: String::new(),
            scope: None,
            action: Action::Promote,
            join: Join::Settled,
            retry: Retry {
                max_retries: 0,
                backoff: Duration::ZERO,
                exponential: false,
            },
            timeout: self.timeout,
            approval: None,
            outputs: self.outputs.clone(),
            rollback: false,
            idempotent: false,
            verifiable: false,
        }
    }

    fn context(&self) -> Context {
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        let known = self.secrets.clone();
        let environment = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("HOME", "/nowhere"),
        ];
        Context {
            shared: Arc::new(Shared {
                run: "run-1".to_owned(),
                directory: self.path().to_owned(),
                environment: environment
                    .map(|(name, value)| (name.into(), value.into()))
                    .to_vec(),
                secrets: Secrets::new(
                    self.path().to_owned(),
                    Arc::new(move |name| known.get(name).map(|value| (*value).to_owned())),
                ),
                http: client().unwrap(),
                prometheus: self.prometheus.clone(),
                clock: Arc::new(|| NOW.parse().unwrap()),
                report: Arc::new(report),
            }),
            attempt: 2,
            iteration: 0,
            log: self.path().join("nodes/check-0-2.log"),
            values: Arc::new(Fixed(self.values.clone())),
            evidence_since: self.since,
        }
    }

    async fn run(&self, work: Work) -> NodeResult {
        self.cancelled_by(work, CancellationToken::new()).await
    }

    async fn cancelled_by(&self, work: Work, cancel: CancellationToken) -> NodeResult {
        let task = TaskSpec {
            work,
            verify: None,
            secrets: self.secrets.keys().map(|&name| name.to_owned()).collect(),
        };
        let marks = Arc::clone(&self.marks);
        let started = move |mark| -> BoxFuture<'static, ()> {
            marks.lock().unwrap().push(mark);
            Box::pin(async {})
        };
        let (node, context) = (self.node(), self.context());
        // The driver spawns attempts: they must be able to move between threads.
        tokio::spawn(async move { execute(&task, &node, context, started, cancel).await })
            .await
            .unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("nodes/check-0-2.log")).unwrap_or_default()
    }
}

fn report() -> Report {
    Report {
        workflow: "shop".to_owned(),
        name: "Shop".to_owned(),
        service: "shop".to_owned(),
        phase: RunPhase::Ended,
        headline: "error-rate was 7.5 %, the limit is < 1 %".to_owned(),
        answers: Vec::new(),
        outcome: None,
        traffic: None,
        nodes: Vec::new(),
        edges: Vec::new(),
        gates: Vec::new(),
        waits: Vec::new(),
        cost: None,
        notifications: NotificationsReport::default(),
        started_at: None,
        ended_at: None,
        at: Timestamp::UNIX_EPOCH,
        next: Vec::new(),
    }
}

fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

fn shell(script: &str) -> ShellWork {
    ShellWork {
        script: Script::parse(script, false).unwrap(),
        bash: false,
        process: ProcessSpec::default(),
    }
}
