//! Disks that are full, and disks that hang.

use super::super::*;
use super::world::{Fault, World, plan};
use canary_traffic::Weight;

fn appends() -> u64 {
    let world = World::new();
    world.live(&plan()).unwrap().unwrap();
    world.disk.state.lock().unwrap().appends
}

#[test]
fn a_disk_that_is_full_at_any_record_takes_traffic_off_and_starts_nothing() {
    for append in 1..=appends() {
        let world = World::new();
        world.disk.state.lock().unwrap().full_from = Some(append);
        match world.live(&plan()).unwrap() {
            Err(DriveError::Journal { error, traffic, .. }) => {
                assert!(
                    error.contains("journal") && !traffic.contains("may still"),
                    "{error}; {traffic}"
                );
            }
            other => panic!("append {append}: {other:?}"),
        }
        assert_eq!(
            world.get(|inner| inner.weight),
            Weight::ZERO,
            "append {append}"
        );
        let started: Vec<_> = world.get(|inner| inner.begun.clone());
        let journaled = world.journal().records;
        for (node, attempt) in started {
            let known = journaled.iter().any(|record| {
                matches!(&record.event, Event::NodeStarted { node: n, attempt: a, .. } if (n.0, *a) == (node, attempt))
            });
            assert!(
                known,
                "append {append}: node {node} ran and is not in the journal"
            );
        }
        // And when there is room again, the run can be resumed or aborted.
        world.disk.state.lock().unwrap().full_from = None;
        let first = FirstAction {
            action: OperatorAction::Abort { signal: None },
            by: "a".to_owned(),
            reason: None,
        };
        let start = Start {
            first: Some(first),
            ..world.start(&plan())
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let end = runtime.block_on(async {
            let (driver, _handle) = Driver::new(
                Arc::new(plan()),
                start,
                world.hooks(),
                DriveOptions::new("checkout-1"),
            );
            world.clock.drive(driver.drive()).await
        });
        assert!(end.unwrap().outcome.is_some());
    }
}

#[test]
fn a_disk_that_is_full_for_a_moment_ends_a_canary_with_traffic_and_no_other() {
    for append in 1..=appends() {
        let world = World::new();
        {
            let mut disk = world.disk.state.lock().unwrap();
            (disk.full_from, disk.full_tries) = (Some(append), Some(3));
        }
        let had_traffic = {
            let probe = World::new();
            probe.fault(append, Fault::KillBefore);
            probe.live(&plan());
            probe.get(|inner| !inner.weight.is_zero())
        };
        let end = world.live(&plan()).unwrap().unwrap();
        if had_traffic && matches!(end.outcome, Some(Outcome::Aborted { .. })) {
            assert_eq!(
                world.get(|inner| inner.weight),
                Weight::ZERO,
                "append {append}"
            );
            let abort = world.journal().records.iter().any(|record| {
                matches!(&record.event, Event::Operator { reason: Some(reason), .. } if reason.contains("journal"))
            });
            assert!(abort, "append {append}: the journal says why");
        } else {
            // No traffic yet, or the end was reached already.
            assert_eq!(
                end.outcome,
                Some(Outcome::Promoted),
                "append {append}: {}",
                end.report.headline
            );
        }
    }
}

#[test]
fn while_a_sync_hangs_an_abort_takes_traffic_off() {
    for append in 1..=appends() {
        let world = World::new();
        world.fault(append, Fault::Hang);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (driver, handle) = world.driver(&plan());
            let driver = tokio::spawn(driver.drive());
            let scenario = async {
                // Until the disk hangs at that record.
                let mut view = handle.view();
                while world
                    .disk
                    .state
                    .lock()
                    .unwrap()
                    .faults
                    .contains_key(&append)
                {
                    view.changed().await.unwrap();
                    tokio::task::yield_now().await;
                }
                let weight = world.get(|inner| inner.weight);
                let before = world.clock.now();
                let action = OperatorAction::Abort { signal: None };
                let reply = handle
                    .operator(action, "alice".to_owned(), None)
                    .await
                    .unwrap();
                if !weight.is_zero() && !reply.refused {
                    reply.effect.await.unwrap();
                    assert_eq!(
                        world.get(|inner| inner.weight),
                        Weight::ZERO,
                        "append {append}"
                    );
                    assert_eq!(
                        world.clock.now(),
                        before,
                        "append {append}: it waited for something"
                    );
                }
                world.disk.go_on.notify_one();
                driver.await.unwrap().unwrap()
            };
            let end = world.clock.drive(scenario).await;
            assert!(end.outcome.is_some(), "append {append}");
            if end.outcome != Some(Outcome::Promoted) {
                assert_eq!(
                    world.get(|inner| inner.weight),
                    Weight::ZERO,
                    "append {append}"
                );
            }
        });
    }
}

#[test]
fn a_disk_that_never_answers_is_an_error_in_bounded_time() {
    let world = World::new();
    world.fault(appends() / 2, Fault::Hang);
    let begin = world.clock.now();
    let error = world.live(&plan()).unwrap().unwrap_err();
    assert!(error.to_string().contains("has not answered"), "{error}");
    assert_eq!(world.get(|inner| inner.weight), Weight::ZERO);
    assert!(world.clock.now() < crate::run::clock::after(begin, Duration::from_mins(10)));
}
