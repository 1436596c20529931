//! Reading a node's runtime, with all problems told at their place.

use std::collections::BTreeMap;
use std::time::Duration;

use canary_analyzer::duration;

use super::Compiler;
use super::frame::Frame;
use super::names::{At, Place};
use crate::diagnostic::{SourceFile, Span, Spanned, codes, quote};
use crate::node::spec::ProcessSpec;
use crate::osop::model::Node;
use crate::osop::runtime::{Runtime, WrongType};
use crate::osop::tree::{Data, Value};
use crate::plan::template::{Namespace, Part, Reference, ReferenceError, Template};

/// A node while it is compiled.
#[derive(Clone, Copy)]
pub(super) struct Cx<'f> {
    pub(super) frame: &'f Frame<'f>,
    pub(super) local: usize,
    pub(super) node: &'f Node,
    /// Its own, or what `nodes` of the settings puts in its place.
    pub(super) runtime: &'f Runtime,
    pub(super) replaced: bool,
}

impl Cx<'_> {
    pub(super) fn place<'p>(&'p self, at: At<'p>) -> Place<'p> {
        Place {
            frame: self.frame,
            local: self.local,
            at,
        }
    }

    /// For messages.
    pub(super) fn what(&self) -> String {
        format!("node {}", quote(&self.node.id.value))
    }

    /// Where to point when something is missing in the runtime.
    pub(super) fn span(&self) -> Span {
        if self.replaced {
            self.runtime.span.unwrap_or(self.node.id.span)
        } else {
            self.node.id.span
        }
    }

    /// The first text of the runtime that holds these letters.
    pub(super) fn runtime_place(&self, letters: &str) -> Span {
        fn find(value: &Value, letters: &str) -> Option<Span> {
            match &value.data {
                Data::Text(text) => text.contains(letters).then_some(value.span),
                Data::List(items) => items.iter().find_map(|item| find(item, letters)),
                Data::Map(map) => map.iter().find_map(|(_, value)| find(value, letters)),
                Data::Null | Data::Bool(_) | Data::Number(_) => None,
            }
        }
        let found = self
            .runtime
            .map
            .iter()
            .find_map(|(_, value)| find(value, letters));
        found.unwrap_or_else(|| self.span())
    }

    pub(super) fn declares(&self, output: &str) -> bool {
        self.node
            .outputs
            .iter()
            .any(|port| port.name.value == output)
    }
}

/// The place of `start..end` of a value in its file; for a text of several lines at least the right line.
pub(super) fn inside(file: &SourceFile, text: &Spanned<&str>, start: usize, end: usize) -> Span {
    let owned = Spanned::new(text.value.to_owned(), text.span);
    let exact = file.inside(&owned, start, end);
    if exact != text.span || !text.value.contains('\n') {
        return exact;
    }
    let line_start = text
        .value
        .get(..start)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |at| at + 1);
    let line = text
        .value
        .get(line_start..)
        .and_then(|rest| rest.lines().next())
        .unwrap_or_default();
    let written = file
        .text
        .get(text.span.start..text.span.end)
        .unwrap_or_default();
    match written.find(line) {
        Some(at) if !line.trim().is_empty() => {
            let base = text.span.start + at;
            let stop = (end.saturating_sub(line_start)).min(line.len());
            file.span(
                text.span.origin,
                base + (start - line_start).min(line.len()),
                base + stop,
            )
        }
        _ => text.span,
    }
}

impl Compiler<'_> {
    pub(super) fn take<T>(
        &mut self,
        cx: Cx<'_>,
        key: &str,
        read: Result<Option<T>, WrongType>,
    ) -> Option<T> {
        match read {
            Ok(value) => value,
            // A value that could not be read was reported there.
            Err(wrong) if self.d.any_error_within(wrong.span) => None,
            Err(wrong) => {
                let message = format!(
                    "`runtime.{key}` of {} must be {}, found {}",
                    cx.what(),
                    wrong.expected,
                    wrong.found
                );
                self.d.error(codes::WRONG_TYPE, wrong.span, message);
                None
            }
        }
    }

    pub(super) fn text<'f>(&mut self, cx: Cx<'f>, key: &str) -> Option<Spanned<&'f str>> {
        self.take(cx, key, cx.runtime.get_str(key))
            .filter(|text| !text.value.trim().is_empty())
    }

    pub(super) fn flag(&mut self, cx: Cx<'_>, key: &str) -> bool {
        self.take(cx, key, cx.runtime.get_bool(key))
            .is_some_and(|flag| flag.value)
    }

    /// The text of the first of these keys that is there.
    pub(super) fn any_text<'f>(&mut self, cx: Cx<'f>, keys: &[&str]) -> Option<Spanned<&'f str>> {
        keys.iter().find_map(|key| self.text(cx, key))
    }

    /// A text that must be there.
    pub(super) fn need<'f>(
        &mut self,
        cx: Cx<'f>,
        keys: &[&str],
        example: &str,
    ) -> Option<Spanned<&'f str>> {
        let errors = self.d.errors();
        let found = self.any_text(cx, keys);
        let told = |key: &&str| {
            let value = cx.runtime.get(key);
            value.is_some_and(|value| self.d.any_error_within(value.span))
        };
        if found.is_none() && self.d.errors() == errors && !keys.iter().any(told) {
            let key = keys.first().copied().unwrap_or_default();
            self.d
                .error(
                    codes::MISSING_KEY,
                    cx.span(),
                    format!("{} has no `runtime.{key}`", cx.what()),
                )
                .help(format!("add under `runtime`: {example}"));
        }
        found
    }

    pub(super) fn texts<'f>(&mut self, cx: Cx<'f>, key: &str) -> Vec<Spanned<&'f str>> {
        match cx.runtime.get_str_list(key) {
            Ok(list) => list,
            Err(wrong) => {
                self.take::<()>(cx, key, Err(wrong));
                Vec::new()
            }
        }
    }

    /// A text with its references resolved.
    pub(super) fn template(&mut self, cx: Cx<'_>, text: Spanned<&str>) -> Option<Template> {
        self.template_with(cx, text, |_| None)
    }

    /// The same; `own` answers for names that mean something only here.
    pub(super) fn template_with(
        &mut self,
        cx: Cx<'_>,
        text: Spanned<&str>,
        own: impl Fn(&Reference) -> Option<Part>,
    ) -> Option<Template> {
        match Template::parse(text.value) {
            Ok(template) => Some(template.replaced(|reference| {
                if reference.namespace == Namespace::Name
                    && let Some(part) = own(reference)
                {
                    return vec![part];
                }
                let start = text.value.find(reference.head()).unwrap_or(0);
                let end = (start + reference.head().len()).min(text.value.len());
                self.resolve(cx.place(At::Inside(text, start, end)), reference)
            })),
            Err(error) => {
                self.reference_error(text, &error);
                None
            }
        }
    }

    pub(super) fn reference_error(&mut self, text: Spanned<&str>, error: &ReferenceError) {
        let file = self.d.file(text.span.origin);
        let span = inside(&file, &text, error.start, error.end);
        self.d
            .error(codes::INVALID_REFERENCE, span, error.message.clone())
            .help(error.help.clone());
    }

    /// Names and texts of a mapping.
    pub(super) fn templates(&mut self, cx: Cx<'_>, key: &str) -> BTreeMap<String, Template> {
        let mut templates = BTreeMap::new();
        let Some(map) = self.take(cx, key, cx.runtime.get_map(key)) else {
            return templates;
        };
        for (name, value) in map.value.iter() {
            if let Some(template) = self.scalar(cx, value, &format!("{key}.{}", name.value)) {
                templates.insert(name.value.clone(), template);
            }
        }
        templates
    }

    /// Text, number or boolean as a template.
    pub(super) fn scalar(&mut self, cx: Cx<'_>, value: &Value, key: &str) -> Option<Template> {
        if let Some(text) = value.as_scalar_text() {
            self.template(cx, Spanned::new(text, value.span))
        } else {
            let message = format!(
                "`runtime.{key}` of {} must be a text, found {}",
                cx.what(),
                value.kind()
            );
            self.d.error(codes::WRONG_TYPE, value.span, message);
            None
        }
    }

    /// Names and `$.path`s of a mapping.
    pub(super) fn mapping(&mut self, cx: Cx<'_>, key: &str) -> BTreeMap<String, String> {
        let Some(map) = self.take(cx, key, cx.runtime.get_map(key)) else {
            return BTreeMap::new();
        };
        let mut paths = BTreeMap::new();
        for (name, value) in map.value.iter() {
            if let Some(path) = value.as_text() {
                paths.insert(name.value.clone(), path.to_owned());
            } else {
                let message = format!(
                    "`runtime.{key}` of {} maps an output to a path like `$.data.id`",
                    cx.what()
                );
                self.d.error(codes::WRONG_TYPE, value.span, message);
            }
        }
        paths
    }

    /// A duration: a text like `5m`, or seconds.
    pub(super) fn duration(&mut self, cx: Cx<'_>, key: &str) -> Option<Spanned<Duration>> {
        let text = self.text(cx, key)?;
        match duration::parse_or_seconds(text.value) {
            Ok(duration) => Some(Spanned::new(duration, text.span)),
            Err(error) => {
                self.d.error(
                    codes::INVALID_DURATION,
                    text.span,
                    format!("`runtime.{key}` of {}: {error}", cx.what()),
                );
                None
            }
        }
    }

    /// What a process is started with.
    pub(super) fn process(&mut self, cx: Cx<'_>) -> ProcessSpec {
        let directory = self.any_text(cx, &["working_directory", "dir"]);
        let mut environment = BTreeMap::new();
        for (name, value) in &cx.frame.workflow.env {
            if let Some(template) = self.template(cx, Spanned::new(&value.value, value.span)) {
                environment.insert(name.value.clone(), template);
            }
        }
        for key in ["env", "environment"] {
            // `environment: staging` of a deployment is a word, not a mapping.
            if let Some(map) = cx.runtime.get(key).and_then(Value::as_map) {
                for (name, value) in map.iter() {
                    self.check_inline_secret(
                        &name.value,
                        value.as_text().unwrap_or_default(),
                        value.span,
                    );
                }
                environment.extend(self.templates(cx, key));
            }
        }
        ProcessSpec {
            working_directory: directory.and_then(|text| self.template(cx, text)),
            environment,
            success_codes: self.codes(cx),
            output_mapping: self.mapping(cx, "output_mapping"),
        }
    }

    fn codes(&mut self, cx: Cx<'_>) -> Vec<i32> {
        let mut codes = Vec::new();
        for code in self.texts(cx, "success_codes") {
            if let Ok(code) = code.value.parse() {
                codes.push(code);
            } else {
                let message = format!(
                    "`runtime.success_codes` of {} are whole numbers, found {}",
                    cx.what(),
                    quote(code.value)
                );
                self.d.error(codes::WRONG_TYPE, code.span, message);
            }
        }
        codes
    }
}
