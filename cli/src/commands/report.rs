//! `canary report`.

use canary_orchestrator::run::store::Wanted;
use clap::ValueEnum;

use crate::environment::Environment;
use crate::error::CommandResult;
use crate::output::Output;
use crate::runs;
use crate::view::afterwards::left_to_do;
use crate::view::html::{self, Entry};
use crate::view::log::Log;
use crate::view::span::render;
use crate::view::status::{self, Space};
use crate::view::time;

/// Report on a release: what happened, why, and what it cost
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  canary report\n  canary report checkout-7 -o html > report.html\n  canary report -o json | jq .headline"
)]
pub(crate) struct Args {
    /// Name of the run, or the beginning of it
    run: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For a terminal
    #[default]
    Text,
    /// The whole report as data
    Json,
    /// One page that can be sent and kept
    Html,
}

/// Prints it.
pub(crate) fn run(args: &Args, environment: &Environment, output: &Output) -> CommandResult {
    let directory = runs::find(environment, args.run.as_deref(), Wanted::Any)?;
    let inspection = runs::read(&directory)?;
    let mut report = inspection.report(runs::now());
    // Whoever reads the report need not be told to.
    report
        .next
        .retain(|command| !command.starts_with("canary report"));
    let mut log = Log::default();
    let entries = inspection.records.iter().flat_map(|record| {
        let pending = inspection.replayed.pending.get(&record.seq).copied();
        log.lines(&inspection.plan, record, pending)
            .into_iter()
            .map(|line| (record.at, line))
    });
    match args.output {
        Form::Json => {
            let mut document = serde_json::json!({"run": inspection.run.id()});
            if let (Some(document), Ok(serde_json::Value::Object(report))) =
                (document.as_object_mut(), serde_json::to_value(&report))
            {
                document.extend(report);
            }
            output.data(&serde_json::to_string_pretty(&document).unwrap_or_default());
        }
        Form::Html => {
            let entries: Vec<_> = entries
                .map(|(at, line)| Entry {
                    at,
                    text: line.text(),
                })
                .collect();
            output.raw(&html::page(inspection.run.id(), &report, &entries));
        }
        Form::Text => {
            let space = Space {
                width: environment.width(),
                height: None,
                wide: true,
            };
            let mut lines = status::lines(inspection.run.id(), &report, space);
            lines.extend(super::status::interrupted(&inspection));
            lines.extend(left_to_do(&inspection.plan, &report, space.width));
            output.data(&render(&lines, output.color));
            output.data("");
            for (at, line) in entries {
                output.data(&format!(
                    "  {} {}",
                    time::clock(at),
                    line.render(output.color)
                ));
            }
        }
    }
    Ok(0)
}
