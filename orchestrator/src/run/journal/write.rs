//! Appends whole lines, and never leaves a torn one in the middle.

use std::io;

use super::storage::JournalStorage;

/// A batch of lines that is not (known to be) in the journal.
#[derive(Debug, thiserror::Error)]
#[error("could not {what} the journal: {source}")]
pub struct AppendError {
    /// `write to`, `sync`, `repair`.
    pub what: &'static str,
    /// What the system says.
    pub source: io::Error,
}

/// Appends to a storage whose good part is known.
///
/// After a failed write or sync the tail is in doubt: it is cut off before the next try. A failed fsync is never just
/// repeated: the kernel may have dropped the pages and call the second one a success.
#[derive(Debug)]
pub struct Appender<S> {
    storage: S,
    good: u64,
    doubtful: bool,
}

impl<S: JournalStorage> Appender<S> {
    /// Goes on after `good` bytes; what comes after them (a torn line) is cut off before the first append.
    pub fn new(storage: S, good: u64) -> Self {
        Self {
            storage,
            good,
            doubtful: true,
        }
    }

    /// Writes whole lines and returns once they survive a crash. After an error none of them counts, and the same
    /// call may be made again.
    pub fn append(&mut self, lines: &str) -> Result<(), AppendError> {
        debug_assert!(lines.ends_with('\n'));
        if self.doubtful {
            self.storage
                .truncate(self.good)
                .map_err(|source| AppendError {
                    what: "repair",
                    source,
                })?;
        }
        self.doubtful = true;
        self.storage
            .append(lines.as_bytes())
            .map_err(|source| AppendError {
                what: "write to",
                source,
            })?;
        self.storage.sync().map_err(|source| AppendError {
            what: "sync",
            source,
        })?;
        self.doubtful = false;
        self.good += lines.len() as u64;
        Ok(())
    }

    /// The storage, for tests and for those who read back.
    pub fn storage(&self) -> &S {
        &self.storage
    }
}
