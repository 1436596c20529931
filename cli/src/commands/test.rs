//! `canary test`: unit tests for gates and workflows.

use std::path::{Path, PathBuf};

use canary_orchestrator::diagnostic::SourceFile;
use canary_orchestrator::scenario;

use crate::error::{CommandResult, FAILED, USAGE};
use crate::output::Output;
use crate::workflow;

/// Test gates and workflows on a virtual clock, without a network
///
/// A test gives series of results, or what nodes do and when, and says what is expected: measurements, verdicts, the path,
/// weights, notifications, the outcome. Exit codes: 0 all passed, 1 some failed, 2 a file is wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary test tests/*.test.yaml
  canary test --trace checkout.test.yaml      also print what happened, event by event")]
pub(crate) struct Args {
    /// Files of tests
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print what happened in each test
    #[arg(long)]
    trace: bool,
}

/// Runs them.
pub(crate) fn run(args: &Args, output: &Output) -> CommandResult {
    let (mut passed, mut failed, mut wrong) = (0, 0, false);
    for file in &args.files {
        let text = workflow::read(file)?;
        let directory = file.parent().unwrap_or(Path::new("")).to_owned();
        let load = move |name: &str| {
            workflow::read(&directory.join(name)).map_err(|error| error.to_string())
        };
        let result = scenario::run(SourceFile::new(file.display().to_string(), text), &load);
        workflow::say(&result.diagnostics, output);
        wrong |= result.diagnostics.has_errors();
        output.raw(&result.to_text(args.trace));
        passed += result.tests.iter().filter(|test| test.passed()).count();
        failed += result.tests.iter().filter(|test| !test.passed()).count();
    }
    output.data(&format!("{passed} passed, {failed} failed"));
    Ok(match (wrong, failed) {
        (true, _) => USAGE,
        (false, 0) => 0,
        (false, _) => FAILED,
    })
}
