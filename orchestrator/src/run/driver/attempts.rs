//! Attempts that are being carried out.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, join_all};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::hooks::Executor;
use crate::machine::ProcessMark;
use crate::plan::NodeIndex;
use crate::run::clock::{Clock, within};

/// Attempts that are being carried out, and what has to end before any may start.
#[derive(Default)]
pub(super) struct Attempts {
    running: HashMap<(NodeIndex, u32), Running>,
    cleaned: Option<Shared<BoxFuture<'static, ()>>>,
    /// Questions whether something had finished; nobody wants to know once the run goes back.
    questions: CancellationToken,
}

struct Running {
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Attempts {
    /// Ends what an earlier driver left behind; nothing is started before that.
    pub(super) fn clean_up(&mut self, executor: &dyn Executor, left_behind: Vec<ProcessMark>) {
        for process in left_behind {
            self.end_process(executor, process);
        }
    }

    /// Ends a process group; nothing is started before that.
    pub(super) fn end_process(&mut self, executor: &dyn Executor, process: ProcessMark) {
        let before = self.cleaned();
        let end = executor.end_process(process);
        let all = async move {
            tokio::join!(before, end);
        };
        let all = all.boxed().shared();
        // It goes on whether or not anybody waits for it.
        tokio::spawn(all.clone());
        self.cleaned = Some(all);
    }

    /// Resolves when everything that was left behind has ended.
    pub(super) fn cleaned(&self) -> BoxFuture<'static, ()> {
        match &self.cleaned {
            Some(cleaned) => cleaned.clone().boxed(),
            None => std::future::ready(()).boxed(),
        }
    }

    /// Runs an attempt in a task of its own.
    pub(super) fn start(
        &mut self,
        node: NodeIndex,
        attempt: u32,
        cancel: CancellationToken,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let running = Running {
            cancel,
            task: tokio::spawn(work),
        };
        self.running.insert((node, attempt), running);
    }

    /// Asks an attempt to end; false where there is none.
    pub(super) fn cancel(&self, node: NodeIndex, attempt: u32) -> bool {
        self.running
            .get(&(node, attempt))
            .map(|running| running.cancel.cancel())
            .is_some()
    }

    /// Set when the questions that are asked now are not wanted any more.
    pub(super) fn questions(&self) -> CancellationToken {
        self.questions.clone()
    }

    /// Gives up the questions that are asked now.
    pub(super) fn stop_questions(&mut self) {
        std::mem::take(&mut self.questions).cancel();
    }

    /// Its end was seen.
    pub(super) fn ended(&mut self, node: NodeIndex, attempt: u32) {
        self.running.remove(&(node, attempt));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn cancel_all(&self) {
        for running in self.running.values() {
            running.cancel.cancel();
        }
    }

    /// Waits for attempts that were asked to end.
    pub(super) async fn settle(&mut self, clock: &dyn Clock, bound: Duration) {
        let tasks: Vec<_> = self
            .running
            .drain()
            .map(|(_, running)| running.task)
            .collect();
        // What is left is found by whoever resumes the run.
        drop(within(clock, bound, join_all(tasks)).await);
    }
}
