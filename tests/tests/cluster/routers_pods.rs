//! Argo Rollouts with its real controller, and plain replica counts.

use canary_tests::cluster::{App, Cluster, Namespace, Part, Request, Test};
use canary_tests::cluster_test as test;
use canary_tests::sandbox::eventually;
use canary_traffic::kubernetes::argo::{Argo, Steps};
use canary_traffic::kubernetes::replicas::{Deployments, Replicas};
use canary_traffic::{Acceptance, Router, Weight};
use serde_json::{Value, json};

use super::routers::{Calls, RUN, api, weight};

pub(crate) const TESTS: &[Test] = &[
    test!(a_rollouts_own_steps_are_driven_and_aborted).needs(&[Part::Argo]),
    test!(any_weight_of_a_rollout_and_its_steps_come_back).needs(&[Part::Argo]),
    test!(a_rollout_that_would_not_wait_is_refused).needs(&[Part::Argo]),
    test!(pods_are_shared_as_said_and_stable_comes_back),
    test!(an_autoscaler_of_these_pods_is_refused),
    test!(real_pods_take_their_share).needs(&[Part::Node, Part::Own]),
];

/// A Rollout of ten pods that never run, at its first version.
fn rollout(namespace: &Namespace<'_>, steps: Value) -> Value {
    let mut rollout = App::new("shop", "v1")
        .replicas(10)
        .fake()
        .manifest(&namespace.cluster().image());
    rollout["apiVersion"] = json!("argoproj.io/v1alpha1");
    rollout["kind"] = json!("Rollout");
    rollout["spec"]["strategy"] =
        json!({"canary": {"maxSurge": 1, "maxUnavailable": 0, "steps": steps}});
    namespace.apply(&rollout.to_string());
    namespace.wait("rollout/shop", "jsonpath={.status.phase}=Healthy");
    rollout
}

fn new_version(namespace: &Namespace<'_>, mut rollout: Value, version: &str) {
    rollout["spec"]["template"]["spec"]["containers"][0]["args"] =
        json!([format!("--version={version}")]);
    namespace.apply(&rollout.to_string());
    namespace.wait("rollout/shop", "jsonpath={.status.phase}=Paused");
}

fn argo(namespace: &Namespace<'_>, steps: Steps) -> Calls<Argo> {
    Calls::new(Argo::new("shop", steps, api(namespace), RUN))
}

fn own_steps() -> Value {
    json!([
        {"setWeight": 0}, {"pause": {}}, {"setWeight": 10}, {"pause": {}}, {"setWeight": 50}, {"pause": {}},
        {"setWeight": 100}, {"pause": {}},
    ])
}

/// Asks for a weight until Argo has made it.
fn reach(calls: &Calls<Argo>, from: u8, to: u8) {
    calls
        .wait(calls.router.set_weight(weight(from), weight(to)))
        .expect("an answer");
    eventually("a weight that Argo has made", || {
        let observed = calls.observe();
        (observed.weight == weight(to) && observed.accepted == Acceptance::Accepted).then_some(())
    });
}

fn updated(namespace: &Namespace<'_>) -> u64 {
    namespace.get(&["rollout", "shop"])["status"]["updatedReplicas"]
        .as_u64()
        .unwrap_or(0)
}

fn a_rollouts_own_steps_are_driven_and_aborted(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "argo-keep");
    let manifest = rollout(&namespace, own_steps());
    let calls = argo(&namespace, Steps::Keep);
    let look = calls
        .wait(
            calls
                .router
                .preflight(&[weight(10), weight(50), weight(100)]),
        )
        .expect("a look");
    assert!(look.warnings.is_empty(), "{look:?}");
    assert!(
        calls
            .wait(calls.router.preflight(&[weight(25)]))
            .expect_err("a refusal")
            .to_string()
            .contains("its steps wait at 0 %, 10 %, 50 %, 100 %")
    );
    new_version(&namespace, manifest.clone(), "v2");
    assert_eq!(calls.observe().weight, Weight::ZERO);
    assert_eq!(updated(&namespace), 0);
    reach(&calls, 0, 10);
    assert_eq!(updated(&namespace), 1);
    reach(&calls, 10, 50);
    assert_eq!(updated(&namespace), 5);

    calls.wait(calls.router.take_off()).expect("an answer");
    eventually("an abort that is effective", || {
        let observed = calls.observe();
        (observed.weight.is_zero() && observed.accepted == Acceptance::Accepted).then_some(())
    });
    assert_eq!(updated(&namespace), 0);
    calls.remove();

    // Another version goes all the way; what is promoted cannot be taken off, and says so.
    new_version(&namespace, manifest, "v3");
    reach(&calls, 0, 100);
    calls
        .wait(calls.router.take_off())
        .expect("100 is a step that waits");
}

fn any_weight_of_a_rollout_and_its_steps_come_back(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "argo-replace");
    let manifest = rollout(&namespace, own_steps());
    let steps = |namespace: &Namespace<'_>| {
        namespace.get(&["rollout", "shop"])["spec"]["strategy"]["canary"]["steps"].take()
    };
    let before = steps(&namespace);
    let calls = argo(&namespace, Steps::Replace);
    new_version(&namespace, manifest.clone(), "v2");
    reach(&calls, 0, 20);
    assert_eq!(updated(&namespace), 2);
    reach(&calls, 20, 70);
    assert_eq!(updated(&namespace), 7);
    calls.wait(calls.router.take_off()).expect("an answer");
    eventually("an abort that is effective", || {
        calls.observe().weight.is_zero().then_some(())
    });
    calls.remove();
    assert_eq!(steps(&namespace), before);
    // The rejected version does not begin anew: the template is the stable one.
    namespace.wait("rollout/shop", "jsonpath={.status.phase}=Healthy");
    let now = namespace.get(&["rollout", "shop"]);
    assert_eq!(
        now["spec"]["template"]["spec"]["containers"][0]["args"],
        json!(["--version=v1"])
    );
    assert_eq!(
        now["status"]["stableRS"], now["status"]["currentPodHash"],
        "{}",
        now["status"]
    );
}

fn a_rollout_that_would_not_wait_is_refused(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "argo-refused");
    rollout(&namespace, json!([{"setWeight": 20}, {"pause": {}}]));
    let refusal = argo(&namespace, Steps::Replace).refusal();
    assert!(
        refusal.contains("gives a new version 20 % as soon as it sees one"),
        "{refusal}"
    );
}

fn replicas(namespace: &Namespace<'_>) -> Calls<Replicas> {
    let names = Deployments {
        stable: "shop".to_owned(),
        canary: "shop-canary".to_owned(),
    };
    Calls::new(Replicas::new(names, api(namespace), RUN))
}

fn counts(namespace: &Namespace<'_>) -> (u64, u64) {
    let of = |name: &str| {
        namespace.get(&["deployment", name])["spec"]["replicas"]
            .as_u64()
            .unwrap_or(1)
    };
    (of("shop"), of("shop-canary"))
}

/// As the orchestrator does: asks again until it is done.
fn settle(calls: &Calls<Replicas>, from: u8, to: u8) {
    eventually("pods", || {
        let set = calls
            .wait(calls.router.set_weight(weight(from), weight(to)))
            .ok()?;
        assert_eq!(set.weight, weight(to));
        (set.accepted == Acceptance::Accepted).then_some(())
    });
}

fn pods_are_shared_as_said_and_stable_comes_back(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "replicas");
    namespace.deploy(&App::new("shop", "v1").replicas(9).fake());
    namespace.apply(
        &App::new("shop-canary", "v2")
            .replicas(0)
            .fake()
            .manifest(&cluster.image())
            .to_string(),
    );
    let calls = replicas(&namespace);
    let look = calls
        .wait(
            calls
                .router
                .preflight(&[weight(10), weight(25), weight(100)]),
        )
        .expect("a look");
    assert!(look.rounded.is_empty(), "{look:?}");
    let look = calls
        .wait(calls.router.preflight(&[weight(15)]))
        .expect("a look");
    assert_eq!(look.rounded[0].because, "2 of 11 pods", "{look:?}");
    settle(&calls, 0, 10);
    assert_eq!(counts(&namespace), (9, 1));
    settle(&calls, 10, 75);
    assert_eq!(counts(&namespace), (3, 9));
    settle(&calls, 75, 100);
    assert_eq!(counts(&namespace), (0, 9));
    // Nobody is left to take over: stable first, the canary when it is there.
    let off = calls.wait(calls.router.take_off()).expect("an answer");
    assert!(
        matches!(&off.accepted, Acceptance::Pending { reason } if reason.contains("requested, not yet effective")),
        "{off:?}"
    );
    assert_eq!(counts(&namespace), (9, 9));
    eventually("a stable version that has taken over", || {
        let off = calls.wait(calls.router.take_off()).ok()?;
        (off.weight.is_zero() && off.accepted == Acceptance::Accepted).then_some(())
    });
    assert_eq!(counts(&namespace), (9, 0));
    calls.remove();
    let left = namespace.get(&["deployment", "shop"]);
    assert!(
        left["metadata"]["annotations"]["canary.internal/before"].is_null(),
        "{left}"
    );
}

fn an_autoscaler_of_these_pods_is_refused(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "replicas-hpa");
    namespace.deploy(&App::new("shop", "v1").fake());
    namespace.apply(
        &App::new("shop-canary", "v2")
            .replicas(0)
            .fake()
            .manifest(&cluster.image())
            .to_string(),
    );
    namespace
        .kubectl(&[
            "autoscale",
            "deployment",
            "shop",
            "--max=5",
            "--cpu-percent=50",
        ])
        .exits(0);
    let refusal = replicas(&namespace).refusal();
    assert!(
        refusal.contains("the HorizontalPodAutoscaler shop scales one of these"),
        "{refusal}"
    );
}

fn real_pods_take_their_share(cluster: &Cluster) {
    let namespace = Namespace::new(cluster, "replicas-real");
    namespace.deploy(&App::new("shop", "v1").replicas(3).label("service", "shop"));
    namespace.apply(
        &App::new("shop-canary", "v2")
            .replicas(0)
            .label("service", "shop")
            .manifest(&cluster.image())
            .to_string(),
    );
    namespace.service("both", "service=shop");
    let request = Request::new(namespace.cluster_address("both"), "both");
    let calls = replicas(&namespace);
    settle(&calls, 0, 25);
    // Connections, not requests, are spread by a Service.
    let counts = eventually("a canary that answers", || {
        let mut all = 0;
        for _ in 0..40 {
            all += request.send(1).of("v2");
        }
        (all > 0).then_some(all)
    });
    assert!((1..=25).contains(&counts), "{counts} of 40");
    eventually("a canary that is gone", || {
        let off = calls.wait(calls.router.take_off()).ok()?;
        (off.weight.is_zero() && off.accepted == Acceptance::Accepted).then_some(())
    });
    calls.remove();
}
