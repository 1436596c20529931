//! A run in this process: put together, driven to its end, shown while it goes on.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use canary_orchestrator::assemble::{AssembleError, MakeRouter, Parts, Surroundings};
use canary_orchestrator::machine::{Event, Watch};
use canary_orchestrator::node::secrets::Secrets;
use canary_orchestrator::plan::{Inputs, Plan};
use canary_orchestrator::run::driver::{DriveOptions, End, Handle, Happened};
use canary_orchestrator::run::session::{Resume, Session};
use canary_orchestrator::run::store::{RunDirectory, SNAPSHOT_FORMAT, Snapshot};
use jiff::Timestamp;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::environment::Environment;
use crate::error::CommandError;
use crate::output::Output;
use crate::preflight;
use crate::runs;
use crate::signals::{Interrupts, Signals};
use crate::view::afterwards::left_to_do;
use crate::view::live::{Key, Screen};
use crate::view::log::Log;
use crate::view::span::{Line, Tone, render};
use crate::view::status::{self, Space};
use crate::view::time;
use crate::workflow::compile_again;

/// What a resumed run keeps of how it was started.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunOptions {
    /// Directory that relative paths start at.
    pub(crate) directory: PathBuf,
}

/// How it is shown and driven.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manner {
    /// Leave as soon as a person is needed.
    pub(crate) no_wait: bool,
    /// Plain lines even on a terminal.
    pub(crate) plain: bool,
}

/// A runtime for one command.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CommandError::failed(format!("cannot start the runtime: {error}")))
}

/// What a run finds around it.
pub(crate) fn surroundings(
    environment: &Environment,
    directory: &Path,
    router: Option<MakeRouter>,
) -> Surroundings {
    let variables = environment.variables.clone();
    let lookup = Arc::new(move |name: &str| variables.get(name).cloned());
    Surroundings {
        directory: directory.to_owned(),
        runtime_directory: environment.runtime_directory(),
        environment: environment
            .variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        secrets: Secrets::new(directory.to_owned(), lookup),
        router,
    }
}

/// After a promotion the route goes back to stable alone: in a cluster, where a command has made stable the new version.
/// Without such a command the canary is the only one that has it, and keeps the traffic.
fn puts_back(plan: &Plan) -> bool {
    !preflight::is_local(plan) && plan.settings.workload.promote.is_some()
}

fn assemble_error(error: AssembleError) -> CommandError {
    CommandError::usage(error.to_string())
}

/// Starts a new run and drives it to its end.
pub(crate) async fn start(
    inputs: &Inputs,
    plan: Plan,
    options: &RunOptions,
    router: Option<MakeRouter>,
    manner: Manner,
    environment: &Environment,
    output: &Output,
) -> Result<End, CommandError> {
    let parts = Parts::new(
        &plan,
        &surroundings(environment, &options.directory, router),
    )
    .map_err(assemble_error)?;
    let stored = |error: serde_json::Error| {
        CommandError::failed(format!("the run cannot be stored: {error}"))
    };
    let snapshot = Snapshot {
        format: SNAPSHOT_FORMAT,
        canary: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: runs::now(),
        service: plan.service.clone(),
        workflow: plan.id.clone(),
        hash: plan.hash.clone(),
        inputs: serde_json::to_value(inputs.captured(&plan)).map_err(stored)?,
        options: serde_json::to_value(options).map_err(stored)?,
    };
    let clean_up_promoted = puts_back(&plan);
    let stop = CancellationToken::new();
    let _watching = stop.clone().drop_guard();
    let session = Session::start(
        &runs::store(environment),
        plan,
        &snapshot,
        |run| DriveOptions {
            no_wait: manner.no_wait,
            clean_up_promoted,
            ..DriveOptions::new(run)
        },
        |place, journal| parts.hooks(&place, journal, stop),
    )
    .map_err(runs::run_error)?;
    show(session, manner, environment, output).await
}

/// Takes a run over that nobody drives, and drives it to its end.
pub(crate) async fn resume(
    run: &RunDirectory,
    takeover: Resume,
    manner: Manner,
    environment: &Environment,
    output: &Output,
) -> Result<End, CommandError> {
    let snapshot = run.snapshot().map_err(runs::store_error)?;
    let options: RunOptions = serde_json::from_value(snapshot.options).map_err(|error| {
        CommandError::usage(format!(
            "the options of {} are not understood: {error}",
            run.id()
        ))
    })?;
    let plan = compile_again(&snapshot.inputs).map_err(CommandError::usage)?;
    let parts = Parts::new(&plan, &surroundings(environment, &options.directory, None))
        .map_err(assemble_error)?;
    let stop = CancellationToken::new();
    let _watching = stop.clone().drop_guard();
    let session = Session::resume(
        run,
        &compile_again,
        takeover,
        |inspection| DriveOptions {
            no_wait: manner.no_wait,
            clean_up_promoted: puts_back(&inspection.plan),
            ..DriveOptions::new(inspection.run.id())
        },
        |place, journal| parts.hooks(&place, journal, stop),
    )
    .map_err(runs::run_error)?;
    if let Some(torn) = session.torn() {
        output.warn(&torn.to_string());
    }
    show(session, manner, environment, output).await
}

/// Drives it, and shows what happens: live on a terminal, else a line per event.
async fn show(
    session: Session,
    manner: Manner,
    environment: &Environment,
    output: &Output,
) -> Result<End, CommandError> {
    let run = session.run().id().to_owned();
    let live = environment.stderr_is_terminal && environment.stdout_is_terminal && !manner.plain;
    let screen = if live {
        Screen::enter(output.color).ok()
    } else {
        None
    };
    if screen.is_none() {
        output.talk(&format!("run {run}: `canary status {run}` says where it stands, `canary abort {run}` takes it back"));
    }
    let handle = session.handle().clone();
    let plan = Arc::clone(session.plan());
    let ended = CancellationToken::new();
    let interrupts = Interrupts::new(handle.clone(), environment.who());
    // From here on no signal ends the process by itself.
    match Signals::listen() {
        Ok(signals) => {
            let talk = (!live).then(|| output.clone());
            tokio::spawn(signals.obey(interrupts.clone(), talk, ended.clone()));
        }
        Err(error) => output.warn(&format!(
            "signals cannot be caught ({error}): use `canary abort` from another terminal"
        )),
    }
    let watcher = match screen {
        Some((screen, keys)) => aside(draw(
            run.clone(),
            screen,
            keys,
            handle,
            interrupts,
            ended.clone(),
        )),
        // Listens from here on: the first events happen before the task runs.
        None => aside(print(
            Arc::clone(&plan),
            handle.happened(),
            output.clone(),
            ended.clone(),
        )),
    };
    let end = session.drive().await;
    ended.cancel();
    // The last lines are printed, and the screen is put back, before anything else is said; but a terminal that takes
    // nothing any more is not waited for.
    let _shown = tokio::time::timeout(LAST_LINES, watcher).await;
    let end = end.map_err(runs::run_error)?;
    finish(&run, &plan, &end, environment, output);
    Ok(end)
}

/// How long the end waits for a terminal, or whoever reads what is printed.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Does this on a thread of its own: whoever reads stderr may stop reading, and a write that blocks must hold up neither
/// the run nor an abort. Resolves when it is through.
fn aside(work: impl Future<Output = ()> + Send + 'static) -> oneshot::Receiver<()> {
    let (through, is_through) = oneshot::channel();
    let show = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => runtime.block_on(work),
            Err(error) => tracing::warn!(%error, "the run is not shown"),
        }
        // Nobody may be waiting any more.
        let _gone = through.send(());
    };
    let started = std::thread::Builder::new()
        .name("view".to_owned())
        .spawn(show);
    if let Err(error) = started {
        tracing::warn!(%error, "the run is not shown");
    }
    is_through
}

/// The last word: data on stdout. The exit code stays that of the release, whatever becomes of the text.
fn finish(run: &str, plan: &Plan, end: &End, environment: &Environment, output: &Output) {
    for warning in &end.warnings {
        output.warn(warning);
    }
    let space = Space {
        width: environment.width(),
        height: None,
        wide: false,
    };
    let mut lines = status::lines(run, &end.report, space);
    lines.extend(left_to_do(plan, &end.report, space.width));
    output.last_word(&render(&lines, output.color));
    if end.outcome.is_none() {
        output.talk(&format!("left; `canary resume {run}` goes on"));
    }
}

/// A line per event, with its time, on stderr.
async fn print(
    plan: Arc<Plan>,
    mut happened: broadcast::Receiver<Happened>,
    output: Output,
    ended: CancellationToken,
) {
    let mut log = Log::default();
    loop {
        let next = tokio::select! {
            biased;
            next = happened.recv() => next,
            () = ended.cancelled() => return,
        };
        match next {
            Ok(next) => {
                let pending = pending_until(&next);
                for line in log.lines(&plan, &next.record, pending) {
                    output.talk_rendered(&format!(
                        "{} {}",
                        time::clock(next.record.at),
                        line.render(output.talk_color)
                    ));
                }
            }
            Err(RecvError::Lagged(missed)) => output.warn(&format!(
                "{missed} events were not printed; `canary logs` has them"
            )),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Until when the absence of evidence that was just measured counts for nothing.
fn pending_until(next: &Happened) -> Option<Timestamp> {
    match &next.record.event {
        Event::Measured {
            gate,
            watch: Watch::Node(_),
            measurement,
        } if measurement.no_data => next.report.gates.get(gate.0)?.pending_until,
        _ => None,
    }
}

/// The live view. Ctrl-C comes as a key here.
async fn draw(
    run: String,
    mut screen: Screen,
    mut keys: mpsc::UnboundedReceiver<Key>,
    handle: Handle,
    interrupts: Interrupts,
    ended: CancellationToken,
) {
    let mut view = handle.view();
    // Times on the screen go on without anything happening.
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let opened = (view.borrow().report.at, tokio::time::Instant::now());
    loop {
        let (width, height) = screen.size();
        let mut report = (*view.borrow_and_update().report).clone();
        report.at = report.at.max(opened.0 + opened.1.elapsed());
        let space = Space {
            width,
            height: Some(height.saturating_sub(1)),
            wide: false,
        };
        let mut lines = status::lines(&run, &report, space);
        lines.truncate(height.saturating_sub(1));
        lines.resize_with(height.saturating_sub(1), Line::default);
        lines.push(Line::default().add(
            format!("  Ctrl-C aborts   canary pause|promote|status {run} in another terminal"),
            Tone::Dim,
        ));
        if screen.draw(&lines).is_err() {
            return;
        }
        tokio::select! {
            changed = view.changed() => if changed.is_err() { return },
            _ = ticks.tick() => {}
            // A terminal that is gone has no keys any more.
            Some(key) = keys.recv() => if key == Key::Interrupt { interrupts.take(Signal::INT); },
            () = ended.cancelled() => return,
        }
    }
}
