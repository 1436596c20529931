//! The cluster is what it says it is: without that, no other test here means anything.

use canary_tests::cluster::{App, Cluster, Namespace, Part, Request, Test, Users};
use canary_tests::cluster_test as test;
use canary_tests::sandbox::eventually;
use serde_json::{Value, json};

pub(crate) const TESTS: &[Test] = &[
    test!(the_api_is_1_36_and_its_nodes_are_ready),
    test!(pods_run_and_are_taken_out_of_a_service_when_not_ready).needs(&[Part::Node, Part::Own]),
    test!(an_http_route_splits_real_requests_by_weight).needs(&[Part::Node, Part::Gateway]),
    test!(a_grpc_route_splits_real_calls_by_weight).needs(&[Part::Node, Part::Gateway]),
    test!(a_virtual_service_splits_real_requests_by_weight).needs(&[Part::Node, Part::Istio]),
    test!(a_rollout_is_driven_by_the_real_controller).needs(&[Part::Node, Part::Argo]),
    test!(a_blocked_service_swallows_packets_until_it_is_let_go).needs(&[Part::Node, Part::Own]),
    test!(data_planes_answer_while_the_api_server_restarts)
        .needs(&[Part::Node, Part::Gateway, Part::Own])
        .alone(),
];

fn the_api_is_1_36_and_its_nodes_are_ready(cluster: &Cluster) {
    let version = cluster.get_raw("/version");
    assert!(
        version["gitVersion"]
            .as_str()
            .is_some_and(|version| version.starts_with("v1.")),
        "{version}"
    );
    let nodes = cluster.get(&["nodes"]);
    let nodes = nodes["items"].as_array().expect("a list");
    assert!(!nodes.is_empty(), "no nodes");
    for node in nodes {
        assert_eq!(condition(node, "Ready"), "True", "{node}");
    }
}

fn condition<'a>(object: &'a Value, name: &str) -> &'a str {
    let conditions = object["status"]["conditions"].as_array();
    let mine = conditions.and_then(|all| all.iter().find(|one| one["type"] == name));
    mine.and_then(|one| one["status"].as_str())
        .unwrap_or_default()
}

fn pods_run_and_are_taken_out_of_a_service_when_not_ready(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "pods");
    namespace.deploy(&App::new("shop", "v1").replicas(2));
    namespace.service("shop", "app=shop");
    let address = namespace.cluster_address("shop");
    // Pods are ready before every node knows of it.
    until_served(&Request::new(address, "shop"));
    let counts = Request::new(address, "shop").send(50);
    assert_eq!((counts.of("v1"), counts.bad()), (50, 0), "{counts:?}");

    for pod in namespace.pods("app=shop") {
        namespace.make_unready(&pod);
    }
    eventually("a Service that nobody answers", || {
        let counts = Request::new(address, "shop").send(1);
        (counts.of("v1") == 0).then_some(())
    });
}

/// `shop-stable` answers v1 and `shop-canary` v2, behind Services of the same names.
fn two_versions(namespace: &Namespace<'_>) {
    for (name, version) in [("shop-stable", "v1"), ("shop-canary", "v2")] {
        namespace.deploy(&App::new(name, version));
        namespace.service(name, &format!("app={name}"));
    }
}

/// Waits until the data plane knows the host, which is when somebody else than itself answers.
fn until_served(request: &Request) {
    eventually("a route that is served", || {
        (request.send(1).bad() == 0).then_some(())
    });
}

fn route(kind: &str, host: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": {"name": "shop"},
        "spec": {
            "parentRefs": [{"name": "gateway", "namespace": "gateway"}],
            "hostnames": [host],
            "rules": [{"backendRefs": [
                {"name": "shop-stable", "port": 80, "weight": 90},
                {"name": "shop-canary", "port": 80, "weight": 10},
            ]}],
        },
    })
}

fn raise_to_half(namespace: &Namespace<'_>, object: &str) {
    let weights = json!([
        {"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 50},
        {"op": "replace", "path": "/spec/rules/0/backendRefs/1/weight", "value": 50},
    ]);
    namespace.patch(object, "json", &weights).exits(0);
}

/// Waits until answers are about one half each, which 10 % never looks like; then counts anew.
fn until_half(request: &Request) {
    eventually("a data plane that follows", || {
        (request.send(200).of("v2") > 60).then_some(())
    });
}

fn an_http_route_splits_real_requests_by_weight(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "httproute");
    two_versions(&namespace);
    let host = format!("{}.test", namespace.name());
    namespace.apply(&route("HTTPRoute", &host).to_string());
    let request = Request::new(cluster.gateway(), &host);
    until_served(&request);

    let counts = request.send(2000);
    assert_eq!(counts.bad(), 0, "{counts:?}");
    counts.expect_share("v2", 10.0);
    raise_to_half(&namespace, "httproute/shop");
    until_half(&request);
    request.send(2000).expect_share("v2", 50.0);
}

fn a_grpc_route_splits_real_calls_by_weight(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "grpcroute");
    two_versions(&namespace);
    for service in ["shop-stable", "shop-canary"] {
        let patch = json!([{"op": "add", "path": "/spec/ports/0/appProtocol", "value": "kubernetes.io/h2c"}]);
        namespace
            .patch(&format!("service/{service}"), "json", &patch)
            .exits(0);
    }
    let host = format!("{}.test", namespace.name());
    namespace.apply(&route("GRPCRoute", &host).to_string());
    let request = Request::new(cluster.gateway(), &host)
        .path("/shop.Shop/Buy")
        .grpc();
    until_served(&request);

    let counts = request.send(2000);
    assert_eq!(counts.bad(), 0, "{counts:?}");
    counts.expect_share("v2", 10.0);
    raise_to_half(&namespace, "grpcroute/shop");
    until_half(&request);
    request.send(2000).expect_share("v2", 50.0);
}

fn a_virtual_service_splits_real_requests_by_weight(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "istio");
    two_versions(&namespace);
    let host = format!("{}.test", namespace.name());
    let virtual_service = |stable: u32, canary: u32| {
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "shop"},
            "spec": {
                "hosts": [host], "gateways": ["istio-system/gateway"],
                "http": [{"route": [
                    {"destination": {"host": "shop-stable"}, "weight": stable},
                    {"destination": {"host": "shop-canary"}, "weight": canary},
                ]}],
            },
        })
        .to_string()
    };
    namespace.apply(&virtual_service(90, 10));
    let request = Request::new(cluster.istio(), &host);
    until_served(&request);

    let counts = request.send(2000);
    assert_eq!(counts.bad(), 0, "{counts:?}");
    counts.expect_share("v2", 10.0);
    namespace.apply(&virtual_service(50, 50));
    until_half(&request);
    request.send(2000).expect_share("v2", 50.0);
}

fn a_rollout_is_driven_by_the_real_controller(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "rollout");
    let mut rollout = App::new("shop", "v1")
        .replicas(2)
        .manifest(&cluster.image());
    rollout["apiVersion"] = json!("argoproj.io/v1alpha1");
    rollout["kind"] = json!("Rollout");
    rollout["spec"]["strategy"] = json!({"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}});
    namespace.apply(&rollout.to_string());
    namespace.wait("rollout/shop", "jsonpath={.status.phase}=Healthy");

    rollout["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["--version=v2"]);
    namespace.apply(&rollout.to_string());
    namespace.wait("rollout/shop", "jsonpath={.status.phase}=Paused");
    let status = namespace.get(&["rollout", "shop"])["status"].take();
    assert_eq!(status["currentStepIndex"], 1, "{status}");
}

fn a_blocked_service_swallows_packets_until_it_is_let_go(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "block");
    namespace.deploy(&App::new("shop", "v1"));
    namespace.service("shop", "app=shop");
    let address = namespace.cluster_address("shop");
    let request = Request::new(address, "shop");
    until_served(&request);
    let blocked = cluster.block(&address.ip().to_string(), 80);
    let counts = request.send(1);
    assert_eq!(counts.bad(), 1, "{counts:?}");
    drop(blocked);
    until_served(&request);
}

fn data_planes_answer_while_the_api_server_restarts(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "restart");
    two_versions(&namespace);
    let host = format!("{}.test", namespace.name());
    namespace.apply(&route("HTTPRoute", &host).to_string());
    let request = Request::new(cluster.gateway(), &host);
    until_served(&request);

    let users = Users::start(request.clone(), 100);
    let halted = cluster.kill("apiserver");
    assert_ne!(
        cluster.kubectl(&["get", "nodes"]).code,
        0,
        "it still answers"
    );
    drop(halted);
    raise_to_half(&namespace, "httproute/shop");
    until_half(&request);
    let counts = users.stop();
    assert_eq!(counts.bad(), 0, "{counts:?}");
}
