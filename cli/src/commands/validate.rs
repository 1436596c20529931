//! `canary validate`.

use std::path::PathBuf;

use canary_orchestrator::diagnostic::{HumanOptions, to_github, to_human, to_json, to_sarif};
use canary_orchestrator::plan::compile;
use clap::ValueEnum;
use serde_json::Value;

use crate::environment::Environment;
use crate::error::{CommandResult, USAGE};
use crate::output::Output;
use crate::workflow::{self, WorkflowOptions};

/// Check workflows: every error and warning at once
///
/// Exit code 2 if there is an error, 0 otherwise.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary validate checkout.osop.yaml
  canary validate --profile production.yaml releases/*.osop.yaml
  canary validate -o github checkout.osop.yaml      annotations in a pull request
  canary validate -o sarif checkout.osop.yaml > canary.sarif")]
pub(crate) struct Args {
    /// Workflows
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    options: WorkflowOptions,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Excerpts of the source
    #[default]
    Text,
    /// JSON
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Commands for GitHub Actions
    Github,
}

/// Checks them.
pub(crate) fn run(args: &Args, environment: &Environment, output: &Output) -> CommandResult {
    let mut failed = false;
    let mut documents = Vec::new();
    for file in &args.files {
        let inputs = workflow::inputs(file, &args.options, None, environment)?;
        let (_, diagnostics) = compile(&inputs);
        failed |= diagnostics.has_errors();
        match args.output {
            Form::Text if diagnostics.is_empty() => output.data(&format!("{}: ok", file.display())),
            Form::Text => {
                let options = HumanOptions {
                    color: output.color,
                    ..HumanOptions::default()
                };
                output.data(to_human(&diagnostics, options).trim_end());
            }
            Form::Json => documents.push(to_json(&diagnostics)),
            Form::Sarif => documents.push(to_sarif(&diagnostics, env!("CARGO_PKG_VERSION"))),
            Form::Github => output.raw(&to_github(&diagnostics)),
        }
    }
    if let Some(document) = joined(args.output, documents) {
        output.data(&serde_json::to_string_pretty(&document).unwrap_or_default());
    }
    Ok(if failed { USAGE } else { 0 })
}

/// One document for all files: SARIF joins its runs, JSON is a list where there are several.
fn joined(form: Form, mut documents: Vec<Value>) -> Option<Value> {
    if documents.len() < 2 {
        return documents.pop();
    }
    if form != Form::Sarif {
        return Some(Value::Array(documents));
    }
    let mut first = documents.remove(0);
    let more: Vec<Value> = documents
        .into_iter()
        .filter_map(|mut document| document.get_mut("runs")?.as_array_mut().map(std::mem::take))
        .flatten()
        .collect();
    if let Some(runs) = first.get_mut("runs").and_then(Value::as_array_mut) {
        runs.extend(more);
    }
    Some(first)
}
