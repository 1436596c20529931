//! From text to a tree of values with places. Bounded in size, depth, number of values and what aliases repeat.

use std::sync::Arc;

use granit_parser::Parser;

use super::build::Builder;
use super::scan_error::report_scan_error;
use super::tree::Value;
use crate::diagnostic::{Diagnostics, Origin, SourceFile, Span, codes};

/// Longest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;
/// Most values of a file, with what aliases repeat.
pub const MAX_VALUES: usize = 200_000;
/// Most bytes of text, with what aliases repeat.
pub(super) const MAX_TEXT_BYTES: usize = 8 * 1024 * 1024;
/// Deepest nesting of lists and mappings.
pub const MAX_DEPTH: usize = 64;

/// Makes a source file of bytes as they were read. The error says why they are no text.
///
/// A reader may stop after [`MAX_FILE_BYTES`] + 1 bytes: longer files are refused anyway.
pub fn source_from_bytes(name: &str, bytes: Vec<u8>) -> Result<SourceFile, Box<Diagnostics>> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(Box::new(too_large(name)));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(SourceFile::new(name, text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let wide = matches!(error.as_bytes(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
            let file = Arc::new(SourceFile::new(
                name,
                String::from_utf8_lossy(error.as_bytes()).into_owned(),
            ));
            let mut diagnostics = Diagnostics::new(Arc::clone(&file));
            let span = file.span(Origin::Workflow, at, at + 1);
            diagnostics
                .error(
                    codes::NOT_UTF8,
                    span,
                    format!("the file is not UTF-8 text: byte {at} is not part of a character"),
                )
                .help(if wide {
                    "it looks like UTF-16; save it as UTF-8"
                } else {
                    "save the file as UTF-8"
                });
            Err(Box::new(diagnostics))
        }
    }
}

fn too_large(name: &str) -> Diagnostics {
    let mut diagnostics = Diagnostics::new(Arc::new(SourceFile::new(name, "")));
    report_too_large(&mut diagnostics);
    diagnostics
}

fn report_too_large(diagnostics: &mut Diagnostics) {
    diagnostics
        .error(codes::FILE_TOO_LARGE, Span::default(), format!("the file is larger than {} KiB", MAX_FILE_BYTES / 1024))
        .help("a workflow names scripts and data, it does not hold them: move them into files of their own");
}

/// Reads one YAML or JSON document. Nothing is returned if the text has no tree; duplicate keys and the like are reported, and the
/// tree is returned without them.
pub(crate) fn load(
    file: &SourceFile,
    origin: Origin,
    diagnostics: &mut Diagnostics,
) -> Option<Value> {
    if file.text.len() > MAX_FILE_BYTES {
        report_too_large(diagnostics);
        return None;
    }
    let options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        emit_comments: false,
    };
    let mut builder = Builder::new(origin, diagnostics);
    for event in Parser::new_from_str_with_options(&file.text, options) {
        match event {
            Ok((event, span)) => {
                if builder.event(event, span).is_err() {
                    return None;
                }
            }
            Err(error) => {
                report_scan_error(file, origin, &error, builder.diagnostics);
                return None;
            }
        }
    }
    let root = builder.root.take();
    match root {
        Some(root) if !root.is_null() => Some(root),
        _ => {
            let end = file.span(origin, 0, 0);
            diagnostics.error(
                codes::EMPTY_FILE,
                end,
                "the file is empty: it holds no mapping",
            );
            None
        }
    }
}
