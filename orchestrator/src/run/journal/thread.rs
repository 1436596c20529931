//! The journal's own thread: a disk that hangs holds nobody up but itself.

use std::io;
use std::sync::mpsc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::storage::JournalStorage;
use super::write::{AppendError, Appender};
use crate::machine::{Command, Event, Report, State};
use crate::plan::Plan;

/// One event, what it caused, and where the run stands after it.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// Number of its record.
    pub seq: u64,
    /// The plan.
    pub plan: &'a Plan,
    /// The state after it.
    pub state: &'a State,
    /// The report after it.
    pub report: &'a Report,
    /// What happened.
    pub event: &'a Event,
    /// What it caused.
    pub commands: &'a [Command],
}

/// What a sink wants to keep of a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// The line of a journal.
    Line,
    /// This instead, on a line of its own. It may stand for all that was kept before it.
    Instead(String),
    /// Nothing: what it caused may be carried out as soon as everything before it is safe.
    Nothing,
}

/// Keeps what happened durably: the journal of a run, or a store of states. A caller makes one call of `append` at a time and
/// repeats it after an error.
pub trait JournalSink: Send + Sync {
    /// What is to be kept of a moment. Called once for each, in order, and must not block.
    fn keep(&self, _moment: &Moment<'_>) -> Keep {
        Keep::Line
    }

    /// Resolves once the lines survive a crash, or with why they are not known to.
    fn append(&self, lines: String) -> BoxFuture<'static, Result<(), AppendError>>;
}

/// Does the journal's IO on a thread of its own, in order.
#[derive(Debug)]
pub struct JournalThread {
    jobs: mpsc::Sender<Job>,
}

struct Job {
    lines: String,
    done: oneshot::Sender<Result<(), AppendError>>,
}

impl JournalThread {
    /// Starts the thread; it ends when this value is dropped and the last append is through.
    pub fn start<S: JournalStorage + 'static>(mut appender: Appender<S>) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let work = move || {
            for Job { lines, done } in queue {
                // A driver that is gone does not want to know.
                drop(done.send(appender.append(&lines)));
            }
        };
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(work)?;
        Ok(Self { jobs })
    }
}

impl JournalSink for JournalThread {
    fn append(&self, lines: String) -> BoxFuture<'static, Result<(), AppendError>> {
        let (done, answer) = oneshot::channel();
        let sent = self.jobs.send(Job { lines, done });
        async move {
            let gone = || AppendError {
                what: "write to",
                source: io::Error::other("the journal's thread has ended"),
            };
            sent.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        }
        .boxed()
    }
}
