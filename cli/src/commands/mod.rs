//! One module per command.

pub(crate) mod completions;
pub(crate) mod man;
pub(crate) mod proxy;

use crate::args::Command;
use crate::environment::Environment;
use crate::error::CommandResult;
use crate::output::Output;

/// Runs a command.
pub(crate) fn dispatch(
    command: Command,
    environment: &Environment,
    output: &Output,
) -> CommandResult {
    match command {
        Command::Completions(args) => completions::run(&args, output),
        Command::Man(args) => man::run(&args, output),
        Command::Proxy(args) => proxy::run(args, environment, output),
    }
}
