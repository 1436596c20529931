//! Errors and warnings that point into a user's file.
//!
//! Everything that reads a file written by a person (workflow, profile, `--set`) reports through [`Diagnostics`]: all
//! problems of a file in one go, each with its place, what was expected and what to do. Pure: renderers return text,
//! only the command line prints it.

pub mod codes;
mod machine_readable;
mod source;
mod text;

pub use machine_readable::{to_github, to_json, to_sarif};
pub(crate) use source::to_u32;
pub use source::{Origin, SourceFile, Span, Spanned};
pub use text::{HumanOptions, quote, to_human, to_lines};

use std::fmt;
use std::sync::Arc;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably does not do what its author meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A second place that belongs to a diagnostic, for example where a name was first used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// The file that `span` points into.
    pub file: Arc<SourceFile>,
    /// The place.
    pub span: Span,
    /// What is there.
    pub text: String,
}

/// One error or warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Stable kebab-case name; [`codes::ALL`] explains it.
    pub code: &'static str,
    /// One sentence: what is wrong and what was expected.
    pub message: String,
    /// The file that `span` points into.
    pub file: Arc<SourceFile>,
    /// The place.
    pub span: Span,
    /// Short text at the place itself.
    pub label: Option<String>,
    /// What to do, one advice per entry.
    pub help: Vec<String>,
    /// Further places.
    pub related: Vec<Related>,
}

impl Diagnostic {
    /// Sets the short text shown at the place.
    pub fn label(&mut self, text: impl Into<String>) -> &mut Self {
        self.label = Some(text.into());
        self
    }

    /// Adds an advice.
    pub fn help(&mut self, text: impl Into<String>) -> &mut Self {
        self.help.push(text.into());
        self
    }

    /// Adds an advice if there is one (for did-you-mean).
    pub fn help_opt(&mut self, text: Option<String>) -> &mut Self {
        self.help.extend(text);
        self
    }

    /// Adds a second place in the same file; use [`Diagnostics::related`] when it may lie in another.
    pub fn related(&mut self, span: Span, text: impl Into<String>) -> &mut Self {
        let file = Arc::clone(&self.file);
        self.related.push(Related {
            file,
            span,
            text: text.into(),
        });
        self
    }

    fn order(&self) -> (&str, usize, usize, Severity, &str, &str) {
        (
            &self.file.name,
            self.span.start,
            self.span.end,
            self.severity,
            self.code,
            &self.message,
        )
    }
}

/// More than this many are counted, not kept: nobody reads them, and a hostile file must not cost memory.
pub const MAX_DIAGNOSTICS: usize = 500;

/// The problems found so far, and the files that they are in.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    files: Vec<(Origin, Arc<SourceFile>)>,
    list: Vec<Diagnostic>,
    errors_dropped: usize,
    warnings_dropped: usize,
    /// Bytes that excerpts must not show.
    secrets: Vec<(Arc<SourceFile>, std::ops::Range<usize>)>,
    /// Takes what is beyond the limit, so that callers can go on adding labels.
    overflow: Option<Box<Diagnostic>>,
}

impl Diagnostics {
    /// For problems in a workflow file.
    pub fn new(workflow: Arc<SourceFile>) -> Self {
        let mut all = Self::default();
        all.add_file(Origin::Workflow, workflow);
        all
    }

    /// An empty list for problems in the same files.
    pub(crate) fn sibling(&self) -> Self {
        Self {
            files: self.files.clone(),
            ..Self::default()
        }
    }

    /// Makes spans of this origin point into `file`. A later file of the same origin replaces an earlier one for what is reported
    /// from then on.
    pub fn add_file(&mut self, origin: Origin, file: Arc<SourceFile>) {
        self.files.retain(|(known, _)| *known != origin);
        self.files.push((origin, file));
    }

    /// The file that spans of this origin point into.
    pub fn file(&self, origin: Origin) -> Arc<SourceFile> {
        let found = self
            .files
            .iter()
            .find(|(known, _)| *known == origin)
            .or_else(|| self.files.first());
        found.map_or_else(
            || Arc::new(SourceFile::new("<none>", "")),
            |(_, file)| Arc::clone(file),
        )
    }

    /// Reports an error; the result takes label, help and related places.
    pub fn error(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.push(Severity::Error, code, span, message.into())
    }

    /// Reports a warning; the result takes label, help and related places.
    pub fn warning(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.push(Severity::Warning, code, span, message.into())
    }

    fn push(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: Span,
        message: String,
    ) -> &mut Diagnostic {
        let diagnostic = Diagnostic {
            severity,
            code,
            message,
            file: self.file(span.origin),
            span,
            label: None,
            help: Vec::new(),
            related: Vec::new(),
        };
        if self.list.len() >= MAX_DIAGNOSTICS {
            self.count_dropped(severity);
            return self.overflow.insert(Box::new(diagnostic));
        }
        let last = self.list.len();
        self.list.push(diagnostic);
        &mut self.list[last]
    }

    /// Keeps what is written at a place out of every excerpt: it is, or may be, a secret.
    pub fn redact(&mut self, span: Span) {
        self.secrets
            .push((self.file(span.origin), span.start..span.end));
    }

    /// What [`Self::redact`] named in this file.
    pub(crate) fn secrets_in<'a>(
        &'a self,
        file: &'a SourceFile,
    ) -> impl Iterator<Item = std::ops::Range<usize>> + 'a {
        let same = move |known: &Arc<SourceFile>| {
            std::ptr::eq(Arc::as_ptr(known), file) || **known == *file
        };
        self.secrets
            .iter()
            .filter(move |(known, _)| same(known))
            .map(|(_, range)| range.clone())
    }

    fn count_dropped(&mut self, severity: Severity) {
        match severity {
            Severity::Error => self.errors_dropped += 1,
            Severity::Warning => self.warnings_dropped += 1,
        }
    }

    /// Adds a place that may lie in another file to the diagnostic reported last.
    pub fn related(&mut self, span: Span, text: impl Into<String>) {
        let file = self.file(span.origin);
        if let Some(last) = self.list.last_mut() {
            last.related.push(Related {
                file,
                span,
                text: text.into(),
            });
        }
    }

    /// Takes over all that `other` holds, and its files where this one knows none.
    pub fn append(&mut self, other: Self) {
        for (origin, file) in other.files {
            if !self.files.iter().any(|(known, _)| *known == origin) {
                self.files.push((origin, file));
            }
        }
        self.errors_dropped += other.errors_dropped;
        self.warnings_dropped += other.warnings_dropped;
        self.secrets.extend(other.secrets);
        for diagnostic in other.list {
            if self.list.len() < MAX_DIAGNOSTICS {
                self.list.push(diagnostic);
            } else {
                self.count_dropped(diagnostic.severity);
            }
        }
    }

    /// In the order of the files, each once.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut all: Vec<&Diagnostic> = self.list.iter().collect();
        all.sort_by(|a, b| a.order().cmp(&b.order()));
        all.dedup_by(|a, b| a.order() == b.order());
        all
    }

    /// Whether anything makes the file unusable.
    pub fn has_errors(&self) -> bool {
        self.errors_dropped > 0 || self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Errors so far, with repetitions: whether there are more than before is whether something was refused since.
    pub(crate) fn errors(&self) -> usize {
        let kept = self.list.iter().filter(|d| d.severity == Severity::Error);
        kept.count() + self.errors_dropped
    }

    /// Whether an error was reported inside of a place.
    pub(crate) fn any_error_within(&self, place: Span) -> bool {
        self.list.iter().any(|d| {
            d.severity == Severity::Error
                && d.span.origin == place.origin
                && place.start <= d.span.start
                && d.span.end <= place.end
        })
    }

    /// Leaves out what was told before, for example of a profile that several workflows share.
    pub fn without(&mut self, told: &Self) {
        self.list.retain(|d| {
            let same = |other: &Diagnostic| other.order() == d.order() && *other.file == *d.file;
            !told.list.iter().any(same)
        });
    }

    /// Whether something of these codes was reported inside of a place.
    pub(crate) fn any_within(&self, place: Span, codes: &[&str]) -> bool {
        self.list.iter().any(|d| {
            d.span.origin == place.origin
                && place.start <= d.span.start
                && d.span.end <= place.end
                && codes.contains(&d.code)
        })
    }

    /// How many are kept, with repetitions.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Number of errors and of warnings, with those beyond [`MAX_DIAGNOSTICS`].
    pub fn counts(&self) -> (usize, usize) {
        let shown = self.sorted();
        let errors = shown
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .count();
        (
            errors + self.errors_dropped,
            shown.len() - errors + self.warnings_dropped,
        )
    }

    /// How many are beyond [`MAX_DIAGNOSTICS`].
    pub fn dropped(&self) -> usize {
        self.errors_dropped + self.warnings_dropped
    }
}

/// `did you mean ...?` for a word that is not among the known ones, if one is near.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|near| format!("did you mean {}?", quote(near)))
}

/// The known word nearest to `word`, if it is near enough to be a likely misspelling.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A long word costs quadratic time and is no misspelling of a key.
    if word.len() > 80 {
        return None;
    }
    let folded = fold(word);
    known
        .into_iter()
        .filter(|candidate| candidate.len() <= 80 && *candidate != word)
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&folded, &fold(candidate)),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= folded.len().max(candidate.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The known word that `word` is a slip of the finger away from, much nearer than [`nearest`] asks for: what was meant is then
/// known well enough to go on with it, so that one slip is told once and not again by everything that depends on it.
pub(crate) fn misspelt<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let near = nearest(word, known)?;
    let (word, folded) = (fold(word), fold(near));
    let slips = if folded.len() >= 6 { 2 } else { 1 };
    (strsim::damerau_levenshtein(&word, &folded) <= slips).then_some(near)
}

/// Case and separators do not count: `failureLimit`, `failure-limit` and `failure_limit` are one word to a person.
fn fold(word: &str) -> String {
    word.chars()
        .filter(|c| !matches!(c, '_' | '-' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests;
