//! A run that goes on from a checkpoint ends as one that goes on from its journal.

use std::time::Duration;

use canary_traffic::Weight;
use jiff::Timestamp;
use proptest::prelude::*;

use super::build::*;
use super::laws;
use super::properties::{Tape, config, cook, happening, happenings, recipe};
use crate::machine::checkpoint::MAX_CHECKPOINT;
use crate::machine::{Checkpoint, CheckpointError, Command, Event, Outcome, State, step};
use crate::plan::{Action, EdgeMode, Plan};
use crate::scenario::simulation::Simulation;

/// To JSON text and back.
fn through(plan: &Plan, state: State) -> State {
    let text = serde_json::to_string(&state.checkpoint(plan).unwrap()).unwrap();
    assert!(text.len() <= MAX_CHECKPOINT, "{} bytes", text.len());
    let checkpoint: Checkpoint = serde_json::from_str(&text).unwrap();
    State::restore(plan, checkpoint).unwrap()
}

/// What a run did, without the words.
fn deeds<W: crate::scenario::world::World>(
    simulation: &Simulation<'_, W>,
) -> (Option<Outcome>, Weight, Vec<(Timestamp, Command)>) {
    let commands = simulation
        .moments
        .iter()
        .flat_map(|moment| moment.commands.iter().map(|one| (moment.at, one.clone())))
        .filter(|(_, command)| !matches!(command, Command::Notify(_) | Command::CancelNode { .. }))
        .collect();
    (simulation.state().outcome(), simulation.weight(), commands)
}

fn simulation<'p>(
    plan: &'p Plan,
    tape: &[u8],
    happens: &[(i64, u8)],
    crash: (usize, Duration),
) -> Simulation<'p, Tape> {
    let mut simulation = Simulation::new(plan, Tape::new(tape.to_vec()), t(0), Weight::ZERO);
    simulation.crash_after = Some(crash);
    for (at, choice) in happens {
        simulation.happens(t(*at), happening(*choice));
    }
    simulation
}

/// The same run twice, with a crash after so many events: from its journal, and from a checkpoint.
fn same(
    plan: &Plan,
    tape: &[u8],
    happens: &[(i64, u8)],
    crash: (usize, Duration),
) -> Result<(), TestCaseError> {
    let mut replayed = simulation(plan, tape, happens, crash);
    replayed.start();
    replayed.run_until(t(40_000));
    let mut restored = simulation(plan, tape, happens, crash);
    restored.through = Some(through);
    restored.start();
    restored.run_until(t(40_000));
    prop_assert_eq!(deeds(&replayed), deeds(&restored));
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_release_goes_on_from_a_checkpoint_as_from_its_journal(
        tape in prop::collection::vec(any::<u8>(), 0..120),
        happens in happenings(),
        crash in (1_usize..90, 0_u64..200),
    ) {
        same(&release(), &tape, &happens, (crash.0, secs(crash.1)))?;
    }

    #[test]
    fn random_plans_go_on_from_a_checkpoint_as_from_their_journals(
        recipe in recipe(),
        tape in prop::collection::vec(any::<u8>(), 0..80),
        happens in happenings(),
        crash in (1_usize..40, 0_u64..200),
    ) {
        same(&cook(&recipe), &tape, &happens, (crash.0, secs(crash.1)))?;
    }

    #[test]
    fn the_laws_hold_from_checkpoints(
        recipe in recipe(),
        tape in prop::collection::vec(any::<u8>(), 0..80),
        happens in happenings(),
        crash in (1_usize..40, 0_u64..200),
    ) {
        let plan = cook(&recipe);
        // The laws compare with the journal, which is whole: only what a checkpoint leaves out may differ from it.
        let mut run = simulation(&plan, &tape, &happens, (crash.0, secs(crash.1)));
        run.start();
        laws::watch(&plan, &mut run, t(40_000))?;
        let state = through(&plan, run.state().clone());
        prop_assert_eq!(state.outcome(), run.state().outcome());
    }
}

#[test]
fn a_crash_after_any_event_of_a_good_release() {
    let plan = release();
    for after in 1..120 {
        same(&plan, &[], &[], (after, secs(7))).unwrap();
    }
}

#[test]
fn fifty_nodes_fit_with_long_words_and_large_outputs() {
    let mut plan = plan();
    for index in 0..50 {
        plan.add(&format!("a-node-with-a-long-name-{index}"), task());
        if index > 0 {
            let (from, to) = (
                plan.nodes[index - 1].id.clone(),
                plan.nodes[index].id.clone(),
            );
            plan.edge(&from, &to, EdgeMode::Sequential);
        }
    }
    let text = serde_json::json!("x".repeat(100_000));
    let mut state = State::new(&plan);
    let mut event = Event::Started;
    for second in 0..1_000 {
        let decision = step(&plan, state, t(second), event);
        state = decision.state;
        let restored = through(&plan, state.clone());
        assert_eq!(restored.nodes.len(), 50);
        let Some(&Command::StartNode { node, attempt, .. }) = decision
            .commands
            .iter()
            .find(|command| matches!(command, Command::StartNode { .. }))
        else {
            break;
        };
        let mut result = outputs(&[("big", text.clone()), ("small", serde_json::json!(7))]);
        result.error = Some("it said: ".repeat(500));
        event = Event::NodeFinished {
            node,
            attempt,
            result,
        };
    }
    assert_eq!(state.outcome(), Some(Outcome::Completed));
}

#[test]
fn another_plan_and_damage_are_refused() {
    let plan = release();
    let state = State::new(&plan);
    let checkpoint = state.checkpoint(&plan).unwrap();
    let mut other = release();
    other.hash = "another".to_owned();
    assert!(matches!(
        State::restore(&other, checkpoint.clone()),
        Err(CheckpointError::OtherPlan { .. })
    ));
    let mut value = serde_json::to_value(&checkpoint).unwrap();
    value["state"]["active"] = serde_json::json!([4_000]);
    let damaged: Checkpoint = serde_json::from_value(value.clone()).unwrap();
    assert!(matches!(
        State::restore(&plan, damaged),
        Err(CheckpointError::Malformed(_))
    ));
    value["version"] = serde_json::json!(99);
    let newer: Checkpoint = serde_json::from_value(value).unwrap();
    assert_eq!(
        State::restore(&plan, newer),
        Err(CheckpointError::Version { found: 99 })
    );
}

#[test]
fn instances_that_cannot_serve_take_traffic_off_first() {
    let mut plan = plan();
    plan.add("ten", Action::SetWeight(weight(10)));
    plan.add("wait", task());
    plan.edge("ten", "wait", EdgeMode::Sequential);
    let mut run = Simulation::new(&plan, Tape::new(Vec::new()), t(0), Weight::ZERO);
    run.start();
    while run.weight() != weight(10) {
        assert!(run.advance());
    }
    let before = run.moments.len();
    run.feed(Event::WorkloadFailed {
        why: "pod checkout-canary-1: CrashLoopBackOff".to_owned(),
    });
    let first = &run.moments[before].commands[0];
    assert!(first.takes_traffic_off(), "{first:?}");
    run.run_until(t(1_000));
    assert_eq!(
        run.state().outcome(),
        Some(Outcome::RolledBack { deadline: false })
    );
}
