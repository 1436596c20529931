//! Time that nobody watched, weights that somebody else set, and ends that leave traffic on: what never counts as good.

use canary_analyzer::gate::Phase;
use canary_traffic::Weight;

use super::build::*;
use crate::machine::{Event, OperatorAction, Outcome};
use crate::scenario::simulation::{Happening, Simulation};

/// Goes on until that weight is in force.
fn until(simulation: &mut Simulation<'_, Told>, percent: u8) {
    let there = |simulation: &Simulation<'_, Told>| {
        simulation.moments.last().is_some_and(|moment| {
            matches!(&moment.event, Event::WeightObserved { weight: seen, .. } if *seen == weight(percent))
        })
    };
    while !there(simulation) {
        assert!(simulation.advance());
    }
}

fn person(action: OperatorAction) -> Happening {
    Happening::Operator(action, "ann".to_owned(), None)
}

#[test]
fn a_stopped_driver_bakes_anew() {
    let plan = release();
    let mut simulation = simulate(&plan, Told::good(&plan));
    until(&mut simulation, 100);
    let full = simulation.now();
    // Twice the bake: stopped, and then awake again.
    simulation.happens(full, Happening::Stop(secs(120)));
    simulation.run_until(t(86_400));
    assert_eq!(simulation.state().outcome(), Some(Outcome::Promoted));
    let took = simulation.now().duration_since(full).as_secs();
    assert!(took >= 180, "the bake of 60 s was over after {took} s");
}

#[test]
fn harm_that_came_while_the_driver_was_stopped_is_found_before_the_bake_ends() {
    let plan = release();
    let mut world = Told::good(&plan);
    let mut good_at_first = true;
    world.measures = Box::new(move |_, _, _, weight| {
        let bad = weight == Weight::FULL && !std::mem::take(&mut good_at_first);
        Some((
            secs(0),
            reading(if bad { Phase::Fail } else { Phase::Pass }),
        ))
    });
    let mut simulation = simulate(&plan, world);
    until(&mut simulation, 100);
    simulation.advance();
    simulation.happens(simulation.now(), Happening::Stop(secs(120)));
    simulation.run_until(t(86_400));
    assert_eq!(
        simulation.state().outcome(),
        Some(Outcome::RolledBack { deadline: false })
    );
    assert_eq!(simulation.weight(), Weight::ZERO);
}

#[test]
fn a_stopped_driver_soaks_anew() {
    let plan = release();
    let mut simulation = simulate(&plan, Told::good(&plan));
    until(&mut simulation, 10);
    let ten = simulation.now();
    simulation.happens(ten, Happening::Stop(secs(600)));
    simulation.run_until(t(86_400));
    let fifty = simulation
        .weights()
        .into_iter()
        .find(|(_, to)| *to == weight(50));
    let took = fifty.unwrap().0.duration_since(ten).as_secs();
    assert!(took >= 660, "the soak of 60 s was over after {took} s");
}

#[test]
fn a_weight_of_0_that_somebody_else_set_is_not_taken_as_a_step() {
    let plan = release();
    let mut simulation = simulate(&plan, Told::good(&plan));
    until(&mut simulation, 10);
    simulation.happens(
        simulation.now(),
        Happening::Foreign(Weight::ZERO, "restart".to_owned()),
    );
    simulation.happens(t(60), person(OperatorAction::Promote { full: false }));
    simulation.run_until(t(200));
    let written: Vec<_> = simulation.weights();
    assert!(
        written.iter().all(|(_, to)| *to <= weight(10)),
        "raised from 0 without evidence: {written:?}"
    );
    let answer = &simulation.state().answers()[0].text;
    assert!(answer.contains("nothing to accept"), "{answer}");
}

#[test]
fn a_foreign_weight_is_foreign_after_a_crash_too() {
    let plan = release();
    let mut simulation = simulate(&plan, Told::good(&plan));
    until(&mut simulation, 10);
    simulation.happens(
        simulation.now(),
        Happening::Foreign(weight(90), "helm".to_owned()),
    );
    simulation.run_until(t(40));
    assert!(simulation.state().needs_person());
    simulation.happens(t(41), Happening::Crash(secs(5)));
    simulation.run_until(t(300));
    assert!(
        simulation.state().needs_person(),
        "somebody else's 90 % was taken as ours"
    );
    assert_eq!(simulation.weight(), weight(90));
}

#[test]
fn an_end_that_left_traffic_on_can_be_aborted() {
    let plan = release();
    let mut world = Told::good(&plan);
    world.measures = Box::new(|_, _, at, _| {
        let bad = at > t(30);
        Some((
            secs(0),
            reading(if bad { Phase::Fail } else { Phase::Pass }),
        ))
    });
    // From the first failure on, the router does not take a 0 for an hour.
    world.routes = Box::new(|write, at| {
        let deaf = write == Some(Weight::ZERO) && at < t(3600);
        let answer = if deaf {
            Err("no answer".to_owned())
        } else {
            Ok(crate::scenario::world::RouterAnswer::default())
        };
        Some((secs(0), answer))
    });
    let mut simulation = run(&plan, world);
    assert_eq!(simulation.state().outcome(), Some(Outcome::Failed));
    assert_eq!(simulation.weight(), weight(10));
    simulation.happens(t(4000), person(OperatorAction::Abort { signal: None }));
    while simulation.advance() {}
    assert_eq!(simulation.weight(), Weight::ZERO);
    assert_eq!(
        simulation.state().outcome(),
        Some(Outcome::Aborted { signal: None })
    );
}
