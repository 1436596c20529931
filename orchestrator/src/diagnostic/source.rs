//! Source files and places in them.

use std::fmt;

/// Which of the inputs of a run a value was written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The workflow file.
    Workflow,
    /// The profile file (`--profile`).
    Profile,
    /// The command line (`--set`).
    CommandLine,
    /// Nowhere: a default.
    #[default]
    Default,
}

impl Origin {
    /// What people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workflow => "workflow",
            Self::Profile => "profile",
            Self::CommandLine => "command line",
            Self::Default => "default",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place in a source file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Which input.
    pub origin: Origin,
    /// First byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
    /// Line of the first byte, from 1; 0 for a default, which is written nowhere.
    pub line: u32,
    /// Column of the first byte in characters, from 1; 0 for a default.
    pub column: u32,
}

/// A value and where it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written; its `origin` says in which input.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value written at `span`.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// A value that nobody wrote.
    pub fn by_default(value: T) -> Self {
        Self {
            value,
            span: Span::default(),
        }
    }

    /// Whether somebody wrote it.
    pub fn is_written(&self) -> bool {
        self.span.origin != Origin::Default
    }

    /// The same place with another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned {
            value: f(self.value),
            span: self.span,
        }
    }

    /// The same place with a reference to the value.
    pub fn as_ref(&self) -> Spanned<&T> {
        Spanned {
            value: &self.value,
            span: self.span,
        }
    }
}

impl Spanned<String> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.value
    }
}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// A file as it was read.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Name as the user gave it.
    pub name: String,
    /// The whole text.
    pub text: String,
}

impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceFile")
            .field("name", &self.name)
            .field("bytes", &self.text.len())
            .finish()
    }
}

impl SourceFile {
    /// A file with this name and text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    /// The place of these bytes. Offsets beyond the end, or inside a character, are moved back to the nearest boundary.
    pub fn span(&self, origin: Origin, start: usize, end: usize) -> Span {
        let start = self.boundary(start);
        let end = self.boundary(end.max(start));
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Span {
            origin,
            start,
            end,
            line: to_u32(before.bytes().filter(|b| *b == b'\n').count()).saturating_add(1),
            column: to_u32(
                before[line_start..]
                    .chars()
                    .filter(|c| *c != '\u{feff}')
                    .count(),
            )
            .saturating_add(1),
        }
    }

    /// The place of `start..end` (bytes of the value) inside a text that was written in this file, for errors inside of an
    /// expression. Where escapes or folding make that place unknown, the place of the whole text.
    pub fn inside(&self, text: &Spanned<String>, start: usize, end: usize) -> Span {
        let written = self
            .text
            .get(text.span.start..text.span.end)
            .unwrap_or_default();
        match written.find(&text.value) {
            Some(at) if !text.value.is_empty() && start <= end && end <= text.value.len() => {
                let base = text.span.start + at;
                self.span(text.span.origin, base + start, base + end)
            }
            _ => text.span,
        }
    }

    /// The line that holds this byte, without its end, and the offset of its first byte.
    pub(crate) fn line_at(&self, offset: usize) -> (usize, &str) {
        let offset = self.boundary(offset);
        let start = self.text[..offset].rfind('\n').map_or(0, |at| at + 1);
        let end = self.text[offset..]
            .find('\n')
            .map_or(self.text.len(), |at| offset + at);
        (start, self.text[start..end].trim_end_matches('\r'))
    }

    /// The nearest character boundary at or before this byte.
    fn boundary(&self, offset: usize) -> usize {
        let mut at = offset.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

pub(crate) fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
