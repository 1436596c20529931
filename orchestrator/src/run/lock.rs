//! One writer per run: an advisory lock that the kernel gives up with the process that held it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// The lock of a run, held until it is dropped. Children do not inherit it (close-on-exec).
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

/// The lock could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A live process holds it.
    #[error("another canary process{} is driving this run", pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Held {
        /// Its process id, where it could be read.
        pid: Option<u32>,
    },
    /// The lock file cannot be used.
    #[error("could not lock the run: {0}")]
    Io(#[from] io::Error),
}

/// Tries this often: somebody who only asks who holds the lock has it for a moment.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(5);

impl RunLock {
    /// Takes the lock in that file, created with mode 0600, and writes our process id into it.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        for _ in 0..TRIES {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    file.set_len(0)?;
                    file.rewind()?;
                    writeln!(file, "{}", std::process::id())?;
                    return Ok(Self { _file: file });
                }
                Err(Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
                Err(error) => return Err(LockError::Io(error.into())),
            }
        }
        Err(LockError::Held {
            pid: read_pid(&mut file),
        })
    }

    /// Who holds the lock: `None` nobody, `Some(None)` somebody whose process id cannot be read.
    pub fn holder(path: &Path) -> io::Result<Option<Option<u32>>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(Errno::WOULDBLOCK) => Ok(Some(read_pid(&mut file))),
            Err(error) => Err(error.into()),
        }
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_it_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        assert_eq!(RunLock::holder(&path).unwrap(), None);
        let lock = RunLock::acquire(&path).unwrap();
        assert_eq!(
            RunLock::holder(&path).unwrap(),
            Some(Some(std::process::id()))
        );
        let error = RunLock::acquire(&path).unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("pid {}", std::process::id())),
            "{error}"
        );
        drop(lock);
        assert_eq!(RunLock::holder(&path).unwrap(), None);
        RunLock::acquire(&path).unwrap();
    }

    #[test]
    fn asking_who_holds_it_does_not_keep_anybody_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        drop(RunLock::acquire(&path).unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| (0..500).for_each(|_| assert!(RunLock::holder(&path).is_ok())));
            for _ in 0..50 {
                RunLock::acquire(&path).unwrap();
            }
        });
    }
}
