//! The pure heart: [`step`] takes a plan, a state and an event, and says what the state is now and what to do.
//! No clock, no IO, no randomness; replaying the journal's events gives the state.

mod command;
mod event;
mod outcome;
mod report;

pub use command::{Command, Notification, Topic, Wake, backoff};
pub use event::{Cost, Event, NodeResult, NodeStatus, OperatorAction, ProcessMark, Watch};
pub use outcome::Outcome;
pub use report::{
    EdgePhase, EdgeReport, GateReport, NodePhase, NodeReport, NotificationsReport, Report,
    RunPhase, TrafficReport, Wait,
};
