//! Aborts under fire: a router that is slow, refuses and comes back; a clock that jumps; two people at once; a run that is
//! just being taken over.

use std::sync::Mutex;

use super::super::*;
use super::operators::{abort, run, run_with, until, weight};
use super::world::{World, plan};
use crate::machine::RunPhase;
use crate::run::clock::{after, virtual_time::VirtualClock};
use canary_traffic::Weight;

fn waits(handle: &Handle) -> String {
    let view = handle.view();
    let report = view.borrow().report.clone();
    let all: Vec<_> = report.waits.iter().map(|wait| wait.why.clone()).collect();
    all.join("; ")
}

#[test]
fn a_router_that_hangs_and_refuses_and_comes_back_gets_0_in_the_end() {
    let world = World::with(|inner| inner.slow_zero = Duration::from_secs(10));
    let end = run(&world, async |handle, driver| {
        until(&handle, |report| weight(report) == Some(10)).await;
        let asked = world.clock.now();
        let mut reply = handle
            .operator(abort(), "alice".to_owned(), None)
            .await
            .unwrap();
        // It hangs: longer than a call is waited for.
        world.clock.pause(Duration::from_secs(9)).await;
        assert!(
            waits(&handle).contains("requested and not yet effective"),
            "{}",
            waits(&handle)
        );
        assert!(reply.effect.try_recv().is_err());
        assert_eq!(world.get(|inner| inner.weight.percent()), 10);
        // It refuses.
        world.get(|inner| {
            inner.slow_zero = Duration::ZERO;
            inner.refuses_zero = true;
        });
        world.clock.pause(Duration::from_secs(61)).await;
        assert!(
            waits(&handle)
                .contains("requested and not yet effective: could not set weight 0 %: refused"),
            "{}",
            waits(&handle)
        );
        assert!(reply.effect.try_recv().is_err());
        let tries = world.get(|inner| inner.zeros);
        assert!((10..60).contains(&tries), "{tries} tries in 70 s");
        // It is back.
        world.get(|inner| inner.refuses_zero = false);
        let effect = reply.effect.await.unwrap();
        assert!(effect.contains("traffic is off"), "{effect}");
        let took = world.clock.now().duration_since(asked).as_secs();
        assert!(took <= 76, "{took}");
        driver.await.unwrap().unwrap()
    });
    assert_eq!(end.outcome, Some(Outcome::Aborted { signal: None }));
    assert_eq!(world.get(|inner| inner.weight), Weight::ZERO);
    assert_eq!(
        world.get(|inner| inner.written.last().copied()),
        Some(Weight::ZERO)
    );
}

#[test]
fn two_aborts_and_a_signal_at_once_are_one_abort() {
    let world = World::new();
    let end = run(&world, async |handle, driver| {
        until(&handle, |report| weight(report) == Some(10)).await;
        let signal = OperatorAction::Abort { signal: Some(15) };
        let (one, two, three) = tokio::join!(
            handle.operator(abort(), "alice".to_owned(), None),
            handle.operator(abort(), "bob".to_owned(), None),
            handle.operator(signal, "carol".to_owned(), None),
        );
        for reply in [one, two, three] {
            let reply = reply.unwrap();
            // Whoever came later is told that it goes back already.
            if !reply.refused {
                assert!(reply.effect.await.unwrap().contains("0 %"));
            }
        }
        assert_eq!(world.get(|inner| inner.weight), Weight::ZERO);
        driver.await.unwrap().unwrap()
    });
    assert_eq!(end.outcome, Some(Outcome::Aborted { signal: None }));
    assert!(
        end.report.headline.contains("aborted by alice"),
        "{}",
        end.report.headline
    );
}

#[test]
fn an_abort_while_a_run_is_taken_over_does_not_wait_for_the_look() {
    let world = World::new();
    run(&world, async |handle, driver| {
        until(&handle, |report| weight(report) == Some(10)).await;
        driver.abort();
        driver.await.unwrap_err();
    });
    world.get(|inner| {
        inner.slow_look = Duration::from_secs(4);
        inner.written.clear();
    });
    let end = run(&world, async |handle, driver| {
        let before = world.clock.now();
        let reply = handle
            .operator(abort(), "alice".to_owned(), None)
            .await
            .unwrap();
        until(&handle, |report| report.phase == RunPhase::RollingBack).await;
        tokio::task::yield_now().await;
        assert_eq!(world.clock.now(), before, "it waited for the look");
        drop(reply.effect.await);
        driver.await.unwrap().unwrap()
    });
    assert_eq!(end.outcome, Some(Outcome::Aborted { signal: None }));
    assert_eq!(
        world.get(|inner| inner.written.first().copied()),
        Some(Weight::ZERO)
    );
}

/// Jumps by so many seconds each time it is told to.
#[derive(Debug)]
struct Jumpy {
    clock: VirtualClock,
    ahead: Mutex<i64>,
}

impl Clock for Jumpy {
    fn now(&self) -> Timestamp {
        let ahead = *self.ahead.lock().unwrap();
        self.clock.now() + jiff::SignedDuration::from_secs(ahead)
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        let left = Duration::try_from(at.duration_since(self.now())).unwrap_or_default();
        self.clock.pause(left)
    }
}

/// A run whose clock jumps by so much when the canary has had 10 % for that long; when it was over, in true time, and how.
fn jumped(jumps: &[i64], abort_after: Option<u64>) -> (World, End, i64) {
    let mut world = World::new();
    let clock = Arc::new(Jumpy {
        clock: world.clock.clone(),
        ahead: Mutex::new(0),
    });
    world.time = clock.clone();
    let options = DriveOptions::new("checkout-1");
    let begin = world.clock.now();
    let end = run_with(&world, options, async |handle, driver| {
        until(&handle, |report| weight(report) == Some(10)).await;
        for jump in jumps {
            world.clock.pause(Duration::from_secs(7)).await;
            *clock.ahead.lock().unwrap() += jump;
        }
        if let Some(pause) = abort_after {
            world.clock.pause(Duration::from_secs(pause)).await;
            let before = world.clock.now();
            let reply = handle
                .operator(abort(), "alice".to_owned(), None)
                .await
                .unwrap();
            reply.effect.await.unwrap();
            assert_eq!(world.clock.now(), before, "{jumps:?}");
        }
        driver.await.unwrap().unwrap()
    });
    let took = world.clock.now().duration_since(begin).as_secs();
    (world, end, took)
}

#[test]
fn a_clock_that_jumps_by_hours_hurries_nothing_and_stops_nothing() {
    let (_, end, usual) = jumped(&[], None);
    assert_eq!(end.outcome, Some(Outcome::Promoted));
    for jumps in [
        &[-7200][..],
        &[7200],
        &[-7200, 7200],
        &[7200, -7200],
        &[86_400, -172_800, 86_400],
        &[-3600, -3600, -3600],
    ] {
        let (world, end, took) = jumped(jumps, None);
        assert_eq!(
            end.outcome,
            Some(Outcome::Promoted),
            "{jumps:?}: {}",
            end.report.headline
        );
        // Never shorter than usual; a soak begins anew after a gap, and that is all.
        assert!(
            (usual..usual + 120).contains(&took),
            "{jumps:?}: {took} s, usually {usual} s"
        );
        let times: Vec<_> = world
            .journal()
            .records
            .iter()
            .map(|record| record.at)
            .collect();
        assert!(times.is_sorted(), "{jumps:?}");
        let (world, end, _) = jumped(jumps, Some(1));
        assert_eq!(
            end.outcome,
            Some(Outcome::Aborted { signal: None }),
            "{jumps:?}"
        );
        assert!(world.get(|inner| inner.weight.is_zero()));
    }
}

#[test]
fn somebody_elses_weight_is_seen_within_the_routers_interval_and_named() {
    let world = World::with(|inner| inner.look_every = Some(Duration::from_secs(2)));
    let end = run(&world, async |handle, driver| {
        until(&handle, |report| weight(report) == Some(10)).await;
        // Between the looks of the machine itself.
        world.clock.pause(Duration::from_secs(1)).await;
        let quiet = world.journal().records.len();
        world.clock.pause(Duration::from_secs(6)).await;
        assert_eq!(world.journal().records.len(), quiet, "looking is no event");
        let set = |percent: u8, by: &str| {
            world.get(|inner| {
                inner.weight = Weight::try_from(percent).unwrap();
                inner.changed_by = Some(by.to_owned());
            });
        };
        let changed = world.clock.now();
        set(70, "helm");
        until(&handle, |report| report.phase == RunPhase::Blocked).await;
        assert!(world.clock.now() <= after(changed, Duration::from_secs(3)));
        let headline = handle.view().borrow().report.headline.clone();
        assert!(
            headline.contains("helm set the weight to 70 %; this run set 10 %"),
            "{headline}"
        );
        // And when it is put back, the run goes on by itself.
        let back = world.clock.now();
        set(10, "helm");
        until(&handle, |report| report.phase != RunPhase::Blocked).await;
        assert!(world.clock.now() <= after(back, Duration::from_secs(3)));
        driver.await.unwrap().unwrap()
    });
    assert_eq!(end.outcome, Some(Outcome::Promoted));
    let written = world.get(|inner| inner.written.clone());
    let percent: Vec<_> = written.iter().map(|weight| weight.percent()).collect();
    assert_eq!(percent, [10, 50, 100], "it does not fight");
}

#[test]
fn a_router_that_may_be_looked_at_changes_nothing_about_a_good_release() {
    let looked = World::with(|inner| inner.look_every = Some(Duration::from_secs(2)));
    let usual = World::new();
    for world in [&looked, &usual] {
        assert_eq!(
            world.live(&plan()).unwrap().unwrap().outcome,
            Some(Outcome::Promoted)
        );
    }
    let events = |world: &World| world.journal().records.len();
    assert_eq!(events(&looked), events(&usual));
}
