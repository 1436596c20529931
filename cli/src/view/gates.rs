//! The table of gates in a status.

use canary_analyzer::gate::{Phase, Verdict};
use canary_analyzer::unit::Quantity;
use canary_orchestrator::machine::{GateReport, Report};

use super::said::Said;
use super::span::{Line, Tone, cut};
use super::sparkline::sparkline;
use super::status::Space;
use super::time;

/// A row for each gate, and what the columns do not say.
pub(super) fn gates(report: &Report, space: Space, said: &mut Said) -> Vec<Line> {
    if report.gates.is_empty() {
        return Vec::new();
    }
    let name_width = report
        .gates
        .iter()
        .map(|gate| gate.name.chars().count())
        .max()
        .unwrap_or(4)
        .clamp(4, 28)
        + 2;
    let limit_width = report
        .gates
        .iter()
        .map(|gate| gate.limit.chars().count())
        .max()
        .unwrap_or(5)
        .clamp(5, 28)
        + 2;
    let header = Line::default()
        .column("  GATE", Tone::Dim, name_width + 4)
        .column("VALUE", Tone::Dim, 11)
        .column("LIMIT", Tone::Dim, limit_width)
        .column("PASSED", Tone::Dim, 8)
        .column("FAILED", Tone::Dim, 8)
        .add("TREND", Tone::Dim);
    let mut lines = vec![Line::default(), header];
    for gate in &report.gates {
        lines.push(gate_line(gate, report, space, name_width, limit_width));
        let own = format!("{}: ", gate.name);
        let message = gate.message.as_deref().unwrap_or_default();
        let message = message.strip_prefix(&own).unwrap_or(message);
        // Without a value a message says what is missing: a guard and a check of the gate say that a moment apart.
        let known =
            said.holds(message) || (gate.value.is_none() && said.holds_but_for_numbers(message));
        // The value and the limit of a gate that passes are in the columns.
        if gate.last.is_some_and(|phase| phase != Phase::Pass) && !known {
            let pending = gate.pending_until.map_or_else(String::new, |until| {
                let left = time::duration(time::between(report.at, until));
                format!("pending for {left} more: ")
            });
            lines.push(Line::default().add(
                format!(
                    "      {}",
                    cut(
                        &format!("{pending}{message}"),
                        space.width.saturating_sub(6)
                    )
                ),
                verdict_tone(gate),
            ));
        }
        said.note(message);
    }
    lines
}

fn gate_line(
    gate: &GateReport,
    report: &Report,
    space: Space,
    name_width: usize,
    limit_width: usize,
) -> Line {
    let tone = verdict_tone(gate);
    let glyph = match gate.verdict {
        Verdict::Pass => "✔",
        Verdict::Fail => "✘",
        Verdict::Inconclusive | Verdict::Error => "?",
        Verdict::Running => match gate.last {
            _ if gate.pending_until.is_some() => "·",
            Some(Phase::Pass) => "●",
            Some(Phase::Fail) => "✘",
            Some(Phase::Inconclusive | Phase::Error) => "?",
            None => "·",
        },
    };
    let value = gate.value.map_or_else(
        || "-".to_owned(),
        |value| Quantity::new(value, gate.unit).human(3),
    );
    let passed = gate.count.map_or_else(
        || gate.passed.to_string(),
        |count| format!("{}/{count}", gate.passed),
    );
    let failed = match gate.failure_limit {
        Some(limit) if limit > 0 => format!("{}/{limit}", gate.failed),
        Some(_) | None => gate.failed.to_string(),
    };
    let line = Line::default()
        .add(format!("  {glyph} "), tone)
        .column(cut(&gate.name, name_width), Tone::Plain, name_width)
        .column(value, tone, 11)
        .column(cut(&gate.limit, limit_width), Tone::Plain, limit_width)
        .column(passed, Tone::Plain, 8)
        .column(
            failed,
            if gate.failed > 0 {
                Tone::Bad
            } else {
                Tone::Plain
            },
            8,
        );
    let used = line.text().chars().count();
    let left = gate
        .until
        .map(|until| time::between(report.at, until))
        .filter(|left| !left.is_zero());
    let rest = left.map_or_else(String::new, |left| {
        format!(" {} left", time::duration(left))
    });
    let room = space
        .width
        .saturating_sub(used + rest.chars().count())
        .min(if space.wide { 60 } else { 24 });
    line.add(sparkline(&gate.history, room), tone)
        .add(rest, Tone::Dim)
}

fn verdict_tone(gate: &GateReport) -> Tone {
    match (gate.verdict, gate.last) {
        (Verdict::Running, _) if gate.pending_until.is_some() => Tone::Busy,
        (Verdict::Fail, _) | (Verdict::Running, Some(Phase::Fail)) => Tone::Bad,
        (Verdict::Inconclusive | Verdict::Error, _)
        | (Verdict::Running, Some(Phase::Inconclusive | Phase::Error)) => Tone::Warn,
        (Verdict::Pass, _) => Tone::Good,
        (Verdict::Running, Some(Phase::Pass)) => Tone::Busy,
        (Verdict::Running, None) => Tone::Dim,
    }
}
