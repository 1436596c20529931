//! What is done when the journal fails, and at the end.

use futures::FutureExt;

use super::hooks::Notifier;
use super::journaling::{Failing, Progress};
use super::{DriveError, Driver, End, LEAVE, Left};
use crate::machine::{Event, OperatorAction, RunPhase};
use crate::run::clock::within;

/// What is said of messages that could not be sent in time; nothing where there are none.
pub(super) fn not_sent(notifier: &dyn Notifier, over: bool) -> Option<String> {
    let waiting: Vec<String> = notifier
        .waiting()
        .into_iter()
        .map(|(channel, count)| {
            let messages = if count == 1 { "message" } else { "messages" };
            format!("{channel} ({count} {messages})")
        })
        .collect();
    let then = if over {
        "the run is over and nobody sends them any more: tell them yourself; `canary report` has the text"
    } else {
        "they are sent when the run is resumed"
    };
    (!waiting.is_empty()).then(|| format!("not told in time: {}; {then}", waiting.join(", ")))
}

impl Driver {
    /// Traffic is on, as far as this driver knows.
    fn may_have_traffic(&self) -> bool {
        let observed = self
            .report
            .traffic
            .as_ref()
            .and_then(|traffic| traffic.observed);
        self.raised || observed.is_some_and(|weight| !weight.is_zero())
    }

    pub(super) fn journal_fails(&mut self) {
        if !self.emergency
            && self.may_have_traffic()
            && let Some(router) = &self.router
        {
            self.emergency = true;
            self.off = Some(router.off());
        }
        self.show();
    }

    pub(super) fn journal_recovered(&mut self, failing: &Failing) -> Result<(), DriveError> {
        if self.emergency && self.state.outcome().is_none() {
            let error = &failing.error;
            let reason = format!(
                "the journal could not be written since {}: {error}",
                failing.since
            );
            let action = OperatorAction::Abort { signal: None };
            self.feed(&Event::Operator {
                action,
                by: "canary".to_owned(),
                reason: Some(reason),
            })?;
        }
        self.show();
        Ok(())
    }

    pub(super) async fn give_up(&mut self, error: String) -> DriveError {
        self.attempts.cancel_all();
        let router = self.router.clone();
        let off = match (self.off.take(), &router) {
            (Some(off), _) => Some(off),
            (None, Some(router)) if self.may_have_traffic() && !self.emergency => {
                Some(router.off())
            }
            _ => None,
        };
        let on = "the canary may still have traffic, the router did not answer";
        let traffic = match off {
            Some(off) => match within(self.clock.as_ref(), self.options.drain, off).await {
                Some(()) => "traffic was taken off",
                None => on,
            },
            None if self.emergency => "traffic was taken off",
            None => "the canary has no traffic",
        };
        self.attempts.settle(self.clock.as_ref(), LEAVE).await;
        DriveError::Journal {
            error,
            patience: self.options.patience,
            traffic: traffic.to_owned(),
        }
    }

    /// The end, when everything that is done at the end is done; or leaving, when nobody wants to wait.
    pub(super) fn end_if_over(&mut self) -> Option<End> {
        if self.ended.is_some()
            && self.ending.is_none()
            && self.journaling.is_empty()
            && self.inputs.is_empty()
        {
            let (outcome, warnings) = self.ended.take()?;
            return Some(End {
                outcome: Some(outcome),
                left: None,
                report: self.report.clone(),
                warnings,
            });
        }
        let waits = matches!(self.report.phase, RunPhase::Blocked | RunPhase::Waiting);
        let idle = self.journaling.is_empty() && self.attempts.is_empty() && self.inputs.is_empty();
        if !(self.options.no_wait && waits && idle) {
            self.leaving = None;
        } else if self.leaving.is_none() {
            // While the last messages go out, people may still decide.
            let (clock, drain) = (self.clock.clone(), self.notifier.drain());
            let bound = self.options.drain;
            let sent = async move { within(clock.as_ref(), bound, drain).await.is_some() };
            self.leaving = Some(sent.boxed());
        }
        None
    }

    /// Leaves a run that waits for a person.
    pub(super) async fn go_unattended(&mut self, all_sent: bool) -> End {
        let mut end = self.go(Left::NeedsPerson).await;
        if !all_sent && end.warnings.is_empty() {
            end.warnings
                .extend(not_sent(self.notifier.as_ref(), end.outcome.is_some()));
        }
        end
    }

    /// Driving cannot go on because of a bug: nothing is started any more, and the canary gets no traffic.
    pub(super) async fn fail_safe(&mut self) {
        self.attempts.cancel_all();
        if let Some(router) = self.router.clone().filter(|_| self.may_have_traffic()) {
            let _late = within(self.clock.as_ref(), self.options.drain, router.off()).await;
        }
        self.attempts.settle(self.clock.as_ref(), LEAVE).await;
    }

    pub(super) async fn go(&mut self, left: Left) -> End {
        self.attempts.cancel_all();
        self.attempts.settle(self.clock.as_ref(), LEAVE).await;
        let clock = self.clock.clone();
        let last = async {
            while !self.journaling.is_empty() {
                if !matches!(
                    self.journaling.progress(clock.as_ref()).await,
                    Progress::Durable { .. }
                ) {
                    return;
                }
            }
        };
        // What is not in the journal by then has not happened, for whoever resumes the run.
        let _late = within(clock.as_ref(), LEAVE, last).await;
        if let Some(router) = self.router.take() {
            let _late = within(clock.as_ref(), LEAVE, router.close()).await;
        }
        let outcome = self.state.outcome();
        // Whoever leaves a run that is over is told what will not happen any more.
        let warnings = outcome.and_then(|_| not_sent(self.notifier.as_ref(), true));
        End {
            outcome,
            left: outcome.is_none().then_some(left),
            report: self.report.clone(),
            warnings: warnings.into_iter().collect(),
        }
    }
}
