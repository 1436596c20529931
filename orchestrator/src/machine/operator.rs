//! What people ask for besides abort: promote, pause, resume, retry, answers to questions. Each is answered.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::OperatorAction;
use super::state::{Cause, Life, Paused, Stage};
use super::step::Machine;
use super::traffic::Evidence;
use crate::plan::{Action, NodeIndex};

/// Answers that are kept.
const KEPT: usize = 20;

/// What an operator asked for, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// When it was asked for.
    pub at: Timestamp,
    /// Who asked.
    pub by: String,
    /// What for: `promote`, `abort`, `pause`, ...
    pub verb: String,
    /// What it did, or why it did nothing.
    pub text: String,
}

impl Machine<'_> {
    pub(super) fn answer(&mut self, by: &str, verb: &str, text: &str) {
        if self.s.answers.len() >= KEPT {
            self.s.answers.remove(0);
        }
        self.s.answers.push(Answer {
            at: self.at,
            by: by.to_owned(),
            verb: verb.to_owned(),
            text: text.to_owned(),
        });
    }

    pub(super) fn operator(&mut self, action: OperatorAction, by: &str, reason: Option<&str>) {
        let verb = match &action {
            OperatorAction::Abort { .. } => "abort",
            OperatorAction::Promote { full: false } => "promote",
            OperatorAction::Promote { full: true } => "promote --full",
            OperatorAction::Pause => "pause",
            OperatorAction::Resume => "resume",
            OperatorAction::Retry => "retry",
            OperatorAction::Answer { approve: true, .. } => "approve",
            OperatorAction::Answer { approve: false, .. } => "reject",
        };
        let going_back_answer = matches!(self.s.stage, Stage::Failing(_))
            && matches!(
                action,
                OperatorAction::Answer { .. }
                    | OperatorAction::Retry
                    | OperatorAction::Promote { full: false }
            );
        let text = match &self.s.stage {
            Stage::New => "the run has not started".to_owned(),
            Stage::Ended { outcome, .. } | Stage::Closing { outcome, .. } => {
                format!("the run is over ({}): nothing was changed", outcome.word())
            }
            Stage::Failing(_) if !going_back_answer => {
                "the run is going back: nothing was changed".to_owned()
            }
            Stage::Failing(_) | Stage::Forward => match action {
                OperatorAction::Abort { .. } => return,
                OperatorAction::Promote { full: false } => self.promote(by, reason),
                OperatorAction::Promote { full: true } => self.promote_full(by),
                OperatorAction::Pause => self.pause(by, reason),
                OperatorAction::Resume => self.go_on(),
                OperatorAction::Retry => self.try_again(by),
                OperatorAction::Answer { node, approve } => match self.plan.find(&node) {
                    Some(index) => self.answer_approval(index, approve, by, reason),
                    None => format!("there is no node {node}; {}", self.open_questions()),
                },
            },
        };
        self.answer(by, verb, &text);
    }

    fn open_questions(&self) -> String {
        let open: Vec<_> = self
            .waiting_nodes()
            .into_iter()
            .map(|node| self.plan.node(node).id.as_str())
            .collect();
        if open.is_empty() {
            "nothing waits for an answer".to_owned()
        } else {
            format!("these wait for an answer: {}", open.join(", "))
        }
    }

    fn waiting_nodes(&self) -> Vec<NodeIndex> {
        self.active()
            .into_iter()
            .filter(|node| matches!(self.s.nodes[node.0].life, Life::Waiting { .. }))
            .collect()
    }

    fn pause(&mut self, by: &str, reason: Option<&str>) -> String {
        if let Some(paused) = &self.s.paused {
            return format!("the run is paused already, by {}", paused.by);
        }
        self.s.paused = Some(Paused {
            by: by.to_owned(),
            since: self.at,
            reason: reason.map(str::to_owned),
        });
        self.news_paused();
        "paused: nothing new is started, checks and guards go on".to_owned()
    }

    fn go_on(&mut self) -> String {
        if self.s.paused.take().is_some() {
            self.news_unblocked();
            "goes on".to_owned()
        } else if !self.s.blocks.is_empty() {
            "the run is not paused but blocked: `promote` accepts that, `retry` checks again, `abort` goes back".to_owned()
        } else {
            "the run is not paused".to_owned()
        }
    }

    /// Past a pause, a block, a question, a running check, a missing judgement, the bake: the first that is there.
    fn promote(&mut self, by: &str, reason: Option<&str>) -> String {
        if self.s.paused.is_some() && self.s.blocks.is_empty() {
            return self.go_on();
        }
        if !self.s.blocks.is_empty() {
            let causes: Vec<Cause> = self.s.blocks.iter().map(|block| block.cause).collect();
            let said: Vec<String> = causes
                .into_iter()
                .map(|cause| self.accept(cause, by))
                .collect();
            return said.join("; ");
        }
        let questions = self.waiting_nodes();
        if !questions.is_empty() {
            let said: Vec<_> = questions
                .into_iter()
                .map(|node| self.answer_approval(node, true, by, reason))
                .collect();
            return said.join("; ");
        }
        let checks: Vec<NodeIndex> = self
            .active()
            .into_iter()
            .filter(|node| self.s.nodes[node.0].life == Life::Running)
            .filter(|node| {
                matches!(
                    self.plan.node(*node).action,
                    Action::Analyze(_) | Action::VerifyWeight(_)
                )
            })
            .collect();
        if !checks.is_empty() {
            let said: Vec<_> = checks
                .into_iter()
                .map(|node| self.accept_node(node, by))
                .collect();
            return said.join("; ");
        }
        let desired = self.s.traffic.desired;
        let raise_waits = self
            .active()
            .into_iter()
            .any(|node| self.s.nodes[node.0].life == Life::Ready && self.raises(node));
        if raise_waits && self.s.traffic.since.is_some() && !desired.is_zero() {
            self.s.traffic.evidence = Some(Evidence::Person(by.to_owned()));
            return format!("the weight may rise from {desired} without further evidence");
        }
        if self.bake_until().is_some()
            && let Some(bake) = self.s.bake.as_mut()
        {
            bake.skipped = Some(by.to_owned());
            return "the bake is over".to_owned();
        }
        "nothing waits for a decision".to_owned()
    }

    /// Straight to 100 %: every check that is left is skipped, guards stay.
    fn promote_full(&mut self, by: &str) -> String {
        if !self.s.graph.moves_traffic {
            return "this workflow moves no traffic: use `promote` to go past a check".to_owned();
        }
        if self.s.promoted {
            return "it is promoted already".to_owned();
        }
        self.s.paused = None;
        let first = match &self.s.full {
            Some(before) => format!("{before} asked for 100 % already: "),
            None => String::new(),
        };
        let mut said = vec![format!(
            "{first}checks that are left are skipped; guards stay"
        )];
        if !self.s.blocks.is_empty() {
            said.push(self.promote(by, None));
        }
        self.s.full = Some(by.to_owned());
        for node in self.active() {
            let running = matches!(
                self.s.nodes[node.0].life,
                Life::Running | Life::Backoff { .. } | Life::Stuck
            );
            match self.plan.node(node).action {
                Action::Analyze(_) | Action::VerifyWeight(_) if running => {
                    self.accept_node(node, by);
                }
                Action::Measure(_) if running => {
                    self.stop_attempt(node);
                    self.accept_node(node, by);
                }
                _ => {}
            }
        }
        if self.s.traffic.since.is_some() {
            self.s.traffic.evidence = Some(Evidence::Person(by.to_owned()));
        }
        said.join("; ")
    }

    /// Ends an attempt whose result is not needed any more.
    pub(super) fn stop_attempt(&mut self, node: NodeIndex) {
        if self.s.nodes[node.0].life == Life::Running && self.has_executor(node) {
            let attempt = self.s.nodes[node.0].attempt;
            let reason = "a person decided".to_owned();
            self.out.push(super::command::Command::CancelNode {
                node,
                attempt,
                reason,
            });
        }
    }

    pub(super) fn accept_node(&mut self, node: NodeIndex, by: &str) -> String {
        let id = self.plan.node(node).id.clone();
        if !self.s.traffic.desired.is_zero() && self.s.traffic.since.is_some() {
            self.s.traffic.evidence = Some(Evidence::Person(by.to_owned()));
        }
        if self.s.nodes[node.0].recheck {
            self.rechecked(node, false, Some(by.to_owned()));
        } else {
            self.complete_by_person(node, &format!("accepted by {by}"));
        }
        format!("{id} is accepted as it is")
    }
}
