//! `canary graph`.

use std::path::{Path, PathBuf};

use canary_orchestrator::diagnostic::Diagnostics;
use canary_orchestrator::plan;
use canary_orchestrator::plan::draw::{Format, draw, draw_graph};
use clap::ValueEnum;

use crate::environment::Environment;
use crate::error::{CommandError, CommandResult, USAGE};
use crate::output::Output;
use crate::runs;
use crate::workflow::{self, WorkflowOptions};

/// Draw a workflow, or what happened in a run of it
///
/// A workflow need not be complete: without its profile, or with errors in it, it is drawn all the same, and what is wrong is
/// counted on stderr. Exit code 2 if no node could be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary graph checkout.osop.yaml
  canary graph -o dot checkout.osop.yaml | dot -Tsvg > checkout.svg
  canary graph -o mermaid --run checkout-7          coloured by what happened")]
pub(crate) struct Args {
    /// The workflow; with --run, that of the run
    #[arg(value_name = "FILE", required_unless_present = "run")]
    file: Option<PathBuf>,
    #[command(flatten)]
    options: WorkflowOptions,
    /// Colour it by what happened in this run
    #[arg(long, value_name = "RUN", conflicts_with = "file")]
    run: Option<String>,
    /// How to draw
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For a terminal
    #[default]
    Text,
    /// Mermaid
    Mermaid,
    /// Graphviz
    Dot,
}

impl From<Form> for Format {
    fn from(form: Form) -> Self {
        match form {
            Form::Text => Self::Text,
            Form::Mermaid => Self::Mermaid,
            Form::Dot => Self::Dot,
        }
    }
}

/// A drawing needs nodes and edges only; that the rest is not in order is said in one line, with what says more.
fn note(args: &Args, file: &Path, diagnostics: &Diagnostics) -> Option<String> {
    let (errors, warnings) = diagnostics.counts();
    if errors + warnings == 0 {
        return None;
    }
    let count = |number: usize, noun: &str| match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    };
    let found = match (errors, warnings) {
        (errors, 0) => count(errors, "error"),
        (0, warnings) => count(warnings, "warning"),
        (errors, warnings) => format!(
            "{} and {}",
            count(errors, "error"),
            count(warnings, "warning")
        ),
    };
    let profile = args.options.profile.as_ref();
    let profile = profile.map_or_else(String::new, |profile| {
        format!(" --profile {}", profile.display())
    });
    let file = file.display();
    Some(format!(
        "{file} has {found}; to see {}: canary validate{profile} {file}",
        if errors + warnings == 1 { "it" } else { "them" }
    ))
}

/// Draws it.
pub(crate) fn run(args: &Args, environment: &Environment, output: &Output) -> CommandResult {
    let drawing = if let Some(run) = &args.run {
        let inspection = runs::inspect(environment, Some(run))?;
        draw(
            &inspection.plan,
            Some(&inspection.report(runs::now())),
            args.output.into(),
        )
    } else {
        let file = args
            .file
            .as_ref()
            .ok_or_else(|| CommandError::usage("name a workflow, or a run with --run"))?;
        let inputs = workflow::inputs(file, &args.options, None, environment)?;
        let (graph, diagnostics) = plan::graph(&inputs);
        let Some(graph) = graph else {
            workflow::say(&diagnostics, output);
            return Ok(USAGE);
        };
        if let Some(note) = note(args, file, &diagnostics) {
            output.warn(&note);
        }
        draw_graph(&graph, None, args.output.into())
    };
    output.data(&drawing);
    Ok(0)
}
