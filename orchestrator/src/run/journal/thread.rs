//! The journal's own thread: a disk that hangs holds nobody up but itself.

use std::io;
use std::sync::mpsc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::storage::JournalStorage;
use super::write::{AppendError, Appender};

/// Appends whole lines durably. A caller makes one call at a time and repeats it after an error.
pub trait JournalSink: Send + Sync {
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
