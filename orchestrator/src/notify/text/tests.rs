//! The main stories, word for word. To see them all: the snapshots beside this file.

use std::fmt::Write as _;

use canary_analyzer::unit::Unit;

use super::*;
use crate::machine::{Cost, NotificationsReport, TrafficReport, Wait};

fn at(text: &str) -> Timestamp {
    format!("2026-11-21T{text}Z").parse().unwrap()
}

fn weight(percent: u8) -> Weight {
    Weight::try_from(percent).unwrap()
}

fn gate(name: &str, limit: &str, unit: Unit, value: Option<f64>) -> GateReport {
    GateReport {
        name: name.to_owned(),
        node: Some("check_10".to_owned()),
        guard: true,
        limit: limit.to_owned(),
        unit,
        value,
        last: Some(Phase::Pass),
        message: None,
        requests: Some(412),
        pending_until: None,
        verdict: Verdict::Running,
        passed: 3,
        failed: 0,
        failure_limit: Some(0),
        inconclusive: 0,
        errors: 0,
        count: Some(5),
        history: Vec::new(),
        next_at: None,
        until: None,
    }
}

fn report(phase: RunPhase, outcome: Option<Outcome>, percent: u8) -> Report {
    Report {
        workflow: "shop-release".to_owned(),
        name: "Shop".to_owned(),
        service: "shop".to_owned(),
        phase,
        headline: "the canary is at 10 %".to_owned(),
        answers: Vec::new(),
        outcome,
        traffic: Some(TrafficReport {
            desired: weight(percent),
            observed: Some(weight(percent)),
            since: Some(at("14:02:10")),
            first_at: Some(at("14:00:00")),
            problem: None,
        }),
        nodes: Vec::new(),
        edges: Vec::new(),
        gates: vec![
            gate("error-rate", "< 1 %", Unit::Ratio, Some(0.004)),
            gate("p99-latency", "< 500 ms", Unit::Milliseconds, Some(212.5)),
        ],
        waits: Vec::new(),
        cost: None,
        notifications: NotificationsReport::default(),
        started_at: Some(at("13:59:00")),
        ended_at: None,
        at: at("14:05:00"),
        next: vec!["canary status RUN".to_owned()],
    }
}

fn news(topic: Topic, headline: &str, done: &str, next: &[&str]) -> Notification {
    Notification {
        id: 4,
        at: at("14:05:00"),
        topic,
        headline: headline.to_owned(),
        done: done.to_owned(),
        next: next.iter().map(|&command| command.to_owned()).collect(),
    }
}

/// The message in all its forms.
fn told(notification: &Notification, report: &Report) -> String {
    let message = Message::new("shop-7f3a", notification, report);
    let mut all = plain(&message);
    write!(all, "\n\n--- slack\n{}", slack(&message).text).unwrap();
    match pagerduty(&message) {
        Some(event) => write!(all, "\n\n--- pagerduty\n{event:#}").unwrap(),
        None => all.push_str("\n\n--- pagerduty: nothing"),
    }
    all
}

#[test]
fn caught_at_10_percent() {
    let mut report = report(RunPhase::RollingBack, None, 0);
    report.cost = Some(Cost {
        requests: 412,
        bad: 31,
    });
    report.gates[0].value = Some(0.0752);
    report.gates[0].verdict = Verdict::Fail;
    report.gates[0].last = Some(Phase::Fail);
    report.gates[0].failed = 1;
    let failing = news(
        Topic::Failing,
        "error-rate was 7.52 % at 10 % of traffic, the limit is < 1 %",
        "Traffic is back on stable: the canary gets 0 %.",
        &["canary report RUN", "canary logs RUN"],
    );
    insta::assert_snapshot!("caught_failing", told(&failing, &report));
    report.phase = RunPhase::Ended;
    report.outcome = Some(Outcome::RolledBack { deadline: false });
    let ended = Notification {
        topic: Topic::Ended,
        ..failing
    };
    insta::assert_snapshot!("caught_ended", told(&ended, &report));
}

#[test]
fn promoted() {
    let mut report = report(RunPhase::Ended, Some(Outcome::Promoted), 100);
    report.cost = Some(Cost {
        requests: 90_412,
        bad: 12,
    });
    let news = news(
        Topic::Ended,
        "all checks and the bake of 5 min passed",
        "shop is the new version.",
        &[],
    );
    insta::assert_snapshot!("promoted", told(&news, &report));
}

#[test]
fn blocked_by_an_unreachable_prometheus() {
    let mut report = report(RunPhase::Blocked, None, 10);
    for gate in &mut report.gates {
        gate.value = None;
        gate.requests = None;
        gate.last = Some(Phase::Error);
        gate.verdict = Verdict::Error;
        gate.passed = 0;
        gate.errors = 5;
        gate.message = Some(
            "POST http://prometheus:9090/api/v1/query: no answer: connection refused".to_owned(),
        );
    }
    report.waits = vec![Wait {
        what: "a decision".to_owned(),
        why: "the evidence decides nothing".to_owned(),
        since: Some(at("14:05:00")),
        until: Some(at("14:20:00")),
        unblock: Some("canary promote RUN".to_owned()),
    }];
    let news = news(
        Topic::Blocked,
        "error-rate and p99-latency could not be measured: POST http://prometheus:9090/api/v1/query: no answer: connection refused",
        "The weight is held at 10 %; checks go on, and good evidence goes on by itself. Without a decision it is rolled back.",
        &["canary promote RUN", "canary abort RUN"],
    );
    insta::assert_snapshot!("blocked", told(&news, &report));
}

#[test]
fn aborted_by_a_person() {
    let mut report = report(RunPhase::Ended, Some(Outcome::Aborted { signal: None }), 0);
    report.cost = Some(Cost {
        requests: 80,
        bad: 0,
    });
    let news = news(
        Topic::Ended,
        "ada aborted it: wrong image",
        "Traffic is back on stable: the canary gets 0 %.",
        &[],
    );
    insta::assert_snapshot!("aborted", told(&news, &report));
}

#[test]
fn held() {
    let mut report = report(RunPhase::Ended, Some(Outcome::Held), 50);
    report.gates[1].value = Some(1_830.0);
    report.gates[1].verdict = Verdict::Fail;
    report.gates[1].failed = 2;
    let news = news(
        Topic::Ended,
        "p99-latency was 1.83 s at 50 % of traffic, the limit is < 500 ms",
        "on_failure is hold: THE CANARY STILL GETS 50 % of requests.",
        &["canary abort RUN", "canary promote RUN --full"],
    );
    insta::assert_snapshot!("held", told(&news, &report));
}

#[test]
fn approval_wanted() {
    let mut report = report(RunPhase::Waiting, None, 10);
    report.waits = vec![Wait {
        what: "approval of go_50".to_owned(),
        why: "the workflow asks for two people".to_owned(),
        since: Some(at("14:05:00")),
        until: Some(at("15:05:00")),
        unblock: None,
    }];
    let news = news(
        Topic::Approval,
        "go_50 waits for 2 approvals: Raise to 50 %?",
        "The weight is held at 10 %.",
        &["canary promote RUN", "canary abort RUN"],
    );
    insta::assert_snapshot!("approval", told(&news, &report));
}

#[test]
fn webhook_json() {
    let report = report(RunPhase::Ended, Some(Outcome::Promoted), 100);
    let message = Message::new(
        "shop-7f3a",
        &news(Topic::Ended, "all checks passed", "", &[]),
        &report,
    );
    insta::assert_snapshot!("webhook", format!("{:#}", webhook(&message)));
    insta::assert_snapshot!("slack_blocks", format!("{:#}", slack(&message).blocks));
}

#[test]
fn one_incident_per_run_that_a_good_end_closes() {
    let good = [
        Outcome::Promoted,
        Outcome::Completed,
        Outcome::Aborted { signal: Some(2) },
    ];
    let bad = [
        Outcome::RolledBack { deadline: true },
        Outcome::Held,
        Outcome::Failed,
    ];
    let mut keys = std::collections::BTreeSet::new();
    let mut action = |topic, outcome| {
        let report = report(RunPhase::Progressing, outcome, 10);
        let message = Message::new("shop-7f3a", &news(topic, "x", "", &[]), &report);
        pagerduty(&message).map(|event| {
            keys.insert(event["dedup_key"].as_str().unwrap().to_owned());
            event["event_action"].as_str().unwrap().to_owned()
        })
    };
    for (topic, expected) in [
        (Topic::Started, None),
        (Topic::Step, None),
        (Topic::Approval, None),
        (Topic::Blocked, Some("trigger")),
        (Topic::Failing, Some("trigger")),
        (Topic::Paused, Some("acknowledge")),
        (Topic::Unblocked, Some("acknowledge")),
    ] {
        assert_eq!(action(topic, None).as_deref(), expected, "{topic:?}");
    }
    for outcome in good {
        assert_eq!(
            action(Topic::Ended, Some(outcome)).as_deref(),
            Some("resolve"),
            "{outcome:?}"
        );
    }
    for outcome in bad {
        assert_eq!(
            action(Topic::Ended, Some(outcome)).as_deref(),
            Some("trigger"),
            "{outcome:?}"
        );
    }
    assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["canary/shop-7f3a"]);
}

#[test]
fn nothing_from_elsewhere_can_mention_or_forge() {
    let mut report = report(RunPhase::Blocked, None, 10);
    report.service = "<!channel>".to_owned();
    let news = news(
        Topic::Blocked,
        "<http://evil|click> & <@U1>",
        "<!here>",
        &["canary promote `RUN` <!here>"],
    );
    let body = slack(&Message::new("<!everyone>", &news, &report));
    let all = format!("{} {}", body.text, body.blocks);
    for forged in ["<!", "<@", "<http"] {
        assert!(!all.contains(forged), "{all}");
    }
}

#[test]
fn bounded_whatever_comes() {
    let mut report = report(RunPhase::Blocked, None, 10);
    report.gates = (0..200)
        .map(|n| gate(&"&".repeat(3_000 + n), "< 1", Unit::None, Some(f64::NAN)))
        .collect();
    let news = news(
        Topic::Blocked,
        &"&é".repeat(50_000),
        &"<".repeat(50_000),
        &["x"; 50],
    );
    let message = Message::new("r", &news, &report);
    assert!(serde_json::to_string(&message).unwrap().len() < 64 * 1024);
    for block in slack(&message).blocks.as_array().unwrap() {
        let text = block["text"]["text"]
            .as_str()
            .or_else(|| block["elements"][0]["text"].as_str())
            .unwrap();
        assert!(text.chars().count() <= 3_000);
    }
    assert!(
        pagerduty(&message).unwrap()["payload"]["summary"]
            .as_str()
            .unwrap()
            .chars()
            .count()
            <= 1_024
    );
}

#[test]
fn secrets_are_taken_out_of_every_part() {
    let mut report = report(RunPhase::Blocked, None, 10);
    report.gates[0].last = Some(Phase::Error);
    report.gates[0].value = None;
    report.gates[0].message = Some("hunter2 in a message".to_owned());
    let news = news(Topic::Blocked, "hunter2 a", "hunter2 b", &["hunter2 c"]);
    let message = Message::new("r", &news, &report);
    assert!(format!("{message:?}").matches("hunter2").count() >= 4);
    let clean = message.redacted(&Redactor::new(["hunter2"]));
    assert!(!format!("{clean:?}").contains("hunter2"), "{clean:?}");
}
