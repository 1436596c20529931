//! What a person asked for twice.

use canary_orchestrator::machine::{OperatorAction, Report, RunPhase, Wait};
use canary_orchestrator::run::control::Client;
use canary_orchestrator::run::inspect::Inspection;

use super::operate::ANSWER;
use crate::error::{CommandError, CommandResult};
use crate::output::Output;

/// Nothing was changed. Where that is because it is so already, whoever asked has what they wanted.
pub(super) async fn refused(
    inspection: &Inspection,
    action: &OperatorAction,
    message: &str,
    output: &Output,
) -> CommandResult {
    let run = inspection.run.id();
    let present = async { Client::connect(&inspection.run).await?.report().await };
    match tokio::time::timeout(ANSWER, present).await {
        Ok(Ok(present)) if is_so(action, &present.report) => {
            output.talk(&format!("{run}: {message}"));
            Ok(0)
        }
        _ => Err(CommandError::failed(format!("{run}: {message}"))),
    }
}

/// What was asked for is how things are.
fn is_so(action: &OperatorAction, report: &Report) -> bool {
    let goes_on = matches!(
        report.phase,
        RunPhase::Progressing | RunPhase::Waiting | RunPhase::Baking
    );
    let waits_for_resume = || {
        let resume = |wait: &Wait| wait.unblock.as_deref() == Some("canary resume RUN");
        report.waits.iter().any(resume)
    };
    match action {
        OperatorAction::Pause => report.phase == RunPhase::Paused || waits_for_resume(),
        OperatorAction::Resume => goes_on,
        OperatorAction::Abort { .. } => report.phase == RunPhase::RollingBack,
        OperatorAction::Promote { full: true } => goes_on && report.traffic.is_some(),
        OperatorAction::Answer {
            node,
            approve: true,
        } => report.nodes.iter().any(|known| {
            known.id == *node
                && known.outputs.get("approved") == Some(&serde_json::Value::Bool(true))
        }),
        OperatorAction::Promote { full: false }
        | OperatorAction::Retry
        | OperatorAction::Answer { approve: false, .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_so_is_a_success() {
        let report = |phase: &str| -> Report {
            serde_json::from_value(serde_json::json!({
                "workflow": "w", "name": "n", "service": "s", "phase": phase, "headline": "",
                "outcome": null, "traffic": null, "nodes": [], "edges": [], "gates": [], "waits": [],
                "cost": null, "notifications": {"sent": 0, "waiting": 0, "failed": 0},
                "started_at": null, "ended_at": null, "at": "2026-01-01T00:00:00Z", "next": []
            }))
            .unwrap()
        };
        let abort = OperatorAction::Abort { signal: None };
        let rows = [
            (OperatorAction::Pause, "paused", true),
            (OperatorAction::Pause, "rolling-back", false),
            (OperatorAction::Resume, "progressing", true),
            (OperatorAction::Resume, "blocked", false),
            (abort.clone(), "rolling-back", true),
            (abort, "progressing", false),
            (OperatorAction::Promote { full: true }, "progressing", false),
            (
                OperatorAction::Promote { full: false },
                "progressing",
                false,
            ),
            (OperatorAction::Retry, "progressing", false),
        ];
        for (action, phase, so) in rows {
            assert_eq!(is_so(&action, &report(phase)), so, "{action:?} {phase}");
        }
    }
}
