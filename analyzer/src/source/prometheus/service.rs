//! Evidence of a service by instant queries of raw counters at both ends of a window: never `rate` or `increase`, whose
//! extrapolation makes counts of what was not counted.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use jiff::Timestamp;

use super::PrometheusSource;
use crate::evidence::{Answer, Arm, Labels, QueryValue, ServiceEvidence, SourceError, Window};
use crate::metric::{Counters, Look, ServiceMetrics, evidence_between};

/// One of the queries that a look is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Start,
    Requests,
    Buckets,
}

pub(super) async fn evidence(
    source: &PrometheusSource,
    metrics: &ServiceMetrics,
    window: Window,
) -> Result<ServiceEvidence, SourceError> {
    let mut asked = Vec::new();
    for at in [window.start(), window.end()] {
        for arm in Arm::BOTH {
            // Starts first: counters are told when their process began.
            asked.extend(
                metrics
                    .process_start_query(arm)
                    .map(|query| (at, arm, What::Start, query)),
            );
            asked.push((at, arm, What::Requests, metrics.counter_query(arm)));
            asked.extend(
                metrics
                    .bucket_query(arm)
                    .map(|query| (at, arm, What::Buckets, query)),
            );
        }
    }
    let answers = try_join_all(
        asked
            .iter()
            .map(|(at, _, _, query)| source.instant(query, *at)),
    )
    .await?;

    let mut warnings: Vec<String> = Vec::new();
    let mut looks = [
        (window.start(), Look::default()),
        (window.end(), Look::default()),
    ];
    for (index, (at, look)) in looks.iter_mut().enumerate() {
        let half = asked.len() / 2;
        let of_this_look = asked.iter().zip(&answers).skip(index * half).take(half);
        let mut starts: BTreeMap<String, f64> = BTreeMap::new();
        for ((_, arm, what, query), answer) in of_this_look {
            for warning in &answer.warnings {
                if !warnings.contains(warning) {
                    warnings.push(warning.clone());
                }
            }
            let samples = vector(source, query, answer, *at)?;
            add(look, &mut starts, metrics, *arm, *what, samples).map_err(|message| {
                SourceError::Unusable {
                    tried: tried(source, query, *at),
                    message,
                }
            })?;
        }
    }
    let [(_, start), (_, end)] = looks;
    let mut evidence = evidence_between(metrics, window, &start, &end);
    evidence.partial |= !warnings.is_empty();
    evidence.notes.extend(
        warnings
            .into_iter()
            .map(|warning| format!("the source warned: {warning}")),
    );
    Ok(evidence)
}

/// Puts the samples of one query into the look.
fn add(
    look: &mut Look,
    starts: &mut BTreeMap<String, f64>,
    metrics: &ServiceMetrics,
    arm: Arm,
    what: What,
    samples: &[(Labels, f64)],
) -> Result<(), String> {
    for (labels, value) in samples {
        let process = labels.get(&metrics.reporter).cloned().unwrap_or_default();
        look.alive.insert(process.clone());
        if what == What::Start {
            starts.insert(process, *value);
            continue;
        }
        let began = starts.get(&process).copied();
        let counters = look
            .arm_mut(arm)
            .entry(process)
            .or_insert_with(|| Counters::default().started_at(began));
        if what == What::Requests {
            counters.add_requests(metrics, labels, *value)
        } else {
            counters.add_bucket(metrics, labels.get("le"), *value)
        }
        .map_err(|invalid| invalid.to_string())?;
    }
    Ok(())
}

fn vector<'a>(
    source: &PrometheusSource,
    query: &str,
    answer: &'a Answer,
    at: Timestamp,
) -> Result<&'a [(Labels, f64)], SourceError> {
    match &answer.value {
        QueryValue::Vector(samples) => Ok(samples),
        other => Err(SourceError::Unusable {
            tried: tried(source, query, at),
            message: format!(
                "expected a vector, got {} series of another kind",
                other.series()
            ),
        }),
    }
}

fn tried(source: &PrometheusSource, query: &str, at: Timestamp) -> String {
    format!("{} at {at}: {query}", source.address())
}
