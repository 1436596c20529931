//! `canary status`.

use canary_orchestrator::machine::Report;
use canary_orchestrator::run::control::Client;
use canary_orchestrator::run::inspect::{Inspection, Liveness};
use canary_orchestrator::run::store::Wanted;
use canary_traffic::Weight;
use clap::ValueEnum;
use serde_json::json;

use crate::cluster::{ClusterOptions, get, status as in_cluster};
use crate::environment::Environment;
use crate::error::{CommandError, CommandResult};
use crate::output::Output;
use crate::runs;
use crate::view::afterwards::left_to_do;
use crate::view::live::{Key, Screen};
use crate::view::span::{Line, Tone, render};
use crate::view::status::{self, Space};

/// Say where a release stands, what it waits for, and why
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary status                    the active release, else the newest
  canary status checkout-7 -o wide
  canary status -w                 live; q or Ctrl-C leaves
  canary status release/checkout -n shop -w
  canary status -o json | jq .report.waits")]
pub(crate) struct Args {
    /// Name of the run, or the beginning of it. `release/NAME`: a release in a cluster
    run: Option<String>,
    /// Watch it until it ends
    #[arg(short, long)]
    watch: bool,
    /// How to print
    #[arg(short, long, value_enum)]
    output: Option<Form>,
    #[command(flatten)]
    cluster: ClusterOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// With more columns and the purpose of each node
    Wide,
    /// JSON; with -w one object per line and change
    Json,
    /// YAML
    Yaml,
    /// Only the run's name
    Name,
}

impl Form {
    fn in_cluster(self) -> get::Form {
        match self {
            Self::Wide => get::Form::Wide,
            Self::Json => get::Form::Json,
            Self::Yaml => get::Form::Yaml,
            Self::Name => get::Form::Name,
        }
    }
}

/// Says it.
pub(crate) fn run(args: &Args, environment: &Environment, output: &Output) -> CommandResult {
    if let Some(release) = args.cluster.release(args.run.as_deref(), environment)? {
        let form = args.output.map(Form::in_cluster);
        return in_cluster::run(
            &release,
            args.watch,
            form,
            &args.cluster,
            environment,
            output,
        );
    }
    let directory = runs::find(environment, args.run.as_deref(), Wanted::Any)?;
    let inspection = runs::read(&directory)?;
    if args.watch && matches!(inspection.liveness, Liveness::Live { .. }) {
        return watch(args, &inspection, environment, output);
    }
    print(
        args.output,
        &inspection,
        &inspection.report(runs::now()),
        environment,
        output,
    );
    Ok(0)
}

fn print(
    form: Option<Form>,
    inspection: &Inspection,
    report: &Report,
    environment: &Environment,
    output: &Output,
) {
    let run = inspection.run.id();
    match form {
        Some(Form::Name) => output.data(run),
        Some(Form::Json) => output
            .data(&serde_json::to_string_pretty(&document(inspection, report)).unwrap_or_default()),
        Some(Form::Yaml) => output.data(
            serde_saphyr::to_string(&document(inspection, report))
                .unwrap_or_default()
                .trim_end(),
        ),
        Some(Form::Wide) | None => {
            let space = Space {
                width: environment.width(),
                height: None,
                wide: form.is_some(),
            };
            let mut lines = status::lines(run, report, space);
            lines.extend(interrupted(inspection));
            lines.extend(left_to_do(&inspection.plan, report, space.width));
            output.data(&render(&lines, output.color));
        }
    }
}

/// The report, and what only the machine that it runs on knows.
fn document(inspection: &Inspection, report: &Report) -> serde_json::Value {
    json!({
        "run": inspection.run.id(),
        "live": matches!(inspection.liveness, Liveness::Live { .. }),
        "directory": inspection.run.path(),
        "report": report,
    })
}

/// What to do with a run that nobody drives.
pub(crate) fn interrupted(inspection: &Inspection) -> Vec<Line> {
    if inspection.liveness != Liveness::Interrupted {
        return Vec::new();
    }
    let run = inspection.run.id();
    vec![
        Line::default(),
        Line::default().add(
            "  interrupted: no process drives it, and nothing is being watched",
            Tone::Warn,
        ),
        Line::default()
            .add("  next: ", Tone::Dim)
            .add(format!("canary resume {run}"), Tone::Strong)
            .add(" or ", Tone::Dim)
            .add(format!("canary abort {run}"), Tone::Strong),
    ]
}

fn watch(
    args: &Args,
    inspection: &Inspection,
    environment: &Environment,
    output: &Output,
) -> CommandResult {
    let runtime = crate::drive::runtime()?;
    let broken = |error: &dyn std::fmt::Display| {
        CommandError::failed(format!("cannot watch {}: {error}", inspection.run.id()))
    };
    runtime.block_on(async {
        let client = Client::connect(&inspection.run)
            .await
            .map_err(|error| broken(&error))?;
        let mut changes = client.subscribe().await.map_err(|error| broken(&error))?;
        let lines_only = args.output.is_some_and(|form| form != Form::Wide);
        let mut screen = if environment.stdout_is_terminal && !lines_only {
            Screen::enter(output.color).ok()
        } else {
            None
        };
        let mut last = None;
        loop {
            let present = tokio::select! {
                present = changes.next() => present.map_err(|error| broken(&error))?,
                key = next_key(&mut screen) => match key {
                    Key::Quit | Key::Interrupt => break,
                    Key::Resized => last.clone(),
                },
            };
            let Some(present) = present else { break };
            match &mut screen {
                Some((screen, _)) => {
                    let (width, height) = screen.size();
                    let space = Space {
                        width,
                        height: Some(height),
                        wide: args.output == Some(Form::Wide),
                    };
                    // A terminal that went away ends the watch, not the run.
                    if screen
                        .draw(&status::lines(inspection.run.id(), &present.report, space))
                        .is_err()
                    {
                        break;
                    }
                }
                None => follow(
                    args.output,
                    inspection,
                    &present.report,
                    last.as_ref().map(|last| &last.report),
                    output,
                ),
            }
            last = Some(present);
            if output.is_closed() {
                break;
            }
        }
        drop(screen);
        if let Some(last) = last.filter(|_| !lines_only && environment.stdout_is_terminal) {
            print(args.output, inspection, &last.report, environment, output);
        }
        Ok(0)
    })
}

/// One line per change, where there is no terminal.
fn follow(
    form: Option<Form>,
    inspection: &Inspection,
    report: &Report,
    before: Option<&Report>,
    output: &Output,
) {
    match form {
        Some(Form::Json) => output.data(&document(inspection, report).to_string()),
        Some(Form::Yaml) => output.data(&format!(
            "---\n{}",
            serde_saphyr::to_string(&document(inspection, report))
                .unwrap_or_default()
                .trim_end()
        )),
        Some(Form::Name | Form::Wide) | None => {
            if before.is_none_or(|before| said(before) != said(report)) {
                let at = crate::view::time::clock(report.at);
                let line = Line::default().add(format!("{at} {}", said(report)), Tone::Plain);
                output.data(&line.render(false));
            }
        }
    }
}

/// The phase and the headline; an outcome is the headline's own first word.
fn said(report: &Report) -> String {
    match report.outcome {
        Some(_) => report.headline.clone(),
        None => format!(
            "{}: {}{}",
            status::phase_word(report),
            report.headline,
            weight(report).map_or_else(String::new, |weight| format!(", canary gets {weight}"))
        ),
    }
}

/// What the canary gets, where the workflow moves traffic and the router has said it.
fn weight(report: &Report) -> Option<Weight> {
    report.traffic.as_ref()?.observed
}

/// The next key; never, where there is no screen.
async fn next_key(screen: &mut Option<(Screen, tokio::sync::mpsc::UnboundedReceiver<Key>)>) -> Key {
    match screen {
        Some((_, keys)) => match keys.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
