//! `canary analyze`: judges once, for CI.

use std::path::{Path, PathBuf};
use std::time::Duration;

use canary_analyzer::duration;
use canary_analyzer::gate::{Gate, Measurement, Tally, Verdict, worst};
use canary_orchestrator::assemble::{Judge, Sources};
use canary_orchestrator::plan::{Plan, compile};
use jiff::Timestamp;

use super::gate_flag::GateFlag;
use super::typed::Typed;
use crate::drive;
use crate::environment::Environment;
use crate::error::{CommandError, CommandResult};
use crate::output::Output;
use crate::runs;
use crate::view::analysis::{Form, Judged, print};
use crate::view::time;
use crate::workflow::{self, WorkflowOptions};

/// Judge gates now, without a release
///
/// Measures the gates of a workflow, or those given here, and says pass or fail. With --for it goes on measuring that
/// long. Exit codes: 0 pass, 1 fail, 2 usage or configuration, 3 inconclusive or no answer.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary analyze checkout.osop.yaml --for 5m
  canary analyze checkout.osop.yaml --gate error-rate
  canary analyze --prometheus http://prometheus:9090 --gate 'sum(rate(errors[{{window}}])) / sum(rate(requests[{{window}}])) < 1%'
  canary analyze --prometheus http://prometheus:9090 --preset app --parameter canary=checkout-canary.* --gate 'error_rate < 1%'
  canary analyze checkout.osop.yaml --at 2026-11-20T14:00:00Z -o junit > gates.xml")]
pub(crate) struct Args {
    /// Workflow whose gates are judged
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    options: WorkflowOptions,
    /// With FILE the name of one of its gates; else a PromQL query or a metric (error_rate, p99_latency) and its limit
    #[arg(long = "gate", value_name = "GATE")]
    gates: Vec<String>,
    /// The Prometheus to ask
    #[arg(long, value_name = "URL", conflicts_with = "file")]
    prometheus: Option<String>,
    /// How the service's metrics look, for error_rate and p99_latency
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    preset: Option<String>,
    /// A parameter of the preset
    #[arg(long = "parameter", value_name = "NAME=VALUE", requires = "preset", value_parser = workflow::name_and_value)]
    parameters: Vec<(String, String)>,
    /// Go on measuring for this long
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse, conflicts_with = "at")]
    soak: Option<Duration>,
    /// Judge as of this time instead of now (RFC 3339)
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// How far back a gate given here looks
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse, conflicts_with = "file")]
    window: Duration,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// Judges.
pub(crate) fn run(args: &Args, environment: &Environment, output: &Output) -> CommandResult {
    let plan = plan(args, environment, output)?;
    let gates = wanted(args, &plan)?;
    let directory = environment.directory.join(
        args.file
            .as_deref()
            .and_then(Path::parent)
            .unwrap_or(Path::new("")),
    );
    let surroundings = drive::surroundings(environment, &directory, None);
    let sources = Sources::new(
        &plan.settings,
        &plan.service,
        &directory,
        &surroundings.secrets,
    )
    .map_err(|error| CommandError::usage(error.to_string()))?;
    if args.at.is_some() && sources.prometheus().is_none() {
        return Err(CommandError::usage(
            "--at needs a Prometheus: metrics pages only know the present",
        ));
    }
    if args.soak.is_none() && sources.prometheus().is_none() {
        output.warn(
            "metrics pages say something from the second look on: give --for, as in --for 1m",
        );
    }
    let deadline = plan.deadlines.evidence;
    let judged = drive::runtime()?.block_on(judge(args, gates, deadline, sources, output));
    let verdict = worst(judged.iter().map(|one| one.verdict));
    output.data(&print(args.output, &judged, verdict, output.color));
    Ok(match verdict {
        Verdict::Pass => 0,
        Verdict::Fail => 1,
        Verdict::Running | Verdict::Inconclusive | Verdict::Error => 3,
    })
}

/// The plan whose gates and sources are used: of the file, or made of the flags.
fn plan(args: &Args, environment: &Environment, output: &Output) -> Result<Plan, CommandError> {
    let inputs = match &args.file {
        Some(file) => workflow::inputs(file, &args.options, None, environment)?,
        None if args.gates.is_empty() => {
            return Err(CommandError::usage("nothing to judge")
                .hint("name a workflow, or give gates with --gate"));
        }
        None if args.prometheus.is_none() && args.options.profile.is_none() => {
            return Err(CommandError::usage("nothing says which Prometheus to ask")
                .hint("--prometheus URL, or a --profile that names one"));
        }
        None => return flags_plan(args, environment, output),
    };
    workflow::plan(&inputs, output)
}

/// The plan that the flags mean; what is wrong is shown in what was typed.
fn flags_plan(
    args: &Args,
    environment: &Environment,
    output: &Output,
) -> Result<Plan, CommandError> {
    let gates: Vec<GateFlag> = args
        .gates
        .iter()
        .map(|text| GateFlag::parse(text))
        .collect::<Result<_, _>>()?;
    let text = flags_workflow(args, &gates)?;
    let typed = Typed::new(&text, &gates);
    let inputs = workflow::from_text("--gate", text, &args.options, None, environment)?;
    let (plan, diagnostics) = compile(&inputs);
    workflow::say(&typed.point_at(&diagnostics), output);
    plan.filter(|_| !diagnostics.has_errors())
        .ok_or_else(|| CommandError::usage(""))
}

/// The workflow that the flags mean: one node that judges all gates.
fn flags_workflow(args: &Args, gates: &[GateFlag]) -> Result<String, CommandError> {
    let mut settings = serde_json::Map::new();
    if let Some(url) = &args.prometheus {
        settings.insert(
            "sources".to_owned(),
            serde_json::json!({"prometheus": {"url": url}}),
        );
    }
    if let Some(preset) = &args.preset {
        let parameters: serde_json::Map<_, _> = args
            .parameters
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        settings.insert(
            "metrics".to_owned(),
            serde_json::json!({"preset": preset, "parameters": parameters}),
        );
    }
    let window = duration::format(args.window);
    let names = GateFlag::names(gates);
    let list: Vec<_> = gates
        .iter()
        .zip(&names)
        .map(|(gate, name)| gate.settings(name, &window, args.soak.is_none()))
        .collect();
    settings.insert("gates".to_owned(), list.into());
    let mut runtime = serde_json::json!({"tool": "canary", "action": "analyze", "gates": names});
    if let Some(soak) = args.soak {
        // Only said so that the plan is whole; without a weight nothing cuts the window.
        runtime["duration"] = duration::format(soak.max(args.window)).into();
    }
    let document = serde_json::json!({
        "osop_version": "2.0",
        "id": "analyze",
        "name": "Gates of the command line",
        "nodes": [{"id": "check", "type": "infra", "purpose": "Judge", "runtime": runtime}],
        "edges": [],
        "x-canary": settings,
    });
    // JSON is YAML; over several lines with sorted keys, so that every part of a gate can be found again.
    serde_json::to_string_pretty(&document).map_err(|error| CommandError::usage(error.to_string()))
}

/// The gates to judge: all, or those that are named.
fn wanted(args: &Args, plan: &Plan) -> Result<Vec<Gate>, CommandError> {
    if plan.gates.is_empty() {
        return Err(CommandError::usage("the workflow has no gates")
            .hint("give some with --gate, or under x-canary.gates"));
    }
    if args.file.is_none() || args.gates.is_empty() {
        return Ok(plan.gates.clone());
    }
    let find = |name: &String| {
        plan.gates
            .iter()
            .find(|gate| gate.name == *name)
            .cloned()
            .ok_or_else(|| {
                let names: Vec<_> = plan.gates.iter().map(|gate| gate.name.as_str()).collect();
                CommandError::usage(format!("there is no gate `{name}`"))
                    .hint(format!("the workflow has {}", names.join(", ")))
            })
    };
    args.gates.iter().map(find).collect()
}

/// Measures each gate until it has decided or the time is over; once, without --for.
async fn judge(
    args: &Args,
    gates: Vec<Gate>,
    deadline: Option<Duration>,
    sources: Sources,
    output: &Output,
) -> Vec<Judged> {
    let judge = Judge::new(sources.clone());
    let watching = tokio::spawn(async move { sources.watch().await });
    let started = runs::now();
    let work = gates
        .into_iter()
        .map(|gate| one(&judge, gate, deadline, args, started, output));
    let judged = futures::future::join_all(work).await;
    watching.abort();
    judged
}

async fn one(
    judge: &Judge,
    gate: Gate,
    deadline: Option<Duration>,
    args: &Args,
    started: Timestamp,
    output: &Output,
) -> Judged {
    // As in a check: until then the absence of data counts for nothing.
    let data_due = started
        .saturating_add(
            deadline
                .unwrap_or(gate.interval * 3)
                .max(gate.initial_delay),
        )
        .unwrap_or(Timestamp::MAX);
    let until = args
        .soak
        .map(|soak| started.saturating_add(soak).unwrap_or(Timestamp::MAX));
    let mut tally = Tally::default();
    let mut last: Option<Measurement> = None;
    loop {
        let next = match until {
            None if last.is_some() => break,
            None => runs::now(),
            Some(until) => match tally.next_at(&gate, started) {
                Some(next) if next <= until => next,
                Some(_) | None => break,
            },
        };
        let pause = Duration::try_from(next.duration_since(runs::now())).unwrap_or_default();
        tokio::time::sleep(pause).await;
        let at = args.at.unwrap_or_else(runs::now);
        let measurement = judge.measure(&gate, Timestamp::MIN, at).await;
        let pending = until.is_some() && measurement.no_data && measurement.at < data_due;
        if pending {
            output.talk(&format!(
                "pending until {}: {}",
                time::clock(data_due),
                measurement.message
            ));
        } else if until.is_some() {
            output.talk(&measurement.message);
        }
        tally.record(&gate, &measurement, pending);
        last = Some(measurement);
    }
    let verdict = match (tally.verdict(&gate), &last) {
        // One look decides by itself: a count of five does not make it inconclusive.
        (Verdict::Running, Some(measurement)) if until.is_none() => measurement.phase.into(),
        _ => tally.conclude(&gate),
    };
    Judged {
        gate,
        tally,
        verdict,
        last,
    }
}
