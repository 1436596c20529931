//! Tells people through the outbox.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::machine::{Event, Notification, Report};
use crate::node::secrets::Secrets;
use crate::notify::{Message, Outbox, Receiver};
use crate::run::driver::{Notifier, Told};

/// How long `drain` waits at most; the driver has a bound of its own.
const DRAIN: Duration = Duration::from_mins(10);

/// Posts to the channels of a release. Nothing is opened where there are none.
pub struct OutboxNotifier {
    run: String,
    path: PathBuf,
    receivers: Mutex<Vec<Arc<dyn Receiver>>>,
    secrets: Secrets,
    outbox: OnceLock<Arc<Outbox>>,
    told: OnceLock<Told>,
}

impl OutboxNotifier {
    /// `path` is the run's outbox file.
    pub fn new(
        run: impl Into<String>,
        path: PathBuf,
        receivers: Vec<Arc<dyn Receiver>>,
        secrets: Secrets,
    ) -> Self {
        Self {
            run: run.into(),
            path,
            receivers: Mutex::new(receivers),
            secrets,
            outbox: OnceLock::new(),
            told: OnceLock::new(),
        }
    }
}

impl Notifier for OutboxNotifier {
    fn start(&self, told: Told) {
        let receivers = std::mem::take(
            &mut *self
                .receivers
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        let _first = self.told.set(Arc::clone(&told));
        if receivers.is_empty() {
            return;
        }
        let pass_on: crate::notify::Told = {
            let told = Arc::clone(&told);
            Arc::new(move |event| {
                if let Event::Notified {
                    notification,
                    channel,
                    error,
                } = event
                {
                    told(notification, channel, error);
                }
            })
        };
        match Outbox::open(&self.path, receivers, self.secrets.clone(), pass_on) {
            Ok((outbox, settled)) => {
                for one in settled {
                    told(one.notification, one.channel, one.error);
                }
                let _first = self.outbox.set(Arc::new(outbox));
            }
            Err(error) => tracing::error!(%error, "no notification can be sent"),
        }
    }

    fn post(&self, notification: &Notification, report: &Report) {
        let Some(outbox) = self.outbox.get() else {
            return;
        };
        if let Err(error) = outbox.post(Message::new(&self.run, notification, report))
            && let Some(told) = self.told.get()
        {
            told(notification.id, "all".to_owned(), Some(error.to_string()));
        }
    }

    fn waiting(&self) -> BTreeMap<String, u64> {
        let Some(outbox) = self.outbox.get() else {
            return BTreeMap::new();
        };
        outbox.waiting().unwrap_or_else(|error| {
            tracing::warn!(%error, "it is not known what was not sent");
            BTreeMap::from([("all channels".to_owned(), outbox.left().waiting)])
        })
    }

    fn drain(&self) -> BoxFuture<'static, ()> {
        let outbox = self.outbox.get().cloned();
        async move {
            if let Some(outbox) = outbox {
                outbox.drain(DRAIN).await;
            }
        }
        .boxed()
    }
}
