//! What people ask for besides abort: promote, pause, resume, retry, answers to questions. Each is answered.

use canary_traffic::Weight;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::OperatorAction;
use super::state::{Cause, Life, Paused, Stage};
use super::step::Machine;
use super::traffic::Evidence;
use super::watch::Bake;
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
    fn stop_attempt(&mut self, node: NodeIndex) {
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

    fn accept_node(&mut self, node: NodeIndex, by: &str) -> String {
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

    /// A person accepts what the run cannot decide.
    fn accept(&mut self, cause: Cause, by: &str) -> String {
        match cause {
            Cause::Check(node) | Cause::Route(node) => {
                self.stop_attempt(node);
                self.accept_node(node, by)
            }
            Cause::Doubt(node) => {
                self.complete_by_person(node, &format!("taken as done by {by}"));
                format!("{} is taken as done", self.plan.node(node).id)
            }
            Cause::Evidence(_) => {
                self.s.traffic.evidence = Some(Evidence::Person(by.to_owned()));
                self.unblock(cause);
                format!("the weight may rise from {} without evidence", self.s.traffic.desired)
            }
            Cause::Guard(gate) => {
                self.s.traffic.evidence = Some(Evidence::Person(by.to_owned()));
                self.unblock(cause);
                if let Some(one) = self.s.guards.iter_mut().find(|one| one.gate == gate) {
                    one.data_due = Some(super::step::after(self.at, self.plan.deadlines.decision));
                }
                format!("goes on without {}", self.plan.gate(gate).name)
            }
            Cause::Drift => self.accept_weight(by),
            Cause::Router => "the router does not answer: nothing to accept; it is asked again and again, `abort` goes back".to_owned(),
            Cause::Graph => {
                self.unblock(cause);
                if self.s.traffic.since.is_some() {
                    self.s.traffic.evidence = Some(Evidence::Person(by.to_owned()));
                }
                self.s.bake = Some(Bake { node: None, skipped: None });
                "raising the weight to 100 %".to_owned()
            }
        }
    }

    /// Somebody else's weight becomes ours.
    fn accept_weight(&mut self, by: &str) -> String {
        let Some(weight) = self.s.traffic.observed else {
            return "the weight is not known: nothing to accept".to_owned();
        };
        if weight.is_zero() && !self.s.traffic.desired.is_zero() {
            // Taking that as it is would let the next step raise it from 0 without any evidence.
            return format!(
                "the canary has no traffic any more: nothing to accept; `retry` writes {} again, `abort` goes back",
                self.s.traffic.desired
            );
        }
        let at = self.at;
        let owner = self.s.traffic.owner.take();
        let traffic = &mut self.s.traffic;
        traffic.desired = weight;
        traffic.prior = None;
        traffic.since = Some(at);
        traffic.problem = None;
        traffic.evidence = None;
        traffic.moved |= !weight.is_zero();
        let baking = self.s.bake.as_ref().and_then(|bake| bake.node);
        if weight != Weight::FULL && baking.is_none_or(|node| self.s.nodes[node.0].tries() == 0) {
            // What was being watched is not 100 % any more: it is raised again when it may be.
            self.s.bake = None;
            if let Some(node) = baking {
                self.s.nodes[node.0].life = Life::Ready;
            }
        }
        if let Some(node) = owner {
            self.s.nodes[node.0].life = Life::Ready;
        }
        self.unblock(Cause::Drift);
        self.anchor_guards();
        self.anchor_checks();
        format!("{by} takes {weight} as it is; it has to be judged before it rises")
    }

    /// Check again what is blocked, and at once what waits.
    fn try_again(&mut self, by: &str) -> String {
        let causes: Vec<Cause> = self.s.blocks.iter().map(|block| block.cause).collect();
        if causes.is_empty() {
            let mut hurried = Vec::new();
            for node in self.active() {
                if matches!(self.s.nodes[node.0].life, Life::Backoff { .. }) {
                    self.s.nodes[node.0].life = Life::Ready;
                    hurried.push(self.plan.node(node).id.clone());
                }
            }
            if self.s.traffic.again_at.is_some() {
                self.s.traffic.again_at = Some(self.at);
                hurried.push("the router".to_owned());
            }
            return if hurried.is_empty() {
                "nothing is blocked".to_owned()
            } else {
                format!("tried again now: {}", hurried.join(", "))
            };
        }
        let said: Vec<_> = causes
            .into_iter()
            .map(|cause| self.retry_cause(cause, by))
            .collect();
        said.join("; ")
    }

    fn retry_cause(&mut self, cause: Cause, by: &str) -> String {
        match cause {
            Cause::Check(node) | Cause::Route(node) | Cause::Doubt(node) => {
                let id = self.plan.node(node).id.clone();
                self.stop_attempt(node);
                let recheck = self.s.nodes[node.0].recheck;
                let state = &mut self.s.nodes[node.0];
                state.retries = 0;
                state.check = None;
                state.reason = Some(format!("tried again by {by}"));
                state.life = Life::Ready;
                self.s.active.insert(node.0);
                self.unblock(cause);
                // A question that was agreed to stays agreed to.
                if recheck {
                    self.s.nodes[node.0].recheck = true;
                }
                format!("{id} is tried again")
            }
            Cause::Evidence(node) => {
                format!(
                    "{} has no check to try again: `promote` lets the weight rise, `abort` goes back",
                    self.plan.node(node).id
                )
            }
            Cause::Guard(gate) => {
                self.unblock(cause);
                let at = self.at;
                let deadline = super::watch::evidence_deadline(
                    self.plan.deadlines.evidence,
                    self.plan.gate(gate),
                );
                if let Some(one) = self.s.guards.iter_mut().find(|one| one.gate == gate) {
                    one.anchor(at, deadline);
                }
                format!("{} is measured again", self.plan.gate(gate).name)
            }
            Cause::Drift => {
                let desired = self.s.traffic.desired;
                let observed = self.s.traffic.observed;
                if observed.is_none_or(|observed| desired > observed) && !self.s.forward() {
                    return "the run is going back".to_owned();
                }
                self.unblock(cause);
                self.write(desired);
                format!("writing {desired} again")
            }
            Cause::Router => {
                self.s.traffic.again_at = Some(self.at);
                "the router is asked again".to_owned()
            }
            Cause::Graph => {
                "the workflow has no further step: `promote` goes to 100 %, `abort` goes back"
                    .to_owned()
            }
        }
    }
}
