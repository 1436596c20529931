//! What people ask for, brought to whoever drives the run; and what becomes of what nobody can be asked for.

use canary_orchestrator::machine::OperatorAction;
use canary_orchestrator::run::driver::FirstAction;
use tokio::time::Instant;

use std::collections::VecDeque;
use std::sync::Arc;

use super::Entry;
use super::context::Context;
use super::drive::Driving;
use super::keeper::Keeper;
use super::tidy::note;
use crate::api::{Action, AnswerStatus, ReleaseStatus};
use crate::watch::{ActionView, ReleaseView};

/// Actions that are remembered as taken in.
const HANDLED: usize = 40;
/// Answers that are kept.
const ANSWERS: usize = 10;

/// Something that was asked for, and when it was seen.
#[derive(Debug)]
pub(super) struct Waiting {
    pub action: ActionView,
    pub seen: Instant,
    /// It came after everything that was there when we began to look.
    pub fresh: bool,
}

/// Takes an action in; true: the release is to be looked at again.
pub(super) fn take(
    context: &Arc<Context>,
    entry: &mut Entry,
    waiting: Waiting,
    leads: bool,
) -> bool {
    let Some(view) = &entry.view else {
        // The Release comes later in the same list.
        entry.waiting.push(waiting);
        return false;
    };
    let action = &waiting.action;
    let known = view.handled.contains(&action.name) || entry.taken.contains(&action.name);
    if view.uid != action.release_uid || known {
        return false;
    }
    let running = entry.driving.is_some() || entry.task.is_some() || view.snapshot.is_some();
    let older = action
        .at
        .zip(view.started)
        .is_some_and(|(at, started)| at.as_second() < started.as_second());
    if running && older || !running && !waiting.fresh {
        // It was meant for a run that is over.
        return false;
    }
    if let Some(driving) = &entry.driving {
        ask(context, driving, &waiting);
        taken(&mut entry.taken, &waiting.action.name);
        return false;
    }
    if entry.task.is_some() || view.snapshot.is_some() || !leads {
        // Whoever drives the run next is asked.
        entry.waiting.push(waiting);
        return leads;
    }
    let retry = action.verb == Action::Retry && view.rejected.is_some();
    let text = if retry {
        "the version that was not promoted is judged again"
    } else {
        "no run is going on: nothing was changed"
    };
    answer_alone(context, view, action, text.to_owned(), retry);
    let name = action.name.clone();
    taken(&mut entry.taken, &name);
    false
}

fn taken(list: &mut VecDeque<String>, name: &str) {
    if list.len() >= HANDLED {
        list.pop_front();
    }
    list.push_back(name.to_owned());
}

/// What is asked for as a run is taken over: an abort goes before anything is started.
pub(super) fn first(entry: &Entry, view: &ReleaseView) -> Option<FirstAction> {
    let abort = entry.waiting.iter().find(|waiting| {
        let action = &waiting.action;
        action.verb == Action::Abort
            && action.node.is_none()
            && action.release_uid == view.uid
            && !view.handled.contains(&action.name)
            && action
                .run
                .as_ref()
                .is_none_or(|run| Some(run) == view.run.as_ref())
    })?;
    Some(FirstAction {
        action: OperatorAction::Abort { signal: None },
        by: abort.action.user.clone(),
        reason: abort.action.reason.clone(),
    })
}

/// Asks the driver. Nothing that is slow comes before an abort.
fn ask(context: &Arc<Context>, driving: &Driving, waiting: &Waiting) {
    let action = waiting.action.clone();
    if action.run.as_ref().is_some_and(|run| *run != driving.run) {
        let text = format!(
            "it was asked for another run than {}: nothing was changed",
            driving.run
        );
        let keeper = driving.keeper.clone();
        let at = context.clock.now();
        tokio::spawn(async move { remember(&keeper, &action, text, at).await });
        return;
    }
    let wanted = match (action.verb, &action.node) {
        (Action::Promote, Some(node)) => answer(node, true),
        (Action::Abort, Some(node)) => answer(node, false),
        (Action::Abort, None) => OperatorAction::Abort { signal: None },
        (Action::Promote, None) => OperatorAction::Promote { full: action.full },
        (Action::Pause, _) => OperatorAction::Pause,
        (Action::Resume, _) => OperatorAction::Resume,
        (Action::Retry, _) => OperatorAction::Retry,
    };
    let abort = matches!(wanted, OperatorAction::Abort { .. });
    if abort {
        driving.abort.saw(waiting.seen);
    }
    let (handle, keeper, at) = (
        driving.handle.clone(),
        driving.keeper.clone(),
        context.clock.now(),
    );
    tokio::spawn(async move {
        if !abort && !remember(&keeper, &action, "taken in".to_owned(), at).await {
            // It is asked again by whoever goes on with the run.
            return;
        }
        let said = handle
            .operator(wanted, action.user.clone(), action.reason.clone())
            .await;
        if let Ok(reply) = said {
            remember(&keeper, &action, reply.message, at).await;
        }
    });
}

fn answer(node: &str, approve: bool) -> OperatorAction {
    OperatorAction::Answer {
        node: node.to_owned(),
        approve,
    }
}

/// Writes down that an action was taken in, and what came of it; true: it is written.
async fn remember(keeper: &Keeper, action: &ActionView, text: String, at: jiff::Timestamp) -> bool {
    let written = keeper
        .change(|status| record(status, action, text, at))
        .await;
    if let Err(failure) = &written {
        tracing::warn!(action = action.name, %failure, "what came of an action could not be written down");
    }
    written.is_ok()
}

fn record(status: &mut ReleaseStatus, action: &ActionView, text: String, at: jiff::Timestamp) {
    if !status.handled.contains(&action.name) {
        status.handled.push(action.name.clone());
        let old = status.handled.len().saturating_sub(HANDLED);
        status.handled.drain(..old);
    }
    status
        .answers
        .retain(|known| known.action.as_ref() != Some(&action.name));
    status.answers.push(AnswerStatus {
        action: Some(action.name.clone()),
        at: Some(action.at.unwrap_or(at)),
        by: super::text::cut(&action.user, 128),
        verb: action.verb.word().to_owned(),
        text: super::text::cut(&text, 200),
    });
    let old = status.answers.len().saturating_sub(ANSWERS);
    status.answers.drain(..old);
}

/// Answers where nobody drives a run.
fn answer_alone(
    context: &Arc<Context>,
    view: &ReleaseView,
    action: &ActionView,
    text: String,
    retry: bool,
) {
    let (context, action, key) = (Arc::clone(context), action.clone(), view.key.clone());
    tokio::spawn(async move {
        let cluster = context.cluster(&key.namespace);
        let at = context.clock.now();
        let written = note(&cluster, &key.name, |status| {
            if status.handled.contains(&action.name) {
                return;
            }
            record(status, &action, text, at);
            if retry {
                status.rejected = None;
            }
        });
        if let Err(failure) = written.await {
            tracing::warn!(action = action.name, %failure, "an action could not be answered");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Key;

    fn action(name: &str) -> ActionView {
        ActionView {
            name: name.to_owned(),
            release: Key {
                namespace: "shop".to_owned(),
                name: "checkout".to_owned(),
            },
            release_uid: "u".to_owned(),
            run: None,
            verb: Action::Promote,
            full: false,
            node: None,
            reason: None,
            user: "ada".to_owned(),
            at: None,
        }
    }

    #[test]
    fn what_was_taken_in_is_remembered_within_bounds() {
        let mut status = ReleaseStatus::default();
        let at = jiff::Timestamp::UNIX_EPOCH;
        for number in 0..50 {
            record(
                &mut status,
                &action(&format!("a{number}")),
                "done".to_owned(),
                at,
            );
        }
        record(&mut status, &action("a49"), "done twice".to_owned(), at);
        assert_eq!(
            (status.handled.len(), status.answers.len()),
            (HANDLED, ANSWERS)
        );
        assert_eq!(status.answers.last().unwrap().text, "done twice");
    }
}
