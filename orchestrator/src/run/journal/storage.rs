//! Where the lines of a journal go: a file, or something that fails on purpose.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// A growing file, as a journal needs it. Calls may block.
pub trait JournalStorage: Send {
    /// Writes all bytes at the end; after an error, some of them may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns once what was written survives a crash of the machine.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to that length, in bytes.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// A real file, mode 0600.
#[derive(Debug)]
pub struct FileStorage {
    file: File,
}

impl FileStorage {
    /// Opens the file for appending; where it is not there yet, creates it and makes its directory entry durable.
    pub fn open(path: &Path) -> io::Result<Self> {
        let new = !path.exists();
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        if new {
            file.sync_all()?;
            if let Some(directory) = path.parent() {
                sync_directory(directory)?;
            }
        }
        Ok(Self { file })
    }
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

impl JournalStorage for FileStorage {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        // What is written to a deleted file is lost, and with it the run: nobody could resume or abort it.
        if self.file.metadata()?.nlink() == 0 {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the file was deleted while the run goes on",
            ));
        }
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.sync_all()
    }
}
