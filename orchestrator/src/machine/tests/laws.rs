//! The invariants, watched from outside: from events and commands alone.

use std::collections::{BTreeMap, BTreeSet};

use canary_analyzer::gate::Phase;
use canary_traffic::Weight;
use jiff::Timestamp;
use proptest::prelude::TestCaseError;
use proptest::{prop_assert, prop_assert_eq};

use crate::machine::{Command, Event, NodeStatus, OperatorAction, Outcome, Topic, Watch, report};
use crate::plan::{Action, EdgeMode, GateIndex, NodeIndex, OnFailure, Plan, SwitchCase};
use crate::scenario::simulation::{Moment, Simulation, replay};
use crate::scenario::trace::trace;
use crate::scenario::world::World;

/// What an outsider knows of a run.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Outsider {
    /// The weight that was commanded last.
    commanded: Weight,
    /// It was seen in force since then.
    landed: bool,
    /// The last weight known to be in force.
    in_force: Option<Weight>,
    writes: BTreeMap<u64, Option<Weight>>,
    last_question: u64,
    /// The last write of 0 was read back.
    off: bool,
    /// The cost is being counted: nothing else is left to do.
    counting: bool,
    moved: bool,
    failing: bool,
    /// A guard or all gates of a check passed, asked for after the weight came into force, or a query that an edge judges
    /// answered, or a person decided.
    evidence: bool,
    /// Gates of checks that passed since then.
    passed: BTreeSet<(NodeIndex, GateIndex)>,
    /// A person decided about the weight in this very moment.
    person: bool,
    /// A person decided about it, and no weight that was written since is in force: that outlives a crash.
    decided: bool,
    /// The weight was seen at, and who saw it.
    seen_at: Option<Timestamp>,
    /// Since when 100 % is in force.
    full_since: Option<Timestamp>,
    /// A guard passed since then.
    full_judged: bool,
    /// 100 % was watched for as long as the bake, and the workload's turn came.
    baked: bool,
    /// A person let the bake end, or took a weight as it is.
    hurried: bool,
    paused: bool,
    /// When the run began to go back.
    failing_at: Option<Timestamp>,
    /// Tasks that began and were not seen to end; after a crash they are in doubt.
    open: BTreeSet<NodeIndex>,
    doubtful: BTreeSet<NodeIndex>,
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
        self.passed.clear();
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
            self.full_since = None;
        }
        self.due = moment.wake.as_ref().map(|wake| wake.at);
    }

    fn event(&mut self, plan: &Plan, at: Timestamp, event: &Event) {
        self.person = false;
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
                if write.is_some() && *weight == self.commanded {
                    self.decided = false;
                }
                self.landed |= *weight == self.commanded;
                self.in_force = Some(*weight);
                self.seen_at = Some(at);
                if *weight != Weight::FULL {
                    self.full_since = None;
                } else if write.is_some() || self.full_since.is_none() {
                    self.full_since = Some(at);
                    self.full_judged = false;
                }
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
                self.full_since = None;
                // Whoever takes a run over looks again, but where its end was decided before.
                self.off &= self.counting;
                self.doubtful.append(&mut self.open);
            }
            Event::NodeStarted { node, .. } => {
                if matches!(plan.nodes[node.0].action, Action::Task(_)) {
                    self.open.insert(*node);
                }
            }
            Event::NodeVerified {
                node,
                finished: Ok(_),
                ..
            } => {
                self.doubtful.remove(node);
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
                } else if self.asked.remove(&key).is_some() && measurement.phase == Phase::Pass {
                    self.evidence |= match watch {
                        Watch::Guard => {
                            self.full_judged = true;
                            true
                        }
                        // One gate of a check is not the check.
                        Watch::Node(node) => {
                            self.passed.insert((*node, *gate));
                            let Action::Analyze(check) = &plan.nodes[node.0].action else {
                                return;
                            };
                            check
                                .gates
                                .iter()
                                .all(|gate| self.passed.contains(&(*node, *gate)))
                        }
                    };
                }
            }
            Event::NodeFinished { node, result, .. } => {
                let done = result.status == NodeStatus::Completed;
                self.open.remove(node);
                // An answer judges nothing by itself: an edge that reads it does.
                let judged = plan.edges.iter().any(|edge| {
                    edge.from == *node
                        && matches!(
                            edge.mode,
                            EdgeMode::Conditional(_) | EdgeMode::Switch(SwitchCase::When(_))
                        )
                });
                self.evidence |= done && judged && self.started.contains_key(node);
                if done {
                    self.completed.insert(*node, true);
                }
            }
            Event::Operator {
                action: OperatorAction::Promote { .. },
                ..
            } => {
                // To go on after a pause is no word about the canary; whether there was also a block cannot be seen here.
                self.evidence = true;
                self.person = true;
                self.decided = true;
                self.hurried = true;
                self.paused = false;
                self.doubtful.clear();
            }
            Event::Operator {
                action: OperatorAction::Retry,
                ..
            } => {
                self.retried = true;
                self.person = true;
                self.doubtful.clear();
            }
            Event::Operator {
                action: OperatorAction::Pause,
                ..
            } => self.paused = self.failing_at.is_none(),
            Event::Operator {
                action: OperatorAction::Resume,
                ..
            } => self.paused = false,
            _ => {}
        }
    }

    /// 100 % was watched, and judged where there is a guard, for as long as the bake; or a person said that it need not be.
    fn is_baked(&self, plan: &Plan, at: Timestamp) -> bool {
        let watched = self
            .full_since
            .is_some_and(|since| at.duration_since(since).unsigned_abs() >= plan.bake);
        self.hurried || watched && (self.full_judged || plan.guards.is_empty())
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
                    let from = self.in_force.unwrap_or(self.commanded);
                    if *weight > from {
                        // Also back to what this run had set: somebody else took it down, and only a person overrules that.
                        prop_assert!(
                            from.is_zero() && (self.commanded.is_zero() || !self.landed)
                                || self.evidence
                                || self.person
                                || self.decided,
                            "{from} -> {weight} without fresh evidence: {moment:?}"
                        );
                        prop_assert!(
                            self.in_force.is_some() || self.person,
                            "{from} -> {weight} on an unknown weight: {moment:?}"
                        );
                        prop_assert!(
                            !self.paused || self.person,
                            "{from} -> {weight} while the run is paused: {moment:?}"
                        );
                        prop_assert!(
                            self.person
                                || self.seen_at.is_some_and(|seen| {
                                    moment.at.duration_since(seen).as_secs() <= 120
                                }),
                            "{from} -> {weight} on a weight that was not looked at: {moment:?}"
                        );
                    }
                    self.writes.insert(*command, Some(*weight));
                    // What takes traffic off is carried out first, whatever was asked first.
                    self.last_question = self.last_question.max(*command);
                    self.commanded = *weight;
                    self.landed = false;
                    self.moved |= !weight.is_zero();
                    self.off = false;
                }
                Command::CountCost { .. } => self.counting = true,
                Command::ObserveWeight { command } => {
                    self.writes.insert(*command, None);
                    // What takes traffic off is carried out first, whatever was asked first.
                    self.last_question = self.last_question.max(*command);
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
                    if matches!(plan.node(*node).action, Action::Promote) {
                        prop_assert!(
                            self.baked || self.is_baked(plan, moment.at),
                            "the workload is promoted without a bake: {moment:?}"
                        );
                        self.baked = true;
                    }
                    let name = &plan.node(*node).id;
                    prop_assert!(
                        !self.paused || self.failing || self.person,
                        "{name} starts while the run is paused: {moment:?}"
                    );
                    prop_assert!(
                        plan.node(*node).idempotent
                            || self.failing
                            || !self.doubtful.contains(node),
                        "{name} is in doubt and runs again: {moment:?}"
                    );
                    // Weight 0 comes before the way back, for as long as that can be hoped for.
                    let patient = self
                        .failing_at
                        .is_some_and(|since| moment.at.duration_since(since).as_secs() < 10);
                    prop_assert!(
                        !patient || !self.moved || self.off || plan.on_failure == OnFailure::Hold,
                        "{name} starts before traffic is off: {moment:?}"
                    );
                }
                Command::Notify(news) if news.topic == Topic::Failing => {
                    let hold = plan.on_failure == OnFailure::Hold;
                    prop_assert!(
                        hold || !self.moved
                            || self.off
                            || moment
                                .commands
                                .first()
                                .is_some_and(Command::takes_traffic_off),
                        "a failure must take traffic off first: {moment:?}"
                    );
                    self.failing = true;
                    self.failing_at = Some(moment.at);
                    self.paused = false;
                }
                // What it came to is decided, whether or not its end is seen.
                Command::CancelNode { node, .. } => {
                    self.open.remove(node);
                }
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
            outsider.event(plan, moment.at, &moment.event);
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
        Some(Outcome::Promoted) => {
            prop_assert!(
                outsider.commanded == Weight::FULL || outsider.in_force == Some(Weight::FULL),
                "promoted with {}:\n{}",
                outsider.commanded,
                trace(plan, &simulation.moments)
            );
            prop_assert!(
                outsider.baked || outsider.is_baked(plan, simulation.now()),
                "promoted without a bake:\n{}",
                trace(plan, &simulation.moments)
            );
        }
        Some(Outcome::Held) => prop_assert!(
            plan.on_failure == OnFailure::Hold,
            "held, and nobody asked for that:\n{}",
            trace(plan, &simulation.moments)
        ),
        // At weight 0, and seen to be: what was only written may not have arrived.
        Some(Outcome::RolledBack { .. } | Outcome::Aborted { .. }) => prop_assert!(
            outsider.commanded.is_zero() && (outsider.off || !outsider.moved),
            "ended with {} and off: {}:\n{}",
            outsider.commanded,
            outsider.off,
            trace(plan, &simulation.moments)
        ),
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
    if simulation.state().outcome() == Some(Outcome::Held) {
        abort_what_was_held(plan, simulation, &outsider)?;
    }
    Ok(())
}

/// A run that ended with its weight held is aborted like any other.
fn abort_what_was_held<W: World>(
    plan: &Plan,
    simulation: &mut Simulation<'_, W>,
    outsider: &Outsider,
) -> Result<(), TestCaseError> {
    simulation.feed(Event::Operator {
        action: OperatorAction::Abort { signal: None },
        by: "ann".to_owned(),
        reason: None,
    });
    let first = simulation
        .moments
        .last()
        .and_then(|moment| moment.commands.first());
    prop_assert!(
        !outsider.moved || outsider.off || first.is_some_and(Command::takes_traffic_off),
        "an abort of what was held must take traffic off first:\n{}",
        trace(plan, &simulation.moments)
    );
    while simulation.state().outcome().is_none() && simulation.advance() {}
    // A node of the way back may hang, or a person may be needed.
    let waits = simulation.state().outcome().is_none()
        && (!simulation.state().running().is_empty()
            || simulation.state().needs_person()
            || simulation.is_down());
    prop_assert!(
        waits
            || matches!(
                simulation.state().outcome(),
                Some(Outcome::Aborted { .. } | Outcome::Failed | Outcome::Held)
            ),
        "an abort of what was held ends as {:?}:\n{}",
        simulation.state().outcome(),
        trace(plan, &simulation.moments)
    );
    Ok(())
}
