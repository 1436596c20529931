//! A check passes on evidence of its end: what was good before is not enough.

use canary_analyzer::gate::{Compat, Phase};
use jiff::Timestamp;

use super::build::*;
use crate::machine::{Command, Event, Topic, report};
use crate::plan::{Action, Plan};
use crate::scenario::simulation::Simulation;
use crate::scenario::world::RouterAnswer;

/// 10 %, a check of 60 s whose gate is measured every 10 s, 50 %; no guards.
fn checked() -> Plan {
    let mut plan = plan();
    let errors = plan.add_gate("errors");
    plan.add("ten", Action::SetWeight(weight(10)));
    plan.add("check", analyze(&[errors], 60));
    plan.add("fifty", Action::SetWeight(weight(50)));
    plan.seq(&["ten", "check", "fifty"]);
    plan
}

/// Answers the gate's measurements one after the other, the last of them for ever: pass, fail, inconclusive, error, no
/// data. What came of it, and how many seconds after 10 % came into force.
fn judged(plan: &Plan, answers: &'static str) -> (&'static str, i64) {
    let mut world = Told::good(plan);
    let mut asked = 0;
    world.measures = Box::new(move |_, _, _, _| {
        let answer = answers.as_bytes()[asked.min(answers.len() - 1)];
        asked += 1;
        let measurement = match answer {
            b'p' => reading(Phase::Pass),
            b'f' => reading(Phase::Fail),
            b'i' => reading(Phase::Inconclusive),
            b'e' => reading(Phase::Error),
            _ => no_data(),
        };
        Some((secs(0), measurement))
    });
    let mut simulation = simulate(plan, world);
    let mut from = None;
    let mut seen = 0;
    while seen < simulation.moments.len() || simulation.advance() {
        let Some(moment) = simulation.moments.get(seen) else {
            continue;
        };
        seen += 1;
        if let Event::WeightObserved { weight: there, .. } = &moment.event
            && *there == weight(10)
        {
            from.get_or_insert(moment.at);
        }
        let after = |at: Timestamp| at.duration_since(from.unwrap_or(at)).as_secs();
        for command in &moment.commands {
            match command {
                Command::SetWeight { weight: to, .. } if *to == weight(50) => {
                    return ("passed", after(moment.at));
                }
                Command::Notify(news) if news.topic == Topic::Blocked => {
                    return ("blocked", after(moment.at));
                }
                Command::Notify(news) if news.topic == Topic::Failing => {
                    return ("failed", after(moment.at));
                }
                _ => {}
            }
        }
    }
    ("nothing", 0)
}

#[test]
fn the_last_thing_that_is_known_must_be_good() {
    // Evidence is due after 90 s: the end of the check comes first.
    let patient = |change: fn(&mut Plan)| {
        let mut plan = checked();
        plan.deadlines.evidence = Some(secs(90));
        change(&mut plan);
        plan
    };
    let same: fn(&mut Plan) = |_| {};
    let limit: fn(&mut Plan) = |plan| plan.gates[0].failure_limit = Some(1);
    let argo: fn(&mut Plan) = |plan| {
        plan.gates[0].failure_limit = Some(1);
        plan.gates[0].compat = Compat::Argo;
    };
    let unlimited: fn(&mut Plan) = |plan| plan.gates[0].failure_limit = None;
    let doubts: fn(&mut Plan) = |plan| plan.gates[0].inconclusive_limit = 100;
    for (change, answers, expected) in [
        (same, "p", ("passed", 60)),
        // Nothing at the end: waited for, until absence counts.
        (same, "ppn", ("blocked", 90)),
        (same, "pppppn", ("blocked", 90)),
        // Nothing in the middle, and good evidence at the end, or a little after it.
        (same, "ppnnnnp", ("passed", 60)),
        (same, "ppnnnnnnp", ("passed", 80)),
        // Never anything: too few requests, for example.
        (same, "n", ("blocked", 90)),
        // The source goes away before the end, within the limit of errors: 40, 50, 60 s, and 70, 80 s.
        (same, "ppppe", ("blocked", 80)),
        (same, "ppppeep", ("passed", 60)),
        // A failure within the limit is not good evidence either.
        (limit, "ppppppfp", ("passed", 70)),
        (limit, "ppppppf", ("failed", 70)),
        (limit, "ppfp", ("passed", 60)),
        (argo, "ppppppf", ("passed", 60)),
        // Failures that never decide do not hold it up.
        (unlimited, "ppppppf", ("passed", 60)),
        (doubts, "ppi", ("blocked", 160)),
        (doubts, "ppip", ("passed", 60)),
    ] {
        assert_eq!(judged(&patient(change), answers), expected, "{answers}");
    }
}

#[test]
fn a_gate_that_had_decided_long_before_is_measured_again() {
    let counted = |interval: u64, duration: u64| {
        let mut plan = checked();
        plan.gates[0].count = Some(2);
        plan.gates[0].interval = secs(interval);
        plan.nodes[1].action = analyze(&[crate::plan::GateIndex(0)], duration);
        plan
    };
    for (interval, duration, answers, expected) in [
        // Decided after 10 s; 10 s and the deadline of 30 s are fresh enough at 50 s, and not at 51.
        (10, 50, "ppf", ("passed", 50)),
        (10, 51, "ppf", ("failed", 51)),
        (10, 600, "ppp", ("passed", 600)),
        (10, 600, "ppf", ("failed", 600)),
        // Nothing any more: absence counts at once, so long after the weight came into force.
        (10, 600, "ppn", ("blocked", 600)),
        (10, 600, "ppeep", ("passed", 620)),
    ] {
        assert_eq!(
            judged(&counted(interval, duration), answers),
            expected,
            "{answers}"
        );
    }
}

#[test]
fn one_measurement_is_enough_where_it_is_fresh() {
    let mut plan = checked();
    plan.gates[0].interval = secs(120);
    assert_eq!(judged(&plan, "pf"), ("passed", 60));
    plan.gates[0].interval = secs(29);
    plan.nodes[1].action = analyze(&[crate::plan::GateIndex(0)], 28);
    assert_eq!(judged(&plan, "pf"), ("passed", 28));
}

#[test]
fn of_two_gates_the_early_one_is_asked_again_for_the_end_of_the_late_one() {
    let mut plan = checked();
    let slow = plan.add_gate("slow");
    plan.gates[0].count = Some(1);
    plan.gates[slow.0].count = Some(10);
    plan.nodes[1].action = analyze(&[crate::plan::GateIndex(0), slow], 0);
    let mut world = Told::good(&plan);
    world.measures = Box::new(|gate, _, at, _| {
        let bad = gate == "errors" && at > t(50);
        Some((
            secs(0),
            reading(if bad { Phase::Fail } else { Phase::Pass }),
        ))
    });
    let simulation = run(&plan, world);
    assert!(simulation.weights().iter().all(|(_, to)| *to <= weight(10)));
    assert!(simulation.weight().is_zero());
}

#[test]
fn nothing_rises_on_a_weight_that_the_router_does_not_follow_yet() {
    let plan = checked();
    let mut world = Told::good(&plan);
    world.routes = Box::new(|_, at| {
        let pending = (at < t(20)).then(|| "not programmed".to_owned());
        let seen = None;
        Some((secs(0), Ok(RouterAnswer { pending, seen })))
    });
    let mut simulation = simulate(&plan, world);
    simulation.run_until(t(30));
    let first = simulation.weights()[0];
    assert_eq!(first.1, weight(10));
    assert!(first.0 >= t(20), "raised at {}", first.0);
}

#[test]
fn while_it_is_waited_for_the_report_says_so() {
    let mut plan = checked();
    plan.deadlines.evidence = Some(secs(90));
    let mut world = Told::good(&plan);
    world.measures = Box::new(|_, _, at, _| {
        let there = at < t(25);
        Some((
            secs(0),
            if there {
                reading(Phase::Pass)
            } else {
                no_data()
            },
        ))
    });
    let mut simulation: Simulation<'_, Told> = simulate(&plan, world);
    simulation.run_until(t(75));
    let told = report(&plan, simulation.state(), t(75));
    let what: Vec<_> = told.waits.iter().map(|wait| wait.what.as_str()).collect();
    assert_eq!(
        what,
        ["fresh evidence for the end of check", "evidence for errors"]
    );
}
