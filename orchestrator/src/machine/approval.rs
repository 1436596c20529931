//! Questions to people (S13).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::state::{End, Life};
use super::step::{Machine, after, human};
use crate::plan::{Action, Approval, NodeIndex};

impl Machine<'_> {
    /// What is asked before, or as, this node.
    pub(super) fn approval(&self, node: NodeIndex) -> Option<&Approval> {
        let node = self.plan.node(node);
        match &node.action {
            Action::Ask(approval) => Some(approval),
            _ => node.approval.as_ref(),
        }
    }

    pub(super) fn ask(&mut self, node: NodeIndex) {
        self.s.nodes[node.0].life = Life::Waiting { since: self.at };
        let at = self.at;
        self.s.nodes[node.0].started_at.get_or_insert(at);
        self.news_approval(node);
    }

    pub(super) fn approval_due(&self, node: NodeIndex, since: Timestamp) -> Option<Timestamp> {
        let timeout = match self.approval(node).and_then(|approval| approval.timeout) {
            None if matches!(self.plan.node(node).action, Action::Ask(_)) => {
                self.plan.node(node).timeout?
            }
            timeout => timeout?,
        };
        Some(after(since, timeout))
    }

    pub(super) fn approval_deadline(&mut self, node: NodeIndex, since: Timestamp) -> bool {
        let Some(due) = self.approval_due(node, since) else {
            return false;
        };
        if self.at < due {
            return false;
        }
        let waited = std::time::Duration::try_from(due.duration_since(since)).unwrap_or_default();
        self.end_node(
            node,
            End::TimedOut,
            Some(format!("nobody answered within {}", human(waited))),
        );
        true
    }

    /// One person's answer. What came of it is returned, for that person.
    pub(super) fn answer_approval(
        &mut self,
        node: NodeIndex,
        approve: bool,
        by: &str,
        reason: Option<&str>,
    ) -> String {
        let id = self.plan.node(node).id.clone();
        let Some(approval) = self.approval(node).cloned() else {
            return format!("{id} asks nobody");
        };
        if !matches!(self.s.nodes[node.0].life, Life::Waiting { .. }) {
            return format!("{id} does not wait for an answer now");
        }
        if !approval.approvers.is_empty() && !approval.approvers.iter().any(|name| name == by) {
            return format!(
                "{by} may not answer for {id}: that is for {}",
                approval.approvers.join(", ")
            );
        }
        let because = reason
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        if !approve {
            self.end_node(node, End::Failed, Some(format!("refused by {by}{because}")));
            return format!("{id} is refused");
        }
        let state = &mut self.s.nodes[node.0];
        if state.agreed.iter().any(|name| name == by) {
            return format!(
                "{by} has agreed to {id} already; {} different people are needed",
                approval.required
            );
        }
        state.agreed.push(by.to_owned());
        let (have, need) = (
            state.agreed.len(),
            usize::try_from(approval.required.max(1)).unwrap_or(usize::MAX),
        );
        if have < need {
            return format!("{id}: {have} of {need} have agreed");
        }
        state.approved = true;
        state.life = Life::Ready;
        state.reason = Some(format!("agreed to by {}{because}", state.agreed.join(", ")));
        if matches!(self.plan.node(node).action, Action::Ask(_)) {
            let agreed = state
                .agreed
                .iter()
                .map(|name| Value::from(name.as_str()))
                .collect();
            state.outputs = BTreeMap::from([
                ("approved".to_owned(), Value::Bool(true)),
                ("decision".to_owned(), Value::from("approved")),
                ("approvers".to_owned(), Value::Array(agreed)),
                (
                    "comment".to_owned(),
                    reason.map_or(Value::Null, Value::from),
                ),
            ]);
        }
        format!("{id} is approved by {}", state.agreed.join(", "))
    }
}
