//! The straight stories: what a release does when everything is good, and when one thing is not.

use std::time::Duration;

use canary_analyzer::gate::Phase;
use canary_traffic::Weight;

use super::build::*;
use crate::machine::{Command, NodeStatus, OperatorAction, Outcome, RunPhase, Topic, report};
use crate::plan::{OnFailure, Plan};
use crate::scenario::simulation::{Happening, Simulation};

fn weights(simulation: &Simulation<'_, Told>) -> Vec<u8> {
    simulation
        .weights()
        .into_iter()
        .map(|(_, weight)| weight.percent())
        .collect()
}

fn started(plan: &Plan, simulation: &Simulation<'_, Told>) -> Vec<String> {
    let mut ids = Vec::new();
    for moment in &simulation.moments {
        for command in &moment.commands {
            if let Command::StartNode { node, .. } | Command::Workload { node, .. } = command {
                ids.push(plan.node(*node).id.clone());
            }
        }
    }
    ids
}

#[test]
fn a_good_release_is_promoted() {
    let plan = release();
    let simulation = run(&plan, Told::good(&plan));
    assert_eq!(simulation.state().outcome(), Some(Outcome::Promoted));
    assert_eq!(weights(&simulation), [10, 50, 100]);
    assert_eq!(started(&plan, &simulation), ["deploy", "promote", "notify"]);
    // Two soaks and the bake.
    assert!(simulation.now() >= t(180), "{}", simulation.now());
    let seen = report(&plan, simulation.state(), simulation.now());
    assert_eq!(seen.phase, RunPhase::Ended);
    assert!(seen.waits.is_empty());
}

#[test]
fn a_failing_check_takes_traffic_off_then_runs_the_rollback_node() {
    let plan = release();
    let mut world = Told::good(&plan);
    world.measures = Box::new(|gate, _, at, _| {
        let bad = gate == "errors" && at > t(40);
        Some((
            secs(0),
            reading(if bad { Phase::Fail } else { Phase::Pass }),
        ))
    });
    let simulation = run(&plan, world);
    assert_eq!(
        simulation.state().outcome(),
        Some(Outcome::RolledBack { deadline: false })
    );
    assert_eq!(weights(&simulation), [10, 0]);
    assert_eq!(
        started(&plan, &simulation),
        ["deploy", "rollback", "notify"]
    );
    let topics: Vec<_> = simulation.notifications().map(|news| news.topic).collect();
    assert_eq!(
        topics,
        [Topic::Started, Topic::Step, Topic::Failing, Topic::Ended]
    );
    let last = simulation.notifications().last().unwrap();
    assert!(
        last.headline.contains("measured Fail (at 10 %)"),
        "{}",
        last.headline
    );
    assert!(last.done.contains("3 of the 100 requests"), "{}", last.done);
}

#[test]
fn a_failing_guard_preempts_the_graph() {
    let plan = release();
    let mut world = Told::good(&plan);
    world.measures = Box::new(|gate, _, _, weight| {
        let bad = gate == "guard" && weight == Weight::FULL;
        Some((
            secs(0),
            reading(if bad { Phase::Fail } else { Phase::Pass }),
        ))
    });
    let simulation = run(&plan, world);
    assert_eq!(
        simulation.state().outcome(),
        Some(Outcome::RolledBack { deadline: false })
    );
    assert_eq!(weights(&simulation), [10, 50, 100, 0]);
    assert_eq!(
        started(&plan, &simulation),
        ["deploy", "rollback", "notify"]
    );
}

#[test]
fn abort_takes_traffic_off_first() {
    let plan = release();
    for at in [0, 1, 3, 30, 70, 100, 140, 175] {
        let mut simulation = simulate(&plan, Told::good(&plan));
        let abort = OperatorAction::Abort { signal: Some(2) };
        simulation.happens(t(at), Happening::Operator(abort, "ann".to_owned(), None));
        simulation.run_until(t(86_400));
        assert_eq!(
            simulation.state().outcome(),
            Some(Outcome::Aborted { signal: Some(2) }),
            "at {at}"
        );
        assert_eq!(simulation.weight(), Weight::ZERO, "at {at}");
        if at >= 3 {
            let moment = simulation.moments.iter().find(|moment| {
                matches!(
                    &moment.event,
                    crate::machine::Event::Operator {
                        action: OperatorAction::Abort { .. },
                        ..
                    }
                )
            });
            assert!(moment.unwrap().commands[0].takes_traffic_off(), "at {at}");
        }
    }
}

#[test]
fn hold_keeps_the_weight_and_says_so() {
    let mut plan = release();
    plan.on_failure = OnFailure::Hold;
    let mut world = Told::good(&plan);
    world.measures = Box::new(|_, _, at, _| {
        Some((
            secs(0),
            reading(if at > t(100) {
                Phase::Fail
            } else {
                Phase::Pass
            }),
        ))
    });
    let simulation = run(&plan, world);
    assert_eq!(simulation.state().outcome(), Some(Outcome::Held));
    assert_eq!(simulation.weight(), weight(50));
    let last = simulation.notifications().last().unwrap();
    assert!(last.done.contains("KEEPS 50 %"), "{}", last.done);
    assert!(last.next.iter().any(|line| line.contains("abort")));
}

#[test]
fn a_failure_before_traffic_moves_ends_failed() {
    let plan = release();
    let mut world = Told::good(&plan);
    world.nodes = Box::new(|_, _, _| Some((secs(1), result(NodeStatus::Failed))));
    let simulation = run(&plan, world);
    assert_eq!(simulation.state().outcome(), Some(Outcome::Failed));
    assert!(weights(&simulation).is_empty());
    assert_eq!(started(&plan, &simulation), ["deploy"]);
}

#[test]
fn no_data_blocks_and_good_evidence_unblocks() {
    let plan = release();
    let mut world = Told::good(&plan);
    world.measures = Box::new(|gate, _, at, _| {
        let none = gate == "errors" && at < t(300);
        Some((
            secs(0),
            if none {
                no_data()
            } else {
                reading(Phase::Pass)
            },
        ))
    });
    let mut simulation = simulate(&plan, world);
    simulation.run_until(t(200));
    let seen = report(&plan, simulation.state(), simulation.now());
    assert_eq!(seen.phase, RunPhase::Blocked, "{seen:#?}");
    assert!(
        seen.waits[0].why.contains("no data"),
        "{}",
        seen.waits[0].why
    );
    simulation.run_until(t(86_400));
    assert_eq!(simulation.state().outcome(), Some(Outcome::Promoted));
    assert_eq!(weights(&simulation), [10, 50, 100]);
    // The soak began anew when evidence was back.
    assert!(simulation.weights()[1].0 >= t(360));
}

/// Whatever was forgotten while the run is blocked, a source is asked no more often than the gate says.
#[test]
fn a_blocked_run_measures_at_the_gates_pace() {
    let plan = release();
    let mut world = Told::good(&plan);
    world.measures = Box::new(|_, _, _, _| Some((secs(0), no_data())));
    let simulation = run(&plan, world);
    let mut asked: Vec<_> = Vec::new();
    for moment in &simulation.moments {
        for command in &moment.commands {
            if let Command::Measure { gate, watch, .. } = command {
                asked.push((*gate, *watch, moment.at));
            }
        }
    }
    assert!(asked.len() > 100, "it goes on measuring: {}", asked.len());
    for (index, (gate, watch, at)) in asked.iter().enumerate() {
        let before = asked[..index].iter().rev();
        let last = before.clone().find(|(g, w, _)| g == gate && w == watch);
        if let Some((_, _, last)) = last {
            let pause = Duration::try_from(at.duration_since(*last)).unwrap();
            assert!(pause >= plan.gate(*gate).interval, "{pause:?} at {at}");
        }
    }
}

#[test]
fn nobody_decides() {
    let plan = release();
    let mut world = Told::good(&plan);
    world.measures = Box::new(|gate, _, _, _| {
        Some((
            secs(0),
            if gate == "errors" {
                no_data()
            } else {
                reading(Phase::Pass)
            },
        ))
    });
    let simulation = run(&plan, world);
    assert_eq!(
        simulation.state().outcome(),
        Some(Outcome::RolledBack { deadline: true })
    );
    assert_eq!(simulation.state().outcome().unwrap().exit_code(), 3);
    assert_eq!(weights(&simulation), [10, 0]);
}

#[test]
fn a_run_needs_few_steps() {
    let plan = release();
    let simulation = run(&plan, Told::good(&plan));
    assert!(
        simulation.moments.len() < 120,
        "{}",
        simulation.moments.len()
    );
}
