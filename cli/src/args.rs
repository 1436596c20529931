//! The command line.

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, Parser, Subcommand};

use crate::commands;
use crate::output::ColorChoice;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  canary demo                                  see a bad version being caught, in a minute
  canary init --service checkout > checkout.osop.yaml
  canary validate checkout.osop.yaml           check it: every mistake at once
  canary run checkout.osop.yaml                release
  canary status -w                             what runs, and what it waits for
  canary abort                                 take the new version away now

Exit codes of commands that wait for a release:
  0 promoted or completed   1 rolled back, aborted or held   2 usage, file or configuration
  3 nobody decided in time, or blocked with --no-wait        4 failed   130, 143 aborted by a signal";

/// Lets a new version of a service meet real users a few percent at a time, and takes it away from them the moment
/// the evidence says that it is worse.
#[derive(Debug, Parser)]
#[command(name = "canary", version, styles = STYLES, after_help = EXAMPLES, max_term_width = 110, propagate_version = true)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    infer_long_args = true
)]
pub(crate) struct Cli {
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: ColorChoice,
    /// Say on stderr what canary itself does (-v, -vv, -vvv)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See a release from its beginning to its end, on this machine, in a minute
    Demo(commands::demo::Args),
    /// Run a release
    Run(Box<commands::run::Args>),
    /// Check workflows: every error and warning at once
    Validate(commands::validate::Args),
    /// Draw a workflow, or what happened in a run of it
    Graph(commands::graph::Args),
    /// Judge gates now, without a release
    Analyze(commands::analyze::Args),
    /// Test gates and workflows on a virtual clock, without a network
    Test(commands::test::Args),
    /// Say where a release stands, what it waits for, and why
    Status(commands::status::Args),
    /// List the releases that are active or interrupted
    #[command(visible_alias = "ls")]
    List(commands::list::ListArgs),
    /// List all releases, newest first
    History(commands::list::HistoryArgs),
    /// Print what happened in a release, or what one of its nodes printed
    Logs(commands::logs::Args),
    /// Report on a release: what happened, why, and what it cost
    Report(commands::report::Args),
    /// Go on: past a pause, a blocked check, a soak or an approval
    Promote(commands::operate::PromoteArgs),
    /// Take the new version away now
    Abort(commands::operate::AbortArgs),
    /// Take no further step; what is watched stays watched
    Pause(commands::operate::PauseArgs),
    /// Go on with a release that is paused or was interrupted
    Resume(commands::operate::ResumeArgs),
    /// Try a blocked check again, or run an ended release anew
    Retry(commands::operate::RetryArgs),
    /// Write a commented workflow from a few answers or flags
    Init(Box<commands::init::Args>),
    /// Show the settings that hold, and where each is from
    Config(commands::config::Args),
    /// Check what a release needs: sources, commands, credentials, clocks
    Doctor(commands::doctor::Args),
    /// Split HTTP traffic between two versions on this machine
    Proxy(Box<commands::proxy::Args>),
    /// Print completions for a shell
    Completions(commands::completions::Args),
    /// Write man pages
    Man(commands::man::Args),
}
