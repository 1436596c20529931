//! `canary logs`.

use std::fs;

use canary_orchestrator::run::store::Wanted;

use crate::environment::Environment;
use crate::error::{CommandError, CommandResult};
use crate::output::Output;
use crate::runs;
use crate::view::log::Log;
use crate::view::{safe, time};

/// Print what happened in a release, or what one of its nodes printed
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  canary logs\n  canary logs checkout-7 --node build      what its command printed\n  canary logs checkout-7 -o json            the journal itself"
)]
pub(crate) struct Args {
    /// Name of the run, or the beginning of it
    run: Option<String>,
    /// What this node's commands printed
    #[arg(long, value_name = "NODE", conflicts_with = "output")]
    node: Option<String>,
    /// How to print
    #[arg(short, long, value_enum)]
    output: Option<Form>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// One JSON object per record
    Json,
}

/// Prints it.
pub(crate) fn run(args: &Args, environment: &Environment, output: &Output) -> CommandResult {
    let directory = runs::find(environment, args.run.as_deref(), Wanted::Any)?;
    let inspection = runs::read(&directory)?;
    if let Some(node) = &args.node {
        return node_log(node, &inspection, environment, output);
    }
    let mut log = Log::default();
    for record in &inspection.records {
        if output.is_closed() {
            return Ok(0);
        }
        if args.output == Some(Form::Json) {
            output.data(&serde_json::to_string(record).unwrap_or_default());
            continue;
        }
        let pending = inspection.replayed.pending.get(&record.seq).copied();
        for line in log.lines(&inspection.plan, record, pending) {
            output.data(&format!(
                "{} {}",
                time::clock(record.at),
                line.render(output.color)
            ));
        }
    }
    if let Some(torn) = &inspection.torn {
        output.warn(&torn.to_string());
    }
    Ok(0)
}

fn node_log(
    node: &str,
    inspection: &canary_orchestrator::run::inspect::Inspection,
    environment: &Environment,
    output: &Output,
) -> CommandResult {
    if inspection.plan.find(node).is_none() {
        let nearest = inspection
            .plan
            .nodes
            .iter()
            .map(|known| (strsim::jaro_winkler(node, &known.id), &known.id))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let error = CommandError::usage(format!("{} has no node `{node}`", inspection.run.id()));
        return Err(match nearest.filter(|(likeness, _)| *likeness > 0.7) {
            Some((_, near)) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        });
    }
    let prefix = format!("{}-", node.replace('/', "."));
    let mut files: Vec<_> = fs::read_dir(inspection.run.nodes())
        .map_err(|error| CommandError::failed(format!("cannot read what nodes printed: {error}")))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| is_log_of(path, &prefix))
        .collect();
    files.sort();
    if files.is_empty() {
        output.talk(&format!(
            "{node} printed nothing: it runs no command, or has not run"
        ));
    }
    for file in files {
        let text = fs::read(&file).map_err(|error| {
            CommandError::failed(format!("cannot read {}: {error}", file.display()))
        })?;
        // A file or a program gets what was printed, byte for byte; a terminal must not obey it.
        if environment.stdout_is_terminal {
            output.raw(&safe::block(&String::from_utf8_lossy(&text)));
        } else {
            output.bytes(&text);
        }
    }
    Ok(0)
}

/// `<node>-<iteration>-<attempt>.log`.
fn is_log_of(path: &std::path::Path, prefix: &str) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    name.strip_prefix(prefix)
        .and_then(|rest| rest.strip_suffix(".log"))
        .is_some_and(|rest| {
            rest.chars()
                .all(|letter| letter.is_ascii_digit() || letter == '-')
        })
}
