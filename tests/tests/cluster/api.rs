//! What the tests of our objects share: installing them, releases to begin with, people.

use std::path::PathBuf;
use std::sync::OnceLock;

use canary_tests::cluster::{Cluster, Namespace};
use canary_tests::sandbox::{Said, Sandbox, eventually};
use serde_json::{Value, json};

/// Everything that is installed but what runs: the definitions, policies and roles, once for all tests.
pub(crate) fn install(cluster: &Cluster) {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let sandbox = Sandbox::new();
        let list = sandbox
            .canary(&["install", "--dry-run", "-o", "json"])
            .exits(0)
            .json();
        let items = list["items"].as_array().expect("a list").clone();
        let (definitions, rest): (Vec<Value>, Vec<Value>) = items
            .into_iter()
            .filter(|object| object["kind"] != "Deployment")
            .partition(|object| {
                object["kind"] == "CustomResourceDefinition" || object["kind"] == "Namespace"
            });
        for objects in [definitions, rest] {
            let file = sandbox.file(
                "objects.json",
                &json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string(),
            );
            let file = file.display().to_string();
            cluster
                .kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &file])
                .exits(0);
            cluster
                .kubectl(&[
                    "wait",
                    "crd",
                    "-l",
                    "!none",
                    "--for=condition=Established",
                    "--timeout=30s",
                ])
                .exits(0);
        }
        // A policy is in force a moment after it was accepted.
        eventually("a policy that is in force", || {
            let namespace = Namespace::new(cluster, "policy");
            let said = namespace.apply_with(
                &["--dry-run=server"],
                &action("somebody-else", "abort").to_string(),
            );
            said.all()
                .contains("spec.user must be the requester")
                .then_some(())
        });
    });
}

/// A Release that is as it should be.
pub(crate) fn release() -> Value {
    json!({
        "apiVersion": "canary.internal/v1alpha1",
        "kind": "Release",
        "metadata": {"name": "checkout"},
        "spec": {
            "target": {"name": "checkout"},
            "traffic": {"router": "gateway-api"},
            "sources": {"prometheus": {"kind": "ClusterSource", "name": "main"}},
            "metrics": {"preset": "app"},
            "gates": [{"name": "errors", "metric": "error_rate", "successCondition": "errors < 1%"}],
            "strategy": {"steps": [{"weight": 10, "soak": "5m"}, {"weight": 100}]},
        },
    })
}

/// A ReleaseAction of that user.
pub(crate) fn action(user: &str, verb: &str) -> Value {
    json!({
        "apiVersion": "canary.internal/v1alpha1",
        "kind": "ReleaseAction",
        "metadata": {"name": format!("checkout-{verb}-{user}").to_lowercase()},
        "spec": {
            "release": "checkout",
            "releaseUid": "00000000-0000-0000-0000-000000000000",
            "verb": verb,
            "user": user,
        },
    })
}

/// A kubeconfig of somebody else in the same cluster.
pub(crate) fn kubeconfig_of(cluster: &Cluster, sandbox: &Sandbox, user: &str) -> PathBuf {
    let view = cluster
        .kubectl(&["config", "view", "--raw", "-o", "json"])
        .exits(0);
    let mut config = view.json();
    for known in config["users"].as_array_mut().into_iter().flatten() {
        known["user"]["as"] = user.into();
    }
    sandbox.file(&format!("{user}.kubeconfig"), &config.to_string())
}

/// `canary` as that user, in that namespace.
pub(crate) fn canary(namespace: &Namespace<'_>, user: &str, arguments: &[&str]) -> Said {
    let sandbox = Sandbox::new();
    let config = kubeconfig_of(namespace.cluster(), &sandbox, user)
        .display()
        .to_string();
    let place = ["--kubeconfig", &config, "-n", namespace.name()];
    sandbox.canary(&[arguments, &place].concat())
}

/// Lets a user do what a role says.
pub(crate) fn bind(namespace: &Namespace<'_>, user: &str, role: &str) {
    let name = format!("{user}-{role}");
    namespace
        .kubectl(&[
            "create",
            "rolebinding",
            &name,
            "--clusterrole",
            role,
            "--user",
            user,
        ])
        .exits(0);
}
