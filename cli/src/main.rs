//! The binary `canary`: words in, words out. Everything that decides lives in the crates below; only this one prints.

mod args;
mod commands;
mod demo;
mod drive;
mod environment;
mod error;
mod output;
mod preflight;
mod runs;
mod view;
mod workflow;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::args::Cli;
use crate::environment::Environment;
use crate::output::Output;

fn main() -> ExitCode {
    let environment = Environment::read();
    let matches = match Cli::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return output::usage(&error),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error),
    };
    let output = Output::new(cli.color, &environment);
    output::log_to_stderr(cli.verbose, &environment);
    // reqwest and rustls take the process-wide provider; without one, building a client panics.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    match commands::dispatch(cli.command, &environment, &output) {
        Ok(code) => ExitCode::from(code),
        Err(error) => output.error(&error),
    }
}
