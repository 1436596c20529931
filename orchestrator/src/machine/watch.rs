//! What is remembered of measuring: one gate under watch, an analysis, the bake.

use std::collections::VecDeque;
use std::time::Duration;

use canary_analyzer::gate::{Compat, Gate, Measurement, Phase, Tally, Verdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::Watch;
use super::state::State;
use super::step::{after, before};
use crate::plan::{GateIndex, NodeIndex};

/// A measurement that is not answered for this long counts as an error; sources have shorter timeouts of their own.
pub(super) const NO_ANSWER: Duration = Duration::from_mins(2);

/// Two measurements are never closer than this, whatever the gate says.
const CLOSEST: Duration = Duration::from_millis(100);

/// After an error a gate is measured again this soon.
const AFTER_ERROR: Duration = Duration::from_secs(10);

/// Values kept for the report.
const HISTORY: usize = 60;

/// One gate under watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct GateWatch {
    pub gate: GateIndex,
    pub tally: Tally,
    pub last: Option<Measurement>,
    #[serde(skip)]
    pub history: VecDeque<Option<f64>>,
    /// The question that is out: when it was asked, and the start of the evidence that it asked for.
    pub asked: Option<(Timestamp, Timestamp)>,
    /// Questions that were out when the watch was anchored anew: their answers say nothing about the present weight.
    pub stale: u32,
    /// Passed at least once since the watch was anchored.
    pub passed: bool,
    /// Start of the watch; `None`: not begun.
    pub started: Option<Timestamp>,
    /// Absence of data counts from then on.
    pub data_due: Option<Timestamp>,
    /// It has decided, and is measured again because that was too long before the end of its check.
    pub again: bool,
}

impl GateWatch {
    pub(super) fn new(gate: GateIndex) -> Self {
        Self {
            gate,
            tally: Tally::default(),
            last: None,
            history: VecDeque::new(),
            asked: None,
            stale: 0,
            passed: false,
            started: None,
            data_due: None,
            again: false,
        }
    }

    /// Begins to watch, or begins anew: evidence from before says nothing.
    pub(super) fn anchor(&mut self, at: Timestamp, evidence_deadline: Duration) {
        self.started = Some(at);
        self.data_due = Some(after(at, evidence_deadline));
        self.passed = false;
        self.again = false;
        if self.asked.take().is_some() {
            self.stale = self.stale.saturating_add(1);
        }
    }

    /// Nothing is watched from now on, until it is anchored again; a new driver answers no old question.
    pub(super) fn interrupt(&mut self) {
        self.started = None;
        self.data_due = None;
        self.passed = false;
        self.asked = None;
        self.stale = 0;
    }

    /// Nothing was watched for a while, and the question that is out will be answered: that answer says nothing.
    pub(super) fn suspend(&mut self) {
        self.started = None;
        self.data_due = None;
        self.passed = false;
        if self.asked.take().is_some() {
            self.stale = self.stale.saturating_add(1);
        }
    }

    /// Forgets the count, after a limit of doubt was broken and while the run is blocked.
    pub(super) fn forget(&mut self) {
        self.tally = Tally::default();
    }

    /// When to measure next, if nothing is out and it is not decided.
    pub(super) fn next_at(&self, gate: &Gate) -> Option<Timestamp> {
        if self.asked.is_some() {
            return None;
        }
        let started = self.started?;
        let next = self
            .tally
            .next_at(gate, started)
            .or(self.again.then_some(started))?;
        let earliest = match &self.last {
            Some(last) if last.at >= started && (self.again || self.is_forgotten()) => {
                after(last.at, pause(gate, last.phase).max(CLOSEST))
            }
            Some(last) if last.at >= started => after(last.at, CLOSEST),
            _ => after(started, gate.initial_delay),
        };
        Some(next.max(earliest))
    }

    /// Nothing is counted: its count was forgotten, or never began.
    fn is_forgotten(&self) -> bool {
        let tally = &self.tally;
        tally.passed() + tally.failed() + tally.inconclusive() + tally.errors() == 0
    }

    /// Counts one measurement.
    pub(super) fn record(&mut self, gate: &Gate, measurement: Measurement) -> Verdict {
        let pending = measurement.no_data && self.data_due.is_some_and(|due| measurement.at < due);
        self.asked = None;
        let verdict = self.tally.record(gate, &measurement, pending);
        if measurement.phase == Phase::Pass {
            self.passed = true;
        }
        if self.history.len() >= HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(measurement.value);
        self.last = Some(measurement);
        verdict
    }

    /// Until when the absence of data that was measured last counts for nothing.
    pub(super) fn pending_until(&self) -> Option<Timestamp> {
        let due = self.data_due?;
        let last = self.last.as_ref()?;
        (last.no_data && last.at < due).then_some(due)
    }

    /// It passed, and not longer than an interval and the evidence deadline ago: good evidence for that time. A failure
    /// counts where failures never decide (no `failure_limit`), and as Argo Rollouts reads it, where limits alone do.
    pub(super) fn is_fresh(&self, gate: &Gate, at: Timestamp, evidence_deadline: Duration) -> bool {
        let oldest = before(at, gate.interval.saturating_add(evidence_deadline));
        let tolerated = gate.failure_limit.is_none() || gate.compat == Compat::Argo;
        self.last.as_ref().is_some_and(|last| {
            let good = last.phase == Phase::Pass || (tolerated && last.phase == Phase::Fail);
            good && last.at >= oldest
        })
    }

    /// The measurement is evidence for nothing yet.
    pub(super) fn pending(&self) -> bool {
        match (&self.last, self.data_due) {
            (Some(last), Some(due)) => last.no_data && last.at < due,
            (None, _) => true,
            _ => false,
        }
    }
}

impl State {
    /// Until when the absence of data that was measured last counts for nothing: such a measurement is pending.
    pub fn pending_until(&self, gate: GateIndex, watch: Watch) -> Option<Timestamp> {
        let watches = match watch {
            Watch::Guard => &self.guards,
            Watch::Node(node) => &self.nodes.get(node.0)?.check.as_deref()?.gates,
        };
        watches.iter().find(|one| one.gate == gate)?.pending_until()
    }
}

/// An analysis in progress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Check {
    pub gates: Vec<GateWatch>,
    /// When judging began: the weight was in force and watched from then on.
    pub started: Option<Timestamp>,
    /// Evidence from before this time does not count.
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// It ended without a decision: it goes on being measured.
    pub blocked: bool,
    /// It would have passed, but some evidence is not fresh: that is waited for until then.
    pub fresh_until: Option<Timestamp>,
}

/// 100 % is watched before it counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Bake {
    /// The `Promote` node; `None`: at the end of the graph.
    pub node: Option<NodeIndex>,
    /// Who asked not to wait for its end.
    pub skipped: Option<String>,
}

/// A tally that was forgotten knows no last measurement, but the source is not to be asked more often for that.
fn pause(gate: &Gate, last: Phase) -> Duration {
    match last {
        Phase::Error => gate.interval.min(AFTER_ERROR),
        Phase::Pass | Phase::Fail | Phase::Inconclusive => gate.interval,
    }
}

/// How long absence of data is waited for.
pub(super) fn evidence_deadline(given: Option<Duration>, gate: &Gate) -> Duration {
    given
        .unwrap_or_else(|| gate.interval.saturating_mul(3))
        .max(gate.initial_delay)
}
