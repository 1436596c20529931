//! Where in the arguments a problem is that was found in the workflow made of them: people are shown what they typed.

use std::sync::Arc;

use canary_orchestrator::diagnostic::{
    Diagnostic, Diagnostics, Origin, Severity, SourceFile, Span,
};

use super::gate_flag::GateFlag;

/// A piece of the workflow that came from an argument.
#[derive(Debug)]
struct Piece {
    /// Bytes of the workflow.
    start: usize,
    end: usize,
    /// Which gate.
    gate: usize,
    /// For each byte of the piece, the byte of the argument that it stands for; one more for its end.
    places: Vec<usize>,
}

/// The gates of the command line, and where they are in the workflow that was made of them.
#[derive(Debug)]
pub(super) struct Typed {
    arguments: Vec<Arc<SourceFile>>,
    pieces: Vec<Piece>,
}

impl Typed {
    /// Finds the gates in the workflow, which is JSON over several lines with its keys in order.
    pub(super) fn new(workflow: &str, gates: &[GateFlag]) -> Self {
        let several = gates.len() > 1;
        let arguments = gates
            .iter()
            .enumerate()
            .map(|(index, gate)| {
                let name = if several {
                    format!("--gate ({} of {})", index + 1, gates.len())
                } else {
                    "--gate".to_owned()
                };
                Arc::new(SourceFile::new(name, gate.typed()))
            })
            .collect();
        let mut pieces = Vec::new();
        let mut at = workflow.find("\"x-canary\"").unwrap_or_default();
        for (index, gate) in gates.iter().enumerate() {
            let measured = gate.measured_places();
            let name = vec![measured.first().copied().unwrap_or_default(); 1];
            let condition = gate.condition_places();
            let mut next = at;
            for (key, places) in [
                (gate.measured_key(), &measured),
                ("name", &name),
                ("success_condition", &condition),
            ] {
                let key = format!("\"{key}\": ");
                let Some(found) = workflow[at..].find(&key) else {
                    continue;
                };
                let start = at + found + key.len();
                let end = workflow[start..]
                    .find('\n')
                    .map_or(workflow.len(), |line| start + line);
                pieces.push(Piece {
                    start,
                    end,
                    gate: index,
                    places: through_json(&workflow[start..end], places),
                });
                next = next.max(end);
            }
            at = next;
        }
        Self { arguments, pieces }
    }

    /// The same problems, in what was typed. What is wrong with another flag is said without an excerpt.
    pub(super) fn point_at(&self, found: &Diagnostics) -> Diagnostics {
        let mut shown = Diagnostics::default();
        for problem in found.sorted() {
            let (file, span) = match problem.span.origin {
                Origin::Workflow => self.place(problem.span),
                _ => (Arc::clone(&problem.file), problem.span),
            };
            push(&mut shown, problem, file, span);
        }
        shown
    }

    fn place(&self, span: Span) -> (Arc<SourceFile>, Span) {
        let piece = self
            .pieces
            .iter()
            .find(|piece| piece.start <= span.start && span.start < piece.end);
        let found = piece.and_then(|piece| Some((piece, self.arguments.get(piece.gate)?)));
        let Some((piece, file)) = found else {
            let file = Arc::new(SourceFile::new("the command line", ""));
            return (file, Span::default());
        };
        let place = |offset: usize| {
            let last = piece.places.last().copied().unwrap_or_default();
            let at = offset.saturating_sub(piece.start);
            piece.places.get(at).copied().unwrap_or(last)
        };
        let (start, end) = (place(span.start), place(span.end));
        let span = file.span(Origin::Workflow, start, end.max(start));
        (Arc::clone(file), span)
    }
}

fn push(shown: &mut Diagnostics, problem: &Diagnostic, file: Arc<SourceFile>, span: Span) {
    shown.add_file(span.origin, file);
    let copy = match problem.severity {
        Severity::Error => shown.error(problem.code, span, problem.message.clone()),
        Severity::Warning => shown.warning(problem.code, span, problem.message.clone()),
    };
    copy.label.clone_from(&problem.label);
    copy.help = problem.help.iter().map(|help| as_flag(help)).collect();
}

/// The advice of a workflow, for whoever wrote none.
fn as_flag(help: &str) -> String {
    if help.contains("metrics:") && help.contains("preset:") {
        "`--preset NAME` says it (and `--parameter NAME=VALUE` what the preset needs)".to_owned()
    } else {
        help.to_owned()
    }
}

/// For each byte of a JSON value, the place that it stands for: `places` has one for each byte of the text in it. The quotes stand
/// for the text's ends.
fn through_json(json: &str, places: &[usize]) -> Vec<usize> {
    let last = places.last().copied().unwrap_or_default();
    let first = places.first().copied().unwrap_or_default();
    let mut through = vec![first];
    let mut letters = json.char_indices().skip(1).peekable();
    let mut at = 0;
    while let Some((start, letter)) = letters.next() {
        if letter == '"' {
            break;
        }
        if letter == '\\' {
            let escaped = letters.next().map(|(_, escaped)| escaped);
            if escaped == Some('u') {
                letters.by_ref().take(4).for_each(drop);
            }
        }
        let end = letters.peek().map_or(json.len(), |(next, _)| *next);
        let place = places.get(at).copied().unwrap_or(last);
        through.extend(std::iter::repeat_n(place, end - start));
        // An escape is one byte of the text; a letter is as long in both.
        at += if letter == '\\' { 1 } else { letter.len_utf8() };
    }
    through.push(last);
    through
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_escapes_do_not_move_places() {
        let text = r#"a"b\c"#;
        let json = serde_json::to_string(text).unwrap();
        assert_eq!(json, r#""a\"b\\c""#);
        let places: Vec<usize> = (10..=10 + text.len()).collect();
        let through = through_json(&json, &places);
        // " a \" b \\ c and the end
        assert_eq!(through, [10, 10, 11, 11, 12, 13, 13, 14, 15]);
    }
}
