//! Questions to people (S13): all forms come out as one.

use std::time::Duration;

use super::Compiler;
use super::read::Cx;
use crate::diagnostic::{Spanned, codes, quote};
use crate::plan::model::Approval;

impl Compiler<'_> {
    /// What a `human` node asks.
    pub(super) fn question(&mut self, cx: Cx<'_>) -> Approval {
        let purpose = cx
            .node
            .purpose
            .as_ref()
            .map_or(cx.node.id.value.as_str(), |text| text.value.trim());
        let prompt = self
            .any_text(cx, &["prompt", "instructions"])
            .map_or(purpose, |text| text.value.trim())
            .to_owned();
        let mut approvers: Vec<String> = Vec::new();
        for key in ["assignees", "assignee", "approvers"] {
            approvers.extend(self.texts(cx, key).iter().map(|who| who.value.to_owned()));
        }
        let written = self.take(cx, "min_approvals", cx.runtime.get_u64("min_approvals"));
        let minutes = self.take(cx, "timeout_min", cx.runtime.get_u64("timeout_min"));
        let timeout = match minutes {
            Some(minutes) => Some(Duration::from_secs(minutes.value.saturating_mul(60))),
            None => self.duration(cx, "timeout").map(|timeout| timeout.value),
        };
        let gate = self.approval_gate(cx);
        let required = written.map(|count| u32::try_from(count.value).unwrap_or(u32::MAX));
        self.approval(
            cx,
            Approval {
                prompt,
                approvers: if approvers.is_empty() {
                    gate.as_ref()
                        .map(|gate| gate.approvers.clone())
                        .unwrap_or_default()
                } else {
                    approvers
                },
                required: required
                    .or(gate.as_ref().map(|gate| gate.required))
                    .unwrap_or(0),
                timeout: timeout
                    .or(gate.and_then(|gate| gate.timeout))
                    .or(cx.node.timeout.map(|timeout| timeout.value)),
            },
        )
    }

    /// The gate before a node of any other type.
    pub(super) fn approval_gate(&mut self, cx: Cx<'_>) -> Option<Approval> {
        let gate = cx
            .node
            .approval
            .as_ref()
            .filter(|gate| gate.required.value)?;
        let what = cx
            .node
            .purpose
            .as_ref()
            .map_or(cx.node.id.value.as_str(), |text| text.value.trim());
        let role = gate
            .approver_role
            .as_ref()
            .map(|role| format!(" (for {})", role.value))
            .unwrap_or_default();
        let approval = Approval {
            prompt: format!("{what}{role}"),
            approvers: gate.approvers.iter().map(|who| who.value.clone()).collect(),
            required: if gate.approvals.is_written() {
                gate.approvals.value
            } else {
                0
            },
            timeout: gate.timeout.map(|timeout| timeout.value),
        };
        Some(self.approval(cx, approval))
    }

    /// Fills in what the settings say for all approvals, and checks that it can be given.
    fn approval(&mut self, cx: Cx<'_>, mut approval: Approval) -> Approval {
        let settings = std::rc::Rc::clone(&self.settings);
        if approval.approvers.is_empty() {
            approval.approvers = settings
                .approvals
                .approvers
                .iter()
                .map(|who| who.value.clone())
                .collect();
        }
        if approval.required == 0 {
            approval.required = settings
                .approvals
                .required
                .map_or(1, |required| required.value)
                .max(1);
        }
        approval.timeout = approval.timeout.or(settings
            .approvals
            .timeout
            .map(|timeout: Spanned<Duration>| timeout.value));
        // `assignees: [team]` names groups as often as people, so one name may stand for several.
        if approval.approvers.len() > 1 && approval.required as usize > approval.approvers.len() {
            let message = format!(
                "{} needs {} approvals, and only {} people may give one",
                cx.what(),
                approval.required,
                approval.approvers.len()
            );
            self.d
                .error(codes::OUT_OF_RANGE, cx.node.id.span, message)
                .help(format!(
                    "name more people, or fewer than {}",
                    quote(&approval.required.to_string())
                ));
        }
        approval
    }
}
