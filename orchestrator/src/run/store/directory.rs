//! The directory of one run.

use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::files;
use super::{SNAPSHOT_FORMAT, Snapshot, StoreError};
use crate::run::journal::{self, Appender, Contents, FileStorage};
use crate::run::lock::RunLock;

/// The directory of one run. Reading it needs no lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDirectory {
    path: PathBuf,
    id: String,
    runtime: PathBuf,
}

/// Longest path of a Unix socket: 108 bytes with the zero at the end.
const MAX_SOCKET_PATH: usize = 107;

/// Largest `inputs.json` or `report.json` that is read.
const MAX_FILE: u64 = 64 * 1024 * 1024;

impl RunDirectory {
    pub(super) fn new(path: PathBuf, id: String, runtime: &Path) -> Self {
        Self {
            path,
            id,
            runtime: runtime.to_owned(),
        }
    }

    /// Id of the run.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The journal.
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal.jsonl")
    }

    /// The outbox of notifications.
    pub fn outbox(&self) -> PathBuf {
        self.path.join("outbox.jsonl")
    }

    /// What executors printed.
    pub fn nodes(&self) -> PathBuf {
        self.path.join("nodes")
    }

    /// What one attempt printed. Slashes of inner nodes' ids become dots.
    pub fn node_log(&self, node: &str, iteration: u32, attempt: u32) -> PathBuf {
        self.nodes().join(format!(
            "{}-{iteration}-{attempt}.log",
            node.replace('/', ".")
        ))
    }

    /// The record that is written at the end.
    pub fn osoplog(&self, workflow: &str) -> PathBuf {
        self.path
            .join(format!("{}.osoplog.yaml", super::slug(workflow)))
    }

    fn report(&self) -> PathBuf {
        self.path.join("report.json")
    }

    fn inputs(&self) -> PathBuf {
        self.path.join("inputs.json")
    }

    /// Takes the lock: from now on, this process drives the run.
    pub fn lock(&self) -> Result<RunLock, StoreError> {
        Ok(RunLock::acquire(&self.path.join("lock"))?)
    }

    /// Who drives the run: `None` nobody, `Some(None)` a process whose id cannot be read.
    pub fn holder(&self) -> Result<Option<Option<u32>>, StoreError> {
        let path = self.path.join("lock");
        RunLock::holder(&path).map_err(StoreError::io("read", &path))
    }

    pub(super) fn write_snapshot(&self, snapshot: &Snapshot) -> Result<(), StoreError> {
        write_json(&self.inputs(), snapshot)
    }

    /// What the run was started with.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let path = self.inputs();
        let value: serde_json::Value = read_json(&path)?;
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        if format != Some(u64::from(SNAPSHOT_FORMAT)) {
            let format = format.map_or_else(
                || "no format".to_owned(),
                |format| format!("format {format}"),
            );
            let why =
                format!("it has {format}, this version of canary reads format {SNAPSHOT_FORMAT}");
            return Err(StoreError::Malformed { path, why });
        }
        serde_json::from_value(value).map_err(|error| StoreError::Malformed {
            path,
            why: error.to_string(),
        })
    }

    /// The journal as it is.
    pub fn read_journal<E: DeserializeOwned, C: DeserializeOwned>(
        &self,
    ) -> Result<Contents<E, C>, StoreError> {
        Ok(journal::read_file(&self.journal())?)
    }

    /// Opens the journal for appending after `good` bytes.
    pub fn append_journal(&self, good: u64) -> Result<Appender<FileStorage>, StoreError> {
        let path = self.journal();
        Ok(Appender::new(
            FileStorage::open(&path).map_err(StoreError::io("open", &path))?,
            good,
        ))
    }

    /// Keeps the last report; from now on, the run counts as ended.
    pub fn write_report(&self, report: &impl serde::Serialize) -> Result<(), StoreError> {
        write_json(&self.report(), report)
    }

    /// The last report of a run that has ended.
    pub fn read_report<R: DeserializeOwned>(&self) -> Result<R, StoreError> {
        read_json(&self.report())
    }

    /// The run has ended, and all that is done at the end is done.
    pub fn has_ended(&self) -> bool {
        self.report().exists()
    }

    /// Where a driver listens: in the run's directory, or where that path would be too long, in a directory of our
    /// own (0700) below the runtime directory; `control.path` says so then.
    pub fn prepare_socket(&self) -> Result<PathBuf, StoreError> {
        let near = self.path.join("control.sock");
        let pointer = self.path.join("control.path");
        if near.as_os_str().as_bytes().len() <= MAX_SOCKET_PATH {
            remove_if_there(&pointer)?;
            remove_if_there(&near)?;
            return Ok(near);
        }
        let directory = self
            .runtime
            .join(format!("canary-{}", rustix::process::geteuid().as_raw()));
        files::create_directory(&directory).map_err(StoreError::io("create", &directory))?;
        let metadata =
            fs::symlink_metadata(&directory).map_err(StoreError::io("look at", &directory))?;
        let ours = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
        if !ours || metadata.mode() & 0o077 != 0 {
            let why = "it must be a directory of this user that nobody else may enter (mode 0700)"
                .to_owned();
            return Err(StoreError::Malformed {
                path: directory,
                why,
            });
        }
        let mark = crc32fast::hash(self.path.as_os_str().as_bytes());
        let far = directory.join(format!("{mark:08x}.sock"));
        if far.as_os_str().as_bytes().len() > MAX_SOCKET_PATH {
            let why = format!(
                "a socket's path has at most {MAX_SOCKET_PATH} bytes; set XDG_RUNTIME_DIR to a shorter one"
            );
            return Err(StoreError::Malformed { path: far, why });
        }
        remove_if_there(&far)?;
        files::write_atomically(&pointer, far.as_os_str().as_bytes())
            .map_err(StoreError::io("write", &pointer))?;
        Ok(far)
    }

    /// Where a live driver of this run listens.
    pub fn socket(&self) -> PathBuf {
        match fs::read(self.path.join("control.path")) {
            Ok(bytes) => PathBuf::from(std::ffi::OsStr::from_bytes(&bytes)),
            Err(_) => self.path.join("control.sock"),
        }
    }

    pub(super) fn remove(&self) -> Result<(), StoreError> {
        fs::remove_dir_all(&self.path).map_err(StoreError::io("remove", &self.path))
    }
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|error| StoreError::Malformed {
        path: path.to_owned(),
        why: error.to_string(),
    })?;
    files::write_atomically(path, &bytes).map_err(StoreError::io("write", path))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, StoreError> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(StoreError::io("read", path))?;
    file.take(MAX_FILE)
        .read_to_end(&mut bytes)
        .map_err(StoreError::io("read", path))?;
    serde_json::from_slice(&bytes).map_err(|error| StoreError::Malformed {
        path: path.to_owned(),
        why: error.to_string(),
    })
}

fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}
