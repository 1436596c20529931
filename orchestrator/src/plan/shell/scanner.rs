//! Commands, words, redirections and here-documents.

use std::collections::BTreeSet;
use std::ops::Range;

use super::inspect::{self, Stage, Word};
use crate::plan::reference::{self, Plain, Reference};
use crate::plan::script::{PlainUse, ScriptError};

/// What came out of a script.
#[derive(Debug)]
pub(crate) struct Scan {
    /// The script for the shell.
    pub(crate) text: String,
    /// Variable and what it holds.
    pub(crate) references: Vec<(String, Reference)>,
    /// Variables that the script expands itself.
    pub(crate) uses: Vec<PlainUse>,
    /// Variables that it sets.
    pub(crate) assigned: BTreeSet<String>,
    /// It reads other files of commands.
    pub(crate) sources_others: bool,
    /// Why it is refused.
    pub(crate) errors: Vec<ScriptError>,
}

/// Reads a script.
pub(crate) fn scan(source: &str, bash: bool) -> Scan {
    let mut scanner = Scanner::new(source, bash);
    scanner.commands(false);
    scanner.bodies();
    if scanner.heredocs.iter().any(|h| !h.read) {
        scanner.unclear("a here-document has no body");
    }
    let mut errors = scanner.errors;
    if let Some((at, what)) = scanner.unclear
        && !scanner.places.is_empty()
    {
        errors.push(ScriptError {
            start: at,
            end: source.floor_char_boundary((at + 1).min(source.len())),
            message: format!(
                "unsafe interpolation: it is not clear how this command is quoted, because {what}"
            ),
            help: "close it, or set the value with `env:` and use the variable of the shell"
                .to_owned(),
        });
    }
    errors.sort_by_key(|error| (error.start, error.end));
    errors.dedup_by_key(|error| (error.start, error.end));
    Scan {
        text: scanner.out,
        references: scanner.references,
        uses: scanner.uses,
        assigned: scanner.assigned,
        sources_others: scanner.sources_others,
        errors,
    }
}

/// How text is quoted where a reference stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoting {
    None,
    Double,
    Single,
    HereDocument,
}

/// A place where no quoting helps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forbidden {
    pub(super) why: &'static str,
    pub(super) help: &'static str,
}

pub(super) const ARITHMETIC: Forbidden = Forbidden {
    why: "a shell evaluates the value as an arithmetic expression, which may run commands",
    help: "compute outside of `$((...))`, or check the value first: `n={{x}}; case $n in *[!0-9]*) exit 1;; esac; echo $((n + 1))`",
};

/// Deeper nesting of substitutions is refused.
const DEEPEST: usize = 40;

pub(super) struct Scanner<'a> {
    pub(super) src: &'a str,
    pub(super) bash: bool,
    pub(super) at: usize,
    /// Nothing is read beyond this byte (the end of a here-document's body).
    pub(super) limit: usize,
    pub(super) out: String,
    pub(super) references: Vec<(String, Reference)>,
    /// Where references stand.
    pub(super) places: Vec<Range<usize>>,
    pub(super) uses: Vec<PlainUse>,
    pub(super) assigned: BTreeSet<String>,
    pub(super) sources_others: bool,
    pub(super) errors: Vec<ScriptError>,
    pub(super) unclear: Option<(usize, &'static str)>,
    pub(super) forbidden: Option<Forbidden>,
    heredocs: Vec<HereDoc>,
    pub(super) depth: usize,
}

struct HereDoc {
    delimiter: String,
    strip_tabs: bool,
    quoted: bool,
    read: bool,
    /// Who reads it, if that is something that runs it.
    reader: Option<String>,
    /// References in its body, as indices of places.
    references: Range<usize>,
}

/// What the next word is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Command,
    Arguments,
    ForName,
    ForIn,
    CaseSubject,
    CaseIn,
    Pattern,
    FunctionName,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Redirect {
    Target,
    HereString,
}

struct Frame {
    stage: Stage,
    pipeline: Vec<Stage>,
    expect: Expect,
    redirect: Option<Redirect>,
    cases: usize,
    /// First place inside of each open `{`, `if`, `while`, `for`, `case`.
    groups: Vec<usize>,
    /// Here-documents of this pipeline: index and stage.
    heredocs: Vec<(usize, usize)>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(src: &'a str, bash: bool) -> Self {
        Self {
            src,
            bash,
            at: 0,
            limit: src.len(),
            out: String::with_capacity(src.len() + 64),
            references: Vec::new(),
            places: Vec::new(),
            uses: Vec::new(),
            assigned: BTreeSet::new(),
            sources_others: false,
            errors: Vec::new(),
            unclear: None,
            forbidden: None,
            heredocs: Vec::new(),
            depth: 0,
        }
    }

    pub(super) fn rest(&self) -> &'a str {
        self.src.get(self.at..self.limit).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.byte(0)
    }

    pub(super) fn byte(&self, ahead: usize) -> Option<u8> {
        self.rest().as_bytes().get(ahead).copied()
    }

    /// Copies `bytes` bytes, or the rest if there are fewer; never splits a character.
    pub(super) fn copy(&mut self, bytes: usize) {
        let mut end = (self.at + bytes).min(self.limit);
        while !self.src.is_char_boundary(end) {
            end += 1;
        }
        self.out.push_str(&self.src[self.at..end]);
        self.at = end;
    }

    pub(super) fn unclear(&mut self, what: &'static str) {
        let at = self.at;
        self.unclear.get_or_insert((at, what));
    }

    pub(super) fn refuse(&mut self, place: Range<usize>, why: &str, help: &str) {
        self.errors.push(ScriptError {
            start: place.start,
            end: place.end,
            message: format!("unsafe interpolation: {why}"),
            help: help.to_owned(),
        });
    }

    /// Commands up to the end, or up to a `)` that is not copied.
    pub(super) fn commands(&mut self, until_parenthesis: bool) {
        if !self.descend() {
            return;
        }
        let mut frame = Frame {
            stage: Stage::default(),
            pipeline: Vec::new(),
            expect: Expect::Command,
            redirect: None,
            cases: 0,
            groups: Vec::new(),
            heredocs: Vec::new(),
        };
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' => self.copy(1),
                b'\\' if self.byte(1) == Some(b'\n') => self.copy(2),
                b'\n' => {
                    let continues = !frame.pipeline.is_empty() && frame.stage.words.is_empty();
                    if !continues {
                        self.end_pipeline(&mut frame, true);
                    }
                    self.copy(1);
                    self.bodies();
                }
                b'#' => {
                    let length = self.rest().find('\n').unwrap_or(self.rest().len());
                    self.copy(length);
                }
                b';' => {
                    self.end_pipeline(&mut frame, false);
                    self.copy(1);
                    let case_ends = matches!(self.peek(), Some(b';' | b'&'));
                    while matches!(self.peek(), Some(b';' | b'&')) {
                        self.copy(1);
                    }
                    if case_ends && frame.cases > 0 {
                        frame.expect = Expect::Pattern;
                    }
                }
                b'&' if self.byte(1) == Some(b'>') => {
                    self.copy(2);
                    if self.peek() == Some(b'>') {
                        self.copy(1);
                    }
                    frame.redirect = Some(Redirect::Target);
                }
                b'&' => {
                    self.end_pipeline(&mut frame, false);
                    self.copy(if self.byte(1) == Some(b'&') { 2 } else { 1 });
                }
                b'|' if frame.expect == Expect::Pattern => self.copy(1),
                b'|' if self.byte(1) == Some(b'|') => {
                    self.end_pipeline(&mut frame, false);
                    self.copy(2);
                }
                b'|' => {
                    self.copy(if self.byte(1) == Some(b'&') { 2 } else { 1 });
                    frame.pipeline.push(std::mem::take(&mut frame.stage));
                    frame.expect = Expect::Command;
                }
                b'(' => self.parenthesis(&mut frame),
                b')' if frame.expect == Expect::Pattern => {
                    self.copy(1);
                    frame.expect = Expect::Command;
                }
                b')' if until_parenthesis => break,
                b')' => {
                    self.unclear("a `)` closes nothing");
                    self.copy(1);
                }
                b'<' | b'>' => self.redirection(&mut frame),
                _ => {
                    let word = self.word();
                    let descriptor = word.is_number() && matches!(self.peek(), Some(b'<' | b'>'));
                    if !descriptor {
                        self.accept(&mut frame, word);
                    }
                }
            }
        }
        self.end_pipeline(&mut frame, false);
        self.depth -= 1;
    }

    /// One level deeper, unless that is too deep.
    pub(super) fn descend(&mut self) -> bool {
        if self.depth >= DEEPEST {
            self.errors.push(ScriptError {
                start: self.at,
                end: self
                    .src
                    .floor_char_boundary((self.at + 2).min(self.src.len())),
                message: format!("substitutions are nested deeper than {DEEPEST} levels"),
                help: "put the inner part into a file of its own".to_owned(),
            });
            self.at = self.limit;
            return false;
        }
        self.depth += 1;
        true
    }

    fn end_pipeline(&mut self, frame: &mut Frame, newline: bool) {
        let waits = matches!(frame.expect, Expect::Pattern | Expect::CaseIn)
            || (newline && frame.expect == Expect::ForIn);
        if waits {
            return;
        }
        frame.pipeline.push(std::mem::take(&mut frame.stage));
        for stage in &frame.pipeline {
            inspect::assignments(stage, &mut self.assigned, &mut self.sources_others);
        }
        for problem in inspect::pipeline(&frame.pipeline) {
            let place = self.places[problem.place].clone();
            self.refuse(place, &problem.why, &problem.help);
        }
        for (document, stage) in std::mem::take(&mut frame.heredocs) {
            let reader = frame.pipeline[stage.min(frame.pipeline.len() - 1)..]
                .iter()
                .find_map(inspect::runs_its_input);
            self.heredocs[document].reader = reader;
            self.check_reader(document);
        }
        frame.pipeline.clear();
        frame.redirect = None;
        frame.expect = Expect::Command;
    }

    fn check_reader(&mut self, document: usize) {
        let HereDoc {
            reader, references, ..
        } = &self.heredocs[document];
        let Some(reader) = reader.clone() else { return };
        for place in references.clone() {
            let place = self.places[place].clone();
            let why = format!("`{reader}` would run the value as commands");
            self.refuse(place, &why, inspect::AS_ARGUMENT);
        }
    }

    fn parenthesis(&mut self, frame: &mut Frame) {
        if frame.expect == Expect::Pattern {
            return self.copy(1);
        }
        if frame.expect == Expect::Arguments && self.byte(1) == Some(b')') {
            self.copy(2);
            frame.stage = Stage::default();
            frame.expect = Expect::Command;
            return;
        }
        let first = self.places.len();
        let arithmetic = self.byte(1) == Some(b'(');
        if arithmetic && self.bash {
            self.copy(2);
            self.arithmetic();
        } else {
            let outer = self.forbidden;
            if arithmetic {
                self.forbidden = Some(ARITHMETIC);
            }
            self.copy(1);
            self.commands(true);
            self.close(b')', "a `(` is not closed");
            self.forbidden = outer;
        }
        frame
            .stage
            .words
            .push(Word::opaque(first..self.places.len()));
        frame.expect = Expect::Arguments;
    }

    /// Copies the closing character, which must be there.
    pub(super) fn close(&mut self, byte: u8, what: &'static str) {
        if self.peek() == Some(byte) {
            self.copy(1);
        } else {
            self.unclear(what);
        }
    }

    fn redirection(&mut self, frame: &mut Frame) {
        let rest = self.rest();
        if rest.starts_with("<(") || rest.starts_with(">(") {
            let first = self.places.len();
            self.copy(2);
            self.commands(true);
            self.close(b')', "a `(` is not closed");
            let word = Word::opaque(first..self.places.len());
            return self.accept(frame, word);
        }
        if rest.starts_with("<<<") {
            self.copy(3);
            frame.redirect = Some(Redirect::HereString);
            return;
        }
        if rest.starts_with("<<") {
            return self.here_document(frame);
        }
        self.copy(1);
        while matches!(self.peek(), Some(b'<' | b'>' | b'&' | b'|')) {
            self.copy(1);
        }
        frame.redirect = Some(Redirect::Target);
    }

    fn here_document(&mut self, frame: &mut Frame) {
        self.copy(2);
        let strip_tabs = self.peek() == Some(b'-');
        if strip_tabs {
            self.copy(1);
        }
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.copy(1);
        }
        let start = self.at;
        let mut delimiter = String::new();
        let mut quoted = false;
        let mut quote = None;
        while let Some(byte) = self.peek() {
            match (quote, byte) {
                (None, b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')') => {
                    break;
                }
                (None, b'\'' | b'"') => {
                    quote = Some(byte);
                    quoted = true;
                    self.copy(1);
                }
                (Some(open), _) if open == byte => {
                    quote = None;
                    self.copy(1);
                }
                (None, b'\\') => {
                    quoted = true;
                    self.copy(1);
                }
                _ => {
                    let from = self.at;
                    self.copy(1);
                    delimiter.push_str(&self.src[from..self.at]);
                }
            }
        }
        if delimiter.is_empty() || delimiter.contains("{{") || delimiter.contains('$') {
            self.at = start.max(self.at);
            self.unclear("the end of a here-document cannot be recognized");
        }
        frame
            .heredocs
            .push((self.heredocs.len(), frame.pipeline.len()));
        self.heredocs.push(HereDoc {
            delimiter,
            strip_tabs,
            quoted,
            read: false,
            reader: None,
            references: 0..0,
        });
    }

    /// The bodies of all here-documents that were announced on the line before.
    fn bodies(&mut self) {
        for document in 0..self.heredocs.len() {
            if self.heredocs[document].read || self.at >= self.limit {
                continue;
            }
            self.heredocs[document].read = true;
            let mut end = self.at;
            let mut found = None;
            for line in self.rest().split_inclusive('\n') {
                let text = line.trim_end_matches('\n');
                let here = &self.heredocs[document];
                let text = if here.strip_tabs {
                    text.trim_start_matches('\t')
                } else {
                    text
                };
                if text == here.delimiter {
                    found = Some(line.len());
                    break;
                }
                end += line.len();
            }
            let first = self.places.len();
            let outer = self.limit;
            self.limit = end;
            self.body(self.heredocs[document].quoted);
            self.limit = outer;
            self.heredocs[document].references = first..self.places.len();
            self.check_reader(document);
            match found {
                Some(length) => self.copy(length),
                None => self.unclear("a here-document is not ended by its delimiter"),
            }
        }
    }

    fn body(&mut self, quoted: bool) {
        let outer = self.forbidden;
        if quoted {
            self.forbidden = Some(Forbidden {
                why: "nothing is expanded in a here-document whose delimiter is quoted",
                help: "write the delimiter without quotes (and `\\$` for each literal `$` in the text)",
            });
        }
        let mut word = Word::default();
        while let Some(byte) = self.peek() {
            match byte {
                b'\\' if self.rest().starts_with("\\{{") => self.escaped_braces(&mut word),
                b'\\' if !quoted => self.copy(2),
                b'`' if !quoted => self.backticks(),
                b'$' if !quoted => self.dollar(Quoting::HereDocument, &mut word),
                b'{' | b'$' if self.reference(Quoting::HereDocument, &mut word) => {}
                _ => self.copy(1),
            }
        }
        self.forbidden = outer;
    }

    /// `\{{` where the shell would keep the backslash.
    pub(super) fn escaped_braces(&mut self, word: &mut Word) {
        self.at += 1;
        self.copy(2);
        word.text.push_str("{{");
    }

    fn word(&mut self) -> Word {
        let first = self.places.len();
        let mut word = Word::default();
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')' => break,
                b'\\' => {
                    let from = self.at + 1;
                    self.copy(2);
                    word.quoted = true;
                    word.text
                        .push_str(self.src.get(from..self.at).unwrap_or_default());
                }
                b'\'' => self.single_quotes(&mut word),
                b'"' => self.double_quotes(&mut word),
                b'`' => {
                    self.backticks();
                    word.text.push(inspect::EXPANSION);
                }
                b'$' => self.dollar(Quoting::None, &mut word),
                b'{' if self.reference(Quoting::None, &mut word) => {}
                _ => {
                    let from = self.at;
                    self.copy(1);
                    word.text.push_str(&self.src[from..self.at]);
                }
            }
        }
        word.places = first..self.places.len();
        word
    }

    fn accept(&mut self, frame: &mut Frame, word: Word) {
        if let Some(redirect) = frame.redirect.take() {
            if redirect == Redirect::HereString {
                frame.stage.input.extend(word.places);
            }
            return;
        }
        let keyword = if word.quoted { "" } else { word.text.as_str() };
        frame.expect = match (frame.expect, keyword) {
            (Expect::Command, "if" | "while" | "until" | "{") => {
                frame.groups.push(self.places.len());
                Expect::Command
            }
            (Expect::Command, "then" | "else" | "elif" | "do" | "!" | "time")
            | (Expect::ForIn, "do")
            | (Expect::FunctionName, _) => Expect::Command,
            (Expect::Command, "for" | "select") => {
                frame.groups.push(self.places.len());
                Expect::ForName
            }
            (Expect::Command, "case") => {
                frame.groups.push(self.places.len());
                frame.cases += 1;
                Expect::CaseSubject
            }
            (Expect::Command, "function") => Expect::FunctionName,
            (Expect::Command, "fi" | "done" | "}") => self.end_group(frame),
            (Expect::Command | Expect::Pattern, "esac") => {
                frame.cases = frame.cases.saturating_sub(1);
                self.end_group(frame)
            }
            (Expect::Command, _) if word.is_assignment() => {
                frame.stage.words.push(word);
                Expect::Command
            }
            (Expect::Command | Expect::Arguments, _) => {
                frame.stage.words.push(word);
                Expect::Arguments
            }
            (Expect::ForName, name) => {
                self.assigned.insert(name.to_owned());
                Expect::ForIn
            }
            // The items of a loop are no command.
            (Expect::ForIn, _) => {
                frame.stage.words.push(Word::opaque(0..0));
                Expect::Arguments
            }
            (Expect::CaseSubject, _) => Expect::CaseIn,
            (Expect::CaseIn | Expect::Pattern, _) => Expect::Pattern,
        };
    }

    fn end_group(&mut self, frame: &mut Frame) -> Expect {
        let first = frame.groups.pop().unwrap_or(self.places.len());
        frame
            .stage
            .words
            .push(Word::opaque(first..self.places.len()));
        Expect::Arguments
    }

    /// Rewrites the reference that begins here, if one does.
    pub(super) fn reference(&mut self, quoting: Quoting, word: &mut Word) -> bool {
        match reference::at(&self.src[..self.limit], self.at, Plain::Shell) {
            None => false,
            Some(Err(error)) => {
                let end = error.end;
                self.errors.push(ScriptError {
                    start: error.start,
                    end,
                    message: error.message,
                    help: error.help,
                });
                self.copy(end - self.at);
                true
            }
            Some(Ok((reference, end))) => {
                let place = self.at..end;
                self.at = end;
                if let Some(forbidden) = self.forbidden {
                    self.refuse(place.clone(), forbidden.why, forbidden.help);
                }
                let variable = self.variable(reference);
                let text = match quoting {
                    Quoting::None => format!("\"${{{variable}}}\""),
                    Quoting::Double | Quoting::HereDocument => format!("${{{variable}}}"),
                    Quoting::Single => format!("'\"${{{variable}}}\"'"),
                };
                self.out.push_str(&text);
                self.places.push(place);
                word.text.push(inspect::REFERENCE);
                true
            }
        }
    }

    /// The variable that holds a reference: `REF_` and its name, unlike anything in the script.
    fn variable(&mut self, reference: Reference) -> String {
        if let Some((name, _)) = self
            .references
            .iter()
            .find(|(_, known)| *known == reference)
        {
            return name.clone();
        }
        let base: String = reference
            .to_string()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .take(60)
            .collect();
        let base = format!("REF_{base}");
        let mut name = base.clone();
        let mut number = 1;
        while self.src.contains(name.as_str()) || self.references.iter().any(|(n, _)| *n == name) {
            number += 1;
            name = format!("{base}_{number}");
        }
        self.references.push((name.clone(), reference));
        name
    }
}
