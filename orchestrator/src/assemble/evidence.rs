//! Measures gates: asks the source for the gate's window and lets the gate judge the answer.

use std::time::Duration;

use canary_analyzer::duration;
use canary_analyzer::evidence::Window;
use canary_analyzer::gate::{Gate, Measurement, Metric};
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;

use super::sources::Sources;
use crate::machine::Cost;
use crate::plan::GateIndex;
use crate::run::driver::Evidence;

/// Measures gates on the sources of a release.
#[derive(Debug, Clone)]
pub struct Judge {
    sources: Sources,
}

impl Judge {
    /// Judges on these.
    pub fn new(sources: Sources) -> Self {
        Self { sources }
    }

    /// Measures a gate at `now` over its window, but nothing from before `since`.
    pub async fn measure(&self, gate: &Gate, since: Timestamp, now: Timestamp) -> Measurement {
        let window = window(gate.window, since, now);
        match &gate.metric {
            Metric::ErrorRate | Metric::Latency { .. } => {
                gate.measure_evidence(&self.sources.evidence(window).await, now)
            }
            Metric::Query { promql, .. } => {
                let query = promql.replace("{{window}}", &promql_window(window.length()));
                let requests = self.requests(gate, window).await;
                gate.measure_answer(&self.sources.answer(&query, now).await, requests, now)
            }
        }
    }

    /// The canary's requests, where a gate asks for them.
    async fn requests(&self, gate: &Gate, window: Window) -> Option<u64> {
        if gate.min_requests == 0 || !self.sources.counts_requests() {
            return None;
        }
        let evidence = self.sources.evidence(window).await.ok()?;
        (!evidence.partial)
            .then(|| count(evidence.canary.requests))
            .flatten()
    }

    async fn count_cost(&self, since: Timestamp, now: Timestamp) -> Option<Cost> {
        if !self.sources.counts_requests() {
            return None;
        }
        self.sources.refresh().await;
        let window = Window::new(since, self.sources.newest(now).max(since)).ok()?;
        let evidence = self.sources.evidence(window).await.ok()?;
        Some(Cost {
            requests: count(evidence.canary.requests)?,
            bad: count(evidence.canary.errors)?,
        })
    }
}

impl Evidence for Judge {
    fn measure(
        &self,
        _index: GateIndex,
        gate: &Gate,
        since: Timestamp,
        now: Timestamp,
    ) -> BoxFuture<'static, Measurement> {
        let (judge, gate) = (self.clone(), gate.clone());
        async move { Judge::measure(&judge, &gate, since, now).await }.boxed()
    }

    fn cost(&self, since: Timestamp, now: Timestamp) -> BoxFuture<'static, Option<Cost>> {
        let judge = self.clone();
        async move { judge.count_cost(since, now).await }.boxed()
    }
}

/// The gate's window, clipped: a sample from before the step is no evidence for it.
fn window(length: Duration, since: Timestamp, now: Timestamp) -> Window {
    let whole = Window::ending_at(now, length);
    if since <= whole.start() {
        return whole;
    }
    Window::new(since.min(now), now).unwrap_or(whole)
}

/// A range as PromQL writes it: whole seconds (at least one), because a range of 0 is refused.
fn promql_window(length: Duration) -> String {
    duration::format(Duration::from_secs(length.as_secs().max(1)))
}

fn count(value: f64) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked: finite, not negative, far below 2^64"
    )]
    (value.is_finite() && (0.0..1e18).contains(&value)).then(|| value.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn nothing_from_before_the_step_is_in_the_window() {
        let five_minutes = Duration::from_mins(5);
        assert_eq!(window(five_minutes, at(0), at(1000)).start(), at(700));
        assert_eq!(window(five_minutes, at(900), at(1000)).start(), at(900));
        assert_eq!(
            window(five_minutes, at(2000), at(1000)).length(),
            Duration::ZERO
        );
    }

    #[test]
    fn a_range_is_never_empty() {
        assert_eq!(promql_window(Duration::from_millis(400)), "1s");
        assert_eq!(promql_window(Duration::from_secs(90)), "1m30s");
    }
}
