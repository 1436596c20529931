//! What must be there before a release begins: found out before there is a run that somebody has to take back.

use canary_orchestrator::assemble::router;
use canary_orchestrator::plan::Plan;
use canary_traffic::RouterErrorKind;

use crate::drive;
use crate::environment::Environment;
use crate::error::CommandError;

/// What splits traffic answers. A run that has begun waits for a router that goes away; one that was never there is
/// most often a wrong name.
pub(crate) fn router_answers(plan: &Plan, environment: &Environment) -> Result<(), CommandError> {
    let Some(router) = router(
        &plan.settings,
        &plan.service,
        "canary",
        &environment.runtime_directory(),
    ) else {
        return Ok(());
    };
    match drive::runtime()?.block_on(router.observe()) {
        Err(error) if error.kind == RouterErrorKind::Unreachable => {
            Err(CommandError::usage(error.to_string()).hint(
                "nothing was started; x-canary.traffic.proxy, or --proxy of the short form, names the proxy",
            ))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}
