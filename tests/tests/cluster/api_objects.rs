//! What the API server takes as a Release, what it refuses and in which words; how a Release looks to kubectl.

use canary_tests::cluster::{Cluster, Namespace, Test};
use canary_tests::cluster_test as test;
use canary_tests::sandbox::Sandbox;
use serde_json::{Value, json};

use crate::api::{action, install, release};

pub(crate) const TESTS: &[Test] = &[
    test!(what_is_right_is_taken),
    test!(what_is_wrong_is_refused_and_canary_validate_says_so_too),
    test!(a_release_reads_like_a_dashboard),
    test!(what_must_not_change_cannot_be_changed),
    test!(everything_that_is_installed_is_accepted),
];

/// The release with a value at a place; null removes what is there.
fn with(pointer: &str, value: Value) -> Value {
    let mut release = release();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let place = release.pointer_mut(parent).expect("a place");
    match (value, place) {
        (Value::Null, Value::Object(map)) => drop(map.remove(key)),
        (value, place) => place[key] = value,
    }
    release
}

fn what_is_right_is_taken(cluster: &Cluster) {
    install(cluster);
    let namespace = Namespace::new(cluster, "right");
    let workflow = json!({"inline": {"osop_version": "2.0", "id": "own", "name": "Own", "nodes": [
        {"id": "go", "type": "infra", "purpose": "all", "runtime": {"tool": "canary", "action": "promote"}},
        {"id": "rollback", "type": "infra", "purpose": "back", "runtime": {"tool": "canary", "action": "rollback"}}],
        "edges": [{"from": "go", "to": "rollback", "mode": "fallback"}]}});
    for right in [
        release(),
        with(
            "/spec/traffic",
            json!({"router": "istio", "route": "shop", "host": "shop", "match": {"header": "X-Canary"}}),
        ),
        with(
            "/spec/traffic",
            json!({"router": "nginx", "ingress": "front", "prefix": "nginx.example.com"}),
        ),
        with(
            "/spec/traffic",
            json!({"router": "alb", "ingress": "front", "action": "web"}),
        ),
        with("/spec/traffic", json!({"router": "replicas"})),
        with("/spec/strategy", json!({"workflow": workflow})),
        with(
            "/spec/strategy",
            json!({"workflow": {"configMap": {"name": "flows", "key": "a.yaml"}}}),
        ),
        with(
            "/spec/notify",
            json!([{"name": "a", "type": "slack", "webhookSecret": {"name": "s", "key": "k"}},
            {"name": "b", "type": "webhook", "url": "https://example.com", "events": ["ended"]}]),
        ),
        with(
            "/spec/deadlines",
            json!({"evidence": "90s", "decision": "1h30m"}),
        ),
    ] {
        let text = right.to_string();
        namespace.apply_with(&["--dry-run=server"], &text).exits(0);
        let sandbox = Sandbox::new();
        sandbox.file("release.json", &text);
        let said = sandbox.canary(&["validate", "release.json"]);
        if text.contains("configMap") {
            said.exits(2)
                .says(&["the workflow is in a ConfigMap and was not read"]);
        } else {
            said.exits(0);
        }
    }
}

fn what_is_wrong_is_refused_and_canary_validate_says_so_too(cluster: &Cluster) {
    install(cluster);
    let namespace = Namespace::new(cluster, "wrong");
    let steps = "/spec/strategy/steps";
    let gate = |fields: Value| {
        let mut gate = json!({"name": "errors"});
        gate.as_object_mut()
            .expect("a gate")
            .extend(fields.as_object().expect("fields").clone());
        json!([gate])
    };
    for (wrong, expected) in [
        (
            with(
                steps,
                json!([{"weight": 50}, {"weight": 10}, {"weight": 100}]),
            ),
            "the weights of the steps must rise",
        ),
        (
            with(
                steps,
                json!([{"weight": 10}, {"weight": 10}, {"weight": 100}]),
            ),
            "the weights of the steps must rise",
        ),
        (
            with(steps, json!([{"weight": 10}, {"weight": 90}])),
            "the last step must have weight 100",
        ),
        (
            with(steps, json!([{"weight": 0}, {"weight": 100}])),
            "should be greater than or equal to 1",
        ),
        (with(steps, json!([])), "at least 1 items"),
        (
            with(steps, json!([{"weight": 100, "soak": "5m"}])),
            "a step of weight 100 has neither soak nor gates",
        ),
        (
            with(
                steps,
                json!([{"weight": 10, "soak": "5 minutes"}, {"weight": 100}]),
            ),
            "should match",
        ),
        (
            with(
                steps,
                json!([{"weight": 10, "soaking": "5m"}, {"weight": 100}]),
            ),
            "unknown field",
        ),
        (
            with(
                "/spec/strategy/workflow",
                json!({"configMap": {"name": "a", "key": "b"}}),
            ),
            "strategy has one of steps and workflow",
        ),
        (
            with("/spec/strategy", json!({})),
            "strategy has one of steps and workflow",
        ),
        (
            with("/spec/traffic", json!({"router": "gateway"})),
            "Unsupported value",
        ),
        (
            with(
                "/spec/traffic",
                json!({"router": "replicas", "route": "shop"}),
            ),
            "route belongs to routers gateway-api and istio",
        ),
        (
            with(
                "/spec/traffic",
                json!({"router": "gateway-api", "stable": "a", "canary": "a"}),
            ),
            "nothing tells the versions apart",
        ),
        (
            with("/spec/traffic", json!({"router": "argo"})),
            "router argo drives a target of kind Rollout",
        ),
        (
            with(
                "/spec/target",
                json!({"kind": "Rollout", "name": "checkout"}),
            ),
            "router argo drives a target of kind Rollout",
        ),
        (
            with(
                "/spec/target",
                json!({"kind": "StatefulSet", "name": "checkout"}),
            ),
            "Unsupported value",
        ),
        (
            with(
                "/spec/gates",
                gate(
                    json!({"metric": "error_rate", "query": "up", "successCondition": "errors < 1"}),
                ),
            ),
            "a gate has one of metric and query",
        ),
        (
            with("/spec/gates", gate(json!({"metric": "error_rate"}))),
            "a gate has conditions",
        ),
        (
            with(
                "/spec/gates",
                gate(
                    json!({"metric": "error_rate", "successCondition": "errors < 1%", "count": 0}),
                ),
            ),
            "greater than or equal to 1",
        ),
        (
            with(
                "/spec/gates",
                json!([{"name": "a", "metric": "error_rate", "successCondition": "a < 1%"}, {"name": "a", "metric": "error_rate", "successCondition": "a < 1%"}]),
            ),
            "Duplicate value",
        ),
        (
            with("/spec/notify", json!([{"name": "a", "type": "slack"}])),
            "a slack channel has one of webhookSecret and tokenSecret",
        ),
        (
            with(
                "/spec/notify",
                json!([{"name": "a", "type": "slack", "tokenSecret": {"name": "s", "key": "k"}}]),
            ),
            "channel goes with tokenSecret",
        ),
        (
            with(
                "/spec/notify",
                json!([{"name": "a", "type": "pagerduty", "url": "https://example.com"}]),
            ),
            "a pagerduty channel needs routingKeySecret",
        ),
        (
            with("/spec/onFailure", json!("explode")),
            "Unsupported value",
        ),
        (
            with("/metadata/name", json!("a".repeat(53))),
            "the name of a Release has at most 52 characters",
        ),
    ] {
        let text = wrong.to_string();
        let said = namespace.apply_with(&["--dry-run=server", "--validate=strict"], &text);
        assert!(said.code != 0, "accepted: {text}");
        assert!(said.all().contains(expected), "{expected}\n{}", said.all());
        let sandbox = Sandbox::new();
        sandbox.file("release.json", &text);
        let said = sandbox.canary(&["validate", "release.json"]);
        assert_eq!(
            said.code,
            2,
            "canary validate accepts what the cluster refuses ({expected}): {text}\n{}",
            said.all()
        );
    }
}

fn a_release_reads_like_a_dashboard(cluster: &Cluster) {
    install(cluster);
    let namespace = Namespace::new(cluster, "columns");
    namespace.apply(&release().to_string());
    let status = json!({"status": {
        "phase": "Progressing", "step": "check_10", "weight": 10, "desiredWeight": 10, "why": "judging at 10 %", "run": "checkout-1"}});
    namespace
        .kubectl(&[
            "patch",
            "release",
            "checkout",
            "--subresource=status",
            "--type=merge",
            "--patch",
            &status.to_string(),
        ])
        .exits(0);
    let said = namespace
        .kubectl(&["get", "releases"])
        .exits(0)
        .stdout
        .clone();
    let words: Vec<&str> = said
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(
        words,
        ["NAME", "PHASE", "STEP", "WEIGHT", "WHY", "AGE"],
        "{said}"
    );
    for word in [
        "checkout",
        "Progressing",
        "check_10",
        "10",
        "judging at 10 %",
    ] {
        assert!(said.contains(word), "{word}\n{said}");
    }
    let said = namespace
        .kubectl(&["get", "rel", "-o", "wide"])
        .exits(0)
        .all();
    for word in ["TARGET", "ROUTER", "RUN", "gateway-api", "checkout-1"] {
        assert!(said.contains(word), "{word}\n{said}");
    }
    // The spec of a Release is not changed by whoever writes its status, nor the other way round.
    let generation = |object: &Value| object["metadata"]["generation"].as_i64();
    assert_eq!(
        generation(&namespace.get(&["release", "checkout"])),
        Some(1)
    );
}

fn what_must_not_change_cannot_be_changed(cluster: &Cluster) {
    install(cluster);
    let namespace = Namespace::new(cluster, "fixed");
    namespace.apply(&release().to_string());
    let said = namespace.patch(
        "release/checkout",
        "merge",
        &json!({"spec": {"target": {"name": "other"}}}),
    );
    assert!(
        said.all().contains("target cannot be changed"),
        "{}",
        said.all()
    );
    namespace
        .patch(
            "release/checkout",
            "merge",
            &json!({"spec": {"bake": "10m"}}),
        )
        .exits(0);

    let who = namespace
        .kubectl(&[
            "auth",
            "whoami",
            "-o",
            "jsonpath={.status.userInfo.username}",
        ])
        .exits(0);
    let action = action(who.stdout.trim(), "abort");
    let mut action = action;
    action["metadata"]["name"] = "one".into();
    namespace.apply(&action.to_string());
    for patch in [
        json!({"spec": {"verb": "promote"}}),
        json!({"spec": {"reason": "another"}}),
    ] {
        let said = namespace.patch("releaseaction/one", "merge", &patch);
        assert!(
            said.all().contains("a ReleaseAction cannot be changed"),
            "{}",
            said.all()
        );
    }
}

fn everything_that_is_installed_is_accepted(cluster: &Cluster) {
    install(cluster);
    let sandbox = Sandbox::new();
    let yaml = sandbox
        .canary(&["install", "--dry-run", "-o", "yaml"])
        .exits(0)
        .stdout;
    let file = sandbox.file("canary.yaml", &yaml).display().to_string();
    let said = cluster
        .kubectl(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "-f",
            &file,
        ])
        .exits(0);
    assert!(
        said.all().contains("deployment.apps/canary-controller"),
        "{}",
        said.all()
    );
    assert!(!said.all().contains("Warning"), "{}", said.all());
    let from_kustomize = cluster
        .kubectl(&[
            "kustomize",
            &canary_tests::sandbox::repository_file("deploy/kustomize/default")
                .display()
                .to_string(),
        ])
        .exits(0);
    let count = |text: &str| {
        text.lines()
            .filter(|line| line.starts_with("kind: "))
            .count()
    };
    assert_eq!(count(&from_kustomize.stdout), count(&yaml));
}
