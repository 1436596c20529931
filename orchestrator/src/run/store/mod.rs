//! Where runs are kept: a directory per run under the state home, 0700, files 0600.
//!
//! ```text
//! <root>/runs/checkout-7/
//!   inputs.json                 what the plan was made from, and the options of the run
//!   journal.jsonl               what happened
//!   lock                        held by the process that drives the run
//!   control.sock                where it listens (or control.path, which names a shorter path)
//!   outbox.jsonl                notifications
//!   nodes/<id>-<iteration>-<attempt>.log
//!   report.json                 the last report, written at the end
//!   <workflow>.osoplog.yaml     the record, written at the end
//! ```

mod directory;
mod files;
mod find;

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use directory::RunDirectory;
pub use files::write_atomically;
pub use find::Wanted;

use super::lock::LockError;

/// All runs of this user on this machine.
#[derive(Debug, Clone)]
pub struct Store {
    runs: PathBuf,
    runtime: PathBuf,
}

/// What a run was started with; enough to make the same plan again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Version of this file's format: 1.
    pub format: u32,
    /// Version of canary that started the run.
    pub canary: String,
    /// When it was started.
    pub created_at: Timestamp,
    /// What is released.
    pub service: String,
    /// Id of the workflow.
    pub workflow: String,
    /// Fingerprint of the plan.
    pub hash: String,
    /// The plan's inputs (`plan::Inputs`), the captured part of the environment only.
    pub inputs: serde_json::Value,
    /// Options of the run that a resumed run keeps, as the caller wants them.
    pub options: serde_json::Value,
}

/// Format of [`Snapshot`] that this version writes and reads.
pub const SNAPSHOT_FORMAT: u32 = 1;

/// Something is wrong with the store, or with what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or directory cannot be used.
    #[error("could not {what} {}: {source}", path.display())]
    Io {
        /// `create`, `read`, `write`, ...
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is not understood: {why}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// No run of that name.
    #[error("there is no run `{name}`{}", did_you_mean(near))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Runs whose names are close.
        near: Vec<String>,
    },
    /// Several runs start with that.
    #[error("`{name}` may be any of {}: write more of it", matches.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// All that match, newest first.
        matches: Vec<String>,
    },
    /// No run was named, and several could be meant.
    #[error("{} runs are active: {}; name one", .0.len(), .0.join(", "))]
    SeveralActive(Vec<String>),
    /// No run was named, and none could be meant.
    #[error("no run is active; `canary history` lists those that have ended")]
    NoneActive,
    /// There are no runs at all.
    #[error("there are no runs yet; `canary run FILE` starts one")]
    NoRuns,
    /// The run's lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The run's journal.
    #[error(transparent)]
    Journal(#[from] super::journal::ReadError),
}

fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() {
        String::new()
    } else {
        format!("; did you mean {}?", near.join(" or "))
    }
}

impl StoreError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }
}

/// Longest service name in a run id; ids are typed by people.
const MAX_SERVICE: usize = 40;

impl Store {
    /// The store below `root` (`$XDG_STATE_HOME/canary`). Sockets whose path would be too long there go below
    /// `runtime` (`$XDG_RUNTIME_DIR`, or a directory for temporary files).
    pub fn new(root: &Path, runtime: &Path) -> Self {
        Self {
            runs: root.join("runs"),
            runtime: runtime.to_owned(),
        }
    }

    /// Makes the directory of a new run, `<service>-<number>`, with its inputs in it.
    ///
    /// Whoever creates the directory has the id: two that start at once get two ids.
    pub fn create(&self, snapshot: &Snapshot) -> Result<RunDirectory, StoreError> {
        files::create_directory(&self.runs).map_err(StoreError::io("create", &self.runs))?;
        let service = slug(&snapshot.service);
        let prefix = format!("{service}-");
        let number = |id: &String| {
            id.strip_prefix(&prefix)
                .and_then(|number| number.parse::<u32>().ok())
        };
        let last = self.ids()?.iter().filter_map(number).max().unwrap_or(0);
        for number in last + 1.. {
            let id = format!("{prefix}{number}");
            let path = self.runs.join(&id);
            match files::create_new_directory(&path) {
                Ok(()) => {
                    let run = RunDirectory::new(path, id, &self.runtime);
                    run.write_snapshot(snapshot)?;
                    let nodes = run.nodes();
                    files::create_directory(&nodes).map_err(StoreError::io("create", &nodes))?;
                    files::sync_directory(&self.runs)
                        .map_err(StoreError::io("sync", &self.runs))?;
                    return Ok(run);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(StoreError::io("create", &path)(error)),
            }
        }
        Err(StoreError::Malformed {
            path: self.runs.clone(),
            why: format!("no number is left for `{service}`"),
        })
    }

    /// Removes the directories of ended runs but for the newest `keep` of each service; returns their ids. Runs that
    /// are live or may be resumed are never removed, nor is the newest of a service, so that no id is used twice.
    /// With `dry`, only says which.
    pub fn prune(&self, keep: usize, dry: bool) -> Result<Vec<String>, StoreError> {
        let mut seen = std::collections::BTreeMap::<String, usize>::new();
        let mut gone = Vec::new();
        for run in self.list()? {
            let service = run
                .id()
                .rsplit_once('-')
                .map_or(run.id(), |(service, _)| service)
                .to_owned();
            let count = seen.entry(service).or_default();
            *count += 1;
            if *count > keep.max(1) && run.has_ended() && run.holder()?.is_none() {
                if !dry {
                    let _lock = run.lock()?;
                    run.remove()?;
                }
                gone.push(run.id().to_owned());
            }
        }
        Ok(gone)
    }
}

/// A service's name as part of a path and of a command line: lower-case letters, digits, `-`.
fn slug(service: &str) -> String {
    let mut slug = String::new();
    for character in service.chars().flat_map(char::to_lowercase) {
        if character.is_ascii_alphanumeric() {
            slug.push(character);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() == MAX_SERVICE {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        "run".to_owned()
    } else {
        slug.to_owned()
    }
}

#[cfg(test)]
mod tests;
