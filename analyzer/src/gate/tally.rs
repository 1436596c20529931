//! Where a gate stands after its measurements: Argo's counters, in Argo's order
//! (argo-rollouts `analysis/analysis.go`, `assessMetricStatus`).

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::model::{Compat, Gate, Measurement, Phase, Verdict};

/// Argo measures again this long after an error, whatever the interval is.
const ERROR_RETRY: Duration = Duration::from_secs(10);

/// Counters of one gate over one analysis.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    passed: u32,
    failed: u32,
    inconclusive: u32,
    errors: u32,
    consecutive_passed: u32,
    consecutive_errors: u32,
    last: Option<(Timestamp, Phase)>,
}

impl Tally {
    /// Counts one measurement and says where the gate stands. `pending`: there was no data, and it is too early to
    /// expect any; nothing is counted then.
    pub fn record(&mut self, gate: &Gate, measurement: &Measurement, pending: bool) -> Verdict {
        self.last = Some((measurement.at, measurement.phase));
        if pending {
            return self.verdict(gate);
        }
        let (counter, passed, error) = match measurement.phase {
            Phase::Pass => (&mut self.passed, true, false),
            Phase::Fail => (&mut self.failed, false, false),
            Phase::Inconclusive => (&mut self.inconclusive, false, false),
            Phase::Error => (&mut self.errors, false, true),
        };
        *counter = counter.saturating_add(1);
        self.consecutive_passed = if passed {
            self.consecutive_passed.saturating_add(1)
        } else {
            0
        };
        self.consecutive_errors = if error {
            self.consecutive_errors.saturating_add(1)
        } else {
            0
        };
        self.verdict(gate)
    }

    /// Where the gate stands: error before inconclusive before failed, then successes in a row, then the count.
    pub fn verdict(&self, gate: &Gate) -> Verdict {
        if self.consecutive_errors > gate.consecutive_error_limit {
            return Verdict::Error;
        }
        let failed = gate.failure_limit.is_some_and(|limit| self.failed > limit);
        let inconclusive = self.inconclusive > gate.inconclusive_limit;
        // Argo lets inconclusive win over failed. Harm that was measured is not undone by a doubt, so strict does not.
        match gate.compat {
            Compat::Argo if inconclusive => return Verdict::Inconclusive,
            Compat::Argo | Compat::Strict if failed => return Verdict::Fail,
            Compat::Strict if inconclusive => return Verdict::Inconclusive,
            Compat::Argo | Compat::Strict => {}
        }
        if gate.consecutive_success_limit > 0
            && self.consecutive_passed >= gate.consecutive_success_limit
        {
            return Verdict::Pass;
        }
        match gate.count {
            Some(count) if self.counted() >= count => at_count(gate),
            Some(_) | None => Verdict::Running,
        }
    }

    /// The analysis is over by time: a gate that still runs has passed if something passed, else it decided nothing.
    pub fn conclude(&self, gate: &Gate) -> Verdict {
        match self.verdict(gate) {
            Verdict::Running if self.passed == 0 || gate.consecutive_success_limit > 0 => {
                Verdict::Inconclusive
            }
            Verdict::Running => Verdict::Pass,
            decided @ (Verdict::Pass | Verdict::Fail | Verdict::Inconclusive | Verdict::Error) => {
                decided
            }
        }
    }

    /// When to measure next; `None`: decided. `started` is when the analysis began.
    pub fn next_at(&self, gate: &Gate, started: Timestamp) -> Option<Timestamp> {
        if self.verdict(gate) != Verdict::Running {
            return None;
        }
        let (from, pause) = match self.last {
            None => (started, gate.initial_delay),
            Some((at, Phase::Error)) => (at, error_retry(gate)),
            Some((at, Phase::Pass | Phase::Fail | Phase::Inconclusive)) => (at, gate.interval),
        };
        Some(from.saturating_add(pause).unwrap_or(Timestamp::MAX))
    }

    /// Measurements that are not errors: what `count` counts.
    fn counted(&self) -> u32 {
        self.passed
            .saturating_add(self.failed)
            .saturating_add(self.inconclusive)
    }

    /// Measurements that passed.
    pub fn passed(&self) -> u32 {
        self.passed
    }

    /// Measurements that failed.
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// Measurements that decided nothing.
    pub fn inconclusive(&self) -> u32 {
        self.inconclusive
    }

    /// Measurements that could not be made.
    pub fn errors(&self) -> u32 {
        self.errors
    }
}

/// The count is reached and no limit is broken.
fn at_count(gate: &Gate) -> Verdict {
    if gate.consecutive_success_limit == 0 {
        return Verdict::Pass;
    }
    if gate.failure_limit.is_some() {
        Verdict::Inconclusive
    } else {
        Verdict::Fail
    }
}

/// Argo retries an error after 10 s even where the interval is shorter; strict takes the shorter of the two.
fn error_retry(gate: &Gate) -> Duration {
    match gate.compat {
        Compat::Argo => ERROR_RETRY,
        Compat::Strict => ERROR_RETRY.min(gate.interval),
    }
}

/// Of several gates the worst verdict: fail, error, inconclusive, running, pass. Nothing to judge is inconclusive.
pub fn worst(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    let rank = |verdict: &Verdict| match verdict {
        Verdict::Pass => 0,
        Verdict::Running => 1,
        Verdict::Inconclusive => 2,
        Verdict::Error => 3,
        Verdict::Fail => 4,
    };
    verdicts
        .into_iter()
        .max_by_key(rank)
        .unwrap_or(Verdict::Inconclusive)
}
