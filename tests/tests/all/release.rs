//! What several subjects start from: a shop behind a `canary proxy`, users, and a workflow that releases it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use canary_tests::proxy::{Load, Proxy};
use canary_tests::receiver::Receiver;
use canary_tests::sandbox::{Said, Sandbox};
use serde_json::Value;

/// Two versions, the proxy before them, and users.
pub(crate) struct Shop {
    pub(crate) proxy: Proxy,
    _users: Load,
}

impl Shop {
    /// Both versions are fine.
    pub(crate) fn open(sandbox: &Sandbox) -> Self {
        Self::with_canary(sandbox, |_| 200)
    }

    /// The canary answers its n-th request, from 0, with this status.
    pub(crate) fn with_canary(
        sandbox: &Sandbox,
        status: impl Fn(u64) -> u16 + Send + Sync + 'static,
    ) -> Self {
        let count = std::sync::atomic::AtomicU64::new(0);
        let stable = Receiver::start(|_| (200, "{}".to_owned()));
        let canary = Receiver::start(move |_| {
            let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            (status(number), "{}".to_owned())
        });
        let proxy = Proxy::start(sandbox, "shop", &stable.url(), &canary.url());
        Self {
            _users: Load::start(proxy.address, 100),
            proxy,
        }
    }

    /// The settings of a release of this shop, as the end of a workflow.
    pub(crate) fn settings(&self) -> String {
        format!(
            "x-canary:
  service: shop
  traffic: {{router: local, proxy: shop}}
  sources: {{scrape: {{canary: [\"http://{}/metrics\"], interval: 500ms}}}}
  metrics: {{preset: canary-proxy}}
  gates:
    - {{name: errors, metric: error_rate, success_condition: errors < 5%, interval: 500ms, window: 2s, min_requests: 5}}
  bake: 1s
  deadlines: {{evidence: 20s, decision: 5m}}
",
            self.proxy.metrics
        )
    }
}

/// The beginning of a workflow.
pub(crate) const HEAD: &str = "osop_version: \"2.0\"
id: shop-release
name: Release of the shop
";

/// A native node.
pub(crate) fn native(id: &str, runtime: &str) -> String {
    format!("  - {{id: {id}, type: infra, purpose: {id}, runtime: {{tool: canary, {runtime}}}}}\n")
}

/// A node that runs a command; `more` are further keys of its runtime, each on a line with its indent.
pub(crate) fn cli(id: &str, command: &str, more: &str) -> String {
    format!(
        "  - id: {id}\n    type: cli\n    purpose: {id}\n    timeout_sec: 300\n    runtime:\n      command: {command}\n{more}"
    )
}

/// Edges from one to the next.
pub(crate) fn sequence(ids: &[&str]) -> String {
    ids.windows(2).fold("edges:\n".to_owned(), |text, pair| {
        text + &format!(
            "  - {{from: {}, to: {}, mode: sequential}}\n",
            pair[0], pair[1]
        )
    })
}

/// 10 %, a check of this length, 100 %.
pub(crate) fn checked_for(shop: &Shop, length: &str) -> String {
    let nodes = [
        native("canary_10", "action: set-weight, weight: 10"),
        native(
            "check_10",
            &format!("action: analyze, gates: [errors], for: {length}"),
        ),
        native("promote", "action: promote"),
        native("rollback", "action: rollback"),
    ];
    let edges = sequence(&["canary_10", "check_10", "promote"]);
    format!("{HEAD}nodes:\n{}{edges}{}", nodes.concat(), shop.settings())
}

/// A demo measures how fast it is answered: two beside each other on a small machine measure each other.
pub(crate) fn one_demo_at_a_time() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The word for how a run ended; nothing while it goes on.
pub(crate) fn outcome(status: &Value) -> Option<String> {
    match &status["report"]["outcome"] {
        Value::String(word) => Some(word.clone()),
        Value::Object(object) => object.keys().next().cloned(),
        _ => None,
    }
}

/// A node of a status.
#[track_caller]
pub(crate) fn node<'a>(status: &'a Value, id: &str) -> &'a Value {
    let nodes = status["report"]["nodes"].as_array().expect("nodes");
    let found = nodes.iter().find(|node| node["id"] == id);
    found.unwrap_or_else(|| panic!("no node {id} in {nodes:?}"))
}

/// Fails the test if any output or file of the run has one of these texts in it.
#[track_caller]
pub(crate) fn keeps_secret(sandbox: &Sandbox, said: &Said, secrets: &[&str]) {
    let mut files = vec![sandbox.state()];
    let mut seen = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a directory");
            files.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.is_file() {
            let bytes = std::fs::read(&path).expect("a file");
            let text = String::from_utf8_lossy(&bytes);
            for secret in secrets {
                assert!(!text.contains(secret), "{secret} is in {}", path.display());
            }
            seen += 1;
        }
    }
    assert!(seen > 3, "only {seen} files were looked at");
    for secret in secrets {
        assert!(
            !said.all().contains(secret),
            "{secret} was said: {}",
            said.all()
        );
    }
}

/// A pipe in the working directory: a script that does `read _ < NAME` goes on when the test lets it.
pub(crate) struct Gate {
    pipe: File,
}

impl Gate {
    pub(crate) fn new(sandbox: &Sandbox, name: &str) -> Self {
        let path = sandbox.work().join(name);
        let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo");
        assert!(made.success());
        // Open for both, so that opening waits for nobody and what was written stays.
        let pipe = OpenOptions::new().read(true).write(true).open(&path);
        Self {
            pipe: pipe.expect("a pipe"),
        }
    }

    /// Lets one through, now or later.
    pub(crate) fn let_through(&mut self) {
        self.pipe.write_all(b"go\n").expect("a pipe");
    }
}
