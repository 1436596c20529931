//! `canary completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::error::CommandResult;
use crate::output::Output;

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  canary completions bash > /etc/bash_completion.d/canary\n  canary completions zsh > \"${fpath[1]}/_canary\"\n  canary completions fish > ~/.config/fish/completions/canary.fish"
)]
pub(crate) struct Args {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints them.
#[expect(clippy::unnecessary_wraps, reason = "every command gives a result")]
pub(crate) fn run(args: &Args, output: &Output) -> CommandResult {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "canary", &mut text);
    output.raw(&String::from_utf8_lossy(&text));
    Ok(0)
}
