//! What the tests of all routers share.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use canary_tests::cluster::{App, Namespace, Request};
use canary_tests::sandbox::eventually;
use canary_traffic::kubernetes::{Access, Api};
use canary_traffic::{Acceptance, Observed, Router, Weight};
use tokio::runtime::Runtime;

pub(crate) const RUN: &str = "run shop-1";

/// A router's calls, from a test that waits for them.
pub(crate) struct Calls<R> {
    runtime: Runtime,
    pub(crate) router: R,
}

impl<R: Router> Calls<R> {
    pub(crate) fn new(router: R) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        Self { runtime, router }
    }

    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    #[track_caller]
    pub(crate) fn observe(&self) -> Observed {
        self.wait(self.router.observe()).expect("an answer")
    }

    /// Sets the weight, and waits until the data plane says that it follows.
    #[track_caller]
    pub(crate) fn set(&self, from: u8, to: u8) -> Observed {
        let set = self
            .wait(self.router.set_weight(weight(from), weight(to)))
            .expect("an answer");
        assert_eq!(set.weight, weight(to), "{set:?}");
        self.accepted(to)
    }

    #[track_caller]
    pub(crate) fn accepted(&self, percent: u8) -> Observed {
        eventually("a data plane that follows", || {
            let observed = self.observe();
            assert_eq!(observed.weight, weight(percent), "{observed:?}");
            (observed.accepted == Acceptance::Accepted).then_some(observed)
        })
    }

    #[track_caller]
    pub(crate) fn off(&self) -> Observed {
        let off = self.wait(self.router.take_off()).expect("an answer");
        assert_eq!(off.weight, Weight::ZERO, "{off:?}");
        off
    }

    #[track_caller]
    pub(crate) fn remove(&self) {
        self.wait(self.router.remove()).expect("it is removed");
    }

    /// What a look before a run says against it.
    #[track_caller]
    pub(crate) fn refusal(&self) -> String {
        self.wait(self.router.preflight(&[weight(10), weight(100)]))
            .expect_err("a refusal")
            .to_string()
    }

    /// Whose weight it is that stands there.
    #[track_caller]
    pub(crate) fn drift(&self, believed: u8) -> Observed {
        let kept = self
            .wait(self.router.set_weight(weight(believed), weight(99)))
            .expect("an answer");
        assert_ne!(kept.weight, weight(99), "it went on top: {kept:?}");
        kept
    }
}

pub(crate) fn weight(percent: u8) -> Weight {
    Weight::try_from(percent).expect("a weight")
}

pub(crate) fn api(namespace: &Namespace<'_>) -> Api {
    let access = Access {
        kubeconfig: Some(namespace.cluster().kubeconfig().clone()),
        context: None,
    };
    Api::new(access, Some(namespace.name().to_owned()))
}

/// `stable` answers v1 and `canary` v2, behind Services of the same names.
pub(crate) fn two_versions(namespace: &Namespace<'_>) {
    for (name, version) in [("stable", "v1"), ("canary", "v2")] {
        namespace.deploy(&App::new(name, version));
        namespace.service(name, &format!("app={name}"));
    }
}

/// Waits until the data plane answers as it is to: with this many of 200 by the canary, at least and at most.
#[track_caller]
pub(crate) fn until_share(request: &Request, least: u64, most: u64) {
    eventually("a data plane that follows", || {
        let counts = request.send(200);
        (counts.bad() == 0 && (least..=most).contains(&counts.of("v2"))).then_some(())
    });
}

/// Requests without a pause, four at a time, while the test goes on. The next is sent when one is answered, so that a slow
/// machine takes longer and fails nothing.
pub(crate) struct Crowd {
    total: AtomicU64,
    by_canary: AtomicU64,
    bad: AtomicU64,
    done: AtomicBool,
}

impl Crowd {
    /// Runs `test` beside it. Fails the test if a request of them all failed; gives all answers, and the canary's.
    pub(crate) fn beside(request: &Request, test: impl FnOnce(&Self)) -> (u64, u64) {
        let crowd = Self {
            total: AtomicU64::new(0),
            by_canary: AtomicU64::new(0),
            bad: AtomicU64::new(0),
            done: AtomicBool::new(false),
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !crowd.done.load(Ordering::Relaxed) {
                    let counts = request.send(250);
                    if counts.bad() > 0 {
                        eprintln!("{counts:?}");
                    }
                    crowd.bad.fetch_add(counts.bad(), Ordering::Relaxed);
                    crowd
                        .by_canary
                        .fetch_add(counts.of("v2"), Ordering::Relaxed);
                    crowd.total.fetch_add(counts.total(), Ordering::Relaxed);
                }
            });
            let ended = Ended(&crowd.done);
            test(&crowd);
            drop(ended);
        });
        assert_eq!(crowd.bad.into_inner(), 0, "requests failed");
        (crowd.total.into_inner(), crowd.by_canary.into_inner())
    }

    /// Waits until so many were answered in all.
    pub(crate) fn until(&self, total: u64) {
        while self.total.load(Ordering::Relaxed) < total {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Ends the crowd, also when the test fails.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
