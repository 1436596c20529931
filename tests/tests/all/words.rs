//! What people read: safe for their terminal, each fact once, in the words of the docs.

use canary_tests::sandbox::{Said, Sandbox, eventually};
use rustix::process::Signal;

use crate::release::{HEAD, Shop, checked_for, cli, native, sequence};

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
