//! `canary man`.

use std::path::PathBuf;

use clap::CommandFactory;

use crate::args::Cli;
use crate::error::{CommandError, CommandResult};
use crate::output::Output;

/// Write man pages, one per command
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  canary man --directory /usr/local/share/man/man1\n  canary man | man -l -"
)]
pub(crate) struct Args {
    /// Write all pages into this directory; without it the main page goes to stdout
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Writes them.
pub(crate) fn run(args: &Args, output: &Output) -> CommandResult {
    let failed =
        |error: std::io::Error| CommandError::failed(format!("cannot write man pages: {error}"));
    let Some(directory) = &args.directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command())
            .render(&mut page)
            .map_err(failed)?;
        output.raw(&String::from_utf8_lossy(&page));
        return Ok(0);
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), directory).map_err(failed)?;
    output.talk(&format!("wrote man pages to {}", directory.display()));
    Ok(0)
}
