//! Looks at a run without disturbing it: no lock, no process, only its files.

use jiff::Timestamp;

use super::driver::RunRecord;
use super::journal::Torn;
use super::replay::{Mismatch, Replayed, replay};
use super::store::{RunDirectory, Snapshot, StoreError};
use crate::machine::{self, Report};
use crate::plan::Plan;

/// A run as its files tell it.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The run.
    pub run: RunDirectory,
    /// What it was started with.
    pub snapshot: Snapshot,
    /// The plan, made again.
    pub plan: Plan,
    /// All records.
    pub records: Vec<RunRecord>,
    /// What a crash left of a last record.
    pub torn: Option<Torn>,
    /// Where they lead.
    pub replayed: Replayed,
    /// How many bytes of the journal are good.
    pub good: u64,
    /// Whether anybody drives it.
    pub liveness: Liveness,
}

/// Whether anybody drives a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// A process does.
    Live {
        /// Its id, where it is known.
        pid: Option<u32>,
    },
    /// Nobody does, and it has not ended: `canary resume` goes on with it.
    Interrupted,
    /// It has ended.
    Ended,
}

/// A run that cannot be looked at, or not resumed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its files.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its plan cannot be made again.
    #[error("the plan of run `{run}` cannot be made again from what it was started with: {why}")]
    Plan {
        /// The run.
        run: String,
        /// What is wrong.
        why: String,
    },
    /// Its plan is another one now.
    #[error(
        "the plan of run `{run}` is another one now than when it was started (by canary {canary}): its fingerprint was \
         {was} and is {is}; resume it with that version, or `canary abort` it, or force it"
    )]
    OtherPlan {
        /// The run.
        run: String,
        /// The version that started it.
        canary: String,
        /// Fingerprint then.
        was: String,
        /// Fingerprint now.
        is: String,
    },
    /// Its journal tells another story than the machine.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// Driving it failed.
    #[error(transparent)]
    Drive(#[from] super::driver::DriveError),
    /// Something that the process needs (a thread, a socket).
    #[error("could not {what}: {source}")]
    Process {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Makes a plan again from [`Snapshot::inputs`], or says why not.
pub type Compile<'a> = &'a dyn Fn(&serde_json::Value) -> Result<Plan, String>;

impl Inspection {
    /// Reads a run. `force` accepts a plan whose fingerprint is another one. A journal that does not agree with the
    /// machine is in [`Replayed::mismatch`]: such a run can be looked at.
    pub fn read(run: &RunDirectory, compile: Compile<'_>, force: bool) -> Result<Self, RunError> {
        let snapshot = run.snapshot()?;
        let id = || run.id().to_owned();
        let plan = compile(&snapshot.inputs).map_err(|why| RunError::Plan { run: id(), why })?;
        if plan.hash != snapshot.hash && !force {
            let (canary, was) = (snapshot.canary.clone(), snapshot.hash.clone());
            return Err(RunError::OtherPlan {
                run: id(),
                canary,
                was,
                is: plan.hash,
            });
        }
        // Whoever drives it may end it between the two looks: the journal last, it only grows.
        let holder = run.holder()?;
        let contents = run.read_journal()?;
        let replayed = replay(&plan, &contents.records, &snapshot.canary);
        let liveness = match holder {
            Some(pid) => Liveness::Live { pid },
            // What has ended stays so, whatever this version makes of its journal.
            None if replayed.mismatch.is_some() && run.has_ended() => Liveness::Ended,
            None if replayed.state.outcome().is_some() => Liveness::Ended,
            None => Liveness::Interrupted,
        };
        Ok(Self {
            run: run.clone(),
            snapshot,
            plan,
            records: contents.records,
            // A live driver may be in the middle of a line.
            torn: contents.torn.filter(|_| holder.is_none()),
            replayed,
            good: contents.good,
            liveness,
        })
    }

    /// The report: as of `now` for a live run, as of the last record for one that nobody watches.
    pub fn report(&self, now: Timestamp) -> Report {
        if self.replayed.mismatch.is_some()
            && self.liveness == Liveness::Ended
            && let Ok(kept) = self.run.read_report()
        {
            return kept;
        }
        let last = self.replayed.at.unwrap_or(now);
        let at = match self.liveness {
            Liveness::Live { .. } => now.max(last),
            Liveness::Interrupted | Liveness::Ended => last,
        };
        machine::report(&self.plan, &self.replayed.state, at)
    }
}
