//! HTTPRoute and GRPCRoute: the weight in the object is the share of real requests at Envoy, and nobody's request fails.

use canary_tests::cluster::{Cluster, Namespace, Part, Request, Test};
use canary_tests::cluster_test as test;
use canary_tests::sandbox::eventually;
use canary_traffic::kubernetes::Match;
use canary_traffic::kubernetes::gateway::{GatewayApi, Route, RouteType};
use canary_traffic::{Acceptance, Router, Weight};
use serde_json::{Value, json};

use super::routers::{Calls, Crowd, RUN, api, two_versions, until_share, weight};

pub(crate) const TESTS: &[Test] = &[
    test!(weights_of_a_route_with_many_rules_are_shares_of_real_requests)
        .needs(&[Part::Node, Part::Gateway]),
    test!(calls_of_a_grpc_route_follow_too).needs(&[Part::Node, Part::Gateway]),
    test!(no_request_fails_in_steps_promotion_and_abort).needs(&[Part::Node, Part::Gateway]),
    test!(matching_requests_reach_the_canary_before_any_weight).needs(&[Part::Node, Part::Gateway]),
    test!(somebody_elses_weight_is_named_and_kept).needs(&[Part::Gateway]),
    test!(a_manifest_applied_again_takes_the_canary_off).needs(&[Part::Gateway]),
    test!(writers_of_other_fields_do_not_get_in_the_way).needs(&[Part::Gateway]),
    test!(what_a_crash_left_is_found_and_put_back).needs(&[Part::Gateway]),
    test!(what_cannot_be_driven_is_refused_with_the_reason).needs(&[Part::Gateway]),
    test!(a_canary_service_that_is_not_there_is_refused_and_off_is_off).needs(&[Part::Gateway]),
];

fn router(namespace: &Namespace<'_>, route_type: RouteType, by: &str) -> Calls<GatewayApi> {
    let route = Route {
        route_type,
        name: "shop".to_owned(),
        stable: "stable".to_owned(),
        canary: "canary".to_owned(),
        matching: None,
    };
    Calls::new(route.router(api(namespace), by))
}

fn http(namespace: &Namespace<'_>) -> Calls<GatewayApi> {
    router(namespace, RouteType::Http, RUN)
}

fn object(namespace: &Namespace<'_>, kind: &str, rules: Value) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": {"name": "shop"},
        "spec": {
            "parentRefs": [{"name": "gateway", "namespace": "gateway"}],
            "hostnames": [format!("{}.test", namespace.name())],
            "rules": rules,
        },
    })
}

fn stable_only() -> Value {
    json!([{"backendRefs": [{"name": "stable", "port": 80}]}])
}

/// A route to stable alone, accepted.
fn routed(namespace: &Namespace<'_>) -> Calls<GatewayApi> {
    for service in ["stable", "canary"] {
        namespace.service(service, &format!("app={service}"));
    }
    namespace.apply(&object(namespace, "HTTPRoute", stable_only()).to_string());
    let calls = http(namespace);
    calls.accepted(0);
    calls
}

fn spec(namespace: &Namespace<'_>) -> Value {
    namespace.get(&["httproute", "shop"])["spec"].take()
}

fn request(namespace: &Namespace<'_>) -> Request {
    let host = format!("{}.test", namespace.name());
    Request::new(namespace.cluster().gateway(), &host)
}

fn weights_of_a_route_with_many_rules_are_shares_of_real_requests(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "routes");
    two_versions(&namespace);
    let rules = json!([
        {
            "matches": [{"path": {"type": "PathPrefix", "value": "/pay"}, "headers": [{"name": "X-Kind", "value": "card"}]}],
            "filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "X-Rule", "value": "pay"}]}}],
            "backendRefs": [{"name": "stable", "port": 80, "weight": 7}],
        },
        {"matches": [{"path": {"type": "PathPrefix", "value": "/old"}}], "backendRefs": [{"name": "stable", "port": 80, "weight": 100}]},
        {"backendRefs": [{"name": "stable", "port": 80}]},
    ]);
    namespace.apply(&object(&namespace, "HTTPRoute", rules).to_string());
    let (plain, pay) = (
        request(&namespace),
        request(&namespace).path("/pay/1").header("X-Kind", "card"),
    );
    until_share(&plain, 0, 0);
    let before = spec(&namespace);
    let calls = http(&namespace);
    let look = calls
        .wait(calls.router.preflight(&[weight(10), weight(100)]))
        .expect("a look");
    assert!(
        look.changes.iter().any(|line| line.contains("canary")),
        "{look:?}"
    );
    assert_eq!(spec(&namespace), before, "a look changes nothing");

    let mut from = 0;
    for to in [10, 25, 50] {
        calls.set(from, to);
        // 200 requests: five deviations around the share.
        let (least, most) = match to {
            10 => (3, 42),
            25 => (20, 80),
            _ => (65, 135),
        };
        for request in [&plain, &pay] {
            until_share(request, least, most);
            let counts = request.send(1000);
            assert_eq!(counts.bad(), 0, "{counts:?}");
            counts.expect_share("v2", f64::from(to));
        }
        from = to;
    }
    calls.off();
    until_share(&plain, 0, 0);
    calls.remove();
    assert_eq!(spec(&namespace), before);
}

fn calls_of_a_grpc_route_follow_too(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "grpc");
    two_versions(&namespace);
    for service in ["stable", "canary"] {
        let patch = json!([{"op": "add", "path": "/spec/ports/0/appProtocol", "value": "kubernetes.io/h2c"}]);
        namespace
            .patch(&format!("service/{service}"), "json", &patch)
            .exits(0);
    }
    namespace.apply(&object(&namespace, "GRPCRoute", stable_only()).to_string());
    let request = request(&namespace).path("/shop.Shop/Buy").grpc();
    until_share(&request, 0, 0);
    let calls = router(&namespace, RouteType::Grpc, RUN);
    calls.set(0, 25);
    until_share(&request, 20, 80);
    request.send(2000).expect_share("v2", 25.0);
    calls.off();
    until_share(&request, 0, 0);
    calls.remove();
}

/// At least 20,000 requests over steps up, 100 %, off, up again and an abort at half.
fn no_request_fails_in_steps_promotion_and_abort(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "quiet");
    two_versions(&namespace);
    namespace.apply(&object(&namespace, "HTTPRoute", stable_only()).to_string());
    let request = request(&namespace);
    until_share(&request, 0, 0);
    let calls = http(&namespace);
    let (total, by_canary) = Crowd::beside(&request, |crowd| {
        let mut seen = 0;
        for steps in [&[10, 25, 50, 100][..], &[10, 50][..]] {
            let mut from = 0;
            for &to in steps {
                calls.set(from, to);
                from = to;
                seen += 2_900;
                crowd.until(seen);
            }
            calls.off();
            seen += 1_400;
            crowd.until(seen);
        }
        calls.remove();
        crowd.until(seen + 500);
    });
    assert!(
        total >= 20_000 && by_canary > 2_000,
        "{by_canary} of {total}"
    );
}

fn matching_requests_reach_the_canary_before_any_weight(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "header");
    two_versions(&namespace);
    namespace.apply(&object(&namespace, "HTTPRoute", stable_only()).to_string());
    let plain = request(&namespace);
    let tester = request(&namespace).header("X-Canary", "always");
    until_share(&plain, 0, 0);
    let before = spec(&namespace);
    let route = Route {
        route_type: RouteType::Http,
        name: "shop".to_owned(),
        stable: "stable".to_owned(),
        canary: "canary".to_owned(),
        matching: Some(Match::Header {
            name: "X-Canary".to_owned(),
            value: "always".to_owned(),
        }),
    };
    let calls = Calls::new(route.router(api(&namespace), RUN));
    calls.set(0, 0);
    until_share(&tester, 200, 200);
    until_share(&plain, 0, 0);
    calls.set(0, 10);
    until_share(&plain, 3, 42);
    calls.off();
    until_share(&tester, 0, 0);
    until_share(&plain, 0, 0);
    calls.remove();
    assert_eq!(spec(&namespace), before);
}

fn somebody_elses_weight_is_named_and_kept(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "drift");
    let calls = routed(&namespace);
    let ours = calls.set(0, 10);
    assert_eq!(ours.changed_by.as_deref(), Some(RUN));
    let patch = json!([
        {"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 60},
        {"op": "replace", "path": "/spec/rules/0/backendRefs/1/weight", "value": 40},
    ])
    .to_string();
    namespace
        .kubectl(&[
            "patch",
            "httproute/shop",
            "--type=json",
            "--field-manager=argocd",
            "--patch",
            &patch,
        ])
        .exits(0);
    let drift = calls.observe();
    assert_eq!(
        (drift.weight, drift.changed_by.as_deref()),
        (weight(40), Some("argocd"))
    );
    assert_eq!(calls.drift(10).weight, weight(40));
    // Taking off asks nobody.
    calls.off();
    calls.remove();
}

fn a_manifest_applied_again_takes_the_canary_off(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "gitops");
    let calls = routed(&namespace);
    let manifest = object(&namespace, "HTTPRoute", stable_only()).to_string();
    for arguments in [
        &[][..],
        &["--server-side", "--force-conflicts", "--field-manager=flux"][..],
    ] {
        calls.set(0, 50);
        namespace.apply_with(arguments, &manifest).exits(0);
        let seen = calls.observe();
        assert_eq!(seen.weight, Weight::ZERO, "{arguments:?}");
        assert_ne!(seen.changed_by.as_deref(), Some(RUN), "{arguments:?}");
        assert_eq!(calls.drift(50).weight, Weight::ZERO);
    }
    calls.remove();
}

fn writers_of_other_fields_do_not_get_in_the_way(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "busy");
    let calls = routed(&namespace);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| {
            let mut count = 0_u32;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                count += 1;
                let value = format!("busy={count}");
                namespace
                    .kubectl(&["annotate", "--overwrite", "httproute/shop", &value])
                    .exits(0);
            }
            count
        });
        let mut from = 0;
        for to in (1..=20).chain((1..20).rev()) {
            let set = calls
                .wait(calls.router.set_weight(weight(from), weight(to)))
                .expect("an answer");
            assert_eq!(set.weight, weight(to));
            from = to;
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(busy.join().expect("no panic") > 0);
    });
    calls.off();
    calls.remove();
    let left = namespace.get(&["httproute", "shop"]);
    let annotations = left["metadata"]["annotations"].as_object().expect("some");
    assert!(
        annotations
            .keys()
            .all(|name| !name.contains("canary.internal")),
        "{annotations:?}"
    );
}

fn what_a_crash_left_is_found_and_put_back(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "crash");
    let calls = routed(&namespace);
    let before = spec(&namespace);
    calls.set(0, 50);
    drop(calls);
    let next = router(&namespace, RouteType::Http, "run shop-2");
    let look = next
        .wait(next.router.preflight(&[weight(10)]))
        .expect("a look");
    assert_eq!(
        (look.observed.weight, look.observed.changed_by.as_deref()),
        (weight(50), Some(RUN))
    );
    next.remove();
    assert_eq!(spec(&namespace), before);
    next.remove();
}

fn what_cannot_be_driven_is_refused_with_the_reason(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "refused");
    let calls = http(&namespace);
    let missing = calls.refusal();
    assert!(
        missing.contains("there is no shop among the httproutes"),
        "{missing}"
    );

    let both =
        json!([{"backendRefs": [{"name": "stable", "port": 80}, {"name": "canary", "port": 80}]}]);
    namespace.apply(&object(&namespace, "HTTPRoute", both).to_string());
    let refusal = calls.refusal();
    assert!(
        refusal.contains("gives the Service canary 50 % of the traffic"),
        "{refusal}"
    );
    let other = json!([{"backendRefs": [{"name": "legacy", "port": 80}]}]);
    namespace.apply(&object(&namespace, "HTTPRoute", other).to_string());
    let refusal = calls.refusal();
    assert!(
        refusal.contains("no rule names the Service stable: its rules send to legacy"),
        "{refusal}"
    );
}

fn a_canary_service_that_is_not_there_is_refused_and_off_is_off(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "unresolved");
    let calls = routed(&namespace);
    namespace.kubectl(&["delete", "service", "canary"]).exits(0);
    let set = calls
        .wait(calls.router.set_weight(weight(0), weight(10)))
        .expect("an answer");
    let refused = eventually("a word of the gateway", || match calls.observe().accepted {
        Acceptance::Refused { reason } => Some(reason),
        _ => None,
    });
    assert_eq!(set.weight, weight(10));
    assert!(refused.contains("ResolvedRefs=False"), "{refused}");
    calls.off();
    calls.accepted(0);
    calls.remove();
}
