//! How a run differs from what a test expects of it.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::expect::{PHASES, STATUSES, TOPICS};
use super::format::{Expect, WantedMoment};
use super::simulation::Simulation;
use super::trace::clock;
use super::world::World;
use crate::machine::Report;
use crate::plan::Plan;

/// One thing that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line of the expectation in the file, 1-based.
    pub line: u32,
    /// What was looked at.
    pub what: String,
    /// As the test has it.
    pub expected: String,
    /// As it was.
    pub actual: String,
}

/// Compares a moment of a run with what is expected at that time.
pub(super) fn compare_moment(
    wanted: &WantedMoment,
    weight: u8,
    seen: &Report,
    problems: &mut Vec<Problem>,
) {
    let at = clock(SignedDuration::try_from(wanted.time).unwrap_or(SignedDuration::MAX));
    let mut differs = |what: &str, expected: String, actual: String| {
        problems.push(Problem {
            line: wanted.span.line,
            what: format!("{what} at {at}"),
            expected,
            actual,
        });
    };
    if let Some(phase) = &wanted.phase {
        let actual = PHASES
            .iter()
            .find(|(_, known)| *known == seen.phase)
            .map_or("?", |(word, _)| *word);
        if phase.value != actual {
            differs(
                "phase",
                phase.value.clone(),
                format!("{actual} ({})", seen.headline),
            );
        }
    }
    if let Some(expected) = wanted.weight
        && expected.percent() != weight
    {
        differs("weight", expected.to_string(), format!("{weight} %"));
    }
    if let Some(expected) = &wanted.headline
        && !seen.headline.contains(expected)
    {
        differs(
            "headline",
            format!("... {expected} ..."),
            seen.headline.clone(),
        );
    }
    if let Some(expected) = &wanted.waits {
        let all: Vec<String> = seen
            .waits
            .iter()
            .map(|wait| format!("{}: {}", wait.what, wait.why))
            .collect();
        if !all.iter().any(|wait| wait.contains(expected)) {
            let actual = if all.is_empty() {
                "nothing".to_owned()
            } else {
                all.join("\n")
            };
            differs("waits", format!("... {expected} ..."), actual);
        }
    }
}

/// Compares a run that is over, or was watched for long enough, with what is expected.
pub(super) fn compare<W: World>(
    plan: &Plan,
    expect: &Expect,
    simulation: &Simulation<'_, W>,
    start: Timestamp,
    seen: &Report,
    problems: &mut Vec<Problem>,
) {
    let mut differs = |line: u32, what: &str, expected: String, actual: String| {
        problems.push(Problem {
            line,
            what: what.to_owned(),
            expected,
            actual,
        });
    };
    let outcome = simulation.state().outcome();
    if let Some(expected) = &expect.outcome {
        let actual = outcome.map_or("none", crate::machine::Outcome::word);
        if expected.value != actual {
            differs(
                expected.span.line,
                "outcome",
                expected.value.clone(),
                format!("{actual} ({})", seen.headline),
            );
        }
    }
    if let Some(expected) = expect.exit {
        let actual = outcome.map(crate::machine::Outcome::exit_code);
        if actual != Some(expected) {
            let line = expect
                .outcome
                .as_ref()
                .map_or(0, |outcome| outcome.span.line);
            differs(
                line,
                "exit code",
                expected.to_string(),
                actual.map_or("none: the run did not end".to_owned(), |code| {
                    code.to_string()
                }),
            );
        }
    }
    if let Some((expected, span)) = &expect.path {
        let actual = path(plan, seen);
        if *expected != actual {
            differs(
                span.line,
                "path",
                expected.join(" -> "),
                actual.join(" -> "),
            );
        }
    }
    for (id, expected) in &expect.status {
        let node = seen.nodes.iter().find(|node| node.id == id.value);
        let actual = node.map_or("no such node".to_owned(), |node| {
            let word = STATUSES
                .iter()
                .find(|(_, known)| *known == node.status)
                .map_or("?", |(word, _)| *word);
            match (&node.reason, word == expected.value) {
                (Some(reason), false) => format!("{word} ({reason})"),
                _ => word.to_owned(),
            }
        });
        if actual != expected.value {
            differs(
                id.span.line,
                &format!("status of {}", id.value),
                expected.value.clone(),
                actual,
            );
        }
    }
    if let Some((expected, span)) = &expect.weights {
        compare_weights(expected, span.line, simulation, start, &mut differs);
    }
    let news: Vec<_> = simulation.notifications().collect();
    let mut from = 0;
    for wanted in &expect.notifications {
        let fits = |one: &&crate::machine::Notification| {
            let topic = TOPICS
                .iter()
                .find(|(_, topic)| *topic == one.topic)
                .map_or("?", |(word, _)| *word);
            let text = format!("{} {} {}", one.headline, one.done, one.next.join(" "));
            wanted
                .topic
                .as_ref()
                .is_none_or(|wanted| wanted.value == topic)
                && wanted
                    .contains
                    .as_ref()
                    .is_none_or(|part| text.contains(part))
        };
        if let Some(found) = news[from..].iter().position(fits) {
            from += found + 1;
            continue;
        }
        let topic = wanted
            .topic
            .as_ref()
            .map_or("any", |topic| topic.value.as_str());
        let contains = wanted.contains.as_deref().unwrap_or_default();
        let mut actual = String::new();
        for one in &news[from..] {
            let word = TOPICS
                .iter()
                .find(|(_, topic)| *topic == one.topic)
                .map_or("?", |(word, _)| *word);
            let _ = writeln!(actual, "[{word}] {} ({})", one.headline, one.done);
        }
        if actual.is_empty() {
            actual.push_str("no further notification");
        }
        differs(
            wanted.span.line,
            "notification",
            format!("[{topic}] ... {contains} ..."),
            actual.trim_end().to_owned(),
        );
    }
}

fn compare_weights<W: World>(
    expected: &[(canary_traffic::Weight, Option<Duration>)],
    line: u32,
    simulation: &Simulation<'_, W>,
    start: Timestamp,
    differs: &mut impl FnMut(u32, &str, String, String),
) {
    let mut actual = simulation.weights();
    // Writing the same weight again is not another step.
    actual.dedup_by_key(|(_, weight)| *weight);
    let offset = |at: Timestamp| at.duration_since(start);
    let fits = expected.len() == actual.len()
        && expected
            .iter()
            .zip(&actual)
            .all(|((weight, at), (when, was))| {
                weight == was
                    && at.is_none_or(|at| {
                        Duration::try_from(offset(*when))
                            .is_ok_and(|when| when.abs_diff(at) < Duration::from_secs(1))
                    })
            });
    if !fits {
        let wanted: Vec<_> = expected
            .iter()
            .map(|(weight, at)| match at {
                Some(at) => format!(
                    "{weight} at {}",
                    clock(SignedDuration::try_from(*at).unwrap_or(SignedDuration::MAX))
                ),
                None => weight.to_string(),
            })
            .collect();
        let was: Vec<_> = actual
            .iter()
            .map(|(at, weight)| format!("{weight} at {}", clock(offset(*at))))
            .collect();
        differs(
            line,
            "weights",
            wanted.join(", "),
            if was.is_empty() {
                "none was set".to_owned()
            } else {
                was.join(", ")
            },
        );
    }
}

/// Nodes in the order in which they started.
fn path(plan: &Plan, seen: &Report) -> Vec<String> {
    let mut started: Vec<_> = seen
        .nodes
        .iter()
        .enumerate()
        .filter_map(|(index, node)| Some((node.started_at?, index)))
        .collect();
    started.sort_unstable();
    started
        .into_iter()
        .map(|(_, index)| plan.nodes[index].id.clone())
        .collect()
}
