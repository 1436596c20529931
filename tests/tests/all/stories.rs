//! Every story of `canary demo` ends as it should, and says why.

use canary_tests::sandbox::{Said, Sandbox};
use serde_json::Value;

use crate::release::{one_demo_at_a_time, outcome};

/// What a story is told with, and how it ended.
struct Told {
    said: Said,
    status: Value,
}

fn tell(story: &str) -> Told {
    let _alone = one_demo_at_a_time();
    let sandbox = Sandbox::new();
    let said = sandbox.canary(&["demo", "--plain", "--speed", "2", "--story", story]);
    let status = sandbox.status("shop-1");
    assert_eq!(status["live"], false);
    assert_eq!(status["report"]["phase"], "ended");
    assert!(
        sandbox
            .run_directory("shop-1")
            .join("demo.osoplog.yaml")
            .is_file()
    );
    let list = sandbox.canary(&["history"]).exits(0);
    assert!(list.stdout.contains("shop-1"), "{}", list.all());
    Told { said, status }
}

impl Told {
    /// Exit code 0: it ended as the story should. The bad version is gone, and the sentence says what it did.
    fn caught(self, gate: &str, limit: &str) -> Self {
        let Self { said, status } = self;
        let report = &status["report"];
        assert_eq!(
            outcome(&status).as_deref(),
            Some("rolled-back"),
            "{}",
            said.all()
        );
        assert_eq!(report["traffic"]["observed"], 0);
        let headline = report["headline"].as_str().expect("a sentence");
        let found = report["gates"].as_array().expect("gates");
        let found = found
            .iter()
            .find(|one| one["name"] == gate)
            .expect("the gate");
        for part in [gate, " is ", limit, "(at 10 %)"] {
            assert!(headline.contains(part), "{part:?} is not in {headline:?}");
        }
        // One of the gate's own, or one more that its guard saw first.
        assert!(found["failed"].as_u64() >= Some(1), "{found}");
        let requests = report["cost"]["requests"].as_u64().expect("what it cost");
        assert!(requests > 0);
        let bad = report["cost"]["bad"].as_u64().expect("bad answers");
        let cost = format!("cost: {bad} bad answers in {requests} requests that the canary served");
        let said = said.exits(0).says(&[
            headline,
            &cost,
            "rolled-back",
            "canary gets 0 %",
            "try next: canary",
        ]);
        Self { said, status }
    }

    fn bad_answers(&self) -> u64 {
        self.status["report"]["cost"]["bad"]
            .as_u64()
            .expect("bad answers")
    }
}

#[test]
fn errors_are_caught_at_10_percent() {
    let told = tell("errors").caught("error-rate", "must be < 1%");
    assert!(told.bad_answers() > 0);
    let nodes = told.status["report"]["nodes"].as_array().expect("nodes");
    let rollback = nodes
        .iter()
        .find(|node| node["id"] == "rollback")
        .expect("a rollback");
    assert_eq!(rollback["status"], "completed");
}

#[test]
fn slow_answers_are_caught() {
    let told = tell("slow").caught("p99-latency", "must be < 500ms");
    let lines = told.said.all();
    assert!(lines.contains("FAIL: p99-latency is "), "{lines}");
}

#[test]
fn a_crash_is_caught() {
    assert!(
        tell("crash")
            .caught("error-rate", "must be < 1%")
            .bad_answers()
            > 1
    );
}

#[test]
fn a_good_version_is_promoted() {
    let told = tell("good");
    let said = told.said.exits(0);
    let report = &told.status["report"];
    assert_eq!(outcome(&told.status).as_deref(), Some("promoted"));
    assert_eq!(report["traffic"]["observed"], 100);
    let said = said.says(&[
        "promoted: every check and the bake passed",
        "canary gets 100 %",
        "cost: ",
    ]);
    let steps: Vec<_> = said
        .stderr
        .lines()
        .filter_map(|line| line.split_once(" set weight "))
        .map(|(_, weight)| weight)
        .collect();
    assert_eq!(steps, ["10 %", "50 %", "100 %"]);
}

#[test]
fn without_traffic_nothing_is_decided_and_it_is_taken_back() {
    let told = tell("no-traffic");
    let said = told.said.exits(0).says(&[
        "0 requests in the window, and 40 are needed to judge",
        "is blocked",
    ]);
    assert!(!said.stderr.contains("set weight 50"), "{}", said.all());
    assert_eq!(outcome(&told.status).as_deref(), Some("rolled-back"));
    assert_eq!(told.status["report"]["traffic"]["observed"], 0);
}

#[test]
fn one_that_turns_bad_late_is_caught() {
    let told = tell("late");
    let report = &told.status["report"];
    assert_eq!(
        outcome(&told.status).as_deref(),
        Some("rolled-back"),
        "{}",
        told.said.all()
    );
    assert_eq!(report["traffic"]["observed"], 0);
    let headline = report["headline"].as_str().expect("a sentence");
    assert!(headline.contains("error-rate is "), "{headline}");
    told.said.exits(0);
}

#[test]
fn a_story_that_does_not_exist_is_explained() {
    let sandbox = Sandbox::new();
    sandbox
        .canary(&["demo", "--story", "eror"])
        .exits(2)
        .says(&["eror", "errors", "no-traffic"]);
    sandbox
        .canary(&["demo", "--speed", "1000"])
        .exits(2)
        .says(&["0.1 to 20"]);
}
