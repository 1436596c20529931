//! `canary config`.

use std::path::PathBuf;

use canary_orchestrator::diagnostic::{Origin, SourceFile};
use canary_orchestrator::osop;
use canary_orchestrator::osop::settings::{Listed, list, parse_profile, reference};
use clap::ValueEnum;
use serde_json::json;

use crate::environment::Environment;
use crate::error::{CommandError, CommandResult};
use crate::output::Output;
use crate::view::span::{Line, Tone, render};
use crate::workflow::{self, WorkflowOptions};

/// Show the settings that hold, and where each is from
///
/// The workflow's own `x-canary` wins over the profile, mapping by mapping; `--set` wins over both.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary config checkout.osop.yaml --profile production.yaml
  canary config --reference                    every key there is, with type, default and meaning
  canary config --reference sources.prometheus")]
pub(crate) struct Args {
    /// The workflow
    #[arg(value_name = "FILE", required_unless_present = "reference")]
    file: Option<PathBuf>,
    #[command(flatten)]
    options: WorkflowOptions,
    /// Show every key of a section (all, without a section) instead
    #[arg(long, value_name = "SECTION", num_args = 0..=1, default_missing_value = "", conflicts_with = "file")]
    reference: Option<String>,
    /// How to print
    #[arg(short, long, value_enum)]
    output: Option<Form>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// JSON
    Json,
}

/// Shows them.
pub(crate) fn run(args: &Args, _environment: &Environment, output: &Output) -> CommandResult {
    if let Some(section) = &args.reference {
        return keys(section, args.output, output);
    }
    let file = args
        .file
        .as_ref()
        .ok_or_else(|| CommandError::usage("name a workflow"))?;
    let (parsed, problems) = osop::parse(SourceFile::new(
        file.display().to_string(),
        workflow::read(file)?,
    ));
    let Some(parsed) = parsed.filter(|_| !problems.has_errors()) else {
        workflow::say(&problems, output);
        return Err(CommandError::usage(""));
    };
    let profile = match &args.options.profile {
        None => None,
        Some(path) => {
            let (profile, problems) = parse_profile(SourceFile::new(
                path.display().to_string(),
                workflow::read(path)?,
            ));
            if problems.has_errors() {
                workflow::say(&problems, output);
                return Err(CommandError::usage(""));
            }
            profile
        }
    };
    let sets: Vec<String> = args
        .options
        .sets
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let listed = list(&parsed, profile.as_ref(), &sets);
    if args.output == Some(Form::Json) {
        let items: Vec<_> = listed
            .iter()
            .map(|one| json!({"path": one.path, "value": one.value, "from": origin(one)}))
            .collect();
        output.data(&serde_json::to_string_pretty(&items).unwrap_or_default());
        return Ok(0);
    }
    if listed.is_empty() {
        output.talk("nothing is set: neither x-canary nor a profile nor --set says anything");
        return Ok(0);
    }
    let width = listed
        .iter()
        .map(|one| one.path.chars().count() + one.value.chars().count() + 2)
        .max()
        .unwrap_or(0)
        .min(70)
        + 2;
    let lines: Vec<Line> = listed
        .iter()
        .map(|one| {
            Line::default()
                .column(format!("{}: {}", one.path, one.value), Tone::Plain, width)
                .add(format!("# {}", origin(one)), Tone::Dim)
        })
        .collect();
    output.data(&render(&lines, output.color));
    Ok(0)
}

fn origin(listed: &Listed) -> String {
    match listed.span.origin {
        Origin::CommandLine => "--set".to_owned(),
        other => format!("{}, line {}", other.as_str(), listed.span.line),
    }
}

fn keys(section: &str, form: Option<Form>, output: &Output) -> CommandResult {
    let wanted: Vec<_> = reference::KEYS
        .iter()
        .filter(|key| {
            section.is_empty()
                || key.section == section
                || key.section.starts_with(&format!("{section}."))
                || key.path() == section
        })
        .collect();
    if wanted.is_empty() {
        let mut sections: Vec<_> = reference::KEYS
            .iter()
            .map(|key| key.section)
            .filter(|section| !section.is_empty())
            .collect();
        sections.dedup();
        return Err(
            CommandError::usage(format!("there is no section `{section}`"))
                .hint(format!("sections: {}", sections.join(", "))),
        );
    }
    if form == Some(Form::Json) {
        let items: Vec<_> = wanted
            .iter()
            .map(|key| json!({"path": key.path(), "type": key.kind.to_string(), "default": key.default, "text": key.text}))
            .collect();
        output.data(&serde_json::to_string_pretty(&items).unwrap_or_default());
        return Ok(0);
    }
    let mut lines = Vec::new();
    for key in wanted {
        let default = if key.default.is_empty() {
            String::new()
        } else {
            format!(", default {}", key.default)
        };
        lines.push(
            Line::default()
                .add(key.path(), Tone::Strong)
                .add(format!("  ({}{default})", key.kind), Tone::Dim),
        );
        lines.push(Line::default().add(format!("    {}", key.text), Tone::Plain));
    }
    output.data(&render(&lines, output.color));
    Ok(0)
}
