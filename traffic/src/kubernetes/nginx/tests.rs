use serde_json::json;

use super::*;

fn ingress() -> Ingress {
    Ingress {
        name: "shop".to_owned(),
        stable: "stable".to_owned(),
        canary: "canary".to_owned(),
        prefix: USUAL_PREFIX.to_owned(),
        matching: None,
    }
}

fn weight(percent: u8) -> Weight {
    Weight::try_from(percent).unwrap()
}

fn path(service: &str, path: &str) -> Value {
    json!({"path": path, "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 80}}}})
}

fn stable() -> Value {
    json!({
        "metadata": {"name": "shop", "uid": "u-1", "annotations": {
            "kubernetes.io/ingress.class": "nginx",
            "nginx.ingress.kubernetes.io/rewrite-target": "/",
        }},
        "spec": {
            "ingressClassName": "nginx",
            "tls": [{"hosts": ["shop.example"], "secretName": "shop"}],
            "rules": [
                {"host": "shop.example", "http": {"paths": [path("stable", "/"), path("files", "/static")]}},
                {"host": "other.example", "http": {"paths": [path("files", "/")]}},
                {"host": "bare.example"},
                {"host": "odd.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"resource": {"kind": "Bucket", "name": "x"}}}]}},
            ],
        },
    })
}

#[test]
fn the_canary_ingress_has_the_stable_ones_paths_for_stable_and_nothing_else() {
    let canary = ingress()
        .build(&stable(), weight(10), "run shop-1")
        .unwrap();
    assert_eq!(
        canary,
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {
                "name": "shop-canary",
                "labels": {"app.kubernetes.io/managed-by": "canary"},
                "annotations": {
                    "canary.internal/by": "run shop-1",
                    "nginx.ingress.kubernetes.io/canary": "true",
                    "nginx.ingress.kubernetes.io/canary-weight": "10",
                    "kubernetes.io/ingress.class": "nginx",
                },
                "ownerReferences": [{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "shop", "uid": "u-1"}],
            },
            "spec": {
                "ingressClassName": "nginx",
                "tls": [{"hosts": ["shop.example"], "secretName": "shop"}],
                "rules": [{"host": "shop.example", "http": {"paths": [path("canary", "/")]}}],
            },
        })
    );
    assert_eq!(ingress().weight(&canary).unwrap(), weight(10));
}

#[test]
fn header_and_cookie_are_set_with_the_weight_and_gone_with_it() {
    let by_header = Ingress {
        prefix: "ingress.example".to_owned(),
        matching: Some(Match::Header {
            name: "X-Canary".to_owned(),
            value: "yes".to_owned(),
        }),
        ..ingress()
    };
    let annotations = by_header.annotations(weight(5), "x");
    assert_eq!(
        annotations["ingress.example/canary-by-header"],
        json!("X-Canary")
    );
    assert_eq!(
        annotations["ingress.example/canary-by-header-value"],
        json!("yes")
    );
    let by_cookie = Ingress {
        matching: Some(Match::Cookie {
            name: "canary".to_owned(),
            value: "always".to_owned(),
        }),
        ..ingress()
    };
    let annotations = by_cookie.annotations(weight(5), "x");
    assert_eq!(
        annotations["nginx.ingress.kubernetes.io/canary-by-cookie"],
        json!("canary")
    );
    // A merge patch: null removes.
    let off = by_header.off("ada");
    assert_eq!(
        off["metadata"]["annotations"],
        json!({
            "canary.internal/by": "ada",
            "ingress.example/canary-weight": "0",
            "ingress.example/canary-by-header": null,
            "ingress.example/canary-by-header-value": null,
            "ingress.example/canary-by-header-pattern": null,
            "ingress.example/canary-by-cookie": null,
        })
    );
}

#[test]
fn a_raise_is_bound_to_the_object_that_was_read_and_taking_off_is_not() {
    let canary = json!({"metadata": {"resourceVersion": "9"}});
    assert_eq!(
        ingress().change(&canary, weight(20), "x")["metadata"]["resourceVersion"],
        "9"
    );
    assert!(
        ingress().off("x")["metadata"]
            .get("resourceVersion")
            .is_none()
    );
}

#[test]
fn weights_of_another_total_and_nonsense() {
    let of =
        |annotations: Value| ingress().weight(&json!({"metadata": {"annotations": annotations}}));
    let key = |name: &str| format!("nginx.ingress.kubernetes.io/{name}");
    let canary = |part: &str, whole: &str| {
        of(
            json!({key("canary"): "true", key("canary-weight"): part, key("canary-weight-total"): whole}),
        )
    };
    assert_eq!(canary("5", "50").unwrap(), weight(10));
    assert_eq!(canary("1", "1000").unwrap(), weight(1));
    assert_eq!(canary("0", "1000").unwrap(), Weight::ZERO);
    assert_eq!(canary("300", "100").unwrap(), weight(100));
    assert!(canary("ten", "100").unwrap_err().what.contains("no number"));
    assert!(
        of(json!({}))
            .unwrap_err()
            .what
            .contains("no canary Ingress")
    );
}

#[test]
fn what_cannot_have_a_canary_is_refused_with_the_reason() {
    let unfit = |spec: Value| {
        ingress()
            .build(&json!({"spec": spec}), weight(1), "x")
            .unwrap_err()
    };
    let default = unfit(json!({"defaultBackend": {"service": {"name": "stable"}}}));
    assert!(default.what.contains("default backend only"), "{default:?}");
    assert!(
        unfit(json!({}))
            .what
            .contains("no path of it sends to the Service stable")
    );
}

#[test]
fn another_canary_of_the_same_host_is_found() {
    let other = |name: &str, host: &str| {
        json!({
            "metadata": {"name": name, "annotations": {"nginx.ingress.kubernetes.io/canary": "true"}},
            "spec": {"rules": [{"host": host}]},
        })
    };
    let rivals = |list: &[Value]| ingress().rival(&stable(), list);
    assert_eq!(
        rivals(&[other("mine", "shop.example")]),
        Some("mine".to_owned())
    );
    assert_eq!(rivals(&[other("shop-canary", "shop.example")]), None);
    assert_eq!(rivals(&[other("far", "far.example"), stable()]), None);
}
