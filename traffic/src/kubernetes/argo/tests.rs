use serde_json::json;

use super::super::patch::tests::{apply, lines};
use super::*;

const BY: &str = "run shop-1";

fn weight(percent: u8) -> Weight {
    Weight::try_from(percent).unwrap()
}

fn own_steps() -> Value {
    json!([
        {"setWeight": 0}, {"pause": {}}, {"setWeight": 10}, {"pause": {}},
        {"setWeight": 25}, {"pause": {"duration": "5m"}}, {"setWeight": 50}, {"pause": {}},
    ])
}

/// A Rollout with a new version at that step.
fn rollout(step: u64) -> Value {
    json!({
        "metadata": {"name": "shop", "uid": "u", "generation": 4, "resourceVersion": "8", "annotations": {"a": "b"}},
        "spec": {"template": {"spec": {"new": true}}, "strategy": {"canary": {"steps": own_steps(), "trafficRouting": {"nginx": {}}}}},
        "status": {
            "observedGeneration": "4", "currentPodHash": "new", "stableRS": "old", "currentStepIndex": step,
            "pauseConditions": [{"reason": "CanaryPauseStep"}], "controllerPause": true,
            "canary": {"weights": {"canary": {"weight": 10}}},
        },
    })
}

#[test]
fn a_weight_is_what_argo_has_set_and_holds_at_the_pause() {
    assert_eq!(read(&rollout(3)), (weight(10), Acceptance::Accepted));
    let word = |change: &dyn Fn(&mut Value)| {
        let mut object = rollout(3);
        change(&mut object);
        read(&object)
    };
    let (at, accepted) = word(&|object| object["status"]["currentStepIndex"] = json!(7));
    assert_eq!(at, weight(10));
    assert!(
        matches!(accepted, Acceptance::Pending { reason } if reason.contains("asks for 50 %, Argo Rollouts has set 10 %"))
    );
    let (_, running) = word(&|object| object["status"]["pauseConditions"] = json!([]));
    assert!(matches!(running, Acceptance::Pending { .. }));
    let (_, stale) = word(&|object| object["metadata"]["generation"] = json!(5));
    assert!(matches!(stale, Acceptance::Pending { .. }));
    // An abort is effective when the weight is 0, and not before.
    let (at, aborted) = word(&|object| {
        object["status"]["abort"] = json!(true);
    });
    assert_eq!(at, weight(10));
    assert!(
        matches!(aborted, Acceptance::Pending { reason } if reason.starts_with("requested, not yet effective"))
    );
    let gone = word(&|object| {
        object["status"]["abort"] = json!(true);
        object["status"]["canary"]["weights"]["canary"]["weight"] = json!(0);
    });
    assert_eq!(gone, (Weight::ZERO, Acceptance::Accepted));
    let rested = word(&|object| object["status"]["stableRS"] = json!("new"));
    assert_eq!(rested, (Weight::ZERO, Acceptance::Accepted));
}

#[test]
fn without_a_traffic_router_the_step_is_the_weight_and_pods_are_what_is_left() {
    let mut object = rollout(3);
    object["spec"]["strategy"]["canary"]["trafficRouting"] = Value::Null;
    object["spec"]["strategy"]["canary"]
        .as_object_mut()
        .unwrap()
        .remove("trafficRouting");
    assert_eq!(read(&object), (weight(10), Acceptance::Accepted));
    object["status"]["abort"] = json!(true);
    object["status"]["replicas"] = json!(10);
    object["status"]["updatedReplicas"] = json!(1);
    assert_eq!(read(&object).0, weight(10));
    object["status"]["updatedReplicas"] = json!(0);
    assert_eq!(read(&object), (Weight::ZERO, Acceptance::Accepted));
}

#[test]
fn own_steps_are_gone_to_by_index_only_where_they_wait() {
    let write = plan(&rollout(3), Steps::Keep, weight(50), BY).unwrap();
    assert_eq!(
        lines(&write.object),
        [
            r#"set /metadata/annotations/canary.internal~1by to "run shop-1""#,
            r#"set /metadata/annotations/canary.internal~1weight to "50""#,
        ]
    );
    assert_eq!(
        lines(&write.status),
        [
            r#"only if /status/currentPodHash is "new""#,
            "only if /status/currentStepIndex is 3",
            "set /status/currentStepIndex to 6",
            "set /status/controllerPause to false",
            "remove /status/pauseConditions",
        ]
    );
    // 25 does not wait for anybody.
    let unfit = plan(&rollout(3), Steps::Keep, weight(25), BY).unwrap_err();
    assert!(
        unfit.what.contains("its steps wait at 0 %, 10 %, 50 %"),
        "{unfit:?}"
    );
    // The end of the steps is 100.
    let end = plan(&rollout(7), Steps::Keep, weight(100), BY).unwrap();
    assert!(lines(&end.status).contains(&"set /status/currentStepIndex to 8".to_owned()));
}

#[test]
fn any_weight_is_one_step_and_a_pause_and_the_steps_come_back() {
    let before = rollout(1);
    let write = plan(&before, Steps::Replace, weight(37), BY).unwrap();
    assert!(write.status.is_empty());
    let now = apply(&before, &write.object);
    assert_eq!(
        now.pointer(STEPS).unwrap(),
        &json!([{"setWeight": 37}, {"pause": {}}])
    );
    let more = apply(
        &now,
        &plan(&now, Steps::Replace, weight(60), BY).unwrap().object,
    );
    // Promoted: the steps come back, the template stays.
    let mut promoted = more.clone();
    promoted["status"]["stableRS"] = json!("new");
    let restored = apply(&promoted, &put_back(&promoted, None).unwrap());
    assert_eq!(restored["spec"], before["spec"]);
    assert_eq!(restored["metadata"]["annotations"], json!({"a": "b"}));
    // Aborted: never without the stable template, or the rejected version would begin anew.
    let mut aborted = more;
    aborted["status"]["abort"] = json!(true);
    assert!(put_back(&aborted, None).unwrap_err().what.contains("anew"));
    let old = json!({"spec": {"old": true}});
    let restored = apply(&aborted, &put_back(&aborted, Some(&old)).unwrap());
    assert_eq!(restored["spec"]["template"], old);
    assert_eq!(restored.pointer(STEPS), before.pointer(STEPS));
}

#[test]
fn a_rollout_that_gives_users_by_itself_is_refused() {
    let word = |steps: Value| {
        let mut object = rollout(0);
        object["spec"]["strategy"]["canary"]["steps"] = steps;
        fits(&object).map_err(|unfit| unfit.what)
    };
    assert_eq!(word(own_steps()), Ok(()));
    assert_eq!(word(json!([{"pause": {}}, {"setWeight": 10}])), Ok(()));
    for bad in [
        json!([{"setWeight": 20}, {"pause": {}}]),
        json!([{"setWeight": 0}, {"pause": {"duration": 10}}, {"setWeight": 10}, {"pause": {}}]),
        json!([]),
    ] {
        assert!(word(bad.clone()).is_err(), "{bad}");
    }
    let mut blue_green = rollout(0);
    blue_green["spec"]["strategy"] = json!({"blueGreen": {}});
    assert!(fits(&blue_green).unwrap_err().what.contains("not canary"));
}

#[test]
fn a_template_loses_argos_label() {
    let set = json!({"spec": {"template": {"metadata": {"labels": {"app": "shop", HASH: "old"}}, "spec": {}}}});
    assert_eq!(
        template(&set).unwrap(),
        json!({"metadata": {"labels": {"app": "shop"}}, "spec": {}})
    );
}

#[test]
fn statuses_that_make_no_sense_are_no_reason_to_panic() {
    for status in [
        json!({}),
        json!({"currentPodHash": "a", "stableRS": "b", "currentStepIndex": u64::MAX}),
        json!({"currentPodHash": "a", "stableRS": "b", "canary": {"weights": {"canary": {"weight": 70_000}}}}),
        json!({"currentPodHash": 1, "stableRS": [], "abort": "yes"}),
    ] {
        for strategy in [
            json!({"canary": {"steps": [{"setWeight": 999}, {}]}}),
            json!({"canary": {}}),
            json!({}),
        ] {
            let object = json!({"metadata": {}, "spec": {"strategy": strategy}, "status": status});
            let (at, _) = read(&object);
            assert!(at <= Weight::FULL);
            let _may_be_unfit = fits(&object);
        }
    }
}
