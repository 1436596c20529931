//! Gate tests: results in, measurements and a verdict out.

use std::fmt::Write as _;
use std::time::Duration;

use canary_analyzer::gate::{Gate, Measurement, Phase, Tally, Verdict};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Ran;
use super::compare::Problem;
use super::format::{GateRef, GateTest, WantedMeasurement};
use super::play::{START, measure, plan_of, problem};
use super::trace::clock;
use crate::diagnostic::to_lines;
use crate::diagnostic::{Diagnostics, Severity, codes, did_you_mean, quote};
use crate::plan::{Inputs, compile};

/// Runs one gate test.
pub(super) fn run(
    test: &GateTest,
    load: &dyn Fn(&str) -> Result<String, String>,
    d: &mut Diagnostics,
) -> Ran {
    let gate = match find(test, load, d) {
        Ok(gate) => gate,
        Err(problem) => {
            return Ran {
                problems: vec![problem],
                ..Ran::default()
            };
        }
    };
    let mut tally = Tally::default();
    let mut at = START;
    let mut trace = String::new();
    let mut measured = Vec::new();
    for sample in &test.results {
        let Some(due) = tally.next_at(&gate, START) else {
            let _ = writeln!(
                trace,
                "{:>9}  decided: what follows is not measured",
                offset(at)
            );
            break;
        };
        at = due.max(at);
        let Some((after, mut measurement)) = measure(&gate, sample, at) else {
            let _ = writeln!(trace, "{:>9}  no answer at all", offset(at));
            continue;
        };
        at = add(at, after);
        measurement.at = at;
        let pending = measurement.no_data && elapsed(at) < test.pending;
        let verdict = tally.record(&gate, &measurement, pending);
        let counted = if pending {
            " (pending: not counted)"
        } else {
            ""
        };
        let _ = writeln!(
            trace,
            "{:>9}  {}: {}{counted} -> {}",
            offset(at),
            phase(measurement.phase),
            measurement.message,
            word(verdict)
        );
        measured.push(measurement);
    }
    let mut problems = Vec::new();
    if let Some(wanted) = &test.measurements {
        compare(wanted, &measured, &mut problems);
    }
    if let Some(wanted) = &test.verdict {
        let verdict = tally.verdict(&gate);
        // Results that are over before the gate has decided are the end of the step.
        let actual = if verdict == Verdict::Running && wanted.value != "running" {
            tally.conclude(&gate)
        } else {
            verdict
        };
        if word(actual) != wanted.value {
            let counts = format!(
                "{} ({} passed, {} failed, {} inconclusive, {} errors)",
                word(actual),
                tally.passed(),
                tally.failed(),
                tally.inconclusive(),
                tally.errors()
            );
            problems.push(problem(wanted.span.line, "verdict", &wanted.value, &counts));
        }
    }
    Ran {
        problems,
        trace,
        simulated: elapsed(at),
    }
}

fn compare(wanted: &[WantedMeasurement], measured: &[Measurement], problems: &mut Vec<Problem>) {
    for (index, wanted) in wanted.iter().enumerate() {
        let what = format!("measurement {}", index + 1);
        let contains = wanted.contains.as_deref().unwrap_or_default();
        let expected = match (wanted.phase, contains) {
            (Some(expected), "") => phase(expected).to_owned(),
            (Some(expected), contains) => format!("{}: ... {contains} ...", phase(expected)),
            (None, contains) => format!("... {contains} ..."),
        };
        let Some(actual) = measured.get(index) else {
            problems.push(problem(wanted.span.line, &what, &expected, "not measured"));
            continue;
        };
        if wanted.phase.is_some_and(|phase| phase != actual.phase)
            || !actual.message.contains(contains)
        {
            let said = format!("{}: {}", phase(actual.phase), actual.message);
            problems.push(problem(wanted.span.line, &what, &expected, &said));
        }
    }
    if measured.len() > wanted.len() {
        let line = wanted.last().map_or(0, |last| last.span.line);
        problems.push(problem(
            line,
            "measurements",
            &wanted.len().to_string(),
            &measured.len().to_string(),
        ));
    }
}

/// The gate that is tested.
fn find(
    test: &GateTest,
    load: &dyn Fn(&str) -> Result<String, String>,
    d: &mut Diagnostics,
) -> Result<Gate, Problem> {
    match &test.gate {
        GateRef::Named(name) => {
            let plan = plan_of(&test.from, false, load)?;
            let found = plan.gates.iter().find(|gate| gate.name == name.value);
            found.cloned().ok_or_else(|| {
                d.error(
                    codes::UNKNOWN_GATE,
                    name.span,
                    format!("the workflow has no gate {}", quote(&name.value)),
                )
                .help_opt(did_you_mean(
                    &name.value,
                    plan.gates.iter().map(|gate| gate.name.as_str()),
                ));
                problem(
                    name.span.line,
                    "gate",
                    &name.value,
                    "the workflow has no such gate",
                )
            })
        }
        GateRef::Inline(gate, span) => {
            let (plan, found) = compile(&Inputs::new("gate", around(gate)));
            if let Some(gate) = plan.and_then(|plan| plan.gates.into_iter().next()) {
                return Ok(gate);
            }
            for one in found
                .sorted()
                .iter()
                .filter(|one| one.severity == Severity::Error)
            {
                d.error(one.code, *span, one.message.clone())
                    .help_opt(one.help.first().cloned());
            }
            Err(problem(
                span.line,
                "gate",
                "a gate as under `x-canary.gates`",
                to_lines(&found).trim_end(),
            ))
        }
    }
}

/// A workflow that has this gate and nothing else to say.
fn around(gate: &serde_json::Value) -> String {
    let node = |id: &str, runtime: serde_json::Value| json!({"id": id, "type": "infra", "purpose": id, "runtime": runtime});
    json!({
        "osop_version": "2.0",
        "id": "gate-test",
        "name": "gate test",
        "nodes": [
            node("check", json!({"tool": "canary", "action": "analyze", "gates": [gate["name"]], "for": "1h"})),
            node("again", json!({"tool": "canary", "action": "analyze", "gates": [gate["name"]], "for": "1h"})),
        ],
        "edges": [{"from": "check", "to": "again", "mode": "sequential"}],
        "x-canary": {
            "service": "service",
            "metrics": {"preset": "canary-proxy"},
            "sources": {"prometheus": {"url": "http://localhost:9090"}},
            "gates": [gate],
        },
    })
    .to_string()
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Pass => "pass",
        Phase::Fail => "fail",
        Phase::Inconclusive => "inconclusive",
        Phase::Error => "error",
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Running => "running",
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Error => "error",
    }
}

fn elapsed(at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(START)).unwrap_or_default()
}

fn offset(at: Timestamp) -> String {
    clock(at.duration_since(START))
}

fn add(at: Timestamp, after: Duration) -> Timestamp {
    SignedDuration::try_from(after)
        .ok()
        .and_then(|after| at.checked_add(after).ok())
        .unwrap_or(Timestamp::MAX)
}
