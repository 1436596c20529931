//! Folds scrapes into increments and increments into evidence. Pure: it is told what was read and when.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use super::{Counters, Increment};
use crate::evidence::{Arm, ServiceEvidence, Window, sum_buckets};

/// What targets counted, as increments between scrapes; the oldest go when there are too many.
#[derive(Debug)]
pub struct Ledger {
    capacity: usize,
    targets: BTreeMap<Arc<str>, Target>,
    entries: VecDeque<Entry>,
    /// Up to here increments were dropped to stay within the capacity.
    dropped_until: Option<Timestamp>,
}

/// One successful look at a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// When it was asked.
    pub asked: Timestamp,
    /// When the answer was complete.
    pub answered: Timestamp,
    /// The counters of each arm that the target reports on.
    pub counters: Vec<(Arm, Counters)>,
}

/// One look at a target that brought nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// When it was known.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

#[derive(Debug, Default)]
struct Target {
    last: Option<Reading>,
    /// As of the last failed look.
    reports_on_canary: bool,
    /// Failed looks since the window of interest may have begun; bounded.
    failures: VecDeque<Failure>,
    /// The first reading, if what it counted cannot be told from what was before it.
    unknown_start: Vec<(Arm, Timestamp)>,
}

/// What one target counted for one arm between two looks.
#[derive(Debug)]
struct Entry {
    target: Arc<str>,
    arm: Arm,
    from: Timestamp,
    to: Timestamp,
    increment: Increment,
}

const FAILURES_KEPT: usize = 64;

impl Ledger {
    /// Keeps at most `capacity` increments.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            targets: BTreeMap::new(),
            entries: VecDeque::new(),
            dropped_until: None,
        }
    }

    /// Takes note of a reading.
    ///
    /// The first reading of a target is no increment: nobody knows since when it counted. Unless it says when its process
    /// started: then all it counted is from after that. An increment reaches from when the earlier reading was asked for to
    /// when the later one was there, so it holds no request from outside that span.
    pub fn record(&mut self, target: &str, reading: Reading) {
        let name: Arc<str> = Arc::from(target);
        let state = self.targets.entry(Arc::clone(&name)).or_default();
        let before = state.last.take();
        let mut entries = Vec::new();
        for (arm, counters) in &reading.counters {
            let earlier = before.as_ref().and_then(|before| {
                let counters = before
                    .counters
                    .iter()
                    .find(|(other, _)| other == arm)
                    .map(|(_, counters)| counters)?;
                Some((before.asked, counters))
            });
            let (from, increment) = match (earlier, counters.started()) {
                (Some((asked, earlier)), _) => (asked, counters.since(earlier)),
                (None, Some(started)) if started <= reading.asked => {
                    (started, counters.since_zero())
                }
                (None, _) => {
                    if counters.total() > 0.0 {
                        state.unknown_start.push((*arm, reading.asked));
                    }
                    continue;
                }
            };
            if counters.is_empty() && earlier.is_none_or(|(_, earlier)| earlier.is_empty()) {
                continue;
            }
            let to = reading.answered.max(from);
            entries.push(Entry {
                target: Arc::clone(&name),
                arm: *arm,
                from,
                to,
                increment,
            });
        }
        state.last = Some(reading);
        for entry in entries {
            self.push(entry);
        }
    }

    /// Takes note of a look that failed, at a target that reports on these arms: a gap. Nothing is concluded from it.
    pub fn record_failure(&mut self, target: &str, arms: &[Arm], failure: Failure) {
        let state = self.targets.entry(Arc::from(target)).or_default();
        state.reports_on_canary = arms.contains(&Arm::Canary);
        if state.failures.len() == FAILURES_KEPT {
            state.failures.pop_front();
        }
        state.failures.push_back(failure);
    }

    /// A target is no longer to be looked at. What it counted stays; should it come back, it is new.
    pub fn forget(&mut self, target: &str) {
        self.targets.remove(target);
    }

    /// How many increments are kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no increment is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What happened within a window: the sum of the increments that lie wholly inside it.
    pub fn evidence(&self, window: Window) -> ServiceEvidence {
        let mut evidence = ServiceEvidence::empty(window);
        let inside = |entry: &&Entry| window.start() <= entry.from && entry.to <= window.end();
        for arm in Arm::BOTH {
            let entries: Vec<&Entry> = self
                .entries
                .iter()
                .filter(inside)
                .filter(|entry| entry.arm == arm)
                .collect();
            let mut pods: Vec<&str> = entries.iter().map(|entry| &*entry.target).collect();
            pods.sort_unstable();
            pods.dedup();
            let missed = self
                .targets
                .values()
                .flat_map(|target| &target.unknown_start);
            let missed = missed
                .filter(|(other, at)| *other == arm && window.start() < *at && *at <= window.end())
                .count();
            let sum = evidence.arm_mut(arm);
            sum.requests = entries
                .iter()
                .fold(0.0, |sum, entry| sum + entry.increment.requests);
            sum.errors = entries
                .iter()
                .fold(0.0, |sum, entry| sum + entry.increment.errors);
            sum.pods = pods.len();
            sum.resets = entries.iter().filter(|entry| entry.increment.reset).count();
            sum.missed = missed;
            let (buckets, dropped) = sum_buckets(
                entries
                    .iter()
                    .map(|entry| entry.increment.buckets.as_slice()),
            );
            sum.buckets = buckets;
            let resets = sum.resets;
            if dropped {
                evidence.notes.push(format!(
                    "{arm}: latency buckets differ between pods or versions; only \
 the bounds they share are used"
                ));
            }
            if resets > 0 {
                evidence.notes.push(format!(
                    "{arm}: counters were reset {resets} times (restarts); requests \
 between the last scrape and a restart are not counted"
                ));
            }
            if missed > 0 {
                evidence.notes.push(format!(
                    "{arm}: {missed} targets were seen for the first time within \
 the window; what they had counted before that is left out"
                ));
            }
        }
        self.note_gaps(window, &mut evidence);
        if let Some(dropped) = self
            .dropped_until
            .filter(|dropped| *dropped > window.start())
        {
            evidence.partial = true;
            evidence.notes.push(format!(
                "increments up to {dropped} are no longer kept; use \
 a shorter window or scrape less often"
            ));
        }
        evidence
    }

    /// A target that failed and came back lost nothing but a restart in between. One that is failing at the end of the window
    /// may hide what matters most; for the canary that makes the evidence partial.
    fn note_gaps(&self, window: Window, evidence: &mut ServiceEvidence) {
        for (name, target) in &self.targets {
            let mut failures = target
                .failures
                .iter()
                .filter(|failure| window.contains(failure.at))
                .peekable();
            let Some(first) = failures.peek().map(|failure| failure.at) else {
                continue;
            };
            let (count, last) =
                failures.fold((0, None), |(count, _), failure| (count + 1, Some(failure)));
            let Some(last) = last else { continue };
            // Entries of a target that is looked at again end after the failure.
            let back = self.entries.iter().any(|entry| {
                &entry.target == name && entry.to > last.at && entry.to <= window.end()
            }) || target.last.as_ref().is_some_and(|reading| {
                reading.answered > last.at && reading.answered <= window.end()
            });
            if back {
                evidence.notes.push(format!(
                    "{name}: {count} scrapes failed since {first}, then it answered \
 again; its counts cover the gap unless it restarted ({})",
                    last.reason
                ));
            } else {
                evidence.partial |= target.reports_on_canary;
                evidence.notes.push(format!(
                    "{name}: not answering at the end of the \
 window ({count} failed scrapes since {first}): {}",
                    last.reason
                ));
            }
        }
    }

    fn push(&mut self, entry: Entry) {
        while self.entries.len() >= self.capacity {
            if let Some(oldest) = self.entries.pop_front() {
                self.dropped_until = self.dropped_until.max(Some(oldest.to));
            }
        }
        self.entries.push_back(entry);
    }
}
