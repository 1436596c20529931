//! What people read: safe for their terminal, each fact once, in the words of the docs.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Output, Stdio};

use canary_tests::sandbox::{Said, Sandbox, eventually};
use rustix::process::Signal;

use crate::release::{HEAD, Shop, checked_for, cli, native, node, outcome, sequence};

/// Lines of one of the outputs that contain this.
fn count(text: &str, part: &str) -> usize {
    text.lines().filter(|line| line.contains(part)).count()
}

/// A text's words in one line: a screen wraps them.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn obeys_nothing(said: &Said) {
    for letter in ['\u{1b}', '\r', '\u{202e}', '\u{9b}'] {
        assert!(
            !said.all().contains(letter),
            "{letter:?} in {:?}",
            said.all()
        );
    }
    for line in said.stdout.lines().chain(said.stderr.lines()) {
        assert!(
            !line.trim_start().starts_with("error: made up"),
            "{}",
            said.all()
        );
    }
}

#[test]
fn nothing_that_others_say_reaches_the_terminal_as_a_command() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    let nasty = "late\u{1b}[2J\nerror: made up\r\u{202e}\u{9b}31m";
    let nodes = [
        cli(
            "noisy",
            "\"printf 'out\\\\033[31m\\\\nerror: made up\\\\r\\\\n'; printf 'no\\\\033[2J\\\\nerror: made up' >&2; exit 3\"",
            "",
        ),
        native("canary_10", "action: set-weight, weight: 10"),
        native("check_10", "action: analyze, gates: [errors], for: 10m"),
        native("promote", "action: promote"),
        native("rollback", "action: rollback"),
    ];
    let edges = sequence(&["canary_10", "check_10", "promote"])
        + "  - {from: noisy, to: canary_10, mode: fallback}\n";
    sandbox.file(
        "shop.yaml",
        &format!("{HEAD}nodes:\n{}{edges}{}", nodes.concat(), shop.settings()),
    );
    let mut release = sandbox.start(&["run", "shop.yaml", "--yes"]);
    let run = release.run_id();
    release.expect("check_10: pass");
    let mut abort = sandbox.command(&["abort", "--reason", nasty]);
    abort.env("CANARY_USER", "ann\u{1b}]0;title\u{7}");
    let abort = canary_tests::sandbox::Running::start(abort)
        .finish()
        .exits(0);
    obeys_nothing(&abort);
    let release = release.finish().exits(1);
    obeys_nothing(&release);
    release.says(&[
        "late\\x1b[2J\\nerror: made up\\r\\u{202e}\\x9b31m",
        "ann\\x1b]0;title\\x07",
    ]);
    for command in [
        &["status", run.as_str()][..],
        &["status", &run, "-o", "wide"],
        &["history", "-o", "wide"],
        &["logs", &run],
        &["report", &run],
        &["report", &run, "-o", "html"],
        &["abort", &run],
        &["pause", &run],
    ] {
        let said = sandbox.canary(command);
        obeys_nothing(&said);
        assert!(
            said.all().contains("late\\x1b[2J\\nerror: made up"),
            "{command:?}: {}",
            said.all()
        );
    }
    // Data stays data.
    let status = sandbox.status(&run);
    let headline = status["report"]["headline"].as_str().expect("a headline");
    assert!(headline.contains(nasty), "{headline:?}");
    // What a node printed is what it printed, for whoever is no terminal.
    let printed = sandbox.canary(&["logs", &run, "--node", "noisy"]).exits(0);
    assert!(printed.stdout.contains("\u{1b}[31m"), "{}", printed.all());
}

#[test]
fn a_router_that_is_gone_is_said_once() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    sandbox.file("shop.yaml", &checked_for(&shop, "10m"));
    let mut release = sandbox.start(&["run", "shop.yaml"]);
    let run = release.run_id();
    release.expect("check_10: pass");
    let proxy = rustix::process::Pid::from_raw(i32::try_from(shop.proxy.pid()).expect("a pid"));
    rustix::process::kill_process(proxy.expect("a pid"), Signal::KILL).expect("a signal");
    let failures = || {
        let journal = sandbox.journal(&run);
        let failed = |record: &&serde_json::Value| record["event"]["type"] == "weight_failed";
        journal.iter().filter(failed).count()
    };
    eventually("the router was asked again and again", || {
        (failures() >= 4).then_some(())
    });
    let status = sandbox.canary(&["status", &run]).exits(0);
    assert_eq!(count(&flat(&status.stdout), "nobody listens on"), 1);
    assert_eq!(
        flat(&status.stdout).matches("nobody listens on").count(),
        1,
        "{}",
        status.all()
    );
    let logs = sandbox.canary(&["logs", &run]).exits(0);
    assert_eq!(
        count(&logs.stdout, "nobody listens on"),
        1,
        "{}",
        logs.all()
    );
    release.signal(Signal::KILL);
    let said = release.finish();
    assert_eq!(
        count(&said.stderr, "nobody listens on"),
        1,
        "{}",
        said.all()
    );
    // The way to start it again is the one that would be found again.
    said.says(&["--name shop"]);
}

#[test]
fn a_rolled_back_release_says_each_fact_once() {
    let sandbox = Sandbox::new();
    let shop = Shop::with_canary(&sandbox, |_| 500);
    sandbox.file("shop.yaml", &checked_for(&shop, "10m"));
    let said = sandbox.canary(&["run", "shop.yaml"]).exits(1);
    let why = "errors is 100 %, and must be < 5%";
    assert_eq!(flat(&said.stdout).matches(why).count(), 1, "{}", said.all());
    assert_eq!(count(&said.stderr, why), 1, "{}", said.all());
    for line in [
        "canary gets 10 %",
        "set weight 0 %",
        "rolled-back",
        "starts: ",
    ] {
        assert_eq!(count(&said.stderr, line), 1, "{line}: {}", said.all());
    }
    let report = sandbox.canary(&["report"]).exits(0);
    let (status, log) = report.stdout.split_once("starts: ").expect("a log");
    assert_eq!(flat(status).matches(why).count(), 1, "{}", report.all());
    assert_eq!(log.matches(why).count(), 1, "{}", report.all());
}

#[test]
fn no_evidence_is_pending_until_its_deadline_and_then_inconclusive() {
    let sandbox = Sandbox::new();
    let shop = Shop::open(&sandbox);
    let workflow = checked_for(&shop, "10m")
        .replace("min_requests: 5", "min_requests: 100000")
        .replace("evidence: 20s", "evidence: 4s");
    sandbox.file("shop.yaml", &workflow);
    let mut release = sandbox.start(&["run", "shop.yaml"]);
    let run = release.run_id();
    let line = release.expect("are needed to judge");
    assert!(
        line.contains("check_10: pending: ") && line.contains("waited for until "),
        "{line}"
    );
    let pending = sandbox.canary(&["status", &run]).exits(0);
    assert!(
        flat(&pending.stdout).contains("pending"),
        "{}",
        pending.all()
    );
    assert!(!pending.stdout.contains("blocked"), "{}", pending.all());
    let line = release.expect("blocked");
    assert!(line.contains("are needed to judge"), "{line}");
    let blocked = sandbox.canary(&["status", &run]).exits(0);
    let text = flat(&blocked.stdout);
    assert_eq!(
        text.matches("are needed to judge").count(),
        1,
        "{}",
        blocked.all()
    );
    assert!(!text.contains("pending"), "{}", blocked.all());
    let logs = sandbox.canary(&["logs", &run]).exits(0);
    assert_eq!(count(&logs.stdout, "pending: "), 1, "{}", logs.all());
    sandbox.canary(&["abort", &run]).exits(0);
    release.finish().exits(1);
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
    let mut gate = crate::release::Gate::new(&sandbox, "gate");
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
