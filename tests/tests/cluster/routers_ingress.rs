//! NGINX' and AWS' annotations, against the real API server and its schema of an Ingress. No such controller runs here.

use canary_tests::cluster::{Cluster, Namespace, Test};
use canary_tests::cluster_test as test;
use canary_traffic::kubernetes::Match;
use canary_traffic::kubernetes::alb::Action;
use canary_traffic::kubernetes::nginx::{Ingress, Nginx, USUAL_PREFIX};
use canary_traffic::{Router, Weight};
use serde_json::{Value, json};

use super::routers::{Calls, RUN, api, weight};

pub(crate) const TESTS: &[Test] = &[
    test!(an_nginx_canary_is_made_followed_and_removed),
    test!(an_nginx_canary_goes_with_its_stable_ingress),
    test!(an_ingress_of_somebody_else_is_not_touched),
    test!(an_alb_action_is_changed_and_put_back),
];

fn stable(namespace: &Namespace<'_>) {
    let host = format!("{}.test", namespace.name());
    let path = |service: &str, path: &str| json!({"path": path, "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 80}}}});
    namespace.apply(
        &json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "shop"},
            "spec": {
                "ingressClassName": "nginx",
                "tls": [{"hosts": [host], "secretName": "shop"}],
                "rules": [{"host": host, "http": {"paths": [path("stable", "/"), path("files", "/static")]}}],
            },
        })
        .to_string(),
    );
}

fn nginx(namespace: &Namespace<'_>, by: &str) -> Calls<Nginx> {
    let ingress = Ingress {
        name: "shop".to_owned(),
        stable: "stable".to_owned(),
        canary: "canary".to_owned(),
        prefix: USUAL_PREFIX.to_owned(),
        matching: Some(Match::Header {
            name: "X-Canary".to_owned(),
            value: "yes".to_owned(),
        }),
    };
    Calls::new(Nginx::new(ingress, api(namespace), by))
}

fn annotations(namespace: &Namespace<'_>, name: &str) -> Value {
    namespace.get(&["ingress", name])["metadata"]["annotations"].take()
}

fn key(name: &str) -> String {
    format!("{USUAL_PREFIX}/{name}")
}

fn an_nginx_canary_is_made_followed_and_removed(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "nginx");
    stable(&namespace);
    let calls = nginx(&namespace, RUN);
    let look = calls
        .wait(calls.router.preflight(&[weight(10)]))
        .expect("a look");
    assert!(
        look.changes[0].contains("create Ingress shop-canary"),
        "{look:?}"
    );
    assert_eq!(
        namespace.kubectl(&["get", "ingress", "shop-canary"]).code,
        1,
        "a look makes nothing"
    );

    let set = calls.set(0, 10);
    assert_eq!(set.changed_by.as_deref(), Some(RUN));
    let made = namespace.get(&["ingress", "shop-canary"]);
    assert_eq!(made["metadata"]["ownerReferences"][0]["name"], "shop");
    assert_eq!(
        made["metadata"]["labels"]["app.kubernetes.io/managed-by"],
        "canary"
    );
    let paths = &made["spec"]["rules"][0]["http"]["paths"];
    assert_eq!(paths.as_array().map(Vec::len), Some(1));
    assert_eq!(paths[0]["backend"]["service"]["name"], "canary");
    calls.set(10, 50);
    let now = annotations(&namespace, "shop-canary");
    assert_eq!(now[key("canary-weight")], "50");
    assert_eq!(now[key("canary-by-header")], "X-Canary");

    // Drift, then off without asking.
    let weight_30 = format!("{}=30", key("canary-weight"));
    namespace
        .kubectl(&[
            "annotate",
            "--overwrite",
            "--field-manager=flux",
            "ingress/shop-canary",
            &weight_30,
        ])
        .exits(0);
    let drift = calls.drift(50);
    assert_eq!(
        (drift.weight, drift.changed_by.as_deref()),
        (weight(30), Some("flux"))
    );
    calls.off();
    let now = annotations(&namespace, "shop-canary");
    assert_eq!(now[key("canary-weight")], "0");
    assert!(now[key("canary-by-header")].is_null());
    calls.set(0, 20);

    // Another run, after a crash, finds it and cleans up; once more is nothing.
    drop(calls);
    let next = nginx(&namespace, "run shop-2");
    assert_eq!(next.observe().weight, weight(20));
    next.remove();
    assert_eq!(
        namespace.kubectl(&["get", "ingress", "shop-canary"]).code,
        1
    );
    next.remove();
    assert_eq!(next.off().weight, Weight::ZERO);
}

fn an_nginx_canary_goes_with_its_stable_ingress(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "nginx-owner");
    stable(&namespace);
    let calls = nginx(&namespace, RUN);
    calls.set(0, 10);
    namespace.kubectl(&["delete", "ingress", "shop"]).exits(0);
    namespace
        .kubectl(&[
            "wait",
            "ingress/shop-canary",
            "--for=delete",
            "--timeout=50s",
        ])
        .exits(0);
    calls.off();
}

fn an_ingress_of_somebody_else_is_not_touched(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "nginx-foreign");
    stable(&namespace);
    let mut foreign = namespace.get(&["ingress", "shop"]);
    foreign["metadata"] = json!({"name": "shop-canary", "annotations": {key("canary"): "true", key("canary-weight"): "0"}});
    namespace.apply(&foreign.to_string());
    let calls = nginx(&namespace, RUN);
    let refusal = calls.refusal();
    assert!(refusal.contains("was not made by canary"), "{refusal}");
    calls
        .wait(calls.router.set_weight(weight(0), weight(10)))
        .expect_err("a refusal");
    calls.wait(calls.router.remove()).expect_err("a refusal");

    foreign["metadata"]["name"] = json!("rival");
    namespace.apply(&foreign.to_string());
    namespace
        .kubectl(&["delete", "ingress", "shop-canary"])
        .exits(0);
    let refusal = calls.refusal();
    assert!(
        refusal.contains("rival is a canary for the same host"),
        "{refusal}"
    );
}

fn an_alb_action_is_changed_and_put_back(cluster: &Cluster) {
    const NAME: &str = "alb.ingress.kubernetes.io/actions.split";
    let namespace = Namespace::new(cluster, "alb");
    let action = r#"{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"stable","servicePort":"80","weight":100}]}}"#;
    namespace.apply(
        &json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "shop", "annotations": {NAME: action}},
            "spec": {"ingressClassName": "alb", "rules": [{"http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "split", "port": {"name": "use-annotation"}}}},
            ]}}]},
        })
        .to_string(),
    );
    let router = |name: &str| {
        let action = Action {
            ingress: "shop".to_owned(),
            action: name.to_owned(),
            stable: "stable".to_owned(),
            canary: "canary".to_owned(),
        };
        Calls::new(action.router(api(&namespace), RUN))
    };
    let refusal = router("stable").refusal();
    assert!(
        refusal.contains("no backend of it is the action stable"),
        "{refusal}"
    );
    let calls = router("split");
    calls
        .wait(calls.router.preflight(&[weight(10), weight(100)]))
        .expect("a look");
    let set = calls.set(0, 10);
    assert_eq!(set.changed_by.as_deref(), Some(RUN));
    let written = annotations(&namespace, "shop");
    let parsed: Value =
        serde_json::from_str(written[NAME].as_str().expect("a text")).expect("JSON");
    let groups = &parsed["forwardConfig"]["targetGroups"];
    assert_eq!(
        groups,
        &json!([
            {"serviceName": "stable", "servicePort": "80", "weight": 90},
            {"serviceName": "canary", "servicePort": "80", "weight": 10},
        ])
    );
    let back = format!("{NAME}={action}");
    namespace
        .kubectl(&[
            "annotate",
            "--overwrite",
            "--field-manager=flux",
            "ingress/shop",
            &back,
        ])
        .exits(0);
    let drift = calls.drift(10);
    assert_eq!(
        (drift.weight, drift.changed_by.as_deref()),
        (Weight::ZERO, Some("flux"))
    );
    calls.set(0, 50);
    calls.off();
    calls.remove();
    let left = annotations(&namespace, "shop");
    assert_eq!(left[NAME], action);
    assert!(left["canary.internal/before"].is_null(), "{left}");
}
