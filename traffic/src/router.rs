//! What every router can do: say the weight as it is, set it, take the canary off, and go away again.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Weight;

/// Sets the share of requests that the canary gets.
///
/// A weight rises and falls by [`set_weight`](Self::set_weight), which has a precondition: the weight as it was when the
/// caller decided. Taking the canary off has none, so it is a call of its own, and no call without a precondition can
/// raise a weight.
///
/// Every call is bounded by a timeout of the router's own, so that a caller never hangs on a router. Calls are
/// idempotent: a caller that does not know whether a call took effect makes it again. Dropping a returned future gives
/// the call up; a write may then have happened or not, which [`observe`](Self::observe) tells.
///
/// Drift is the caller's to see: it knows what it set, and [`Observed`] says what is there and who put it there.
pub trait Router: Send + Sync + fmt::Debug {
    /// What this router is, for people: `local splitter checkout`.
    fn name(&self) -> String;

    /// Looks, before a run begins, whether the canary can have these weights here, and says what would be written.
    /// Writes nothing. An error of kind [`Refused`](RouterErrorKind::Refused) says why it cannot.
    fn preflight<'a>(
        &'a self,
        _weights: &'a [Weight],
    ) -> BoxFuture<'a, Result<Preflight, RouterError>> {
        // Unless a router knows better, all of them can be had.
        Box::pin(async {
            Ok(Preflight {
                observed: self.observe().await?,
                rounded: Vec::new(),
                warnings: Vec::new(),
                changes: Vec::new(),
            })
        })
    }

    /// The weight as it is now, whoever set it.
    fn observe(&self) -> BoxFuture<'_, Result<Observed, RouterError>>;

    /// Writes the weight `to`, provided that it is `from` (or `to` already), and reads it back. The answer is what was
    /// read: another weight than `to` means that the weight was not `from`, or that somebody wrote in between, and says
    /// who. Whether the data plane already acts on it is in [`Observed::accepted`].
    ///
    /// Requests that match the router's own header or cookie go to the canary from the first call on, even with `to`
    /// at 0, until [`take_off`](Self::take_off).
    fn set_weight(&self, from: Weight, to: Weight) -> BoxFuture<'_, Result<Observed, RouterError>>;

    /// Writes weight 0 whatever it is now, and reads it back. What this router needs to raise the weight again may stay.
    fn take_off(&self) -> BoxFuture<'_, Result<Observed, RouterError>>;

    /// How often the weight may be read while the canary has traffic, just to see that nobody else changed it. `None`,
    /// which is the default: reading is dear, or the router has another way of telling; then it is read now and then.
    fn look_every(&self) -> Option<Duration> {
        None
    }

    /// Takes the canary off and leaves nothing of ours behind, whichever run made it: as it was before the first
    /// [`set_weight`](Self::set_weight).
    fn remove(&self) -> BoxFuture<'_, Result<(), RouterError>>;
}

/// What a look before a run found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preflight {
    /// The weight as it is.
    pub observed: Observed,
    /// Weights that were asked about and that this router only comes near to.
    pub rounded: Vec<Rounded>,
    /// What a person should know, a sentence each.
    pub warnings: Vec<String>,
    /// What the first weight would write, a line each; nothing where the router does not say.
    pub changes: Vec<String>,
}

/// A weight that a router cannot reach exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rounded {
    /// What was asked for.
    pub asked: Weight,
    /// The share that it becomes, nearest percent.
    pub becomes: Weight,
    /// Why: `1 of 5 pods`.
    pub because: String,
}

/// What a router saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The weight that is written.
    pub weight: Weight,
    /// Whether the data plane acts on it.
    pub accepted: Acceptance,
    /// Who wrote it last, as far as is known: a run, a person, a field manager.
    pub changed_by: Option<String>,
    /// When it was written last, as far as is known.
    pub changed_at: Option<Timestamp>,
    /// Requests since that change that the weight decided about, where the router sees requests.
    pub requests: Option<Requests>,
}

/// Whether the data plane acts on what is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Acceptance {
    /// It does.
    Accepted,
    /// Not known yet: written, and not confirmed for this generation. Look again.
    Pending {
        /// What is waited for, and on whom.
        reason: String,
    },
    /// It said that it will not.
    Refused {
        /// Its words.
        reason: String,
    },
}

impl Acceptance {
    /// Whether the weight is in effect.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted)
    }
}

/// How many requests each arm got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Sent to stable.
    pub stable: u64,
    /// Sent to the canary.
    pub canary: u64,
}

impl Requests {
    /// The canary's share, 0.0 to 1.0; none before the first request.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share; counts stay far below 2^52"
    )]
    pub fn canary_share(self) -> Option<f64> {
        let all = self.stable.saturating_add(self.canary);
        (all > 0).then(|| self.canary as f64 / all as f64)
    }
}

/// Why a router could not do what it was asked, and what to do about it.
#[derive(Debug)]
pub struct RouterError {
    /// Which kind of failure, for programs.
    pub kind: RouterErrorKind,
    /// What was tried: `set weight 10 % on local splitter checkout`.
    pub tried: String,
    /// What came back.
    pub got: String,
    /// What to do next.
    pub hint: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Kinds of failure that a caller treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouterErrorKind {
    /// Nobody answered. Trying again may help.
    Unreachable,
    /// An answer did not come in time; a write may have happened or not. Trying again may help.
    TimedOut,
    /// What we were about to change is not what we expect: somebody else changed it. Look first.
    Conflict,
    /// The other side understood and said no, such as for want of rights. Trying again does not help.
    Refused,
    /// The answer makes no sense to us.
    Unexpected,
}

impl RouterError {
    /// An error of that kind: what was tried, what came back, what to do.
    pub fn new(
        kind: RouterErrorKind,
        tried: impl Into<String>,
        got: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            tried: tried.into(),
            got: got.into(),
            hint: hint.into(),
            source: None,
        }
    }

    /// The same with the error underneath.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Whether the same call may work a little later without anybody doing something.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            RouterErrorKind::Unreachable | RouterErrorKind::TimedOut
        )
    }
}

impl fmt::Display for RouterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}: {}; {}", self.tried, self.got, self.hint)
    }
}

impl Error for RouterError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_was_tried_what_came_back_and_what_to_do() {
        let error = RouterError::new(
            RouterErrorKind::Unreachable,
            "set weight 10 % on local splitter checkout",
            "connection refused",
            "start it",
        );
        assert_eq!(
            error.to_string(),
            "could not set weight 10 % on local splitter checkout: connection refused; start it"
        );
        assert!(error.is_transient());
    }

    #[test]
    fn a_share_needs_requests() {
        assert_eq!(Requests::default().canary_share(), None);
        assert_eq!(
            Requests {
                stable: 3,
                canary: 1
            }
            .canary_share(),
            Some(0.25)
        );
    }
}
