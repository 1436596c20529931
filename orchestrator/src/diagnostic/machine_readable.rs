//! Diagnostics for programs: JSON, SARIF 2.1.0 and GitHub workflow commands.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Diagnostic, Diagnostics, Severity, SourceFile, Span, codes};

/// An object with `errors`, `warnings` (counts) and `diagnostics` (a list). Lines and columns count from 1, columns in characters,
/// offsets in bytes.
pub fn to_json(diagnostics: &Diagnostics) -> Value {
    let (errors, warnings) = diagnostics.counts();
    let list: Vec<Value> = diagnostics
        .sorted()
        .into_iter()
        .map(|d| {
            json!({
                "severity": d.severity.as_str(),
                "code": d.code,
                "message": d.message,
                "file": d.file.name,
                "span": span_json(&d.file, d.span),
                "label": d.label,
                "help": d.help,
                "related": d.related.iter().map(|r| json!({
                    "file": r.file.name,
                    "span": span_json(&r.file, r.span),
                    "message": r.text,
                })).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "errors": errors, "warnings": warnings, "diagnostics": list })
}

fn span_json(file: &SourceFile, span: Span) -> Value {
    if span.line == 0 {
        return Value::Null;
    }
    let (end_line, end_column) = end_of(file, span);
    json!({
        "start": span.start, "end": span.end, "line": span.line, "column": span.column,
        "end_line": end_line, "end_column": end_column,
    })
}

/// Line and column after the last character. What follows the last visible character of a block does not count.
fn end_of(file: &SourceFile, span: Span) -> (u32, u32) {
    let written = file.text.get(span.start..span.end).unwrap_or_default();
    let end = file.span(span.origin, span.start + written.trim_end().len(), span.end);
    (end.line, end.column)
}

/// A SARIF 2.1.0 log with one run (<https://docs.oasis-open.org/sarif/sarif/v2.1.0/>).
pub fn to_sarif(diagnostics: &Diagnostics, tool_version: &str) -> Value {
    let shown = diagnostics.sorted();
    let used: Vec<&codes::CodeInfo> = codes::ALL
        .iter()
        .filter(|info| shown.iter().any(|d| d.code == info.code))
        .collect();
    let rules: Vec<Value> = used
        .iter()
        .map(|info| json!({ "id": info.code, "shortDescription": { "text": info.explanation } }))
        .collect();
    let results: Vec<Value> = shown
        .into_iter()
        .map(|d| {
            let mut result = json!({
                "ruleId": d.code,
                "level": d.severity.as_str(),
                "message": { "text": with_help(d) },
                "locations": [location(&d.file, d.span, None)],
            });
            if let Some(index) = used.iter().position(|info| info.code == d.code) {
                result["ruleIndex"] = index.into();
            }
            if !d.related.is_empty() {
                result["relatedLocations"] = d
                    .related
                    .iter()
                    .map(|r| location(&r.file, r.span, Some(&r.text)))
                    .collect();
            }
            result
        })
        .collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "canary", "version": tool_version, "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn location(file: &SourceFile, span: Span, message: Option<&str>) -> Value {
    let mut location =
        json!({ "physicalLocation": { "artifactLocation": { "uri": uri(&file.name) } } });
    if span.line > 0 {
        let (end_line, end_column) = end_of(file, span);
        location["physicalLocation"]["region"] = json!({
            "startLine": span.line, "startColumn": span.column, "endLine": end_line, "endColumn": end_column,
            "byteOffset": span.start, "byteLength": span.end - span.start,
        });
    }
    if let Some(message) = message {
        location["message"] = json!({ "text": message });
    }
    location
}

/// A path as a URI reference: SARIF wants one, and a space or a percent sign in a name is not.
fn uri(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(byte as char);
            }
            b'\\' => out.push('/'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

fn with_help(d: &Diagnostic) -> String {
    let mut text = d.message.clone();
    for help in &d.help {
        let _ = write!(text, "\nhelp: {help}");
    }
    text
}

/// Workflow commands that GitHub shows as annotations of the changed lines
/// (<https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions>).
pub fn to_github(diagnostics: &Diagnostics) -> String {
    let mut out = String::new();
    for d in diagnostics.sorted() {
        let command = match d.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let _ = write!(out, "::{command} file={}", property(&d.file.name));
        if d.span.line > 0 {
            let (end_line, end_column) = end_of(&d.file, d.span);
            let _ = write!(out, ",line={},col={}", d.span.line, d.span.column);
            // GitHub refuses columns when the lines differ.
            if end_line == d.span.line {
                let _ = write!(out, ",endLine={end_line},endColumn={end_column}");
            }
        }
        let _ = writeln!(out, ",title={}::{}", property(d.code), data(&with_help(d)));
    }
    out
}

fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
