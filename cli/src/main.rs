//! The binary `canary`: words in, words out. Everything that decides lives in the crates below; only this one prints.

mod args;
mod cluster;
mod commands;
mod demo;
mod drive;
mod environment;
mod error;
mod output;
mod preflight;
mod runs;
mod signals;
mod view;
mod workflow;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::args::Cli;
use crate::environment::Environment;
use crate::output::Output;

fn main() -> ExitCode {
    let environment = Environment::read();
    // reqwest and rustls take the process-wide provider; without one, building a client panics.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    if environment::called_as().as_deref() == Some("kubectl-argo-rollouts") {
        return match <cluster::argo::Cli as clap::Parser>::try_parse() {
            Ok(cli) => ExitCode::from(cluster::argo::run(cli, &environment)),
            Err(error) => output::usage(error, &[]),
        };
    }
    let mut command = Cli::command();
    let parsed = command
        .try_get_matches_from_mut(std::env::args_os())
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let commands: Vec<_> = command
                .get_subcommands()
                .map(clap::Command::get_name)
                .collect();
            return output::usage(error, &commands);
        }
    };
    let output = Output::new(cli.color, &environment);
    let _last_lines = output::log_to_stderr(cli.verbose, &environment);
    match commands::dispatch(cli.command, &environment, &output) {
        Ok(code) => output.end(code),
        Err(error) => output.error(&error),
    }
}
