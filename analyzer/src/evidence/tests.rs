use proptest::prelude::*;

use super::number::Number;
use super::*;

/// Buckets, q, and the quantile.
type Row<'a> = (&'a [(f64, f64)], f64, Option<f64>);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn buckets(pairs: &[(f64, f64)]) -> Vec<Bucket> {
    pairs
        .iter()
        .map(|&(le_seconds, count)| Bucket { le_seconds, count })
        .collect()
}

fn arm(pairs: &[(f64, f64)]) -> ArmEvidence {
    ArmEvidence {
        buckets: buckets(pairs),
        ..ArmEvidence::default()
    }
}

const INF: f64 = f64::INFINITY;

#[test]
fn a_window_knows_its_ends() {
    let window = Window::new(at(10), at(70)).unwrap();
    assert_eq!(window.length(), Duration::from_mins(1));
    assert!(window.contains(at(10)) && window.contains(at(70)) && !window.contains(at(71)));
    assert_eq!(Window::ending_at(at(70), Duration::from_mins(1)), window);
    assert!(Window::new(at(2), at(1)).is_err());
    let json = serde_json::to_string(&window).unwrap();
    assert_eq!(serde_json::from_str::<Window>(&json).unwrap(), window);
    let inverted = r#"{"start":"2026-01-01T00:00:01Z","end":"2026-01-01T00:00:00Z"}"#;
    assert!(serde_json::from_str::<Window>(inverted).is_err());
}

#[test]
fn answers_survive_json() {
    let labels = Labels::from([("pod".to_owned(), "a".to_owned())]);
    for value in [f64::NAN, INF, -INF, 0.0, -0.0, 0.1, 1e300, 5e-324] {
        for query_value in [
            QueryValue::Scalar(value),
            QueryValue::Vector(vec![(labels.clone(), value), (Labels::new(), 1.0)]),
            QueryValue::Matrix(vec![Series {
                labels: labels.clone(),
                samples: vec![(at(5), value)],
            }]),
            QueryValue::Text("x".to_owned()),
        ] {
            let answer = Answer {
                value: query_value,
                warnings: vec!["w".to_owned()],
                infos: vec![],
                at: at(1),
            };
            let json = serde_json::to_string(&answer).unwrap();
            let back: Answer = serde_json::from_str(&json).unwrap();
            // NaN is not equal to itself; the debug form is what we mean by the same.
            assert_eq!(format!("{back:?}"), format!("{answer:?}"), "{json}");
        }
    }
    assert!(serde_json::from_str::<Number>("\"many\"").is_err());
    assert!(serde_json::from_str::<Number>("null").is_err());
}

#[test]
fn no_request_is_no_error_rate() {
    assert_eq!(ArmEvidence::default().error_rate(), None);
    assert_eq!(
        ArmEvidence {
            requests: 200.0,
            errors: 3.0,
            ..Default::default()
        }
        .error_rate(),
        Some(0.015)
    );
    assert_eq!(
        ArmEvidence {
            requests: f64::NAN,
            ..Default::default()
        }
        .error_rate(),
        None
    );
}

/// `tests/prometheus.rs` asks a running Prometheus for the same.
#[test]
fn quantiles_follow_histogram_quantile() {
    let shop = [(0.1, 90.0), (0.5, 98.0), (1.0, 99.0), (INF, 100.0)];
    let rows: &[Row<'_>] = &[
        (&shop, 0.5, Some(0.1 * 50.0 / 90.0)),
        (&shop, 0.9, Some(0.1)),
        (&shop, 0.95, Some(0.1 + 0.4 * 5.0 / 8.0)),
        (&shop, 0.99, Some(1.0)),
        (&shop, 1.0, Some(1.0)),
        (&shop, 0.0, Some(0.0)),
        (&shop, 1.1, None),
        (&shop, -0.1, None),
        (&shop, f64::NAN, None),
        (&[], 0.5, None),
        (&[(INF, 4.0)], 0.5, None),
        (&[(0.1, 4.0), (1.0, 4.0)], 0.5, None),
        (&[(0.1, 0.0), (INF, 0.0)], 0.5, None),
        (&[(0.1, 0.0), (1.0, 4.0), (INF, 4.0)], 0.5, Some(0.55)),
        (&[(-1.0, 2.0), (1.0, 4.0), (INF, 4.0)], 0.25, Some(-1.0)),
        // Not sorted, a bound twice, and a count that falls.
        (
            &[(INF, 10.0), (1.0, 4.0), (1.0, 4.0), (2.0, 7.0)],
            0.5,
            Some(0.625),
        ),
    ];
    for (pairs, q, expected) in rows {
        let found = arm(pairs)
            .quantile_seconds(*q)
            .map(|quantile| quantile.value_seconds);
        match (found, expected) {
            (Some(found), Some(expected)) => {
                assert!((found - expected).abs() < 1e-12, "{pairs:?} {q}: {found}");
            }
            (found, expected) => assert_eq!(found, *expected, "{pairs:?} {q}"),
        }
    }
    let slow = arm(&shop).quantile_seconds(0.995).unwrap();
    assert!(slow.beyond_last_bound);
    assert_eq!(slow.bucket_seconds, (1.0, INF));
    assert!(!arm(&shop).quantile_seconds(0.99).unwrap().beyond_last_bound);
    let json = serde_json::to_string(&slow).unwrap();
    assert_eq!(serde_json::from_str::<Quantile>(&json).unwrap(), slow);
}

#[test]
fn histograms_add_up_at_the_bounds_they_share() {
    let old = buckets(&[(0.1, 1.0), (0.5, 2.0), (INF, 3.0)]);
    let new = buckets(&[(0.1, 10.0), (0.25, 15.0), (INF, 30.0)]);
    let (sum, dropped) = sum_buckets([old.as_slice(), &new, &[]]);
    assert_eq!(sum, buckets(&[(0.1, 11.0), (INF, 33.0)]));
    assert!(dropped);
    let (sum, dropped) = sum_buckets([old.as_slice(), &old]);
    assert_eq!(sum, buckets(&[(0.1, 2.0), (0.5, 4.0), (INF, 6.0)]));
    assert!(!dropped);
    assert_eq!(sum_buckets([]), (vec![], false));
}

#[test]
fn errors_say_what_to_do() {
    let error = SourceError::Status {
        tried: "POST http://prometheus:9090/api/v1/query".to_owned(),
        code: 429,
        retry_after: Some(Duration::from_secs(7)),
        excerpt: "slow down".to_owned(),
    };
    assert_eq!(
        error.to_string(),
        "POST http://prometheus:9090/api/v1/query: HTTP status 429, asks to wait 7 s (slow down); \
         the server limits requests; measure less often"
    );
    assert!(error.is_transient());
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    let json = serde_json::to_string(&error).unwrap();
    assert_eq!(serde_json::from_str::<SourceError>(&json).unwrap(), error);
}

proptest! {
    #[test]
    fn a_quantile_lies_in_its_bucket_and_grows_with_q(
        counts in prop::collection::vec(0u32..50, 2..12),
        q in 0.0f64..=1.0,
        less in 0.0f64..=1.0,
    ) {
        let mut total = 0.0;
        let last = counts.len() - 1;
        let pairs: Vec<(f64, f64)> = counts.iter().enumerate().map(|(index, count)| {
            total += f64::from(*count);
            (if index == last { INF } else { f64::from(u32::try_from(index).unwrap() + 1) * 0.1 }, total)
        }).collect();
        let evidence = arm(&pairs);
        let found = evidence.quantile_seconds(q);
        prop_assert_eq!(found.is_none(), total == 0.0);
        if let Some(found) = found {
            prop_assert!(found.bucket_seconds.0 <= found.value_seconds && found.value_seconds <= found.bucket_seconds.1 + 1e-12);
            let below = evidence.quantile_seconds(q * less).unwrap();
            prop_assert!(below.value_seconds <= found.value_seconds + 1e-12);
        }
    }

    #[test]
    fn every_double_survives_json(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        let json = serde_json::to_string(&Number(value)).unwrap();
        let back: Number = serde_json::from_str(&json).unwrap();
        prop_assert!(back.0.to_bits() == value.to_bits() || (back.0.is_nan() && value.is_nan()), "{} {}", json, back.0);
    }
}
