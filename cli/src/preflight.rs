//! What must be there before a release begins: found out before there is a run that somebody has to take back.

use std::path::Path;
use std::sync::Arc;

use canary_orchestrator::assemble::router;
use canary_orchestrator::osop::settings::RouterKind;
use canary_orchestrator::plan::{Action, Plan};
use canary_orchestrator::run::inspect::Liveness;
use canary_traffic::{Preflight, Router, RouterErrorKind, Weight};

use crate::drive;
use crate::environment::Environment;
use crate::error::CommandError;
use crate::output::Output;
use crate::runs;

/// What splits traffic answers, and can do what the plan asks. A run that has begun waits for a router that goes away;
/// one that was never there is most often a wrong name.
pub(crate) fn router_answers(
    plan: &Plan,
    directory: &Path,
    environment: &Environment,
    output: &Output,
) -> Result<(), CommandError> {
    let Some(router) = router_of(plan, directory, environment) else {
        return Ok(());
    };
    match drive::runtime()?.block_on(router.preflight(&weights(plan))) {
        Err(error) if error.kind == RouterErrorKind::Unreachable && is_local(plan) => {
            Err(CommandError::usage(error.to_string()).hint(
                "nothing was started; x-canary.traffic.proxy, or --proxy of the short form, names the proxy",
            ))
        }
        Err(error) if is_local(plan) => {
            tracing::debug!(%error, "the proxy was there and did not answer well");
            nobody_else_drives(plan, directory, environment)
        }
        Err(error) => Err(CommandError::usage(error.to_string()).hint("nothing was started")),
        Ok(found) if !found.observed.weight.is_zero() => {
            nobody_else_drives(plan, directory, environment)?;
            // Taking this run back would take away what an earlier release gave to everybody.
            let who = found.observed.changed_by.map_or_else(String::new, |who| format!(", set by {who}"));
            let error = CommandError::usage(format!(
                "the canary of {} has {} of the traffic already{who}, before this release began",
                router.name(),
                found.observed.weight
            ));
            Err(if is_local(plan) {
                error.hint("make the version that has it the stable one (restart the proxy with it as --stable), then run again")
            } else {
                error.hint("`canary abort RUN` of the run that left it takes it off; then run again")
            })
        }
        Ok(found) => {
            for line in talk(&found) {
                output.warn(&line);
            }
            nobody_else_drives(plan, directory, environment)
        }
    }
}

/// What a release would write to a cluster, for `--dry-run`; nothing where it would not write to one.
pub(crate) fn changes(
    plan: &Plan,
    directory: &Path,
    environment: &Environment,
    output: &Output,
) -> Result<Vec<String>, CommandError> {
    let router = router_of(plan, directory, environment).filter(|_| !is_local(plan));
    let Some(router) = router else {
        return Ok(Vec::new());
    };
    match drive::runtime()?.block_on(router.preflight(&weights(plan))) {
        Ok(found) => {
            for line in talk(&found) {
                output.warn(&line);
            }
            Ok(found.changes)
        }
        Err(error) => Err(CommandError::usage(error.to_string()).hint("nothing was changed")),
    }
}

/// What a person should know of a router before a release.
pub(crate) fn talk(found: &Preflight) -> Vec<String> {
    let rounded = found.rounded.iter().map(|rounded| {
        format!(
            "{} becomes {}: {}",
            rounded.asked, rounded.becomes, rounded.because
        )
    });
    found.warnings.iter().cloned().chain(rounded).collect()
}

/// The weights that a plan sets on its way, each once, as they come.
pub(crate) fn weights(plan: &Plan) -> Vec<Weight> {
    let mut weights = Vec::new();
    for node in &plan.nodes {
        let weight = match node.action {
            Action::SetWeight(weight) => weight,
            Action::Promote => Weight::FULL,
            _ => continue,
        };
        if !weights.contains(&weight) {
            weights.push(weight);
        }
    }
    weights
}

/// What splits traffic is on this machine, or nothing does.
pub(crate) fn is_local(plan: &Plan) -> bool {
    let router = plan.settings.traffic.router;
    router.is_none_or(|router| matches!(router.value, RouterKind::Local | RouterKind::None))
}

fn router_of(plan: &Plan, directory: &Path, environment: &Environment) -> Option<Arc<dyn Router>> {
    router(
        &plan.settings,
        &plan.service,
        "canary",
        &environment.runtime_directory(),
        directory,
    )
}

/// Two releases over one proxy or route would take each other's weight away.
fn nobody_else_drives(
    plan: &Plan,
    directory: &Path,
    environment: &Environment,
) -> Result<(), CommandError> {
    let proxy = |plan: &Plan| {
        if is_local(plan) {
            let name = plan.settings.traffic.proxy.as_ref();
            return format!(
                "proxy `{}`",
                name.map_or("local", |name| name.value.as_str())
            );
        }
        router_of(plan, directory, environment).map_or_else(String::new, |router| router.name())
    };
    let ours = proxy(plan);
    let active = runs::store(environment)
        .active()
        .map_err(runs::store_error)?;
    // A run that cannot be read, or that nobody drives, sets no weight.
    let other = active
        .iter()
        .filter_map(|run| runs::read(run).ok())
        .filter(|other| matches!(other.liveness, Liveness::Live { .. }))
        .filter(|other| {
            router_of(&other.plan, directory, environment).is_some() && proxy(&other.plan) == ours
        })
        .map(|other| other.run.id().to_owned())
        .next();
    match other {
        Some(other) => Err(CommandError::usage(format!(
            "{other} is releasing over the same {ours}, and a second release would take its weight away"
        ))
        .hint(format!(
            "`canary status {other}` says where it stands; wait for its end, or `canary abort {other}`"
        ))),
        None => Ok(()),
    }
}
