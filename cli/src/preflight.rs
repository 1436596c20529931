//! What must be there before a release begins: found out before there is a run that somebody has to take back.

use std::sync::Arc;

use canary_orchestrator::assemble::router;
use canary_orchestrator::plan::Plan;
use canary_orchestrator::run::inspect::Liveness;
use canary_traffic::{Router, RouterErrorKind};

use crate::drive;
use crate::environment::Environment;
use crate::error::CommandError;
use crate::runs;

/// What splits traffic answers. A run that has begun waits for a router that goes away; one that was never there is
/// most often a wrong name.
pub(crate) fn router_answers(plan: &Plan, environment: &Environment) -> Result<(), CommandError> {
    let Some(router) = router_of(plan, environment) else {
        return Ok(());
    };
    match drive::runtime()?.block_on(router.observe()) {
        Err(error) if error.kind == RouterErrorKind::Unreachable => {
            Err(CommandError::usage(error.to_string()).hint(
                "nothing was started; x-canary.traffic.proxy, or --proxy of the short form, names the proxy",
            ))
        }
        Ok(observed) if !observed.weight.is_zero() => {
            nobody_else_drives(plan, environment)?;
            // Taking this run back would take away what an earlier release gave to everybody.
            let who = observed.changed_by.map_or_else(String::new, |who| format!(", set by {who}"));
            Err(CommandError::usage(format!(
                "the canary of {} has {} of the traffic already{who}, before this release began",
                router.name(),
                observed.weight
            ))
            .hint("make the version that has it the stable one (restart the proxy with it as --stable), then run again"))
        }
        Ok(_) | Err(_) => nobody_else_drives(plan, environment),
    }
}

fn router_of(plan: &Plan, environment: &Environment) -> Option<Arc<dyn Router>> {
    router(
        &plan.settings,
        &plan.service,
        "canary",
        &environment.runtime_directory(),
    )
}

/// Two releases over one proxy would take each other's weight away.
fn nobody_else_drives(plan: &Plan, environment: &Environment) -> Result<(), CommandError> {
    let proxy = |plan: &Plan| {
        let name = plan.settings.traffic.proxy.as_ref();
        name.map_or("local", |name| name.value.as_str()).to_owned()
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
        .filter(|other| router_of(&other.plan, environment).is_some() && proxy(&other.plan) == ours)
        .map(|other| other.run.id().to_owned())
        .next();
    match other {
        Some(other) => Err(CommandError::usage(format!(
            "{other} is releasing over the same proxy `{ours}`, and a second release would take its weight away"
        ))
        .hint(format!(
            "`canary status {other}` says where it stands; wait for its end, or `canary abort {other}`"
        ))),
        None => Ok(()),
    }
}
