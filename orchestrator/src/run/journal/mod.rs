//! The journal of a run: one JSON line per event, with the commands it caused, a checksum, and an fsync.
//!
//! ```text
//! {"seq":1,"at":"2026-01-02T03:04:05Z","event":{..},"commands":[..],"crc":"89abcdef"}
//! ```
//!
//! `crc` is the CRC-32 (IEEE) of the line as it is without it: the bytes up to the comma before `"crc"`, and `}`.
//! Lines are numbered from 1 without a gap. A line is at most [`MAX_LINE`] bytes long.

mod read;
mod storage;
mod thread;
mod write;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use read::{Contents, ReadError, Torn, read, read_file};
pub(crate) use storage::sync_directory;
pub use storage::{FileStorage, JournalStorage};
pub use thread::{JournalSink, JournalThread, Keep, Moment};
pub use write::{AppendError, Appender};

/// Longest line, in bytes, without its newline. Outputs of nodes are bounded far below it.
pub const MAX_LINE: usize = 4 * 1024 * 1024;

/// One event and what it caused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record<E, C> {
    /// From 1, without a gap.
    pub seq: u64,
    /// When the event happened; never before that of the record before.
    pub at: Timestamp,
    /// What happened.
    pub event: E,
    /// What it caused, for reading and for checking a replay.
    pub commands: Vec<C>,
}

/// A line that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Does not survive the way to JSON and back.
    #[error(
        "record {seq} cannot be written as JSON and read back: {source}; this is a bug of canary"
    )]
    Json {
        /// Which record.
        seq: u64,
        /// What serde says.
        source: serde_json::Error,
    },
    /// Longer than [`MAX_LINE`].
    #[error(
        "record {seq} is {bytes} bytes long, and a line of the journal has at most {MAX_LINE}: a node's outputs are too large"
    )]
    TooLong {
        /// Which record.
        seq: u64,
        /// How long it would be.
        bytes: usize,
    },
}

/// An event as the journal will tell it: its text, and the event read back from that text.
///
/// The machine is only ever given what was read back, so that a replay sees exactly what the live run saw, whatever
/// JSON does to numbers on the way.
#[derive(Debug, Clone)]
pub struct Settled<E> {
    /// Number of the record that it will be.
    pub seq: u64,
    /// JSON of the event.
    pub text: String,
    /// The event read back from it.
    pub event: E,
}

impl<E: Serialize + DeserializeOwned> Settled<E> {
    /// Turns an event into text and back.
    pub fn new(seq: u64, event: &E) -> Result<Self, EncodeError> {
        let json = |source| EncodeError::Json { seq, source };
        let text = serde_json::to_string(event).map_err(json)?;
        let event = serde_json::from_str(&text).map_err(json)?;
        Ok(Self { seq, text, event })
    }

    /// The whole line with its newline.
    pub fn line<C: Serialize>(&self, at: Timestamp, commands: &[C]) -> Result<String, EncodeError> {
        let commands = serde_json::to_string(commands).map_err(|source| EncodeError::Json {
            seq: self.seq,
            source,
        })?;
        let mut line = format!(
            r#"{{"seq":{},"at":"{at}","event":{},"commands":{commands}}}"#,
            self.seq, self.text
        );
        let crc = crc32fast::hash(line.as_bytes());
        line.pop();
        line = format!("{line}{CRC_OPEN}{crc:08x}{CRC_CLOSE}\n");
        let bytes = line.len() - 1;
        if bytes > MAX_LINE {
            Err(EncodeError::TooLong {
                seq: self.seq,
                bytes,
            })
        } else {
            Ok(line)
        }
    }
}

const CRC_OPEN: &str = r#","crc":""#;
const CRC_CLOSE: &str = r#""}"#;

#[cfg(test)]
mod tests;
