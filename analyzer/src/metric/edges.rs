//! Evidence from two looks at raw counters, one at each end of a window. Pure; the Prometheus source makes the looks.

use std::collections::{BTreeMap, BTreeSet};

use super::{Counters, Increment, ServiceMetrics};
use crate::evidence::{Arm, ServiceEvidence, Window, sum_buckets};

/// The counters of all reporting processes at one time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Look {
    /// By process, for stable.
    pub stable: BTreeMap<String, Counters>,
    /// By process, for the canary.
    pub canary: BTreeMap<String, Counters>,
    /// Every process that was seen, also those whose counters had no series yet.
    pub alive: BTreeSet<String>,
}

impl Look {
    /// The counters of one arm.
    pub fn arm(&self, arm: Arm) -> &BTreeMap<String, Counters> {
        match arm {
            Arm::Stable => &self.stable,
            Arm::Canary => &self.canary,
        }
    }

    /// The counters of one arm, to add to.
    pub fn arm_mut(&mut self, arm: Arm) -> &mut BTreeMap<String, Counters> {
        match arm {
            Arm::Stable => &mut self.stable,
            Arm::Canary => &mut self.canary,
        }
    }
}

/// What happened between a look at the start of the window and one at its end.
///
/// A process without counters at the start counts from 0 if it was seen then (it had nothing to count yet), or if it says
/// that it started within the window. Else it is left out and noted: nobody knows what it counted before.
/// A process that is gone at the end took its last requests with it; for the canary that makes the evidence partial.
pub fn evidence_between(
    metrics: &ServiceMetrics,
    window: Window,
    start: &Look,
    end: &Look,
) -> ServiceEvidence {
    let mut evidence = ServiceEvidence::empty(window);
    for arm in Arm::BOTH {
        let (before, after) = (start.arm(arm), end.arm(arm));
        let mut missed: Vec<&str> = Vec::new();
        let mut increments: Vec<Increment> = Vec::new();
        for (process, counters) in after {
            let began_inside = counters
                .started()
                .is_some_and(|started| window.start() <= started && started <= window.end());
            if let Some(earlier) = before.get(process) {
                increments.push(counters.since(earlier));
            } else if start.alive.contains(process) || began_inside {
                increments.push(counters.since_zero());
            } else {
                missed.push(process);
            }
        }
        let (buckets, narrowed) = sum_buckets(
            increments
                .iter()
                .map(|increment| increment.buckets.as_slice()),
        );
        let resets = increments
            .iter()
            .filter(|increment| increment.reset)
            .count();
        let sum = evidence.arm_mut(arm);
        sum.requests = increments
            .iter()
            .fold(0.0, |sum, increment| sum + increment.requests);
        sum.errors = increments
            .iter()
            .fold(0.0, |sum, increment| sum + increment.errors);
        sum.buckets = buckets;
        sum.pods = increments.len();
        sum.resets = resets;
        sum.missed = missed.len();

        let label = &metrics.reporter;
        let notes = &mut evidence.notes;
        if after.contains_key("") {
            notes.push(format!(
                "{arm}: the series have no label {label}, so the restart of one of several processes cannot be seen; name \
                 the label that tells them apart (pod, or the parameter pod_label)"
            ));
        }
        if narrowed {
            notes.push(format!(
                "{arm}: latency buckets differ between processes; only the bounds they share are used"
            ));
        }
        if resets > 0 {
            notes.push(format!(
                "{arm}: {resets} processes restarted; what they counted between the last scrape and the restart is lost"
            ));
        }
        if !missed.is_empty() {
            notes.push(format!(
                "{arm}: left out {}, seen only since the window began: nothing says what they had counted before",
                listed(&missed)
            ));
        }
        let gone: Vec<&str> = before
            .keys()
            .filter(|process| !after.contains_key(*process))
            .map(String::as_str)
            .collect();
        if !gone.is_empty() {
            notes.push(format!(
                "{arm}: {} gone before the window ended; their requests in it are not counted",
                listed(&gone)
            ));
            evidence.partial |= arm == Arm::Canary;
        }
    }
    evidence
}

/// A few names, and how many more.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let shown = names
        .iter()
        .take(SHOWN)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}
