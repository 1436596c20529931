//! People who asked for something and wait for it to take effect.

use canary_traffic::Weight;
use tokio::sync::{mpsc, oneshot};

use crate::machine::{NodePhase, OperatorAction, Report, RunPhase};

/// What a person asks for.
#[derive(Debug)]
pub(super) struct Ask {
    pub action: OperatorAction,
    pub by: String,
    pub reason: Option<String>,
    pub reply: oneshot::Sender<Reply>,
}

/// The first answer to a person: it was taken, and what will happen.
#[derive(Debug)]
pub struct Reply {
    /// What will happen, or why nothing will.
    pub message: String,
    /// Nothing will happen.
    pub refused: bool,
    /// The second answer: that it has taken effect, and how. An error when the driver ends before that.
    pub effect: oneshot::Receiver<String>,
}

/// The driver has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the run is not being driven any more")]
pub struct Gone;

/// How others reach a driver. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Operators {
    pub(super) asks: mpsc::UnboundedSender<Ask>,
}

impl Operators {
    /// Asks for something; resolves as soon as the machine has taken it.
    pub async fn ask(
        &self,
        action: OperatorAction,
        by: String,
        reason: Option<String>,
    ) -> Result<Reply, Gone> {
        let (reply, answer) = oneshot::channel();
        self.asks
            .send(Ask {
                action,
                by,
                reason,
                reply,
            })
            .map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }
}

/// Somebody who waits for the second answer.
#[derive(Debug)]
pub(super) struct Waiting {
    action: OperatorAction,
    /// The record of what they asked for.
    seq: u64,
    was: RunPhase,
    effect: oneshot::Sender<String>,
}

impl Waiting {
    pub(super) fn new(
        action: OperatorAction,
        seq: u64,
        was: RunPhase,
        effect: oneshot::Sender<String>,
    ) -> Self {
        Self {
            action,
            seq,
            was,
            effect,
        }
    }

    /// Answers where it has taken effect; gives itself back where it has not. Taking traffic off counts as soon as it is
    /// seen, everything else once it is also in the journal.
    pub(super) fn answer(self, report: &Report, durable: u64) -> Option<Self> {
        let abort = matches!(self.action, OperatorAction::Abort { .. });
        if self.seq > durable && !abort {
            return Some(self);
        }
        match effect(&self.action, self.was, report) {
            Some(message) => {
                // Whoever asked may have gone.
                let _gone = self.effect.send(message);
                None
            }
            None => Some(self),
        }
    }
}

/// What can be seen of an action in the report, once it can.
fn effect(action: &OperatorAction, was: RunPhase, report: &Report) -> Option<String> {
    let ended = report.phase == RunPhase::Ended;
    // What the router said last; nothing where it never answered: then nobody knows that traffic is off.
    let observed = report.traffic.as_ref().map(|traffic| traffic.observed);
    let seen = match action {
        OperatorAction::Abort { .. } => match observed {
            Some(Some(weight))
                if weight.is_zero() && (ended || report.phase == RunPhase::RollingBack) =>
            {
                return Some("traffic is off: the canary's weight is 0 %".to_owned());
            }
            Some(_) => ended,
            None => ended || report.phase == RunPhase::RollingBack,
        },
        OperatorAction::Promote { full: true } => {
            ended || observed.is_none_or(|weight| weight == Some(Weight::FULL))
        }
        OperatorAction::Promote { full: false } => match was {
            RunPhase::Paused | RunPhase::Waiting | RunPhase::Blocked => report.phase != was,
            _ => true,
        },
        OperatorAction::Pause => ended || report.phase == RunPhase::Paused,
        OperatorAction::Resume => report.phase != RunPhase::Paused,
        OperatorAction::Retry => was != RunPhase::Blocked || report.phase != RunPhase::Blocked,
        OperatorAction::Answer { node, .. } => {
            let node = report.nodes.iter().find(|candidate| candidate.id == *node);
            ended || node.is_none_or(|node| node.status != NodePhase::Waiting)
        }
    };
    if !seen {
        return None;
    }
    let goes_on = was == RunPhase::Waiting
        && matches!(
            action,
            OperatorAction::Promote { full: false } | OperatorAction::Answer { approve: true, .. }
        );
    Some(if goes_on {
        // What was agreed to is in the first answer; what comes next is this.
        format!("goes on: {}", report.headline)
    } else {
        report.headline.clone()
    })
}
