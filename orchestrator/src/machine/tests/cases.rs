//! One rule, one case: retries, loops, approvals, what is in doubt, sub-workflows, late answers, people.

use std::time::Duration;

use canary_analyzer::gate::Phase;
use canary_traffic::Weight;
use serde_json::json;

use super::build::*;
use crate::machine::{
    Command, Event, NodePhase, NodeStatus, OperatorAction, Outcome, RunPhase, report, step,
};
use crate::plan::{Action, EdgeMode, Join, NodeIndex, Plan, Retry};
use crate::scenario::simulation::{Happening, Simulation};
use crate::scenario::trace::trace;

fn attempts(simulation: &Simulation<'_, Told>, node: NodeIndex) -> usize {
    let all = simulation
        .moments
        .iter()
        .flat_map(|moment| &moment.commands);
    all.filter(
        |command| matches!(command, Command::StartNode { node: started, .. } if *started == node),
    )
    .count()
}

fn status(plan: &Plan, simulation: &Simulation<'_, Told>, id: &str) -> NodePhase {
    let seen = report(plan, simulation.state(), simulation.now());
    seen.nodes.iter().find(|node| node.id == id).unwrap().status
}

fn operator(action: OperatorAction, by: &str) -> Happening {
    Happening::Operator(action, by.to_owned(), None)
}

fn one_task() -> Plan {
    let mut plan = plan();
    plan.add("a", task());
    plan
}

#[test]
fn retries_back_off_and_end() {
    let mut plan = one_task();
    plan.nodes[0].retry = Retry {
        max_retries: 3,
        backoff: secs(10),
        exponential: true,
    };
    let mut world = Told::good(&plan);
    world.nodes = Box::new(|_, _, _| Some((secs(1), result(NodeStatus::Failed))));
    let simulation = run(&plan, world);
    assert_eq!(attempts(&simulation, NodeIndex(0)), 4);
    // Four attempts of 1 s, pauses of 10, 20 and 40 s.
    assert_eq!(simulation.now(), t(74));
    assert_eq!(simulation.state().outcome(), Some(Outcome::Failed));
}

#[test]
fn an_executor_that_never_answers_is_given_up() {
    let mut plan = one_task();
    plan.nodes[0].timeout = Some(secs(30));
    let mut world = Told::good(&plan);
    world.nodes = Box::new(|_, _, _| None);
    world.cancels = false;
    let simulation = run(&plan, world);
    assert_eq!(status(&plan, &simulation, "a"), NodePhase::TimedOut);
    // Its bound, the grace for the executor, the grace after the cancel.
    assert_eq!(simulation.now(), t(50));
}

#[test]
fn a_fallback_condition_is_a_failure_test_of_each_attempt() {
    let mut plan = one_task();
    plan.nodes[0].retry.max_retries = 2;
    plan.add("b", task());
    plan.edge(
        "a",
        "b",
        EdgeMode::Fallback(Some(condition("health != 'ok'"))),
    );
    let mut world = Told::good(&plan);
    world.nodes = Box::new(|_, attempt, _| {
        let health = if attempt == 2 { "ok" } else { "starting" };
        Some((secs(1), outputs(&[("health", json!(health))])))
    });
    let simulation = run(&plan, world);
    assert_eq!(attempts(&simulation, NodeIndex(0)), 2);
    assert_eq!(status(&plan, &simulation, "b"), NodePhase::Skipped);
    assert_eq!(simulation.state().outcome(), Some(Outcome::Completed));
}

#[test]
fn a_loop_goes_round_while_its_condition_holds_and_no_further_than_its_cap() {
    for (cap, good_at, rounds, outcome) in
        [(5, 3, 3, Outcome::Completed), (2, 99, 3, Outcome::Failed)]
    {
        let mut plan = plan();
        plan.add("a", task());
        plan.add("b", task());
        plan.add("c", task());
        plan.seq(&["a", "b"]);
        let edge = plan.edge("b", "a", EdgeMode::Loop(Some(condition("!ready"))));
        edge.back = true;
        edge.max_iterations = cap;
        plan.edge("b", "c", EdgeMode::Conditional(condition("ready")));
        let mut world = Told::good(&plan);
        world.nodes = Box::new(move |_, attempt, _| {
            Some((secs(1), outputs(&[("ready", json!(attempt >= good_at))])))
        });
        let simulation = run(&plan, world);
        assert_eq!(
            attempts(&simulation, NodeIndex(0)),
            rounds,
            "{}",
            trace(&plan, &simulation.moments)
        );
        assert_eq!(simulation.state().outcome(), Some(outcome));
    }
}

#[test]
fn joins_any_and_count_start_early() {
    for (join, at) in [
        (Join::Any, 1),
        (Join::Count(2), 2),
        (Join::All, 3),
        (Join::Settled, 3),
    ] {
        let mut plan = plan();
        for id in ["a", "b", "c", "d"] {
            plan.add(id, task());
        }
        for id in ["a", "b", "c"] {
            plan.edge(id, "d", EdgeMode::Sequential);
        }
        plan.nodes[3].join = join;
        let mut world = Told::good(&plan);
        world.nodes = Box::new(|id, _, _| {
            let pause = match id {
                "a" => 1,
                "b" => 2,
                _ => 3,
            };
            Some((secs(pause), result(NodeStatus::Completed)))
        });
        let simulation = run(&plan, world);
        let seen = report(&plan, simulation.state(), simulation.now());
        assert_eq!(seen.nodes[3].started_at, Some(t(at)), "{join:?}");
        assert_eq!(attempts(&simulation, NodeIndex(3)), 1, "{join:?}");
    }
}

#[test]
fn approvals_count_people_and_expire() {
    let approve = |by| {
        operator(
            OperatorAction::Answer {
                node: "a".to_owned(),
                approve: true,
            },
            by,
        )
    };
    let reject = operator(
        OperatorAction::Answer {
            node: "a".to_owned(),
            approve: false,
        },
        "cid",
    );
    for (answers, wanted) in [
        (vec![approve("ann"), approve("bob")], NodePhase::Completed),
        (vec![approve("ann"), approve("ann")], NodePhase::TimedOut),
        (vec![approve("ann"), reject], NodePhase::Failed),
        (
            vec![
                approve("ann"),
                operator(OperatorAction::Promote { full: false }, "bob"),
            ],
            NodePhase::Completed,
        ),
        (vec![approve("ann"), approve("eve")], NodePhase::TimedOut),
    ] {
        let mut plan = one_task();
        let mut approval = ask(2, Some(60));
        approval.approvers = ["ann", "bob", "cid"].map(str::to_owned).to_vec();
        plan.nodes[0].approval = Some(approval);
        let mut simulation = simulate(&plan, Told::good(&plan));
        for (index, answer) in answers.into_iter().enumerate() {
            simulation.happens(t(5 + i64::try_from(index).unwrap()), answer);
        }
        simulation.run_until(t(3));
        assert_eq!(
            report(&plan, simulation.state(), t(3)).phase,
            RunPhase::Waiting
        );
        simulation.run_until(t(1000));
        assert_eq!(
            status(&plan, &simulation, "a"),
            wanted,
            "{:?}",
            simulation.state().answers()
        );
        assert_eq!(simulation.state().answers().len(), 2);
    }
}

/// Crashes 2 s into a task of 10 s; says how often it was started.
fn interrupted(
    change: impl Fn(&mut Plan),
    verifies: Result<bool, String>,
) -> (usize, Option<Outcome>, RunPhase) {
    let mut plan = one_task();
    change(&mut plan);
    let mut world = Told::good(&plan);
    world.nodes = Box::new(|_, _, _| Some((secs(10), result(NodeStatus::Completed))));
    world.verifies = verifies;
    let mut simulation = simulate(&plan, world);
    simulation.happens(t(2), Happening::Crash(secs(60)));
    simulation.run_until(t(200));
    let seen = report(&plan, simulation.state(), t(200));
    (
        attempts(&simulation, NodeIndex(0)),
        simulation.state().outcome(),
        seen.phase,
    )
}

#[test]
fn what_is_in_doubt_is_verified_or_run_again_or_asked_about() {
    let no = || Err("exit code 9".to_owned());
    let verifiable = |plan: &mut Plan| plan.nodes[0].verifiable = true;
    let done = Some(Outcome::Completed);
    assert_eq!(interrupted(|_| (), no()), (1, None, RunPhase::Blocked));
    assert_eq!(
        interrupted(|plan| plan.nodes[0].idempotent = true, no()),
        (2, done, RunPhase::Ended)
    );
    assert_eq!(
        interrupted(|plan| plan.nodes[0].action = measure(), no()),
        (2, done, RunPhase::Ended)
    );
    assert_eq!(
        interrupted(verifiable, Ok(true)),
        (1, done, RunPhase::Ended)
    );
    assert_eq!(
        interrupted(verifiable, Ok(false)),
        (2, done, RunPhase::Ended)
    );
    assert_eq!(interrupted(verifiable, no()), (1, None, RunPhase::Blocked));
}

#[test]
fn an_attempt_that_never_began_is_no_doubt() {
    let plan = one_task();
    let mut simulation = Simulation::new(&plan, Told::good(&plan), t(0), Weight::ZERO);
    // The driver dies between the journal's record and what follows from it.
    simulation.crash_after = Some((1, secs(5)));
    simulation.start();
    simulation.run_until(t(100));
    assert_eq!(simulation.state().outcome(), Some(Outcome::Completed));
    assert_eq!(attempts(&simulation, NodeIndex(0)), 2);
}

#[test]
fn a_call_fails_with_its_inner_node_and_its_own_fallback_handles_it() {
    let mut plan = plan();
    plan.add("call", Action::Call);
    plan.add("call/x", task());
    plan.add("call/y", task());
    plan.add("next", task());
    plan.add("backup", task());
    for index in [1, 2] {
        plan.nodes[index].scope = Some(NodeIndex(0));
    }
    plan.seq(&["call/x", "call/y"]);
    plan.seq(&["call", "next"]);
    plan.edge("call", "backup", EdgeMode::Fallback(None));
    plan.edge("backup", "next", EdgeMode::Sequential);
    for bad in ["call/x", "call/y", "none"] {
        let mut world = Told::good(&plan);
        world.nodes = Box::new(move |id, _, _| {
            Some((
                secs(1),
                result(if id == bad {
                    NodeStatus::Failed
                } else {
                    NodeStatus::Completed
                }),
            ))
        });
        let simulation = run(&plan, world);
        assert_eq!(
            simulation.state().outcome(),
            Some(Outcome::Completed),
            "{bad}"
        );
        assert_eq!(
            status(&plan, &simulation, "next"),
            NodePhase::Completed,
            "{bad}"
        );
        let backup = if bad == "none" {
            NodePhase::Skipped
        } else {
            NodePhase::Completed
        };
        assert_eq!(status(&plan, &simulation, "backup"), backup, "{bad}");
    }
}

#[test]
fn late_and_double_answers_change_nothing() {
    let plan = one_task();
    let mut simulation = simulate(&plan, Told::good(&plan));
    simulation.run_until(t(100));
    let before = simulation.state().clone();
    for attempt in 0..4 {
        let event = Event::NodeFinished {
            node: NodeIndex(0),
            attempt,
            result: result(NodeStatus::Failed),
        };
        let decision = step(&plan, before.clone(), t(101), event);
        assert!(decision.commands.is_empty());
        assert_eq!(decision.state.outcome(), before.outcome());
    }
}

#[test]
fn a_held_run_can_still_be_aborted() {
    let mut plan = release();
    plan.on_failure = crate::plan::OnFailure::Hold;
    let mut world = Told::good(&plan);
    world.measures = Box::new(|_, _, _, _| Some((secs(0), reading(Phase::Fail))));
    let mut simulation = run(&plan, world);
    assert_eq!(simulation.state().outcome(), Some(Outcome::Held));
    simulation.feed(Event::Operator {
        action: OperatorAction::Abort { signal: None },
        by: "ann".to_owned(),
        reason: None,
    });
    assert!(simulation.moments.last().unwrap().commands[0].takes_traffic_off());
    simulation.run_until(t(90_000));
    assert_eq!(
        simulation.state().outcome(),
        Some(Outcome::Aborted { signal: None })
    );
    assert_eq!(simulation.weight(), Weight::ZERO);
}

#[test]
fn without_a_check_or_a_guard_only_a_person_raises_the_weight() {
    let mut plan = plan();
    plan.add("ten", Action::SetWeight(weight(10)));
    plan.add("fifty", Action::SetWeight(weight(50)));
    plan.add("zero", Action::SetWeight(Weight::ZERO));
    plan.seq(&["ten", "fifty", "zero"]);
    let mut simulation = simulate(&plan, Told::good(&plan));
    simulation.run_until(t(60));
    let seen = report(&plan, simulation.state(), t(60));
    assert_eq!(seen.phase, RunPhase::Blocked);
    assert!(
        seen.waits[0]
            .why
            .contains("nothing has judged the canary at 10 %"),
        "{}",
        seen.waits[0].why
    );
    simulation.happens(
        t(61),
        operator(OperatorAction::Promote { full: false }, "ann"),
    );
    simulation.run_until(t(100));
    assert_eq!(simulation.state().outcome(), Some(Outcome::Completed));
}

#[test]
fn a_resumed_raise_waits_until_its_check_is_measured_again() {
    let mut plan = release();
    plan.guards.clear();
    for (again, outcome) in [
        (Phase::Pass, Outcome::Promoted),
        (Phase::Fail, Outcome::RolledBack { deadline: false }),
    ] {
        let mut world = Told::good(&plan);
        world.measures = Box::new(move |_, _, at, _| {
            Some((
                Duration::ZERO,
                reading(if at >= t(1000) { again } else { Phase::Pass }),
            ))
        });
        let mut simulation = simulate(&plan, world);
        // Paused, so that the check passes and the raise does not follow; then the driver dies.
        simulation.happens(t(30), operator(OperatorAction::Pause, "ann"));
        simulation.happens(t(100), Happening::Crash(secs(900)));
        simulation.happens(t(1001), operator(OperatorAction::Resume, "ann"));
        simulation.run_until(t(90_000));
        assert_eq!(
            simulation.state().outcome(),
            Some(outcome),
            "{}",
            trace(&plan, &simulation.moments)
        );
    }
}

#[test]
fn a_full_promotion_skips_checks_but_not_guards() {
    let plan = release();
    let mut simulation = simulate(&plan, Told::good(&plan));
    simulation.happens(
        t(10),
        operator(OperatorAction::Promote { full: true }, "ann"),
    );
    simulation.run_until(t(1000));
    let weights: Vec<_> = simulation
        .weights()
        .into_iter()
        .map(|(_, weight)| weight.percent())
        .collect();
    assert_eq!(weights, [10, 100]);
    assert_eq!(simulation.state().outcome(), Some(Outcome::Promoted));
}

#[test]
fn a_plan_of_ten_thousand_nodes_is_no_trouble() {
    let mut plan = plan();
    for index in 0..10_000 {
        plan.add(
            &format!("n{index}"),
            if index == 0 { task() } else { analyze(&[], 0) },
        );
    }
    for index in 1..10_000 {
        plan.edges.push(crate::plan::Edge {
            from: NodeIndex(index - 1),
            to: NodeIndex(index),
            mode: EdgeMode::Conditional(condition("x > 1")),
            label: None,
            back: false,
            max_iterations: 10,
            optional: true,
        });
    }
    let mut world = Told::good(&plan);
    world.nodes = Box::new(|_, _, _| Some((secs(1), outputs(&[("x", json!(0))]))));
    let simulation = run(&plan, world);
    assert_eq!(simulation.state().outcome(), Some(Outcome::Completed));
}

#[test]
fn a_foreign_weight_stays_foreign_over_a_crash() {
    let plan = release();
    let mut simulation = simulate(&plan, Told::good(&plan));
    simulation.happens(t(10), Happening::Foreign(weight(35), "helm".to_owned()));
    simulation.happens(t(100), Happening::Crash(secs(30)));
    simulation.run_until(t(200));
    let seen = report(&plan, simulation.state(), t(200));
    assert_eq!(seen.phase, RunPhase::Blocked);
    assert!(
        seen.waits[0].why.contains("helm set the weight to 35 %"),
        "{}",
        seen.waits[0].why
    );
    simulation.run_until(t(2000));
    assert_eq!(
        simulation.state().outcome(),
        Some(Outcome::RolledBack { deadline: true })
    );
    assert_eq!(simulation.weight(), Weight::ZERO);
}
