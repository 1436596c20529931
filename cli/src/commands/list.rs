//! `canary list` and `canary history`.

use canary_orchestrator::run::inspect::{Inspection, Liveness};
use clap::ValueEnum;
use serde_json::json;

use crate::cluster::get::{self, Listing};
use crate::environment::Environment;
use crate::error::CommandResult;
use crate::output::Output;
use crate::runs;
use crate::view::span::{Line, Tone, cut, render};
use crate::view::status::{phase_tone, phase_word};
use crate::view::time;

/// List the releases that are active or interrupted; with -A, -n or --context those of a cluster
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  canary list\n  canary list -o name | xargs -n1 canary abort\n  canary list -A                  in the cluster, as `canary get releases -A`"
)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    listing: Listing,
}

/// List all releases, newest first
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  canary history\n  canary history --limit 5 -o json\n  canary history --prune 20        keep the newest 20 ended runs of each service"
)]
pub(crate) struct HistoryArgs {
    /// Show at most this many
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
    limit: usize,
    /// Remove ended runs but for the newest N of each service
    #[arg(long, value_name = "N")]
    prune: Option<usize>,
    /// With --prune: only say which
    #[arg(long, requires = "prune")]
    dry_run: bool,
    /// How to print
    #[arg(short, long, value_enum)]
    output: Option<Form>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// With the whole sentence
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// Only the names
    Name,
}

impl From<get::Form> for Form {
    fn from(form: get::Form) -> Self {
        match form {
            get::Form::Wide => Self::Wide,
            get::Form::Json => Self::Json,
            get::Form::Yaml => Self::Yaml,
            get::Form::Name => Self::Name,
        }
    }
}

/// Lists what goes on.
pub(crate) fn list(args: &ListArgs, environment: &Environment, output: &Output) -> CommandResult {
    let listing = &args.listing;
    if listing.in_cluster(environment) {
        return get::show_all(None, listing, environment, output);
    }
    let form = listing.output.map(Form::from);
    let all = all(environment, output, usize::MAX)?;
    let active: Vec<_> = all
        .into_iter()
        .filter(|run| run.liveness != Liveness::Ended)
        .collect();
    if active.is_empty() && form.is_none() {
        output.talk("no release is active");
        return Ok(0);
    }
    print(form, &active, environment, output);
    Ok(0)
}

/// Lists everything.
pub(crate) fn history(
    args: &HistoryArgs,
    environment: &Environment,
    output: &Output,
) -> CommandResult {
    if let Some(keep) = args.prune {
        let gone = runs::store(environment)
            .prune(keep, args.dry_run)
            .map_err(runs::store_error)?;
        let word = if args.dry_run {
            "would remove"
        } else {
            "removed"
        };
        output.talk(&format!("{word} {} runs", gone.len()));
        for run in &gone {
            output.data(run);
        }
        return Ok(0);
    }
    let all = all(environment, output, args.limit)?;
    if all.is_empty() && args.limit > 0 && args.output.is_none() {
        output.talk("there are no runs yet; `canary run FILE` starts one");
        return Ok(0);
    }
    print(args.output, &all, environment, output);
    Ok(0)
}

/// Runs that can be read; a warning for each that cannot.
fn all(
    environment: &Environment,
    output: &Output,
    limit: usize,
) -> Result<Vec<Inspection>, crate::error::CommandError> {
    let directories = runs::store(environment).list().map_err(runs::store_error)?;
    Ok(directories
        .iter()
        .take(limit)
        .filter_map(|run| {
            runs::read(run)
                .map_err(|error| output.warn(&format!("{}: {error}", run.id())))
                .ok()
        })
        .collect())
}

fn state(inspection: &Inspection, word: &'static str) -> &'static str {
    if inspection.liveness == Liveness::Interrupted {
        "interrupted"
    } else {
        word
    }
}

fn print(
    form: Option<Form>,
    inspections: &[Inspection],
    environment: &Environment,
    output: &Output,
) {
    let now = runs::now();
    match form {
        Some(Form::Name) => inspections
            .iter()
            .for_each(|inspection| output.data(inspection.run.id())),
        Some(Form::Json | Form::Yaml) => {
            let items: Vec<_> = inspections
                .iter()
                .map(|inspection| document(inspection, now))
                .collect();
            let text = if form == Some(Form::Json) {
                serde_json::to_string_pretty(&items).unwrap_or_default()
            } else {
                serde_saphyr::to_string(&items).unwrap_or_default()
            };
            output.data(text.trim_end());
        }
        Some(Form::Wide) | None => {
            let width = if form.is_some() {
                usize::MAX
            } else {
                environment.width()
            };
            output.data(&render(&table(inspections, now, width), output.color));
        }
    }
}

fn document(inspection: &Inspection, now: jiff::Timestamp) -> serde_json::Value {
    let report = inspection.report(now);
    json!({
        "run": inspection.run.id(),
        "state": state(inspection, phase_word(&report)),
        "workflow": report.workflow,
        "service": report.service,
        "weight": report.traffic.as_ref().and_then(|traffic| traffic.observed),
        "outcome": report.outcome.map(canary_orchestrator::machine::Outcome::word),
        "started_at": report.started_at,
        "ended_at": report.ended_at,
        "headline": report.headline,
    })
}

fn table(inspections: &[Inspection], now: jiff::Timestamp, width: usize) -> Vec<Line> {
    let name_width = inspections
        .iter()
        .map(|inspection| inspection.run.id().len())
        .max()
        .unwrap_or(3)
        .max(3)
        + 2;
    let mut lines = vec![
        Line::default()
            .column("RUN", Tone::Dim, name_width)
            .column("STATE", Tone::Dim, 14)
            .column("WEIGHT", Tone::Dim, 8)
            .column("AGE", Tone::Dim, 13)
            .add("WHY", Tone::Dim),
    ];
    for inspection in inspections {
        let report = inspection.report(now);
        let weight = report
            .traffic
            .as_ref()
            .and_then(|traffic| traffic.observed)
            .map_or_else(|| "-".to_owned(), |weight| weight.to_string());
        let age = report.started_at.map_or_else(String::new, |started| {
            time::duration(time::between(started, now))
        });
        let tone = if inspection.liveness == Liveness::Interrupted {
            Tone::Warn
        } else {
            phase_tone(&report)
        };
        let line = Line::default()
            .column(inspection.run.id(), Tone::Strong, name_width)
            .column(state(inspection, phase_word(&report)), tone, 14)
            .column(weight, Tone::Plain, 8)
            .column(age, Tone::Plain, 13);
        let room = width.saturating_sub(line.text().chars().count()).max(20);
        // The state is in its own column.
        let why = report
            .headline
            .strip_prefix(phase_word(&report))
            .and_then(|why| why.strip_prefix(": "))
            .unwrap_or(&report.headline);
        lines.push(line.add(cut(why, room), Tone::Plain));
    }
    lines
}
