//! A run in this process, from its directory to its end: lock, journal, driver, control socket, and the files at the end.

use std::sync::Arc;

use super::control::ControlServer;
use super::driver::{DriveOptions, Driver, End, FirstAction, Handle, Hooks, RunRecord, Start};
use super::inspect::{Compile, Inspection, RunError};
use super::journal::{JournalSink, JournalThread, Torn};
use super::lock::RunLock;
use super::osoplog::OsopLog;
use super::store::{RunDirectory, Snapshot, Store, StoreError, write_atomically};
use crate::machine::OperatorAction;
use crate::plan::Plan;

/// A run that this process drives.
#[derive(Debug)]
pub struct Session {
    run: RunDirectory,
    plan: Arc<Plan>,
    driver: Driver,
    handle: Handle,
    /// Held until everything else here has ended.
    lock: RunLock,
    control: ControlServer,
    torn: Option<Torn>,
}

/// What is given to whoever makes the [`Hooks`] of a run.
#[derive(Debug)]
pub struct Place<'a> {
    /// The run's directory: its outbox, the logs of its nodes.
    pub run: &'a RunDirectory,
    /// Its plan.
    pub plan: &'a Arc<Plan>,
    /// Time of the last record: the clock must not start before it.
    pub not_before: Option<jiff::Timestamp>,
}

/// How to take a run over.
#[derive(Debug, Clone, Default)]
pub struct Resume {
    /// What a person asks for right away; an abort wins before anything is started.
    pub first: Option<FirstAction>,
    /// Accept a plan whose fingerprint is another one.
    pub force: bool,
}

impl Session {
    /// Starts a new run. Must be called inside a runtime, as `drive` must.
    pub fn start(
        store: &Store,
        plan: Plan,
        snapshot: &Snapshot,
        options: impl FnOnce(&str) -> DriveOptions,
        hooks: impl FnOnce(Place<'_>, Box<dyn JournalSink>) -> Hooks,
    ) -> Result<Self, RunError> {
        let run = store.create(snapshot)?;
        let lock = run.lock()?;
        let start = Start::new(&plan);
        let options = options(run.id());
        Self::open(run, lock, Arc::new(plan), start, 0, None, options, hooks)
    }

    /// Takes a run over that nobody drives: after a crash, or after it was left.
    pub fn resume(
        run: &RunDirectory,
        compile: Compile<'_>,
        resume: Resume,
        options: impl FnOnce(&Inspection) -> DriveOptions,
        hooks: impl FnOnce(Place<'_>, Box<dyn JournalSink>) -> Hooks,
    ) -> Result<Self, RunError> {
        let lock = run.lock()?;
        // Taking traffic off is always right, whatever has become of the plan since.
        let abort = matches!(
            resume.first,
            Some(FirstAction {
                action: OperatorAction::Abort { .. },
                ..
            })
        );
        let inspection = Inspection::read(run, compile, resume.force || abort)?;
        if let Some(mismatch) = inspection.replayed.mismatch.clone().filter(|_| !abort) {
            return Err(mismatch.into());
        }
        let options = options(&inspection);
        let Inspection {
            plan,
            replayed,
            good,
            ..
        } = inspection;
        // While we hold the lock, a torn line is nobody's work in progress.
        let torn = run
            .read_journal::<serde_json::Value, serde_json::Value>()?
            .torn;
        let start = Start {
            first: resume.first,
            ..Start::from(replayed)
        };
        Self::open(
            run.clone(),
            lock,
            Arc::new(plan),
            start,
            good,
            torn,
            options,
            hooks,
        )
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "private, and each comes from another place"
    )]
    fn open(
        run: RunDirectory,
        lock: RunLock,
        plan: Arc<Plan>,
        start: Start,
        good: u64,
        torn: Option<Torn>,
        options: DriveOptions,
        hooks: impl FnOnce(Place<'_>, Box<dyn JournalSink>) -> Hooks,
    ) -> Result<Self, RunError> {
        let thread = JournalThread::start(run.append_journal(good)?).map_err(|source| {
            RunError::Process {
                what: "start the journal's thread",
                source,
            }
        })?;
        let place = Place {
            run: &run,
            plan: &plan,
            not_before: start.at,
        };
        let hooks = hooks(place, Box::new(thread));
        let (driver, handle) = Driver::new(plan.clone(), start, hooks, options);
        let socket = run.prepare_socket()?;
        let control =
            ControlServer::start(&socket, handle.clone()).map_err(|source| RunError::Process {
                what: "listen on the run's control socket",
                source,
            })?;
        Ok(Self {
            run,
            plan,
            driver,
            handle,
            lock,
            control,
            torn,
        })
    }

    /// The run.
    pub fn run(&self) -> &RunDirectory {
        &self.run
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Handle of the driver.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What a crash had left of a last record, for people.
    pub fn torn(&self) -> Option<&Torn> {
        self.torn.as_ref()
    }

    /// Drives the run to its end, or until it is left; then writes what is kept of it.
    pub async fn drive(self) -> Result<End, RunError> {
        let Self {
            run,
            plan,
            driver,
            lock,
            control,
            ..
        } = self;
        let mut end = driver.drive().await?;
        let (directory, report) = (run.clone(), end.report.clone());
        let needs_record =
            end.outcome.is_some() || end.left == Some(super::driver::Left::NeedsPerson);
        let ended = end.outcome.is_some();
        let written = tokio::task::spawn_blocking(move || {
            if needs_record {
                write_record(&directory, &plan, &report)?;
            }
            if ended {
                directory.write_report(report.as_ref())
            } else {
                Ok(())
            }
        });
        match written.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => end.warnings.push(format!(
                "the record of the run could not be written: {error}"
            )),
            Err(error) => end.warnings.push(format!(
                "the record of the run could not be written: {error}"
            )),
        }
        control.close().await;
        drop(lock);
        Ok(end)
    }
}

/// Writes the `.osoplog` of a run.
pub fn write_record(
    run: &RunDirectory,
    plan: &Plan,
    report: &crate::machine::Report,
) -> Result<std::path::PathBuf, StoreError> {
    let records: Vec<RunRecord> = run.read_journal()?.records;
    let path = run.osoplog(&plan.id);
    let yaml = OsopLog::new(run.id(), plan, &records, report)
        .to_yaml()
        .map_err(|why| StoreError::Malformed {
            path: path.clone(),
            why,
        })?;
    write_atomically(&path, yaml.as_bytes()).map_err(|source| StoreError::Io {
        what: "write",
        path: path.clone(),
        source,
    })?;
    Ok(path)
}
