//! Tables: Argo's rows under `compat: argo`, and the strict reading of the same answers.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::evidence::{
    Answer, ArmEvidence, Bucket, QueryValue, Series, ServiceEvidence, SourceError, Window,
};
use crate::expr::{Condition, Syntax};
use crate::unit::Unit;

const T0: Timestamp = Timestamp::UNIX_EPOCH;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn compile(source: &str, unit: Unit, compat: Compat) -> Condition {
    Condition::compile(
        source,
        Syntax::Expr,
        &GateScope::new("error-rate", unit, compat, source),
    )
    .unwrap()
}

fn gate(compat: Compat, success: &str, failure: &str) -> Gate {
    let condition =
        |source: &str| (!source.is_empty()).then(|| compile(source, Unit::Ratio, compat));
    Gate {
        name: "error-rate".to_owned(),
        metric: Metric::Query {
            promql: "q".to_owned(),
            source_unit: Unit::Ratio,
        },
        unit: Unit::Ratio,
        rule: Rule::Conditions {
            success: condition(success),
            failure: condition(failure),
        },
        compat,
        interval: Duration::from_mins(1),
        window: Duration::from_mins(5),
        initial_delay: Duration::ZERO,
        count: Some(5),
        failure_limit: Some(0),
        inconclusive_limit: 0,
        consecutive_error_limit: 4,
        consecutive_success_limit: 0,
        min_requests: 0,
    }
}

fn vector(values: &[f64]) -> QueryValue {
    QueryValue::Vector(
        values
            .iter()
            .map(|value| (BTreeMap::new(), *value))
            .collect(),
    )
}

fn answer(value: QueryValue) -> Result<Answer, SourceError> {
    Ok(Answer {
        value,
        warnings: vec![],
        infos: vec![],
        at: T0,
    })
}

fn phase(gate: &Gate, value: QueryValue) -> Phase {
    gate.measure_answer(&answer(value), None, T0).phase
}

#[test]
fn argo_rows_of_two_conditions() {
    let rows = [
        ("", "", Phase::Pass),
        ("result[0] < 0.5", "", Phase::Pass),
        ("result[0] > 0.5", "", Phase::Fail),
        ("", "result[0] < 0.5", Phase::Fail),
        ("", "result[0] > 0.5", Phase::Pass),
        ("result[0] < 0.5", "result[0] < 0.5", Phase::Fail),
        ("result[0] > 0.5", "result[0] > 0.5", Phase::Inconclusive),
        ("result[0] < 0.5", "result[0] > 0.5", Phase::Pass),
    ];
    for compat in [Compat::Argo, Compat::Strict] {
        for (success, failure, expected) in rows {
            let gate = gate(compat, success, failure);
            assert_eq!(
                phase(&gate, vector(&[0.1])),
                expected,
                "{compat:?} {success} / {failure}"
            );
        }
    }
}

#[test]
fn doubtful_answers_as_argo_reads_them_and_strictly() {
    let nan = f64::NAN;
    let rows: &[(&str, &str, QueryValue, Phase, Phase)] = &[
        // No data: an index is an error, a quantifier over nothing holds.
        (
            "result[0] < 0.5",
            "",
            vector(&[]),
            Phase::Error,
            Phase::Inconclusive,
        ),
        (
            "all(result, {# < 0.5})",
            "",
            vector(&[]),
            Phase::Pass,
            Phase::Inconclusive,
        ),
        // NaN compares false: success-only fails, failure-only passes, both decide nothing.
        (
            "result[0] < 0.5",
            "",
            vector(&[nan]),
            Phase::Fail,
            Phase::Inconclusive,
        ),
        (
            "",
            "result[0] >= 0.5",
            vector(&[nan]),
            Phase::Pass,
            Phase::Inconclusive,
        ),
        (
            "result[0] < 0.5",
            "result[0] >= 0.5",
            vector(&[nan]),
            Phase::Inconclusive,
            Phase::Inconclusive,
        ),
        // Several series: Argo takes the first; one is meant.
        (
            "result[0] < 0.5",
            "",
            vector(&[0.1, 0.9]),
            Phase::Pass,
            Phase::Inconclusive,
        ),
        // Infinity.
        (
            "result[0] < 0.5",
            "",
            vector(&[f64::INFINITY]),
            Phase::Fail,
            Phase::Inconclusive,
        ),
        // A scalar is a number for both.
        (
            "result < 0.5",
            "",
            QueryValue::Scalar(0.1),
            Phase::Pass,
            Phase::Pass,
        ),
        // Text is no number.
        (
            "result < 0.5",
            "",
            QueryValue::Text("x".to_owned()),
            Phase::Error,
            Phase::Inconclusive,
        ),
        // A matrix is flattened by Argo; strictly, the newest sample of one series.
        (
            "result[0] < 0.5",
            "",
            QueryValue::Matrix(vec![Series {
                labels: BTreeMap::new(),
                samples: vec![(at(1), 0.9), (at(2), 0.1)],
            }]),
            Phase::Fail,
            Phase::Pass,
        ),
    ];
    for (success, failure, value, argo, strict) in rows {
        assert_eq!(
            phase(&gate(Compat::Argo, success, failure), value.clone()),
            *argo,
            "argo {success} {failure} {value:?}"
        );
        assert_eq!(
            phase(&gate(Compat::Strict, success, failure), value.clone()),
            *strict,
            "strict {success} {failure} {value:?}"
        );
    }
}

#[test]
fn absence_is_said_to_be_absence() {
    let gate = gate(Compat::Strict, "result < 1%", "");
    for value in [vector(&[]), vector(&[f64::NAN])] {
        let measured = gate.measure_answer(&answer(value), None, T0);
        assert!(measured.no_data && measured.value.is_none(), "{measured:?}");
    }
    let several = gate.measure_answer(&answer(vector(&[0.1, 0.2])), None, T0);
    assert!(
        !several.no_data && several.message.contains("2 series"),
        "{several:?}"
    );
}

#[test]
fn warnings_are_partial_data_unless_read_as_argo_does() {
    let warned = Ok(Answer {
        value: vector(&[0.001]),
        warnings: vec!["store down".to_owned()],
        infos: vec![],
        at: T0,
    });
    let strict = gate(Compat::Strict, "result < 1%", "").measure_answer(&warned, None, T0);
    assert_eq!(strict.phase, Phase::Inconclusive);
    assert!(strict.message.contains("store down"), "{}", strict.message);
    assert_eq!(
        gate(Compat::Argo, "result[0] < 0.01", "")
            .measure_answer(&warned, None, T0)
            .phase,
        Phase::Pass
    );
}

#[test]
fn a_failed_condition_explains_itself_with_the_value_and_the_limit() {
    let measured =
        gate(Compat::Strict, "result < 1%", "").measure_answer(&answer(vector(&[0.034])), None, T0);
    assert_eq!((measured.phase, measured.value), (Phase::Fail, Some(0.034)));
    assert!(
        measured.message.contains("3.4 %") && measured.message.contains("< 1%"),
        "{}",
        measured.message
    );
}

#[test]
fn the_answer_is_converted_to_the_unit_of_the_gate() {
    let mut gate = gate(Compat::Strict, "", "");
    gate.unit = Unit::Milliseconds;
    gate.metric = Metric::Query {
        promql: "q".to_owned(),
        source_unit: Unit::Seconds,
    };
    gate.rule = Rule::Conditions {
        success: Some(compile("result < 500", Unit::Milliseconds, Compat::Strict)),
        failure: None,
    };
    assert_eq!(phase(&gate, vector(&[0.4])), Phase::Pass);
    assert_eq!(phase(&gate, vector(&[0.6])), Phase::Fail);
}

#[test]
fn min_requests_asks_for_evidence_before_it_judges() {
    let mut gate = gate(Compat::Strict, "result < 1%", "");
    gate.min_requests = 100;
    let judge = |requests| gate.measure_answer(&answer(vector(&[0.5])), requests, T0);
    assert!(judge(Some(99)).no_data && judge(None).no_data);
    assert_eq!(judge(Some(100)).phase, Phase::Fail);
}

fn evidence(
    requests: f64,
    errors: f64,
    buckets: &[(f64, f64)],
) -> Result<ServiceEvidence, SourceError> {
    let mut evidence = ServiceEvidence::empty(Window::new(T0, at(60)).unwrap());
    evidence.canary = ArmEvidence {
        requests,
        errors,
        buckets: buckets
            .iter()
            .map(|(le, count)| Bucket {
                le_seconds: *le,
                count: *count,
            })
            .collect(),
        pods: 1,
        ..ArmEvidence::default()
    };
    Ok(evidence)
}

#[test]
fn built_in_metrics_judge_the_canary_only_on_whole_evidence() {
    let mut gate = gate(Compat::Strict, "result < 1%", "");
    gate.metric = Metric::ErrorRate;
    assert_eq!(
        gate.measure_evidence(&evidence(1000.0, 5.0, &[]), T0).phase,
        Phase::Pass
    );
    assert_eq!(
        gate.measure_evidence(&evidence(1000.0, 50.0, &[]), T0)
            .phase,
        Phase::Fail
    );
    let none = gate.measure_evidence(&evidence(0.0, 0.0, &[]), T0);
    assert_eq!((none.phase, none.no_data), (Phase::Inconclusive, true));
    assert_eq!(
        gate.measure_evidence(&evidence(10.0, 50.0, &[]), T0).phase,
        Phase::Inconclusive
    );
    let mut partial = evidence(1000.0, 5.0, &[]);
    if let Ok(partial) = &mut partial {
        partial.partial = true;
    }
    assert_eq!(
        gate.measure_evidence(&partial, T0).phase,
        Phase::Inconclusive
    );
}

#[test]
fn latency_beyond_the_last_bucket_can_fail_and_never_pass() {
    let mut gate = gate(Compat::Strict, "", "");
    gate.metric = Metric::Latency { quantile: 0.99 };
    gate.unit = Unit::Milliseconds;
    let with = |source: &str| Gate {
        rule: Rule::Conditions {
            success: Some(compile(source, Unit::Milliseconds, Compat::Strict)),
            failure: None,
        },
        ..gate.clone()
    };
    let slow = evidence(
        100.0,
        0.0,
        &[(0.1, 50.0), (1.0, 60.0), (f64::INFINITY, 100.0)],
    );
    assert_eq!(
        with("result < 500").measure_evidence(&slow, T0).phase,
        Phase::Fail
    );
    assert_eq!(
        with("result < 5000").measure_evidence(&slow, T0).phase,
        Phase::Inconclusive
    );
    let fast = evidence(
        100.0,
        0.0,
        &[(0.1, 100.0), (1.0, 100.0), (f64::INFINITY, 100.0)],
    );
    assert_eq!(
        with("result < 500").measure_evidence(&fast, T0).phase,
        Phase::Pass
    );
}

#[test]
fn flaggers_threshold_range() {
    let range = |min, max| Gate {
        rule: Rule::Range { min, max },
        ..gate(Compat::Strict, "", "")
    };
    let rows = [
        (Some(0.99), None, 0.995, Phase::Pass),
        (Some(0.99), None, 0.98, Phase::Fail),
        (None, Some(0.5), 0.5, Phase::Pass),
        (None, Some(0.5), 0.51, Phase::Fail),
        (Some(0.1), Some(0.5), 0.05, Phase::Fail),
    ];
    for (min, max, value, expected) in rows {
        assert_eq!(
            phase(&range(min, max), vector(&[value])),
            expected,
            "{min:?} {max:?} {value}"
        );
    }
    assert_eq!(
        phase(&range(Some(0.99), None), vector(&[])),
        Phase::Inconclusive
    );
    let argo = Gate {
        compat: Compat::Argo,
        ..range(Some(0.99), None)
    };
    assert_eq!(phase(&argo, vector(&[])), Phase::Fail);
}

fn measurement(phase: Phase) -> Measurement {
    Measurement {
        at: T0,
        phase,
        value: None,
        message: String::new(),
        no_data: false,
        requests: None,
    }
}

fn tally(gate: &Gate, letters: &str) -> Verdict {
    let mut tally = Tally::default();
    for letter in letters.chars() {
        let phase = match letter {
            'p' => Phase::Pass,
            'f' => Phase::Fail,
            'i' => Phase::Inconclusive,
            _ => Phase::Error,
        };
        if tally.record(gate, &measurement(phase), false) != Verdict::Running {
            break;
        }
    }
    tally.verdict(gate)
}

/// Argo's limits, as `assessMetricStatus` applies them.
#[test]
fn limits() {
    let base = gate(Compat::Argo, "", "");
    let rows: &[(&str, Gate, &str, Verdict)] = &[
        ("count reached", base.clone(), "ppppp", Verdict::Pass),
        ("count not reached", base.clone(), "pppp", Verdict::Running),
        (
            "first failure over limit 0",
            base.clone(),
            "pf",
            Verdict::Fail,
        ),
        (
            "failures are cumulative",
            Gate {
                failure_limit: Some(2),
                count: None,
                ..base.clone()
            },
            "fpfpf",
            Verdict::Fail,
        ),
        (
            "failures within limit",
            Gate {
                failure_limit: Some(2),
                ..base.clone()
            },
            "fpfpp",
            Verdict::Pass,
        ),
        (
            "inconclusive over limit 0",
            base.clone(),
            "i",
            Verdict::Inconclusive,
        ),
        (
            "inconclusive within limit counts",
            Gate {
                inconclusive_limit: 5,
                ..base.clone()
            },
            "iiiii",
            Verdict::Pass,
        ),
        (
            "four errors in a row are fine",
            base.clone(),
            "eeee",
            Verdict::Running,
        ),
        (
            "five errors in a row are not",
            base.clone(),
            "eeeee",
            Verdict::Error,
        ),
        (
            "errors in a row start anew",
            base.clone(),
            "eeeepeeee",
            Verdict::Running,
        ),
        (
            "errors do not count",
            base.clone(),
            "pepepep",
            Verdict::Running,
        ),
        (
            "successes in a row",
            Gate {
                consecutive_success_limit: 3,
                failure_limit: None,
                count: Some(9),
                ..base.clone()
            },
            "ppfppp",
            Verdict::Pass,
        ),
        (
            "an error breaks the row",
            Gate {
                consecutive_success_limit: 3,
                failure_limit: None,
                count: Some(9),
                ..base.clone()
            },
            "ppepp",
            Verdict::Running,
        ),
        (
            "row not reached, no failure limit",
            Gate {
                consecutive_success_limit: 3,
                failure_limit: None,
                count: Some(4),
                ..base.clone()
            },
            "ppfp",
            Verdict::Fail,
        ),
        (
            "row not reached, failure limit kept",
            Gate {
                consecutive_success_limit: 3,
                failure_limit: Some(2),
                count: Some(4),
                ..base.clone()
            },
            "ppfp",
            Verdict::Inconclusive,
        ),
    ];
    for (name, gate, letters, expected) in rows {
        assert_eq!(tally(gate, letters), *expected, "{name}");
    }
}

#[test]
fn measured_harm_wins_over_doubt_unless_argo_is_asked_for() {
    let strict = Gate {
        failure_limit: Some(0),
        inconclusive_limit: 0,
        ..gate(Compat::Strict, "", "")
    };
    let argo = Gate {
        compat: Compat::Argo,
        ..strict.clone()
    };
    for (gate, expected) in [(strict, Verdict::Fail), (argo, Verdict::Inconclusive)] {
        let mut tally = Tally::default();
        tally.record(&gate, &measurement(Phase::Fail), false);
        tally.record(&gate, &measurement(Phase::Inconclusive), false);
        assert_eq!(tally.verdict(&gate), expected);
    }
}

#[test]
fn what_is_pending_is_not_counted() {
    let gate = gate(Compat::Strict, "", "");
    let mut tally = Tally::default();
    for _ in 0..10 {
        assert_eq!(
            tally.record(&gate, &measurement(Phase::Inconclusive), true),
            Verdict::Running
        );
    }
    assert_eq!(
        tally.conclude(&gate),
        Verdict::Inconclusive,
        "time alone passes nothing"
    );
    tally.record(&gate, &measurement(Phase::Pass), false);
    assert_eq!(tally.conclude(&gate), Verdict::Pass);
}

#[test]
fn when_to_measure_next() {
    let base = Gate {
        initial_delay: Duration::from_secs(30),
        ..gate(Compat::Strict, "", "")
    };
    let mut tally = Tally::default();
    assert_eq!(tally.next_at(&base, T0), Some(at(30)));
    tally.record(
        &base,
        &Measurement {
            at: at(31),
            ..measurement(Phase::Pass)
        },
        false,
    );
    assert_eq!(tally.next_at(&base, T0), Some(at(91)));
    tally.record(
        &base,
        &Measurement {
            at: at(100),
            ..measurement(Phase::Error)
        },
        false,
    );
    assert_eq!(
        tally.next_at(&base, T0),
        Some(at(110)),
        "errors are retried after 10 s"
    );
    let quick = Gate {
        interval: Duration::from_secs(1),
        ..base.clone()
    };
    assert_eq!(
        tally.next_at(&quick, T0),
        Some(at(101)),
        "but not later than the interval"
    );
    assert_eq!(
        tally.next_at(
            &Gate {
                compat: Compat::Argo,
                ..quick
            },
            T0
        ),
        Some(at(110))
    );
    tally.record(&base, &measurement(Phase::Fail), false);
    assert_eq!(tally.next_at(&base, T0), None);
}

#[test]
fn limits_for_people() {
    let text = |success: &str, failure: &str| gate(Compat::Strict, success, failure).limit();
    assert_eq!(text("result < 1%", ""), "< 1%");
    assert_eq!(text("error_rate < 1%", ""), "< 1%");
    assert_eq!(text("", "result[0] >= 0.05"), "not >= 0.05");
    assert_eq!(
        text("result < 1% && result >= 0", ""),
        "result < 1% && result >= 0"
    );
    let range = Gate {
        rule: Rule::Range {
            min: Some(0.99),
            max: None,
        },
        ..gate(Compat::Strict, "", "")
    };
    assert_eq!(range.limit(), ">= 99 %");
}

#[test]
fn the_worst_of_several() {
    use Verdict::{Error, Fail, Inconclusive, Pass, Running};
    assert_eq!(worst([Pass, Running, Inconclusive, Error, Fail]), Fail);
    assert_eq!(worst([Pass, Error, Inconclusive]), Error);
    assert_eq!(worst([Pass, Running]), Running);
    assert_eq!(worst([]), Inconclusive);
}

proptest! {
    /// Whatever comes, no strict gate passes or fails on anything but one finite number.
    #[test]
    fn no_evidence_no_verdict(values in prop::collection::vec(prop_oneof![Just(f64::NAN), Just(f64::INFINITY), -1.0..2.0], 0..4)) {
        let gate = gate(Compat::Strict, "result < 0.5", "");
        let measured = gate.measure_answer(&answer(vector(&values)), None, T0);
        let judged = matches!(measured.phase, Phase::Pass | Phase::Fail);
        prop_assert_eq!(judged, values.len() == 1 && values[0].is_finite());
    }

    /// A verdict other than running never changes by more of the same, and failures never turn into a pass.
    #[test]
    fn more_failures_never_help(letters in "[pfie]{0,12}") {
        let gate = gate(Compat::Strict, "", "");
        if tally(&gate, &letters) == Verdict::Pass {
            prop_assert!(!letters.chars().take(5).any(|letter| letter == 'f'), "{}", letters);
        }
    }
}
