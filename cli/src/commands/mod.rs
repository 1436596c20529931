//! One module per command.

mod already;
pub(crate) mod analyze;
mod answers;
mod ask;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod controller;
pub(crate) mod demo;
pub(crate) mod doctor;
mod gate_flag;
pub(crate) mod graph;
pub(crate) mod init;
mod last_resort;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod operate;
pub(crate) mod proxy;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod test;
mod typed;
pub(crate) mod validate;

use crate::args::Command;
use crate::cluster;
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
        Command::Demo(args) => demo::run(&args, environment, output),
        Command::Run(args) => run::run(&args, environment, output),
        Command::Validate(args) => Ok(validate::run(&args, environment, output)),
        Command::Graph(args) => graph::run(&args, environment, output),
        Command::Analyze(args) => analyze::run(&args, environment, output),
        Command::Test(args) => test::run(&args, output),
        Command::Status(args) => status::run(&args, environment, output),
        Command::List(args) => list::list(&args, environment, output),
        Command::History(args) => list::history(&args, environment, output),
        Command::Logs(args) => logs::run(&args, environment, output),
        Command::Report(args) => report::run(&args, environment, output),
        Command::Promote(args) => operate::promote(&args, environment, output),
        Command::Abort(args) => operate::abort(&args, environment, output),
        Command::Pause(args) => operate::pause(&args, environment, output),
        Command::Resume(args) => operate::resume(&args, environment, output),
        Command::Retry(args) => operate::retry(&args, environment, output),
        Command::Get(args) => cluster::get::run(&args, environment, output),
        Command::Events(args) => cluster::events::run(&args, environment, output),
        Command::Undo(args) => cluster::workload::undo(&args, output),
        Command::Set(args) => cluster::workload::set(&args, output),
        Command::Install(args) => cluster::install::run(&args, output),
        Command::Init(args) => init::run(&args, environment, output),
        Command::Config(args) => config::run(&args, environment, output),
        Command::Doctor(args) => doctor::run(&args, environment, output),
        Command::Proxy(args) => proxy::run(*args, environment, output),
        Command::Controller(args) => controller::run(*args, environment, output),
        Command::Completions(args) => completions::run(&args, output),
        Command::Man(args) => man::run(&args, output),
    }
}
