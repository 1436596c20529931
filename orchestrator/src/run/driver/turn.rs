//! The loop: everything that happens, in one order.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::journaling::Progress;
use super::operators::{Ask, Waiting};
use super::view::{self, Happened, View};
use super::{DriveError, Driver, End, FirstAction, Input, Left, Reply, RunRecord};
use crate::machine::{self, Command, Event, NodeResult, NodeStatus, RunPhase};
use crate::run::journal::{EncodeError, Keep, MAX_LINE, Moment, Settled};

impl Driver {
    /// Drives the run to its end, or until it is left.
    pub async fn drive(mut self) -> Result<End, DriveError> {
        let end = self.run().await;
        if let Err(DriveError::Encode(_) | DriveError::Bug { .. }) = &end {
            self.fail_safe().await;
        }
        self.view.send_modify(|view| view.driven = false);
        end
    }

    async fn run(&mut self) -> Result<End, DriveError> {
        self.begin()?;
        loop {
            if let Some(end) = self.end_if_over() {
                return Ok(end);
            }
            let clock = self.clock.clone();
            tokio::select! {
                biased;
                Some(ask) = self.asks.recv() => self.ask(ask)?,
                () = self.leave.cancelled() => return Ok(self.go(Left::Asked).await),
                Some(said) = self.said.recv() => self.said(said)?,
                progress = self.journaling.progress(clock.as_ref()) => match progress {
                    Progress::Durable { seq, commands } => self.durable(seq, commands)?,
                    Progress::Failing => self.journal_fails(),
                    Progress::GivenUp(error) => return Err(self.give_up(error).await),
                },
                Some(input) = self.inputs.recv() => self.input(input)?,
                () = next(&mut self.off) => self.off = None,
                warnings = next(&mut self.ending) => {
                    self.ending = None;
                    if let Some((_, known)) = &mut self.ended {
                        known.extend(warnings);
                    }
                }
                all_sent = next(&mut self.leaving) => return Ok(self.go_unattended(all_sent).await),
                seen = next(&mut self.look) => self.looked(seen)?,
                () = next(&mut self.wake) => {
                    self.wake = None;
                    self.feed(&Event::Timer)?;
                }
            }
        }
    }

    fn begin(&mut self) -> Result<(), DriveError> {
        let Some(beginning) = self.start.take() else {
            return Ok(());
        };
        let inbox = self.inbox.clone();
        self.notifier
            .start(Arc::new(move |notification, channel, error| {
                // After the end of the run nobody wants to know.
                drop(inbox.send(Input::Event(Event::Notified {
                    notification,
                    channel,
                    error,
                })));
            }));
        for notification in &beginning.untold {
            self.notifier.post(notification, &self.report);
        }
        // Nothing is started before what was left behind has ended; traffic does not wait for it.
        self.attempts
            .clean_up(self.executor.as_ref(), beginning.left_behind);
        if self.state.outcome().is_none() {
            self.feed(&if beginning.resumed {
                Event::Resumed
            } else {
                Event::Started
            })?;
        }
        if let Some(FirstAction { action, by, reason }) = beginning.first {
            self.feed(&Event::Operator { action, by, reason })?;
        }
        if let Some(outcome) = self.state.outcome() {
            // It had ended, and what is done at the end was interrupted.
            self.finish(outcome);
        }
        Ok(())
    }

    /// One event: the step, traffic off at once, the record on its way.
    pub(super) fn feed(&mut self, event: &Event) -> Result<(), DriveError> {
        let seq = self.seq + 1;
        let settled = settle(seq, event)?;
        let at = self.now();
        let state = self.state.clone();
        let decision = whole(
            || machine::step(&self.plan, state, at, settled.event.clone()),
            &settled.text,
        )?;
        self.state = decision.state;
        for command in &decision.commands {
            if let Command::SetWeight { command, weight } = command
                && weight.is_zero()
            {
                self.set_weight(*command, *weight);
            }
        }
        (self.seq, self.at) = (seq, Some(at));
        if self.ended.is_some() && self.state.outcome().is_none() {
            // A run that ended with its weight held was aborted after all.
            (self.ended, self.ending) = (None, None);
        }
        let report = whole(
            || machine::report(&self.plan, &self.state, at),
            "the report",
        )?;
        if report.phase == RunPhase::RollingBack && self.report.phase != RunPhase::RollingBack {
            self.attempts.stop_questions();
        }
        self.report = Arc::new(report);
        let line = match self.journaling.keep(&Moment {
            seq,
            plan: &self.plan,
            state: &self.state,
            report: &self.report,
            event: &settled.event,
            commands: &decision.commands,
        }) {
            Keep::Line => settled.line(at, &decision.commands)?,
            Keep::Instead(text) => format!("{text}\n"),
            Keep::Nothing => String::new(),
        };
        // As a pause: the clock's own idea of the time may be another.
        self.wake = decision.wake.map(|wake| {
            let left = Duration::try_from(wake.at.duration_since(at)).unwrap_or_default();
            self.clock.pause(left)
        });
        self.look_again();
        let record = RunRecord {
            seq,
            at,
            event: settled.event,
            commands: decision.commands,
        };
        let later = record
            .commands
            .iter()
            .filter(|command| !command.takes_traffic_off())
            .cloned()
            .collect();
        self.journaling.push(seq, line, later);
        self.show();
        // Nobody may be watching.
        drop(self.happened.send(Happened {
            record: Arc::new(record),
            report: self.report.clone(),
        }));
        self.answer_waiting();
        Ok(())
    }

    /// The time of the run now.
    pub(super) fn now(&mut self) -> Timestamp {
        self.time.at(self.clock.now())
    }

    fn input(&mut self, input: Input) -> Result<(), DriveError> {
        match input {
            Input::Event(Event::Notified {
                notification,
                channel,
                ..
            }) if !self.told.insert((notification, channel.clone())) => Ok(()),
            Input::Event(event) => {
                if let Event::NodeFinished { node, attempt, .. } = &event {
                    self.attempts.ended(*node, *attempt);
                }
                self.feed(&event)
            }
            Input::Begun {
                node,
                attempt,
                process,
                safe,
            } => {
                self.feed(&Event::NodeStarted {
                    node,
                    attempt,
                    process,
                })?;
                self.beginnings.push((self.seq, safe));
                Ok(())
            }
        }
    }

    fn ask(&mut self, ask: Ask) -> Result<(), DriveError> {
        let (was, before) = (self.report.phase, self.state.clone());
        let Ask {
            action,
            by,
            reason,
            reply,
        } = ask;
        self.feed(&Event::Operator {
            action: action.clone(),
            by,
            reason,
        })?;
        let (effect, seen) = oneshot::channel();
        let answer = view::first_answer(&before, &self.state, &self.report);
        let refused = answer.refused;
        // Whoever asked may have gone; what they asked for is done anyway.
        drop(reply.send(Reply {
            message: answer.message,
            refused,
            effect: seen,
        }));
        if !refused {
            self.waiting
                .push(Waiting::new(action, self.seq, was, effect));
        }
        self.answer_waiting();
        Ok(())
    }

    fn durable(&mut self, seq: u64, commands: Vec<Command>) -> Result<(), DriveError> {
        self.durable = seq;
        for (_, safe) in self.beginnings.extract_if(.., |(begun, _)| *begun <= seq) {
            // An executor that was cancelled meanwhile does not wait any more.
            let _gone = safe.send(());
        }
        if let Some(failing) = self.journaling.failing.take() {
            self.journal_recovered(&failing)?;
        }
        let mut commands = std::collections::VecDeque::from(commands);
        while let Some(command) = commands.pop_front() {
            if let Command::StartNode { node, attempt, .. } | Command::Workload { node, attempt } =
                &command
                && self.journaling.cancels(*node, *attempt, commands.iter())
            {
                // It was called off before it could begin, by an abort for example: its `CancelNode` answers for it.
                continue;
            }
            self.carry_out(command);
        }
        self.answer_waiting();
        Ok(())
    }

    fn answer_waiting(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let (report, durable) = (self.report.clone(), self.durable);
        self.waiting = waiting
            .into_iter()
            .filter_map(|one| one.answer(&report, durable))
            .collect();
    }

    pub(super) fn show(&self) {
        let trouble = self.journaling.failing.as_ref().map(|failing| {
            let traffic = if self.emergency {
                "; traffic is taken off, nothing is started"
            } else {
                "; nothing is started"
            };
            format!(
                "the journal cannot be written since {}: {}{traffic}",
                failing.since, failing.error
            )
        });
        self.view.send_replace(View {
            report: self.report.clone(),
            seq: self.seq,
            trouble,
            driven: true,
        });
    }
}

/// The result of a future that may not be there.
async fn next<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// What the machine says, or the bug that it met: that must not leave a canary with traffic and nobody who watches it.
fn whole<T>(work: impl FnOnce() -> T, at: &str) -> Result<T, DriveError> {
    // What the work borrows is not changed by it.
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| DriveError::Bug {
        at: at.chars().take(300).collect(),
    })
}

/// An event as the journal will tell it. Outputs that do not fit into a line make the attempt fail.
fn settle(seq: u64, event: &Event) -> Result<Settled<Event>, EncodeError> {
    let settled = Settled::new(seq, event)?;
    if let Event::NodeFinished { node, attempt, .. } = event
        && settled.text.len() > MAX_LINE / 2
    {
        let error = format!(
            "its outputs take {} bytes, and a run keeps at most {} of one attempt; print less, or write it to a file",
            settled.text.len(),
            MAX_LINE / 2
        );
        let result = NodeResult {
            status: NodeStatus::Failed,
            outputs: BTreeMap::new(),
            error: Some(error),
        };
        return Settled::new(
            seq,
            &Event::NodeFinished {
                node: *node,
                attempt: *attempt,
                result,
            },
        );
    }
    Ok(settled)
}
