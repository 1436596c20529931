//! The record of a run, checked against what the official schema of `.osoplog` requires.

use std::path::Path;

use serde_json::Value;

/// A record.
pub(crate) struct Log(Value);

const RUN_STATUSES: [&str; 6] = [
    "COMPLETED",
    "FAILED",
    "TIMEOUT",
    "COST_LIMIT",
    "BLOCKED",
    "DRY_RUN",
];
const NODE_STATUSES: [&str; 8] = [
    "COMPLETED",
    "FAILED",
    "SKIPPED",
    "DRY_RUN",
    "TIMEOUT",
    "ERROR",
    "BLOCKED",
    "RUNNING",
];

impl Log {
    #[track_caller]
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("a record");
        Self(serde_saphyr::from_str(&text).expect("YAML"))
    }

    fn records(&self) -> &[Value] {
        self.0["node_records"].as_array().expect("records of nodes")
    }

    /// The last record of a node.
    #[track_caller]
    pub(crate) fn record(&self, id: &str) -> &Value {
        let found = self
            .records()
            .iter()
            .rfind(|record| record["node_id"] == id);
        found.unwrap_or_else(|| panic!("no record of {id} in {:#}", self.0))
    }

    /// `id attempt STATUS` of every record.
    pub(crate) fn statuses(&self) -> Vec<String> {
        let word = |value: &Value| value.as_str().expect("a text").to_owned();
        self.records()
            .iter()
            .map(|record| {
                let attempt = record["attempt"].as_u64().expect("a number");
                format!(
                    "{} {attempt} {}",
                    word(&record["node_id"]),
                    word(&record["status"])
                )
            })
            .collect()
    }

    /// Required fields, their types and words; what each status asks for.
    #[track_caller]
    pub(crate) fn is_schema_valid(&self, run: &str, workflow: &str, status: &str) {
        let log = &self.0;
        assert_eq!(log["run_id"], run);
        assert_eq!(log["workflow_id"], workflow);
        assert_eq!(log["status"], status, "{log:#}");
        assert!(RUN_STATUSES.contains(&status));
        assert!(log["osoplog_version"].is_string());
        let started: jiff::Timestamp = time(&log["started_at"]);
        assert!(started <= time(&log["ended_at"]));
        assert!(log["duration_ms"].is_u64());
        for record in self.records() {
            let status = record["status"].as_str().expect("a status");
            assert!(NODE_STATUSES.contains(&status), "{record}");
            assert!(record["node_type"].is_string() && record["node_id"].is_string());
            assert!(record["attempt"].as_u64() >= Some(1), "{record}");
            assert!(
                record["inputs"].is_object() && record["outputs"].is_object(),
                "{record}"
            );
            let explained = record["reason"].is_string() || record["error"].is_string();
            match status {
                "COMPLETED" => assert!(time(&record["started_at"]) <= time(&record["ended_at"])),
                "FAILED" | "SKIPPED" | "BLOCKED" | "ERROR" => assert!(explained, "{record}"),
                _ => {}
            }
        }
    }
}

#[track_caller]
fn time(value: &Value) -> jiff::Timestamp {
    let text = value.as_str().unwrap_or_else(|| panic!("no time: {value}"));
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}
