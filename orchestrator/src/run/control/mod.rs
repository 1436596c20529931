//! The control socket of a live run: JSON lines over a Unix socket that only its owner can open.
//!
//! One request per line, at most [`MAX_REQUEST`] bytes; each answered by one or more lines. An operator's request is
//! answered twice: at once with what will happen, and again when it has taken effect (unless nobody waits).

mod client;
mod lines;
mod server;

use serde::{Deserialize, Serialize};

pub use client::{Accepted, Client, ClientError, Subscription};
pub use server::ControlServer;

use super::driver::View;
use crate::machine::{OperatorAction, Report};

/// Longest request, in bytes.
pub const MAX_REQUEST: usize = 64 * 1024;

/// Longest answer that a client reads, in bytes.
pub const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Do something to the run. Answered by `accepted` or `refused`, and with `wait` by `effect`.
    Operator {
        /// What.
        action: OperatorAction,
        /// Who, as they call themselves; empty: by their user id.
        by: String,
        /// Why, in their words.
        reason: Option<String>,
        /// Also answer when it has taken effect.
        wait: bool,
    },
    /// Say how things are. Answered by `report`.
    Report,
    /// Say how things are, now and after each change. Answered by `report` again and again until the run ends.
    Subscribe,
}

/// What the run says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// It was taken: what will happen.
    Accepted {
        /// For people.
        message: String,
    },
    /// Nothing will happen, and why.
    Refused {
        /// For people.
        message: String,
    },
    /// It has taken effect: what can be seen now.
    Effect {
        /// For people.
        message: String,
    },
    /// How things are.
    Report {
        /// The present.
        present: Box<Present>,
    },
    /// The request could not be done.
    Error {
        /// For people.
        message: String,
    },
}

/// How things are with a live run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Present {
    /// The report after the last event.
    pub report: Report,
    /// Number of the last record.
    pub seq: u64,
    /// What is wrong with driving itself, for people.
    pub trouble: Option<String>,
    /// False in the last one: the driver has ended.
    pub driven: bool,
}

impl From<&View> for Present {
    fn from(view: &View) -> Self {
        Self {
            report: (*view.report).clone(),
            seq: view.seq,
            trouble: view.trouble.clone(),
            driven: view.driven,
        }
    }
}
