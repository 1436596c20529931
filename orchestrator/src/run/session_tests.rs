//! A run in real files, in real time, over the real control socket; router, nodes and evidence are the small world's.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use super::clock::MonotonicClock;
use super::control::{Client, ClientError};
use super::driver::tests::world::{self, World};
use super::driver::{DriveOptions, FirstAction, Hooks, Left};
use super::inspect::{Inspection, Liveness, RunError};
use super::journal::JournalSink;
use super::session::{Place, Resume, Session};
use super::store::{RunDirectory, SNAPSHOT_FORMAT, Snapshot, Store, StoreError, Wanted};
use crate::machine::{OperatorAction, Outcome, RunPhase};
use crate::plan::{Action, Plan};

/// The world's plan, in milliseconds.
fn plan() -> Plan {
    let mut plan = world::plan();
    for node in &mut plan.nodes {
        if let Action::Analyze(analyze) = &mut node.action {
            analyze.duration = Some(Duration::from_millis(80));
        }
    }
    plan.gates[0].interval = Duration::from_millis(20);
    plan.bake = Duration::from_millis(80);
    plan
}

fn slow_plan() -> Plan {
    let mut plan = plan();
    for node in &mut plan.nodes {
        if let Action::Analyze(analyze) = &mut node.action {
            analyze.duration = Some(Duration::from_hours(1));
        }
    }
    plan
}

fn snapshot(plan: &Plan) -> Snapshot {
    Snapshot {
        format: SNAPSHOT_FORMAT,
        canary: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: Timestamp::from_second(1_700_000_000).unwrap(),
        service: plan.service.clone(),
        workflow: plan.id.clone(),
        hash: plan.hash.clone(),
        inputs: Value::Null,
        options: Value::Null,
    }
}

fn real_world() -> World {
    let mut world = World::with(|inner| inner.build = Duration::ZERO);
    world.time = std::sync::Arc::new(MonotonicClock::start(None));
    world
}

fn hooks(world: &World) -> impl FnOnce(Place<'_>, Box<dyn JournalSink>) -> Hooks {
    let world = world.clone();
    move |place, journal| Hooks {
        journal,
        clock: std::sync::Arc::new(MonotonicClock::start(place.not_before)),
        ..world.hooks()
    }
}

struct Home {
    _directory: tempfile::TempDir,
    store: Store,
}

fn home() -> Home {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(
        &directory.path().join("state"),
        &directory.path().join("run"),
    );
    Home {
        _directory: directory,
        store,
    }
}

fn start(home: &Home, world: &World, plan: Plan) -> Session {
    let snapshot = snapshot(&plan);
    Session::start(
        &home.store,
        plan,
        &snapshot,
        DriveOptions::new,
        hooks(world),
    )
    .unwrap()
}

fn resume(
    run: &RunDirectory,
    world: &World,
    plan: &Plan,
    resume: Resume,
) -> Result<Session, RunError> {
    let options = |inspection: &Inspection| DriveOptions::new(inspection.run.id());
    Session::resume(run, &|_| Ok(plan.clone()), resume, options, hooks(world))
}

fn abort() -> OperatorAction {
    OperatorAction::Abort { signal: None }
}

#[tokio::test]
async fn a_run_leaves_its_record() {
    let (home, world) = (home(), real_world());
    let session = start(&home, &world, plan());
    let run = session.run().clone();
    assert_eq!(run.id(), "checkout-1");
    let end = session.drive().await.unwrap();
    assert_eq!(end.outcome, Some(Outcome::Promoted));
    assert_eq!(end.warnings, Vec::<String>::new());
    assert!(run.has_ended());
    assert_eq!(
        run.read_report::<crate::machine::Report>().unwrap().phase,
        RunPhase::Ended
    );

    let text = std::fs::read_to_string(run.osoplog("release")).unwrap();
    let log: Value = serde_saphyr::from_str(&text).unwrap();
    for required in [
        "osoplog_version",
        "run_id",
        "workflow_id",
        "status",
        "started_at",
        "ended_at",
        "duration_ms",
    ] {
        assert!(!log[required].is_null(), "{required} is missing:\n{text}");
    }
    assert_eq!(log["status"], "COMPLETED");
    assert_eq!(log["workflow_hash"], "abc");
    let records = log["node_records"].as_array().unwrap();
    for record in records {
        for required in ["node_id", "node_type", "attempt", "status"] {
            assert!(
                !record[required].is_null(),
                "{required} is missing: {record}"
            );
        }
        let known = [
            "COMPLETED",
            "FAILED",
            "SKIPPED",
            "DRY_RUN",
            "TIMEOUT",
            "ERROR",
            "BLOCKED",
            "RUNNING",
        ];
        assert!(known.contains(&record["status"].as_str().unwrap()));
    }
    let of = |id: &str| {
        records
            .iter()
            .find(|record| record["node_id"] == id)
            .unwrap()
    };
    assert_eq!(of("build")["status"], "COMPLETED");
    assert_eq!(of("rollback")["status"], "SKIPPED");
    assert!(of("rollback")["reason"].is_string());

    let inspection = Inspection::read(&run, &|_| Ok(plan()), false).unwrap();
    assert_eq!(inspection.liveness, Liveness::Ended);
    let now = Timestamp::from_second(4_000_000_000).unwrap();
    assert_eq!(inspection.report(now).outcome, Some(Outcome::Promoted));
}

#[tokio::test]
async fn another_process_sees_and_operates_a_live_run() {
    let (home, world) = (home(), real_world());
    let session = start(&home, &world, slow_plan());
    let run = session.run().clone();
    let mut subscription = Client::connect(&run)
        .await
        .unwrap()
        .subscribe()
        .await
        .unwrap();
    let first = subscription.next().await.unwrap().unwrap();
    assert!(first.driven);

    let scenario = async {
        let at_10 = loop {
            let present = subscription.next().await.unwrap().unwrap();
            if world.get(|inner| inner.weight.percent()) == 10 {
                break present;
            }
        };
        assert_eq!(at_10.report.service, "checkout");
        let mut client = Client::connect(&run).await.unwrap();
        assert_eq!(
            client.report().await.unwrap().report.phase,
            RunPhase::Progressing
        );

        let paused = client
            .operator(OperatorAction::Pause, "alice", None, true)
            .await
            .unwrap();
        assert!(paused.message.contains("paused"), "{}", paused.message);
        paused.effect().await.unwrap();
        let again = Client::connect(&run)
            .await
            .unwrap()
            .operator(OperatorAction::Pause, "bob", None, true)
            .await;
        assert!(
            matches!(&again, Err(ClientError::Refused(why)) if why.contains("alice")),
            "{again:?}"
        );

        assert!(matches!(run.lock(), Err(StoreError::Lock(_))));
        let inspection = Inspection::read(&run, &|_| Ok(slow_plan()), false).unwrap();
        assert_eq!(
            inspection.liveness,
            Liveness::Live {
                pid: Some(std::process::id())
            }
        );

        #[expect(clippy::disallowed_methods, reason = "this measures")]
        let begin = Instant::now();
        let client = Client::connect(&run).await.unwrap();
        let accepted = client
            .operator(abort(), "alice", Some("smells"), true)
            .await
            .unwrap();
        let effect = accepted.effect().await.unwrap();
        let took = begin.elapsed();
        assert!(effect.contains("0 %"), "{effect}");
        assert_eq!(world.get(|inner| inner.weight.percent()), 0);
        // Measured in milliseconds; the bound is for machines that are busy with other tests.
        assert!(took < Duration::from_secs(1), "{took:?}");
        let mut last = at_10;
        while let Some(present) = subscription.next().await.unwrap() {
            last = present;
        }
        last
    };
    let (end, last) = tokio::join!(session.drive(), scenario);
    assert_eq!(
        end.unwrap().outcome,
        Some(Outcome::Aborted { signal: None })
    );
    assert!(!last.driven);
    assert!(
        last.report.headline.contains("smells") && last.report.headline.contains("alice"),
        "{}",
        last.report.headline
    );
    assert!(matches!(
        Client::connect(&run).await,
        Err(ClientError::NotLive)
    ));
}

#[tokio::test]
async fn a_run_that_was_left_is_resumed_or_aborted_by_whoever_takes_it_over() {
    let (home, world) = (home(), real_world());
    let session = start(&home, &world, slow_plan());
    let run = session.run().clone();
    let leave = async {
        wait_for_weight_of(&world, 10).await;
        Client::connect(&run).await.unwrap()
    };
    let handle = session.handle().clone();
    let (end, _client) = tokio::join!(session.drive(), async {
        let client = leave.await;
        handle.leave();
        client
    });
    assert_eq!(end.unwrap().left, Some(Left::Asked));
    assert!(!run.has_ended());
    let inspection = Inspection::read(&run, &|_| Ok(slow_plan()), false).unwrap();
    assert_eq!(inspection.liveness, Liveness::Interrupted);
    assert_eq!(home.store.resolve(None, Wanted::Active).unwrap(), run);

    let other = Plan {
        hash: "other".to_owned(),
        ..slow_plan()
    };
    let error = resume(&run, &world, &other, Resume::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("fingerprint was abc and is other"),
        "{error}"
    );

    let session = resume(&run, &world, &slow_plan(), Resume::default()).unwrap();
    let busy = resume(&run, &world, &slow_plan(), Resume::default()).unwrap_err();
    assert!(
        busy.to_string()
            .contains(&format!("pid {}", std::process::id())),
        "{busy}"
    );
    let handle = session.handle().clone();
    let (end, ()) = tokio::join!(session.drive(), async {
        tokio::task::yield_now().await;
        handle.leave();
    });
    assert_eq!(end.unwrap().left, Some(Left::Asked));

    let first = FirstAction {
        action: abort(),
        by: "alice".to_owned(),
        reason: None,
    };
    let session = resume(
        &run,
        &world,
        &slow_plan(),
        Resume {
            first: Some(first),
            force: false,
        },
    )
    .unwrap();
    let end = session.drive().await.unwrap();
    assert_eq!(end.outcome, Some(Outcome::Aborted { signal: None }));
    assert_eq!(world.get(|inner| inner.weight.percent()), 0);
    assert!(run.has_ended());
}

async fn wait_for_weight_of(world: &World, percent: u8) {
    while world.get(|inner| inner.weight.percent()) != percent {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_control_socket_is_private_and_bounded() {
    use std::os::unix::fs::PermissionsExt;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

    let (home, world) = (home(), real_world());
    let session = start(&home, &world, slow_plan());
    let run = session.run().clone();
    let mode = std::fs::metadata(run.socket())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let handle = session.handle().clone();
    let scenario = async {
        for request in [
            "nonsense\n".to_owned(),
            "{\"request\":\"shutdown\"}\n".to_owned(),
            "x".repeat(100_000),
        ] {
            let stream = tokio::net::UnixStream::connect(run.socket()).await.unwrap();
            let (read, mut write) = stream.into_split();
            // The other side may hang up before it has read all of it.
            drop(write.write_all(request.as_bytes()).await);
            let mut answer = String::new();
            BufReader::new(read).read_line(&mut answer).await.unwrap();
            assert!(
                answer.contains("\"error\"") && answer.contains("not understood"),
                "{answer}"
            );
        }
        wait_for_weight_of(&world, 10).await;
        handle.leave();
    };
    let (end, ()) = tokio::join!(session.drive(), scenario);
    assert_eq!(end.unwrap().left, Some(Left::Asked));
}

#[tokio::test]
async fn a_journal_that_tells_another_story_is_named() {
    let (home, world) = (home(), real_world());
    let session = start(&home, &world, plan());
    let run = session.run().clone();
    session.drive().await.unwrap();
    let mut other = plan();
    other.nodes[1].action = Action::SetWeight(canary_traffic::Weight::try_from(20).unwrap());
    let inspection = Inspection::read(&run, &|_| Ok(other.clone()), true).unwrap();
    // It has ended, and its end is told as it was.
    assert_eq!(inspection.liveness, Liveness::Ended);
    let report = inspection.report(Timestamp::from_second(4_000_000_000).unwrap());
    assert_eq!(report.outcome, Some(Outcome::Promoted));
    assert_ne!(inspection.replayed.state.outcome(), Some(Outcome::Promoted));
    let mismatch = inspection.replayed.mismatch.unwrap().to_string();
    assert!(
        mismatch.contains("journal:")
            && mismatch.contains("\"weight\":10")
            && mismatch.contains("\"weight\":20"),
        "{mismatch}"
    );
    let error = resume(&run, &world, &other, Resume::default()).unwrap_err();
    assert!(matches!(error, RunError::Mismatch(_)), "{error}");
}

#[tokio::test]
async fn a_run_of_another_plan_can_still_be_aborted() {
    let (home, world) = (home(), real_world());
    let session = start(&home, &world, slow_plan());
    let run = session.run().clone();
    let handle = session.handle().clone();
    let (end, ()) = tokio::join!(session.drive(), async {
        wait_for_weight_of(&world, 10).await;
        handle.leave();
    });
    assert_eq!(end.unwrap().left, Some(Left::Asked));
    // Shorter, with other weights, and of another fingerprint.
    let mut other = slow_plan();
    other.nodes.truncate(2);
    other.edges.truncate(1);
    other.nodes[1].action = Action::SetWeight(canary_traffic::Weight::try_from(20).unwrap());
    other.hash = "other".to_owned();
    let first = FirstAction {
        action: abort(),
        by: "alice".to_owned(),
        reason: None,
    };
    let session = resume(
        &run,
        &world,
        &other,
        Resume {
            first: Some(first),
            force: false,
        },
    )
    .unwrap();
    let end = session.drive().await.unwrap();
    assert_eq!(world.get(|inner| inner.weight.percent()), 0);
    assert_eq!(end.outcome, Some(Outcome::Aborted { signal: None }));
}
