//! `canary init`.

use std::fs;
use std::io::{BufRead, Write};
use std::path::PathBuf;

use canary_orchestrator::plan::short::{ShortEvidence, ShortForm};

use super::run::ShortArgs;
use crate::environment::Environment;
use crate::error::{CommandError, CommandResult};
use crate::output::Output;

/// Write a commented workflow from a few answers or flags
///
/// On a terminal it asks for what the flags do not say. The workflow goes to stdout, or into a file with --output.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary init                                  asks
  canary init --service checkout --prometheus http://prometheus:9090 > checkout.osop.yaml
  canary init --service checkout --canary-metrics http://127.0.0.1:9000/metrics --preset canary-proxy --output checkout.osop.yaml")]
pub(crate) struct Args {
    #[command(flatten)]
    short: ShortArgs,
    /// Write into this file, which must not exist
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Writes it.
pub(crate) fn run(args: &Args, environment: &Environment, output: &Output) -> CommandResult {
    let complete = args.short.service.is_some()
        && (args.short.prometheus.is_some() || !args.short.canary_metrics.is_empty());
    let form = if complete {
        args.short.form()?
    } else if environment.stdin_is_terminal {
        ask(args, output)?
    } else {
        return Err(CommandError::usage(
            "nothing says what is released and where evidence comes from",
        )
        .hint("canary init --service NAME --prometheus URL"));
    };
    let text = form.to_osop();
    let Some(path) = &args.output else {
        output.raw(&text);
        if environment.stdout_is_terminal {
            output.talk("\n`canary init --output FILE` writes it into a file");
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
    output.talk(&format!("wrote {shown}; `canary validate {shown}` checks it, `canary run --dry-run {shown}` shows what it would do"));
    Ok(0)
}

/// Asks for what the flags do not say.
fn ask(args: &Args, output: &Output) -> Result<ShortForm, CommandError> {
    let service = match &args.short.service {
        Some(service) => service.clone(),
        None => question(output, "What is released (a service's name)?", "checkout")?,
    };
    let evidence = if !args.short.canary_metrics.is_empty() || args.short.prometheus.is_some() {
        None
    } else {
        let url = question(
            output,
            "Prometheus to ask (empty: scrape metrics pages directly)?",
            "",
        )?;
        Some(if url.is_empty() {
            let canary = question(
                output,
                "Metrics page of the new version?",
                "http://127.0.0.1:8082/metrics",
            )?;
            let stable = question(
                output,
                "Metrics page of the old version?",
                "http://127.0.0.1:8081/metrics",
            )?;
            ShortEvidence::Scrape {
                stable: vec![stable],
                canary: vec![canary],
            }
        } else {
            ShortEvidence::Prometheus(url)
        })
    };
    let mut short = args.short.clone();
    short.service = Some(service);
    match evidence {
        Some(ShortEvidence::Prometheus(url)) => short.prometheus = Some(url),
        Some(ShortEvidence::Scrape { stable, canary }) => {
            (short.stable_metrics, short.canary_metrics) = (stable, canary);
        }
        None => {}
    }
    short.form()
}

fn question(output: &Output, text: &str, default: &str) -> Result<String, CommandError> {
    let suffix = if default.is_empty() {
        String::new()
    } else {
        format!(" [{default}]")
    };
    output.talk(&format!("{text}{suffix}"));
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| CommandError::failed(format!("cannot read the answer: {error}")))?;
    let answer = answer.trim();
    Ok(if answer.is_empty() {
        default.to_owned()
    } else {
        answer.to_owned()
    })
}
