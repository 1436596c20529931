//! `canary run`.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use canary_analyzer::duration;
use canary_orchestrator::node::spec::Work;
use canary_orchestrator::plan::short::{ShortEvidence, ShortForm, ShortSplit};
use canary_orchestrator::plan::{Action, Inputs, OnFailure, Plan, describe};
use canary_traffic::Weight;

use super::answers::{self, Limit};
use super::proxy::weight;
use crate::drive::{self, Manner, RunOptions};
use crate::environment::Environment;
use crate::error::{CommandError, CommandResult};
use crate::output::Output;
use crate::preflight;
use crate::view::safe;
use crate::workflow::{self, WorkflowOptions};

/// Run a release: a workflow, or the short form
///
/// Ctrl-C, SIGTERM and a terminal that goes away (SIGHUP) abort it: traffic goes back first. Ctrl-C or SIGTERM once more
/// leaves at once; `canary resume` goes on then. Under `nohup` a terminal that goes away changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary run checkout.osop.yaml
  canary run checkout.osop.yaml --profile production.yaml --set VERSION=1.4.2 --yes
  canary run checkout.osop.yaml --dry-run            every command in full; nothing is executed
  canary run --service checkout --steps 10,50,100 --prometheus http://prometheus:9090
  canary run --service checkout --steps 5,25,100 --canary-metrics http://127.0.0.1:9000/metrics --preset canary-proxy

Exit codes: 0 promoted or completed, 1 rolled back, aborted or held, 2 usage or configuration, 3 nobody decided in time or
blocked with --no-wait, 4 failed, 130 and 143 aborted by a signal.")]
pub(crate) struct Args {
    /// The workflow
    #[arg(
        value_name = "FILE",
        conflicts_with_all = [
            "service", "steps", "prometheus", "canary_metrics", "stable_metrics", "preset", "error_rate", "p99_latency",
            "soak", "interval", "min_requests", "bake", "proxy", "slack", "parameters", "set_weight",
        ]
    )]
    file: Option<PathBuf>,
    #[command(flatten)]
    options: WorkflowOptions,
    /// Print what would be executed, every command in full, and execute nothing
    #[arg(long)]
    dry_run: bool,
    /// Run the workflow's commands without asking
    #[arg(short, long)]
    yes: bool,
    /// What a failure does with the weight
    #[arg(long, value_enum, value_name = "WHAT")]
    on_failure: Option<FailureChoice>,
    /// Leave with exit code 3 as soon as a person is needed; the run can be resumed
    #[arg(long)]
    no_wait: bool,
    /// A line per event even on a terminal
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    short: ShortArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FailureChoice {
    /// Weight 0, then the workflow's way back
    Rollback,
    /// Keep the weight, and say what to run
    Hold,
}

/// The short form.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Short form (instead of FILE)")]
pub(crate) struct ShortArgs {
    /// What is released
    #[arg(long, value_name = "NAME", value_parser = answers::service)]
    pub(crate) service: Option<String>,
    /// Percent of the requests that the new version gets, step by step
    #[arg(long, value_name = "W,W,...", value_delimiter = ',', default_value = "10,50,100", value_parser = weight)]
    pub(crate) steps: Vec<Weight>,
    /// Evidence from this Prometheus
    #[arg(long, value_name = "URL", conflicts_with = "canary_metrics")]
    pub(crate) prometheus: Option<String>,
    /// Evidence from these metrics pages of the new version (or, without --stable-metrics, of a proxy that reports on both)
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub(crate) canary_metrics: Vec<String>,
    /// Metrics pages of the old version
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        requires = "canary_metrics"
    )]
    pub(crate) stable_metrics: Vec<String>,
    /// How the service's metrics look: app, canary-proxy, nginx-ingress, istio, linkerd, envoy, traefik
    #[arg(long, value_name = "NAME", default_value = "app")]
    pub(crate) preset: String,
    /// A parameter of the preset; may be given several times
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = workflow::name_and_value)]
    pub(crate) parameters: Vec<(String, String)>,
    /// Largest share of errors; `off` for no such gate
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = answers::share)]
    pub(crate) error_rate: Limit,
    /// Largest p99 latency; `off` for no such gate
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = answers::latency)]
    pub(crate) p99_latency: Limit,
    /// How long each step is judged
    #[arg(long = "for", value_name = "DURATION", default_value = "5m", value_parser = duration::parse)]
    pub(crate) soak: Duration,
    /// Time between measurements
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    pub(crate) interval: Duration,
    /// Requests that a measurement needs
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) min_requests: u64,
    /// How long 100 % is watched
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse)]
    pub(crate) bake: Duration,
    /// The running `canary proxy`: its name, or the path of its socket
    #[arg(long, value_name = "NAME", default_value = "local")]
    pub(crate) proxy: String,
    /// Instead of a proxy: the command that sets the canary's weight; `{weight}` in it stands for the percent
    #[arg(long, value_name = "COMMAND", conflicts_with = "proxy")]
    pub(crate) set_weight: Option<String>,
    /// Slack channel for the news; the token is read from $SLACK_BOT_TOKEN
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) slack: Option<String>,
}

impl ShortArgs {
    /// The short form that is meant.
    pub(crate) fn form(&self) -> Result<ShortForm, CommandError> {
        let service = self
            .service
            .clone()
            .ok_or_else(|| CommandError::usage("the short form needs --service"))?;
        let evidence = match (&self.prometheus, self.canary_metrics.is_empty()) {
            (Some(url), _) => ShortEvidence::Prometheus(url.clone()),
            (None, false) => ShortEvidence::Scrape {
                stable: self.stable_metrics.clone(),
                canary: self.canary_metrics.clone(),
            },
            (None, true) => {
                return Err(
                    CommandError::usage("nothing says where evidence comes from")
                        .hint("--prometheus URL, or --canary-metrics URL for direct scraping"),
                );
            }
        };
        answers::rising(&self.steps)
            .map_err(|why| CommandError::usage(format!("--steps: {why}")))?;
        if self.error_rate.0.is_none() && self.p99_latency.0.is_none() {
            return Err(CommandError::usage(
                "without --error-rate and without --p99-latency nothing judges the new version",
            )
            .hint("leave one of the two on"));
        }
        let split = match &self.set_weight {
            Some(command) => ShortSplit::Command(command.clone()),
            None => ShortSplit::Proxy {
                name: self.proxy.clone(),
                start: None,
            },
        };
        Ok(ShortForm {
            steps: self.steps.clone(),
            preset: self.preset.clone(),
            parameters: self.parameters.clone(),
            error_rate: self.error_rate.0.clone(),
            p99_latency: self.p99_latency.0.clone(),
            soak: self.soak,
            interval: self.interval,
            min_requests: self.min_requests,
            bake: self.bake,
            split,
            slack: self.slack.clone(),
            ..ShortForm::new(service, evidence)
        })
    }
}

/// Runs it.
pub(crate) fn run(args: &Args, environment: &Environment, output: &Output) -> CommandResult {
    let inputs = inputs(args, environment)?;
    let plan = workflow::plan(&inputs, output)?;
    let base = args
        .file
        .as_deref()
        .and_then(Path::parent)
        .unwrap_or(Path::new(""));
    let directory = environment.directory.join(base);
    if args.dry_run {
        output.data(&safe::block(&describe(&plan).to_string()));
        let changes = preflight::changes(&plan, &directory, environment, output)?;
        if !changes.is_empty() {
            output.data(&format!(
                "\nthe first weight would change:\n{}",
                safe::block(&changes.join("\n"))
            ));
        }
        return Ok(0);
    }
    confirm(&plan, args.yes, environment, output)?;
    preflight::router_answers(&plan, &directory, environment, output)?;
    let options = RunOptions { directory };
    let manner = Manner {
        no_wait: args.no_wait,
        plain: args.plain,
    };
    let end = drive::runtime()?.block_on(drive::start(
        &inputs,
        plan,
        &options,
        None,
        manner,
        environment,
        output,
    ))?;
    Ok(end.exit_code())
}

fn inputs(args: &Args, environment: &Environment) -> Result<Inputs, CommandError> {
    let on_failure = args.on_failure.map(|choice| match choice {
        FailureChoice::Rollback => OnFailure::Rollback,
        FailureChoice::Hold => OnFailure::Hold,
    });
    if let Some(file) = &args.file {
        return workflow::inputs(file, &args.options, on_failure, environment);
    }
    if args.short.service.is_none() {
        return Err(CommandError::usage("nothing says what to release")
            .hint("a workflow: canary run checkout.osop.yaml")
            .hint(
                "or the short form: canary run --service NAME --steps 10,50,100 --prometheus URL",
            ));
    }
    let text = args.short.form()?.to_osop();
    workflow::from_text(
        "short-form.osop.yaml",
        text,
        &args.options,
        on_failure,
        environment,
    )
}

/// A workflow that runs commands says so, and asks once.
fn confirm(
    plan: &Plan,
    yes: bool,
    environment: &Environment,
    output: &Output,
) -> Result<(), CommandError> {
    let commands = commands(plan);
    if commands.is_empty() || yes {
        return Ok(());
    }
    let what = format!(
        "this workflow runs commands on this machine: {}",
        commands.join(", ")
    );
    if !environment.stdin_is_terminal {
        return Err(CommandError::usage(what)
            .hint("--dry-run shows them in full; --yes runs them without asking"));
    }
    output.talk(&what);
    output.talk("(`--dry-run` shows them in full)");
    let mut stderr = std::io::stderr();
    let _closed = write!(stderr, "run it? [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let _read = std::io::stdin().lock().read_line(&mut answer);
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        Err(CommandError::usage("not run"))
    }
}

/// Nodes that start processes.
fn commands(plan: &Plan) -> Vec<String> {
    let workload = &plan.settings.workload;
    plan.nodes
        .iter()
        .filter(|node| match &node.action {
            Action::Task(task) | Action::Measure(task) => {
                matches!(task.work, Work::Shell(_) | Work::Program(_))
            }
            Action::Promote => workload.promote.is_some(),
            Action::Rollback => workload.rollback.is_some(),
            Action::Scale(_) => workload.scale.is_some(),
            Action::Ask(_)
            | Action::SetWeight(_)
            | Action::Analyze(_)
            | Action::VerifyWeight(_)
            | Action::Call => false,
        })
        .map(|node| node.id.clone())
        .collect()
}
