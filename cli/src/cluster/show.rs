//! A release of a cluster on one screen, and releases as a table.

use canary_controller::api::{GateStatus, NodeStatus, Release, ReleasePhase, ReleaseStatus};
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::view::span::{Line, Tone, cut, wrap};
use crate::view::time;

/// The word for a phase, and its tone.
pub(super) fn phase(status: Option<&ReleaseStatus>) -> (&'static str, Tone) {
    match status.and_then(|status| status.phase) {
        None => ("unseen", Tone::Dim),
        Some(ReleasePhase::Idle) => ("idle", Tone::Dim),
        Some(ReleasePhase::Progressing) => ("progressing", Tone::Busy),
        Some(ReleasePhase::Paused) => ("paused", Tone::Warn),
        Some(ReleasePhase::Waiting) => ("waiting", Tone::Warn),
        Some(ReleasePhase::Blocked) => ("blocked", Tone::Warn),
        Some(ReleasePhase::Baking) => ("baking", Tone::Busy),
        Some(ReleasePhase::RollingBack) => ("rolling back", Tone::Bad),
        Some(ReleasePhase::Promoted) => ("promoted", Tone::Good),
        Some(ReleasePhase::Completed) => ("completed", Tone::Good),
        Some(ReleasePhase::RolledBack) => ("rolled back", Tone::Bad),
        Some(ReleasePhase::Aborted) => ("aborted", Tone::Bad),
        Some(ReleasePhase::Held) => ("held", Tone::Bad),
        Some(ReleasePhase::Failed) => ("failed", Tone::Bad),
    }
}

/// Everything about one release, in `width` columns.
pub(super) fn screen(release: &Release, now: Timestamp, width: usize, wide: bool) -> Vec<Line> {
    let name = super::full_name(release);
    let Some(status) = &release.status else {
        return vec![
            Line::default().column(&name, Tone::Strong, 12).add("unseen", Tone::Dim),
            Line::default().add("  no controller has looked at it yet; `kubectl -n canary-system get pods` shows whether one runs", Tone::Warn),
        ];
    };
    let mut lines = head(&name, release, status, now, width);
    if !status.nodes.is_empty() {
        lines.push(Line::default());
        lines.extend(status.nodes.iter().map(|node| node_line(node, width)));
    }
    lines.extend(gates(&status.gates, width, wide));
    lines.extend(waits(&name, status, now, width));
    if wide && !status.history.is_empty() {
        lines.push(Line::default());
        for past in &status.history {
            let at = past.ended_at.map_or_else(String::new, |at| at.to_string());
            let line = Line::default()
                .add("  ", Tone::Dim)
                .column(&past.run, Tone::Plain, past.run.len() + 2)
                .column(&past.outcome, Tone::Plain, 13)
                .column(at, Tone::Dim, 22);
            let room = width.saturating_sub(line.text().chars().count());
            lines.push(line.add(cut(&past.why, room), Tone::Dim));
        }
    }
    lines
}

fn head(
    name: &str,
    release: &Release,
    status: &ReleaseStatus,
    now: Timestamp,
    width: usize,
) -> Vec<Line> {
    let (word, tone) = phase(Some(status));
    let mut first = Line::default()
        .column(name, Tone::Strong, name.len() + 2)
        .add(word, tone);
    if let Some(weight) = status.weight {
        first = first
            .add("  canary gets ", Tone::Plain)
            .add(format!("{weight} %"), Tone::Strong);
        if let Some(desired) = status.desired_weight.filter(|desired| *desired != weight) {
            first = first.add(format!(" (going to {desired} %)"), Tone::Warn);
        }
    }
    if let Some(started) = status.started_at {
        let took = time::duration(time::between(started, status.ended_at.unwrap_or(now)));
        first = first.add(format!("  after {took}"), Tone::Dim);
    }
    let mut lines = vec![first];
    let mut say = |text: &str, tone: Tone| {
        let wrapped = wrap(text, width.saturating_sub(2));
        lines.extend(
            wrapped
                .into_iter()
                .map(|text| Line::default().add(format!("  {text}"), tone)),
        );
    };
    if let Some(why) = &status.why {
        say(
            why,
            if matches!(tone, Tone::Bad | Tone::Warn) {
                tone
            } else {
                Tone::Plain
            },
        );
    }
    if let Some(problem) = &status.traffic_problem {
        say(problem, Tone::Warn);
    }
    let not_ready = status
        .conditions
        .iter()
        .find(|c| c.type_ == "Ready" && c.status == "False");
    if let Some(condition) = not_ready {
        say(
            &format!("{}: {}", condition.reason, condition.message),
            Tone::Bad,
        );
    }
    if status.observed_generation.is_some()
        && status.observed_generation != release.metadata.generation
    {
        say(
            "the Release was changed and no controller has looked at that yet",
            Tone::Warn,
        );
    }
    lines
}

fn node_line(node: &NodeStatus, width: usize) -> Line {
    let (glyph, tone) = match node.status.as_str() {
        "completed" => ("✔", Tone::Good),
        "failed" => ("✘", Tone::Bad),
        "timed-out" => ("⏱", Tone::Bad),
        "running" => ("●", Tone::Busy),
        "ready" => ("○", Tone::Busy),
        "waiting" => ("?", Tone::Warn),
        "in-doubt" => ("‽", Tone::Warn),
        "blocked" => ("!", Tone::Warn),
        "cancelled" => ("×", Tone::Warn),
        "skipped" => ("-", Tone::Dim),
        _ => ("·", Tone::Dim),
    };
    let line = Line::default()
        .add(format!("  {glyph} "), tone)
        .column(cut(&node.id, 30), Tone::Plain, 32)
        .column(cut(&node.action, 24), Tone::Dim, 26);
    let room = width.saturating_sub(line.text().chars().count());
    line.add(cut(node.reason.as_deref().unwrap_or_default(), room), tone)
}

fn gates(gates: &[GateStatus], width: usize, wide: bool) -> Vec<Line> {
    if gates.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![
        Line::default(),
        Line::default()
            .column("  GATE", Tone::Dim, 32)
            .column("VALUE", Tone::Dim, 12)
            .column("LIMIT", Tone::Dim, 18)
            .add("VERDICT", Tone::Dim),
    ];
    for gate in gates {
        let tone = match gate.verdict.as_str() {
            "pass" => Tone::Good,
            "fail" => Tone::Bad,
            "running" => Tone::Busy,
            _ => Tone::Warn,
        };
        lines.push(
            Line::default()
                .column(format!("  {}", cut(&gate.name, 28)), Tone::Plain, 32)
                .column(gate.value.as_deref().unwrap_or("-"), tone, 12)
                .column(cut(&gate.limit, 16), Tone::Plain, 18)
                .add(gate.verdict.clone(), tone),
        );
        let shown = wide || matches!(tone, Tone::Bad | Tone::Warn);
        if let Some(message) = gate.message.as_ref().filter(|_| shown) {
            lines.push(Line::default().add(
                format!("      {}", cut(message, width.saturating_sub(6))),
                tone,
            ));
        }
    }
    lines
}

fn waits(name: &str, status: &ReleaseStatus, now: Timestamp, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for wait in &status.waits {
        let left = wait.until.map_or_else(String::new, |until| {
            format!(" ({} left)", time::duration(time::between(now, until)))
        });
        let text = format!("waits for {}: {}{left}", wait.what, wait.why);
        for (place, text) in wrap(&text, width.saturating_sub(4)).into_iter().enumerate() {
            let mark = if place == 0 { "  > " } else { "    " };
            lines.push(Line::default().add(mark, Tone::Busy).add(text, Tone::Plain));
        }
        if let Some(unblock) = &wait.unblock {
            lines.push(Line::default().add(
                format!("    {}", unblock.replace("RUN", name)),
                Tone::Strong,
            ));
        }
    }
    for next in &status.next {
        let told = status
            .waits
            .iter()
            .any(|wait| wait.unblock.as_ref() == Some(next));
        if !told {
            lines.push(
                Line::default()
                    .add("  next: ", Tone::Dim)
                    .add(next.replace("RUN", name), Tone::Strong),
            );
        }
    }
    if !lines.is_empty() {
        lines.insert(0, Line::default());
    }
    lines
}

/// Releases, one per line.
pub(super) fn table(releases: &[Release], now: Timestamp, width: usize, spaces: bool) -> Vec<Line> {
    let longest = |of: &dyn Fn(&Release) -> usize, least: usize| {
        releases.iter().map(of).max().unwrap_or(0).max(least) + 2
    };
    let space_width = longest(
        &|release| release.namespace().map_or(0, |name| name.len()),
        9,
    );
    let name_width = longest(&|release| release.name_any().len(), 4);
    let mut header = Line::default();
    if spaces {
        header = header.column("NAMESPACE", Tone::Dim, space_width);
    }
    let mut lines = vec![
        header
            .column("NAME", Tone::Dim, name_width)
            .column("PHASE", Tone::Dim, 14)
            .column("STEP", Tone::Dim, 14)
            .column("WEIGHT", Tone::Dim, 8)
            .column("AGE", Tone::Dim, 10)
            .add("WHY", Tone::Dim),
    ];
    lines.extend(releases.iter().map(|release| {
        row(
            release,
            now,
            width,
            spaces.then_some(space_width),
            name_width,
        )
    }));
    lines
}

/// One line of the table.
pub(super) fn row(
    release: &Release,
    now: Timestamp,
    width: usize,
    space_width: Option<usize>,
    name_width: usize,
) -> Line {
    let status = release.status.as_ref();
    let (word, tone) = phase(status);
    let mut line = Line::default();
    if let Some(space_width) = space_width {
        line = line.column(
            release.namespace().unwrap_or_default(),
            Tone::Plain,
            space_width,
        );
    }
    let weight = status
        .and_then(|status| status.weight)
        .map_or_else(|| "-".to_owned(), |weight| format!("{weight} %"));
    let age = release
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or_else(String::new, |at| time::duration(time::between(at.0, now)));
    let step = status.and_then(|status| status.step.clone());
    let line = line
        .column(release.name_any(), Tone::Strong, name_width)
        .column(word, tone, 14)
        .column(cut(step.as_deref().unwrap_or("-"), 12), Tone::Plain, 14)
        .column(weight, Tone::Plain, 8)
        .column(age, Tone::Plain, 10);
    let room = width.saturating_sub(line.text().chars().count()).max(20);
    let why = status
        .and_then(|status| status.why.clone())
        .unwrap_or_default();
    line.add(cut(&why, room), Tone::Plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::span::render;

    fn release(status: &str) -> Release {
        serde_saphyr::from_str(&format!(
            "{{apiVersion: canary.internal/v1alpha1, kind: Release,
              metadata: {{name: checkout, namespace: shop, creationTimestamp: '2026-01-01T00:00:00Z'}},
              spec: {{target: {{name: checkout}}, traffic: {{router: replicas}}, strategy: {{steps: [{{weight: 100}}]}}}}{status}}}"
        ))
        .expect("a Release")
    }

    const BLOCKED: &str = ", status: {phase: Blocked, step: check_10, weight: 10, desiredWeight: 50, why: no evidence for errors, \
        startedAt: '2026-01-01T00:00:00Z', \
        nodes: [{id: canary_10, action: set weight 10, status: completed}, {id: check_10, action: analyze 1 gate, status: blocked}], \
        gates: [{name: errors, limit: < 1 %, verdict: inconclusive, message: no data}], \
        waits: [{what: a person, why: nobody knows, until: '2026-01-01T00:06:00Z', unblock: canary promote RUN}], \
        next: [canary promote RUN, canary abort RUN]}";

    fn now() -> Timestamp {
        "2026-01-01T00:05:00Z".parse().expect("a time")
    }

    #[test]
    fn a_screen_says_what_is_waited_for_and_what_to_run() {
        let text = render(&screen(&release(BLOCKED), now(), 100, false), false);
        for part in [
            "release/checkout  blocked  canary gets 10 % (going to 50 %)  after 5 min",
            "no evidence for errors",
            "! check_10",
            "errors",
            "no data",
            "waits for a person: nobody knows (1 min left)",
            "    canary promote release/checkout",
            "  next: canary abort release/checkout",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert_eq!(text.matches("canary promote").count(), 1, "{text}");
    }

    #[test]
    fn a_release_that_nobody_has_seen_says_so() {
        let text = render(&screen(&release(""), now(), 100, false), false);
        assert!(
            text.contains("no controller has looked at it yet"),
            "{text}"
        );
        let text = render(&table(&[release("")], now(), 100, true), false);
        assert!(text.contains("shop") && text.contains("unseen"), "{text}");
    }
}
