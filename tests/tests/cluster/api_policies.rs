//! A new version of a Deployment with a Release is paused in the request that brings it; nothing else is.

use canary_tests::cluster::{Cluster, Namespace, Test};
use canary_tests::cluster_test as test;
use canary_tests::sandbox::eventually;
use serde_json::{Value, json};

use crate::api::install;

pub(crate) const TESTS: &[Test] = &[test!(a_new_template_is_paused_and_nothing_else_is)];

fn a_new_template_is_paused_and_nothing_else_is(cluster: &Cluster) {
    install(cluster);
    let namespace = Namespace::new(cluster, "pause");
    let deployment = |image: &str, managed: bool| {
        let labels = if managed {
            json!({"canary.internal/managed": "true"})
        } else {
            json!({})
        };
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": labels},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": {
                "metadata": {"labels": {"app": "web"}, "annotations": {"a": "1"}},
                "spec": {"containers": [{"name": "web", "image": image}]}}},
        })
    };
    let paused = || namespace.get(&["deployment", "web"])["spec"]["paused"] == true;
    let resume = || {
        namespace
            .patch(
                "deployment/web",
                "merge",
                &json!({"spec": {"paused": null}}),
            )
            .exits(0);
        assert!(!paused(), "what resumes is not paused again");
    };
    namespace.apply(&deployment("web:1", false).to_string());
    namespace
        .kubectl(&["set", "image", "deployment/web", "web=web:2"])
        .exits(0);
    assert!(
        !paused(),
        "a Deployment without a Release is nobody's business"
    );

    namespace.apply(&deployment("web:2", true).to_string());
    assert!(!paused(), "the label alone is no new version");
    eventually("the policy is in force", || {
        let image = format!("web=web:{}", fastrand::u32(100..));
        namespace
            .kubectl(&["set", "image", "deployment/web", &image])
            .exits(0);
        paused().then_some(())
    });
    resume();
    for words in [
        vec!["rollout", "restart", "deployment/web"],
        vec!["scale", "deployment/web", "--replicas=1"],
        vec!["annotate", "deployment/web", "note=1"],
        // The second restart changes the annotation that the first one adds; kubectl takes one a second.
        vec!["rollout", "restart", "deployment/web"],
    ] {
        eventually("a change that kubectl makes", || {
            (namespace.kubectl(&words).code == 0).then_some(())
        });
        assert!(!paused(), "{words:?}");
    }
    let changes: [(&str, Value); 6] = [
        (
            "an annotation",
            json!({"metadata": {"annotations": {"b": "1"}}}),
        ),
        (
            "an annotation with another value",
            json!({"metadata": {"annotations": {"b": "2"}}}),
        ),
        (
            "an annotation that goes",
            json!({"metadata": {"annotations": {"b": null}}}),
        ),
        ("a label", json!({"metadata": {"labels": {"x": "1"}}})),
        (
            "something of the pods",
            json!({"spec": {"priority": null, "terminationGracePeriodSeconds": 7}}),
        ),
        (
            "a version and a restart in one",
            json!({"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}, "spec": {"terminationGracePeriodSeconds": 8}}),
        ),
    ];
    for (what, change) in changes {
        namespace
            .patch(
                "deployment/web",
                "merge",
                &json!({"spec": {"template": change}}),
            )
            .exits(0);
        assert!(paused(), "{what} is a new version");
        resume();
    }
    // Both ways to apply a manifest that says nothing of `paused`.
    namespace.apply(&deployment("web:3", true).to_string());
    assert!(paused(), "applied by the client");
    resume();
    namespace
        .apply_with(
            &["--server-side", "--force-conflicts"],
            &deployment("web:4", true).to_string(),
        )
        .exits(0);
    assert!(paused(), "applied by the server");
}
