//! Finding runs and reading them.

use canary_orchestrator::run::inspect::{Inspection, RunError};
use canary_orchestrator::run::store::{RunDirectory, Store, StoreError, Wanted};
use jiff::Timestamp;

use crate::environment::Environment;
use crate::error::CommandError;
use crate::workflow::compile_again;

/// The wall clock, for what is shown to people.
#[expect(
    clippy::disallowed_methods,
    reason = "what is shown to people is dated by the wall clock"
)]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// All runs of this user.
pub(crate) fn store(environment: &Environment) -> Store {
    Store::new(
        &environment.state_directory(),
        &environment.runtime_directory(),
    )
}

/// The run of that name or unambiguous prefix; without a name, the one that is meant.
pub(crate) fn find(
    environment: &Environment,
    name: Option<&str>,
    wanted: Wanted,
) -> Result<RunDirectory, CommandError> {
    store(environment)
        .resolve(name, wanted)
        .map_err(store_error)
}

/// Reads a run: the active one, or the newest, where none is named.
pub(crate) fn inspect(
    environment: &Environment,
    name: Option<&str>,
) -> Result<Inspection, CommandError> {
    read(&find(environment, name, Wanted::Any)?)
}

/// Reads a run.
pub(crate) fn read(run: &RunDirectory) -> Result<Inspection, CommandError> {
    Inspection::read(run, &compile_again, true).map_err(run_error)
}

/// What is wrong with the store is the user's to put right, as is a name that means nothing.
pub(crate) fn store_error(error: StoreError) -> CommandError {
    let unknown = matches!(error, StoreError::Unknown { .. });
    let error = CommandError::usage(error.to_string());
    if unknown {
        error.hint("`canary history` lists all runs")
    } else {
        error
    }
}

/// What is wrong with a run.
pub(crate) fn run_error(error: RunError) -> CommandError {
    match error {
        RunError::Store(error) => store_error(error),
        RunError::Plan { .. } | RunError::OtherPlan { .. } => {
            CommandError::usage(error.to_string())
        }
        RunError::Mismatch(_) | RunError::Drive(_) | RunError::Process { .. } => {
            CommandError::failed(error.to_string())
        }
    }
}
