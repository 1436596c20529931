//! The pure heart: [`step()`] takes a plan, a state and an event, and says what the state is now and what to do.
//! No clock, no IO, no randomness; replaying the journal's events gives the state.

mod approval;
mod bounds;
mod check;
mod checkpoint;
mod command;
mod decide;
mod describe;
mod edges;
mod event;
mod evidence;
mod failure;
mod graph;
mod guard;
mod handlers;
mod life;
mod loops;
mod names;
mod node_waits;
mod notify;
mod operator;
mod outcome;
mod report;
mod resume;
mod state;
mod step;
mod traffic;
mod verify;
mod waits;
mod wake;
mod watch;
mod way;
mod weight;

#[cfg(test)]
mod tests;

pub use checkpoint::{Checkpoint, CheckpointError, MAX_CHECKPOINT};
pub use command::{Command, Notification, Topic, Wake, backoff};
pub use describe::report;
pub use event::{Cost, Event, NodeResult, NodeStatus, OperatorAction, ProcessMark, Watch};
pub use operator::Answer;
pub use outcome::Outcome;
pub use report::{
    EdgePhase, EdgeReport, GateReport, NodePhase, NodeReport, NotificationsReport, Report,
    RunPhase, TrafficReport, Wait,
};
pub use state::State;
pub use step::{Decision, step};
