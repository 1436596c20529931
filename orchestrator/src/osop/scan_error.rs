//! What the YAML parser says, in words that help.

use granit_parser::{ErrorKind, ScanError};

use super::load::MAX_DEPTH;
use crate::diagnostic::{Diagnostics, Origin, SourceFile, Span, codes};

pub(super) fn report_depth(span: Span, diagnostics: &mut Diagnostics) {
    diagnostics.error(
        codes::YAML_DEPTH,
        span,
        format!("lists and mappings are nested deeper than {MAX_DEPTH} levels"),
    );
}

pub(super) fn report_scan_error(
    file: &SourceFile,
    origin: Origin,
    error: &ScanError,
    diagnostics: &mut Diagnostics,
) {
    let marker = error.marker();
    let at = marker
        .byte_offset()
        .unwrap_or(file.text.len())
        .min(file.text.len());
    let width = file.text[file.span(origin, at, at).start..]
        .chars()
        .next()
        .map_or(0, char::len_utf8);
    let span = file.span(origin, at, at + width);
    let tab = tab_near(file, origin, at);
    let (code, message, help) = match error.kind() {
        ErrorKind::RecursionLimitExceeded => return report_depth(span, diagnostics),
        ErrorKind::UnknownAnchor => (
            codes::YAML_ALIAS,
            "this alias names no anchor (`&name`) before it".to_owned(),
            Some("a text that starts with `*` must be quoted"),
        ),
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => (
            codes::YAML_TAB,
            "a tab is used for indentation; YAML allows spaces only".to_owned(),
            Some("replace the tab by spaces"),
        ),
        kind if tab.is_some() => (
            codes::YAML_TAB,
            format!("{kind}; the line is indented with a tab, and YAML allows spaces only"),
            Some("replace the tab by spaces"),
        ),
        kind => (
            codes::YAML_SYNTAX,
            format!("not valid YAML: {kind}"),
            advice(kind),
        ),
    };
    let span = if code == codes::YAML_TAB {
        tab.unwrap_or(span)
    } else {
        span
    };
    let diagnostic = diagnostics.error(code, span, message);
    if let Some(help) = help {
        diagnostic.help(help);
    }
}

/// A tab in the indentation of the line of an error or of the next one: the parser notices it at the end of the text before.
fn tab_near(file: &SourceFile, origin: Origin, at: usize) -> Option<Span> {
    let (first_start, first) = file.line_at(at);
    let (second_start, second) = file.line_at(
        first_start + first.len() + file.text[first_start + first.len()..].find('\n')? + 1,
    );
    [(first_start, first), (second_start, second)]
        .into_iter()
        .find_map(|(start, line)| {
            let indentation = line.len() - line.trim_start().len();
            let tab = start + line[..indentation].find('\t')?;
            Some(file.span(origin, tab, tab + 1))
        })
}

/// What most often causes an error of the YAML parser.
fn advice(kind: &ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::MappingValueNotAllowed => {
            "a text that contains `: ` must be quoted; a key must be indented as far as its neighbours"
        }
        ErrorKind::InvalidColonPlacement => {
            "a text that contains `: ` must be quoted, and a `[` or `{` before must be closed"
        }
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::SimpleKeyExpected
        | ErrorKind::InvalidSimpleKey
        | ErrorKind::InvalidIndentation
        | ErrorKind::BlockSequenceEntryNotAllowed
        | ErrorKind::MappingKeyNotAllowed => {
            "check the indentation of this line and the one before: entries of one list or mapping start in the same column"
        }
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::InvalidQuotedScalarIndent
        | ErrorKind::UnexpectedEndOfPlainScalar => "a quote is opened before and not closed",
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator => {
            "a `[` or `{` is opened and not closed; a text that starts with one must be quoted"
        }
        ErrorKind::UnexpectedCharacter { .. } => {
            "a text that starts with `@`, '`' or `%` must be quoted"
        }
        ErrorKind::UnknownQuotedScalarEscape => {
            "in double quotes `\\` starts an escape; use single quotes, or write `\\\\`"
        }
        _ => return None,
    })
}
