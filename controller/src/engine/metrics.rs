//! Counters of the controller, as /metrics shows them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// All of them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// Releases that are watched.
    pub releases: Gauge,
    /// Runs that are going on here.
    pub running: Gauge,
    /// 1 where this controller holds the Lease.
    pub leader: Gauge,
    /// Writes of a status.
    pub status_writes: Counter,
    /// Writes that were not taken.
    pub status_failures: Counter,
    /// Runs that ended, by outcome.
    pub ended: Family<OutcomeLabel, Counter>,
    /// Time from seeing an abort to sending weight 0.
    pub abort_seconds: Histogram,
    /// Notifications that were given up.
    pub notifications_failed: Counter,
    /// Bytes resident, read when asked for.
    pub resident: Gauge<u64, AtomicU64>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// The word for it.
    pub outcome: OutcomeWord,
}

/// The words of outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(
    non_camel_case_types,
    reason = "the values of the label, as everything else spells them"
)]
pub enum OutcomeWord {
    /// The workload is the new version.
    promoted,
    /// No traffic was moved.
    completed,
    /// Evidence was bad.
    rolled_back,
    /// A person ended it.
    aborted,
    /// Failed, weight kept.
    held,
    /// Failed before traffic moved.
    failed,
}

impl From<canary_orchestrator::machine::Outcome> for OutcomeLabel {
    fn from(outcome: canary_orchestrator::machine::Outcome) -> Self {
        use canary_orchestrator::machine::Outcome;
        Self {
            outcome: match outcome {
                Outcome::Promoted => OutcomeWord::promoted,
                Outcome::Completed => OutcomeWord::completed,
                Outcome::RolledBack { .. } => OutcomeWord::rolled_back,
                Outcome::Aborted { .. } => OutcomeWord::aborted,
                Outcome::Held => OutcomeWord::held,
                Outcome::Failed => OutcomeWord::failed,
            },
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at 0.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("canary_controller");
        let (releases, running, leader) = (Gauge::default(), Gauge::default(), Gauge::default());
        let (status_writes, status_failures, notifications_failed) =
            (Counter::default(), Counter::default(), Counter::default());
        let ended = Family::<OutcomeLabel, Counter>::default();
        let abort_seconds =
            Histogram::new([0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0]);
        let resident = Gauge::<u64, AtomicU64>::default();
        registry.register("releases", "Releases that are watched", releases.clone());
        registry.register("runs", "Runs that are going on here", running.clone());
        registry.register(
            "leader",
            "1 where this controller holds the lease",
            leader.clone(),
        );
        registry.register(
            "status_writes",
            "Writes of a status that were sent",
            status_writes.clone(),
        );
        registry.register(
            "status_write_failures",
            "Writes of a status that were not taken",
            status_failures.clone(),
        );
        registry.register("runs_ended", "Runs that ended, by outcome", ended.clone());
        registry.register_with_unit(
            "abort",
            "Time from an abort being seen to the request for weight 0 being sent",
            Unit::Seconds,
            abort_seconds.clone(),
        );
        registry.register(
            "notifications_given_up",
            "Notifications that no receiver took",
            notifications_failed.clone(),
        );
        registry.register_with_unit(
            "resident_memory",
            "Memory of the process",
            Unit::Bytes,
            resident.clone(),
        );
        Self {
            registry: Arc::new(registry),
            releases,
            running,
            leader,
            status_writes,
            status_failures,
            ended,
            abort_seconds,
            notifications_failed,
            resident,
        }
    }

    /// As OpenMetrics text.
    pub fn text(&self) -> String {
        self.resident.set(resident().unwrap_or_default());
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ok = encode(&mut text, &self.registry);
        text
    }
}

fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Metrics::new();
        metrics.status_writes.inc();
        metrics
            .ended
            .get_or_create(&canary_orchestrator::machine::Outcome::Promoted.into())
            .inc();
        let text = metrics.text();
        assert!(
            text.contains("canary_controller_status_writes_total 1"),
            "{text}"
        );
        assert!(
            text.contains("canary_controller_runs_ended_total{outcome=\"promoted\"} 1"),
            "{text}"
        );
        assert!(text.ends_with("# EOF\n"));
    }
}
