//! `canary doctor`: is everything there that a release needs?

use std::path::{Path, PathBuf};
use std::time::Duration;

use canary_orchestrator::assemble::{Sources, router};
use canary_orchestrator::node::spec::Work;
use canary_orchestrator::osop::settings::{Auth, ChannelTarget, SecretRef, WebhookUrl};
use canary_orchestrator::plan::{Action, Plan};

use crate::environment::Environment;
use crate::error::{CommandResult, FAILED};
use crate::output::Output;
use crate::view::span::{Line, Tone, render};
use crate::workflow::{self, WorkflowOptions};
use crate::{drive, preflight};

/// Check what a release needs: sources, commands, credentials, clocks, the proxy, the state directory
///
/// Nothing is changed and no notification is sent. Exit code 1 if something is missing.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  canary doctor                                this machine\n  canary doctor checkout.osop.yaml --profile production.yaml"
)]
pub(crate) struct Args {
    /// The workflow; without it, only this machine is checked
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    options: WorkflowOptions,
}

/// How one check went.
enum Health {
    Good(String),
    Odd(String),
    Bad(String),
}

/// Clocks may differ by this much: a window of evidence is meant by our clock.
const CLOCKS: Duration = Duration::from_secs(5);

/// Checks it.
pub(crate) fn run(args: &Args, environment: &Environment, output: &Output) -> CommandResult {
    let mut found = vec![
        ("state directory", state_directory(environment)),
        (
            "runtime directory",
            Health::Good(environment.runtime_directory().display().to_string()),
        ),
    ];
    if let Some(file) = &args.file {
        let inputs = workflow::inputs(file, &args.options, None, environment)?;
        let plan = workflow::plan(&inputs, output)?;
        let directory = environment
            .directory
            .join(file.parent().unwrap_or(Path::new("")));
        found.push((
            "workflow",
            Health::Good(format!(
                "{} compiles: {} nodes, {} gates",
                plan.id,
                plan.nodes.len(),
                plan.gates.len()
            )),
        ));
        found.extend(
            programs(&plan, environment)
                .into_iter()
                .map(|health| ("command", health)),
        );
        found.extend(
            secrets(&plan, environment, &directory)
                .into_iter()
                .map(|health| ("secret", health)),
        );
        found.extend(drive::runtime()?.block_on(reachable(&plan, environment, &directory)));
    }
    let found = each_once(found);
    let bad = found
        .iter()
        .any(|(_, health)| matches!(health, Health::Bad(_)));
    let lines: Vec<Line> = found
        .iter()
        .map(|(what, health)| line(what, health))
        .collect();
    output.data(&render(&lines, output.color));
    Ok(if bad { FAILED } else { 0 })
}

/// Each finding once: a secret that two channels need is one secret, and a source that cannot be asked for want of it is no
/// second thing to repair.
fn each_once(found: Vec<(&'static str, Health)>) -> Vec<(&'static str, Health)> {
    let mut kept: Vec<(&'static str, Health)> = Vec::new();
    for (what, health) in found {
        let known = kept.iter().any(|(_, before)| match (before, &health) {
            (Health::Bad(before), Health::Bad(text)) => text.contains(before.as_str()),
            (Health::Good(before), Health::Good(text)) => text == before,
            (Health::Odd(before), Health::Odd(text)) => text == before,
            _ => false,
        });
        if !known {
            kept.push((what, health));
        }
    }
    kept
}

fn line(what: &str, health: &Health) -> Line {
    let (mark, tone, text) = match health {
        Health::Good(text) => ("ok", Tone::Good, text),
        Health::Odd(text) => ("look", Tone::Warn, text),
        Health::Bad(text) => ("bad", Tone::Bad, text),
    };
    Line::default()
        .column(mark, tone, 6)
        .column(what, Tone::Plain, 20)
        .add(text.clone(), Tone::Plain)
}

fn state_directory(environment: &Environment) -> Health {
    let directory = environment.state_directory();
    let probe = directory.join(".doctor");
    let tried = std::fs::create_dir_all(&directory)
        .and_then(|()| std::fs::write(&probe, b""))
        .and_then(|()| std::fs::remove_file(&probe));
    match tried {
        Ok(()) => Health::Good(directory.display().to_string()),
        Err(error) => Health::Bad(format!(
            "{}: {error}; set CANARY_STATE_DIR to a directory that can be written",
            directory.display()
        )),
    }
}

/// The programs that nodes start, on the path.
fn programs(plan: &Plan, environment: &Environment) -> Vec<Health> {
    let mut names: Vec<String> = plan
        .nodes
        .iter()
        .filter_map(|node| match &node.action {
            Action::Task(task) | Action::Measure(task) => match &task.work {
                Work::Program(work) => work
                    .argv
                    .first()
                    .and_then(canary_orchestrator::plan::template::Template::as_literal),
                Work::Shell(work) => first_word(work.script.source()),
                Work::Http(_) | Work::Query(_) => None,
            },
            _ => None,
        })
        .collect();
    names.sort();
    names.dedup();
    names
        .iter()
        .map(|name| program(name, environment))
        .collect()
}

/// The program that a script starts with, where that is a plain word.
fn first_word(script: &str) -> Option<String> {
    let word = script.split_whitespace().next()?;
    word.chars()
        .all(|letter| letter.is_ascii_alphanumeric() || "-_./+".contains(letter))
        .then(|| word.to_owned())
}

fn program(name: &str, environment: &Environment) -> Health {
    const BUILT_IN: [&str; 20] = [
        "cd", "echo", "exit", "export", "if", "for", "while", "set", "test", "true", "false",
        "printf", "read", "trap", "unset", "until", "case", ":", ".", "exec",
    ];
    if BUILT_IN.contains(&name) {
        return Health::Good(format!("{name} (of the shell)"));
    }
    if name.contains('/') {
        let there = environment.directory.join(name).is_file();
        return if there {
            Health::Good(name.to_owned())
        } else {
            Health::Odd(format!("{name}: not there from here"))
        };
    }
    let path = environment.get("PATH").unwrap_or_default();
    match path
        .split(':')
        .map(|directory| Path::new(directory).join(name))
        .find(|candidate| candidate.is_file())
    {
        Some(found) => Health::Good(found.display().to_string()),
        None => Health::Bad(format!(
            "{name}: not found in PATH; install it, or replace the node in the profile"
        )),
    }
}

/// The secrets that sources, channels and nodes name: there, or not. Never their values.
fn secrets(plan: &Plan, environment: &Environment, directory: &Path) -> Vec<Health> {
    let settings = &plan.settings;
    let mut references: Vec<SecretRef> = Vec::new();
    if let Some(prometheus) = &settings.sources.prometheus {
        match &prometheus.auth {
            Auth::None => {}
            Auth::Bearer(secret)
            | Auth::Basic {
                password: secret, ..
            } => references.push(secret.clone()),
        }
        references.extend(
            prometheus
                .headers_env
                .iter()
                .map(|(_, variable)| SecretRef::Env(variable.clone())),
        );
    }
    for channel in &settings.notify {
        match &channel.target {
            ChannelTarget::SlackWebhook { webhook } => references.push(webhook.clone()),
            ChannelTarget::SlackApi { token, .. } => references.push(token.clone()),
            ChannelTarget::PagerDuty { routing_key, .. } => references.push(routing_key.clone()),
            ChannelTarget::Webhook { url, secret } => {
                references.extend(secret.clone());
                if let WebhookUrl::Secret(url) = url {
                    references.push(url.clone());
                }
            }
            ChannelTarget::Command { .. } => {}
        }
    }
    let found = drive::surroundings(environment, directory, None).secrets;
    let mut health: Vec<Health> = references
        .iter()
        .map(|reference| match found.resolve_ref(reference) {
            Ok(_) => Health::Good(reference.name().value.clone()),
            Err(error) => Health::Bad(error.to_string()),
        })
        .collect();
    let mut bearers: Vec<String> = plan
        .nodes
        .iter()
        .filter_map(|node| match &node.action {
            Action::Task(task) => match &task.work {
                Work::Http(work) => work.bearer.clone(),
                Work::Shell(_) | Work::Program(_) | Work::Query(_) => None,
            },
            _ => None,
        })
        .collect();
    bearers.sort();
    bearers.dedup();
    health.extend(bearers.iter().map(|name| match found.resolve(name) {
        Ok(_) => Health::Good(name.clone()),
        Err(error) => Health::Bad(error.to_string()),
    }));
    health
}

async fn reachable(
    plan: &Plan,
    environment: &Environment,
    directory: &Path,
) -> Vec<(&'static str, Health)> {
    let mut found = Vec::new();
    let secrets = drive::surroundings(environment, directory, None).secrets;
    match Sources::new(&plan.settings, &plan.service, directory, &secrets) {
        Err(error) => found.push(("sources", Health::Bad(error.to_string()))),
        Ok(sources) => {
            if let Some(prometheus) = sources.prometheus() {
                match prometheus.ready().await {
                    Err(error) => found.push(("prometheus", Health::Bad(error.to_string()))),
                    Ok(ready) => {
                        let version = ready
                            .version
                            .map_or_else(String::new, |version| format!(", version {version}"));
                        found.push((
                            "prometheus",
                            Health::Good(format!("{} answers{version}", prometheus.address())),
                        ));
                        found.extend(ready.clock_offset.map(|offset| ("clock", clock(offset))));
                    }
                }
            }
            for (target, problem) in sources.probe().await {
                found.push((
                    "metrics page",
                    match problem {
                        None => Health::Good(target),
                        Some(problem) => Health::Bad(problem.to_string()),
                    },
                ));
            }
            if sources.prometheus().is_none()
                && !sources.counts_requests()
                && !plan.gates.is_empty()
            {
                found.push((
                    "sources",
                    Health::Bad("there are gates and no source: set x-canary.sources".to_owned()),
                ));
            }
        }
    }
    if let Some(router) = router(
        &plan.settings,
        &plan.service,
        "canary doctor",
        &environment.runtime_directory(),
        directory,
    ) {
        match router.preflight(&preflight::weights(plan)).await {
            Ok(there) => {
                found.push((
                    "router",
                    Health::Good(format!(
                        "{} answers: the canary has {}",
                        router.name(),
                        there.observed.weight
                    )),
                ));
                let warnings = preflight::talk(&there);
                found.extend(
                    warnings
                        .into_iter()
                        .map(|warning| ("router", Health::Good(format!("note: {warning}")))),
                );
            }
            Err(error) => found.push(("router", Health::Bad(error.to_string()))),
        }
    }
    found
}

fn clock(offset: jiff::SignedDuration) -> Health {
    let text = format!(
        "the Prometheus' clock is {:.1} s {} ours",
        offset.as_secs_f64().abs(),
        if offset.is_negative() {
            "behind"
        } else {
            "ahead of"
        }
    );
    if offset.unsigned_abs() > CLOCKS {
        Health::Bad(format!(
            "{text}: windows of evidence would miss the newest samples; set the clocks by NTP"
        ))
    } else {
        Health::Good(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_listed_once() {
        let missing = "the environment variable TOKEN, which holds a secret, is not set";
        let found = vec![
            ("secret", Health::Bad(missing.to_owned())),
            ("secret", Health::Good("KEY".to_owned())),
            ("secret", Health::Bad(missing.to_owned())),
            ("sources", Health::Bad(format!("prometheus: {missing}"))),
            ("secret", Health::Good("KEY".to_owned())),
            ("router", Health::Bad("nobody listens".to_owned())),
        ];
        let kept: Vec<_> = each_once(found).iter().map(|(what, _)| *what).collect();
        assert_eq!(kept, ["secret", "secret", "router"]);
    }
}
