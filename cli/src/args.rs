//! The command line.

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, Parser, Subcommand};

use crate::cluster;
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

/// What to do. The commands' own structs say what they do: text here would replace both their short and their long one.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(commands::demo::Args),
    Run(Box<commands::run::Args>),
    #[command(visible_alias = "lint")]
    Validate(commands::validate::Args),
    Graph(commands::graph::Args),
    Analyze(commands::analyze::Args),
    Test(commands::test::Args),
    Status(commands::status::Args),
    #[command(visible_alias = "ls")]
    List(commands::list::ListArgs),
    History(commands::list::HistoryArgs),
    Logs(commands::logs::Args),
    Report(commands::report::Args),
    Promote(commands::operate::PromoteArgs),
    Abort(commands::operate::AbortArgs),
    Pause(commands::operate::PauseArgs),
    Resume(commands::operate::ResumeArgs),
    Retry(commands::operate::RetryArgs),
    Get(cluster::get::Args),
    Events(cluster::events::Args),
    Undo(cluster::workload::UndoArgs),
    Set(cluster::workload::SetArgs),
    Install(cluster::install::Args),
    Init(Box<commands::init::Args>),
    Config(commands::config::Args),
    Doctor(commands::doctor::Args),
    Proxy(Box<commands::proxy::Args>),
    Controller(Box<commands::controller::Args>),
    Completions(commands::completions::Args),
    Man(commands::man::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_workflow_and_the_short_form_exclude_each_other() {
        for short in [["--steps", "5"], ["--error-rate", "1%"], ["--for", "1m"]] {
            let both = ["canary", "run", "x.yaml", short[0], short[1]];
            assert!(
                Cli::command().try_get_matches_from(both).is_err(),
                "{short:?}"
            );
        }
    }
}
