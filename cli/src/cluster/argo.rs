//! The program under the name `kubectl-argo-rollouts`: the words and answers of Argo's command line, on Releases where there
//! is one for that workload, and on the Rollout itself where there is none. Scripts that call it keep working.

use std::sync::Arc;
use std::time::Duration;

use canary_controller::api::{Action, Release, Target, TargetKind};
use canary_controller::client::{Ask, ClientError, Cluster, RolloutStatus, rollout_status};
use canary_traffic::kubernetes::argo::{Argo, Steps};
use canary_traffic::kubernetes::{Access as RouterAccess, Api as RouterApi};
use canary_traffic::{Router, Weight};
use clap::{Parser, Subcommand};
use serde_json::Value;

use super::{ClusterOptions, act, said, show};
use crate::drive;
use crate::environment::Environment;
use crate::error::{CommandError, CommandResult};
use crate::output::{ColorChoice, Output};
use crate::runs::now;
use crate::view::span::render;

/// Between two looks at a Rollout.
const LOOK: Duration = Duration::from_secs(1);

/// Releases and Rollouts, with the words of Argo's command line
#[derive(Debug, Parser)]
#[command(
    name = "kubectl argo rollouts",
    bin_name = "kubectl argo rollouts",
    version,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    cluster: GlobalOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Default, clap::Args)]
struct GlobalOptions {
    /// Namespace
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    /// Context of the kubeconfig
    #[arg(long, global = true)]
    context: Option<String>,
    /// Kubeconfig file
    #[arg(long, global = true)]
    kubeconfig: Option<std::path::PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take the new version away
    Abort { name: String },
    /// Go on
    Promote {
        name: String,
        /// Straight to the end, without the remaining steps
        #[arg(long)]
        full: bool,
    },
    /// Take no further step
    Pause { name: String },
    /// Try an aborted rollout again
    Retry {
        #[arg(value_parser = ["rollout", "rollouts", "ro"])]
        kind: String,
        name: String,
    },
    /// Put an older template back
    Undo {
        name: String,
        #[arg(long, value_name = "N")]
        to_revision: Option<u64>,
    },
    /// Set images, or the weight of a Rollout
    Set {
        #[command(subcommand)]
        what: SetWhat,
    },
    /// Wait until it is healthy, and say how it stands
    Status {
        name: String,
        /// Wait for an end
        #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
        watch: bool,
        /// Wait at most this long: 0 for ever
        #[arg(short, long, default_value = "0")]
        timeout: String,
    },
    /// Show one
    Get {
        #[arg(value_parser = ["rollout", "rollouts", "ro"])]
        kind: String,
        name: String,
        /// Then each change
        #[arg(short, long)]
        watch: bool,
        /// Without colour
        #[arg(long)]
        no_color: bool,
    },
    /// List them
    List {
        #[arg(value_parser = ["rollout", "rollouts", "ro"])]
        kind: String,
        /// Of all namespaces
        #[arg(short = 'A', long)]
        all_namespaces: bool,
    },
    /// Say the version
    Version,
}

#[derive(Debug, Subcommand)]
enum SetWhat {
    /// Images of containers
    Image {
        name: String,
        #[arg(required = true, value_name = "CONTAINER=IMAGE", value_parser = crate::workflow::name_and_value)]
        images: Vec<(String, String)>,
    },
    /// The canary's percent of requests
    Weight { name: String, weight: Weight },
}

/// Either of the two.
enum Found {
    Release(Box<Release>),
    Rollout(Value),
}

/// Runs a command.
pub(crate) fn run(cli: Cli, environment: &Environment) -> u8 {
    let output = Output::new(ColorChoice::Auto, environment);
    match carry_out(cli, environment, &output) {
        Ok(code) => code,
        Err(error) => {
            let code = error.code;
            let _shown = output.error(&error);
            code
        }
    }
}

fn carry_out(cli: Cli, environment: &Environment, output: &Output) -> CommandResult {
    let options = ClusterOptions {
        namespace: cli.cluster.namespace,
        context: cli.cluster.context,
        kubeconfig: cli.cluster.kubeconfig,
    };
    if matches!(cli.command, Command::Version) {
        output.data(&format!(
            "canary {} as kubectl-argo-rollouts",
            env!("CARGO_PKG_VERSION")
        ));
        return Ok(0);
    }
    drive::runtime()?.block_on(async {
        let cluster = options.connect().await?;
        match cli.command {
            Command::Abort { name } => verb(&cluster, &name, Action::Abort, false, output).await,
            Command::Promote { name, full } => {
                verb(&cluster, &name, Action::Promote, full, output).await
            }
            Command::Pause { name } => verb(&cluster, &name, Action::Pause, false, output).await,
            Command::Retry { name, .. } => {
                verb(&cluster, &name, Action::Retry, false, output).await
            }
            Command::Undo { name, to_revision } => undo(&cluster, &name, to_revision, output).await,
            Command::Set {
                what: SetWhat::Image { name, images },
            } => {
                let target = target(find(&cluster, &name).await?, &name);
                cluster.set_images(&target, &images).await.map_err(said)?;
                output.data(&format!("rollout \"{name}\" image updated"));
                Ok(0)
            }
            Command::Set {
                what: SetWhat::Weight { name, weight },
            } => set_weight(&cluster, &options, &name, weight, output).await,
            Command::Status {
                name,
                watch,
                timeout,
            } => status(&cluster, &name, watch, &timeout, output).await,
            Command::Get {
                name,
                watch,
                no_color,
                ..
            } => {
                get(
                    &cluster,
                    &name,
                    watch,
                    output.color && !no_color,
                    environment,
                    output,
                )
                .await
            }
            Command::List { all_namespaces, .. } => {
                list(&cluster, all_namespaces, environment, output).await
            }
            Command::Version => Ok(0),
        }
    })
}

/// The Release of that name, or of a workload of that name; else the Rollout.
async fn find(cluster: &Cluster, name: &str) -> Result<Found, CommandError> {
    let releases = match cluster.list(false, None).await {
        Ok(releases) => releases,
        // Where canary is not installed, or may not be looked at, there may be Rollouts.
        Err(ClientError::NotInstalled(_) | ClientError::Forbidden(_)) => Vec::new(),
        Err(error) => return Err(said(error)),
    };
    let named = |release: &Release| release.metadata.name.as_deref() == Some(name);
    let of_workload = |release: &Release| release.spec.target.name == name;
    let found = releases.iter().find(|release| named(release));
    if let Some(release) = found.or_else(|| releases.iter().find(|release| of_workload(release))) {
        return Ok(Found::Release(Box::new(release.clone())));
    }
    cluster
        .rollout(name)
        .await
        .map(Found::Rollout)
        .map_err(said)
}

fn target(found: Found, name: &str) -> Target {
    match found {
        Found::Release(release) => release.spec.target,
        Found::Rollout(_) => Target {
            kind: TargetKind::Rollout,
            name: name.to_owned(),
        },
    }
}

async fn verb(
    cluster: &Cluster,
    name: &str,
    verb: Action,
    full: bool,
    output: &Output,
) -> CommandResult {
    match find(cluster, name).await? {
        Found::Release(release) => {
            let ask = Ask {
                verb,
                full,
                node: None,
                reason: None,
            };
            act::carry_out(cluster, &release, &ask, false, output).await
        }
        Found::Rollout(_) => {
            let done = cluster.rollout_act(name, verb, full).await.map_err(said)?;
            output.data(&format!("rollout '{name}' {done}"));
            Ok(0)
        }
    }
}

async fn undo(
    cluster: &Cluster,
    name: &str,
    revision: Option<u64>,
    output: &Output,
) -> CommandResult {
    let target = target(find(cluster, name).await?, name);
    cluster.undo(&target, revision).await.map_err(said)?;
    output.data(&format!("rollout '{name}' undo"));
    Ok(0)
}

async fn set_weight(
    cluster: &Cluster,
    options: &ClusterOptions,
    name: &str,
    weight: Weight,
    output: &Output,
) -> CommandResult {
    if let Found::Release(release) = find(cluster, name).await? {
        return Err(CommandError::usage(format!(
            "{} decides on its weights by evidence; nobody sets them by hand",
            super::full_name(&release)
        ))
        .hint(format!(
            "`canary promote {0}` goes a step on, `canary promote {0} --full` to 100 %",
            super::full_name(&release)
        )));
    }
    let access = RouterAccess {
        kubeconfig: options.kubeconfig.clone(),
        context: options.context.clone(),
    };
    let api = RouterApi::new(access, Some(cluster.namespace().to_owned()));
    let who = cluster.whoami().await.map_err(said)?;
    let router: Arc<dyn Router> = Arc::new(Argo::new(name, Steps::Keep, api, who));
    let failed = |error: canary_traffic::RouterError| CommandError::failed(error.to_string());
    let before = router.observe().await.map_err(failed)?.weight;
    let after = router.set_weight(before, weight).await.map_err(failed)?;
    output.data(&format!("rollout '{name}' weight set to {}", after.weight));
    Ok(0)
}

/// Argo's exit codes: 0 healthy, 1 degraded or too late.
async fn status(
    cluster: &Cluster,
    name: &str,
    watch: bool,
    timeout: &str,
    output: &Output,
) -> CommandResult {
    let limit = match timeout {
        "0" | "0s" => None,
        text => Some(
            canary_analyzer::duration::parse(text)
                .map_err(|error| CommandError::usage(format!("--timeout: {error}")))?,
        ),
    };
    let look = async {
        let mut before = String::new();
        loop {
            let (phase, message) = phase(&find(cluster, name).await?);
            let line = if message.is_empty() {
                phase.clone()
            } else {
                format!("{phase} - {message}")
            };
            if line != before {
                output.data(&line);
                before = line;
            }
            match phase.as_str() {
                "Healthy" => return Ok(0),
                "Degraded" => {
                    return Err(CommandError::failed(format!(
                        "The rollout is in a degraded state with message: {message}"
                    )));
                }
                _ if !watch => return Ok(0),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    };
    match limit {
        None => look.await,
        Some(limit) => tokio::time::timeout(limit, look).await.unwrap_or_else(|_| {
            Err(CommandError::failed(
                "Rollout status watch exceeded timeout".to_owned(),
            ))
        }),
    }
}

/// In Argo's words: Healthy, Progressing, Paused, Degraded.
fn phase(found: &Found) -> (String, String) {
    use canary_controller::api::ReleasePhase::{
        Aborted, Blocked, Completed, Failed, Held, Idle, Paused, Promoted, RolledBack, Waiting,
    };
    match found {
        Found::Rollout(rollout) => {
            let status = rollout_status(rollout);
            (status.phase, status.message)
        }
        Found::Release(release) => {
            let status = release.status.clone().unwrap_or_default();
            let word = match status.phase {
                Some(Idle | Promoted | Completed) => "Healthy",
                Some(Paused | Waiting | Blocked) => "Paused",
                Some(RolledBack | Aborted | Held | Failed) => "Degraded",
                _ => "Progressing",
            };
            (word.to_owned(), status.why.unwrap_or_default())
        }
    }
}

async fn get(
    cluster: &Cluster,
    name: &str,
    watch: bool,
    color: bool,
    environment: &Environment,
    output: &Output,
) -> CommandResult {
    let mut before = String::new();
    loop {
        let text = match find(cluster, name).await? {
            Found::Release(release) => render(
                &show::screen(&release, now(), environment.width(), true),
                color,
            ),
            Found::Rollout(rollout) => {
                rollout_text(name, cluster.namespace(), &rollout_status(&rollout))
            }
        };
        if text != before {
            if !before.is_empty() {
                output.data("");
            }
            output.data(&text);
        }
        if !watch {
            return Ok(0);
        }
        before = text;
        tokio::time::sleep(LOOK).await;
    }
}

fn rollout_text(name: &str, namespace: &str, status: &RolloutStatus) -> String {
    let mut lines = vec![
        format!("Name:            {name}"),
        format!("Namespace:       {namespace}"),
        format!("Status:          {}", status.phase),
    ];
    if !status.message.is_empty() {
        lines.push(format!("Message:         {}", status.message));
    }
    lines.push(format!("Strategy:        {}", status.strategy));
    if status.strategy == "Canary" {
        if let Some(step) = &status.step {
            lines.push(format!("  Step:          {step}"));
        }
        lines.push(format!("  SetWeight:     {}", status.set_weight));
        lines.push(format!("  ActualWeight:  {}", status.actual_weight));
    }
    let images = status.images.join("\n                 ");
    lines.push(format!("Images:          {images}"));
    lines.push("Replicas:".to_owned());
    for (word, count) in ["Desired", "Current", "Updated", "Ready", "Available"]
        .iter()
        .zip(status.replicas)
    {
        lines.push(format!("  {:<15}{count}", format!("{word}:")));
    }
    lines.join("\n")
}

async fn list(
    cluster: &Cluster,
    everywhere: bool,
    environment: &Environment,
    output: &Output,
) -> CommandResult {
    let releases = match cluster.list(everywhere, None).await {
        Ok(releases) => releases,
        Err(ClientError::NotInstalled(_)) => Vec::new(),
        Err(error) => return Err(said(error)),
    };
    if !releases.is_empty() {
        let lines = show::table(&releases, now(), environment.width(), everywhere);
        output.data(&render(&lines, output.color));
    }
    let rollouts = match cluster.rollout_list(everywhere).await {
        Ok(rollouts) => rollouts,
        Err(ClientError::NotInstalled(_)) => Vec::new(),
        Err(error) => return Err(said(error)),
    };
    let driven = |name: &str| {
        releases.iter().any(|release| {
            release.spec.target.kind == TargetKind::Rollout && release.spec.target.name == name
        })
    };
    let rest: Vec<_> = rollouts
        .iter()
        .filter(|(_, name, _)| !driven(name))
        .collect();
    if !rest.is_empty() {
        output.data("NAME                STRATEGY   STATUS       STEP  SET-WEIGHT  READY  DESIRED  UP-TO-DATE  AVAILABLE");
        for (_, name, rollout) in rest {
            let status = rollout_status(rollout);
            let [desired, _, updated, ready, available] = status.replicas;
            output.data(&format!(
                "{name:<19} {:<10} {:<12} {:<5} {:<11} {:<6} {desired:<8} {updated:<11} {available}",
                status.strategy,
                status.phase,
                status.step.as_deref().unwrap_or("-"),
                status.set_weight,
                format!("{ready}/{desired}"),
            ));
        }
    } else if releases.is_empty() {
        output.talk("No resources found.");
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// What is called in scripts today.
    #[test]
    fn the_usual_calls_are_understood() {
        for line in [
            "get rollout order-service --watch",
            "get ro order-service -w --no-color -n shop",
            "pause order-service",
            "promote order-service",
            "promote order-service --full",
            "abort order-service -n shop",
            "retry rollout order-service",
            "set image order-service order-service=registry.example.com/order:2",
            "set weight order-service 20",
            "undo order-service --to-revision=3",
            "status order-service --watch=false --timeout 60s",
            "status order-service -w",
            "list rollouts -A",
            "version",
        ] {
            let words = std::iter::once("kubectl-argo-rollouts").chain(line.split(' '));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
    }
}
