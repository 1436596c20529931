//! Time in a run: one clock, anchored to the wall when a driver starts, that only ever goes forward.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Either, select};
use jiff::Timestamp;

/// Says what time it is, and waits.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time now; never before what it said earlier.
    fn now(&self) -> Timestamp;

    /// Resolves at that time, at once where it is past.
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()>;

    /// Resolves after that long.
    fn pause(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.sleep_until(after(self.now(), duration))
    }
}

/// That much later; the end of time where that is beyond it.
pub fn after(at: Timestamp, duration: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(duration)
        .ok()
        .and_then(|duration| at.checked_add(duration).ok())
        .unwrap_or(Timestamp::MAX)
}

/// The result of the work, or `None` where it takes longer than the bound.
pub async fn within<T>(
    clock: &dyn Clock,
    bound: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    match select(pin!(work), clock.pause(bound)).await {
        Either::Left((result, _)) => Some(result),
        Either::Right(((), _)) => None,
    }
}

/// The real clock: the monotonic clock, anchored once.
///
/// A wall clock that is set back or forth during the run changes nothing. Time in which the machine sleeps counts (on
/// Linux; elsewhere the system does not say): otherwise the run would ask its sources for times long past, and would not
/// see that nothing was watched.
#[derive(Debug, Clone, Copy)]
pub struct MonotonicClock {
    anchor: Timestamp,
    start: Duration,
}

/// Time since the machine was started, sleep included.
#[cfg(target_os = "linux")]
fn ticks() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

/// Time since this was asked first.
#[cfg(not(target_os = "linux"))]
fn ticks() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;
    static FIRST: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "this is the clock of the shell")]
    FIRST.get_or_init(Instant::now).elapsed()
}

impl MonotonicClock {
    /// Starts at the wall's time, or at `not_before` (the time of the last record of the run) where the wall was set
    /// back since.
    pub fn start(not_before: Option<Timestamp>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the clock of the shell")]
        let (wall, start) = (Timestamp::now(), ticks());
        Self {
            anchor: not_before.map_or(wall, |bound| wall.max(bound)),
            start,
        }
    }
}

impl Clock for MonotonicClock {
    fn now(&self) -> Timestamp {
        after(self.anchor, ticks().saturating_sub(self.start))
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        let left = Duration::try_from(at.duration_since(self.now())).unwrap_or_default();
        tokio::time::sleep(left).boxed()
    }
}

#[cfg(test)]
pub(crate) mod virtual_time {
    //! A clock for tests: it goes to the next moment that anybody waits for, once nobody has anything left to do.

    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use tokio::sync::oneshot;

    use super::*;

    #[derive(Debug, Clone)]
    pub(crate) struct VirtualClock {
        inner: Arc<Mutex<Inner>>,
    }

    #[derive(Debug)]
    struct Inner {
        now: Timestamp,
        next: u64,
        sleepers: BTreeMap<(Timestamp, u64), oneshot::Sender<()>>,
    }

    /// Rounds of the runtime in which everything that can go on has gone on.
    const QUIET: u32 = 20;

    impl VirtualClock {
        pub(crate) fn at(now: Timestamp) -> Self {
            let inner = Inner {
                now,
                next: 0,
                sleepers: BTreeMap::new(),
            };
            Self {
                inner: Arc::new(Mutex::new(inner)),
            }
        }

        pub(crate) fn new() -> Self {
            Self::at(Timestamp::from_second(1_700_000_000).unwrap())
        }

        /// Runs the work (and all spawned tasks of this one-threaded runtime) to its end. Panics where nothing can
        /// ever happen again.
        pub(crate) async fn drive<T>(&self, work: impl Future<Output = T>) -> T {
            let mut work = pin!(work);
            loop {
                for _ in 0..QUIET {
                    tokio::select! {
                        biased;
                        out = &mut work => return out,
                        () = tokio::task::yield_now() => {}
                    }
                }
                assert!(
                    self.advance(),
                    "nobody waits for a time, and the work does not end"
                );
            }
        }

        fn advance(&self) -> bool {
            let mut inner = self.inner.lock().unwrap();
            while let Some(((at, _), sleeper)) = inner.sleepers.pop_first() {
                if !sleeper.is_closed() {
                    inner.now = inner.now.max(at);
                    return sleeper.send(()).is_ok();
                }
            }
            false
        }
    }

    impl Clock for VirtualClock {
        fn now(&self) -> Timestamp {
            self.inner.lock().unwrap().now
        }

        fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
            let (wake, woken) = oneshot::channel();
            let mut inner = self.inner.lock().unwrap();
            inner.next += 1;
            let key = (at.max(inner.now), inner.next);
            inner.sleepers.insert(key, wake);
            async move { drop(woken.await) }.boxed()
        }
    }

    #[tokio::test]
    async fn virtual_time_goes_in_order_and_costs_none() {
        let clock = VirtualClock::new();
        let start = clock.now();
        let (a, b) = (clock.clone(), clock.clone());
        let order = Arc::new(Mutex::new(Vec::new()));
        let (first, second) = (order.clone(), order.clone());
        let late = tokio::spawn(async move {
            a.pause(Duration::from_hours(1)).await;
            first.lock().unwrap().push("late");
        });
        let early = async move {
            b.pause(Duration::from_mins(1)).await;
            second.lock().unwrap().push("early");
            late.await.unwrap();
        };
        clock.drive(early).await;
        assert_eq!(*order.lock().unwrap(), ["early", "late"]);
        assert_eq!(clock.now(), after(start, Duration::from_hours(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_before_the_last_record() {
        let bound = Timestamp::from_second(32_503_680_000).unwrap();
        assert!(MonotonicClock::start(Some(bound)).now() >= bound);
        let clock = MonotonicClock::start(None);
        let (a, b) = (clock.now(), clock.now());
        assert!(a <= b && a > Timestamp::UNIX_EPOCH);
    }
}
