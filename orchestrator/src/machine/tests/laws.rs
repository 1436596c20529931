//! The invariants, watched from outside: from events and commands alone.

use std::collections::BTreeMap;

use canary_analyzer::gate::Phase;
use canary_traffic::Weight;
use jiff::Timestamp;
use proptest::prelude::TestCaseError;
use proptest::{prop_assert, prop_assert_eq};

use crate::machine::{Command, Event, NodeStatus, OperatorAction, Outcome, Topic, Watch, report};
use crate::plan::{Action, GateIndex, NodeIndex, Plan};
use crate::scenario::simulation::{Moment, Simulation, replay};
use crate::scenario::trace::trace;
use crate::scenario::world::World;

/// What an outsider knows of a run.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Outsider {
    /// The weight that was commanded last.
    commanded: Weight,
    /// The last weight known to be in force.
    in_force: Option<Weight>,
    writes: BTreeMap<u64, Option<Weight>>,
    last_question: u64,
    /// The last write of 0 was read back.
    off: bool,
    moved: bool,
    failing: bool,
    /// Something passed, asked for after the weight came into force, or a person decided.
    evidence: bool,
    asked: BTreeMap<(GateIndex, Watch), Timestamp>,
    stale: BTreeMap<(GateIndex, Watch), u32>,
    started: BTreeMap<NodeIndex, bool>,
    completed: BTreeMap<NodeIndex, bool>,
    retried: bool,
    ended: Option<Outcome>,
    /// When the machine wanted to be asked again.
    due: Option<Timestamp>,
}

impl Outsider {
    fn anchor(&mut self, at: Timestamp) {
        self.evidence = false;
        for (key, asked) in std::mem::take(&mut self.asked) {
            // What was asked two minutes ago will not be answered any more.
            if at.duration_since(asked).as_secs() < 120 {
                *self.stale.entry(key).or_default() += 1;
            }
        }
        self.started.clear();
    }

    /// The driver came much later than it was asked to: nothing was watched, nothing is known.
    fn gap(&mut self, moment: &Moment) {
        let late = |due: &Timestamp| moment.at.duration_since(*due).as_secs() > 5;
        if let Some(due) = self.due.filter(late)
            && moment.event != Event::Resumed
        {
            self.anchor(due);
            self.in_force = None;
        }
        self.due = moment.wake.as_ref().map(|wake| wake.at);
    }

    fn event(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::WeightObserved {
                command,
                weight,
                pending: None,
                ..
            } if *command == self.last_question => {
                let write = self.writes.get(command).copied().flatten();
                if self.in_force != Some(*weight) || write.is_some() {
                    if *weight == self.commanded {
                        self.anchor(at);
                    } else {
                        // Somebody else's: nothing that was seen speaks of it.
                        self.evidence = false;
                    }
                }
                self.in_force = Some(*weight);
                self.off = weight.is_zero();
                if !weight.is_zero() {
                    self.moved = true;
                }
            }
            Event::Resumed => {
                self.asked.clear();
                self.stale.clear();
                self.anchor(at);
                self.in_force = None;
                self.off = false;
            }
            Event::Measured {
                gate,
                watch,
                measurement,
            } => {
                let key = (*gate, *watch);
                if let Some(stale) = self.stale.get_mut(&key)
                    && *stale > 0
                {
                    *stale -= 1;
                } else if self.asked.remove(&key).is_some() {
                    self.evidence |= measurement.phase == Phase::Pass;
                }
            }
            Event::NodeFinished { node, result, .. } => {
                let done = result.status == NodeStatus::Completed;
                self.evidence |= done && self.started.contains_key(node);
                if done {
                    self.completed.insert(*node, true);
                }
            }
            Event::Operator {
                action: OperatorAction::Promote { .. },
                ..
            } => self.evidence = true,
            Event::Operator {
                action: OperatorAction::Retry,
                ..
            } => self.retried = true,
            _ => {}
        }
    }

    fn commands(&mut self, plan: &Plan, moment: &Moment) -> Result<(), TestCaseError> {
        if let Event::Operator {
            action: OperatorAction::Abort { .. },
            ..
        } = &moment.event
        {
            // Over is over, but for a held run.
            let over = self.ended.is_some_and(|outcome| outcome != Outcome::Held);
            if !over && self.moved && !self.off {
                prop_assert!(
                    moment
                        .commands
                        .first()
                        .is_some_and(Command::takes_traffic_off),
                    "abort must take traffic off first: {moment:?}"
                );
            }
        }
        if let Some(last) = moment.commands.iter().rposition(Command::takes_traffic_off) {
            prop_assert!(
                moment.commands[..last]
                    .iter()
                    .all(Command::takes_traffic_off),
                "{moment:?}"
            );
        }
        for command in &moment.commands {
            match command {
                Command::SetWeight { command, weight } => {
                    prop_assert!(
                        !self.failing || weight.is_zero(),
                        "the weight rose after a failure: {moment:?}"
                    );
                    let from = self.in_force.unwrap_or(self.commanded).max(Weight::ZERO);
                    if *weight > from && !from.is_zero() && *weight > self.commanded {
                        prop_assert!(
                            self.evidence,
                            "{from} -> {weight} without fresh evidence: {moment:?}"
                        );
                        prop_assert!(
                            self.in_force.is_some(),
                            "{from} -> {weight} on an unknown weight: {moment:?}"
                        );
                    }
                    self.writes.insert(*command, Some(*weight));
                    self.last_question = *command;
                    self.commanded = *weight;
                    self.moved |= !weight.is_zero();
                    self.off = false;
                }
                Command::ObserveWeight { command } => {
                    self.writes.insert(*command, None);
                    self.last_question = *command;
                }
                // Asked again: the question before will not be answered any more.
                Command::Measure { gate, watch, .. } => {
                    self.asked.insert((*gate, *watch), moment.at);
                }
                Command::StartNode { node, .. } | Command::Workload { node, .. } => {
                    let again = self.completed.contains_key(node);
                    let loops = plan.edges.iter().any(|edge| edge.back);
                    let checks = matches!(plan.node(*node).action, Action::Measure(_));
                    prop_assert!(
                        !again
                            || loops
                            || checks
                            || self.retried
                            || plan.node(*node).retry.max_retries > 0,
                        "{} was seen to finish and starts again: {moment:?}",
                        plan.node(*node).id
                    );
                    self.started.insert(*node, true);
                }
                Command::Notify(news) if news.topic == Topic::Failing => self.failing = true,
                Command::Finish { outcome } => self.ended = Some(*outcome),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Runs a simulation to its end, or to that time, and holds every law at every event.
pub(super) fn watch<W: World>(
    plan: &Plan,
    simulation: &mut Simulation<'_, W>,
    end: Timestamp,
) -> Result<(), TestCaseError> {
    let mut outsider = Outsider::default();
    let mut seen = 0;
    loop {
        while seen < simulation.moments.len() {
            let moment = simulation.moments[seen].clone();
            outsider.gap(&moment);
            outsider.event(moment.at, &moment.event);
            if let Err(error) = outsider.commands(plan, &moment) {
                let trace = trace(plan, &simulation.moments);
                return Err(TestCaseError::fail(format!("{error}\n{trace}")));
            }
            if let Some(wake) = &moment.wake {
                prop_assert!(wake.at >= moment.at);
            }
            seen += 1;
        }
        let now = simulation.now();
        let pauses = simulation
            .next_at()
            .is_none_or(|next| next.duration_since(now).as_millis() > 500);
        if pauses && !simulation.is_down() && simulation.state().outcome().is_none() {
            let told = report(plan, simulation.state(), now);
            let vague = told.waits.iter().any(|wait| wait.what == "the next event");
            prop_assert!(
                !vague && !told.waits.is_empty(),
                "no reason for waiting:\n{:?}\n{}",
                simulation.state().traffic,
                trace(plan, &simulation.moments)
            );
            if simulation.next_at().is_none() {
                let hangs = !simulation.state().running().is_empty();
                prop_assert!(
                    hangs || simulation.state().needs_person(),
                    "stuck without a person:\n{}",
                    trace(plan, &simulation.moments)
                );
            }
        }
        if simulation.state().outcome().is_some()
            || simulation.next_at().is_none_or(|at| at > end)
            || !simulation.advance()
        {
            break;
        }
    }
    prop_assert!(
        simulation.moments.len() < crate::scenario::simulation::MOST_EVENTS,
        "too many events:\n{}",
        trace(plan, &simulation.moments[simulation.moments.len() - 40..])
    );
    prop_assert_eq!(&replay(plan, &simulation.moments), simulation.state());
    match simulation.state().outcome() {
        // A person may have taken somebody else's 100 % as it is.
        Some(Outcome::Promoted) => prop_assert!(
            outsider.commanded == Weight::FULL || outsider.in_force == Some(Weight::FULL),
            "promoted with {}:\n{}",
            outsider.commanded,
            trace(plan, &simulation.moments)
        ),
        Some(Outcome::Held) => {}
        Some(_) => prop_assert!(
            outsider.commanded.is_zero(),
            "ended with {}:\n{}",
            outsider.commanded,
            trace(plan, &simulation.moments)
        ),
        None => {
            let hangs = !simulation.state().running().is_empty();
            prop_assert!(
                hangs || simulation.state().needs_person() || simulation.is_down(),
                "no end and nobody to ask:\n{}",
                trace(plan, &simulation.moments)
            );
        }
    }
    Ok(())
}
