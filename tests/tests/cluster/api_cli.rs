//! The command line against a cluster. What a controller would write into a status is written by the test.

use canary_tests::cluster::{Cluster, Namespace, Test};
use canary_tests::cluster_test as test;
use canary_tests::sandbox::{Sandbox, eventually};
use serde_json::{Value, json};

use crate::api::{bind, canary, install, kubeconfig_of, release};

pub(crate) const TESTS: &[Test] = &[
    test!(releases_are_listed_and_shown),
    test!(an_abort_is_waited_for_until_the_traffic_is_off),
    test!(a_run_on_this_machine_and_a_release_are_told_apart),
    test!(an_image_is_set_and_undone),
    test!(argos_words_work_on_a_release),
];

fn status(namespace: &Namespace<'_>, status: &Value) {
    let patch = json!({"status": status}).to_string();
    namespace
        .kubectl(&[
            "patch",
            "release",
            "checkout",
            "--subresource=status",
            "--type=merge",
            "--patch",
            &patch,
        ])
        .exits(0);
}

fn releases_are_listed_and_shown(cluster: &Cluster) {
    install(cluster);
    let namespace = Namespace::new(cluster, "list");
    bind(&namespace, "vera", "canary-view");
    let said = canary(&namespace, "vera", &["get", "releases"]).exits(0);
    assert!(
        said.all().contains("there are no releases in namespace"),
        "{}",
        said.all()
    );
    namespace.apply(&release().to_string());
    let said = canary(&namespace, "vera", &["status", "release/checkout"]).exits(0);
    assert!(
        said.all().contains("no controller has looked at it yet"),
        "{}",
        said.all()
    );
    status(
        &namespace,
        &json!({"phase": "Blocked", "step": "check_10", "weight": 10, "desiredWeight": 10, "why": "no evidence for errors",
        "gates": [{"name": "errors", "limit": "< 1 %", "verdict": "inconclusive", "message": "no data"}],
        "waits": [{"what": "a person", "why": "Prometheus does not answer", "unblock": "canary promote RUN"}]}),
    );
    let said = canary(&namespace, "vera", &["get", "releases"])
        .exits(0)
        .stdout;
    assert!(
        said.contains("blocked")
            && said.contains("10 %")
            && said.contains("no evidence for errors"),
        "{said}"
    );
    let said = canary(&namespace, "vera", &["get", "releases", "-o", "name"])
        .exits(0)
        .stdout;
    assert_eq!(said, "release/checkout\n");
    let said = canary(&namespace, "vera", &["status", "release/checkout"])
        .exits(0)
        .stdout;
    for part in [
        "blocked",
        "no data",
        "Prometheus does not answer",
        "canary promote release/checkout",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    let document = canary(
        &namespace,
        "vera",
        &["get", "releases", "checkout", "-o", "json"],
    )
    .exits(0)
    .json();
    assert_eq!(document["status"]["weight"], 10);
    let said = canary(&namespace, "vera", &["status", "release/nothing"]).exits(2);
    assert!(
        said.all()
            .contains("there is no Release nothing in namespace"),
        "{}",
        said.all()
    );
    let said = canary(&namespace, "nobody", &["get", "releases"]).exits(1);
    assert!(
        said.all().contains("nobody") && said.all().contains("cannot list"),
        "{}",
        said.all()
    );
}

fn an_abort_is_waited_for_until_the_traffic_is_off(cluster: &Cluster) {
    install(cluster);
    let namespace = Namespace::new(cluster, "abort");
    bind(&namespace, "mia", "canary-abort");
    namespace.apply(&release().to_string());
    status(
        &namespace,
        &json!({"phase": "Progressing", "weight": 10, "run": "checkout-1"}),
    );
    let sandbox = Sandbox::new();
    let config = kubeconfig_of(cluster, &sandbox, "mia")
        .display()
        .to_string();
    let mut running = sandbox.start(&[
        "abort",
        "release/checkout",
        "--reason",
        "slow",
        "--kubeconfig",
        &config,
        "-n",
        namespace.name(),
    ]);
    let action = eventually("the action", || {
        let list = namespace.get(&["releaseactions"]);
        list["items"].as_array()?.first().cloned()
    });
    assert_eq!(
        (
            &action["spec"]["verb"],
            &action["spec"]["run"],
            &action["spec"]["reason"]
        ),
        (&json!("abort"), &json!("checkout-1"), &json!("slow"))
    );
    let answers = json!([{"action": action["metadata"]["name"], "by": "mia", "verb": "abort", "text": "taking traffic off"}]);
    status(
        &namespace,
        &json!({"phase": "RollingBack", "weight": 10, "answers": answers}),
    );
    assert!(running.ended().is_none(), "the canary still has traffic");
    status(&namespace, &json!({"phase": "RollingBack", "weight": 0}));
    let said = running.finish().exits(0);
    assert!(
        said.all()
            .contains("taking traffic off; the canary gets no requests any more"),
        "{}",
        said.all()
    );
    let said = canary(&namespace, "mia", &["events", "release/checkout"]);
    assert!(
        said.code == 0 || said.all().contains("events"),
        "{}",
        said.all()
    );
}

fn a_run_on_this_machine_and_a_release_are_told_apart(cluster: &Cluster) {
    install(cluster);
    let namespace = Namespace::new(cluster, "apart");
    namespace.apply(&release().to_string());
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["abort", "checkout"]);
    command.env("KUBECONFIG", cluster.kubeconfig());
    let said = canary_tests::sandbox::Running::start(command).finish();
    assert_eq!(said.code, 2, "{}", said.all());
    let mut command = sandbox.command(&["abort", "-n", namespace.name()]);
    command.env("KUBECONFIG", cluster.kubeconfig());
    let said = canary_tests::sandbox::Running::start(command).finish();
    assert!(
        said.code == 2 && said.all().contains("which release?"),
        "{}",
        said.all()
    );
    assert_eq!(
        namespace.get(&["releaseactions"])["items"]
            .as_array()
            .map(Vec::len),
        Some(0)
    );
}

fn an_image_is_set_and_undone(cluster: &Cluster) {
    install(cluster);
    let namespace = Namespace::new(cluster, "image");
    namespace.apply(&release().to_string());
    bind(&namespace, "dev", "edit");
    bind(&namespace, "dev", "canary-edit");
    namespace
        .kubectl(&[
            "create",
            "deployment",
            "checkout",
            "--image=checkout:1",
            "--replicas=0",
        ])
        .exits(0);
    let set_up = || {
        let sets = namespace.get(&["replicasets"]);
        let sets = sets["items"].as_array().cloned().unwrap_or_default();
        sets.len()
    };
    eventually("a first revision", || (set_up() == 1).then_some(()));
    let said = canary(
        &namespace,
        "dev",
        &["set", "image", "release/checkout", "app=checkout:2"],
    )
    .exits(2);
    assert!(
        said.all()
            .contains("there is no container app; there are checkout"),
        "{}",
        said.all()
    );
    canary(
        &namespace,
        "dev",
        &["set", "image", "release/checkout", "checkout=checkout:2"],
    )
    .exits(0);
    let image = || {
        namespace.get(&["deployment", "checkout"])["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    assert_eq!(image(), "checkout:2");
    eventually("a second revision", || (set_up() == 2).then_some(()));
    canary(&namespace, "dev", &["undo", "release/checkout"]).exits(0);
    assert_eq!(image(), "checkout:1");
}

fn argos_words_work_on_a_release(cluster: &Cluster) {
    install(cluster);
    let namespace = Namespace::new(cluster, "argo");
    namespace.apply(&release().to_string());
    status(
        &namespace,
        &json!({"phase": "Promoted", "weight": 0, "why": "promoted checkout:2"}),
    );
    let sandbox = Sandbox::new();
    let link = sandbox.work().join("kubectl-argo-rollouts");
    std::os::unix::fs::symlink(canary_tests::sandbox::binary(), &link).expect("a link");
    let call = |words: &[&str]| {
        let mut command = std::process::Command::new(&link);
        command
            .args(words)
            .args(["-n", namespace.name()])
            .env("KUBECONFIG", cluster.kubeconfig());
        canary_tests::sandbox::Running::start(command).finish()
    };
    let said = call(&["status", "checkout"]).exits(0);
    assert!(
        said.all().contains("Healthy - promoted checkout:2"),
        "{}",
        said.all()
    );
    let said = call(&["get", "rollout", "checkout"]).exits(0);
    assert!(
        said.all().contains("release/checkout  promoted"),
        "{}",
        said.all()
    );
    let said = call(&["set", "weight", "checkout", "20"]).exits(2);
    assert!(
        said.all().contains("decides on its weights by evidence"),
        "{}",
        said.all()
    );
    let said = call(&["abort", "nothing"]);
    assert!(
        said.code != 0 && said.all().contains("nothing"),
        "{}",
        said.all()
    );
    status(
        &namespace,
        &json!({"phase": "RolledBack", "why": "errors failed"}),
    );
    let said = call(&["status", "checkout"]).exits(1);
    assert!(
        said.all()
            .contains("degraded state with message: errors failed"),
        "{}",
        said.all()
    );
}
