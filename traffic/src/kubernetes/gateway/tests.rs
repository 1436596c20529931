use serde_json::json;

use super::super::object::annotation;
use super::super::patch::tests::{apply, lines};
use super::super::{ANNOTATION_BEFORE, ANNOTATION_BY};
use super::*;

const BY: &str = "run checkout-7";

fn route() -> Route {
    Route {
        route_type: RouteType::Http,
        name: "checkout".to_owned(),
        stable: "stable".to_owned(),
        canary: "canary".to_owned(),
        matching: None,
    }
}

fn with_header() -> Route {
    Route {
        matching: Some(Match::Header {
            name: "X-Canary".to_owned(),
            value: "always".to_owned(),
        }),
        ..route()
    }
}

fn weight(percent: u8) -> Weight {
    Weight::try_from(percent).unwrap()
}

/// A route with these rules, as the API server gives it: defaults filled in, accepted by its gateway.
fn object(rules: Value) -> Value {
    json!({
        "metadata": {"name": "checkout", "namespace": "shop", "generation": 3, "resourceVersion": "77"},
        "spec": {
            "parentRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gateway", "namespace": "infra"}],
            "rules": rules,
        },
        "status": {"parents": [{
            "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gateway", "namespace": "infra"},
            "controllerName": "projectcontour.io/gateway-controller",
            "conditions": [
                {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "observedGeneration": 3},
                {"type": "ResolvedRefs", "status": "True", "reason": "ResolvedRefs", "message": "", "observedGeneration": 3},
            ],
        }]},
    })
}

fn backend(name: &str, weight: u64) -> Value {
    json!({"group": "", "kind": "Service", "name": name, "port": 80, "weight": weight})
}

/// The object after a change to this weight.
fn after(route: &Route, object: &Value, percent: u8) -> Value {
    let wanted = Wanted::Weight {
        to: weight(percent),
        by: BY,
    };
    apply(object, &route.plan(object, &wanted).unwrap())
}

fn off(route: &Route, object: &Value) -> Value {
    apply(
        object,
        &route.plan(object, &Wanted::Off { by: BY }).unwrap(),
    )
}

fn gone(route: &Route, object: &Value) -> Value {
    apply(object, &route.plan(object, &Wanted::Gone).unwrap())
}

fn weights(object: &Value, rule: usize) -> Vec<(String, u64)> {
    list(object, &format!("/spec/rules/{rule}/backendRefs"))
        .iter()
        .map(|one| {
            (
                text(one, "/name").unwrap().to_owned(),
                number(one, "/weight").unwrap(),
            )
        })
        .collect()
}

fn pairs(list: &[(&str, u64)]) -> Vec<(String, u64)> {
    list.iter().map(|(n, w)| ((*n).to_owned(), *w)).collect()
}

#[test]
fn the_first_weight_adds_the_backend_and_notes_what_was() {
    let before = object(json!([{"backendRefs": [backend("stable", 1)]}]));
    let wanted = Wanted::Weight {
        to: weight(10),
        by: BY,
    };
    let operations = route().plan(&before, &wanted).unwrap();
    assert_eq!(
        lines(&operations),
        [
            r#"only if /spec/rules/0/backendRefs is [{"group":"","kind":"Service","name":"stable","port":80,"weight":1}]"#,
            "set /spec/rules/0/backendRefs/0/weight to 90",
            r#"set /spec/rules/0/backendRefs/- to {"group":"","kind":"Service","name":"canary","port":80,"weight":10}"#,
            r#"only if /metadata/resourceVersion is "77""#,
            r#"set /metadata/annotations to {"canary.internal/by":"run checkout-7","canary.internal/before":"{\"lists\":[{\"stable\":1}]}"}"#,
        ]
    );
    let now = apply(&before, &operations);
    assert_eq!(weights(&now, 0), pairs(&[("stable", 90), ("canary", 10)]));
    assert_eq!(route().read(&now).unwrap().weight, weight(10));
}

#[test]
fn a_raise_tests_the_weights_and_taking_off_tests_the_names_only() {
    let now = after(
        &route(),
        &object(json!([{"backendRefs": [backend("stable", 1)]}])),
        10,
    );
    let raise = Wanted::Weight {
        to: weight(50),
        by: BY,
    };
    assert_eq!(
        lines(&route().plan(&now, &raise).unwrap()),
        [
            r#"only if /spec/rules/0/backendRefs/0/name is "stable""#,
            "only if /spec/rules/0/backendRefs/0/weight is 90",
            r#"only if /spec/rules/0/backendRefs/1/name is "canary""#,
            "only if /spec/rules/0/backendRefs/1/weight is 10",
            "set /spec/rules/0/backendRefs/0/weight to 50",
            "set /spec/rules/0/backendRefs/1/weight to 50",
        ]
    );
    assert_eq!(
        lines(&route().plan(&now, &Wanted::Off { by: "ada" }).unwrap()),
        [
            r#"only if /spec/rules/0/backendRefs/0/name is "stable""#,
            r#"only if /spec/rules/0/backendRefs/1/name is "canary""#,
            "set /spec/rules/0/backendRefs/0/weight to 100",
            "set /spec/rules/0/backendRefs/1/weight to 0",
            r#"set /metadata/annotations/canary.internal~1by to "ada""#,
        ]
    );
    // Taking off what is off sends nothing.
    let off = off(&route(), &now);
    assert!(
        route()
            .plan(&off, &Wanted::Off { by: BY })
            .unwrap()
            .is_empty()
    );
}

#[test]
fn every_weight_there_and_back_leaves_the_object_as_it_was() {
    for stable in [0, 1, 7, 100] {
        let before = object(json!([
            {"backendRefs": [backend("stable", stable)], "filters": [{"type": "RequestMirror"}]},
            {"backendRefs": [backend("legacy", 1)]},
            {"matches": [{"path": {"type": "PathPrefix", "value": "/pay"}}], "backendRefs": [backend("stable", stable)]},
        ]));
        for percent in [0, 1, 10, 33, 50, 99, 100] {
            let now = after(&route(), &before, percent);
            assert_eq!(route().read(&now).unwrap().weight, weight(percent));
            assert_eq!(weights(&now, 1), pairs(&[("legacy", 1)]));
            let again = after(&route(), &now, 50);
            let gone = gone(&route(), &again);
            assert_eq!(gone["spec"], before["spec"], "{stable} {percent}");
            assert_eq!(gone["metadata"]["annotations"], json!({}));
            // And once more is nothing.
            assert!(route().plan(&gone, &Wanted::Gone).unwrap().is_empty());
        }
    }
}

#[test]
fn other_backends_keep_their_weights_and_the_canary_shares_what_stable_had() {
    let before = object(
        json!([{"backendRefs": [backend("legacy", 20), backend("stable", 80), backend("odd", 3)]}]),
    );
    let now = after(&route(), &before, 25);
    assert_eq!(
        weights(&now, 0),
        pairs(&[("legacy", 20), ("stable", 60), ("odd", 3), ("canary", 20)])
    );
    assert_eq!(route().read(&now).unwrap().weight, weight(25));
    assert_eq!(gone(&route(), &now)["spec"], before["spec"]);

    let bad = object(json!([{"backendRefs": [backend("stable", 1), backend("legacy", 1)]}]));
    let wanted = Wanted::Weight {
        to: weight(10),
        by: BY,
    };
    let unfit = route().plan(&bad, &wanted).unwrap_err();
    assert!(unfit.what.contains("no whole number"), "{unfit:?}");
    assert!(unfit.hint.contains("multiply"), "{unfit:?}");
}

#[test]
fn a_manifest_with_both_backends_is_fine_at_100_and_0_only() {
    let fine = object(json!([{"backendRefs": [backend("stable", 100), backend("canary", 0)]}]));
    assert_eq!(route().fits(&fine), Ok(Vec::new()));
    let now = after(&route(), &fine, 10);
    assert_eq!(weights(&now, 0), pairs(&[("stable", 90), ("canary", 10)]));
    // It named the canary: the canary stays named.
    assert_eq!(gone(&route(), &now)["spec"], fine["spec"]);

    // Without weights: the API server fills in 1 and 1.
    let even = object(json!([{"backendRefs": [backend("stable", 1), backend("canary", 1)]}]));
    let unfit = route().fits(&even).unwrap_err();
    assert!(unfit.what.contains("50 %"), "{unfit:?}");
    // What is left of a run that crashed is no manifest.
    let left = after(
        &route(),
        &object(json!([{"backendRefs": [backend("stable", 1)]}])),
        50,
    );
    assert_eq!(route().fits(&left), Ok(Vec::new()));
}

#[test]
fn left_overs_of_a_crash_go_even_without_our_note() {
    let mut left = after(
        &route(),
        &object(json!([{"backendRefs": [backend("stable", 1)]}])),
        50,
    );
    left["metadata"]["annotations"] = json!({});
    let gone = gone(&route(), &left);
    assert_eq!(list(&gone, "/spec/rules/0/backendRefs").len(), 1);
}

#[test]
fn a_manifest_that_was_applied_again_starts_anew() {
    let first = object(json!([{"backendRefs": [backend("stable", 1)]}]));
    let mut applied = after(&route(), &first, 10);
    // A GitOps tool puts its rules back; our annotations stay.
    applied["spec"]["rules"] =
        json!([{"backendRefs": [backend("stable", 5)]}, {"backendRefs": [backend("stable", 5)]}]);
    assert_eq!(route().read(&applied).unwrap().weight, Weight::ZERO);
    let now = after(&route(), &applied, 10);
    assert_eq!(gone(&route(), &now)["spec"], applied["spec"]);
}

#[test]
fn rules_that_disagree_say_so_and_count_as_the_highest() {
    let mut now = after(
        &route(),
        &object(
            json!([{"backendRefs": [backend("stable", 1)]}, {"backendRefs": [backend("stable", 1)]}]),
        ),
        10,
    );
    now["spec"]["rules"][1]["backendRefs"][1]["weight"] = json!(90);
    let reading = route().read(&now).unwrap();
    assert_eq!((reading.weight, reading.even), (weight(50), false));
    assert_eq!(
        route().read(&off(&route(), &now)).unwrap().weight,
        Weight::ZERO
    );
}

#[test]
fn backends_of_another_namespace_or_kind_are_somebody_elses() {
    let mut foreign = backend("stable", 1);
    foreign["namespace"] = json!("other");
    let mut kind = backend("stable", 1);
    kind["kind"] = json!("ServiceImport");
    kind["group"] = json!("multicluster.x-k8s.io");
    let unfit = route()
        .read(&object(json!([{"backendRefs": [foreign, kind]}])))
        .unwrap_err();
    assert!(
        unfit.what.contains("no rule names the Service stable"),
        "{unfit:?}"
    );
    let empty = route().read(&object(json!([]))).unwrap_err();
    assert!(empty.what.contains("it has no backends"), "{empty:?}");
}

#[test]
fn matching_requests_get_rules_of_their_own_before_the_weights() {
    let before = object(json!([
        {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": [backend("other", 1)]},
        {
            "name": "pay",
            "matches": [
                {"path": {"type": "PathPrefix", "value": "/pay"}},
                {"path": {"type": "PathPrefix", "value": "/p"}, "headers": [{"type": "Exact", "name": "X-A", "value": "1"}]},
            ],
            "filters": [{"type": "ResponseHeaderModifier"}],
            "timeouts": {"request": "2s"},
            "backendRefs": [backend("stable", 1)],
        },
    ]));
    let router = with_header();
    let now = after(&router, &before, 10);
    assert_eq!(list(&now, "/spec/rules").len(), 3);
    let ours = &now["spec"]["rules"][1];
    let header = json!({"type": "Exact", "name": "X-Canary", "value": "always"});
    assert_eq!(ours["name"], "pay-canary");
    assert_eq!(ours["matches"][0]["headers"], json!([header]));
    assert_eq!(ours["matches"][1]["headers"][1], header);
    assert_eq!(ours["filters"], before["spec"]["rules"][1]["filters"]);
    assert_eq!(ours["timeouts"]["request"], "2s");
    assert_eq!(weights(&now, 1), pairs(&[("canary", 1)]));
    assert_eq!(weights(&now, 2), pairs(&[("stable", 90), ("canary", 10)]));
    let reading = router.read(&now).unwrap();
    assert!(reading.matching);

    // A second step does not add it again; taking off removes it at once; the next weight brings it back.
    let more = after(&router, &now, 50);
    assert_eq!(list(&more, "/spec/rules").len(), 3);
    let off = off(&router, &more);
    assert!(!router.read(&off).unwrap().matching);
    assert_eq!(list(&off, "/spec/rules").len(), 2);
    let back = after(&router, &off, 10);
    assert_eq!(list(&back, "/spec/rules").len(), 3);
    assert_eq!(gone(&router, &back)["spec"], before["spec"]);
}

#[test]
fn a_header_rule_of_the_user_stays() {
    let router = with_header();
    let users = json!({
        "matches": [{"headers": [{"type": "Exact", "name": "x-canary", "value": "always"}]}],
        "backendRefs": [backend("canary", 1)],
    });
    let before = object(json!([users, {"backendRefs": [backend("stable", 1)]}]));
    let taken_off = off(&router, &before);
    assert_eq!(taken_off["spec"], before["spec"]);
}

#[test]
fn a_cookie_is_matched_as_a_whole() {
    let pattern = Match::cookie_pattern("canary", "al.ways");
    assert_eq!(pattern, r"^(.*;[ ]*)?canary=al\.ways([ ]*;.*)?$");
    let router = Route {
        matching: Some(Match::Cookie {
            name: "canary".to_owned(),
            value: "yes".to_owned(),
        }),
        ..route()
    };
    let now = after(
        &router,
        &object(json!([{"backendRefs": [backend("stable", 1)]}])),
        1,
    );
    let matched = &now["spec"]["rules"][0]["matches"];
    assert_eq!(matched[0]["headers"][0]["type"], "RegularExpression");
}

#[test]
fn it_is_in_force_when_every_parent_says_so_of_this_generation() {
    let good = after(
        &route(),
        &object(json!([{"backendRefs": [backend("stable", 1)]}])),
        10,
    );
    let word = |change: &dyn Fn(&mut Value)| {
        let mut object = good.clone();
        change(&mut object);
        route().read(&object).unwrap().accepted
    };
    assert_eq!(word(&|_| {}), Acceptance::Accepted);
    let stale = word(&|object| object["metadata"]["generation"] = json!(4));
    assert!(
        matches!(&stale, Acceptance::Pending { reason } if reason.contains("generation 3 of the route, which is at 4")),
        "{stale:?}"
    );
    let silent = word(&|object| object["status"] = json!({}));
    assert!(matches!(silent, Acceptance::Pending { .. }));
    let other = word(&|object| object["status"]["parents"][0]["parentRef"]["name"] = json!("b"));
    assert!(matches!(other, Acceptance::Pending { .. }));
    let refused = word(&|object| {
        object["status"]["parents"][0]["conditions"][0]["status"] = json!("False");
    });
    assert!(
        matches!(&refused, Acceptance::Refused { reason } if reason.contains("Accepted=False"))
    );
    let unresolved = |object: &mut Value| {
        object["status"]["parents"][0]["conditions"][1]["status"] = json!("False");
    };
    assert!(matches!(word(&unresolved), Acceptance::Refused { .. }));
    let lone = word(&|object| object["spec"]["parentRefs"] = json!([]));
    assert!(matches!(lone, Acceptance::Refused { .. }));

    // A canary that is gone does not keep a weight of 0 from being in force.
    let mut off = off(&route(), &good);
    unresolved(&mut off);
    assert_eq!(route().read(&off).unwrap().accepted, Acceptance::Accepted);
}

#[test]
fn a_note_says_who_and_what_was() {
    let now = after(
        &route(),
        &object(json!([{"backendRefs": [backend("stable", 1)]}])),
        10,
    );
    assert_eq!(annotation(&now, ANNOTATION_BY), Some(BY));
    assert_eq!(
        annotation(&now, ANNOTATION_BEFORE),
        Some(r#"{"lists":[{"stable":1}]}"#)
    );
    // A note that somebody broke is no reason to panic: what we added goes, the rest stays.
    let mut broken = now.clone();
    broken["metadata"]["annotations"][ANNOTATION_BEFORE] = json!("{\"lists\": 7");
    let left = gone(&route(), &broken);
    let backends = list(&left, "/spec/rules/0/backendRefs");
    // Alone it gets everything by any weight; the API server fills in its default.
    assert_eq!((backends.len(), backends[0].get("weight")), (1, None));
}
