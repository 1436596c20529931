//! Tells people of a run in a cluster: by the channels of the release, and by an Event on the Release.
//!
//! What is to be said is kept in memory, in order, per channel; a restart says again what the status does not yet know to be
//! said, under the same key, so that a receiver can tell. Nothing here is waited for while a run goes on.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use canary_orchestrator::machine::{Notification, Report, Topic};
use canary_orchestrator::node::secrets::Secrets;
use canary_orchestrator::notify::{Delivery, Message, Receiver};
use canary_orchestrator::run::driver::{Notifier, Told};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::metrics::Metrics;
use super::text::cut;
use crate::kinds::{Cluster, EVENTS};

/// Messages that may wait in one channel.
const MOST_WAITING: usize = 32;
/// Tries of one message.
const TRIES: u32 = 10;
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// What Events are about.
#[derive(Debug, Clone)]
pub(super) struct About {
    /// The Release.
    pub(super) name: String,
    /// Its UID.
    pub(super) uid: String,
    /// The run.
    pub(super) run: String,
}

/// A receiver, and what waits for it.
type Queue = (Arc<dyn Receiver>, mpsc::Sender<Message>);

/// Tells people.
pub(super) struct ClusterNotifier {
    about: About,
    cluster: Arc<Cluster>,
    receivers: Vec<Arc<dyn Receiver>>,
    secrets: Secrets,
    queues: OnceLock<Vec<Queue>>,
    told: OnceLock<Told>,
    left: watch::Sender<usize>,
    metrics: Metrics,
}

impl ClusterNotifier {
    /// Nothing is sent before it is started.
    pub(super) fn new(
        about: About,
        cluster: Arc<Cluster>,
        receivers: Vec<Arc<dyn Receiver>>,
        secrets: Secrets,
        metrics: Metrics,
    ) -> Self {
        Self {
            about,
            cluster,
            receivers,
            secrets,
            queues: OnceLock::new(),
            told: OnceLock::new(),
            left: watch::Sender::new(0),
            metrics,
        }
    }

    fn event(&self, notification: &Notification) {
        let (cluster, about) = (Arc::clone(&self.cluster), self.about.clone());
        let warning = matches!(notification.topic, Topic::Blocked | Topic::Failing);
        let reason = match notification.topic {
            Topic::Started => "Started",
            Topic::Step => "WeightRaised",
            Topic::Approval => "ApprovalNeeded",
            Topic::Paused => "Paused",
            Topic::Blocked => "Blocked",
            Topic::Unblocked => "Unblocked",
            Topic::Failing => "RollingBack",
            Topic::Ended => "Ended",
        };
        let message = cut(
            &format!("{} {}", notification.headline, notification.done),
            1000,
        );
        let name = format!("{}.{}", cut(&about.run, 60), notification.id);
        let event = event(
            cluster.namespace(),
            &about,
            &name,
            warning,
            reason,
            &message,
            notification.at,
        );
        tokio::spawn(async move {
            // One that is there already was made before a restart.
            if let Err(failure) = cluster.create(&EVENTS, &event).await {
                tracing::debug!(%failure, name, "no Event was made");
            }
        });
    }
}

/// An Event on a Release.
fn event(
    namespace: &str,
    about: &About,
    name: &str,
    warning: bool,
    reason: &str,
    message: &str,
    at: Timestamp,
) -> Value {
    let at = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": {
            "apiVersion": format!("{}/{}", crate::api::GROUP, crate::api::VERSION),
            "kind": "Release", "name": about.name, "namespace": namespace, "uid": about.uid,
        },
        "type": if warning { "Warning" } else { "Normal" },
        "reason": reason,
        "message": message,
        "source": {"component": "canary"},
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    })
}

impl Notifier for ClusterNotifier {
    fn start(&self, told: Told) {
        let queues = self
            .receivers
            .iter()
            .map(|receiver| {
                let (queue, messages) = mpsc::channel(MOST_WAITING);
                let desk = Desk {
                    receiver: Arc::clone(receiver),
                    told: Arc::clone(&told),
                    left: self.left.clone(),
                    metrics: self.metrics.clone(),
                };
                tokio::spawn(desk.serve(messages));
                (Arc::clone(receiver), queue)
            })
            .collect();
        let _first = self.queues.set(queues);
        let _first = self.told.set(told);
    }

    fn post(&self, notification: &Notification, report: &Report) {
        self.event(notification);
        let message =
            Message::new(&self.about.run, notification, report).redacted(&self.secrets.redactor());
        for (receiver, queue) in self.queues.get().into_iter().flatten() {
            if !receiver.wants(notification.topic) {
                continue;
            }
            self.left.send_modify(|left| *left += 1);
            if queue.try_send(message.clone()).is_err() {
                self.left.send_modify(|left| *left -= 1);
                self.metrics.notifications_failed.inc();
                if let Some(told) = self.told.get() {
                    let why = format!("{MOST_WAITING} notifications wait for it already");
                    told(notification.id, receiver.name().to_owned(), Some(why));
                }
            }
        }
    }

    fn waiting(&self) -> BTreeMap<String, u64> {
        let queues = self.queues.get().into_iter().flatten();
        queues
            .map(|(receiver, queue)| {
                let waiting = MOST_WAITING.saturating_sub(queue.capacity());
                (
                    receiver.name().to_owned(),
                    u64::try_from(waiting).unwrap_or(u64::MAX),
                )
            })
            .filter(|(_, waiting)| *waiting > 0)
            .collect()
    }

    fn drain(&self) -> BoxFuture<'static, ()> {
        let mut left = self.left.subscribe();
        async move {
            // The sender lives as long as we do.
            drop(left.wait_for(|left| *left == 0).await);
        }
        .boxed()
    }
}

/// One channel.
struct Desk {
    receiver: Arc<dyn Receiver>,
    told: Told,
    left: watch::Sender<usize>,
    metrics: Metrics,
}

impl Desk {
    async fn serve(self, mut messages: mpsc::Receiver<Message>) {
        let mut thread: Option<String> = None;
        while let Some(message) = messages.recv().await {
            let error = match self.deliver(&message, thread.as_deref()).await {
                Ok(begun) => {
                    thread = thread.or(begun);
                    None
                }
                Err(why) => {
                    self.metrics.notifications_failed.inc();
                    tracing::warn!(channel = self.receiver.name(), %why, "a notification was given up");
                    Some(why)
                }
            };
            (self.told)(message.notification, self.receiver.name().to_owned(), error);
            self.left.send_modify(|left| *left -= 1);
        }
    }

    async fn deliver(
        &self,
        message: &Message,
        thread: Option<&str>,
    ) -> Result<Option<String>, String> {
        let mut pause = Duration::from_secs(1);
        let mut tries = 1;
        loop {
            let (why, after) = match self.receiver.deliver(message, thread).await {
                Delivery::Sent { thread } => return Ok(thread),
                Delivery::Never { why } => return Err(why),
                Delivery::Later { why, after } => (why, after),
            };
            if tries >= TRIES {
                return Err(format!("given up after {tries} tries: {why}"));
            }
            tries += 1;
            tokio::time::sleep(after.unwrap_or(pause).clamp(pause, LONGEST_PAUSE * 5)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
