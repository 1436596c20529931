use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::evidence::{Labels, Window};
use crate::exposition::{self, Limits};

fn known() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("service".to_owned(), "cart".to_owned()),
        ("namespace".to_owned(), "shop".to_owned()),
    ])
}

fn preset(name: &str, parameters: &[(&str, &str)]) -> Result<ServiceMetrics, String> {
    MetricsConfig::preset(name, parameters)
        .resolve(&known())
        .map_err(|error| error.to_string())
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn presets_become_promql() {
    let app = preset("app", &[]).unwrap();
    assert_eq!(
        app.counter_query(Arm::Canary),
        r#"sum by (instance, code) (http_requests_total{job="cart", namespace="shop", track="canary"})"#
    );
    assert_eq!(
        app.error_rate_query(Arm::Stable),
        r#"(sum(rate(http_requests_total{job="cart", namespace="shop", track="stable", code=~"5.."}[{{window}}])) or vector(0)) / sum(rate(http_requests_total{job="cart", namespace="shop", track="stable"}[{{window}}]))"#
    );
    let nginx = preset("nginx-ingress", &[("ingress", "cart")]).unwrap();
    assert_eq!(
        nginx.counter_query(Arm::Canary),
        r#"sum by (controller_pod, status) (nginx_ingress_controller_requests{namespace="shop", ingress="cart", canary!=""})"#
    );
    assert!(!nginx.knows_pods);
    let istio = preset("istio", &[]).unwrap();
    assert_eq!(
        istio.quantile_query(Arm::Canary, 0.99).unwrap(),
        r#"histogram_quantile(0.99, sum by (le) (rate(istio_request_duration_milliseconds_bucket{reporter="destination", destination_workload_namespace="shop", destination_workload="cart-canary"}[{{window}}]))) / 1000"#
    );
    let linkerd = preset("linkerd", &[]).unwrap();
    assert_eq!(
        linkerd.bucket_query(Arm::Stable).unwrap(),
        r#"sum by (pod, le) (response_latency_ms_bucket{namespace="shop", direction="inbound", deployment="cart"})"#
    );
    let envoy = preset("envoy", &[("stable", "a"), ("canary", "b")]).unwrap();
    assert_eq!(
        envoy.counter_query(Arm::Stable),
        r#"sum by (instance, envoy_response_code) (envoy_cluster_upstream_rq{envoy_cluster_name="a"})"#
    );
    let traefik = preset(
        "traefik",
        &[("stable", "a@kubernetes"), ("canary", "b@kubernetes")],
    )
    .unwrap();
    assert_eq!(
        traefik.counter_query(Arm::Canary),
        r#"sum by (instance, code) (traefik_service_requests_total{service="b@kubernetes"})"#
    );
    let proxy = preset("canary-proxy", &[]).unwrap();
    assert_eq!(
        proxy.counter_query(Arm::Canary),
        r#"sum by (instance, code) (canary_proxy_requests_total{arm="canary"})"#
    );
}

#[test]
fn presets_say_what_they_need() {
    for preset in PRESETS {
        assert!(
            !preset.source.is_empty() && !preset.about.is_empty(),
            "{}",
            preset.name
        );
    }
    let rows = [
        (
            "ngnix-ingress",
            &[][..],
            "unknown preset \"ngnix-ingress\", did you mean \"nginx-ingress\"?; there are app, nginx-ingress, istio, linkerd, envoy, traefik, canary-proxy",
        ),
        (
            "nginx-ingress",
            &[],
            "preset nginx-ingress needs the parameter ingress: the name of the stable Ingress (the canary's requests are counted under it, too)",
        ),
        (
            "nginx-ingress",
            &[("ingress", "")],
            "preset nginx-ingress needs the parameter ingress: the name of the stable Ingress (the canary's requests are counted under it, too)",
        ),
        (
            "nginx-ingress",
            &[("ingres", "x")],
            "preset nginx-ingress has no parameter \"ingres\", did you mean \"ingress\"?; it has namespace, ingress, pod_label",
        ),
        (
            "app",
            &[("arm_label", "a b")],
            "selector \"{{arm_label}}=\\\"{{stable}}\\\"\": \"a b\" is no label name (letters, digits and _, not starting with a digit)",
        ),
        (
            "traefik",
            &[("stable", "a"), ("canary", "a")],
            "stable and canary are both selected by {service=\"a\"}: they could not be told apart; set the parameters stable and canary to the names of the two services",
        ),
    ];
    for (name, parameters, expected) in rows {
        assert_eq!(preset(name, parameters).unwrap_err(), expected);
    }
    assert!(
        preset("envoy", &[("stable", "a"), ("canary", "a")])
            .unwrap_err()
            .contains("one cluster")
    );
}

#[test]
fn names_of_their_own() {
    let config: MetricsConfig = serde_json::from_str(
        r#"{"requests": {"metric": "rpcs_total", "selector": "{app=\"{{service}}\"}", "errors": "grpc_code!=\"OK\""},
            "latency": {"metric": "rpc_ms_bucket", "unit": "ms"},
            "stable": "version='1'", "canary": "version='2'", "pod": "pod"}"#,
    )
    .unwrap();
    let metrics = config.resolve(&known()).unwrap();
    assert_eq!(
        metrics.counter_query(Arm::Canary),
        r#"sum by (pod, grpc_code) (rpcs_total{app="cart", version="2"})"#
    );
    assert_eq!(
        metrics.bucket_query(Arm::Stable).unwrap(),
        r#"sum by (pod, le) (rpc_ms_bucket{version="1"})"#
    );

    let wrong = |change: fn(&mut MetricsConfig)| {
        let mut config = config.clone();
        change(&mut config);
        config.resolve(&known()).unwrap_err().to_string()
    };
    assert!(
        wrong(|c| c.requests = None)
            .starts_with("metrics: requests is missing; write requests: {metric:")
    );
    assert!(wrong(|c| c.canary = c.stable.clone()).contains("could not be told apart"));
    assert!(wrong(|c| c.preset = Some("app".to_owned())).contains("exclude each other"));
    assert!(
        wrong(|c| c.stable = Some("a=\"{{servcie}}\"".to_owned()))
            .contains("did you mean \"service\"?")
    );
    assert!(
        wrong(|c| c.latency.as_mut().unwrap().metric = "a b".to_owned())
            .contains("metric name \"a b\"")
    );
    assert!(
        serde_json::from_str::<MetricsConfig>(r#"{"latency": {"metric": "x"}}"#).is_err(),
        "a unit is needed"
    );
    assert!(serde_json::from_str::<MetricsConfig>(r#"{"prest": "app"}"#).is_err());
}

#[test]
fn selectors_are_read_and_written() {
    let rows = [
        (r#"a="b""#, r#"a="b""#),
        (r#"{ a = "b" , c=~'d.*', }"#, r#"a="b", c=~"d.*""#),
        (r#"a!="b\"c\\d\n",e!~"f""#, r#"a!="b\"c\\d\n", e!~"f""#),
        ("", ""),
        ("{}", ""),
    ];
    for (text, expected) in rows {
        let selector = Selector::parse(text).unwrap();
        assert_eq!(selector.to_string(), expected);
        assert_eq!(Selector::parse(expected).unwrap(), selector);
    }
    for text in [
        "a",
        "a=b",
        "a=\"b",
        "{a=\"b\"",
        "a=\"b\" c=\"d\"",
        "1a=\"b\"",
        "a=~\"(\"",
        "a=\"\\q\"",
        "a!\"b\"",
    ] {
        assert!(Selector::parse(text).is_err(), "{text}");
    }
}

#[test]
fn selectors_select() {
    let rows = [
        (r#"code=~"5..""#, labels(&[("code", "503")]), true),
        (r#"code=~"5..""#, labels(&[("code", "5xx")]), true),
        (r#"code=~"5..""#, labels(&[("code", "1503")]), false),
        (r#"code=~"5..|429""#, labels(&[("code", "429")]), true),
        (r#"code!~"2..""#, labels(&[]), true),
        (r#"canary="""#, labels(&[]), true),
        (r#"canary!="""#, labels(&[("canary", "x")]), true),
        (r#"canary!="""#, labels(&[]), false),
        (r#"a="1", b="2""#, labels(&[("a", "1")]), false),
    ];
    for (text, labels, expected) in rows {
        assert_eq!(
            Selector::parse(text).unwrap().matches(&labels),
            expected,
            "{text} {labels:?}"
        );
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn window(start: i64, end: i64) -> Window {
    Window::new(at(start), at(end)).unwrap()
}

static PROXY: LazyLock<ServiceMetrics> = LazyLock::new(|| preset("canary-proxy", &[]).unwrap());

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
    ledger.record_failure(
        "proxy",
        Failure {
            at: at(5),
            reason: "refused".to_owned(),
        },
    );
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
    #[test]
    fn a_parameter_is_data(value in "\\PC{1,20}|[\"\\\\\n{}=,~!a]{1,10}") {
        let nginx = preset("nginx-ingress", &[("ingress", value.as_str())]).unwrap();
        // What is written is read back as the same matchers: nothing broke out of its string.
        let again = Selector::parse(&nginx.requests.selector.to_string()).unwrap();
        prop_assert_eq!(&again, &nginx.requests.selector);
        prop_assert!(again.matches(&labels(&[("namespace", "shop"), ("ingress", &value)])));
        // In a regular expression it stands for itself.
        let filled = Selector::template(
            "a=~\"x-{{v}}\"",
            &BTreeMap::from([("v".to_owned(), Some(value.clone()))]),
        ).unwrap();
        let text = format!("x-{value}");
        prop_assert!(filled.matches(&labels(&[("a", &text)])));
    }

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
