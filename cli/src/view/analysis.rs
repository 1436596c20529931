//! What `canary analyze` found, for people and for CI systems.

use std::fmt::Write as _;

use canary_analyzer::gate::{Gate, Measurement, Tally, Verdict};
use canary_analyzer::unit::Quantity;
use clap::ValueEnum;
use serde_json::json;

use super::safe;
use super::span::{Line, Tone, render};

/// How to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For a terminal
    #[default]
    Text,
    /// JSON
    Json,
    /// JUnit XML, which CI systems show
    Junit,
    /// A table for a pull request
    Markdown,
}

/// What became of one gate.
#[derive(Debug)]
pub(crate) struct Judged {
    /// Which.
    pub(crate) gate: Gate,
    /// Its counters.
    pub(crate) tally: Tally,
    /// Where it stands.
    pub(crate) verdict: Verdict,
    /// Its last measurement.
    pub(crate) last: Option<Measurement>,
}

impl Judged {
    fn value(&self) -> String {
        let value = self.last.as_ref().and_then(|last| last.value);
        value.map_or_else(
            || "-".to_owned(),
            |value| Quantity::new(value, self.gate.unit).human(4),
        )
    }

    fn message(&self) -> &str {
        self.last
            .as_ref()
            .map_or("not measured", |last| last.message.as_str())
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Running | Verdict::Inconclusive => "inconclusive",
        Verdict::Error => "error",
    }
}

/// All gates and the worst of them.
pub(crate) fn print(form: Form, judged: &[Judged], verdict: Verdict, color: bool) -> String {
    match form {
        Form::Text => text(judged, verdict, color),
        Form::Json => json(judged, verdict),
        Form::Junit => junit(judged),
        Form::Markdown => markdown(judged, verdict),
    }
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Pass => Tone::Good,
        Verdict::Fail => Tone::Bad,
        Verdict::Running | Verdict::Inconclusive | Verdict::Error => Tone::Warn,
    }
}

fn text(judged: &[Judged], verdict: Verdict, color: bool) -> String {
    let mut lines: Vec<Line> = judged
        .iter()
        .map(|one| {
            Line::default()
                .column(word(one.verdict), tone(one.verdict), 14)
                .add(one.message(), Tone::Plain)
        })
        .collect();
    lines.push(
        Line::default()
            .add("verdict: ", Tone::Plain)
            .add(word(verdict), tone(verdict)),
    );
    render(&lines, color)
}

fn json(judged: &[Judged], verdict: Verdict) -> String {
    let gates: Vec<_> = judged
        .iter()
        .map(|one| {
            json!({
                "gate": one.gate.name,
                "verdict": word(one.verdict),
                "limit": one.gate.limit(),
                "unit": one.gate.unit,
                "tally": one.tally,
                "measurement": one.last,
            })
        })
        .collect();
    serde_json::to_string_pretty(&json!({"verdict": word(verdict), "gates": gates}))
        .unwrap_or_default()
}

/// The elements that Jenkins, GitLab and GitHub's reporters read.
fn junit(judged: &[Judged]) -> String {
    let count =
        |wanted: fn(Verdict) -> bool| judged.iter().filter(|one| wanted(one.verdict)).count();
    let failures = count(|verdict| verdict == Verdict::Fail);
    let errors = count(|verdict| !matches!(verdict, Verdict::Pass | Verdict::Fail));
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"canary gates\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\">\n",
        judged.len()
    );
    for one in judged {
        let name = escape(&one.gate.name);
        let message = escape(one.message());
        let body = match one.verdict {
            Verdict::Pass => format!("<system-out>{message}</system-out>"),
            Verdict::Fail => format!("<failure message=\"{message}\"/>"),
            Verdict::Running | Verdict::Inconclusive | Verdict::Error => {
                format!(
                    "<error type=\"{}\" message=\"{message}\"/>",
                    word(one.verdict)
                )
            }
        };
        // Writing to a String cannot fail.
        let _ok = writeln!(
            xml,
            "    <testcase classname=\"canary\" name=\"{name}\">{body}</testcase>"
        );
    }
    xml.push_str("  </testsuite>\n</testsuites>");
    xml
}

fn markdown(judged: &[Judged], verdict: Verdict) -> String {
    let cell = |text: &str| {
        let text = safe::line(text);
        text.replace('|', "\\|").replace('<', "&lt;")
    };
    let mut table = format!(
        "**Gates: {}**\n\n| gate | verdict | value | limit | |\n|---|---|---|---|---|",
        word(verdict)
    );
    for one in judged {
        let _ok = write!(
            table,
            "\n| {} | {} | {} | {} | {} |",
            cell(&one.gate.name),
            word(one.verdict),
            cell(&one.value()),
            cell(&one.gate.limit()),
            cell(one.message())
        );
    }
    table
}

fn escape(text: &str) -> String {
    safe::line(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
