use serde_json::json;

use super::super::patch::tests::{apply, lines};
use super::*;
use crate::Weight;

const BY: &str = "run checkout-7";

fn hosts() -> VirtualService {
    VirtualService {
        name: "checkout".to_owned(),
        arms: Arms::Hosts {
            stable: "stable".to_owned(),
            canary: "canary".to_owned(),
        },
        matching: None,
    }
}

fn subsets() -> VirtualService {
    VirtualService {
        arms: Arms::Subsets {
            host: "checkout".to_owned(),
            stable: "v1".to_owned(),
            canary: "v2".to_owned(),
        },
        ..hosts()
    }
}

fn weight(percent: u8) -> Weight {
    Weight::try_from(percent).unwrap()
}

fn object(spec: Value) -> Value {
    json!({"metadata": {"name": "checkout", "namespace": "shop", "generation": 1, "annotations": {"a": "b"}}, "spec": spec})
}

fn after(service: &VirtualService, object: &Value, percent: u8) -> Value {
    let wanted = Wanted::Weight {
        to: weight(percent),
        by: BY,
    };
    apply(object, &service.plan(object, &wanted).unwrap())
}

fn gone(service: &VirtualService, object: &Value) -> Value {
    apply(object, &service.plan(object, &Wanted::Gone).unwrap())
}

#[test]
fn one_destination_without_a_weight_becomes_two_and_one_again() {
    let before = object(json!({"hosts": ["shop.example"], "http": [{
        "timeout": "2s", "retries": {"attempts": 3},
        "route": [{"destination": {"host": "stable", "port": {"number": 80}}, "headers": {"request": {"set": {"a": "b"}}}}],
    }]}));
    let now = after(&hosts(), &before, 10);
    assert_eq!(
        now["spec"]["http"][0]["route"],
        json!([
            {"destination": {"host": "stable", "port": {"number": 80}}, "headers": {"request": {"set": {"a": "b"}}}, "weight": 90},
            {"destination": {"host": "canary", "port": {"number": 80}}, "headers": {"request": {"set": {"a": "b"}}}, "weight": 10},
        ])
    );
    assert_eq!(hosts().read(&now).unwrap().weight, weight(10));
    assert_eq!(gone(&hosts(), &now), before);
    let taken = hosts().plan(&now, &Wanted::Off { by: "ada" }).unwrap();
    assert_eq!(
        lines(&taken),
        [
            r#"only if /spec/http/0/route/0/destination/host is "stable""#,
            r#"only if /spec/http/0/route/1/destination/host is "canary""#,
            "set /spec/http/0/route/0/weight to 100",
            "set /spec/http/0/route/1/weight to 0",
            r#"set /metadata/annotations/canary.internal~1by to "ada""#,
        ]
    );
    assert_eq!(
        hosts().read(&apply(&now, &taken)).unwrap().weight,
        Weight::ZERO
    );
}

#[test]
fn hosts_may_be_written_in_every_form() {
    for (written, canary) in [
        ("stable", "canary"),
        ("stable.shop", "canary.shop"),
        ("stable.shop.svc", "canary.shop.svc"),
        (
            "stable.shop.svc.cluster.local",
            "canary.shop.svc.cluster.local",
        ),
    ] {
        let before = object(json!({"tcp": [{"route": [{"destination": {"host": written}}]}]}));
        let now = after(&hosts(), &before, 50);
        assert_eq!(
            now["spec"]["tcp"][0]["route"][1]["destination"]["host"],
            canary
        );
        assert_eq!(hosts().read(&now).unwrap().weight, weight(50));
        assert_eq!(gone(&hosts(), &now), before);
    }
    let other = object(json!({"http": [{"route": [{"destination": {"host": "stable.other"}}]}]}));
    let unfit = hosts().read(&other).unwrap_err();
    assert!(unfit.what.contains("it sends to stable.other"), "{unfit:?}");
}

#[test]
fn subsets_of_one_host_are_told_apart() {
    let before = object(json!({"http": [
        {"match": [{"uri": {"prefix": "/a"}}], "route": [{"destination": {"host": "checkout", "subset": "v1"}}]},
        {"route": [{"destination": {"host": "checkout"}}]},
        {"redirect": {"uri": "/"}},
    ]}));
    let now = after(&subsets(), &before, 25);
    assert_eq!(
        now["spec"]["http"][0]["route"][1],
        json!({"destination": {"host": "checkout", "subset": "v2"}, "weight": 25})
    );
    // The whole host is not its subset v1.
    assert_eq!(now["spec"]["http"][1], before["spec"]["http"][1]);
    let raise = Wanted::Weight {
        to: weight(50),
        by: BY,
    };
    let tests = lines(&subsets().plan(&now, &raise).unwrap());
    assert!(
        tests.contains(&r#"only if /spec/http/0/route/1/destination/subset is "v2""#.to_owned()),
        "{tests:?}"
    );
    assert_eq!(gone(&subsets(), &now), before);
}

#[test]
fn http_tls_and_tcp_change_together_and_others_keep_theirs() {
    let before = object(json!({
        "http": [{"route": [{"destination": {"host": "stable"}, "weight": 80}, {"destination": {"host": "legacy"}, "weight": 20}]}],
        "tls": [{"match": [{"sniHosts": ["a"]}], "route": [{"destination": {"host": "stable"}}]}],
        "tcp": [{"route": [{"destination": {"host": "legacy"}}]}],
    }));
    let now = after(&hosts(), &before, 10);
    let of = |pointer: &str| -> Vec<u64> {
        list(&now, pointer)
            .iter()
            .map(|one| number(one, "/weight").unwrap())
            .collect()
    };
    assert_eq!(of("/spec/http/0/route"), [72, 20, 8]);
    assert_eq!(of("/spec/tls/0/route"), [90, 10]);
    assert_eq!(now["spec"]["tcp"], before["spec"]["tcp"]);
    assert_eq!(hosts().read(&now).unwrap().weight, weight(10));
    assert_eq!(gone(&hosts(), &now), before);
}

#[test]
fn matching_requests_come_before_the_weights_for_http() {
    let router = VirtualService {
        matching: Some(Match::Header {
            name: "X-Canary".to_owned(),
            value: "always".to_owned(),
        }),
        ..hosts()
    };
    let before = object(json!({
        "http": [
            {"match": [{"uri": {"prefix": "/static"}}], "route": [{"destination": {"host": "files"}}]},
            {"name": "main", "match": [{"uri": {"prefix": "/"}}], "route": [{"destination": {"host": "stable"}}]},
        ],
        "tcp": [{"route": [{"destination": {"host": "stable"}}]}],
    }));
    let now = after(&router, &before, 10);
    assert_eq!(
        now["spec"]["http"][1],
        json!({
            "name": "main-canary",
            "match": [{"uri": {"prefix": "/"}, "headers": {"x-canary": {"exact": "always"}}}],
            "route": [{"destination": {"host": "canary"}}],
        })
    );
    assert!(router.read(&now).unwrap().matching);
    let off = apply(&now, &router.plan(&now, &Wanted::Off { by: BY }).unwrap());
    assert_eq!(list(&off, "/spec/http").len(), 2);
    assert_eq!(gone(&router, &after(&router, &off, 50)), before);
}

#[test]
fn two_destinations_of_which_the_canary_has_something_are_refused() {
    let even = object(json!({"http": [{"route": [
        {"destination": {"host": "stable"}, "weight": 60}, {"destination": {"host": "canary"}, "weight": 40}]}]}));
    assert!(hosts().fits(&even).unwrap_err().what.contains("40 %"));
    let fine = object(json!({"http": [{"route": [
        {"destination": {"host": "stable"}, "weight": 100}, {"destination": {"host": "canary"}}]}]}));
    assert_eq!(hosts().fits(&fine), Ok(Vec::new()));
    let now = after(&hosts(), &fine, 10);
    assert_eq!(hosts().read(&now).unwrap().weight, weight(10));
}

#[test]
fn what_istiod_finds_wrong_is_a_refusal() {
    let mut sick = object(json!({"http": [{"route": [{"destination": {"host": "stable"}}]}]}));
    sick["status"] = json!({"validationMessages": [
        {"level": "WARNING", "type": {"code": "IST0001"}},
        {"level": "ERROR", "type": {"code": "IST0101"}, "documentationUrl": "https://istio.io/latest/docs/IST0101"},
    ]});
    let accepted = hosts().read(&sick).unwrap().accepted;
    assert!(matches!(accepted, Acceptance::Refused { reason } if reason.contains("IST0101")));
}
