//! Analyses: gates judged over a step; and why the weight may rise after them.

use canary_analyzer::gate::{Gate, Measurement, Phase, Verdict, worst};
use canary_traffic::Weight;
use jiff::Timestamp;
use serde_json::Value;

use super::command::Command;
use super::event::Watch;
use super::state::{Cause, End, Life};
use super::step::{Machine, after, before, human};
use super::traffic::Evidence;
use super::watch::{Check, GateWatch, NO_ANSWER, evidence_deadline};
use crate::plan::{Action, Analyze, GateIndex, NodeIndex};

/// What a check says after a look at it.
enum Says {
    GoOn,
    Passed,
    Failed(String),
    Undecided(String),
    /// It was blocked, and good evidence is back.
    Recovered,
}

impl Machine<'_> {
    pub(super) fn start_check(&mut self, node: NodeIndex, analyze: &Analyze) {
        self.begin(node);
        self.s.nodes[node.0].check = Some(Box::new(new_check(analyze)));
    }

    /// Looks at every check in progress.
    pub(super) fn checks(&mut self) -> bool {
        let mut changed = false;
        let plan = self.plan;
        for node in self.active() {
            if self.s.nodes[node.0].life != Life::Running {
                continue;
            }
            changed |= match &plan.node(node).action {
                Action::Analyze(analyze) => self.run_check(node, analyze),
                Action::VerifyWeight(verify) => self.verify_weight(node, verify),
                _ => false,
            };
        }
        changed
    }

    /// The weight is known and in force, or the canary has none by intention.
    pub(super) fn weight_ready(&self) -> bool {
        let traffic = &self.s.traffic;
        !self.s.graph.moves_traffic
            || (traffic.desired.is_zero() && traffic.observed.is_none_or(Weight::is_zero))
            || traffic.since.is_some()
    }

    /// Checks in progress begin anew: what was measured before says nothing about the weight in force.
    pub(super) fn anchor_checks(&mut self) {
        for node in self.active() {
            if let Some(check) = self.s.nodes[node.0].check.as_mut() {
                check.started = None;
            }
        }
    }

    pub(super) fn run_check(&mut self, node: NodeIndex, analyze: &Analyze) -> bool {
        let Some(mut check) = self.s.nodes[node.0].check.take() else {
            return false;
        };
        let recheck = self.s.nodes[node.0].recheck;
        let mut changed = false;
        if check.started.is_none() && self.weight_ready() {
            self.anchor_check(&mut check, analyze);
            changed = true;
        }
        let says = if check.started.is_some() {
            changed |= self.measure_due(&mut check, Watch::Node(node));
            let waited = check.fresh_until;
            let says = self.look(&mut check, recheck);
            // What is not fresh is asked for in this very step.
            changed |= check.fresh_until != waited;
            says
        } else {
            Says::GoOn
        };
        self.s.nodes[node.0].check = Some(check);
        match says {
            Says::GoOn => return changed,
            Says::Failed(why) => self.end_node(node, End::Failed, Some(why)),
            Says::Passed => self.check_passed(node),
            Says::Undecided(why) => self.check_undecided(node, why),
            Says::Recovered => {
                if let Some(check) = self.s.nodes[node.0].check.as_mut() {
                    check.blocked = false;
                    check.started = None;
                    for watch in &mut check.gates {
                        watch.forget();
                    }
                }
                self.s.nodes[node.0].reason = None;
                self.unblock(Cause::Check(node));
            }
        }
        true
    }

    pub(super) fn anchor_check(&self, check: &mut Check, analyze: &Analyze) {
        let at = self.at;
        check.started = Some(at);
        check.since = if self.s.traffic.desired.is_zero() {
            None
        } else {
            self.s.traffic.since
        };
        check.until = analyze.duration.map(|duration| after(at, duration));
        check.fresh_until = None;
        let from = check.since.unwrap_or(at);
        for watch in &mut check.gates {
            let deadline =
                evidence_deadline(self.plan.deadlines.evidence, self.plan.gate(watch.gate));
            watch.anchor(at, deadline);
            // Data is due counted from when the weight came into force, but a new check gets one interval at least.
            let gate = self.plan.gate(watch.gate);
            watch.data_due = Some(after(from, deadline).max(after(at, gate.initial_delay)));
            watch.forget();
        }
    }

    /// Asks for the measurements that are due; a question that nobody answered counts as an error.
    pub(super) fn measure_due(&mut self, check: &mut Check, watch: Watch) -> bool {
        let mut changed = false;
        for one in &mut check.gates {
            changed |= self.measure_one(one, watch, check.since);
        }
        changed
    }

    pub(super) fn measure_one(
        &mut self,
        one: &mut GateWatch,
        watch: Watch,
        since: Option<Timestamp>,
    ) -> bool {
        let plan = self.plan;
        let gate = plan.gate(one.gate);
        if let Some((asked, _)) = one.asked {
            if self.at < after(asked, NO_ANSWER) {
                return false;
            }
            let measurement = Measurement {
                at: self.at,
                phase: Phase::Error,
                value: None,
                message: format!("{}: no answer within {}", gate.name, human(NO_ANSWER)),
                no_data: false,
                requests: None,
            };
            self.count(one, watch, measurement);
            return true;
        }
        let due = match watch {
            Watch::Guard => one.next_at(&guard_gate(gate)),
            Watch::Node(_) => one.next_at(gate),
        };
        if due.is_none_or(|due| self.at < due) {
            return false;
        }
        // Without traffic of our own the past counts too: the gate's window says how far.
        let since = since.unwrap_or_else(|| before(self.at, gate.window));
        one.asked = Some((self.at, since));
        self.out.push(Command::Measure {
            gate: one.gate,
            watch,
            since,
        });
        true
    }

    pub(super) fn count(
        &self,
        one: &mut GateWatch,
        watch: Watch,
        measurement: Measurement,
    ) -> Verdict {
        let gate = self.plan.gate(one.gate);
        match watch {
            Watch::Guard => one.record(&guard_gate(gate), measurement),
            Watch::Node(_) => one.record(gate, measurement),
        }
    }

    /// A measurement came in.
    pub(super) fn measured(&mut self, gate: GateIndex, watch: Watch, measurement: Measurement) {
        // One from the future would put the next off, for as long as it is ahead.
        let measurement = Measurement {
            at: measurement.at.min(self.at),
            ..measurement
        };
        match watch {
            Watch::Guard => self.guard_measured(gate, measurement),
            Watch::Node(node) => {
                let Some(state) = self.s.nodes.get_mut(node.0) else {
                    return;
                };
                let Some(mut check) = state.check.take() else {
                    return;
                };
                let running = state.life == Life::Running;
                if running && let Some(one) = check.gates.iter_mut().find(|one| one.gate == gate) {
                    if one.stale > 0 {
                        one.stale -= 1;
                    } else if one.asked.is_some() {
                        self.count(one, watch, measurement);
                    }
                }
                self.s.nodes[node.0].check = Some(check);
            }
        }
    }

    /// What the check says now.
    fn look(&self, check: &mut Check, recheck: bool) -> Says {
        let verdicts: Vec<(GateIndex, Verdict)> = check
            .gates
            .iter()
            .map(|one| (one.gate, one.tally.verdict(self.plan.gate(one.gate))))
            .collect();
        if let Some(one) = check
            .gates
            .iter()
            .zip(&verdicts)
            .find(|(_, (_, verdict))| *verdict == Verdict::Fail)
        {
            return Says::Failed(self.gate_sentence(one.0));
        }
        let doubt = |verdict: Verdict| matches!(verdict, Verdict::Inconclusive | Verdict::Error);
        if check.blocked {
            for (one, (_, verdict)) in check.gates.iter_mut().zip(&verdicts) {
                if doubt(*verdict) {
                    one.forget();
                }
            }
            let good = check.gates.iter().all(|one| {
                one.last
                    .as_ref()
                    .is_some_and(|last| last.phase == Phase::Pass)
                    && one.passed
            });
            return if good { Says::Recovered } else { Says::GoOn };
        }
        if let Some((one, _)) = check
            .gates
            .iter()
            .zip(&verdicts)
            .find(|(_, (_, verdict))| doubt(*verdict))
        {
            return Says::Undecided(self.gate_sentence(one));
        }
        if recheck && check.gates.iter().all(|one| one.passed) {
            return Says::Passed;
        }
        let over = match check.until {
            Some(until) => {
                let waiting = check.gates.iter().any(|one| {
                    one.asked.is_some()
                        || (one.tally.passed() == 0
                            && one.data_due.is_some_and(|due| self.at < due)
                            && one.pending())
                });
                self.at >= until && !waiting
            }
            None => verdicts
                .iter()
                .all(|(_, verdict)| *verdict != Verdict::Running),
        };
        if !over {
            return Says::GoOn;
        }
        let concluded = check
            .gates
            .iter()
            .map(|one| one.tally.conclude(self.plan.gate(one.gate)));
        match worst(concluded) {
            Verdict::Pass => self.passes_if_fresh(check),
            Verdict::Fail => Says::Failed("a gate failed".to_owned()),
            _ => {
                let undecided = check
                    .gates
                    .iter()
                    .find(|one| one.tally.conclude(self.plan.gate(one.gate)) != Verdict::Pass);
                Says::Undecided(undecided.map_or_else(
                    || "no gate decided".to_owned(),
                    |one| self.gate_sentence(one),
                ))
            }
        }
    }

    /// A check passes on evidence of its end only: absence of evidence, or a failure within a limit, as the last thing
    /// that is known of a gate is waited out, and so is a gate that had decided long before.
    fn passes_if_fresh(&self, check: &mut Check) -> Says {
        let deadline =
            |gate: GateIndex| evidence_deadline(self.plan.deadlines.evidence, self.plan.gate(gate));
        let mut longest = None;
        for one in &mut check.gates {
            let gate = self.plan.gate(one.gate);
            one.again = !one.is_fresh(gate, self.at, deadline(one.gate));
            if one.again {
                longest = longest.max(Some(gate.interval.saturating_add(deadline(one.gate))));
            }
        }
        let Some(longest) = longest else {
            return Says::Passed;
        };
        let until = *check.fresh_until.get_or_insert(after(self.at, longest));
        if self.at < until {
            return Says::GoOn;
        }
        let stale = check.gates.iter().find(|one| one.again);
        Says::Undecided(stale.map_or_else(
            || "no gate decided".to_owned(),
            |one| {
                let name = &self.plan.gate(one.gate).name;
                let last = self.gate_sentence(one);
                format!("{name} had no good evidence at the end of the check; the last: {last}")
            },
        ))
    }

    /// What a gate says, with the value and the limit.
    pub(super) fn gate_sentence(&self, one: &GateWatch) -> String {
        let weight = self.s.traffic.desired;
        let place = if weight.is_zero() {
            String::new()
        } else {
            format!(" (at {weight})")
        };
        match &one.last {
            // A measurement names its gate itself.
            Some(last) => format!("{}{place}", last.message),
            None => format!("{}: never measured{place}", self.plan.gate(one.gate).name),
        }
    }

    pub(super) fn check_passed(&mut self, node: NodeIndex) {
        if self.s.nodes[node.0].recheck {
            self.rechecked(node, false, None);
            return;
        }
        let mut outputs = std::collections::BTreeMap::new();
        if let Some(check) = &self.s.nodes[node.0].check {
            for one in &check.gates {
                let value = one
                    .last
                    .as_ref()
                    .and_then(|last| last.value)
                    .map_or(Value::Null, Value::from);
                outputs.insert(self.plan.gate(one.gate).name.clone(), value);
            }
            if !self.s.traffic.desired.is_zero()
                && check.since.is_some()
                && check.since >= self.s.traffic.since
            {
                self.s.traffic.evidence = Some(Evidence::Passed);
            }
        }
        self.s.nodes[node.0].outputs = outputs;
        self.finish_attempt(node, End::Completed, None);
    }

    /// A check ended without a decision: another attempt, or the run is blocked and it goes on being measured.
    pub(super) fn check_undecided(&mut self, node: NodeIndex, why: String) {
        self.inconclusive(node, why);
        let state = &mut self.s.nodes[node.0];
        if state.life == Life::Stuck {
            state.life = Life::Running;
            if let Some(check) = state.check.as_mut() {
                check.blocked = true;
                for one in &mut check.gates {
                    one.passed = false;
                    one.forget();
                }
            }
        }
    }
}

fn new_check(analyze: &Analyze) -> Check {
    Check {
        gates: analyze
            .gates
            .iter()
            .map(|&gate| GateWatch::new(gate))
            .collect(),
        started: None,
        since: None,
        until: None,
        blocked: false,
        fresh_until: None,
    }
}

/// A gate as a guard: it is watched for as long as the canary has traffic, whatever its count.
pub(super) fn guard_gate(gate: &Gate) -> Gate {
    Gate {
        count: None,
        consecutive_success_limit: 0,
        ..gate.clone()
    }
}
