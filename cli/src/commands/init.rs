//! `canary init`.

mod questions;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use canary_analyzer::duration;
use canary_orchestrator::plan::short::{ShortForm, ShortSplit};
use canary_traffic::Weight;

use questions::{evidence, limits, metrics, split};

use super::answers::{self, Limit};
use super::ask::{Asker, Question};
use crate::environment::Environment;
use crate::error::{CommandError, CommandResult};
use crate::output::Output;
use crate::workflow::name_and_value;

/// Write a commented workflow from a few answers or flags
///
/// On a terminal it asks for what the flags do not say, unless they say what is released and where evidence comes from;
/// `?` explains a question. Without a terminal, and with --yes, what no flag says has its default.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = "\
Examples:
  canary init --output checkout.osop.yaml      asks
  canary init --yes --service checkout > checkout.osop.yaml
  canary init --service checkout --prometheus http://prometheus:9090 > checkout.osop.yaml
  canary init --service checkout --proxy checkout --canary-metrics http://127.0.0.1:9100/metrics --preset canary-proxy
  canary init --service checkout --set-weight './split.sh {weight}' --prometheus http://prometheus:9090")]
pub(crate) struct Args {
    /// What is released [default: the name of this directory]
    #[arg(long, value_name = "NAME", value_parser = answers::service)]
    service: Option<String>,
    /// The `canary proxy` that splits traffic: its name, or the path of its socket [default: the service]
    #[arg(long, value_name = "NAME")]
    proxy: Option<String>,
    /// Where the old version listens [default: http://127.0.0.1:8081]
    #[arg(long, value_name = "URL", value_parser = answers::url)]
    stable: Option<String>,
    /// Where the new version listens [default: http://127.0.0.1:8082]
    #[arg(long, value_name = "URL", value_parser = answers::url)]
    canary: Option<String>,
    /// Instead of a proxy: the command that sets the canary's weight; `{weight}` in it stands for the percent
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["proxy", "stable", "canary"])]
    set_weight: Option<String>,
    /// Evidence from this Prometheus
    #[arg(long, value_name = "URL", conflicts_with = "canary_metrics", value_parser = answers::url)]
    prometheus: Option<String>,
    /// Evidence from these metrics pages of the new version (or, without --stable-metrics, of a proxy that reports on both)
    #[arg(long, value_name = "URL", value_delimiter = ',', value_parser = answers::url)]
    canary_metrics: Vec<String>,
    /// Metrics pages of the old version
    #[arg(long, value_name = "URL", value_delimiter = ',', requires = "canary_metrics", value_parser = answers::url)]
    stable_metrics: Vec<String>,
    /// How the metrics look: app, canary-proxy, nginx-ingress, istio, linkerd, envoy, traefik [default: canary-proxy where
    /// evidence is what the proxy counts, else app]
    #[arg(long, value_name = "NAME", value_parser = answers::preset)]
    preset: Option<String>,
    /// A parameter of the preset; may be given several times
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = name_and_value)]
    parameters: Vec<(String, String)>,
    /// Percent of the requests that the new version gets, step by step [default: 10,50,100]
    #[arg(long, value_name = "W,W,...", value_parser = parse_steps)]
    steps: Option<Steps>,
    /// Largest share of errors; `off` for no such gate [default: 1%]
    #[arg(long, value_name = "SHARE", value_parser = answers::share)]
    error_rate: Option<Limit>,
    /// Largest p99 latency; `off` for no such gate [default: 500ms]
    #[arg(long, value_name = "TIME", value_parser = answers::latency)]
    p99_latency: Option<Limit>,
    /// How long each step is judged [default: 5m]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    soak: Option<Duration>,
    /// Time between measurements
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    interval: Duration,
    /// Requests that a measurement needs
    #[arg(long, value_name = "N", default_value_t = 100)]
    min_requests: u64,
    /// How long 100 % is watched
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse)]
    bake: Duration,
    /// Slack channel for the news; the token is read from $SLACK_BOT_TOKEN [default: none]
    #[arg(long, value_name = "CHANNEL")]
    slack: Option<String>,
    /// Ask nothing: what no flag says has its default
    #[arg(short, long)]
    yes: bool,
    /// Write into this file, which must not exist
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Weights, as one value.
#[derive(Debug, Clone, PartialEq)]
struct Steps(Vec<Weight>);

fn parse_steps(text: &str) -> Result<Steps, String> {
    answers::steps(text).map(Steps)
}

/// Writes it.
pub(crate) fn run(args: &Args, environment: &Environment, output: &Output) -> CommandResult {
    let says_enough =
        args.service.is_some() && (args.prometheus.is_some() || !args.canary_metrics.is_empty());
    let silent = args.yes || says_enough || !environment.stdin_is_terminal;
    let mut asker = Asker::new(std::io::stdin().lock(), std::io::stderr(), silent);
    if !silent {
        asker.say("Enter takes the answer in brackets, ? explains, Ctrl-C writes nothing.\n")?;
    }
    let text = form(args, &directory_name(environment), &mut asker)?.to_osop();
    let Some(path) = &args.output else {
        output.raw(&text);
        if environment.stdout_is_terminal {
            output.talk("");
            output.talk("`canary init --output FILE` writes it into a file");
        }
        return Ok(0);
    };
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|error| {
            CommandError::usage(format!("cannot write {}: {error}", path.display()))
        })?;
    file.write_all(text.as_bytes()).map_err(|error| {
        CommandError::failed(format!("cannot write {}: {error}", path.display()))
    })?;
    let shown = path.display();
    output.talk(&format!("wrote {shown}; `canary validate {shown}` checks it, `canary doctor {shown}` looks for what it needs, `canary run --dry-run {shown}` shows what it would do"));
    Ok(0)
}

/// The service is most often called like the directory that its release is in.
fn directory_name(environment: &Environment) -> String {
    let name = environment.directory.file_name();
    let name = name.and_then(|name| name.to_str()).unwrap_or_default();
    answers::service(name).unwrap_or_else(|_| "shop".to_owned())
}

/// Who counts the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    Proxy,
    Prometheus,
    Pages,
}

/// What the flags and the answers say.
fn form<R: std::io::BufRead, W: Write>(
    args: &Args,
    directory: &str,
    asker: &mut Asker<R, W>,
) -> Result<ShortForm, CommandError> {
    let service = asker.answer(
        args.service.clone(),
        Question {
            text: "Service",
            default: directory,
            help: "What is released. Each run is named after it, and so are messages.",
            flag: "--service NAME",
        },
        answers::service,
    )?;
    let (split, metrics_address) = split(args, &service, asker)?;
    let (evidence, from) = evidence(args, &split, asker)?;
    let split = match split {
        ShortSplit::Proxy { name, start } => ShortSplit::Proxy {
            name,
            start: start.map(|start| match from {
                Counted::Proxy => format!("{start} --metrics {metrics_address}"),
                Counted::Prometheus | Counted::Pages => start,
            }),
        },
        command @ ShortSplit::Command(_) => command,
    };
    let (preset, parameters) = metrics(args, from, asker)?;
    limits(
        args,
        ShortForm {
            split,
            preset,
            parameters,
            interval: args.interval,
            min_requests: args.min_requests,
            bake: args.bake,
            ..ShortForm::new(service, evidence)
        },
        asker,
    )
}

#[cfg(test)]
mod tests;
