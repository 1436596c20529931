//! Who may do what, as the API server decides it.

use canary_tests::cluster::{Cluster, Namespace, Test};
use canary_tests::cluster_test as test;
use serde_json::json;

use crate::api::{action, bind, canary, install, release};

pub(crate) const TESTS: &[Test] = &[
    test!(a_promoter_may_promote_and_abort_but_not_edit),
    test!(an_aborter_may_only_take_traffic_off),
    test!(nobody_acts_under_another_name),
    test!(the_controller_reads_no_secrets_of_others),
];

fn a_promoter_may_promote_and_abort_but_not_edit(cluster: &Cluster) {
    install(cluster);
    let namespace = Namespace::new(cluster, "promoter");
    namespace.apply(&release().to_string());
    bind(&namespace, "mia", "canary-promote");
    for verb in ["promote", "resume", "retry", "abort", "pause"] {
        canary(
            &namespace,
            "mia",
            &[verb, "release/checkout", "--no-wait", "--reason", "tested"],
        )
        .exits(0);
    }
    let actions = namespace.get(&["releaseactions"]);
    let actions = actions["items"].as_array().expect("a list");
    assert_eq!(actions.len(), 5, "{actions:?}");
    for found in actions {
        assert_eq!(found["spec"]["user"], "mia");
        assert_eq!(found["spec"]["reason"], "tested");
        assert_eq!(found["metadata"]["ownerReferences"][0]["kind"], "Release");
    }
    let patch = json!({"spec": {"bake": "0s"}}).to_string();
    for words in [
        vec![
            "patch",
            "release",
            "checkout",
            "--type=merge",
            "--patch",
            &patch,
        ],
        vec![
            "patch",
            "release",
            "checkout",
            "--subresource=status",
            "--type=merge",
            "--patch",
            r#"{"status":{"weight":100}}"#,
        ],
        vec!["delete", "release", "checkout"],
        vec!["delete", "releaseactions", "--all"],
    ] {
        let said = namespace.kubectl(&[&words[..], &["--as=mia"]].concat());
        assert!(
            said.code != 0 && said.all().contains("forbidden"),
            "{words:?}\n{}",
            said.all()
        );
    }
}

fn an_aborter_may_only_take_traffic_off(cluster: &Cluster) {
    install(cluster);
    let namespace = Namespace::new(cluster, "aborter");
    namespace.apply(&release().to_string());
    bind(&namespace, "ben", "canary-abort");
    for verb in ["abort", "pause"] {
        canary(&namespace, "ben", &[verb, "release/checkout", "--no-wait"]).exits(0);
    }
    for verb in ["promote", "resume", "retry"] {
        let said = canary(&namespace, "ben", &[verb, "release/checkout", "--no-wait"]).exits(1);
        let expected = format!(
            "ben may not {verb} release checkout: that takes the verb promote on releases.canary.internal (role canary-promote)"
        );
        assert!(said.all().contains(&expected), "{expected}\n{}", said.all());
    }
    assert_eq!(
        namespace.get(&["releaseactions"])["items"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}

fn nobody_acts_under_another_name(cluster: &Cluster) {
    install(cluster);
    let namespace = Namespace::new(cluster, "names");
    namespace.apply(&release().to_string());
    bind(&namespace, "mia", "canary-promote");
    let said = namespace.apply_with(
        &["--as=mia", "--validate=false"],
        &action("ben", "promote").to_string(),
    );
    assert!(said.code != 0, "accepted");
    let said = namespace.kubectl(&["get", "releaseactions"]);
    assert!(said.all().contains("No resources found"), "{}", said.all());
}

fn the_controller_reads_no_secrets_of_others(cluster: &Cluster) {
    install(cluster);
    let namespace = Namespace::new(cluster, "secrets");
    let controller = "--as=system:serviceaccount:canary-system:canary-controller";
    let may = |words: &[&str]| {
        let all = [&["auth", "can-i"], words, &[controller]].concat();
        namespace.kubectl(&all).code == 0
    };
    assert!(!may(&["get", "secrets"]));
    assert!(!may(&["patch", "rolebindings"]));
    assert!(!may(&["create", "pods"]));
    assert!(may(&["patch", "deployments"]));
    assert!(may(&["patch", "releases", "--subresource=status"]));
    let account = "canary-system:canary-controller";
    namespace
        .kubectl(&[
            "create",
            "rolebinding",
            "canary-secrets",
            "--clusterrole",
            "canary-secrets",
            "--serviceaccount",
            account,
        ])
        .exits(0);
    assert!(may(&["get", "secrets"]) && !may(&["list", "secrets"]));
}
