//! Tells people: what is said, where it goes, and that it gets there.
//!
//! A [`Message`] is made from a notification of the machine and the report, and holds every word that any channel will
//! say; it is written to the [`Outbox`] before it is sent, so that what is sent after a crash is what was meant then.

mod channel;
mod outbox;
pub mod text;

pub use channel::{Channel, Tools, channels};
pub use outbox::{Left, MOST_WAITING, Outbox, OutboxError, Settled, Told};
pub use text::Message;

use std::time::Duration;

use futures::future::BoxFuture;

use crate::machine::Topic;

/// What became of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The receiver has it. Slack's thread, where it began or goes on.
    Sent {
        /// What later messages of the run are hung on.
        thread: Option<String>,
    },
    /// Not now: trying again may help.
    Later {
        /// What was tried and what came back.
        why: String,
        /// How long the receiver asked to be left alone.
        after: Option<Duration>,
    },
    /// Trying again will not help.
    Never {
        /// What was tried, what came back, what to do.
        why: String,
    },
}

/// Somebody who takes messages.
pub trait Receiver: Send + Sync {
    /// Name of the channel, unique in a run.
    fn name(&self) -> &str;

    /// Whether it wants news of this kind.
    fn wants(&self, topic: Topic) -> bool;

    /// Tries once. `thread` is what an earlier message of this run gave.
    fn deliver<'a>(
        &'a self,
        message: &'a Message,
        thread: Option<&'a str>,
    ) -> BoxFuture<'a, Delivery>;
}
