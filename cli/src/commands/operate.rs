//! `canary promote`, `abort`, `pause`, `resume` and `retry`: what a person may ask of a release.

use std::time::Duration;

use canary_controller::api::Action;
use canary_controller::client::Ask;
use canary_orchestrator::machine::{OperatorAction, Outcome, RunPhase};
use canary_orchestrator::plan::Inputs;
use canary_orchestrator::run::control::{Client, ClientError};
use canary_orchestrator::run::driver::FirstAction;
use canary_orchestrator::run::inspect::{Inspection, Liveness};
use canary_orchestrator::run::session::Resume;
use canary_orchestrator::run::store::Wanted;

use super::already::refused;
use super::last_resort;
use crate::cluster::{ClusterOptions, act};
use crate::drive::{self, Manner, RunOptions};
use crate::environment::Environment;
use crate::error::{CommandError, CommandResult};
use crate::output::Output;
use crate::preflight;
use crate::runs;
use crate::view::safe;
use crate::workflow::compile_again;

/// How long a process that drives a run may take for its first answer: it answers from memory.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// A process that has taken a run over is asked again this soon while it does not listen yet.
const AGAIN: Duration = Duration::from_millis(50);

/// What all of them take.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Common {
    /// Name of the run, or the beginning of it; without it, the active one. `release/NAME`: a release in a cluster
    run: Option<String>,
    /// Why; kept in the journal and in messages
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Answer as soon as it is accepted, not when it has taken effect
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    cluster: ClusterOptions,
}

impl Common {
    /// Asks a release of a cluster, if one is meant.
    fn in_cluster(
        &self,
        verb: Action,
        full: bool,
        node: Option<&String>,
        environment: &Environment,
        output: &Output,
    ) -> Result<Option<u8>, CommandError> {
        let Some(release) = self.cluster.release(self.run.as_deref(), environment)? else {
            return Ok(None);
        };
        let ask = Ask {
            verb,
            full,
            node: node.cloned(),
            reason: self.reason.clone(),
        };
        act::run(&release, &ask, self.no_wait, &self.cluster, output).map(Some)
    }
}

/// Go on: past a pause, a blocked check, a soak or an approval
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  canary promote\n  canary promote --full                   100 % now, without the remaining checks; guards stay on\n  canary promote checkout-7 --node deploy  agree to one approval"
)]
pub(crate) struct PromoteArgs {
    #[command(flatten)]
    common: Common,
    /// Skip every remaining check and go to 100 %
    #[arg(long, conflicts_with = "node")]
    full: bool,
    /// Agree to the approval of this node only
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
}

/// Take the new version away now: traffic goes back before anything else
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  canary abort\n  canary abort checkout-7 --reason \"checkout is slow for users in Asia\"\n  canary abort --node deploy              refuse one approval only\n  canary abort release/checkout -n shop   a release in a cluster\n  canary abort release/checkout --direct  where no controller answers"
)]
pub(crate) struct AbortArgs {
    #[command(flatten)]
    common: Common,
    /// Refuse the approval of this node only; its own edges say what follows
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// In a cluster: change the route from here, with your own rights on it, without the controller
    #[arg(long, conflicts_with_all = ["node", "no_wait"])]
    direct: bool,
}

/// Take no further step; what is watched stays watched
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  canary pause --reason \"lunch\"\n  canary resume")]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    common: Common,
}

/// Go on with a release that is paused or was interrupted
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  canary resume                    what is paused, or whose process died\n  canary resume checkout-7 --force  with a plan that compiles differently now"
)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    common: Common,
    /// Go on although the plan is another one now than when the run started
    #[arg(long)]
    force: bool,
    /// A line per event even on a terminal
    #[arg(long)]
    plain: bool,
}

/// Try a blocked check again, or run an ended release anew
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  canary retry                     the check that is blocked\n  canary retry checkout-7           a rolled-back release, from its beginning, with the same inputs"
)]
pub(crate) struct RetryArgs {
    #[command(flatten)]
    common: Common,
}

/// Promotes.
pub(crate) fn promote(
    args: &PromoteArgs,
    environment: &Environment,
    output: &Output,
) -> CommandResult {
    let (full, node) = (args.full, args.node.as_ref());
    if let Some(code) = args
        .common
        .in_cluster(Action::Promote, full, node, environment, output)?
    {
        return Ok(code);
    }
    let action = match &args.node {
        Some(node) => OperatorAction::Answer {
            node: node.clone(),
            approve: true,
        },
        None => OperatorAction::Promote { full: args.full },
    };
    operate(&args.common, action, environment, output)
}

/// Aborts.
pub(crate) fn abort(args: &AbortArgs, environment: &Environment, output: &Output) -> CommandResult {
    let common = &args.common;
    if args.direct {
        let Some(release) = common.cluster.release(common.run.as_deref(), environment)? else {
            return Err(CommandError::usage(
                "--direct is for a release in a cluster: `canary abort release/NAME --direct`",
            ));
        };
        return act::direct(&release, common.reason.as_deref(), &common.cluster, output);
    }
    if let Some(code) = common.in_cluster(
        Action::Abort,
        false,
        args.node.as_ref(),
        environment,
        output,
    )? {
        return Ok(code);
    }
    let action = match &args.node {
        Some(node) => OperatorAction::Answer {
            node: node.clone(),
            approve: false,
        },
        None => OperatorAction::Abort { signal: None },
    };
    operate(&args.common, action, environment, output)
}

/// Pauses.
pub(crate) fn pause(args: &PauseArgs, environment: &Environment, output: &Output) -> CommandResult {
    if let Some(code) = args
        .common
        .in_cluster(Action::Pause, false, None, environment, output)?
    {
        return Ok(code);
    }
    operate(&args.common, OperatorAction::Pause, environment, output)
}

/// Resumes: a live run by asking it, an interrupted one by driving it here.
pub(crate) fn resume(
    args: &ResumeArgs,
    environment: &Environment,
    output: &Output,
) -> CommandResult {
    if let Some(code) = args
        .common
        .in_cluster(Action::Resume, false, None, environment, output)?
    {
        return Ok(code);
    }
    let inspection = active(&args.common, environment)?;
    if matches!(inspection.liveness, Liveness::Live { .. }) {
        return ask(
            &inspection,
            OperatorAction::Resume,
            &args.common,
            environment,
            output,
        );
    }
    let paused = inspection.report(runs::now()).phase == RunPhase::Paused;
    let first = paused.then(|| first(OperatorAction::Resume, &args.common, environment));
    let manner = Manner {
        no_wait: args.common.no_wait,
        plain: args.plain,
    };
    let takeover = Resume {
        first,
        force: args.force,
    };
    let end = drive::runtime()?.block_on(drive::resume(
        &inspection.run,
        takeover,
        manner,
        environment,
        output,
    ))?;
    Ok(end.exit_code())
}

/// Retries: a run that goes on by asking it, an ended one by a new run of the same inputs.
pub(crate) fn retry(args: &RetryArgs, environment: &Environment, output: &Output) -> CommandResult {
    if let Some(code) = args
        .common
        .in_cluster(Action::Retry, false, None, environment, output)?
    {
        return Ok(code);
    }
    let run = runs::find(environment, args.common.run.as_deref(), Wanted::Any)?;
    let inspection = runs::read(&run)?;
    if inspection.liveness != Liveness::Ended {
        return operate(&args.common, OperatorAction::Retry, environment, output);
    }
    let wrong = |error: serde_json::Error| {
        CommandError::usage(format!(
            "the inputs of {} are not understood: {error}",
            run.id()
        ))
    };
    let inputs: Inputs =
        serde_json::from_value(inspection.snapshot.inputs.clone()).map_err(wrong)?;
    let options: RunOptions =
        serde_json::from_value(inspection.snapshot.options.clone()).map_err(wrong)?;
    let plan = compile_again(&inspection.snapshot.inputs).map_err(CommandError::usage)?;
    preflight::router_answers(&plan, &options.directory, environment, output)?;
    output.talk(&format!(
        "{} has ended: a new run of the same inputs",
        run.id()
    ));
    let manner = Manner {
        no_wait: args.common.no_wait,
        plain: false,
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

fn active(common: &Common, environment: &Environment) -> Result<Inspection, CommandError> {
    let run = runs::find(environment, common.run.as_deref(), Wanted::Active)?;
    let inspection = runs::read(&run)?;
    if inspection.liveness == Liveness::Ended {
        return Err(has_ended(&inspection));
    }
    Ok(inspection)
}

fn has_ended(inspection: &Inspection) -> CommandError {
    let (run, report) = (inspection.run.id(), inspection.report(runs::now()));
    let headline = safe::line(&report.headline);
    CommandError::usage(format!("{run} has ended: {headline}"))
        .hint(format!("`canary retry {run}` runs it anew"))
}

/// Asks a live run; takes an interrupted one over, with this as the first thing.
fn operate(
    common: &Common,
    action: OperatorAction,
    environment: &Environment,
    output: &Output,
) -> CommandResult {
    let aborts = matches!(action, OperatorAction::Abort { .. });
    let inspection = if aborts {
        let run = last_resort::find(common.run.as_deref(), environment)?;
        match runs::read(&run) {
            Ok(inspection) => inspection,
            Err(error) => return last_resort::unreadable(&run, error, environment, output),
        }
    } else {
        active(common, environment)?
    };
    let run = inspection.run.id();
    match inspection.liveness {
        Liveness::Live { .. } => return ask(&inspection, action, common, environment, output),
        Liveness::Interrupted => {
            output.talk(&format!("{run} was interrupted: taking it over"));
        }
        Liveness::Ended if aborts && inspection.replayed.state.left_traffic_on() => {
            output.talk(&format!(
                "{run} has ended, and its canary may still have traffic: taking it over"
            ));
        }
        // What another version wrote cannot be gone on with.
        Liveness::Ended
            if aborts
                && inspection.replayed.mismatch.is_some()
                && inspection.report(runs::now()).outcome == Some(Outcome::Held) =>
        {
            let error = has_ended(&inspection);
            return last_resort::unreadable(&inspection.run, error, environment, output);
        }
        Liveness::Ended if aborts && is_off(&inspection) => {
            output.talk(&format!(
                "{run} has ended already, and its canary has no traffic: {}",
                inspection.report(runs::now()).headline
            ));
            return Ok(0);
        }
        Liveness::Ended => return Err(has_ended(&inspection)),
    }
    let manner = Manner {
        no_wait: common.no_wait,
        plain: false,
    };
    // An abort must work whatever version of canary left the run behind.
    let force = matches!(action, OperatorAction::Abort { .. });
    let takeover = Resume {
        first: Some(first(action.clone(), common, environment)),
        force,
    };
    let driven = drive::runtime()?.block_on(drive::resume(
        &inspection.run,
        takeover,
        manner,
        environment,
        output,
    ));
    driven.map(|end| end.exit_code()).or_else(|error| {
        // Somebody else may have taken it over at the same moment: then they are asked.
        let now = runs::read(&inspection.run).map(|now| (now.liveness, now));
        match now {
            Ok((Liveness::Live { .. }, now)) => ask(&now, action, common, environment, output),
            _ => Err(error),
        }
    })
}

/// It ended by going back: what an abort wants is so.
fn is_off(inspection: &Inspection) -> bool {
    let outcome = inspection.report(runs::now()).outcome;
    matches!(
        outcome,
        Some(Outcome::Aborted { .. } | Outcome::RolledBack { .. })
    )
}

fn first(action: OperatorAction, common: &Common, environment: &Environment) -> FirstAction {
    FirstAction {
        action,
        by: environment.who(),
        reason: common.reason.clone(),
    }
}

fn ask(
    inspection: &Inspection,
    action: OperatorAction,
    common: &Common,
    environment: &Environment,
    output: &Output,
) -> CommandResult {
    let run = inspection.run.id();
    let failed = |error: ClientError| CommandError::failed(format!("{run}: {error}"));
    drive::runtime()?.block_on(async {
        let aborts = matches!(action, OperatorAction::Abort { .. });
        let who = environment.who();
        let wanted = action.clone();
        let asked = async {
            let client = loop {
                match Client::connect(&inspection.run).await {
                    // Whoever holds the run has only just begun, or is about to leave it.
                    Err(ClientError::NotLive) => tokio::time::sleep(AGAIN).await,
                    connected => break connected?,
                }
            };
            client
                .operator(action, &who, common.reason.as_deref(), !common.no_wait)
                .await
        };
        let accepted = match tokio::time::timeout(ANSWER, asked).await {
            Ok(Err(ClientError::Refused(message))) => {
                return refused(inspection, &wanted, &message, output).await;
            }
            Ok(accepted) => accepted.map_err(failed)?,
            Err(_) => {
                // It may have ended meanwhile, and then its weight is as it should be.
                let now = runs::read(&inspection.run)?;
                if matches!(now.liveness, Liveness::Live { .. }) {
                    return last_resort::no_answer(&now, aborts, environment, output).await;
                }
                return Err(failed(ClientError::NotLive)
                    .hint(format!("`canary status {run}` says where it stands")));
            }
        };
        output.talk(&format!("{run}: {}", accepted.message));
        if common.no_wait {
            return Ok(0);
        }
        let effect = accepted.effect().await.map_err(failed)?;
        output.data(&safe::line(&format!("{run}: {effect}")));
        Ok(0)
    })
}
