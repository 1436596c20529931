//! `promote`, `abort`, `pause`, `resume` and `retry` of a release in a cluster.

use std::time::Duration;

use canary_controller::api::{Action, Release};
use canary_controller::client::{Ask, Asked, ClientError, Cluster, direct_router};
use kube::ResourceExt as _;

use super::{ClusterOptions, full_name, said};
use crate::drive;
use crate::error::{CommandError, CommandResult};
use crate::output::Output;

/// How long a controller may take to answer: a Lease may have to change hands first.
const ANSWER: Duration = Duration::from_secs(30);
/// After this long people are told what is waited for.
const SOON: Duration = Duration::from_secs(3);

/// Asks it, and says what came of it.
pub(crate) fn run(
    release: &str,
    ask: &Ask,
    no_wait: bool,
    options: &ClusterOptions,
    output: &Output,
) -> CommandResult {
    drive::runtime()?.block_on(async {
        let (cluster, release) = options.find(release).await?;
        carry_out(&cluster, &release, ask, no_wait, output).await
    })
}

/// Asks it, and says what came of it.
pub(crate) async fn carry_out(
    cluster: &Cluster,
    release: &Release,
    ask: &Ask,
    no_wait: bool,
    output: &Output,
) -> CommandResult {
    let name = full_name(release);
    let action = cluster.ask(release, ask).await.map_err(|error| {
        let refused = matches!(error, ClientError::Forbidden(_));
        let said = said(error);
        if refused && ask.verb == Action::Abort {
            said.hint(format!("`canary abort {name} --direct` changes the route itself, with your own rights on it"))
        } else {
            said
        }
    })?;
    output.talk(&format!(
        "{name}: {} asked for (releaseaction/{action})",
        ask.verb.word()
    ));
    if no_wait {
        return Ok(0);
    }
    let short = release.name_any();
    let first = cluster
        .answer(&short, &action, ask.verb, SOON)
        .await
        .map_err(said)?;
    let asked = if first == Asked::NoAnswer {
        output.talk(&format!(
            "{name}: waiting for the controller, at most {} s",
            ANSWER.as_secs()
        ));
        cluster
            .answer(&short, &action, ask.verb, ANSWER)
            .await
            .map_err(said)?
    } else {
        first
    };
    match asked {
        Asked::Answered(text) => output.data(&format!("{name}: {text}")),
        Asked::TrafficOff(text) => {
            output.data(&format!(
                "{name}: {text}; the canary gets no requests any more"
            ));
        }
        Asked::NoAnswer => {
            let error = CommandError::failed(format!(
                "{name}: no controller has carried it out within {} s; releaseaction/{action} stays, and counts as soon as one runs",
                (SOON + ANSWER).as_secs()
            ))
            .hint("`kubectl -n canary-system get pods` shows whether the controller runs");
            return Err(if ask.verb == Action::Abort {
                error.hint(format!("`canary abort {name} --direct` takes traffic off without it, with your own rights on the route"))
            } else {
                error
            });
        }
    }
    Ok(0)
}

/// Takes traffic off without a controller: patches the route with the caller's own rights, and leaves an abort for the
/// controller, so that it does not raise the weight again.
pub(crate) fn direct(
    release: &str,
    reason: Option<&str>,
    options: &ClusterOptions,
    output: &Output,
) -> CommandResult {
    drive::runtime()?.block_on(async {
        let (cluster, release) = options.find(release).await?;
        let name = full_name(&release);
        // Without a name of ours the route is changed all the same.
        let user = cluster.whoami().await.unwrap_or_else(|_| "somebody".to_owned());
        let router = direct_router(&release, &options.access(), cluster.namespace(), &user).map_err(said)?;
        output.talk(&format!("{name}: taking the canary off {}", router.name()));
        let observed = router.take_off().await.map_err(|error| {
            CommandError::failed(format!("{name}: {error}"))
                .hint("take the canary's backend off the route by hand: `kubectl edit` the route that the Release names")
        })?;
        output.data(&format!("{name}: the canary gets {}", observed.weight));
        let ask = Ask {
            verb: Action::Abort,
            full: false,
            node: None,
            reason: Some(reason.unwrap_or("aborted directly").to_owned()),
        };
        match cluster.ask(&release, &ask).await {
            Ok(action) => output.talk(&format!("{name}: a controller will find the abort (releaseaction/{action})")),
            Err(error) => output.warn(&format!(
                "the abort could not be written down ({error}): a controller that comes back may raise the weight again"
            )),
        }
        Ok(0)
    })
}
