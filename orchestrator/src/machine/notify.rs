//! News for people: what happened and why, what was done, what to run.

use canary_traffic::Weight;

use super::command::{Command, Notification, Topic};
use super::outcome::Outcome;
use super::state::{Cause, Stage};
use super::step::{Machine, human};
use crate::plan::NodeIndex;

/// What a person may run; `RUN` stands for the run's id.
pub(super) const ABORT: &str = "canary abort RUN";
pub(super) const PROMOTE: &str = "canary promote RUN";
pub(super) const RETRY: &str = "canary retry RUN";
pub(super) const RESUME: &str = "canary resume RUN";
pub(super) const STATUS: &str = "canary status RUN";
pub(super) const REPORT: &str = "canary report RUN";

impl Machine<'_> {
    fn notify(&mut self, topic: Topic, headline: String, done: String, next: &[&str]) {
        let id = self.s.next_notification;
        self.s.next_notification = id.saturating_add(1);
        let next = next.iter().map(|&line| line.to_owned()).collect();
        self.out.push(Command::Notify(Notification {
            id,
            at: self.at,
            topic,
            headline,
            done,
            next,
        }));
    }

    /// The state of traffic in a sentence.
    fn traffic_sentence(&self) -> String {
        if !self.s.graph.moves_traffic {
            return "this workflow moves no traffic".to_owned();
        }
        format!("the canary has {} of the traffic", self.weight_now())
    }

    pub(super) fn news_started(&mut self) {
        let headline = format!("{}: {} started", self.plan.service, self.plan.name);
        let done = self.traffic_sentence();
        self.notify(Topic::Started, headline, done, &[STATUS, ABORT]);
    }

    pub(super) fn news_step(&mut self, weight: Weight) {
        let headline = format!(
            "{}: the canary has {weight} of the traffic",
            self.plan.service
        );
        let done = if weight == Weight::FULL {
            format!(
                "it is watched for {} before it counts as promoted",
                human(self.plan.bake)
            )
        } else {
            "its checks begin now".to_owned()
        };
        self.notify(Topic::Step, headline, done, &[STATUS, ABORT]);
    }

    pub(super) fn news_approval(&mut self, node: NodeIndex) {
        let Some(approval) = self.approval(node).cloned() else {
            return;
        };
        let id = &self.plan.node(node).id;
        let who = if approval.approvers.is_empty() {
            String::new()
        } else {
            format!(" of {}", approval.approvers.join(", "))
        };
        let headline = format!(
            "{}: {id} needs the approval{who}: {}",
            self.plan.service, approval.prompt
        );
        let until = approval
            .timeout
            .map(|timeout| format!("; without an answer it times out in {}", human(timeout)));
        let done = format!("{}{}", self.traffic_sentence(), until.unwrap_or_default());
        self.notify(Topic::Approval, headline, done, &[PROMOTE, ABORT]);
    }

    pub(super) fn news_paused(&mut self) {
        let Some(paused) = self.s.paused.clone() else {
            return;
        };
        let because = paused
            .reason
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        let headline = format!("{}: paused by {}{because}", self.plan.service, paused.by);
        let done = self.traffic_sentence();
        self.notify(Topic::Paused, headline, done, &[RESUME, ABORT]);
    }

    pub(super) fn news_blocked(&mut self, cause: Cause, why: &str) {
        let headline = format!("{} is blocked: {why}", self.plan.service);
        let decision = human(self.plan.deadlines.decision);
        let done = format!(
            "{}, and that is held; without a decision it goes back in {decision}",
            self.traffic_sentence()
        );
        let next: &[&str] = match cause {
            Cause::Evidence(_) | Cause::Graph => &[PROMOTE, ABORT],
            Cause::Router => &[RETRY, ABORT],
            Cause::Drift | Cause::Doubt(_) => &[RETRY, PROMOTE, ABORT],
            Cause::Check(_) | Cause::Route(_) | Cause::Guard(_) => &[PROMOTE, RETRY, ABORT],
        };
        self.notify(Topic::Blocked, headline, done, next);
    }

    pub(super) fn news_unblocked(&mut self) {
        let headline = format!("{} goes on", self.plan.service);
        let done = self.traffic_sentence();
        self.notify(Topic::Unblocked, headline, done, &[STATUS]);
    }

    pub(super) fn news_failing(&mut self) {
        let Stage::Failing(failing) = &self.s.stage else {
            return;
        };
        let headline = format!("{}: {}", self.plan.service, failing.why);
        let (done, next): (String, &[&str]) = if failing.hold {
            let weight = self.weight_now();
            (
                format!("the canary KEEPS {weight} of the traffic, because on_failure is hold"),
                &[ABORT, REPORT],
            )
        } else if failing.needs_zero {
            (
                "traffic is being taken off the canary".to_owned(),
                &[STATUS],
            )
        } else {
            ("the canary has no traffic".to_owned(), &[STATUS])
        };
        self.notify(Topic::Failing, headline, done, next);
    }

    pub(super) fn news_ended(&mut self) {
        let Stage::Ended { outcome, why } = &self.s.stage else {
            return;
        };
        let headline = format!("{} {}", self.plan.service, outcome.sentence(why));
        let cost = self.s.cost.cost.map(|cost| {
            format!(
                "; {} of the {} requests that the canary answered went wrong",
                cost.bad, cost.requests
            )
        });
        let traffic = match outcome {
            Outcome::Held => format!("the canary KEEPS {} of the traffic", self.weight_now()),
            _ => self.traffic_sentence(),
        };
        let remarks = if self.s.remarks.is_empty() {
            String::new()
        } else {
            format!("; besides: {}", self.s.remarks.join("; "))
        };
        let done = format!("{traffic}{}{remarks}", cost.unwrap_or_default());
        let next: &[&str] = if *outcome == Outcome::Held {
            &[ABORT, REPORT]
        } else {
            &[REPORT]
        };
        self.notify(Topic::Ended, headline, done, next);
    }
}
