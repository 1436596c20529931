//! Sub-workflows: `workflow_ref` and `workflow_inputs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Compiler;
use super::frame::Frame;
use super::read::Cx;
use super::words;
use crate::diagnostic::{Origin, SourceFile, codes, quote};
use crate::osop::{self, model::MAX_NODES};
use crate::plan::inputs::DEEPEST_CALL;
use crate::plan::template::Template;

impl Compiler<'_> {
    /// Adds the nodes of the sub-workflow that a node stands for.
    pub(super) fn call(&mut self, frame: &Frame<'_>, local: usize) {
        let node = frame.node(local);
        let settings = std::rc::Rc::clone(&self.settings);
        let Some(reference) = &node.workflow_ref else {
            return;
        };
        if settings.node_runtime(&frame.plan_id(local)).is_some() {
            return;
        }
        let from = self.calls.last().cloned().unwrap_or_default();
        let name = match self.inputs.sub_workflow(&from, &reference.value) {
            Ok(name) => name,
            Err(why) => {
                let message = format!(
                    "sub-workflow {} cannot be used: {why}",
                    quote(&reference.value)
                );
                self.d
                    .error(codes::UNSUITABLE_CALL, reference.span, message)
                    .help("move it below that directory, or allow it with `--allow-outside`");
                return;
            }
        };
        if self.calls.contains(&name) {
            let message = format!(
                "sub-workflow {} calls itself: {}",
                quote(&name),
                self.calls.join(" -> ")
            );
            self.d
                .error(codes::UNSUITABLE_CALL, reference.span, message);
            return;
        }
        if self.calls.len() > DEEPEST_CALL || self.nodes.len() > MAX_NODES {
            let message = format!(
                "sub-workflows are nested deeper than {DEEPEST_CALL}, or have more than {MAX_NODES} nodes together"
            );
            self.d
                .error(codes::UNSUITABLE_CALL, reference.span, message);
            return;
        }
        let Some(text) = self.inputs.files.get(&name) else {
            let message = format!("sub-workflow {} cannot be read", quote(&name));
            self.d
                .error(codes::UNSUITABLE_CALL, reference.span, message)
                .help("`workflow_ref` is a path, relative to the file that it is written in");
            return;
        };
        let mut inputs = self.call_inputs(frame, local);
        let (workflow, problems) = osop::parse(SourceFile::new(name.clone(), text.clone()));
        let outer: Arc<SourceFile> = self.d.file(Origin::Workflow);
        self.d.append(problems);
        let Some(workflow) = workflow else { return };
        for (variable, value) in workflow.variables.iter() {
            let text = words::written(value, &workflow.file.text)
                .or_else(|| words::variable(value).map(crate::plan::template::text_of));
            if let Some(text) = text {
                inputs
                    .entry(variable.value.clone())
                    .or_insert_with(|| Template::literal(&text));
            }
        }
        self.enter_file(&workflow.file);
        self.calls.push(name);
        let prefix = format!("{}/", frame.plan_id(local));
        let mut inner = Frame::new(&workflow, &self.nodes, Some(frame.index(local)), prefix);
        inner.inputs = inputs;
        self.frame(&inner);
        self.calls.pop();
        self.enter_file(&outer);
    }

    /// What the caller gives, resolved where the caller stands.
    fn call_inputs(&mut self, frame: &Frame<'_>, local: usize) -> BTreeMap<String, Template> {
        let node = frame.node(local);
        let cx = Cx {
            frame,
            local,
            node,
            runtime: &node.runtime,
            replaced: false,
        };
        let mut inputs = BTreeMap::new();
        for (name, value) in node.workflow_inputs.iter() {
            let template = match value.as_scalar_text() {
                Some(_) => self.scalar(cx, value, &name.value),
                None => Some(Template::literal(&value.to_json().to_string())),
            };
            if let Some(template) = template {
                inputs.insert(name.value.clone(), template);
            }
        }
        inputs
    }
}
