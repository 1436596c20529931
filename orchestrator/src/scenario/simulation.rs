//! A run without a world: a [`World`] says how everything would answer, and a virtual clock jumps from event to event.

use std::collections::BTreeMap;
use std::time::Duration;

use canary_traffic::Weight;
use jiff::Timestamp;

pub use super::world::{RouterAnswer, World};
use crate::machine::{
    Command, Decision, Event, NodeResult, Notification, OperatorAction, ProcessMark, State, Wake,
    step,
};
use crate::plan::{NodeIndex, Plan};

/// Events that one simulation takes in at most; a run that needs more does not end.
pub const MOST_EVENTS: usize = 20_000;

/// What happens whatever the run does.
#[derive(Debug, Clone)]
pub enum Happening {
    /// Somebody asks for something.
    Operator(OperatorAction, String, Option<String>),
    /// Somebody else sets the weight.
    Foreign(Weight, String),
    /// The driver dies, and another takes over after so long.
    Crash(Duration),
    /// The driver is stopped for so long, or the machine sleeps: what comes meanwhile is seen after it.
    Stop(Duration),
}

/// One line of what happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What came in.
    pub event: Event,
    /// What followed.
    pub commands: Vec<Command>,
    /// When the machine wanted to be asked again.
    pub wake: Option<Wake>,
}

/// Something that is under way.
#[derive(Debug, Clone)]
enum Due {
    /// An answer to a command: lost in a crash.
    Answer(Event),
    /// The same of the router: it does what it was told when it is due, whatever became of who told it.
    Router {
        command: u64,
        write: Option<Weight>,
        answer: Result<RouterAnswer, String>,
    },
    /// Whatever the run does.
    Happens(Happening),
    /// Another driver takes over.
    Resume,
}

/// A run on a virtual clock.
#[derive(Debug)]
pub struct Simulation<'p, W> {
    plan: &'p Plan,
    /// How everything answers.
    pub world: W,
    state: State,
    now: Timestamp,
    due: BTreeMap<(Timestamp, u64), Due>,
    sequence: u64,
    wake: Option<Wake>,
    down: bool,
    /// The router's weight, and who set it if it was not us.
    weight: Weight,
    foreign: Option<String>,
    /// Everything that happened.
    pub moments: Vec<Moment>,
    /// The driver dies after it took in this many events, before it carries anything out; and is down for so long.
    pub crash_after: Option<(usize, Duration)>,
    /// What becomes of the state between two drivers, where it is not replayed from a journal.
    pub through: Option<fn(&Plan, State) -> State>,
}

impl<'p, W: World> Simulation<'p, W> {
    /// A run that has not started.
    pub fn new(plan: &'p Plan, world: W, start: Timestamp, weight: Weight) -> Self {
        Self {
            plan,
            world,
            state: State::new(plan),
            now: start,
            due: BTreeMap::new(),
            sequence: 0,
            wake: None,
            down: false,
            weight,
            foreign: None,
            moments: Vec::new(),
            crash_after: None,
            through: None,
        }
    }

    /// The state of the run now.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The router's weight now.
    pub fn weight(&self) -> Weight {
        self.weight
    }

    /// Nobody drives the run now.
    pub fn is_down(&self) -> bool {
        self.down
    }

    /// Something will happen then, whatever the run does.
    pub fn happens(&mut self, at: Timestamp, what: Happening) {
        self.put(at, Due::Happens(what));
    }

    /// Starts the run.
    pub fn start(&mut self) {
        self.feed(Event::Started);
    }

    fn put(&mut self, at: Timestamp, due: Due) {
        self.sequence += 1;
        self.due.insert((at.max(self.now), self.sequence), due);
    }

    /// When something happens next.
    pub fn next_at(&self) -> Option<Timestamp> {
        let due = self.due.keys().next().map(|(at, _)| *at);
        let wake = if self.down {
            None
        } else {
            self.wake.as_ref().map(|wake| wake.at.max(self.now))
        };
        match (due, wake) {
            (Some(due), Some(wake)) => Some(due.min(wake)),
            (due, wake) => due.or(wake),
        }
    }

    /// Lets the next thing happen; false if nothing will, or too much has.
    pub fn advance(&mut self) -> bool {
        let Some(at) = self.next_at() else {
            return false;
        };
        if self.moments.len() >= MOST_EVENTS {
            return false;
        }
        self.now = at;
        let first = self
            .due
            .keys()
            .next()
            .copied()
            .filter(|(due, _)| *due <= at);
        match first.and_then(|key| self.due.remove(&key)) {
            Some(due) => self.happen(due),
            None => self.feed(Event::Timer),
        }
        true
    }

    /// Goes on until the run has ended, nothing happens any more, or that time has come.
    pub fn run_until(&mut self, end: Timestamp) {
        while self.state.outcome().is_none() && self.next_at().is_some_and(|at| at <= end) {
            if !self.advance() {
                return;
            }
        }
        if self.state.outcome().is_none() {
            self.now = self.now.max(end);
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Answer(event) => self.feed(event),
            Due::Router {
                command,
                write,
                answer,
            } => {
                let event = match answer {
                    Ok(said) => {
                        if let Some(weight) = write {
                            self.weight = weight;
                            self.foreign = None;
                        }
                        Event::WeightObserved {
                            command,
                            weight: self.weight,
                            pending: said.pending,
                            foreign: self.foreign.clone(),
                            seen: said.seen,
                        }
                    }
                    Err(error) => Event::WeightFailed { command, error },
                };
                if !self.down {
                    self.feed(event);
                }
            }
            Due::Happens(Happening::Operator(action, by, reason)) => {
                if !self.down {
                    self.feed(Event::Operator { action, by, reason });
                }
            }
            Due::Happens(Happening::Foreign(weight, by)) => {
                self.weight = weight;
                self.foreign = Some(by);
            }
            Due::Happens(Happening::Crash(down)) => self.crash(down),
            Due::Happens(Happening::Stop(length)) => self.stop(length),
            Due::Resume => {
                self.down = false;
                self.feed(Event::Resumed);
            }
        }
    }

    fn stop(&mut self, length: Duration) {
        let end = add(self.now, length);
        let meanwhile = self.due.split_off(&(self.now, 0));
        for ((at, sequence), due) in meanwhile {
            self.due.insert((at.max(end), sequence), due);
        }
        if let Some(wake) = &mut self.wake {
            wake.at = wake.at.max(end);
        }
    }

    /// The driver dies: answers to it are lost, the run's journal stays.
    fn crash(&mut self, down: Duration) {
        if self.down || self.state.outcome().is_some() {
            return;
        }
        self.down = true;
        self.wake = None;
        self.due.retain(|_, due| !matches!(due, Due::Answer(_)));
        self.state = replay(self.plan, &self.moments);
        if let Some(through) = self.through {
            self.state = through(self.plan, self.state.clone());
        }
        let back = add(self.now, down);
        self.put(back, Due::Resume);
    }

    /// Feeds one event, and carries out what follows.
    pub fn feed(&mut self, event: Event) {
        let state = self.state.clone();
        let Decision {
            state,
            commands,
            wake,
        } = step(self.plan, state, self.now, event.clone());
        self.state = state;
        self.wake.clone_from(&wake);
        self.moments.push(Moment {
            at: self.now,
            event,
            commands: commands.clone(),
            wake,
        });
        if let Some((after, down)) = self.crash_after
            && self.moments.len() >= after
        {
            self.crash_after = None;
            // What takes traffic off is carried out before it is journaled.
            for command in commands
                .iter()
                .filter(|command| command.takes_traffic_off())
            {
                self.carry_out(command);
            }
            self.crash(down);
            return;
        }
        for command in &commands {
            self.carry_out(command);
        }
    }

    /// `event` will come after so long, if nobody dies meanwhile.
    fn answer(&mut self, after: Duration, event: Event) {
        self.put(add(self.now, after), Due::Answer(event));
    }

    /// The same for the end of an attempt; none if it hangs.
    fn finish(&mut self, node: NodeIndex, attempt: u32, answer: Option<(Duration, NodeResult)>) {
        if let Some((after, result)) = answer {
            let event = Event::NodeFinished {
                node,
                attempt,
                result,
            };
            self.answer(after, event);
        }
    }

    fn carry_out(&mut self, command: &Command) {
        let now = self.now;
        match *command {
            Command::StartNode { node, attempt, .. } => {
                let process = Some(ProcessMark {
                    pid: u32::try_from(self.sequence).unwrap_or(1),
                    start_ticks: 1,
                    boot: "simulated".to_owned(),
                    tag: None,
                });
                let started = Event::NodeStarted {
                    node,
                    attempt,
                    process,
                };
                self.answer(Duration::ZERO, started);
                let answer = self.world.node(node, attempt, now);
                self.finish(node, attempt, answer);
            }
            Command::CancelNode { node, attempt, .. } => {
                let answer = self.world.cancel(node, attempt, now);
                self.finish(node, attempt, answer);
            }
            Command::Workload { node, attempt } => {
                let answer = self.world.workload(node, attempt, now);
                self.finish(node, attempt, answer);
            }
            Command::VerifyNode { node, attempt } => {
                if let Some((after, finished)) = self.world.verify(node, attempt, now) {
                    let event = Event::NodeVerified {
                        node,
                        attempt,
                        finished,
                    };
                    self.answer(after, event);
                }
            }
            Command::Measure { gate, watch, since } => {
                let answer = self.world.measure(gate, watch, since, now, self.weight);
                if let Some((after, mut measurement)) = answer {
                    measurement.at = add(now, after);
                    let event = Event::Measured {
                        gate,
                        watch,
                        measurement,
                    };
                    self.answer(after, event);
                }
            }
            Command::SetWeight { command, weight } => self.ask_router(command, Some(weight)),
            Command::ObserveWeight { command } => self.ask_router(command, None),
            Command::CountCost { .. } => {
                let cost = self.world.cost(now);
                self.answer(Duration::ZERO, Event::CostCounted { cost });
            }
            Command::EndProcess { .. } | Command::Notify(_) | Command::Finish { .. } => {}
        }
    }

    fn ask_router(&mut self, command: u64, write: Option<Weight>) {
        if let Some((after, answer)) = self.world.router(write, self.now) {
            // A driver writes one after the other: what was asked before is done before.
            let before = self
                .due
                .iter()
                .filter(|(_, due)| matches!(due, Due::Router { .. }))
                .map(|((at, _), _)| *at)
                .max();
            let at = add(self.now, after).max(before.unwrap_or(self.now));
            self.put(
                at,
                Due::Router {
                    command,
                    write,
                    answer,
                },
            );
        }
    }

    /// Notifications so far.
    pub fn notifications(&self) -> impl Iterator<Item = &Notification> {
        self.moments
            .iter()
            .flat_map(|moment| &moment.commands)
            .filter_map(|command| match command {
                Command::Notify(notification) => Some(notification),
                _ => None,
            })
    }

    /// Weights that were written, with the times.
    pub fn weights(&self) -> Vec<(Timestamp, Weight)> {
        let mut weights = Vec::new();
        for moment in &self.moments {
            for command in &moment.commands {
                if let Command::SetWeight { weight, .. } = command {
                    weights.push((moment.at, *weight));
                }
            }
        }
        weights
    }
}

/// The state that a journal of these events leads to.
pub fn replay(plan: &Plan, moments: &[Moment]) -> State {
    let mut state = State::new(plan);
    for moment in moments {
        state = step(plan, state, moment.at, moment.event.clone()).state;
    }
    state
}

fn add(at: Timestamp, duration: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(duration)
        .ok()
        .and_then(|pause| at.checked_add(pause).ok())
        .unwrap_or(Timestamp::MAX)
}
