//! The questions of `canary init` about traffic, evidence and limits.

use std::io::{BufRead, Write};

use canary_analyzer::duration;
use canary_analyzer::metric::{PRESETS, ParameterDefault};
use canary_orchestrator::plan::short::{ShortEvidence, ShortForm, ShortSplit};

use super::{Args, Counted, parse_steps};
use crate::commands::answers::{self, Limit};
use crate::commands::ask::{Asker, Question};
use crate::error::CommandError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Split {
    Proxy,
    Command,
}

/// What splits traffic, and where a proxy would serve its metrics.
pub(super) fn split<R: BufRead, W: Write>(
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

pub(super) fn evidence<R: BufRead, W: Write>(
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
pub(super) fn metrics<R: BufRead, W: Write>(
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
pub(super) fn limits<R: BufRead, W: Write>(
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
