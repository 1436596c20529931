//! An abort where the usual way is not there: the process that drives the run hangs, its journal is damaged, or it has
//! ended and left traffic on. Weight 0 is written to the router from here; the way back is somebody else's then.

use std::path::{Path, PathBuf};
use std::time::Duration;

use canary_orchestrator::assemble;
use canary_orchestrator::plan::Plan;
use canary_orchestrator::run::inspect::{Inspection, Liveness};
use canary_orchestrator::run::store::{RunDirectory, StoreError, Wanted};

use crate::drive::{self, RunOptions};
use crate::environment::Environment;
use crate::error::{CommandError, CommandResult};
use crate::output::Output;
use crate::runs;
use crate::workflow::compile_again;

/// How long the router may take.
const ROUTER: Duration = Duration::from_secs(10);

/// The run that an abort means: the active one, or where none is, the newest if it left traffic on.
pub(super) fn find(
    name: Option<&str>,
    environment: &Environment,
) -> Result<RunDirectory, CommandError> {
    let store = runs::store(environment);
    match store.resolve(name, Wanted::Active) {
        Err(error @ StoreError::NoneActive) => {
            let newest = store.resolve(None, Wanted::Any).ok();
            let left_on = |run: &RunDirectory| {
                runs::read(run).is_ok_and(|inspection| inspection.replayed.state.left_traffic_on())
            };
            newest
                .filter(left_on)
                .ok_or_else(|| runs::store_error(error))
        }
        found => found.map_err(runs::store_error),
    }
}

/// The process that drives the run does not answer.
pub(super) async fn no_answer(
    inspection: &Inspection,
    aborts: bool,
    environment: &Environment,
    output: &Output,
) -> CommandResult {
    let run = inspection.run.id();
    let pid = match inspection.liveness {
        Liveness::Live { pid: Some(pid) } => pid.to_string(),
        _ => "PID".to_owned(),
    };
    let error = CommandError::failed(format!(
        "{run}: the process that drives it (pid {pid}) does not answer"
    ));
    if !aborts {
        return Err(error.hint(format!(
            "wake it with `kill -CONT {pid}`, or end it with `kill -9 {pid}` and `canary resume {run}`"
        )));
    }
    let off = take_off(
        &inspection.plan,
        &directory_of(&inspection.run),
        environment,
    )
    .await;
    said(output, run, &off);
    Err(error.hint(format!(
        "end it with `kill -9 {pid}`, then `canary abort {run}` goes the way back"
    )))
}

/// The run's files cannot be read back.
pub(super) fn unreadable(
    run: &RunDirectory,
    error: CommandError,
    environment: &Environment,
    output: &Output,
) -> CommandResult {
    let plan = run
        .snapshot()
        .ok()
        .and_then(|snapshot| compile_again(&snapshot.inputs).ok());
    let Some(plan) = plan else {
        return Err(error.hint(
            "nothing says which router it used: set its weight by hand (docs/proxy.md, \"The control socket\")",
        ));
    };
    let off = drive::runtime()?.block_on(take_off(&plan, &directory_of(run), environment));
    said(output, run.id(), &off);
    Err(error
        .hint("the way back of the workflow was not gone: do what its rollback node does by hand"))
}

fn said(output: &Output, run: &str, off: &Result<(), String>) {
    match off {
        Ok(()) => output.talk(&format!(
            "{run}: traffic is off: the canary's weight is 0 %, written to the router directly"
        )),
        Err(why) => output.warn(&format!("{run}: the canary may still have traffic: {why}")),
    }
}

/// Where relative paths of the run's settings start; here, where the run does not say.
fn directory_of(run: &RunDirectory) -> PathBuf {
    run.snapshot()
        .ok()
        .and_then(|snapshot| serde_json::from_value::<RunOptions>(snapshot.options).ok())
        .unwrap_or_default()
        .directory
}

/// Weight 0, written and read back.
async fn take_off(plan: &Plan, base: &Path, environment: &Environment) -> Result<(), String> {
    let identity = format!("canary abort by {}", environment.who());
    let directory = environment.runtime_directory();
    let router = assemble::router(&plan.settings, &plan.service, &identity, &directory, base)
        .ok_or("its workflow names no router that canary drives")?;
    match tokio::time::timeout(ROUTER, router.take_off()).await {
        Ok(Ok(observed)) if observed.weight.is_zero() => Ok(()),
        Ok(Ok(observed)) => Err(format!("the router says {}", observed.weight)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("the router did not answer within {ROUTER:?}")),
    }
}
