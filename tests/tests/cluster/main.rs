//! Tests on a real Kubernetes cluster: `tests/cluster/in cargo test -p canary-tests --test cluster`; `tests/all.sh` starts one.
//! One module per subject, each with a list `TESTS`.

mod api;
mod api_cli;
mod api_objects;
mod api_policies;
mod api_rights;
mod routers;
mod routers_gateway;
mod routers_ingress;
mod routers_istio;
mod routers_pods;
mod shape;

use std::process::ExitCode;
use std::sync::OnceLock;

use canary_tests::cluster::{Cluster, Test};
use libtest_mimic::{Arguments, Trial};

const TESTS: &[&[Test]] = &[
    shape::TESTS,
    routers_gateway::TESTS,
    routers_istio::TESTS,
    routers_ingress::TESTS,
    routers_pods::TESTS,
    api_objects::TESTS,
    api_rights::TESTS,
    api_policies::TESTS,
    api_cli::TESTS,
];

fn main() -> ExitCode {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    let arguments = Arguments::from_args();
    let trials = match CLUSTER.get_or_init(Cluster::from_environment) {
        Some(cluster) => TESTS
            .iter()
            .flat_map(|list| list.iter())
            .map(|test| trial(cluster, test))
            .collect(),
        None => {
            // tests/all.sh runs them by themselves, after all others.
            if std::env::var_os("CANARY_TEST_CLUSTER_FOLLOWS").is_none() {
                eprintln!(
                    "LEFT OUT: tests on a real Kubernetes cluster (none is named by CANARY_TEST_KUBECONFIG; tests/all.sh starts one)"
                );
            }
            Vec::new()
        }
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(cluster: &'static Cluster, test: &'static Test) -> Trial {
    let missing: Vec<_> = test
        .needs
        .iter()
        .filter(|part| !cluster.has(**part))
        .collect();
    if !missing.is_empty() {
        eprintln!(
            "LEFT OUT: {} (the cluster is without {missing:?})",
            test.name
        );
    }
    let trial = Trial::test(test.name, || {
        test.carry_out(cluster);
        Ok(())
    });
    trial.with_ignored_flag(!missing.is_empty())
}
