//! `kill -9` at any point, then `canary resume`: the end is the same, and nothing that was seen to finish runs twice.

use std::time::{Duration, Instant};

use canary_tests::sandbox::{Running, SOON, Sandbox, eventually, is_alive};
use rustix::process::Signal;
use serde_json::Value;

use crate::release::{Gate, HEAD, Shop, cli, native, node, outcome, sequence};

/// Real commands around and between the steps; each writes its name, and can be asked whether it had.
fn workflow(shop: &Shop) -> String {
    let command = |id: &str| {
        let verify = format!("      verify: grep -qx {id} ran\n");
        cli(id, &format!("echo {id} >> ran"), &verify)
    };
    let nodes = [
        command("before"),
        native("canary_10", "action: set-weight, weight: 10"),
        command("between"),
        native("check_10", "action: analyze, gates: [errors], for: 400ms"),
        native("promote", "action: promote"),
        command("after"),
        command("rollback"),
    ];
    let edges = sequence(&[
        "before",
        "canary_10",
        "between",
        "check_10",
        "promote",
        "after",
    ]);
    format!(
        "{HEAD}nodes:\n{}{edges}x-canary:
  service: shop
  traffic: {{router: local, proxy: shop}}
  sources: {{scrape: {{canary: [\"http://{}/metrics\"], interval: 100ms}}}}
  metrics: {{preset: canary-proxy}}
  gates:
    - {{name: errors, metric: error_rate, success_condition: errors < 50%, interval: 200ms, window: 2s, min_requests: 2}}
  bake: 400ms
  deadlines: {{evidence: 30s, decision: 5m}}
",
        nodes.concat(),
        shop.proxy.metrics
    )
}

/// How a run ended, in what must not differ.
#[derive(Debug, PartialEq)]
struct End {
    outcome: Option<String>,
    code: Option<i32>,
    weight: f64,
    ran: String,
    nodes: Vec<(String, String)>,
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Check and guard of the same gate see a failure at the same time: whichever is first ends the other.
fn caught(status: String) -> String {
    if status == "cancelled" {
        "failed".to_owned()
    } else {
        status
    }
}

/// A release that begins anew, and is killed when its journal has so many records.
struct Try {
    sandbox: Sandbox,
    shop: Shop,
}

impl Try {
    fn new(status: u16) -> Self {
        let sandbox = Sandbox::new();
        let shop = Shop::with_canary(&sandbox, move |_| status);
        sandbox.file("shop.yaml", &workflow(&shop));
        // grep says 2, which is no answer, where there is no file.
        sandbox.file("ran", "");
        Self { sandbox, shop }
    }

    fn run(&self) -> Running {
        self.sandbox.start(&["run", "shop.yaml", "--yes"])
    }

    fn end(&self, code: Option<i32>) -> End {
        let status = self.sandbox.status("shop-1");
        let nodes = status["report"]["nodes"].as_array().expect("nodes");
        End {
            outcome: outcome(&status),
            code,
            weight: self.shop.proxy.weight(),
            ran: self.sandbox.text("ran"),
            nodes: nodes
                .iter()
                .map(|node| (text(&node["id"]), caught(text(&node["status"]))))
                .collect(),
        }
    }

    /// Kills the run as soon as its journal has `records` records. Does nothing if it ends with fewer.
    fn killed_at(&self, records: usize) -> bool {
        let journal = self.sandbox.run_directory("shop-1").join("journal.jsonl");
        let mut run = self.run();
        let end = Instant::now() + SOON;
        loop {
            let lines = std::fs::read(&journal).unwrap_or_default();
            if lines.iter().filter(|byte| **byte == b'\n').count() >= records {
                if run.ended().is_none() {
                    run.signal(Signal::KILL);
                }
                return run.finish().code == 128 + 9;
            }
            if run.ended().is_some() {
                return false;
            }
            assert!(Instant::now() < end, "no record {records} came");
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

fn uncut(status: u16) -> (End, usize) {
    let whole = Try::new(status);
    let said = whole.run().finish();
    (
        whole.end(Some(said.code)),
        whole.sandbox.journal("shop-1").len(),
    )
}

/// Every `step`-th record from `first` on.
fn killed_at_records(status: u16, first: usize, step: usize) {
    let (expected, records) = uncut(status);
    assert!(records > 10, "{records}");
    let mut kills = 0;
    for record in (first..=records).step_by(step) {
        let cut = Try::new(status);
        if !cut.killed_at(record) {
            continue;
        }
        kills += 1;
        let before = cut.sandbox.status("shop-1");
        assert_eq!(before["live"], false, "record {record}");
        // It may have been over already, but for its last words.
        let resumed = (outcome(&before).is_none() || before["report"]["phase"] != "ended")
            .then(|| cut.sandbox.canary(&["resume", "shop-1"]));
        let said = resumed.as_ref().map_or_else(String::new, |said| said.all());
        let code = resumed.map_or(expected.code, |said| Some(said.code));
        assert_eq!(
            cut.end(code),
            expected,
            "killed at record {record} of about {records}\n{said}"
        );
    }
    assert!(kills > 0, "nothing was killed");
}

#[test]
fn without_a_kill() {
    let (good, _) = uncut(200);
    assert_eq!(
        (good.outcome.as_deref(), good.code, good.weight),
        (Some("promoted"), Some(0), 100.0)
    );
    assert_eq!(good.ran, "before\nbetween\nafter\n");
    let (bad, _) = uncut(500);
    assert_eq!(
        (bad.outcome.as_deref(), bad.code, bad.weight),
        (Some("rolled-back"), Some(1), 0.0)
    );
    assert_eq!(bad.ran, "before\nbetween\nrollback\n");
}

#[test]
fn killed_at_records_1_5_9() {
    killed_at_records(200, 1, 4);
}

#[test]
fn killed_at_records_2_6_10() {
    killed_at_records(200, 2, 4);
}

#[test]
fn killed_at_records_3_7_11() {
    killed_at_records(200, 3, 4);
}

#[test]
fn killed_at_records_4_8_12() {
    killed_at_records(200, 4, 4);
}

#[test]
fn a_bad_canary_killed_at_odd_records() {
    killed_at_records(500, 1, 2);
}

#[test]
fn a_bad_canary_killed_at_even_records() {
    killed_at_records(500, 2, 2);
}

/// A run that was killed while its node `slow` ran, which waits for the gate.
struct Doubt {
    sandbox: Sandbox,
    gate: Gate,
    processes: Vec<u32>,
}

/// `runtime`: further lines of the node's runtime.
fn killed_while_slow_runs(runtime: &str) -> Doubt {
    let sandbox = Sandbox::new();
    let gate = Gate::new(&sandbox, "gate");
    let script = "\"echo started >> ran; setsid sh -c 'echo $$ >> pids; exec sleep 1000' & sleep 1000 & echo $! >> pids; echo $$ >> pids; read _ < gate; kill $!; echo finished >> ran\"";
    let nodes = [
        cli("slow", script, runtime),
        cli("next", "echo next >> ran", ""),
    ];
    let edges = sequence(&["slow", "next"]);
    let settings = "x-canary: {service: shop}\n";
    sandbox.file(
        "shop.yaml",
        &format!("{HEAD}nodes:\n{}{edges}{settings}", nodes.concat()),
    );
    let mut run = sandbox.start(&["run", "shop.yaml", "--yes"]);
    run.run_id();
    let processes: Vec<u32> = eventually("all processes", || {
        let text = sandbox.text("pids");
        let pids: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        (pids.len() == 3 && text.ends_with('\n')).then_some(pids)
    });
    run.signal(Signal::KILL);
    run.finish().exits(128 + 9);
    assert!(
        processes.iter().all(|pid| is_alive(*pid)),
        "nobody ends them but who resumes"
    );
    Doubt {
        sandbox,
        gate,
        processes,
    }
}

impl Doubt {
    #[track_caller]
    fn nothing_is_left(&self) {
        eventually("the end of what was left", || {
            (!self.processes.iter().any(|pid| is_alive(*pid))).then_some(())
        });
    }

    #[track_caller]
    fn is_completed(&self, ran: &str) {
        let status = self.sandbox.status("shop-1");
        assert_eq!(outcome(&status).as_deref(), Some("completed"));
        assert_eq!(self.sandbox.text("ran"), ran);
    }
}

#[test]
fn in_doubt_and_verified_it_is_not_run_again() {
    let doubt = killed_while_slow_runs("      verify: test -e is-there\n");
    doubt.sandbox.file("is-there", "");
    doubt
        .sandbox
        .canary(&["resume"])
        .exits(0)
        .says(&["slow had finished"]);
    doubt.nothing_is_left();
    doubt.is_completed("started\nnext\n");
}

#[test]
fn in_doubt_and_found_missing_it_is_run_again() {
    let mut doubt = killed_while_slow_runs("      verify: test -e is-there\n");
    let mut resumed = doubt.sandbox.start(&["resume"]);
    resumed.expect("slow had not finished");
    doubt.nothing_is_left();
    doubt.gate.let_through();
    resumed.finish().exits(0);
    doubt.is_completed("started\nstarted\nfinished\nnext\n");
}

#[test]
fn in_doubt_and_idempotent_it_is_run_again() {
    let mut doubt = killed_while_slow_runs("      idempotent: true\n");
    let resumed = doubt.sandbox.start(&["resume"]);
    eventually("a second start", || {
        (doubt.sandbox.text("ran") == "started\nstarted\n").then_some(())
    });
    doubt.nothing_is_left();
    doubt.gate.let_through();
    resumed.finish().exits(0);
    doubt.is_completed("started\nstarted\nfinished\nnext\n");
}

#[test]
fn in_doubt_and_nobody_can_tell_it_blocks() {
    let doubt = killed_while_slow_runs("");
    doubt
        .sandbox
        .canary(&["resume", "--no-wait"])
        .exits(3)
        .says(&[
            "blocked",
            "slow was started and not seen to finish before the run was interrupted",
            "it has no `runtime.verify` and is not `idempotent`",
            "canary promote",
            "canary retry",
        ]);
    doubt.nothing_is_left();
    let status = doubt.sandbox.status("shop-1");
    assert_eq!(status["report"]["phase"], "blocked");
    assert_eq!(node(&status, "next")["status"], "pending");
    doubt
        .sandbox
        .canary(&["promote", "--reason", "I looked"])
        .exits(0)
        .says(&["slow", "completed"]);
    doubt.is_completed("started\nnext\n");
}

#[test]
fn in_doubt_a_person_may_have_it_run_again() {
    let mut doubt = killed_while_slow_runs("");
    let retried = doubt.sandbox.start(&["retry"]);
    eventually("a second start", || {
        (doubt.sandbox.text("ran") == "started\nstarted\n").then_some(())
    });
    doubt.nothing_is_left();
    doubt.gate.let_through();
    retried.finish().exits(0);
    doubt.is_completed("started\nstarted\nfinished\nnext\n");
}

#[test]
fn a_signal_while_a_command_in_doubt_is_verified_aborts_at_once() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let doubt = killed_while_slow_runs(
            "      verify: \"echo $$ >> verifies; echo asked >> asked; exec sleep 1000\"\n",
        );
        let resumed = doubt.sandbox.start(&["resume"]);
        eventually("the question", || {
            (doubt.sandbox.text("asked") == "asked\n").then_some(())
        });
        doubt.nothing_is_left();
        let asked = Instant::now();
        resumed.signal(signal);
        let said = resumed.finish();
        assert_eq!(said.code, code, "{}", said.all());
        assert!(
            asked.elapsed() < Duration::from_secs(20),
            "{:?}",
            asked.elapsed()
        );
        let verify: u32 = doubt
            .sandbox
            .text("verifies")
            .trim()
            .parse()
            .expect("a pid");
        eventually("the end of the question", || {
            (!is_alive(verify)).then_some(())
        });
        let status = doubt.sandbox.status("shop-1");
        assert_eq!(outcome(&status).as_deref(), Some("aborted"));
        assert_eq!(doubt.sandbox.text("ran"), "started\n");
    }
}

#[test]
fn an_abort_of_a_run_that_is_just_being_resumed_takes_traffic_off() {
    let cut = Try::new(200);
    // With 10 %, whatever else is going on.
    let mut run = cut.run();
    run.expect("canary gets 10 %");
    run.signal(Signal::KILL);
    run.finish();
    assert_eq!(cut.shop.proxy.weight(), 10.0);
    let resumed = cut.sandbox.start(&["resume", "shop-1"]);
    let said = cut.sandbox.canary(&["abort", "shop-1"]);
    assert!(!said.all().contains("panicked"), "{}", said.all());
    resumed.finish();
    let status = cut.sandbox.status("shop-1");
    assert_eq!(
        outcome(&status).as_deref(),
        Some("aborted"),
        "{}",
        said.all()
    );
    assert_eq!(cut.shop.proxy.weight(), 0.0);
}
