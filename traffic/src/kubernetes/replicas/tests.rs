use serde_json::json;

use super::super::patch::tests::{apply, lines};
use super::*;

const BY: &str = "run shop-1";

fn weight(percent: u8) -> Weight {
    Weight::try_from(percent).unwrap()
}

fn deployment(replicas: u64) -> Value {
    json!({
        "metadata": {"name": "x", "generation": 2, "resourceVersion": "5"},
        "spec": {"replicas": replicas},
        "status": {"observedGeneration": 2, "replicas": replicas, "availableReplicas": replicas},
    })
}

fn pair(stable: u64, canary: u64) -> Pair {
    Pair {
        stable: deployment(stable),
        canary: deployment(canary),
    }
}

fn names() -> Deployments {
    Deployments {
        stable: "shop".to_owned(),
        canary: "shop-canary".to_owned(),
    }
}

#[test]
fn pods_of_a_weight() {
    for (percent, whole, expected, becomes) in [
        (0, 4, (4, 0), 0),
        (10, 9, (9, 1), 10),
        (10, 4, (4, 1), 20),
        (20, 4, (4, 1), 20),
        (33, 4, (4, 2), 33),
        (50, 4, (4, 4), 50),
        (75, 9, (3, 9), 75),
        (99, 4, (1, 4), 80),
        (100, 4, (0, 4), 100),
        (1, 1, (1, 1), 50),
        (100, 0, (0, 1), 100),
    ] {
        let counts = Counts::of(weight(percent), whole);
        assert_eq!(
            (counts.stable, counts.canary),
            expected,
            "{percent} {whole}"
        );
        assert_eq!(counts.weight(), weight(becomes), "{percent} {whole}");
    }
}

#[test]
fn stable_keeps_its_pods_up_to_half_and_nothing_overflows() {
    for whole in [1, 3, 10, 1_000, u64::MAX] {
        for percent in 0..=100 {
            let counts = Counts::of(weight(percent), whole);
            assert!(percent > 50 || counts.stable == whole);
            assert_eq!(percent == 0, counts.canary == 0);
            assert!(percent == 100 || counts.stable > 0);
        }
    }
}

#[test]
fn a_weight_that_pods_cannot_have_is_said_up_front() {
    let rounded = pair(4, 0).rounded(&[weight(10), weight(50), weight(100)]);
    assert_eq!(
        rounded,
        [Rounded {
            asked: weight(10),
            becomes: weight(20),
            because: "1 of 5 pods".to_owned()
        }]
    );
}

#[test]
fn the_weight_that_was_asked_for_is_the_weight_while_the_counts_are_its_own() {
    let mut now = pair(4, 0);
    assert_eq!(now.weight(), Weight::ZERO);
    let patch = now.scale_canary(weight(10), BY);
    assert_eq!(
        lines(&patch),
        [
            "only if /spec/replicas is 0",
            "set /spec/replicas to 1",
            r#"only if /metadata/resourceVersion is "5""#,
            r#"set /metadata/annotations to {"canary.internal/by":"run shop-1","canary.internal/weight":"10"}"#,
        ]
    );
    now.canary = apply(&now.canary, &patch);
    assert_eq!(now.weight(), weight(10));
    // Somebody scales it: it is the share that there is.
    now.canary["spec"]["replicas"] = json!(4);
    assert_eq!(now.weight(), weight(50));
}

#[test]
fn stables_pods_are_noted_before_they_are_given_up() {
    let mut now = pair(9, 9);
    let patch = now.scale_stable(3, true, BY);
    now.stable = apply(&now.stable, &patch);
    assert_eq!((asked(&now.stable), now.whole()), (3, 9));
    let back = now.scale_stable(now.whole(), false, BY);
    assert!(lines(&back).iter().all(|line| !line.starts_with("only if")));
    assert_eq!(asked(&apply(&now.stable, &back)), 9);
    assert!(pair(9, 0).scale_stable(9, true, BY).is_empty());
}

#[test]
fn a_weight_is_in_force_when_the_pods_are() {
    let word = |change: &dyn Fn(&mut Pair)| {
        let mut now = pair(4, 1);
        change(&mut now);
        now.acceptance(&names())
    };
    assert_eq!(word(&|_| {}), Acceptance::Accepted);
    assert_eq!(
        word(&|now| now.canary["status"]["availableReplicas"] = json!(0)),
        pending("0 of 1 pods of shop-canary are available".to_owned())
    );
    assert!(matches!(
        word(&|now| now.canary["metadata"]["generation"] = json!(3)),
        Acceptance::Pending { .. }
    ));
    // Off is off when the last pod has gone, whatever stable does.
    let leaving = word(&|now| {
        now.canary["spec"]["replicas"] = json!(0);
        now.stable["status"]["availableReplicas"] = json!(1);
    });
    assert_eq!(
        leaving,
        pending("1 pods of shop-canary are still there".to_owned())
    );
    let left = word(&|now| {
        now.canary = deployment(0);
        now.stable["status"]["availableReplicas"] = json!(1);
    });
    assert_eq!(left, Acceptance::Accepted);
}
