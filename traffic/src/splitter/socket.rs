//! The admin socket's file: private from its first moment, one owner at a time, replaced when its owner is dead.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use super::options::SplitterError;

/// A bound socket, and the lock that says that its owner lives. The file goes away when this is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    /// Held for as long as this process serves the socket; the system lets go of it however the process ends.
    _lock: File,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The lock file stays: removing it would let two starting processes lock two different files of that name.
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "socket was gone already");
        }
    }
}

impl Socket {
    /// Binds it, mode 0600 in a directory of mode 0700.
    pub(crate) fn bind(path: &Path) -> Result<Self, SplitterError> {
        let fail = |problem: String, hint: &str| SplitterError::Socket {
            path: path.to_owned(),
            problem,
            hint: hint.to_owned(),
        };
        private_directory(path)?;
        let lock = lock(path)?;
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => {
                // Whoever made it without holding the lock is another program, or dead.
                if std::os::unix::net::UnixStream::connect(path).is_ok() {
                    return Err(fail(
                        "another program listens on it".into(),
                        "choose another path or stop that program",
                    ));
                }
                fs::remove_file(path).map_err(|e| {
                    fail(format!("a stale one cannot be removed: {e}"), "remove it")
                })?;
            }
            Ok(_) => {
                return Err(fail(
                    "there is a file of that name that is no socket".into(),
                    "choose another path",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail(error.to_string(), "check its directory")),
        }
        let listener = UnixListener::bind(path).map_err(|error| {
            fail(
                error.to_string(),
                "choose a shorter path (at most 107 bytes) in a directory that you may write to",
            )
        })?;
        // Nobody else could reach it before this either: the directory is private.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(|e| {
            fail(
                format!("its mode cannot be set to 0600: {e}"),
                "check its owner",
            )
        })?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            _lock: lock,
        })
    }
}

/// Makes the directory, or checks that the one there lets nobody else in.
fn private_directory(path: &Path) -> Result<(), SplitterError> {
    let fail = |problem: String, hint: String| SplitterError::Socket {
        path: path.to_owned(),
        problem,
        hint,
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| {
            fail(
                format!("its directory cannot be made: {error}"),
                "choose a path below a directory that you may write to".into(),
            )
        })?;
    let mode = fs::metadata(directory)
        .map_err(|error| fail(error.to_string(), "check its directory".into()))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(fail(
            format!(
                "others may enter its directory (mode {:04o})",
                mode & 0o7777
            ),
            format!(
                "choose a directory of its own, which is then made with mode 0700, or run `chmod 700 {}`",
                directory.display()
            ),
        ));
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File, SplitterError> {
    let fail = |problem: String, hint: &str| SplitterError::Socket {
        path: path.to_owned(),
        problem,
        hint: hint.to_owned(),
    };
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&name)
        .map_err(|e| {
            fail(
                format!("its lock file cannot be opened: {e}"),
                "check its directory",
            )
        })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(fail(
            "another splitter serves it".into(),
            "choose another path, or use that splitter",
        )),
        Err(TryLockError::Error(e)) => Err(fail(
            format!("its lock file cannot be locked: {e}"),
            "choose a directory on a local disk",
        )),
    }
}
