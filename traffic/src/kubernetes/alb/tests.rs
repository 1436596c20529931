use serde_json::json;

use super::super::patch::tests::{apply, lines};
use super::*;

const NAME: &str = "alb.ingress.kubernetes.io/actions.split";
const BY: &str = "run shop-1";

fn action() -> Action {
    Action {
        ingress: "shop".to_owned(),
        action: "split".to_owned(),
        stable: "stable".to_owned(),
        canary: "canary".to_owned(),
    }
}

fn weight(percent: u8) -> Weight {
    Weight::try_from(percent).unwrap()
}

fn object(action: &str) -> Value {
    json!({
        "metadata": {"name": "shop", "resourceVersion": "3", "annotations": {NAME: action, "alb.ingress.kubernetes.io/scheme": "internal"}},
        "spec": {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": "split", "port": {"name": "use-annotation"}}}}]}}]},
    })
}

fn plain() -> Value {
    object(
        r#"{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"stable","servicePort":"80","weight":100}],"targetGroupStickinessConfig":{"enabled":true,"durationSeconds":200}}}"#,
    )
}

fn after(object: &Value, percent: u8) -> Value {
    let wanted = Wanted::Weight {
        to: weight(percent),
        by: BY,
    };
    apply(object, &action().plan(object, &wanted).unwrap())
}

fn groups(object: &Value) -> Value {
    let action: Value = serde_json::from_str(annotation(object, NAME).unwrap()).unwrap();
    action
        .pointer("/forwardConfig/targetGroups")
        .unwrap()
        .clone()
}

#[test]
fn weights_go_into_the_annotation_and_the_original_text_comes_back() {
    let now = after(&plain(), 10);
    assert_eq!(
        groups(&now),
        json!([
            {"serviceName": "stable", "servicePort": "80", "weight": 90},
            {"serviceName": "canary", "servicePort": "80", "weight": 10},
        ])
    );
    assert!(annotation(&now, NAME).unwrap().contains("durationSeconds"));
    assert_eq!(action().read(&now).unwrap().weight, weight(10));
    let now = after(&now, 50);
    assert_eq!(action().read(&now).unwrap().weight, weight(50));

    let taken = action().plan(&now, &Wanted::Off { by: "ada" }).unwrap();
    assert!(lines(&taken)[0].starts_with("only if /metadata/annotations/alb.ingress"));
    let off = apply(&now, &taken);
    assert_eq!(action().read(&off).unwrap().weight, Weight::ZERO);
    assert!(
        action()
            .plan(&off, &Wanted::Off { by: BY })
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        apply(&off, &action().plan(&off, &Wanted::Gone).unwrap()),
        plain()
    );
    assert!(action().plan(&plain(), &Wanted::Gone).unwrap().is_empty());
}

#[test]
fn keys_keep_their_spelling() {
    let now = after(
        &object(
            r#"{"Type":"forward","ForwardConfig":{"TargetGroups":[{"ServiceName":"stable","ServicePort":80,"Weight":1}]}}"#,
        ),
        20,
    );
    assert_eq!(
        annotation(&now, NAME).unwrap(),
        r#"{"Type":"forward","ForwardConfig":{"TargetGroups":[{"ServiceName":"stable","ServicePort":80,"Weight":80},{"ServiceName":"canary","ServicePort":80,"Weight":20}]}}"#
    );
}

#[test]
fn other_target_groups_keep_their_share() {
    let before = object(
        r#"{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"stable","servicePort":"80","weight":200},{"targetGroupARN":"arn:aws:x","weight":50}]}}"#,
    );
    let now = after(&before, 10);
    let weights: Vec<u64> = list(&groups(&now), "").iter().map(super::weight).collect();
    assert_eq!(weights, [180, 50, 20]);
    let wanted = Wanted::Weight {
        to: weight(10),
        by: BY,
    };
    let odd = object(
        r#"{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"stable","servicePort":"80"},{"targetGroupARN":"arn:aws:x"}]}}"#,
    );
    assert!(
        action()
            .plan(&odd, &wanted)
            .unwrap_err()
            .what
            .contains("no whole number")
    );
}

#[test]
fn what_is_no_such_action_is_refused_with_the_reason() {
    let unfit = |text: &str| action().read(&object(text)).unwrap_err().what;
    assert!(unfit("{").contains("no JSON"));
    assert!(unfit(r#"{"type":"redirect"}"#).contains("no forwardConfig"));
    assert!(unfit(r#"{"forwardConfig":{}}"#).contains("no targetGroups"));
    assert!(
        unfit(r#"{"forwardConfig":{"targetGroups":[{"serviceName":"x"}]}}"#)
            .contains("no target group has the serviceName stable")
    );
    let mut without = plain();
    without["metadata"]["annotations"] = json!({});
    assert!(
        action()
            .read(&without)
            .unwrap_err()
            .what
            .contains("no annotation")
    );
    let mut unused = plain();
    unused["spec"] = json!({});
    assert!(
        action()
            .fits(&unused)
            .unwrap_err()
            .what
            .contains("no backend of it is the action")
    );
    let shared = object(
        r#"{"forwardConfig":{"targetGroups":[{"serviceName":"stable"},{"serviceName":"canary"}]}}"#,
    );
    assert!(action().fits(&shared).unwrap_err().what.contains("50 %"));
    assert_eq!(action().fits(&plain()), Ok(Vec::new()));
    // Weights beyond all sense are cut and overflow nothing.
    let huge = object(
        r#"{"forwardConfig":{"targetGroups":[{"serviceName":"stable","weight":18446744073709551615},{"serviceName":"canary","weight":18446744073709551615}]}}"#,
    );
    assert_eq!(action().read(&huge).unwrap().weight, weight(50));
}
