//! `canary report -o html`: one file that can be sent and kept. No script, nothing fetched, readable on dark and light.

use std::fmt::Write as _;

use canary_analyzer::gate::Verdict;
use canary_analyzer::unit::Quantity;
use canary_orchestrator::machine::{GateReport, NodePhase, Report};

use super::safe;
use super::status::{node_glyph, phase_word};
use super::time;

const STYLE: &str = "\
:root{color-scheme:light dark;--good:#1a7f37;--bad:#cf222e;--warn:#9a6700;--dim:#6e7781;--line:#d0d7de;--card:#f6f8fa}\
@media(prefers-color-scheme:dark){:root{--good:#3fb950;--bad:#f85149;--warn:#d29922;--dim:#8b949e;--line:#30363d;--card:#161b22}}\
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}\
.outcome{display:inline-block;padding:.1rem .6rem;border-radius:1rem;background:var(--dim);font-weight:600}\
.outcome.good{background:var(--good)}.outcome.bad{background:var(--bad)}.outcome.warn{background:var(--warn)}\
.outcome,.outcome.good,.outcome.bad,.outcome.warn{color:#fff}\
.headline{font-size:1.15rem;border-left:4px solid var(--line);padding:.5rem 1rem;background:var(--card)}\
table{border-collapse:collapse;width:100%}th{text-align:left;color:var(--dim);font-weight:500}\
td,th{padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}\
.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}.dim{color:var(--dim)}\
code,.mono{font-family:ui-monospace,monospace;font-size:.9em}svg{display:block}";

/// One event of the run, for the list at the end.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// When.
    pub(crate) at: jiff::Timestamp,
    /// What, in one line.
    pub(crate) text: String,
}

/// The whole page.
pub(crate) fn page(run: &str, report: &Report, entries: &[Entry]) -> String {
    let mut body = String::new();
    head(&mut body, run, report);
    gates(&mut body, report);
    nodes(&mut body, report);
    log(&mut body, entries);
    let title = format!("{run}: {}", phase_word(report));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>{}</title><style>{STYLE}</style></head><body>{body}</body></html>\n",
        escape(&title)
    )
}

fn head(body: &mut String, run: &str, report: &Report) {
    let class = match report.outcome {
        Some(outcome) if outcome.exit_code() == 0 => "good",
        Some(_) => "bad",
        None => "warn",
    };
    add(
        body,
        format_args!(
            "<h1>{} <span class=\"outcome {class}\">{}</span></h1>",
            escape(run),
            phase_word(report)
        ),
    );
    add(
        body,
        format_args!(
            "<p class=\"dim\">{} of {}",
            escape(&report.name),
            escape(&report.service)
        ),
    );
    if let Some(started) = report.started_at {
        let end = report.ended_at.unwrap_or(report.at);
        let took = time::duration(time::between(started, end));
        add(
            body,
            format_args!(", {} UTC, {took}", started.strftime("%Y-%m-%d %H:%M:%S")),
        );
    }
    add(
        body,
        format_args!("</p><p class=\"headline\">{}</p>", escape(&report.headline)),
    );
    if let Some(cost) = report.cost {
        add(
            body,
            format_args!(
                "<p>The canary answered <b>{}</b> requests, <b>{}</b> of them badly.</p>",
                cost.requests, cost.bad
            ),
        );
    }
    for command in &report.next {
        add(
            body,
            format_args!(
                "<p>Next: <code>{}</code></p>",
                escape(&command.replace("RUN", run))
            ),
        );
    }
}

fn gates(body: &mut String, report: &Report) {
    if report.gates.is_empty() {
        return;
    }
    body.push_str("<h2>Gates</h2><table><tr><th>Gate<th>Last value<th>Limit<th>Passed<th>Failed<th>Inconclusive<th>Errors<th>Trend</tr>");
    for gate in &report.gates {
        let class = match gate.verdict {
            Verdict::Pass => "good",
            Verdict::Fail => "bad",
            Verdict::Inconclusive | Verdict::Error => "warn",
            Verdict::Running => "dim",
        };
        let value = gate.value.map_or_else(
            || "-".to_owned(),
            |value| Quantity::new(value, gate.unit).human(4),
        );
        add(
            body,
            format_args!(
                "<tr><td>{}<td class=\"{class}\">{}<td class=\"mono\">{}<td>{}<td>{}<td>{}<td>{}<td>{}</tr>",
                escape(&gate.name),
                escape(&value),
                escape(&gate.limit),
                gate.passed,
                gate.failed,
                gate.inconclusive,
                gate.errors,
                trend(gate)
            ),
        );
        if let Some(message) = &gate.message {
            add(
                body,
                format_args!(
                    "<tr><td colspan=\"8\" class=\"{class}\">{}{}</tr>",
                    if gate.pending_until.is_some() {
                        "pending: "
                    } else {
                        ""
                    },
                    escape(message)
                ),
            );
        }
    }
    body.push_str("</table>");
}

/// The measured values as a line; where nothing was measured the line has a gap.
fn trend(gate: &GateReport) -> String {
    const WIDTH: f64 = 160.0;
    const HEIGHT: f64 = 28.0;
    let top = gate
        .history
        .iter()
        .flatten()
        .copied()
        .fold(0.0, f64::max)
        .max(f64::MIN_POSITIVE);
    #[expect(clippy::cast_precision_loss, reason = "at most 60 values")]
    let step = WIDTH / (gate.history.len().max(2) - 1) as f64;
    let mut path = String::new();
    let mut x = 0.0;
    let mut down = false;
    for value in &gate.history {
        if let Some(value) = value {
            let y = HEIGHT - 2.0 - value / top * (HEIGHT - 4.0);
            add(
                &mut path,
                format_args!("{}{x:.1} {y:.1}", if down { "L" } else { "M" }),
            );
        }
        down = value.is_some();
        x += step;
    }
    format!(
        "<svg width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"trend\"><path d=\"{path}\" fill=\"none\" stroke=\"currentColor\"/></svg>"
    )
}

fn nodes(body: &mut String, report: &Report) {
    body.push_str("<h2>Graph</h2><table><tr><th><th>Node<th>Does<th>Took<th>Why</tr>");
    for node in &report.nodes {
        let class = match node.status {
            NodePhase::Completed => "good",
            NodePhase::Failed | NodePhase::TimedOut => "bad",
            NodePhase::Pending | NodePhase::Skipped => "dim",
            NodePhase::Ready
            | NodePhase::Waiting
            | NodePhase::Running
            | NodePhase::InDoubt
            | NodePhase::Cancelled
            | NodePhase::Blocked => "warn",
        };
        let took = node.started_at.map_or_else(String::new, |started| {
            time::duration(time::between(started, node.ended_at.unwrap_or(report.at)))
        });
        let why = node.reason.clone().unwrap_or_else(|| node.purpose.clone());
        add(
            body,
            format_args!(
                "<tr class=\"{class}\"><td>{}<td>{}<td>{}<td>{took}<td>{}</tr>",
                node_glyph(node.status).0,
                escape(&node.id),
                escape(&node.action),
                escape(&why)
            ),
        );
    }
    body.push_str("</table>");
}

fn log(body: &mut String, entries: &[Entry]) {
    body.push_str("<h2>What happened (UTC)</h2><table>");
    for entry in entries {
        add(
            body,
            format_args!(
                "<tr><td class=\"mono dim\">{}<td>{}</tr>",
                time::clock(entry.at),
                escape(&entry.text)
            ),
        );
    }
    body.push_str("</table>");
}

fn add(text: &mut String, piece: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ok = text.write_fmt(piece);
}

fn escape(text: &str) -> String {
    safe::line(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("<script>\"&'"), "&lt;script&gt;&quot;&amp;&#39;");
        assert_eq!(escape("a\x1b\u{202e}b"), "a\\x1b\\u{202e}b");
    }
}
