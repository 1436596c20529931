//! Queries that bind outputs. Whatever is not one clear number decides nothing: the attempt is inconclusive and says why.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use canary_analyzer::evidence::{Answer, QueryValue, SourceError, Window};
use canary_analyzer::source::{PrometheusOptions, PrometheusSource};
use canary_analyzer::unit::{Dimension, number};
use futures::future::{BoxFuture, join_all};
use reqwest::Url;
use serde_json::{Number, Value};
use tokio_util::sync::CancellationToken;

use super::spec::{QueryBinding, QueryWork, Reduce};
use super::{Attempt, Ending};
use crate::machine::{NodeStatus, ProcessMark};
use crate::plan::template::{Lookup, Namespace, Reference};

/// A window shorter than this holds no two scrapes of anything.
const SHORTEST_WINDOW: Duration = Duration::from_secs(1);

/// Waits, asks, and reads the answers.
pub(super) async fn ask(
    attempt: &Attempt<'_>,
    work: &QueryWork,
    started: impl FnOnce(Option<ProcessMark>) -> BoxFuture<'static, ()>,
    cancel: &CancellationToken,
) -> Ending {
    let source = match source(attempt, work) {
        Ok(source) => source,
        Err(error) => return Ending::failed(error),
    };
    started(None).await;
    let cancelled = || {
        Ending::with(
            NodeStatus::Cancelled,
            "was cancelled before there was an answer",
        )
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => return cancelled(),
        () = tokio::time::sleep(work.wait) => {}
    }
    let now = (attempt.context.shared.clock)();
    // A sample from before the weight was observed is not evidence for it.
    let watched = attempt
        .context
        .evidence_since
        .map(|since| Duration::try_from(now.duration_since(since)).unwrap_or_default());
    let length = watched.map_or(work.window, |watched| watched.min(work.window));
    if length < SHORTEST_WINDOW {
        return Ending::with(
            NodeStatus::Inconclusive,
            format!(
                "{} has passed since the weight was observed: nothing can be said yet; set `wait_sec`",
                seconds(length)
            ),
        );
    }
    let window = Window::ending_at(now, length);
    let values = WithWindow {
        inner: &attempt.values,
        window: promql(length),
    };
    let mut asked = Vec::new();
    for binding in &work.queries {
        match binding.promql.render(&values) {
            Ok(query) => asked.push((binding, query)),
            Err(error) => return Ending::failed(format!("query of `{}`: {error}", binding.output)),
        }
    }
    let answers = join_all(asked.iter().map(|(_, query)| {
        let source = &source;
        async move {
            if work.range {
                source.range(query, window, work.step).await
            } else {
                source.instant(query, now).await
            }
        }
    }));
    let answers = tokio::select! {
        biased;
        () = cancel.cancelled() => return cancelled(),
        answers = tokio::time::timeout(attempt.timeout(), answers) => match answers {
            Ok(answers) => answers,
            Err(_) => return Ending::with(
                NodeStatus::TimedOut,
                format!("{}: no complete answer within {}", source.address(), seconds(attempt.timeout())),
            ),
        },
    };
    conclude(&asked, answers, work, length)
}

/// The Prometheus of the settings, or the one that the node names. Credentials of the settings go to their own host only.
fn source(attempt: &Attempt<'_>, work: &QueryWork) -> Result<Arc<PrometheusSource>, String> {
    let known = attempt.context.shared.prometheus.as_ref();
    let Some(template) = &work.url else {
        return known.cloned().ok_or_else(|| {
            "no Prometheus is known: set `url` of the node, or `x-canary.sources.prometheus.url`".to_owned()
        });
    };
    let text = attempt.render(template)?;
    let origin = |text: &str| Url::parse(text.trim()).ok().map(|url| url.origin());
    if let Some(known) = known
        && origin(&text).is_some()
        && origin(&text) == origin(&known.address())
    {
        return Ok(Arc::clone(known));
    }
    let options = PrometheusOptions {
        timeout: attempt.timeout(),
        ..PrometheusOptions::new(text)
    };
    PrometheusSource::new(options)
        .map(Arc::new)
        .map_err(|error| error.to_string())
}

fn conclude(
    asked: &[(&QueryBinding, String)],
    answers: Vec<Result<Answer, SourceError>>,
    work: &QueryWork,
    length: Duration,
) -> Ending {
    let mut facts = BTreeMap::new();
    let mut raw = serde_json::Map::new();
    let mut doubts = Vec::new();
    let mut setting = None;
    let mut notes = Vec::new();
    for ((binding, query), answer) in asked.iter().zip(answers) {
        let read = match answer {
            Ok(answer) => {
                notes.extend(
                    answer
                        .infos
                        .iter()
                        .map(|info| format!("{}: {info}", binding.output)),
                );
                read(binding, &answer, work.range)
            }
            Err(error @ SourceError::Setting { .. }) => {
                setting = Some(error.to_string());
                continue;
            }
            Err(error) => Err(error.to_string()),
        };
        match read {
            Ok((value, converted)) => {
                raw.insert(binding.output.clone(), finite(value));
                facts.insert(binding.output.clone(), finite(converted));
            }
            Err(why) => doubts.push(format!(
                "`{}`: {why} (asked: {})",
                binding.output,
                excerpt(query)
            )),
        }
    }
    let always = BTreeMap::from([
        ("raw".to_owned(), Value::Object(raw)),
        ("window_sec".to_owned(), finite(length.as_secs_f64())),
    ]);
    let (status, error) = match (setting, doubts.is_empty()) {
        (Some(error), _) => (NodeStatus::Failed, Some(error)),
        (None, true) => (NodeStatus::Completed, None),
        (None, false) => (NodeStatus::Inconclusive, Some(doubts.join("; "))),
    };
    Ending {
        status: Some(status),
        error,
        facts,
        always,
        notes,
        ..Ending::default()
    }
}

/// The one number of an answer, as the source gave it and in the unit of the output; or why there is none.
fn read(binding: &QueryBinding, answer: &Answer, range: bool) -> Result<(f64, f64), String> {
    if let Some(warning) = answer.warnings.first() {
        return Err(format!(
            "the source warns that data may be incomplete: {warning}"
        ));
    }
    let several = |count| {
        Err(format!(
            "{count} series where one is meant: aggregate in the query, for instance with sum()"
        ))
    };
    let samples: Vec<f64> = match &answer.value {
        QueryValue::Scalar(value) => vec![*value],
        QueryValue::Vector(series) => match series.as_slice() {
            [] => Vec::new(),
            [(_, value)] => vec![*value],
            many => return several(many.len()),
        },
        QueryValue::Matrix(series) => match series.as_slice() {
            [] => Vec::new(),
            [one] => one.samples.iter().map(|(_, value)| *value).collect(),
            many => return several(many.len()),
        },
        QueryValue::Text(_) => return Err("the answer is a text, not a number".to_owned()),
    };
    if samples.is_empty() {
        return Err(
            "no data in the window: is the metric there, and does the canary get requests?"
                .to_owned(),
        );
    }
    if samples.len() < binding.min_samples as usize {
        let hint = if range {
            ""
        } else {
            "; an instant query has one, use query_range"
        };
        return Err(format!(
            "{} of {} samples that are needed{hint}",
            samples.len(),
            binding.min_samples
        ));
    }
    let value = reduce(&samples, binding.reduce);
    if !value.is_finite() {
        return Err(format!(
            "the value is {}, not a number that can be judged (0 requests divided by 0?)",
            number(value, 3)
        ));
    }
    let Some(converted) = binding.unit.convert(value, binding.output_unit) else {
        return Err(format!(
            "{:?} cannot be converted to {:?}",
            binding.unit, binding.output_unit
        ));
    };
    let share = binding.output_unit.to_base(converted);
    if binding.output.starts_with("error_rate")
        && binding.output_unit.dimension() == Dimension::Ratio
        && !(0.0..=1.0).contains(&share)
    {
        return Err(format!(
            "{} is no error rate, which lies between 0 and 1: declare the unit `percent`, or correct the query",
            number(value, 6)
        ));
    }
    Ok((value, converted))
}

/// NaN and infinity among the samples that count make the whole of it so: they must not vanish in a maximum.
#[expect(
    clippy::cast_precision_loss,
    reason = "a count of samples is far below 2^52"
)]
fn reduce(samples: &[f64], how: Reduce) -> f64 {
    let all = |pick: fn(f64, f64) -> f64| {
        if samples.iter().all(|sample| sample.is_finite()) {
            samples.iter().copied().reduce(pick).unwrap_or(f64::NAN)
        } else {
            f64::NAN
        }
    };
    match how {
        Reduce::Last => samples.last().copied().unwrap_or(f64::NAN),
        Reduce::Max => all(f64::max),
        Reduce::Min => all(f64::min),
        Reduce::Mean => samples.iter().sum::<f64>() / samples.len() as f64,
    }
}

fn finite(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// `{{window}}` and everything else.
struct WithWindow<'a> {
    inner: &'a (dyn Lookup + Sync),
    window: String,
}

impl Lookup for WithWindow<'_> {
    fn get(&self, reference: &Reference) -> Option<Value> {
        if reference.namespace == Namespace::Name && reference.head() == "window" {
            return Some(Value::from(self.window.as_str()));
        }
        self.inner.get(reference)
    }
}

/// A duration as PromQL reads it, in whole seconds where it is.
fn promql(length: Duration) -> String {
    if length.subsec_millis() == 0 {
        format!("{}s", length.as_secs())
    } else {
        format!("{}ms", length.as_millis())
    }
}

fn seconds(length: Duration) -> String {
    format!("{} s", number(length.as_secs_f64(), 3))
}

fn excerpt(query: &str) -> String {
    let line = query.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
