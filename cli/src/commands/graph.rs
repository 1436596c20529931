//! `canary graph`.

use std::path::PathBuf;

use canary_orchestrator::plan::draw::{Format, draw};
use clap::ValueEnum;

use crate::environment::Environment;
use crate::error::{CommandError, CommandResult};
use crate::output::Output;
use crate::runs;
use crate::workflow::{self, WorkflowOptions};

/// Draw a workflow, or what happened in a run of it
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
        draw(&workflow::plan(&inputs, output)?, None, args.output.into())
    };
    output.data(&drawing);
    Ok(0)
}
