//! What somebody tries who has just begun: pipes, full disks, the same thing twice, gates on the command line, `canary init`.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Output, Stdio};

use canary_tests::sandbox::{Sandbox, eventually};

use crate::release::{Gate, HEAD, Shop, checked_for, cli, native, node, outcome, sequence};

/// A text's words in one line: a screen wraps them.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn with_stdout(sandbox: &Sandbox, arguments: &[&str], stdout: Stdio) -> Output {
    let mut command = sandbox.command(arguments);
    let child = command.stdout(stdout).stderr(Stdio::piped()).spawn();
    child.expect("canary").wait_with_output().expect("an end")
}

#[test]
fn data_that_cannot_be_written_is_a_failure_and_a_reader_that_left_is_none() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    sandbox.file("shop.yaml", &checked_for(&shop, "1s"));
    // The exit code of a release stays that of the release.
    let full = || {
        File::options()
            .write(true)
            .open("/dev/full")
            .expect("/dev/full")
    };
    let run = with_stdout(&sandbox, &["run", "shop.yaml"], full().into());
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("cannot write to stdout"), "{stderr}");
    for arguments in [
        &["status"][..],
        &["status", "-o", "json"],
        &["history"],
        &["logs"],
        &["logs", "-o", "json"],
        &["report"],
        &["report", "-o", "html"],
        &["graph", "shop.yaml"],
        &["validate", "shop.yaml"],
        &["config", "shop.yaml"],
        &["config", "--reference"],
        &["doctor"],
        &["run", "shop.yaml", "--dry-run"],
        &["init", "--yes"],
        &["completions", "bash"],
        &["man"],
        &["--help"],
        &["--version"],
    ] {
        let failed = with_stdout(&sandbox, arguments, full().into());
        let stderr = String::from_utf8_lossy(&failed.stderr);
        assert_eq!(failed.status.code(), Some(4), "{arguments:?}: {stderr}");
        assert!(
            stderr.contains("cannot write to stdout"),
            "{arguments:?}: {stderr}"
        );
        // A pipe whose reader left.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let left = with_stdout(&sandbox, arguments, writer.into());
        assert_eq!(left.status.code(), Some(0), "{arguments:?}");
        assert!(
            !String::from_utf8_lossy(&left.stderr).contains("write"),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_workflow_comes_from_standard_input_too() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    let workflow = checked_for(&shop, "1s");
    let fed = |arguments: &[&str], text: &str| {
        let mut command = sandbox.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("canary");
        child
            .stdin
            .take()
            .expect("stdin")
            .write_all(text.as_bytes())
            .expect("a pipe");
        child.wait_with_output().expect("an end")
    };
    for arguments in [
        &["validate", "-"][..],
        &["run", "-", "--dry-run"],
        &["graph", "-"],
    ] {
        let said = fed(arguments, &workflow);
        assert_eq!(
            said.status.code(),
            Some(0),
            "{arguments:?} {}",
            String::from_utf8_lossy(&said.stderr)
        );
    }
    let wrong = fed(&["run", "-", "--dry-run"], "nodes: [");
    let stderr = String::from_utf8_lossy(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("<stdin>:1:"), "{stderr}");
    let twice = fed(&["run", "-", "--profile", "-", "--dry-run"], &workflow);
    assert!(String::from_utf8_lossy(&twice.stderr).contains("only one file can be `-`"));
}

#[test]
fn what_is_so_already_is_a_success() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    let nodes = [
        native("canary_10", "action: set-weight, weight: 10"),
        native("check_10", "action: analyze, gates: [errors], for: 1s"),
        "  - {id: agree, type: human, purpose: Agree}\n".to_owned(),
        native("canary_50", "action: set-weight, weight: 50"),
        native("check_50", "action: analyze, gates: [errors], for: 10m"),
        native("promote", "action: promote"),
        cli("rollback", "\"read _ < gate\"", "      idempotent: true\n"),
    ];
    let edges = sequence(&[
        "canary_10",
        "check_10",
        "agree",
        "canary_50",
        "check_50",
        "promote",
    ]);
    let mut gate = Gate::new(&sandbox, "gate");
    sandbox.file(
        "shop.yaml",
        &format!("{HEAD}nodes:\n{}{edges}{}", nodes.concat(), shop.settings()),
    );
    let mut release = sandbox.start(&["run", "shop.yaml", "--yes"]);
    let run = release.run_id();
    release.expect("agree needs the approval");

    let said = sandbox.canary(&["promote"]).exits(0);
    assert!(
        said.stderr.contains("agree is approved by tester"),
        "{}",
        said.all()
    );
    assert!(said.stdout.contains("goes on: "), "{}", said.all());
    sandbox.canary(&["promote", "--node", "agree"]).exits(0);
    release.expect("canary gets 50 %");

    sandbox.canary(&["pause"]).exits(0);
    let again = sandbox.canary(&["pause"]).exits(0);
    assert!(again.stderr.contains("paused already"), "{}", again.all());
    sandbox.canary(&["resume"]).exits(0);
    let again = sandbox.canary(&["resume"]).exits(0);
    assert!(again.stderr.contains("is not paused"), "{}", again.all());
    // Nothing was done, and nothing of the kind is so: that is no success.
    sandbox
        .canary(&["retry"])
        .exits(1)
        .says(&["nothing is blocked"]);

    sandbox.canary(&["abort"]).exits(0);
    eventually("the way back", || {
        let status = sandbox.status(&run);
        (node(&status, "rollback")["status"] == "running").then_some(())
    });
    let again = sandbox.canary(&["abort"]).exits(0);
    assert!(
        again.stderr.contains("going back already"),
        "{}",
        again.all()
    );
    gate.let_through();
    release.finish().exits(1);
    sandbox.canary(&["abort", &run]).exits(0).says(&[
        "has ended already",
        "its canary has no traffic",
        "aborted by tester",
    ]);
    assert_eq!(outcome(&sandbox.status(&run)).as_deref(), Some("aborted"));
}

#[test]
fn a_promoted_release_says_what_is_left_to_do() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    sandbox.file("shop.yaml", &checked_for(&shop, "1s"));
    let said = sandbox.canary(&["run", "shop.yaml"]).exits(0);
    let to_do = "to do: the proxy `shop` still sends everything to the canary's address";
    assert!(flat(&said.stdout).contains(to_do), "{}", said.all());
    let report = sandbox.canary(&["report"]).exits(0);
    assert!(flat(&report.stdout).contains(to_do), "{}", report.all());

    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    let done = checked_for(&shop, "1s") + "  workload: {promote: \"true\"}\n";
    sandbox.file("shop.yaml", &done);
    let said = sandbox.canary(&["run", "shop.yaml", "--yes"]).exits(0);
    assert!(!said.stdout.contains("to do:"), "{}", said.all());
}

#[test]
fn what_is_wrong_with_a_gate_is_shown_in_what_was_typed() {
    let sandbox = Sandbox::new();
    let analyze = |gates: &[&str]| {
        let mut arguments = vec!["analyze", "--prometheus", "http://127.0.0.1:9"];
        for gate in gates {
            arguments.extend(["--gate", gate]);
        }
        sandbox.canary(&arguments)
    };
    let wrong = analyze(&["error_rate < 500ms"]).exits(2);
    wrong.says(&["--gate:1:", "error_rate < 500ms"]);
    let wrong = analyze(&["up{job=\"a\"} > 0", "p99_latency < 5%"]).exits(2);
    let wrong = wrong.says(&["--gate (2 of 2):1:", "p99_latency < 5%"]);
    for generated in ["success_condition", "\"name\"", "gate-1", "--gate:1:1\n"] {
        assert!(
            !wrong.all().contains(generated),
            "{generated}: {}",
            wrong.all()
        );
    }
    // A gate is called after what it measures.
    let named = analyze(&["sum(rate(errors{job=\"a\"}[5m])) < 3"]).exits(3);
    named.says(&["sum-rate-errors-job-a-5m"]);
}

/// Sets the weight of the shop's proxy as docs/proxy.md says it.
fn split_by_hand(sandbox: &Sandbox, percent: u8) {
    let socket = sandbox.work().join("../run/canary/proxy-shop.sock");
    let mut stream = std::os::unix::net::UnixStream::connect(socket).expect("the socket");
    let body = format!("{{\"weight\": {percent}, \"by\": \"a command\"}}");
    let length = body.len();
    let request = format!(
        "PUT /v1/weight HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn what_init_writes_runs() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    let metrics = format!("http://{}/metrics", shop.proxy.metrics);
    let quick = [
        "--for",
        "2s",
        "--interval",
        "500ms",
        "--min-requests",
        "5",
        "--bake",
        "2s",
        "--p99-latency",
        "off",
    ];
    let init = |more: &[&str]| {
        let mut arguments = vec![
            "init",
            "--yes",
            "--service",
            "shop",
            "--canary-metrics",
            &metrics,
        ];
        arguments.extend(["--preset", "canary-proxy", "--steps", "20"]);
        arguments.extend(quick);
        arguments.extend(more);
        sandbox.canary(&arguments).exits(0)
    };
    init(&["--proxy", "shop", "--output", "shop.yaml"]);
    let valid = sandbox.canary(&["validate", "shop.yaml"]).exits(0);
    assert_eq!(valid.stdout, "shop.yaml: ok\n");
    sandbox
        .canary(&["run", "shop.yaml"])
        .exits(0)
        .says(&["promoted"]);
    // It must not exist.
    let mut again = sandbox.command(&["init", "--yes", "--output", "shop.yaml"]);
    assert_eq!(again.output().expect("canary").status.code(), Some(2));

    // By commands: what they were called with is what a splitter would be told.
    sandbox.tool("split", "echo $1 >> weights");
    init(&["--set-weight", "split", "--output", "commands.yaml"]);
    let valid = sandbox.canary(&["validate", "commands.yaml"]).exits(0);
    assert_eq!(valid.stdout, "commands.yaml: ok\n");
    sandbox
        .canary(&["run", "commands.yaml", "--yes"])
        .exits(0)
        .says(&["completed"]);
    assert_eq!(sandbox.text("weights"), "20\n100\n");

    // A bad version is taken back by the command, too.
    let bad = Sandbox::new();
    let shop = Shop::with_canary(&bad, |_| 500);
    bad.tool("split", "echo $1 >> weights");
    let metrics = format!("http://{}/metrics", shop.proxy.metrics);
    let mut arguments = vec![
        "init",
        "--yes",
        "--service",
        "shop",
        "--set-weight",
        "split",
        "--output",
        "bad.yaml",
    ];
    arguments.extend(["--preset", "canary-proxy", "--canary-metrics", &metrics]);
    arguments.extend(quick);
    bad.canary(&arguments).exits(0);
    split_by_hand(&bad, 20);
    bad.canary(&["run", "bad.yaml", "--yes"])
        .exits(1)
        .says(&["check_10 failed: error-rate is 100 %"]);
    assert_eq!(bad.text("weights"), "10\n0\n");
}
