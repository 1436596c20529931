//! Records on their way to the disk, in order, and the commands that wait for them.

use std::collections::VecDeque;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::machine::{Command, backoff};
use crate::plan::NodeIndex;
use crate::run::clock::{Clock, after};
use crate::run::journal::{AppendError, JournalSink, Keep, Moment};

/// Most bytes that are appended with one sync.
const BATCH: usize = 1024 * 1024;

/// Records on their way.
pub(super) struct Journaling {
    sink: Box<dyn JournalSink>,
    queue: VecDeque<Entry>,
    doing: Doing,
    /// First failure of those that have not been made good.
    pub failing: Option<Failing>,
    patience: Duration,
    /// How long an append may take before it counts as failing.
    stall: Duration,
}

/// The journal cannot be written at present.
#[derive(Debug, Clone)]
pub(super) struct Failing {
    pub since: Timestamp,
    pub error: String,
    tries: u32,
}

struct Entry {
    seq: u64,
    line: String,
    commands: Vec<Command>,
}

enum Doing {
    Nothing,
    Appending {
        entries: usize,
        work: BoxFuture<'static, Result<(), AppendError>>,
        stall: BoxFuture<'static, ()>,
    },
    Pausing(BoxFuture<'static, ()>),
}

/// What has become of records.
pub(super) enum Progress {
    /// These are safe: number of the last, and the commands that may be carried out now, in order.
    Durable { seq: u64, commands: Vec<Command> },
    /// It fails: traffic goes off, nothing is started.
    Failing,
    /// It has failed for too long.
    GivenUp(String),
}

impl Journaling {
    pub(super) fn new(sink: Box<dyn JournalSink>, patience: Duration, stall: Duration) -> Self {
        Self {
            sink,
            queue: VecDeque::new(),
            doing: Doing::Nothing,
            failing: None,
            patience,
            stall,
        }
    }

    /// What the sink wants to keep of a moment.
    pub(super) fn keep(&self, moment: &Moment<'_>) -> Keep {
        self.sink.keep(moment)
    }

    /// Queues a record; its commands wait until it is safe. An empty line is safe as soon as what is before it is.
    pub(super) fn push(&mut self, seq: u64, line: String, commands: Vec<Command>) {
        self.queue.push_back(Entry {
            seq,
            line,
            commands,
        });
    }

    /// Everything is safe.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether this attempt is called off by one of these commands or by one that waits for its record.
    pub(super) fn cancels<'a>(
        &'a self,
        node: NodeIndex,
        attempt: u32,
        before: impl Iterator<Item = &'a Command>,
    ) -> bool {
        let waiting = self.queue.iter().flat_map(|entry| &entry.commands);
        before.chain(waiting).any(|command| {
            matches!(command, Command::CancelNode { node: other, attempt: number, .. }
                if (*other, *number) == (node, attempt))
        })
    }

    /// Goes on with what is to be done; resolves when something has come of it. May be dropped and called again.
    pub(super) async fn progress(&mut self, clock: &dyn Clock) -> Progress {
        loop {
            let nothing_to_keep = self.nothing_to_keep();
            match &mut self.doing {
                Doing::Nothing if self.queue.is_empty() => std::future::pending().await,
                Doing::Nothing if nothing_to_keep > 0 => return self.done(nothing_to_keep),
                Doing::Nothing => self.append(clock),
                Doing::Pausing(pause) => {
                    pause.await;
                    self.doing = Doing::Nothing;
                }
                Doing::Appending {
                    entries,
                    work,
                    stall,
                } => {
                    let entries = *entries;
                    let result = tokio::select! {
                        biased;
                        result = &mut *work => result,
                        () = &mut *stall => {
                            let bound = self.stall;
                            *stall = clock.pause(bound);
                            return self.fails(clock, &format!("the store has not answered for {bound:?}"));
                        }
                    };
                    return match result {
                        Ok(()) => self.done(entries),
                        Err(error) => {
                            let tries = self.failing.as_ref().map_or(0, |failing| failing.tries);
                            self.doing = Doing::Pausing(clock.pause(backoff(tries)));
                            self.fails(clock, &error.to_string())
                        }
                    };
                }
            }
        }
    }

    /// Entries at the front of which nothing is to be kept.
    fn nothing_to_keep(&self) -> usize {
        self.queue
            .iter()
            .take_while(|entry| entry.line.is_empty())
            .count()
    }

    fn append(&mut self, clock: &dyn Clock) {
        let mut lines = String::new();
        let mut entries = 0;
        for entry in &self.queue {
            if entries > 0 && lines.len() + entry.line.len() > BATCH {
                break;
            }
            lines.push_str(&entry.line);
            entries += 1;
        }
        let work = self.sink.append(lines);
        self.doing = Doing::Appending {
            entries,
            work,
            stall: clock.pause(self.stall).boxed(),
        };
    }

    fn done(&mut self, entries: usize) -> Progress {
        self.doing = Doing::Nothing;
        let mut seq = 0;
        let mut commands = Vec::new();
        for entry in self.queue.drain(..entries) {
            seq = entry.seq;
            commands.extend(entry.commands);
        }
        Progress::Durable { seq, commands }
    }

    fn fails(&mut self, clock: &dyn Clock, error: &str) -> Progress {
        let now = clock.now();
        let failing = self.failing.get_or_insert_with(|| Failing {
            since: now,
            error: String::new(),
            tries: 0,
        });
        error.clone_into(&mut failing.error);
        failing.tries = failing.tries.saturating_add(1);
        if now >= after(failing.since, self.patience) {
            Progress::GivenUp(failing.error.clone())
        } else {
            Progress::Failing
        }
    }
}
