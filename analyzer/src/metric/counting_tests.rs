//! Counters, the ledger of scrapes and the two looks of Prometheus.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::evidence::Window;
use crate::exposition::{self, Limits};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn window(start: i64, end: i64) -> Window {
    Window::new(at(start), at(end)).unwrap()
}

static PROXY: LazyLock<ServiceMetrics> = LazyLock::new(|| {
    MetricsConfig::preset("canary-proxy", &[])
        .resolve(&BTreeMap::new())
        .unwrap()
});

/// A page of the splitter for the canary arm: counts of 2xx and 5xx, and of requests under 0.1 s and all.
fn page(ok: u32, bad: u32, fast: u32) -> String {
    let all = ok + bad;
    format!(
        "canary_proxy_requests_total{{arm=\"canary\",code=\"2xx\"}} {ok}\n\
         canary_proxy_requests_total{{arm=\"canary\",code=\"5xx\"}} {bad}\n\
         canary_proxy_request_duration_seconds_bucket{{arm=\"canary\",le=\"0.1\"}} {fast}\n\
         canary_proxy_request_duration_seconds_bucket{{arm=\"canary\",le=\"+Inf\"}} {all}\n"
    )
}

fn counters(page: &str) -> Vec<(Arm, Counters)> {
    let metrics = &*PROXY;
    let arms = Arm::BOTH.map(|arm| (arm, metrics.arm(arm).clone()));
    Counters::read(
        &exposition::parse(page.as_bytes(), Limits::default()).unwrap(),
        metrics,
        &arms,
    )
    .unwrap()
}

fn reading(second: i64, page: &str) -> Reading {
    Reading {
        asked: at(second),
        answered: at(second),
        counters: counters(page),
    }
}

fn ledger(readings: &[(i64, String)]) -> Ledger {
    let mut ledger = Ledger::new(1000);
    for (second, page) in readings {
        ledger.record("proxy", reading(*second, page));
    }
    ledger
}

#[test]
fn increments_become_evidence() {
    let ledger = ledger(&[
        (0, page(100, 1, 90)),
        (10, page(150, 2, 130)),
        (20, page(200, 6, 150)),
    ]);
    let all = ledger.evidence(window(0, 20));
    assert_eq!(
        (all.canary.requests, all.canary.errors, all.canary.pods),
        (105.0, 5.0, 1)
    );
    assert_eq!(
        all.canary
            .buckets
            .iter()
            .map(|b| b.count)
            .collect::<Vec<_>>(),
        [60.0, 105.0]
    );
    assert_eq!(all.stable.requests.to_string(), "0");
    assert_eq!(all.stable.error_rate(), None);
    assert!(!all.partial && all.notes.is_empty());
    // Only what lies wholly inside counts.
    assert_eq!(
        ledger.evidence(window(1, 20)).canary.requests.to_string(),
        "54"
    );
    assert_eq!(
        ledger.evidence(window(0, 19)).canary.requests.to_string(),
        "51"
    );
    assert_eq!(ledger.evidence(window(1, 19)).canary.error_rate(), None);
}

#[test]
fn a_restart_counts_from_zero() {
    // Seen by a counter that went backwards.
    let backwards = ledger(&[(0, page(100, 1, 90)), (10, page(7, 2, 5))]).evidence(window(0, 10));
    assert_eq!(
        (
            backwards.canary.requests,
            backwards.canary.errors,
            backwards.canary.resets
        ),
        (8.0, 1.0, 1)
    );
    assert_eq!(
        backwards.canary.buckets.last().unwrap().count.to_string(),
        "9"
    );
    assert!(backwards.notes[0].contains("reset 1 times"));
    // Seen by its start time alone: all counters have passed their old values already.
    let start = |second: i64| format!("process_start_time_seconds {}\n", at(second).as_second());
    let told = ledger(&[
        (10, page(1, 1, 1) + &start(-60)),
        (20, page(5, 2, 5) + &start(12)),
    ]);
    let told = told.evidence(window(10, 20));
    assert_eq!(
        (told.canary.requests, told.canary.errors, told.canary.resets),
        (7.0, 2.0, 1)
    );
}

#[test]
fn the_first_look_counts_only_if_its_start_is_known() {
    let unknown = ledger(&[(5, page(100, 50, 0))]).evidence(window(0, 10));
    assert_eq!((unknown.canary.requests, unknown.canary.missed), (0.0, 1));
    let start = format!("process_start_time_seconds {}\n", at(2).as_second());
    let known = ledger(&[(5, page(100, 50, 0) + &start)]);
    assert_eq!(
        known.evidence(window(0, 10)).canary.requests.to_string(),
        "150"
    );
    assert_eq!(
        known.evidence(window(3, 10)).canary.requests.to_string(),
        "0"
    );
    // A target that was looked at and had no series yet had counted nothing.
    let fresh = ledger(&[(0, String::new()), (5, page(3, 1, 4))]).evidence(window(0, 10));
    assert_eq!(
        (
            fresh.canary.requests,
            fresh.canary.errors,
            fresh.canary.missed
        ),
        (4.0, 1.0, 0)
    );
}

#[test]
fn gaps_are_reported_and_nothing_is_concluded_from_them() {
    let mut ledger = ledger(&[(0, page(10, 0, 10))]);
    let failure = Failure {
        at: at(5),
        reason: "refused".to_owned(),
    };
    ledger.record_failure("proxy", &[Arm::Stable], failure.clone());
    assert!(
        !ledger.evidence(window(0, 10)).partial,
        "stable is only what the canary is compared with"
    );
    ledger.forget("proxy");
    ledger.record("proxy", reading(0, &page(10, 0, 10)));
    ledger.record_failure("proxy", &Arm::BOTH, failure);
    let failing = ledger.evidence(window(0, 10));
    assert!(failing.partial);
    assert!(
        failing.notes[0]
            .starts_with("proxy: not answering at the end of the window (1 failed scrapes")
    );
    ledger.record("proxy", reading(10, &page(20, 0, 20)));
    let back = ledger.evidence(window(0, 10));
    assert!(!back.partial);
    assert_eq!(back.canary.requests.to_string(), "10");
    assert!(back.notes[0].contains("answered again"));
    ledger.forget("proxy");
    ledger.record("proxy", reading(20, &page(90, 0, 90)));
    assert_eq!(
        ledger.evidence(window(0, 20)).canary.requests.to_string(),
        "10"
    );
}

#[test]
fn the_ledger_is_bounded() {
    let mut ledger = Ledger::new(3);
    for second in 0..10 {
        ledger.record(
            "proxy",
            reading(second, &page(u32::try_from(second).unwrap(), 0, 0)),
        );
    }
    assert_eq!(ledger.len(), 3);
    assert!(!ledger.evidence(window(6, 9)).partial);
    assert!(ledger.evidence(window(0, 9)).partial);
}

#[test]
fn what_is_no_counter_is_refused() {
    let read = |text: &str| {
        let metrics = &*PROXY;
        let arms = [(Arm::Canary, metrics.canary.clone())];
        Counters::read(
            &exposition::parse(text.as_bytes(), Limits::default()).unwrap(),
            metrics,
            &arms,
        )
        .unwrap_err()
        .to_string()
    };
    assert_eq!(
        read("# TYPE canary_proxy_requests_total gauge\n"),
        "canary_proxy_requests_total is a Gauge here; a Counter is needed"
    );
    assert_eq!(
        read("canary_proxy_requests_total{arm=\"canary\"} NaN\n"),
        "canary_proxy_requests_total has the value NaN, which no counter can have"
    );
    assert!(
        read("canary_proxy_request_duration_seconds_bucket{arm=\"canary\"} 1\n")
            .contains("without the label le")
    );
}

proptest! {
    /// However a window is split at scrapes, the parts add up to the whole.
    #[test]
    fn parts_of_a_window_add_up(
        growth in prop::collection::vec((0u32..50, 0u32..5, 0u32..60, prop::bool::weighted(0.1)), 2..30),
        split in prop::collection::vec(0usize..30, 0..4),
    ) {
        let (mut ok, mut bad, mut fast) = (0, 0, 0);
        let mut readings = Vec::new();
        for (index, (more_ok, more_bad, more_fast, restart)) in growth.iter().enumerate() {
            if *restart {
                (ok, bad, fast) = (0, 0, 0);
            }
            ok += more_ok;
            bad += more_bad;
            fast = (fast + more_fast).min(ok + bad);
            readings.push((i64::try_from(index).unwrap() * 10, page(ok, bad, fast)));
        }
        let ledger = ledger(&readings);
        let last = readings.last().unwrap().0;
        let whole = ledger.evidence(window(0, last)).canary;
        let mut cuts: Vec<i64> = split.iter().map(|index| (i64::try_from(*index).unwrap() * 10).min(last)).collect();
        cuts.extend([0, last]);
        cuts.sort_unstable();
        let parts: Vec<_> = cuts.windows(2).map(|ends| ledger.evidence(window(ends[0], ends[1])).canary).collect();
        let sum = |f: fn(&crate::evidence::ArmEvidence) -> f64| parts.iter().map(f).sum::<f64>();
        prop_assert!((sum(|part| part.requests) - whole.requests).abs() < 1e-9);
        prop_assert!((sum(|part| part.errors) - whole.errors).abs() < 1e-9);
        let in_first_bucket = |part: &crate::evidence::ArmEvidence| part.buckets.first().map_or(0.0, |bucket| bucket.count);
        prop_assert!((sum(in_first_bucket) - in_first_bucket(&whole)).abs() < 1e-9);
        prop_assert!(whole.errors <= whole.requests);
    }
}

#[test]
fn an_answer_takes_time_and_belongs_to_all_of_it() {
    let mut ledger = Ledger::new(10);
    for (second, count) in [(0, 1), (10, 5)] {
        let answered = at(second) + SignedDuration::from_secs(2);
        ledger.record(
            "proxy",
            Reading {
                asked: at(second),
                answered,
                counters: counters(&page(count, 0, 0)),
            },
        );
    }
    assert_eq!(
        ledger.evidence(window(0, 12)).canary.requests.to_string(),
        "4"
    );
    assert_eq!(
        ledger.evidence(window(1, 12)).canary.requests.to_string(),
        "0"
    );
    assert_eq!(
        ledger.evidence(window(0, 11)).canary.requests.to_string(),
        "0"
    );
}

/// A process's counters of the canary: 2xx and 5xx, and when it started.
fn process(ok: u32, bad: u32, started: Option<i64>) -> Counters {
    let canary = counters(&page(ok, bad, ok)).remove(1).1;
    canary.started_at(
        started.map(|second| 1_700_000_000.0 + f64::from(i32::try_from(second).unwrap())),
    )
}

fn look(processes: &[(&str, Counters)], alive: &[&str]) -> Look {
    let canary: BTreeMap<String, Counters> = processes
        .iter()
        .map(|(name, counters)| ((*name).to_owned(), counters.clone()))
        .collect();
    let alive = canary
        .keys()
        .cloned()
        .chain(alive.iter().map(|name| (*name).to_owned()))
        .collect();
    Look {
        stable: BTreeMap::new(),
        canary,
        alive,
    }
}

#[test]
fn two_looks_make_evidence() {
    let start = look(
        &[
            ("a", process(100, 1, None)),
            ("b", process(50, 0, None)),
            ("restarted", process(5, 5, Some(-9))),
        ],
        &["idle"],
    );
    let end = look(
        &[
            ("a", process(140, 2, None)),
            ("b", process(8, 2, None)),
            ("idle", process(3, 1, None)),
            ("new", process(20, 4, Some(3))),
            ("restarted", process(6, 7, Some(4))),
            ("unknown", process(1000, 900, None)),
            ("old", process(1000, 900, Some(-50))),
        ],
        &[],
    );
    let found = evidence_between(&PROXY, window(0, 10), &start, &end);
    // a grew by 40 and 1, b began again, idle and new count from 0, restarted tells that it began again.
    assert_eq!(
        found.canary.requests.to_string(),
        (41.0 + 10.0 + 4.0 + 24.0 + 13.0).to_string()
    );
    assert_eq!(
        found.canary.errors.to_string(),
        (1.0 + 2.0 + 1.0 + 4.0 + 7.0).to_string()
    );
    assert_eq!(
        (found.canary.pods, found.canary.resets, found.canary.missed),
        (5, 2, 2)
    );
    assert_eq!(
        found.canary.buckets.last().unwrap().count.to_string(),
        found.canary.requests.to_string()
    );
    assert!(!found.partial);
    assert!(
        found
            .notes
            .iter()
            .any(|note| note.contains("left out old, unknown")),
        "{:?}",
        found.notes
    );
    assert_eq!(found.stable.error_rate(), None);

    let gone = evidence_between(
        &PROXY,
        window(0, 10),
        &start,
        &look(&[("a", process(140, 2, None))], &[]),
    );
    assert!(gone.partial);
    assert!(
        gone.notes
            .iter()
            .any(|note| note.contains("b, restarted gone before the window ended")),
        "{:?}",
        gone.notes
    );

    let unlabelled = look(&[("", process(1, 0, None))], &[]);
    let summed = evidence_between(&PROXY, window(0, 10), &unlabelled, &unlabelled);
    assert!(summed.notes[0].contains("have no label instance"));
}
