//! One channel's way through the file: in order, each message until it is taken or given up.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{Line, Told, file};
use crate::machine::Event;
use crate::notify::{Delivery, Message, Receiver};

/// Tries of one message.
const TRIES: u32 = 10;

/// How long one message is tried.
const PATIENCE: Duration = Duration::from_mins(10);

/// Longest pause that we choose ourselves.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Waits between tries. A test has one that does not take the time.
pub(super) type Sleep = Arc<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

/// What a channel's task works with.
pub(super) struct Desk {
    pub(super) receiver: Arc<dyn Receiver>,
    pub(super) path: PathBuf,
    /// Settled before the file was opened.
    pub(super) settled: BTreeSet<u64>,
    pub(super) thread: Option<String>,
    pub(super) grown: watch::Receiver<u64>,
    pub(super) lines: mpsc::Sender<Line>,
    pub(super) told: Told,
    pub(super) sleep: Sleep,
}

/// Sends until the outbox is dropped.
pub(super) async fn serve(mut desk: Desk) {
    let mut at = 0;
    loop {
        let until = *desk.grown.borrow_and_update();
        if at >= until {
            if desk.grown.changed().await.is_err() {
                return;
            }
            continue;
        }
        let path = desk.path.clone();
        let read = tokio::task::spawn_blocking(move || file::read(&path, at, until)).await;
        let lines = match read {
            Ok(Ok((lines, next))) if next > at => {
                at = next;
                lines
            }
            Ok(Ok(_)) => {
                tracing::error!(path = %desk.path.display(), at, "the outbox has a line without end; nothing more is sent from it");
                return;
            }
            Ok(Err(error)) => {
                tracing::warn!(path = %desk.path.display(), %error, "the outbox cannot be read; trying again");
                (desk.sleep)(Duration::from_secs(1)).await;
                continue;
            }
            Err(_) => return,
        };
        for line in lines {
            if let Line::Message { message, to } = line
                && to.iter().any(|name| name == desk.receiver.name())
                && !desk.settled.contains(&message.notification)
            {
                desk.handle(&message).await;
            }
        }
    }
}

impl Desk {
    async fn handle(&mut self, message: &Message) {
        let name = self.receiver.name().to_owned();
        let (thread, error) = match deliver(
            self.receiver.as_ref(),
            message,
            self.thread.as_deref(),
            &self.sleep,
        )
        .await
        {
            Ok(thread) => (thread, None),
            Err(why) => {
                tracing::warn!(channel = name, notification = message.notification, %why, "a notification was given up");
                (None, Some(why))
            }
        };
        if self.thread.is_none() {
            self.thread.clone_from(&thread);
        }
        let notification = message.notification;
        (self.told)(Event::Notified {
            notification,
            channel: name.clone(),
            error: error.clone(),
        });
        let mark = Line::Mark {
            notification,
            channel: name,
            error,
            thread,
        };
        // Nobody to write it any longer: it will be sent again, which is better than never.
        let _written = self.lines.send(mark).await.is_ok();
    }
}

async fn deliver(
    receiver: &dyn Receiver,
    message: &Message,
    thread: Option<&str>,
    sleep: &Sleep,
) -> Result<Option<String>, String> {
    let mut spent = Duration::ZERO;
    let mut tries = 0;
    loop {
        tries += 1;
        let start = Instant::now();
        let (why, after) = match receiver.deliver(message, thread).await {
            Delivery::Sent { thread } => return Ok(thread),
            Delivery::Never { why } => return Err(why),
            Delivery::Later { why, after } => (why, after),
        };
        spent += start.elapsed();
        let pause = after.unwrap_or_default().max(pause(tries));
        if tries == TRIES || spent + pause > PATIENCE {
            let times = if tries == 1 { "try" } else { "tries" };
            let asked = after.map(|after| format!(", and it asks to wait {} s", after.as_secs()));
            return Err(format!(
                "given up after {tries} {times} in {} s{}: {why}",
                spent.as_secs(),
                asked.unwrap_or_default()
            ));
        }
        tracing::debug!(channel = receiver.name(), %why, ?pause, "a notification is tried again");
        sleep(pause).await;
        spent += pause;
    }
}

/// 1 s, doubling, at most a minute.
fn pause(tries: u32) -> Duration {
    Duration::from_secs(1_u64 << tries.saturating_sub(1).min(6)).min(LONGEST_PAUSE)
}
