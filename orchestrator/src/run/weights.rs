//! The one writer of the weight: latest wins, and 0 goes before everything.
//!
//! A raise that was overtaken by a 0 while it was on its way is not given up (a request that was sent may still be
//! carried out): the 0 is written beside it at once, and again as soon as the raise has come back, so that the raise
//! never has the last word.

use std::sync::Arc;
use std::time::Duration;

use canary_traffic::{Observed, Router, Weight};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot};

use super::clock::{Clock, within};
use crate::machine::backoff;

/// Bound of one call, should the router not keep its own.
pub(crate) const BOUND: Duration = Duration::from_secs(10);

/// Calls that write 0 at the same time, should they hang.
const MOST_ZEROS: u32 = 3;

/// What the router said to a command of the machine.
#[derive(Debug)]
pub(crate) struct Said {
    /// Id of the command.
    pub command: u64,
    /// What it said.
    pub result: Result<Observed, String>,
}

/// Handle of the writer. It ends when the last handle is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    requests: mpsc::UnboundedSender<Request>,
}

#[derive(Debug)]
enum Request {
    Set {
        command: u64,
        weight: Weight,
    },
    Observe {
        command: u64,
    },
    Off {
        done: oneshot::Sender<()>,
    },
    Remove {
        done: oneshot::Sender<Result<(), String>>,
    },
    Close {
        done: oneshot::Sender<()>,
    },
}

impl Weights {
    /// Starts the writer; what the router says goes to `said`.
    pub(crate) fn start(
        router: Arc<dyn Router>,
        clock: Arc<dyn Clock>,
        said: mpsc::UnboundedSender<Said>,
    ) -> Self {
        let (requests, queue) = mpsc::unbounded_channel();
        tokio::spawn(Writer::new(router, clock, said).run(queue));
        Self { requests }
    }

    /// Writes this weight, unless a newer command was given already. A command that is overtaken is not answered.
    pub(crate) fn set(&self, command: u64, weight: Weight) {
        self.send(Request::Set { command, weight });
    }

    /// Reads the weight, after the writes that are wanted.
    pub(crate) fn observe(&self, command: u64) {
        self.send(Request::Observe { command });
    }

    /// Takes traffic off whatever the machine says, and refuses every raise from now on. Goes on until the router says
    /// 0; resolves then.
    pub(crate) fn off(&self) -> BoxFuture<'static, ()> {
        let (done, answer) = oneshot::channel();
        self.send(Request::Off { done });
        async move { drop(answer.await) }.boxed()
    }

    /// Leaves nothing of ours behind. No weight is written after it.
    pub(crate) async fn remove(&self) -> Result<(), String> {
        let (done, answer) = oneshot::channel();
        self.send(Request::Remove { done });
        answer
            .await
            .unwrap_or_else(|_| Err("the writer of the weight has ended".to_owned()))
    }

    /// Lets what is on its way come back, and a 0 that is wanted out. No raise is written after it.
    pub(crate) async fn close(self) {
        let (done, answer) = oneshot::channel();
        self.send(Request::Close { done });
        drop(answer.await);
    }

    fn send(&self, request: Request) {
        // The writer lives as long as a handle of it.
        drop(self.requests.send(request));
    }
}

/// A call that has come back.
struct Back {
    call: Call,
    result: Result<Observed, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// Sets a weight above 0; `from` is what the router said last, if it said anything.
    Raise {
        command: u64,
        from: Option<Weight>,
        weight: Weight,
    },
    Zero {
        by: By,
    },
    Observe {
        command: u64,
    },
    Pause,
}

/// On whose account 0 is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// For this command; the machine repeats it where it fails.
    Machine(u64),
    /// For ourselves.
    Us,
}

struct Writer {
    router: Arc<dyn Router>,
    clock: Arc<dyn Clock>,
    said: mpsc::UnboundedSender<Said>,
    calls: FuturesUnordered<BoxFuture<'static, Back>>,
    /// Newest command that sets a weight.
    newest: u64,
    /// What the router said last: what a raise starts from.
    seen: Option<Weight>,
    /// A weight above 0 that is to be written.
    raise: Option<(u64, Weight)>,
    /// 0 is to be written, for that command or on our own account.
    zero: Option<By>,
    /// The last thing that was wanted is 0.
    down: bool,
    /// No raise ever again.
    latched: bool,
    waiting_off: Vec<oneshot::Sender<()>>,
    failures: u32,
    observe: Vec<u64>,
    raises: u32,
    zeros: u32,
    looks: u32,
    pausing: bool,
}

impl Writer {
    fn new(
        router: Arc<dyn Router>,
        clock: Arc<dyn Clock>,
        said: mpsc::UnboundedSender<Said>,
    ) -> Self {
        Self {
            router,
            clock,
            said,
            calls: FuturesUnordered::new(),
            newest: 0,
            seen: None,
            raise: None,
            zero: None,
            down: false,
            latched: false,
            waiting_off: Vec::new(),
            failures: 0,
            observe: Vec::new(),
            raises: 0,
            zeros: 0,
            looks: 0,
            pausing: false,
        }
    }

    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Request>) {
        loop {
            self.start_calls();
            tokio::select! {
                biased;
                request = queue.recv() => match request {
                    Some(Request::Remove { done }) => {
                        self.settle().await;
                        drop(done.send(remove(self.router, self.clock).await));
                        return;
                    }
                    Some(Request::Close { done }) => {
                        self.settle().await;
                        // Whoever asked may have stopped waiting.
                        let _gone = done.send(());
                        return;
                    }
                    Some(request) => self.take(request),
                    None => {
                        // A driver that leaves does not leave a raise with the last word.
                        self.settle().await;
                        return;
                    }
                },
                Some(back) = self.calls.next() => self.come_back(back),
            }
        }
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Set { command, weight } if command > self.newest => {
                self.newest = command;
                self.down = weight.is_zero();
                if weight.is_zero() {
                    self.raise = None;
                    self.zero = Some(By::Machine(command));
                } else if self.latched {
                    let refused = "traffic was taken off because the journal cannot be written";
                    self.say(command, Err(refused.to_owned()));
                } else {
                    self.zero = None;
                    self.raise = Some((command, weight));
                }
            }
            Request::Observe { command } => self.observe.push(command),
            Request::Off { done } => {
                self.latched = true;
                self.down = true;
                self.raise = None;
                self.zero = self.zero.or(Some(By::Us));
                self.waiting_off.push(done);
            }
            // Overtaken before it was looked at; the others do not come here.
            Request::Set { .. } | Request::Remove { .. } | Request::Close { .. } => {}
        }
    }

    /// Starts what may be started: a 0 unless one is on its way, a raise when nothing is, a look after the writes.
    fn start_calls(&mut self) {
        // The machine's own 0 neither waits for our pause nor for a call that hangs.
        let commanded = matches!(self.zero, Some(By::Machine(_)));
        let free = if commanded {
            self.zeros < MOST_ZEROS
        } else {
            self.zeros == 0 && !self.pausing
        };
        if free && let Some(by) = self.zero.take() {
            self.zeros += 1;
            self.call(Call::Zero { by });
        }
        let writes = self.raises + self.zeros;
        if writes == 0
            && self.zero.is_none()
            && let Some((command, weight)) = self.raise.take()
        {
            self.raises += 1;
            let from = self.seen;
            self.call(Call::Raise {
                command,
                from,
                weight,
            });
        }
        let idle = self.raises + self.zeros + self.looks == 0 && self.zero.is_none();
        if idle && !self.observe.is_empty() {
            let command = self.observe.remove(0);
            self.looks += 1;
            self.call(Call::Observe { command });
        }
    }

    fn call(&mut self, call: Call) {
        let (router, clock) = (self.router.clone(), self.clock.clone());
        self.calls.push(
            async move {
                let work = async {
                    match call {
                        Call::Raise { from, weight, .. } => {
                            let from = match from {
                                Some(from) => from,
                                None => router.observe().await?.weight,
                            };
                            router.set_weight(from, weight).await
                        }
                        Call::Zero { .. } => router.take_off().await,
                        Call::Observe { .. } | Call::Pause => router.observe().await,
                    }
                };
                let result = match within(clock.as_ref(), BOUND, work).await {
                    Some(result) => result.map_err(|error| error.to_string()),
                    None => Err(format!("{} did not answer within {BOUND:?}", router.name())),
                };
                Back { call, result }
            }
            .boxed(),
        );
    }

    fn come_back(&mut self, Back { call, result }: Back) {
        if let Ok(observed) = &result {
            self.seen = Some(observed.weight);
        }
        match call {
            Call::Raise { command, .. } => {
                self.raises -= 1;
                if self.down {
                    // It was overtaken by a 0: whatever it did, 0 has the last word.
                    self.zero = self.zero.or(Some(By::Us));
                } else if command == self.newest {
                    self.say(command, result);
                }
            }
            Call::Zero { by } => {
                self.zeros -= 1;
                let off = result
                    .as_ref()
                    .is_ok_and(|observed| observed.weight.is_zero());
                if off {
                    self.failures = 0;
                    for done in self.waiting_off.drain(..) {
                        // Whoever asked may be gone.
                        let _gone = done.send(());
                    }
                }
                if by == By::Machine(self.newest) {
                    self.say(self.newest, result);
                }
                // The machine repeats its own commands; what nobody else repeats is repeated here.
                if !off && self.down && (self.latched || by == By::Us) && self.zero.is_none() {
                    self.zero = Some(By::Us);
                    self.wait();
                }
            }
            Call::Observe { command } => {
                self.looks -= 1;
                self.say(command, result);
            }
            Call::Pause => self.pausing = false,
        }
    }

    fn wait(&mut self) {
        let pause = self.clock.pause(backoff(self.failures));
        self.failures = self.failures.saturating_add(1);
        self.pausing = true;
        self.calls.push(
            async move {
                pause.await;
                Back {
                    call: Call::Pause,
                    result: Err(String::new()),
                }
            }
            .boxed(),
        );
    }

    fn say(&self, command: u64, result: Result<Observed, String>) {
        // A driver that is gone does not want to know.
        drop(self.said.send(Said { command, result }));
    }

    /// Waits for what is on its way, and lets a 0 that is wanted out.
    async fn settle(&mut self) {
        self.raise = None;
        self.observe.clear();
        let clock = self.clock.clone();
        let settle = async {
            loop {
                self.start_calls();
                match self.calls.next().await {
                    Some(back) => self.come_back(back),
                    None => return,
                }
            }
        };
        // A router that never answers does not keep the process.
        let _late = within(clock.as_ref(), 2 * BOUND, settle).await;
    }
}

async fn remove(router: Arc<dyn Router>, clock: Arc<dyn Clock>) -> Result<(), String> {
    match within(clock.as_ref(), BOUND, router.remove()).await {
        Some(result) => result.map_err(|error| error.to_string()),
        None => Err(format!("{} did not answer within {BOUND:?}", router.name())),
    }
}

#[cfg(test)]
mod tests;
