//! Signals of a run that this process drives.
//!
//! | signal | the first | another one |
//! |---|---|---|
//! | Ctrl-C (SIGINT), SIGTERM | aborts | leaves at once, the run can be resumed |
//! | SIGHUP: the terminal is gone | aborts | nothing: a terminal that goes away says so more than once |
//!
//! A SIGHUP that is ignored when the program starts (`nohup canary run ...`) stays ignored.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use canary_orchestrator::machine::OperatorAction;
use canary_orchestrator::run::driver::Handle;
use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::output::Output;

/// The signals, caught from the moment that this exists.
pub(crate) struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    /// `None`: it is ignored, and stays so.
    hangup: Option<unix::Signal>,
}

impl Signals {
    /// Catches them. Must be called inside a runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        let hangup = if hangup_is_ignored() {
            None
        } else {
            Some(signal(SignalKind::hangup())?)
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup,
        })
    }

    /// Does what they ask for, until `ended`.
    pub(crate) async fn obey(
        mut self,
        interrupts: Interrupts,
        talk: Option<Output>,
        ended: CancellationToken,
    ) {
        loop {
            let number = tokio::select! {
                Some(()) = self.interrupt.recv() => Signal::INT,
                Some(()) = self.terminate.recv() => Signal::TERM,
                () = received(&mut self.hangup) => Signal::HUP,
                () = ended.cancelled() => return,
                else => return,
            };
            // Done first, said after: whoever reads stderr may have stopped reading.
            let text = match interrupts.take(number) {
                Taken::Aborts => "aborting: traffic goes back first; once more leaves at once",
                Taken::Leaves => "leaving",
                Taken::Nothing => continue,
            };
            if let Some(output) = talk.clone() {
                let say = move || output.talk(text);
                if let Err(error) = std::thread::Builder::new().spawn(say) {
                    tracing::warn!(%error, "cannot say what a signal did");
                }
            }
        }
    }
}

async fn received(signal: &mut Option<unix::Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// What a signal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Aborts,
    Leaves,
    Nothing,
}

/// What was asked for so far, by signals and by keys. All clones count together.
#[derive(Clone)]
pub(crate) struct Interrupts {
    handle: Handle,
    who: String,
    runtime: tokio::runtime::Handle,
    aborted: Arc<AtomicBool>,
}

impl Interrupts {
    /// None yet. Must be called inside the runtime of the run.
    pub(crate) fn new(handle: Handle, who: String) -> Self {
        Self {
            handle,
            who,
            runtime: tokio::runtime::Handle::current(),
            aborted: Arc::default(),
        }
    }

    /// Takes one in. Never waits.
    pub(crate) fn take(&self, signal: Signal) -> Taken {
        if self.aborted.swap(true, Ordering::SeqCst) {
            if signal == Signal::HUP {
                return Taken::Nothing;
            }
            self.handle.leave();
            return Taken::Leaves;
        }
        let (handle, who) = (self.handle.clone(), self.who.clone());
        let action = OperatorAction::Abort {
            signal: Some(signal.as_raw()),
        };
        self.runtime.spawn(async move {
            let _gone = handle.operator(action, who, None).await;
        });
        Taken::Aborts
    }
}

/// Whether this process was started with SIGHUP ignored, as `nohup` does. Where the system does not say (no `/proc`), it
/// was not: traffic that goes off by mistake is better than traffic that nobody watches.
fn hangup_is_ignored() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| ignores(&status, Signal::HUP.as_raw()))
}

/// proc_pid_status(5): `SigIgn` is a mask in hexadecimal, signal 1 its lowest bit.
fn ignores(status: &str, signal: i32) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u128::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_from_the_mask() {
        let status = |mask: &str| format!("Name:\tcanary\nSigBlk:\tffff\nSigIgn:\t{mask}\nx: y\n");
        for (mask, hup, int) in [
            ("0000000000000000", false, false),
            ("0000000000000001", true, false),
            ("0000000000000002", false, true),
            ("0000000000001003", true, true),
            ("nonsense", false, false),
        ] {
            let status = status(mask);
            assert_eq!(
                (ignores(&status, 1), ignores(&status, 2)),
                (hup, int),
                "{mask}"
            );
        }
        assert!(!ignores("", 1));
    }
}
