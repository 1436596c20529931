//! A run on one screen: where it stands and why, the graph, the gates, what is waited for, what to run.

use canary_analyzer::gate::{Phase, Verdict};
use canary_analyzer::unit::Quantity;
use canary_orchestrator::machine::{GateReport, NodePhase, NodeReport, Report, RunPhase};

use super::said::Said;
use super::span::{Line, Tone, cut, wrap};
use super::sparkline::sparkline;
use super::time;

/// How much room there is, and how much is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space {
    /// Columns.
    pub(crate) width: usize,
    /// Rows; the graph is cut to fit. `None`: as many as needed.
    pub(crate) height: Option<usize>,
    /// More columns and details.
    pub(crate) wide: bool,
}

/// The whole status of a run. Each fact is in it once, where it is looked for first.
pub(crate) fn lines(run: &str, report: &Report, space: Space) -> Vec<Line> {
    let mut said = Said::default();
    let mut head = headline(run, report, space, &mut said);
    let mut tail = gates(report, space, &mut said);
    tail.extend(waits(run, report, space, &mut said));
    tail.extend(next(run, report));
    let room = space
        .height
        .map(|height| height.saturating_sub(head.len() + tail.len() + 1));
    head.push(Line::default());
    head.extend(nodes(report, space, room, &said));
    head.extend(tail);
    head
}

fn headline(run: &str, report: &Report, space: Space, said: &mut Said) -> Vec<Line> {
    let mut first = Line::default()
        .column(run, Tone::Strong, 12)
        .add(phase_word(report), phase_tone(report));
    if let Some(traffic) = &report.traffic {
        let observed = traffic.observed.unwrap_or(traffic.desired);
        first = first
            .add("  canary gets ", Tone::Plain)
            .add(observed.to_string(), Tone::Strong);
        if observed != traffic.desired {
            first = first.add(format!(" (going to {})", traffic.desired), Tone::Warn);
        }
    }
    if let Some(started) = report.started_at {
        let end = report.ended_at.unwrap_or(report.at);
        first = first.add(
            format!("  after {}", time::duration(time::between(started, end))),
            Tone::Dim,
        );
    }
    let mut lines = vec![first];
    let tone = if report.outcome.is_some() || report.phase == RunPhase::Blocked {
        phase_tone(report)
    } else {
        Tone::Plain
    };
    lines.extend(
        wrap(&report.headline, space.width.saturating_sub(2))
            .into_iter()
            .map(|text| Line::default().add(format!("  {text}"), tone)),
    );
    said.note(&report.headline);
    let problem = report
        .traffic
        .as_ref()
        .and_then(|traffic| traffic.problem.as_ref());
    // What is waited for says it better: with what is done about it.
    let waited_for = |problem: &str| report.waits.iter().any(|wait| wait.why.contains(problem));
    if let Some(problem) = problem.filter(|problem| !said.holds(problem) && !waited_for(problem)) {
        said.note(problem);
        lines.extend(
            wrap(problem, space.width.saturating_sub(2))
                .into_iter()
                .map(|text| Line::default().add(format!("  {text}"), Tone::Warn)),
        );
    }
    if let Some(cost) = report.cost {
        let text = format!(
            "  cost: {} bad answers in {} requests that the canary served",
            cost.bad, cost.requests
        );
        lines.push(Line::default().add(text, if cost.bad > 0 { Tone::Warn } else { Tone::Dim }));
    }
    lines
}

/// `progressing`, or the outcome once there is one.
pub(crate) fn phase_word(report: &Report) -> &'static str {
    // Also while the last things are done: the cost is counted, people are told.
    if let Some(outcome) = report.outcome {
        return outcome.word();
    }
    match report.phase {
        RunPhase::New => "new",
        RunPhase::Progressing => "progressing",
        RunPhase::Paused => "paused",
        RunPhase::Waiting => "waiting",
        RunPhase::Blocked => "blocked",
        RunPhase::Baking => "baking",
        RunPhase::RollingBack => "rolling back",
        RunPhase::Ended => "ended",
    }
}

/// The tone of [`phase_word`].
pub(crate) fn phase_tone(report: &Report) -> Tone {
    match (report.phase, report.outcome) {
        (_, Some(outcome)) if outcome.exit_code() == 0 => Tone::Good,
        (_, Some(_)) | (RunPhase::RollingBack, None) => Tone::Bad,
        (RunPhase::Paused | RunPhase::Waiting | RunPhase::Blocked, _) => Tone::Warn,
        (RunPhase::New | RunPhase::Progressing | RunPhase::Baking | RunPhase::Ended, _) => {
            Tone::Busy
        }
    }
}

fn nodes(report: &Report, space: Space, room: Option<usize>, said: &Said) -> Vec<Line> {
    let name_width = report
        .nodes
        .iter()
        .map(|node| node.id.chars().count())
        .max()
        .unwrap_or(4)
        .min(32)
        + 2;
    let all: Vec<Line> = report
        .nodes
        .iter()
        .map(|node| node_line(node, report, space, name_width, said))
        .collect();
    match room {
        Some(room) if all.len() > room.max(1) => around_the_action(report, all, room.max(1)),
        Some(_) | None => all,
    }
}

/// The `room` lines around the first node that is not through.
fn around_the_action(report: &Report, lines: Vec<Line>, room: usize) -> Vec<Line> {
    let through =
        |node: &NodeReport| matches!(node.status, NodePhase::Completed | NodePhase::Skipped);
    let action = report
        .nodes
        .iter()
        .position(|node| !through(node))
        .unwrap_or(lines.len());
    let start = action
        .saturating_sub(room / 2)
        .min(lines.len().saturating_sub(room));
    lines.into_iter().skip(start).take(room).collect()
}

fn node_line(
    node: &NodeReport,
    report: &Report,
    space: Space,
    name_width: usize,
    said: &Said,
) -> Line {
    let (glyph, tone) = node_glyph(node.status);
    let name_tone = if node.status == NodePhase::Pending || node.status == NodePhase::Skipped {
        Tone::Dim
    } else {
        Tone::Plain
    };
    let mut line = Line::default()
        .add(format!("  {glyph} "), tone)
        .column(cut(&node.id, name_width), name_tone, name_width)
        .column(cut(&node.action, 24), Tone::Dim, 26);
    if let Some(started) = node.started_at {
        let took = time::duration(time::between(started, node.ended_at.unwrap_or(report.at)));
        line = line.column(took, Tone::Dim, 12);
    }
    if node.attempts > 1 {
        line = line.add(format!("attempt {} ", node.attempts), Tone::Warn);
    }
    let used = line.text().chars().count();
    let detail = match (&node.reason, space.wide) {
        (Some(reason), _) => said.rest(reason),
        (None, true) => node.purpose.clone(),
        (None, false) => String::new(),
    };
    line.add(cut(&detail, space.width.saturating_sub(used)), tone)
}

/// A mark that can be told from the others without colour.
pub(crate) fn node_glyph(status: NodePhase) -> (&'static str, Tone) {
    match status {
        NodePhase::Pending => ("·", Tone::Dim),
        NodePhase::Ready => ("○", Tone::Busy),
        NodePhase::Waiting => ("?", Tone::Warn),
        NodePhase::Running => ("●", Tone::Busy),
        NodePhase::InDoubt => ("‽", Tone::Warn),
        NodePhase::Completed => ("✔", Tone::Good),
        NodePhase::Failed => ("✘", Tone::Bad),
        NodePhase::TimedOut => ("⏱", Tone::Bad),
        NodePhase::Skipped => ("-", Tone::Dim),
        NodePhase::Cancelled => ("×", Tone::Warn),
        NodePhase::Blocked => ("!", Tone::Warn),
    }
}

fn gates(report: &Report, space: Space, said: &mut Said) -> Vec<Line> {
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
        // The value and the limit of a gate that passes are in the columns.
        if gate.last.is_some_and(|phase| phase != Phase::Pass) && !said.holds(message) {
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

fn waits(run: &str, report: &Report, space: Space, said: &mut Said) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut commands = Vec::new();
    let mut awaited = Vec::new();
    for wait in &report.waits {
        let until = wait.until.map(|until| time::between(report.at, until));
        let left = until.map_or_else(String::new, |left| {
            format!(" ({} left)", time::duration(left))
        });
        let new = said.rest(&wait.why);
        if new.is_empty() && awaited.contains(&&wait.what) {
            continue;
        }
        awaited.push(&wait.what);
        said.note(&wait.why);
        let why = if new.is_empty() {
            new
        } else {
            format!(": {new}")
        };
        let text = format!("waits for {}{why}{left}", wait.what);
        for (index, text) in wrap(&text, space.width.saturating_sub(4))
            .into_iter()
            .enumerate()
        {
            let mark = if index == 0 { "  > " } else { "    " };
            lines.push(Line::default().add(mark, Tone::Busy).add(text, Tone::Plain));
        }
        if let Some(unblock) = wait
            .unblock
            .as_ref()
            .filter(|unblock| !commands.contains(unblock))
        {
            commands.push(unblock);
            lines.push(
                Line::default().add(format!("    {}", unblock.replace("RUN", run)), Tone::Strong),
            );
        }
    }
    if !lines.is_empty() {
        lines.insert(0, Line::default());
    }
    lines
}

fn next(run: &str, report: &Report) -> Vec<Line> {
    let shown: Vec<_> = report
        .waits
        .iter()
        .filter_map(|wait| wait.unblock.as_deref())
        .collect();
    let mut lines: Vec<Line> = report
        .next
        .iter()
        .filter(|command| !shown.contains(&command.as_str()))
        .map(|command| {
            Line::default()
                .add("  next: ", Tone::Dim)
                .add(command.replace("RUN", run), Tone::Strong)
        })
        .collect();
    if !lines.is_empty() {
        lines.insert(0, Line::default());
    }
    lines
}
