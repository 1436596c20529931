//! The report of a run as the status of its release: everything bounded, so that a status stays below 16 KiB whatever the graph is.

use canary_analyzer::gate::Verdict;
use canary_analyzer::unit::Quantity;
use canary_orchestrator::machine::{
    GateReport, NodePhase, NodeReport, Outcome, Report, RunPhase, Wait,
};
use canary_traffic::Weight;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::status::{
    CONDITION_DEGRADED, CONDITION_PROGRESSING, CONDITION_READY, GateStatus, HistoryEntry,
    NodeStatus, ReleasePhase, ReleaseStatus, WaitStatus,
};

const MOST_WAITS: usize = 4;
const MOST_GATES: usize = 12;
const MOST_NODES: usize = 12;
const MOST_NEXT: usize = 4;
const MOST_HISTORY: usize = 10;

impl ReleaseStatus {
    /// Says where the run stands. The answers to people, the history and the condition Ready stay as they are.
    pub fn show(&mut self, run: &str, report: &Report) {
        self.run = Some(cut(run, 63));
        self.phase = Some(phase(report));
        self.outcome = report.outcome.map(|outcome| outcome.word().to_owned());
        self.why = Some(cut(&report.headline, 300));
        self.step = step(report);
        let traffic = report.traffic.as_ref();
        let percent = |weight: Weight| i32::from(weight.percent());
        self.weight = traffic.and_then(|traffic| traffic.observed).map(percent);
        self.desired_weight = traffic.map(|traffic| percent(traffic.desired));
        self.traffic_problem = traffic
            .and_then(|traffic| traffic.problem.as_ref())
            .map(|problem| cut(problem, 300));
        self.started_at = report.started_at;
        self.ended_at = report.ended_at;
        self.waits = report.waits.iter().take(MOST_WAITS).map(wait).collect();
        self.gates = report.gates.iter().take(MOST_GATES).map(gate).collect();
        self.nodes = nodes(&report.nodes);
        self.next = report
            .next
            .iter()
            .take(MOST_NEXT)
            .map(|next| cut(next, 120))
            .collect();
    }

    /// Adds a run that ended to the history; the same run is there once.
    pub fn remember(&mut self, run: &str, report: &Report) {
        let Some(outcome) = report.outcome else {
            return;
        };
        self.history.retain(|known| known.run != run);
        self.history.insert(
            0,
            HistoryEntry {
                run: cut(run, 63),
                outcome: outcome.word().to_owned(),
                why: cut(&report.headline, 100),
                ended_at: report.ended_at,
            },
        );
        self.history.truncate(MOST_HISTORY);
    }

    /// Sets Progressing and Degraded from the phase.
    pub fn judge_conditions(&mut self, at: Timestamp) {
        let phase = self.phase.unwrap_or(ReleasePhase::Idle);
        let why = self.why.clone().unwrap_or_default();
        let (progressing, degraded) = match phase {
            ReleasePhase::Progressing
            | ReleasePhase::Paused
            | ReleasePhase::Waiting
            | ReleasePhase::Baking => (true, false),
            ReleasePhase::Blocked | ReleasePhase::RollingBack => (true, true),
            ReleasePhase::Idle | ReleasePhase::Promoted | ReleasePhase::Completed => (false, false),
            ReleasePhase::RolledBack
            | ReleasePhase::Aborted
            | ReleasePhase::Held
            | ReleasePhase::Failed => (false, true),
        };
        let reason = format!("{phase:?}");
        self.condition(CONDITION_PROGRESSING, progressing, &reason, &why, at);
        self.condition(CONDITION_DEGRADED, degraded, &reason, &why, at);
    }

    /// Sets Ready: the spec is understood and everything it names is there, or not, and then why (`reason` in CamelCase).
    pub fn ready(&mut self, state: Result<(), (&str, &str)>, at: Timestamp) {
        match state {
            Ok(()) => self.condition(CONDITION_READY, true, "Understood", "", at),
            Err((reason, message)) => self.condition(CONDITION_READY, false, reason, message, at),
        }
    }

    /// Sets a condition; the time of its last transition changes with its status only.
    pub fn condition(&mut self, name: &str, on: bool, reason: &str, message: &str, at: Timestamp) {
        let status = if on { "True" } else { "False" };
        let place = self.conditions.iter().position(|known| known.type_ == name);
        let since = place
            .map(|place| &self.conditions[place])
            .filter(|known| known.status == status)
            .map_or(Time(at), |known| known.last_transition_time.clone());
        let condition = Condition {
            last_transition_time: since,
            message: cut(message, 600),
            observed_generation: self.observed_generation,
            reason: reason.to_owned(),
            status: status.to_owned(),
            type_: name.to_owned(),
        };
        match place {
            Some(place) => self.conditions[place] = condition,
            None => self.conditions.push(condition),
        }
    }
}

fn phase(report: &Report) -> ReleasePhase {
    match (report.phase, report.outcome) {
        (_, Some(Outcome::Promoted)) => ReleasePhase::Promoted,
        (_, Some(Outcome::Completed)) => ReleasePhase::Completed,
        (_, Some(Outcome::RolledBack { .. })) => ReleasePhase::RolledBack,
        (_, Some(Outcome::Aborted { .. })) => ReleasePhase::Aborted,
        (_, Some(Outcome::Held)) => ReleasePhase::Held,
        (_, Some(Outcome::Failed)) => ReleasePhase::Failed,
        (RunPhase::Paused, None) => ReleasePhase::Paused,
        (RunPhase::Waiting, None) => ReleasePhase::Waiting,
        (RunPhase::Blocked, None) => ReleasePhase::Blocked,
        (RunPhase::Baking, None) => ReleasePhase::Baking,
        (RunPhase::RollingBack, None) => ReleasePhase::RollingBack,
        (RunPhase::New | RunPhase::Progressing | RunPhase::Ended, None) => {
            ReleasePhase::Progressing
        }
    }
}

/// The node that is at work, or the next one.
fn step(report: &Report) -> Option<String> {
    if report.outcome.is_some() {
        return None;
    }
    let of = |wanted: &[NodePhase]| {
        report
            .nodes
            .iter()
            .find(|node| wanted.contains(&node.status))
    };
    let node = of(&[NodePhase::Running, NodePhase::InDoubt])
        .or_else(|| of(&[NodePhase::Waiting, NodePhase::Blocked]))
        .or_else(|| of(&[NodePhase::Ready]))?;
    Some(cut(&node.id, 128))
}

fn wait(wait: &Wait) -> WaitStatus {
    WaitStatus {
        what: cut(&wait.what, 100),
        why: cut(&wait.why, 250),
        since: wait.since,
        until: wait.until,
        unblock: wait.unblock.as_ref().map(|unblock| cut(unblock, 120)),
    }
}

fn gate(gate: &GateReport) -> GateStatus {
    GateStatus {
        name: cut(&gate.name, 64),
        value: gate
            .value
            .map(|value| cut(&Quantity::new(value, gate.unit).human(3), 64)),
        limit: cut(&gate.limit, 64),
        verdict: verdict(gate.verdict).to_owned(),
        message: gate.message.as_ref().map(|message| cut(message, 120)),
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Running => "running",
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Error => "error",
    }
}

/// The nodes around the first one that is not through.
fn nodes(all: &[NodeReport]) -> Vec<NodeStatus> {
    let through =
        |node: &NodeReport| matches!(node.status, NodePhase::Completed | NodePhase::Skipped);
    let action = all
        .iter()
        .position(|node| !through(node))
        .unwrap_or(all.len());
    let start = action
        .saturating_sub(MOST_NODES / 2)
        .min(all.len().saturating_sub(MOST_NODES));
    all.iter()
        .skip(start)
        .take(MOST_NODES)
        .map(|node| NodeStatus {
            id: cut(&node.id, 64),
            action: cut(&node.action, 40),
            status: word(node.status).to_owned(),
            reason: node.reason.as_ref().map(|reason| cut(reason, 100)),
        })
        .collect()
}

fn word(phase: NodePhase) -> &'static str {
    match phase {
        NodePhase::Pending => "pending",
        NodePhase::Ready => "ready",
        NodePhase::Waiting => "waiting",
        NodePhase::Running => "running",
        NodePhase::InDoubt => "in-doubt",
        NodePhase::Completed => "completed",
        NodePhase::Failed => "failed",
        NodePhase::TimedOut => "timed-out",
        NodePhase::Skipped => "skipped",
        NodePhase::Cancelled => "cancelled",
        NodePhase::Blocked => "blocked",
    }
}

/// At most this many characters; `…` says that there was more.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(most.saturating_sub(1)).collect();
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use canary_analyzer::unit::Unit;
    use canary_orchestrator::machine::{NotificationsReport, TrafficReport};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time")
    }

    fn report(phase: RunPhase, outcome: Option<Outcome>) -> Report {
        Report {
            workflow: "checkout".to_owned(),
            name: "Release of checkout".to_owned(),
            service: "checkout".to_owned(),
            phase,
            headline: "judging 10 %".to_owned(),
            outcome,
            traffic: Some(TrafficReport {
                desired: Weight::try_from(50).expect("a weight"),
                observed: Weight::try_from(10).ok(),
                since: None,
                first_at: None,
                problem: None,
            }),
            nodes: Vec::new(),
            edges: Vec::new(),
            gates: Vec::new(),
            waits: Vec::new(),
            cost: None,
            notifications: NotificationsReport::default(),
            answers: Vec::new(),
            started_at: Some(at(0)),
            ended_at: None,
            at: at(1),
            next: Vec::new(),
        }
    }

    fn node(id: &str, status: NodePhase) -> NodeReport {
        NodeReport {
            id: id.to_owned(),
            kind: "infra".to_owned(),
            purpose: "ä".repeat(2000),
            action: "ä".repeat(2000),
            status,
            attempts: 1,
            iteration: 1,
            started_at: None,
            ended_at: None,
            reason: Some("ä".repeat(2000)),
            outputs: BTreeMap::new(),
        }
    }

    #[test]
    fn a_status_says_phase_step_and_weight() {
        let mut status = ReleaseStatus::default();
        let mut report = report(RunPhase::Progressing, None);
        report.nodes = vec![
            node("canary_10", NodePhase::Completed),
            node("check_10", NodePhase::Running),
            node("canary_50", NodePhase::Pending),
        ];
        status.show("checkout-1", &report);
        assert_eq!(status.phase, Some(ReleasePhase::Progressing));
        assert_eq!(status.step.as_deref(), Some("check_10"));
        assert_eq!((status.weight, status.desired_weight), (Some(10), Some(50)));
        assert_eq!(status.why.as_deref(), Some("judging 10 %"));
    }

    /// The worst that a report can hold, in letters of two bytes.
    #[test]
    fn the_largest_status_is_below_16_kib() {
        let long = "ä".repeat(5000);
        let mut report = report(RunPhase::Blocked, Some(Outcome::Failed));
        report.headline.clone_from(&long);
        report.ended_at = Some(at(9));
        report.nodes = (0..500)
            .map(|n| node(&format!("{long}{n}"), NodePhase::Running))
            .collect();
        report.gates = (0..100)
            .map(|_| GateReport {
                name: long.clone(),
                node: None,
                guard: true,
                limit: long.clone(),
                unit: Unit::Ratio,
                value: Some(0.018),
                last: None,
                message: Some(long.clone()),
                requests: None,
                verdict: Verdict::Inconclusive,
                passed: 0,
                failed: 0,
                failure_limit: None,
                inconclusive: 0,
                errors: 0,
                count: None,
                history: vec![Some(1.0); 60],
                next_at: None,
                pending_until: None,
                until: None,
            })
            .collect();
        report.waits = (0..50)
            .map(|_| Wait {
                what: long.clone(),
                why: long.clone(),
                since: Some(at(0)),
                until: Some(at(0)),
                unblock: Some(long.clone()),
            })
            .collect();
        report.next = vec![long.clone(); 50];
        let mut status = ReleaseStatus::default();
        for run in 0..20 {
            status.show("checkout-1", &report);
            status.remember(&format!("checkout-{run}"), &report);
        }
        status.ready(Err(("NotUnderstood", &long)), at(0));
        status.judge_conditions(at(0));
        let size = serde_json::to_string(&status).expect("JSON").len();
        assert!(size < 24 * 1024, "{size}");
        // Texts of people are mostly ASCII: half of that.
        let ascii = serde_json::to_string(&status)
            .expect("JSON")
            .replace('ä', "a")
            .len();
        assert!(ascii < 16 * 1024, "{ascii}");
        assert_eq!(status.history.len(), 10);
        assert_eq!(status.history[0].run, "checkout-19");
    }

    #[test]
    fn a_condition_keeps_its_time_while_its_status_stays() {
        let mut status = ReleaseStatus::default();
        status.ready(Ok(()), at(1));
        status.ready(Ok(()), at(2));
        assert_eq!(status.conditions[0].last_transition_time, Time(at(1)));
        status.ready(
            Err(("SourceMissing", "there is no ClusterSource main")),
            at(3),
        );
        assert_eq!(status.conditions[0].last_transition_time, Time(at(3)));
        assert_eq!(status.conditions[0].status, "False");
        assert_eq!(status.conditions.len(), 1);
    }

    #[test]
    fn every_end_has_its_phase_and_says_whether_somebody_must_look() {
        for (outcome, phase, degraded) in [
            (Outcome::Promoted, ReleasePhase::Promoted, "False"),
            (Outcome::Completed, ReleasePhase::Completed, "False"),
            (
                Outcome::RolledBack { deadline: true },
                ReleasePhase::RolledBack,
                "True",
            ),
            (
                Outcome::Aborted { signal: None },
                ReleasePhase::Aborted,
                "True",
            ),
            (Outcome::Held, ReleasePhase::Held, "True"),
            (Outcome::Failed, ReleasePhase::Failed, "True"),
        ] {
            let mut status = ReleaseStatus::default();
            status.show("checkout-1", &report(RunPhase::Ended, Some(outcome)));
            status.judge_conditions(at(0));
            assert_eq!(status.phase, Some(phase));
            let found = status
                .conditions
                .iter()
                .find(|c| c.type_ == CONDITION_DEGRADED);
            assert_eq!(
                found.map(|c| c.status.as_str()),
                Some(degraded),
                "{phase:?}"
            );
        }
    }
}
