//! `canary init`.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use canary_analyzer::duration;
use canary_analyzer::metric::{PRESETS, ParameterDefault};
use canary_orchestrator::plan::short::{ShortEvidence, ShortForm, ShortSplit};
use canary_traffic::Weight;

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Split {
    Proxy,
    Command,
}

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

/// What splits traffic, and where a proxy would serve its metrics.
fn split<R: std::io::BufRead, W: Write>(
    args: &Args,
    service: &str,
    asker: &mut Asker<R, W>,
) -> Result<(ShortSplit, &'static str), CommandError> {
    const METRICS: &str = "127.0.0.1:9100";
    let given = args.proxy.is_some() || args.stable.is_some() || args.canary.is_some();
    let kind = if args.set_weight.is_some() {
        Split::Command
    } else if given {
        Split::Proxy
    } else {
        asker.choose(
            Question {
                text: "What splits traffic between the old and the new version?",
                default: "1",
                help: "`canary proxy` is a small HTTP proxy on this machine that sends a share of the requests to the new version. \
                       A command of yours can do it instead, for example one that changes a load balancer; it is called with the percent.",
                flag: "--proxy NAME, or --set-weight COMMAND",
            },
            &[
                (Split::Proxy, "proxy", "`canary proxy` on this machine"),
                (Split::Command, "command", "a command of mine"),
            ],
        )?
    };
    if kind == Split::Command {
        let command = asker.answer(
            args.set_weight.clone(),
            Question {
                text: "Command that sets the weight",
                default: "./set-weight.sh {weight}",
                help: "A shell command. {weight} stands for the percent of the requests that the new version gets, 0 to 100; \
                       it must be right to call it twice.",
                flag: "--set-weight COMMAND",
            },
            not_empty,
        )?;
        return Ok((ShortSplit::Command(command), METRICS));
    }
    let name = asker.answer(
        args.proxy.clone(),
        Question {
            text: "Name of the proxy",
            default: service,
            help: "What `canary proxy --name` says, or the path of its socket.",
            flag: "--proxy NAME",
        },
        not_empty,
    )?;
    // A proxy that has been started knows its versions; the addresses are for the comment that says how to start it.
    let stable = asker.answer(
        args.stable.clone(),
        Question {
            text: "Address of the old version",
            default: "http://127.0.0.1:8081",
            help: "Where the version that users trust listens: what the proxy is started with as --stable.",
            flag: "--stable URL",
        },
        answers::url,
    )?;
    let canary = asker.answer(
        args.canary.clone(),
        Question {
            text: "Address of the new version",
            default: "http://127.0.0.1:8082",
            help: "Where the version on trial listens: what the proxy is started with as --canary.",
            flag: "--canary URL",
        },
        answers::url,
    )?;
    let named = if name.contains('/') {
        format!("--admin {name}")
    } else {
        format!("--name {name}")
    };
    let start = format!("canary proxy {named} --stable {stable} --canary {canary}");
    let start = Some(start);
    Ok((ShortSplit::Proxy { name, start }, METRICS))
}

fn evidence<R: std::io::BufRead, W: Write>(
    args: &Args,
    split: &ShortSplit,
    asker: &mut Asker<R, W>,
) -> Result<(ShortEvidence, Counted), CommandError> {
    let proxy = matches!(split, ShortSplit::Proxy { .. });
    if let Some(url) = &args.prometheus {
        return Ok((ShortEvidence::Prometheus(url.clone()), Counted::Prometheus));
    }
    if !args.canary_metrics.is_empty() {
        let evidence = ShortEvidence::Scrape {
            stable: args.stable_metrics.clone(),
            canary: args.canary_metrics.clone(),
        };
        return Ok((evidence, Counted::Pages));
    }
    let prometheus = (
        Counted::Prometheus,
        "prometheus",
        "a Prometheus that scrapes the service",
    );
    let pages = (
        Counted::Pages,
        "pages",
        "the service's own metrics pages, read directly",
    );
    let of_proxy = (
        Counted::Proxy,
        "proxy",
        "what the proxy counts; the service needs no metrics",
    );
    let choices = if proxy {
        vec![of_proxy, prometheus, pages]
    } else {
        vec![prometheus, pages]
    };
    let from = asker.choose(
        Question {
            text: "Where does evidence come from?",
            default: "1",
            help: "Errors and latency of the new version are judged on real requests. Somebody has to count them: the proxy, a Prometheus, \
                   or the two versions themselves on a /metrics page.",
            flag: "--prometheus URL, or --canary-metrics URL (and --stable-metrics URL)",
        },
        &choices,
    )?;
    let page = |text, default, help, flag| Question {
        text,
        default,
        help,
        flag,
    };
    let evidence = match from {
        Counted::Proxy => ShortEvidence::Scrape {
            stable: Vec::new(),
            canary: vec!["http://127.0.0.1:9100/metrics".to_owned()],
        },
        Counted::Prometheus => ShortEvidence::Prometheus(asker.answer(
            None,
            page(
                "Address of the Prometheus",
                "http://127.0.0.1:9090",
                "Without /api/v1. Thanos, Mimir and VictoriaMetrics speak its language too.",
                "--prometheus URL",
            ),
            answers::url,
        )?),
        Counted::Pages => {
            let canary = asker.answer(
                None,
                page(
                    "Metrics page of the new version",
                    "http://127.0.0.1:8082/metrics",
                    "A page in the text format of Prometheus. With several instances: edit the list afterwards.",
                    "--canary-metrics URL",
                ),
                answers::url,
            )?;
            let stable = asker.answer(
                None,
                page(
                    "Metrics page of the old version",
                    "http://127.0.0.1:8081/metrics",
                    "The same of the version that users trust.",
                    "--stable-metrics URL",
                ),
                answers::url,
            )?;
            ShortEvidence::Scrape {
                stable: vec![stable],
                canary: vec![canary],
            }
        }
    };
    Ok((evidence, from))
}

/// The preset, and what it has to be told.
fn metrics<R: std::io::BufRead, W: Write>(
    args: &Args,
    from: Counted,
    asker: &mut Asker<R, W>,
) -> Result<(String, Vec<(String, String)>), CommandError> {
    let preset = match (&args.preset, from) {
        (Some(preset), _) => preset.clone(),
        (None, Counted::Proxy) => "canary-proxy".to_owned(),
        (None, Counted::Prometheus | Counted::Pages) => {
            let known: Vec<_> = PRESETS
                .iter()
                .map(|preset| format!("{}: {}", preset.name, preset.about))
                .collect();
            asker.answer(
                None,
                Question {
                    text: "How do the metrics look (preset)",
                    default: "app",
                    help: &known.join("\n  "),
                    flag: "--preset NAME; docs/metrics.md shows how to name metrics of your own",
                },
                answers::preset,
            )?
        }
    };
    let mut parameters = args.parameters.clone();
    let needed = PRESETS
        .iter()
        .filter(|known| known.name == preset)
        .flat_map(|known| known.parameters)
        .filter(|parameter| matches!(parameter.default, ParameterDefault::Required))
        // The workflow says it itself.
        .filter(|parameter| parameter.name != "service");
    for parameter in needed {
        if parameters.iter().any(|(name, _)| name == parameter.name) {
            continue;
        }
        let text = format!("Parameter {} of the preset {preset}", parameter.name);
        let flag = format!("--parameter {}=VALUE", parameter.name);
        let question = Question {
            text: &text,
            default: "",
            help: parameter.help,
            flag: &flag,
        };
        let missing = |text: &str| match text {
            "" => Err(format!("it has no default: {}", parameter.help)),
            text => Ok(text.to_owned()),
        };
        let value = asker.answer(None, question, missing)?;
        parameters.push((parameter.name.to_owned(), value));
    }
    Ok((preset, parameters))
}

/// Steps, limits, lengths and who is told.
fn limits<R: std::io::BufRead, W: Write>(
    args: &Args,
    form: ShortForm,
    asker: &mut Asker<R, W>,
) -> Result<ShortForm, CommandError> {
    let steps = asker.answer(
        args.steps.clone(),
        Question {
            text: "Steps, in percent",
            default: "10,50,100",
            help: "What share of the requests the new version gets, one step after the other. Each is judged before the next.",
            flag: "--steps W,W,...",
        },
        parse_steps,
    )?;
    let soak = asker.answer(
        args.soak,
        Question {
            text: "How long each step is judged",
            default: "5m",
            help: "Long enough for the requests that a judgement needs at the first step, and for slow harm to show.",
            flag: "--for DURATION",
        },
        |text| duration::parse(text).map_err(|error| error.to_string()),
    )?;
    let error_rate = asker.answer(
        args.error_rate.clone(),
        Question {
            text: "Largest share of errors",
            default: "1%",
            help: "The new version is taken back when more of its answers are errors. `off`: no such gate.",
            flag: "--error-rate SHARE",
        },
        answers::share,
    )?;
    let p99_latency = asker.answer(
        args.p99_latency.clone(),
        Question {
            text: "Largest p99 latency",
            default: "500ms",
            help: "The new version is taken back when more than 1 of 100 requests takes longer. `off`: no such gate.",
            flag: "--p99-latency TIME",
        },
        |text| match (answers::latency(text)?, &error_rate) {
            (Limit(None), Limit(None)) => Err(
                "with both limits off nothing would judge the new version: keep one".to_owned(),
            ),
            (limit, _) => Ok(limit),
        },
    )?;
    if error_rate.0.is_none() && p99_latency.0.is_none() {
        return Err(CommandError::usage(
            "without --error-rate and without --p99-latency nothing judges the new version",
        )
        .hint("leave one of the two on"));
    }
    let slack = asker.answer(
        args.slack.clone().map(Some),
        Question {
            text: "Slack channel for the news (Enter: none)",
            default: "",
            help: "Such as #releases. The bot's token is read from $SLACK_BOT_TOKEN when a release runs; other channels: docs/notifications.md.",
            flag: "--slack CHANNEL",
        },
        |text| Ok((!text.is_empty()).then(|| text.to_owned())),
    )?;
    Ok(ShortForm {
        steps: steps.0,
        soak,
        error_rate: error_rate.0,
        p99_latency: p99_latency.0,
        slack,
        ..form
    })
}

fn not_empty(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it cannot be empty".to_owned()),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests;
