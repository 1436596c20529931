//! People, slow routers, hanging queries.

use super::super::*;
use super::world::{World, plan};
use crate::machine::RunPhase;
use canary_traffic::Weight;

pub(super) fn run<T>(
    world: &World,
    scenario: impl AsyncFnOnce(Handle, tokio::task::JoinHandle<Result<End, DriveError>>) -> T,
) -> T {
    run_with(world, DriveOptions::new("checkout-1"), scenario)
}

pub(super) fn run_with<T>(
    world: &World,
    options: DriveOptions,
    scenario: impl AsyncFnOnce(Handle, tokio::task::JoinHandle<Result<End, DriveError>>) -> T,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let start = world.start(&plan());
        let (driver, handle) = Driver::new(Arc::new(plan()), start, world.hooks(), options);
        let driver = tokio::spawn(driver.drive());
        world.clock.drive(scenario(handle, driver)).await
    })
}

pub(super) async fn until(handle: &Handle, what: impl Fn(&Report) -> bool) {
    let mut view = handle.view();
    view.wait_for(|view| what(&view.report)).await.unwrap();
}

pub(super) fn weight(report: &Report) -> Option<u8> {
    report.traffic.as_ref()?.observed.map(Weight::percent)
}

pub(super) fn abort() -> OperatorAction {
    OperatorAction::Abort { signal: None }
}

#[test]
fn an_abort_is_answered_at_once_and_again_when_traffic_is_off() {
    let world = World::new();
    let end = run(&world, async |handle, driver| {
        until(&handle, |report| weight(report) == Some(10)).await;
        let before = world.clock.now();
        let reply = handle
            .operator(abort(), "alice".to_owned(), Some("smells".to_owned()))
            .await
            .unwrap();
        assert!(!reply.refused && !reply.message.is_empty());
        let effect = reply.effect.await.unwrap();
        assert!(effect.contains("0 %"), "{effect}");
        assert_eq!(world.get(|inner| inner.weight), Weight::ZERO);
        assert_eq!(world.clock.now(), before);
        driver.await.unwrap().unwrap()
    });
    assert_eq!(end.outcome, Some(Outcome::Aborted { signal: None }));
}

#[test]
fn an_abort_overtakes_a_slow_raise() {
    let world = World::with(|inner| inner.slow_raise = Duration::from_secs(8));
    run(&world, async |handle, driver| {
        until(&handle, |report| {
            report
                .traffic
                .as_ref()
                .is_some_and(|traffic| !traffic.desired.is_zero())
        })
        .await;
        world.clock.pause(Duration::from_secs(1)).await;
        let reply = handle
            .operator(abort(), "alice".to_owned(), None)
            .await
            .unwrap();
        let before = world.clock.now();
        reply.effect.await.unwrap();
        assert_eq!(world.clock.now(), before);
        driver.await.unwrap().unwrap()
    });
    world.get(|inner| {
        assert!(inner.weight.is_zero());
        assert_eq!(
            inner.written.last().copied(),
            Some(Weight::ZERO),
            "{:?}",
            inner.written
        );
    });
}

#[test]
fn an_abort_does_not_wait_for_queries_or_nodes() {
    let world = World::new();
    let end = run(&world, async |handle, driver| {
        until(&handle, |report| weight(report) == Some(10)).await;
        world.get(|inner| inner.blind = true);
        world.clock.pause(Duration::from_secs(30)).await;
        let before = world.clock.now();
        let reply = handle
            .operator(abort(), "alice".to_owned(), None)
            .await
            .unwrap();
        reply.effect.await.unwrap();
        assert_eq!(world.clock.now(), before);
        driver.await.unwrap().unwrap()
    });
    assert_eq!(end.outcome, Some(Outcome::Aborted { signal: None }));
}

#[test]
fn a_pause_holds_and_a_resume_goes_on() {
    let world = World::new();
    let end = run(&world, async |handle, driver| {
        until(&handle, |report| weight(report) == Some(10)).await;
        let reply = handle
            .operator(OperatorAction::Pause, "alice".to_owned(), None)
            .await
            .unwrap();
        reply.effect.await.unwrap();
        world.clock.pause(Duration::from_mins(10)).await;
        assert_eq!(world.get(|inner| inner.weight.percent()), 10);
        let reply = handle
            .operator(OperatorAction::Resume, "alice".to_owned(), None)
            .await
            .unwrap();
        reply.effect.await.unwrap();
        driver.await.unwrap().unwrap()
    });
    assert_eq!(end.outcome, Some(Outcome::Promoted));
}

#[test]
fn leaving_stops_at_once_and_the_run_can_be_resumed() {
    let world = World::new();
    let end = run(&world, async |handle, driver| {
        until(&handle, |report| weight(report) == Some(10)).await;
        handle.leave();
        driver.await.unwrap().unwrap()
    });
    assert_eq!((end.outcome, end.left), (None, Some(Left::Asked)));
    let end = world.live(&plan()).unwrap().unwrap();
    assert_eq!(end.outcome, Some(Outcome::Promoted));
}

#[test]
fn who_does_not_want_to_wait_gets_the_run_back_resumable() {
    let world = World::with(|inner| inner.changed_by = Some("somebody else".to_owned()));
    world.get(|inner| inner.blind = true);
    let options = DriveOptions {
        no_wait: true,
        ..DriveOptions::new("checkout-1")
    };
    let end = run_with(&world, options, async |_handle, driver| {
        driver.await.unwrap().unwrap()
    });
    assert_eq!(
        (end.outcome, end.left),
        (None, Some(Left::NeedsPerson)),
        "{}",
        end.report.headline
    );
    assert_eq!(end.exit_code(), 3);
    assert_eq!(
        world.get(|inner| inner.weight.percent()),
        10,
        "the weight is held"
    );
    world.get(|inner| inner.blind = false);
    assert_eq!(
        world.live(&plan()).unwrap().unwrap().outcome,
        Some(Outcome::Promoted)
    );
}

#[test]
fn whoever_watches_sees_every_record_in_order() {
    let world = World::new();
    let seen = run(&world, async |handle, driver| {
        let mut happened = handle.happened();
        let mut seen = Vec::new();
        while let Ok(one) = happened.recv().await {
            seen.push(one.record.seq);
            if one.report.phase == RunPhase::Ended {
                break;
            }
        }
        driver.await.unwrap().unwrap();
        seen
    });
    assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
}

#[test]
fn while_the_last_messages_go_out_an_abort_is_still_looked_at_first() {
    let world = World::with(|inner| {
        inner.blind = true;
        inner.slow_drain = Duration::from_secs(20);
    });
    let options = DriveOptions {
        no_wait: true,
        ..DriveOptions::new("checkout-1")
    };
    let end = run_with(&world, options, async |handle, driver| {
        until(&handle, |report| report.phase == RunPhase::Blocked).await;
        world.clock.pause(Duration::from_secs(5)).await;
        let before = world.clock.now();
        let reply = handle
            .operator(abort(), "alice".to_owned(), None)
            .await
            .unwrap();
        reply.effect.await.unwrap();
        assert_eq!(world.clock.now(), before);
        driver.await.unwrap().unwrap()
    });
    assert_eq!(end.outcome, Some(Outcome::Aborted { signal: None }));
    assert_eq!(world.get(|inner| inner.weight), Weight::ZERO);
}

#[test]
fn a_bug_of_the_machine_takes_traffic_off() {
    let world = World::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    // No compiler makes such a plan: the second check judges a gate that is not there.
    let mut plan = plan();
    let gates = vec![crate::plan::GateIndex(7)];
    plan.nodes[4].action = crate::plan::Action::Analyze(crate::plan::Analyze {
        gates,
        duration: None,
    });
    let error = runtime.block_on(async {
        let (driver, _handle) = world.driver(&plan);
        world.clock.drive(driver.drive()).await
    });
    assert!(matches!(error, Err(DriveError::Bug { .. })), "{error:?}");
    let written = world.get(|inner| inner.written.clone());
    assert_eq!(written.last(), Some(&Weight::ZERO), "{written:?}");
    assert!(written.contains(&Weight::try_from(50).unwrap()));
}
