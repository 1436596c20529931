//! The journal's disk of the small world: full, hanging, or the last thing that a killed driver touched.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;

use super::world::World;
use crate::run::journal::{AppendError, JournalSink};

/// The journal's disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub state: Mutex<DiskState>,
    /// The driver is dead from now on.
    pub killed: Notify,
    /// A hanging sync goes on.
    pub go_on: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct DiskState {
    pub bytes: Vec<u8>,
    pub appends: u64,
    pub faults: BTreeMap<u64, Fault>,
    /// From this append on the disk is full, until it is not.
    pub full_from: Option<u64>,
    pub full_tries: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Killed before anything was written.
    KillBefore,
    /// Killed in the middle of the write.
    KillTorn,
    /// Killed after the write, before anybody knew.
    KillAfter,
    /// The sync hangs until it is told to go on.
    Hang,
}

impl JournalSink for World {
    fn append(&self, lines: String) -> BoxFuture<'static, Result<(), AppendError>> {
        let disk = self.disk.clone();
        async move {
            let (fault, full) = {
                let mut state = disk.state.lock().unwrap();
                state.appends += 1;
                let append = state.appends;
                let mut full = state.full_from.is_some_and(|from| append >= from);
                if full && let Some(tries) = &mut state.full_tries {
                    full = *tries > 0;
                    *tries = tries.saturating_sub(1);
                }
                (state.faults.remove(&append), full)
            };
            let write = |part: &str| {
                disk.state
                    .lock()
                    .unwrap()
                    .bytes
                    .extend_from_slice(part.as_bytes());
            };
            let die = || async {
                disk.killed.notify_one();
                std::future::pending::<()>().await;
            };
            if full {
                return Err(AppendError {
                    what: "write to",
                    source: io::ErrorKind::StorageFull.into(),
                });
            }
            match fault {
                None => write(&lines),
                Some(Fault::KillBefore) => die().await,
                Some(Fault::KillTorn) => {
                    write(&lines[..lines.len() / 2]);
                    die().await;
                }
                Some(Fault::KillAfter) => {
                    write(&lines);
                    die().await;
                }
                Some(Fault::Hang) => {
                    disk.go_on.notified().await;
                    write(&lines);
                }
            }
            Ok(())
        }
        .boxed()
    }
}
