//! Diagnostics for people: excerpts in the manner of rustc, and one line each.

use std::borrow::Cow;
use std::fmt::Write as _;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Diagnostics, Origin, Severity, SourceFile, Span};

/// How [`to_human`] looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HumanOptions {
    /// ANSI colours.
    pub color: bool,
    /// Columns of the terminal.
    pub width: usize,
    /// Show at most this many, then say how many more there are.
    pub limit: usize,
}

impl Default for HumanOptions {
    fn default() -> Self {
        Self {
            color: false,
            width: 120,
            limit: 50,
        }
    }
}

/// Source excerpts with labels, then a line that counts. Empty if there is nothing to say.
pub fn to_human(diagnostics: &Diagnostics, options: HumanOptions) -> String {
    let shown = diagnostics.sorted();
    if shown.is_empty() {
        return String::new();
    }
    let renderer = if options.color {
        Renderer::styled()
    } else {
        Renderer::plain()
    }
    .term_width(options.width.max(40));
    let mut out = String::new();
    // Errors first: they decide, and warnings must not push them out of the limit.
    let (errors, warnings): (Vec<_>, Vec<_>) =
        shown.iter().partition(|d| d.severity == Severity::Error);
    for diagnostic in errors.into_iter().chain(warnings).take(options.limit) {
        out.push_str(&renderer.render(&[group(diagnostic, diagnostics)]));
        out.push_str("\n\n");
    }
    let hidden = shown.len().saturating_sub(options.limit) + diagnostics.dropped();
    if hidden > 0 {
        let _ = writeln!(out, "... and {hidden} more");
    }
    let (errors, warnings) = diagnostics.counts();
    let _ = writeln!(
        out,
        "{}, {}",
        count(errors, "error"),
        count(warnings, "warning")
    );
    out
}

/// `file:line:column: severity: message [code]`, one line each, in the order of the file.
pub fn to_lines(diagnostics: &Diagnostics) -> String {
    let mut out = String::new();
    for d in diagnostics.sorted() {
        out.push_str(&place(&d.file, d.span));
        let _ = write!(out, ": {}: {}", d.severity, one_line(&d.message));
        let _ = writeln!(out, " [{}]", d.code);
    }
    out
}

fn place(file: &SourceFile, span: Span) -> String {
    if span.line == 0 {
        file.name.clone()
    } else {
        format!("{}:{}:{}", file.name, span.line, span.column)
    }
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

fn group<'a>(d: &'a Diagnostic, all: &Diagnostics) -> Group<'a> {
    let level = match d.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(one_line(&d.message)).id(d.code);
    let label = d.label.as_deref().map(one_line);
    let mut group = if d.span.origin == Origin::Default {
        let origin = annotate_snippets::Origin::path(d.file.name.as_str());
        let origin = if d.span.line == 0 {
            origin
        } else {
            origin
                .line(d.span.line as usize)
                .char_column(d.span.column as usize)
        };
        title.element(origin)
    } else {
        title.element(excerpt(
            &d.file,
            d.span,
            AnnotationKind::Primary,
            label,
            all,
        ))
    };
    for related in &d.related {
        // Without a message of its own a second excerpt reads as part of the first.
        let text = one_line(&related.text);
        if related.span.origin == Origin::Default {
            group = group.element(
                Level::NOTE.message(format!("{text} ({})", place(&related.file, related.span))),
            );
        } else {
            group = group.element(excerpt(
                &related.file,
                related.span,
                AnnotationKind::Context,
                Some(text),
                all,
            ));
        }
    }
    for help in &d.help {
        group = group.element(Level::HELP.message(multi_line(help)));
    }
    group
}

/// The line of a place, with the place marked. Only this line is given to the renderer, so that the cost does not grow with the file.
fn excerpt<'a>(
    file: &'a SourceFile,
    span: Span,
    kind: AnnotationKind,
    label: Option<String>,
    all: &Diagnostics,
) -> Snippet<'a, Annotation<'a>> {
    let (line_start, line) = file.line_at(span.start);
    let (line_start, line) = window(line_start, line, span.start);
    let start = span.start.saturating_sub(line_start).min(line.len());
    let end = span.end.saturating_sub(line_start).clamp(start, line.len());
    Snippet::source(masked(line, line_start, file, all))
        .line_start((span.line as usize).max(1))
        .path(file.name.as_str())
        .fold(false)
        .annotation(kind.span(start..end).label(label.map(Cow::Owned)))
}

/// A line of a megabyte is cut around the place. The column in the heading is then that of the cut.
fn window(line_start: usize, line: &str, at: usize) -> (usize, &str) {
    const AROUND: usize = 400;
    if line.len() <= 2 * AROUND {
        return (line_start, line);
    }
    let at = at.saturating_sub(line_start).min(line.len());
    let mut from = at.saturating_sub(AROUND);
    let mut to = (at + AROUND).min(line.len());
    while !line.is_char_boundary(from) {
        from -= 1;
    }
    while !line.is_char_boundary(to) {
        to -= 1;
    }
    (line_start + from, &line[from..to])
}

/// The line with `*` for every byte of a secret, so that places stay where they are.
fn masked<'a>(
    line: &'a str,
    line_start: usize,
    file: &SourceFile,
    all: &Diagnostics,
) -> Cow<'a, str> {
    let mut bytes: Option<Vec<u8>> = None;
    for secret in all.secrets_in(file) {
        let from = secret.start.saturating_sub(line_start).min(line.len());
        let to = secret.end.saturating_sub(line_start).min(line.len());
        if from < to {
            bytes.get_or_insert_with(|| line.as_bytes().to_vec())[from..to].fill(b'*');
        }
    }
    match bytes.map(String::from_utf8) {
        Some(Ok(masked)) => Cow::Owned(masked),
        // Half a character was masked; then nothing is shown.
        Some(Err(_)) => Cow::Owned("*".repeat(line.len())),
        None => Cow::Borrowed(line),
    }
}

/// Text of a user's file in a message: in backticks, without control characters, and not longer than a line bears.
pub fn quote(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut out = String::from("`");
    for (n, c) in text.chars().enumerate() {
        if n == LONGEST {
            out.push('…');
            break;
        }
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out.push('`');
    out
}

/// Control characters of a file must not reach a terminal.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn multi_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
        .collect()
}
