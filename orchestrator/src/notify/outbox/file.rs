//! The file: one line of JSON per message and mark, appended and fsynced.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::{Line, Progress, Seen};
use crate::machine::backoff;

/// Of the file this much is read at a time; no line is longer.
const CHUNK: u64 = 256 * 1024;

/// The file, and how much of it is whole lines on disk.
pub(super) struct Lines {
    file: File,
    length: u64,
}

impl Lines {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Appends one line. If that fails, whatever part of it was written is taken off again before the next.
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(line)?;
        self.file.sync_data()?;
        self.length += line.len() as u64;
        Ok(())
    }
}

/// Opens or makes the file. A last line that is not whole was never sent from: it is taken off.
pub(super) fn open(path: &Path) -> io::Result<(Lines, Seen)> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        File::open(parent)?.sync_all()?;
    }
    let mut seen = Seen::default();
    let mut length = 0;
    let mut reader = BufReader::new(&file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader).take(CHUNK).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            break;
        }
        length += read as u64;
        match serde_json::from_slice::<Line>(&line) {
            Ok(Line::Message { message, to }) => {
                seen.messages.insert(message.notification, to);
            }
            Ok(Line::Mark {
                notification,
                channel,
                error,
                thread,
            }) => {
                if let Some(thread) = thread {
                    seen.threads.entry(channel.clone()).or_insert(thread);
                }
                seen.settled
                    .entry(channel)
                    .or_default()
                    .insert(notification, error);
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), at = length, %error, "a line of the outbox cannot be read");
            }
        }
    }
    file.set_len(length)?;
    Ok((Lines { file, length }, seen))
}

/// Messages that no mark speaks of, by channel.
pub(super) fn waiting(path: &Path) -> io::Result<BTreeMap<String, u64>> {
    let length = std::fs::metadata(path)?.len();
    let (mut open, mut at) = (BTreeSet::new(), 0);
    while at < length {
        let (lines, next) = read(path, at, length)?;
        if next == at {
            break;
        }
        at = next;
        for line in lines {
            match line {
                Line::Message { message, to } => {
                    open.extend(
                        to.into_iter()
                            .map(|channel| (message.notification, channel)),
                    );
                }
                Line::Mark {
                    notification,
                    channel,
                    ..
                } => {
                    open.remove(&(notification, channel));
                }
            }
        }
    }
    let mut waiting = BTreeMap::new();
    for (_, channel) in open {
        *waiting.entry(channel).or_default() += 1;
    }
    Ok(waiting)
}

/// Writes what comes, in order, until nobody is left to send any. A disk that refuses is asked again and again: what
/// cannot be written is not sent.
pub(super) async fn write(
    mut lines: Lines,
    mut queue: mpsc::Receiver<Line>,
    length: watch::Sender<u64>,
    progress: watch::Sender<Progress>,
) {
    while let Some(line) = queue.recv().await {
        let Ok(mut text) = serde_json::to_vec(&line) else {
            continue;
        };
        text.push(b'\n');
        let mut failures = 0;
        loop {
            let mut owned = lines;
            let bytes = text.clone();
            let written = tokio::task::spawn_blocking(move || {
                let result = owned.append(&bytes);
                (owned, result)
            });
            let Ok((back, result)) = written.await else {
                return;
            };
            lines = back;
            match result {
                Ok(()) => break,
                Err(error) => {
                    tracing::warn!(%error, "the outbox cannot be written; trying again");
                    sleep(backoff(failures)).await;
                    failures += 1;
                }
            }
        }
        length.send_replace(lines.length);
        if matches!(line, Line::Mark { .. }) {
            progress.send_modify(|now| now.settled += 1);
        }
    }
}

/// Whole lines from `from` on, at most up to `to`, and where the next begin.
pub(super) fn read(path: &Path, from: u64, to: u64) -> io::Result<(Vec<Line>, u64)> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(to.saturating_sub(from).min(CHUNK))
        .read_to_end(&mut bytes)?;
    let whole = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let lines = bytes[..whole]
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok());
    Ok((lines.collect(), from + whole as u64))
}
