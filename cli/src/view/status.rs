//! A run on one screen: where it stands and why, the graph, the gates, what is waited for, what to run.

use canary_orchestrator::machine::{NodePhase, NodeReport, Report, RunPhase};

use super::gates::gates;
use super::said::Said;
use super::span::{Line, Tone, cut, wrap};
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

fn waits(run: &str, report: &Report, space: Space, said: &mut Said) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut commands = Vec::new();
    let mut awaited = Vec::new();
    for wait in &report.waits {
        let until = wait.until.map(|until| time::between(report.at, until));
        let left = until.map_or_else(String::new, |left| {
            format!(" ({} left)", time::duration(left))
        });
        // Several things that block say the same of one gate, a moment apart.
        let blocks = wait.what == "a decision";
        let new: Vec<_> = wait.why.split("; ").collect();
        let new: Vec<_> = new
            .into_iter()
            .filter(|clause| {
                let clause = clause.strip_prefix("guard ").unwrap_or(clause);
                // The row of the check says that it is blocked.
                let why = clause.split_once(" decided nothing: ").map(|(_, why)| why);
                let clause = why.unwrap_or(clause);
                !(blocks && said.holds_but_for_numbers(clause))
            })
            .collect();
        let new = said.rest(&new.join("; "));
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
