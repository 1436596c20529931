//! Messages that are sure to be sent: written to the run's directory and fsynced, then sent, then marked.
//!
//! Each channel has a task of its own that reads the file from where it stands: a slow receiver holds up nobody, and what
//! waits is on disk and not in memory. After a crash, what has no mark is sent again; the receiver can tell by the
//! message's key. Order is kept within a channel.

mod file;
mod send;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::{Message, Receiver};
use crate::machine::Event;
use crate::node::secrets::Secrets;

/// Lines that may wait for the disk.
pub const MOST_WAITING: usize = 256;

/// A message larger than this, as JSON, is refused; what [`Message::new`] makes is far smaller.
const LARGEST_LINE: usize = 128 * 1024;

/// Called with [`Event::Notified`] when a receiver has taken a message, or it was given up.
pub type Told = Arc<dyn Fn(Event) + Send + Sync>;

/// Messages that are sure to be sent. Dropping it stops sending; what was not sent is sent by the next one that is opened.
pub struct Outbox {
    path: PathBuf,
    lines: mpsc::Sender<Line>,
    receivers: Vec<Arc<dyn Receiver>>,
    secrets: Secrets,
    known: Mutex<BTreeSet<u64>>,
    progress: watch::Sender<Progress>,
    _tasks: JoinSet<()>,
}

/// What became of a message, as the file has it from an earlier driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Id of the notification.
    pub notification: u64,
    /// Channel.
    pub channel: String,
    /// What went wrong for good.
    pub error: Option<String>,
}

/// What is left to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Messages times channels that have neither been taken nor given up.
    pub waiting: u64,
}

/// The outbox cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// Its file cannot be read or written.
    #[error("cannot use the outbox {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The disk does not take what waits.
    #[error("{MOST_WAITING} notifications wait for the disk: this one was not taken")]
    Full,
    /// Larger than any message should be.
    #[error("the notification is larger than 128 KiB: it was not taken")]
    TooLarge,
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    /// To be sent.
    Message {
        /// What.
        message: Box<Message>,
        /// To which channels.
        to: Vec<String>,
    },
    /// Taken or given up.
    Mark {
        /// Which message.
        notification: u64,
        /// By which channel.
        channel: String,
        /// What went wrong for good.
        error: Option<String>,
        /// What later messages are hung on.
        thread: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    posted: u64,
    settled: u64,
}

impl Outbox {
    /// Opens the file, or makes it, and starts to send what was not sent. Must be called on a tokio runtime. Gives back
    /// what the file says of earlier messages, so that the journal can be told what it may have missed.
    ///
    /// # Errors
    /// The file cannot be made, read or repaired.
    pub fn open(
        path: &Path,
        receivers: Vec<Arc<dyn Receiver>>,
        secrets: Secrets,
        told: Told,
    ) -> Result<(Self, Vec<Settled>), OutboxError> {
        let sleep: send::Sleep = Arc::new(|pause| Box::pin(tokio::time::sleep(pause)));
        Self::open_with(path, receivers, secrets, told, sleep)
    }

    fn open_with(
        path: &Path,
        receivers: Vec<Arc<dyn Receiver>>,
        secrets: Secrets,
        told: Told,
        sleep: send::Sleep,
    ) -> Result<(Self, Vec<Settled>), OutboxError> {
        let failed = |source| OutboxError::File {
            path: path.to_owned(),
            source,
        };
        let (file, seen) = file::open(path).map_err(failed)?;
        let (lines, queue) = mpsc::channel(MOST_WAITING);
        let (length, grown) = watch::channel(file.length());
        let (progress, _) = watch::channel(Progress::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(file::write(file, queue, length, progress.clone()));

        let (into, file) = (lines.clone(), path.to_owned());
        let desk = move |receiver: &Arc<dyn Receiver>, settled: BTreeSet<u64>, thread| send::Desk {
            receiver: Arc::clone(receiver),
            path: file.clone(),
            settled,
            thread,
            grown: grown.clone(),
            lines: into.clone(),
            told: Arc::clone(&told),
            sleep: Arc::clone(&sleep),
        };
        let mut progressed = Progress::default();
        for receiver in &receivers {
            let name = receiver.name();
            let marks = seen.settled.get(name);
            let settled: BTreeSet<u64> = marks
                .into_iter()
                .flat_map(BTreeMap::keys)
                .copied()
                .collect();
            let posted = seen
                .messages
                .values()
                .filter(|to| to.iter().any(|channel| channel == name))
                .count();
            progressed.posted += posted as u64;
            progressed.settled += settled.len().min(posted) as u64;
            let thread = seen.threads.get(name).cloned();
            tasks.spawn(send::serve(desk(receiver, settled, thread)));
        }
        progress.send_modify(|now| {
            now.posted += progressed.posted;
            now.settled += progressed.settled;
        });
        let settled = seen.settled.iter().flat_map(|(channel, marks)| {
            marks.iter().map(|(notification, error)| Settled {
                notification: *notification,
                channel: channel.clone(),
                error: error.clone(),
            })
        });
        let settled = settled.collect();
        let known = Mutex::new(seen.messages.into_keys().collect());
        Ok((
            Self {
                path: path.to_owned(),
                lines,
                receivers,
                secrets,
                known,
                progress,
                _tasks: tasks,
            },
            settled,
        ))
    }

    /// Takes a message, at once; it is on disk before it is sent. One that is known by its id is not taken again, so that
    /// a driver may post after a crash everything that its journal has. Gives the number of channels that will be told.
    ///
    /// # Errors
    /// The disk does not take what waits, or the message is too large.
    pub fn post(&self, message: Message) -> Result<usize, OutboxError> {
        let message = message.redacted(&self.secrets.redactor());
        let to: Vec<String> = self
            .receivers
            .iter()
            .filter(|receiver| receiver.wants(message.topic))
            .map(|receiver| receiver.name().to_owned())
            .collect();
        if to.is_empty() {
            return Ok(0);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, channels) = (message.notification, to.len());
        if known.contains(&id) {
            return Ok(channels);
        }
        let line = Line::Message {
            message: Box::new(message),
            to,
        };
        if serde_json::to_string(&line).map_or(usize::MAX, |text| text.len()) > LARGEST_LINE {
            return Err(OutboxError::TooLarge);
        }
        self.lines.try_send(line).map_err(|_| OutboxError::Full)?;
        known.insert(id);
        self.progress
            .send_modify(|now| now.posted += channels as u64);
        Ok(channels)
    }

    /// Waits until everything has been taken or given up, but not longer than `limit`.
    pub async fn drain(&self, limit: Duration) -> Left {
        let mut progress = self.progress.subscribe();
        let all = progress.wait_for(|now| now.settled >= now.posted);
        let _in_time = tokio::time::timeout(limit, all).await.is_ok();
        self.left()
    }

    /// What is left to send, by channel. Reads the file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn waiting(&self) -> Result<BTreeMap<String, u64>, OutboxError> {
        file::waiting(&self.path).map_err(|source| OutboxError::File {
            path: self.path.clone(),
            source,
        })
    }

    /// What is left to send now.
    pub fn left(&self) -> Left {
        let now = *self.progress.borrow();
        Left {
            waiting: now.posted.saturating_sub(now.settled),
        }
    }
}

/// What a file says.
#[derive(Debug, Default)]
struct Seen {
    /// Id -> channels.
    messages: BTreeMap<u64, Vec<String>>,
    /// Channel -> id -> error.
    settled: BTreeMap<String, BTreeMap<u64, Option<String>>>,
    /// Channel -> thread.
    threads: BTreeMap<String, String>,
}
