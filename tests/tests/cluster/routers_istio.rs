//! VirtualServices: hosts and subsets, with real requests through istiod's Envoy.

use canary_tests::cluster::{App, Cluster, Namespace, Part, Request, Test};
use canary_tests::cluster_test as test;
use canary_traffic::Router;
use canary_traffic::kubernetes::Match;
use canary_traffic::kubernetes::istio::{Arms, Istio, VirtualService};
use serde_json::{Value, json};

use super::routers::{Calls, Crowd, RUN, api, two_versions, until_share, weight};

pub(crate) const TESTS: &[Test] = &[
    test!(weights_between_hosts_are_shares_of_real_requests).needs(&[Part::Node, Part::Istio]),
    test!(subsets_of_one_host_follow_and_others_keep_their_share).needs(&[Part::Node, Part::Istio]),
    test!(no_request_fails_in_steps_and_abort).needs(&[Part::Node, Part::Istio]),
    test!(matching_requests_come_before_the_weights).needs(&[Part::Node, Part::Istio]),
    test!(tls_and_tcp_routes_are_written_too_and_drift_is_named).needs(&[Part::Istio]),
];

fn object(namespace: &Namespace<'_>, routes: Value) -> Value {
    let mut spec = json!({
        "hosts": [format!("{}.test", namespace.name())],
        "gateways": ["istio-system/gateway"],
    });
    for (name, value) in routes.as_object().expect("routes") {
        spec[name] = value.clone();
    }
    json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "shop"}, "spec": spec})
}

fn hosts(namespace: &Namespace<'_>, matching: Option<Match>) -> Calls<Istio> {
    let service = VirtualService {
        name: "shop".to_owned(),
        arms: Arms::Hosts {
            stable: "stable".to_owned(),
            canary: "canary".to_owned(),
        },
        matching,
    };
    Calls::new(service.router(api(namespace), RUN))
}

fn stable_only() -> Value {
    json!({"http": [{"route": [{"destination": {"host": "stable"}}]}]})
}

fn spec(namespace: &Namespace<'_>) -> Value {
    namespace.get(&["virtualservice", "shop"])["spec"].take()
}

fn request(namespace: &Namespace<'_>) -> Request {
    let host = format!("{}.test", namespace.name());
    Request::new(namespace.cluster().istio(), &host)
}

fn weights_between_hosts_are_shares_of_real_requests(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "vs-hosts");
    two_versions(&namespace);
    namespace.apply(&object(&namespace, stable_only()).to_string());
    let request = request(&namespace);
    until_share(&request, 0, 0);
    let before = spec(&namespace);
    let calls = hosts(&namespace, None);
    let look = calls
        .wait(calls.router.preflight(&[weight(10)]))
        .expect("a look");
    assert!(!look.changes.is_empty());
    let mut from = 0;
    for (to, least, most) in [(10, 3, 42), (25, 20, 80), (50, 65, 135)] {
        calls.set(from, to);
        until_share(&request, least, most);
        let counts = request.send(1000);
        assert_eq!(counts.bad(), 0, "{counts:?}");
        counts.expect_share("v2", f64::from(to));
        from = to;
    }
    calls.off();
    until_share(&request, 0, 0);
    calls.remove();
    assert_eq!(spec(&namespace), before);
}

fn subsets_of_one_host_follow_and_others_keep_their_share(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "vs-subsets");
    for (name, version) in [("one", "v1"), ("two", "v2"), ("three", "v3")] {
        namespace.deploy(
            &App::new(name, version)
                .label("service", "shop")
                .label("track", name),
        );
    }
    namespace.service("shop", "service=shop");
    let subset = |name: &str, track: &str| json!({"name": name, "labels": {"track": track}});
    namespace.apply(
        &json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "shop"},
            "spec": {"host": "shop", "subsets": [subset("stable", "one"), subset("canary", "two"), subset("legacy", "three")]},
        })
        .to_string(),
    );
    let to = |name: &str, weight: u32| json!({"destination": {"host": "shop", "subset": name}, "weight": weight});
    namespace.apply(
        &object(
            &namespace,
            json!({"http": [{"route": [to("stable", 80), to("legacy", 20)]}]}),
        )
        .to_string(),
    );
    let before = spec(&namespace);
    let service = VirtualService {
        name: "shop".to_owned(),
        arms: Arms::Subsets {
            host: "shop".to_owned(),
            stable: "stable".to_owned(),
            canary: "canary".to_owned(),
        },
        matching: None,
    };
    let calls = Calls::new(service.router(api(&namespace), RUN));
    let request = request(&namespace);
    until_share(&request, 0, 0);
    calls.set(0, 25);
    // A quarter of stable's 80.
    until_share(&request, 13, 70);
    let counts = request.send(1000);
    counts.expect_share("v1", 60.0);
    counts.expect_share("v2", 20.0);
    counts.expect_share("v3", 20.0);
    calls.off();
    calls.remove();
    assert_eq!(spec(&namespace), before);
}

fn no_request_fails_in_steps_and_abort(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "vs-quiet");
    two_versions(&namespace);
    namespace.apply(&object(&namespace, stable_only()).to_string());
    let request = request(&namespace);
    until_share(&request, 0, 0);
    let calls = hosts(&namespace, None);
    let (total, by_canary) = Crowd::beside(&request, |crowd| {
        let mut from = 0;
        for (to, seen) in [(10, 1_000), (50, 2_000), (100, 3_000)] {
            calls.set(from, to);
            crowd.until(seen);
            from = to;
        }
        calls.off();
        crowd.until(4_000);
        calls.remove();
        crowd.until(5_000);
    });
    assert!(total >= 5_000 && by_canary > 500, "{by_canary} of {total}");
}

fn matching_requests_come_before_the_weights(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "vs-cookie");
    two_versions(&namespace);
    namespace.apply(&object(&namespace, stable_only()).to_string());
    let plain = request(&namespace);
    let tester = request(&namespace).header("Cookie", "a=b; canary=yes; c=d");
    let other = request(&namespace).header("Cookie", "notcanary=yes");
    until_share(&plain, 0, 0);
    let before = spec(&namespace);
    let cookie = Match::Cookie {
        name: "canary".to_owned(),
        value: "yes".to_owned(),
    };
    let calls = hosts(&namespace, Some(cookie));
    calls.set(0, 0);
    until_share(&tester, 200, 200);
    until_share(&plain, 0, 0);
    until_share(&other, 0, 0);
    calls.off();
    until_share(&tester, 0, 0);
    calls.remove();
    assert_eq!(spec(&namespace), before);
}

/// No TLS here to send by: what is written is looked at.
fn tls_and_tcp_routes_are_written_too_and_drift_is_named(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "vs-tcp");
    let routes = json!({
        "tls": [{"match": [{"sniHosts": ["a.test"], "port": 443}], "route": [{"destination": {"host": "stable"}}]}],
        "tcp": [{"match": [{"port": 9000}], "route": [{"destination": {"host": "stable"}}]}],
    });
    namespace.apply(&object(&namespace, routes).to_string());
    let before = spec(&namespace);
    let calls = hosts(&namespace, None);
    let ours = calls.set(0, 10);
    assert_eq!(ours.changed_by.as_deref(), Some(RUN));
    let now = spec(&namespace);
    for protocol in ["tls", "tcp"] {
        assert_eq!(now[protocol][0]["route"][1]["weight"], 10, "{now}");
    }
    let patch = json!([{"op": "replace", "path": "/spec/tls/0/route/1/weight", "value": 90}]);
    let patch = patch.to_string();
    namespace
        .kubectl(&[
            "patch",
            "virtualservice/shop",
            "--type=json",
            "--field-manager=helm",
            "--patch",
            &patch,
        ])
        .exits(0);
    let drift = calls.observe();
    assert_eq!(
        (drift.weight, drift.changed_by.as_deref()),
        (weight(50), Some("helm"))
    );
    calls.drift(10);
    calls.off();
    calls.remove();
    assert_eq!(spec(&namespace), before);
}
