//! Killed at every record, in every way: the end is the same.

use super::super::*;
use super::world::{BUILD, Fault, Summary, World, plan};
use crate::machine::NodePhase;

fn uncut(make: &dyn Fn() -> World) -> (Summary, u64, World) {
    let world = make();
    let end = world.live(&plan()).unwrap().unwrap();
    let appends = world.disk.state.lock().unwrap().appends;
    (Summary::of(&world, &end), appends, world)
}

#[test]
fn a_good_canary_is_promoted() {
    let (summary, _, world) = uncut(&World::new);
    assert_eq!(summary.outcome, Some(Outcome::Promoted));
    assert_eq!(summary.weight.percent(), 100);
    let written: Vec<_> = world.get(|inner| {
        inner
            .written
            .iter()
            .map(|weight| weight.percent())
            .collect()
    });
    assert_eq!(written, [10, 50, 100]);
}

#[test]
fn a_bad_canary_is_taken_away() {
    let (summary, _, world) = uncut(&|| World::with(|inner| inner.bad_from = Some(50)));
    assert_eq!(
        summary.outcome,
        Some(Outcome::RolledBack { deadline: false })
    );
    assert_eq!(summary.weight.percent(), 0);
    let rollback = summary
        .nodes
        .iter()
        .find(|(id, _)| id == "rollback")
        .unwrap();
    assert_eq!(rollback.1, NodePhase::Completed);
    assert!(world.get(|inner| inner.removed));
    assert!(world.get(|inner| !inner.told.is_empty()));
}

fn killed_everywhere(make: &dyn Fn() -> World) {
    let (expected, appends, _) = uncut(make);
    for append in 1..=appends {
        for fault in [Fault::KillBefore, Fault::KillTorn, Fault::KillAfter] {
            let world = make();
            world.fault(append, fault);
            assert!(world.live(&plan()).is_none(), "append {append}: not killed");
            let before = world.journal();
            let seen: Vec<_> = before
                .records
                .iter()
                .filter_map(|record| match &record.event {
                    Event::NodeFinished { node, attempt, .. } => Some((node.0, *attempt)),
                    _ => None,
                })
                .collect();
            let begun = world.get(|inner| inner.begun.len());
            let weight = world.get(|inner| inner.weight);
            let end = world.live(&plan()).unwrap().unwrap();
            let summary = Summary::of(&world, &end);
            assert_eq!(
                summary, expected,
                "{fault:?} at append {append}, weight {weight}; {:?}",
                end.report.headline
            );
            // What was seen to finish did not run again.
            let again: Vec<_> = world.get(|inner| inner.begun[begun..].to_vec());
            for (node, _) in again {
                assert!(
                    !seen.iter().any(|(done, _)| *done == node),
                    "node {node} ran again; {fault:?} at {append}"
                );
            }
        }
    }
}

#[test]
fn killed_at_every_record_a_good_canary_is_promoted_all_the_same() {
    killed_everywhere(&World::new);
}

#[test]
fn killed_at_every_record_a_bad_canary_is_taken_away_all_the_same() {
    killed_everywhere(&|| World::with(|inner| inner.bad_from = Some(50)));
}

#[test]
fn what_a_killed_driver_left_running_is_ended_before_it_runs_again() {
    let world = killed_in_the_build(&plan(), &World::new);
    let left = world.start(&plan()).left_behind;
    assert_eq!(left.len(), 1);
    let end = world.live(&plan()).unwrap().unwrap();
    assert_eq!(end.outcome, Some(Outcome::Promoted));
    assert_eq!(world.get(|inner| inner.ended_processes[0]), left[0].pid);
    let builds = world.get(|inner| {
        inner
            .begun
            .iter()
            .filter(|(node, _)| *node == BUILD)
            .count()
    });
    assert_eq!(builds, 2, "in doubt and idempotent: run again");
}

#[test]
fn an_abort_as_the_run_is_taken_over_wins_before_anything_is_started() {
    let (_, appends, _) = uncut(&World::new);
    for append in 3..appends {
        let world = World::new();
        world.fault(append, Fault::KillAfter);
        assert!(world.live(&plan()).is_none());
        if world.start(&plan()).state.outcome().is_some() {
            continue;
        }
        let begun = world.get(|inner| inner.begun.len());
        let written = world.get(|inner| inner.written.len());
        let first = FirstAction {
            action: OperatorAction::Abort { signal: None },
            by: "alice".to_owned(),
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
            let options = DriveOptions::new("checkout-1");
            let (driver, _handle) = Driver::new(Arc::new(plan()), start, world.hooks(), options);
            world.clock.drive(driver.drive()).await.unwrap()
        });
        assert_eq!(
            world.get(|inner| inner.weight.percent()),
            0,
            "append {append}"
        );
        assert!(world.get(|inner| {
            inner.written[written..]
                .iter()
                .all(|weight| weight.is_zero())
        }));
        let aborted = matches!(end.outcome, Some(Outcome::Aborted { .. }));
        let going_back = matches!(end.outcome, Some(Outcome::RolledBack { .. }));
        assert!(aborted || going_back, "append {append}: {:?}", end.outcome);
        let again = world.get(|inner| inner.begun[begun..].to_vec());
        assert!(
            again
                .iter()
                .all(|(node, _)| *node == super::world::ROLLBACK),
            "append {append}: {again:?}"
        );
    }
}

/// Killed while the build runs: that it began is written, that it ended is not.
fn killed_in_the_build(plan: &Plan, make: &dyn Fn() -> World) -> World {
    let killed = |append| {
        let world = make();
        world.fault(append, Fault::KillBefore);
        assert!(world.live(plan).is_none());
        let left = world.start(plan).left_behind;
        (world, left)
    };
    let (world, _) = (1..10)
        .map(killed)
        .find(|(_, left)| !left.is_empty())
        .unwrap();
    world
}

fn in_doubt(verifiable: bool, verified: Option<bool>) -> (World, End) {
    let mut plan = plan();
    plan.nodes[BUILD].idempotent = false;
    plan.nodes[BUILD].verifiable = verifiable;
    let world = killed_in_the_build(&plan, &|| World::with(|inner| inner.verified = verified));
    let options = DriveOptions {
        no_wait: true,
        ..DriveOptions::new("checkout-1")
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let end = runtime.block_on(async {
        let start = world.start(&plan);
        let (driver, _handle) = Driver::new(Arc::new(plan.clone()), start, world.hooks(), options);
        world.clock.drive(driver.drive()).await.unwrap()
    });
    (world, end)
}

fn builds(world: &World) -> usize {
    world.get(|inner| {
        inner
            .begun
            .iter()
            .filter(|(node, _)| *node == BUILD)
            .count()
    })
}

#[test]
fn a_command_in_doubt_that_had_finished_does_not_run_again() {
    let (world, end) = in_doubt(true, Some(true));
    assert_eq!(end.outcome, Some(Outcome::Promoted));
    assert_eq!((builds(&world), world.get(|inner| inner.asked)), (1, 1));
    assert_eq!(
        world.get(|inner| inner.ended_processes.len()),
        1,
        "what is left of it is ended"
    );
}

#[test]
fn a_command_in_doubt_that_had_not_finished_runs_again() {
    let (world, end) = in_doubt(true, Some(false));
    assert_eq!(end.outcome, Some(Outcome::Promoted));
    assert_eq!((builds(&world), world.get(|inner| inner.asked)), (2, 1));
}

#[test]
fn a_command_in_doubt_of_which_nobody_knows_blocks_the_run() {
    for (verifiable, verified) in [(true, None), (false, Some(true))] {
        let (world, end) = in_doubt(verifiable, verified);
        assert_eq!((end.outcome, end.left), (None, Some(Left::NeedsPerson)));
        assert_eq!(
            end.report.phase,
            crate::machine::RunPhase::Blocked,
            "{}",
            end.report.headline
        );
        assert_eq!(builds(&world), 1);
    }
}
