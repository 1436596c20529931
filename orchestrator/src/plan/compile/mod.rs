//! From [`Inputs`] to a [`Plan`]: all problems in one go, nothing skipped.

mod approvals;
mod call;
mod conditions;
mod docker;
mod edges;
mod fill;
mod frame;
mod gates;
mod git;
mod http;
mod missing;
mod names;
mod native;
mod nodes;
mod query;
mod read;
mod shell;
mod slack;
mod tools;
mod units;
mod words;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use canary_analyzer::gate::Gate;

use super::checks;
use super::draw::{Graph, GraphEdge, GraphNode};
use super::inputs::Inputs;
use super::metrics::service_metrics;
use super::model::{Action, Deadlines, Edge, GateIndex, Node, NodeIndex, OnFailure, Plan, Values};
use crate::diagnostic::{Diagnostics, Origin, SourceFile, Span, codes, quote};
use crate::osop::model::Workflow;
use crate::osop::settings::{self, Settings};
use crate::osop::{self, settings::OnFailure as WrittenOnFailure};
pub(super) use frame::{Arrow, Frame};
use missing::Missing;
pub(super) use nodes::handles_failure;
pub(super) use words::names_secret;

/// How long a blocked run waits for a person where nothing is said.
const DECISION: Duration = Duration::from_mins(15);
/// How long 100 % is watched where nothing is said and no gate looks further back.
const BAKE: Duration = Duration::from_mins(5);

/// Makes a plan. There is one if and only if there are no errors.
pub fn compile(inputs: &Inputs) -> (Option<Plan>, Diagnostics) {
    match begin(inputs) {
        Ok((mut compiler, workflow)) => {
            compiler.workflow(&workflow);
            compiler.finish(&workflow)
        }
        Err(d) => (None, d),
    }
}

/// The nodes and edges of a workflow, for a drawing: there, too, where no plan can be made because something is missing or wrong.
/// None only where no node could be read.
pub fn graph(inputs: &Inputs) -> (Option<Graph>, Diagnostics) {
    let (mut compiler, workflow) = match begin(inputs) {
        Ok(begun) => begun,
        Err(d) => return (None, d),
    };
    compiler.workflow(&workflow);
    let graph = Graph {
        id: workflow.id.value.clone(),
        nodes: GraphNode::all(&compiler.nodes),
        edges: std::mem::take(&mut compiler.drawn),
    };
    let (_, d) = compiler.finish(&workflow);
    ((!graph.nodes.is_empty()).then_some(graph), d)
}

/// Reads the files and brings the settings together.
fn begin(inputs: &Inputs) -> Result<(Compiler<'_>, Workflow), Diagnostics> {
    let text = inputs.files.get(&inputs.workflow).cloned();
    let source = SourceFile::new(inputs.workflow.clone(), text.unwrap_or_default());
    let (workflow, mut d) = osop::parse(source);
    let profile = inputs.profile.as_ref().and_then(|name| {
        let text = inputs.files.get(name).cloned().unwrap_or_default();
        let (profile, more) = settings::parse_profile(SourceFile::new(name.clone(), text));
        d.append(more);
        profile
    });
    let Some(workflow) = workflow else {
        if let Some(profile) = &profile {
            d.append(settings::check_profile(profile));
        }
        return Err(d);
    };
    let sets: Vec<String> = inputs
        .sets
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let (mut settings, more) = settings::merge(&workflow, profile.as_ref(), &sets);
    if inputs.profile.is_some() && profile.is_none() {
        // Whatever is missing may stand in it.
        settings.refused.whole = true;
    }
    d.append(more);
    Ok((Compiler::new(inputs, settings, d), workflow))
}

/// What was made so far.
struct Compiler<'i> {
    inputs: &'i Inputs,
    d: Diagnostics,
    settings: Rc<Settings>,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    /// Every edge that leads somewhere, also those that cannot be executed.
    drawn: Vec<GraphEdge>,
    /// Nodes that were refused: what they do is not known.
    refused: BTreeSet<NodeIndex>,
    gates: Vec<Gate>,
    guards: Vec<GateIndex>,
    values: Values,
    missing: Missing,
    /// Files of the calls that are open, outermost first.
    calls: Vec<String>,
    /// Secrets that the node at hand uses.
    secrets: BTreeSet<String>,
}

impl<'i> Compiler<'i> {
    fn new(inputs: &'i Inputs, settings: Settings, d: Diagnostics) -> Self {
        Self {
            inputs,
            d,
            settings: Rc::new(settings),
            nodes: Vec::new(),
            edges: Vec::new(),
            drawn: Vec::new(),
            refused: BTreeSet::new(),
            gates: Vec::new(),
            guards: Vec::new(),
            values: Values::default(),
            missing: Missing::default(),
            calls: vec![inputs.workflow.clone()],
            secrets: BTreeSet::new(),
        }
    }

    fn workflow(&mut self, workflow: &Workflow) {
        self.read_values(workflow);
        self.fill_settings();
        self.read_guards();
        let frame = Frame::new(workflow, &self.nodes, None, String::new());
        self.frame(&frame);
    }

    /// The nodes and edges of one workflow, and what can be said of its graph.
    fn frame(&mut self, frame: &Frame<'_>) {
        self.check_env(frame);
        for local in 0..frame.workflow.nodes.len() {
            let node = self.node(frame, local);
            self.nodes.push(node);
        }
        let written = self.edges(frame);
        for local in 0..frame.workflow.nodes.len() {
            self.call(frame, local);
        }
        let guarded = !self.guards.is_empty() || self.settings.is_refused("gates");
        checks::graph(
            frame,
            &self.nodes,
            &self.refused,
            &written,
            guarded,
            &mut self.d,
        );
    }

    fn finish(mut self, workflow: &Workflow) -> (Option<Plan>, Diagnostics) {
        self.report_missing();
        self.check_router(workflow);
        self.check_metrics(workflow);
        let sure = self.refused.is_empty() && !workflow.lost.nodes;
        checks::gates(&self.settings, &self.gates, &self.nodes, sure, &mut self.d);
        let settings = Rc::unwrap_or_clone(self.settings);
        let window = self
            .gates
            .iter()
            .map(|gate| gate.window)
            .max()
            .unwrap_or_default();
        let on_failure = self.inputs.on_failure.unwrap_or_else(|| {
            match settings.on_failure.map(|written| written.value) {
                Some(WrittenOnFailure::Hold) => OnFailure::Hold,
                Some(WrittenOnFailure::Rollback) | None => OnFailure::Rollback,
            }
        });
        let bake = settings.bake.map_or(BAKE.max(window), |bake| bake.value);
        for node in &mut self.nodes {
            // `timeout_sec` bounds what is done; the bake is a wait that was asked for.
            if matches!(node.action, Action::Promote) {
                node.timeout = node.timeout.map(|timeout| timeout.saturating_add(bake));
            }
        }
        let plan = Plan {
            id: workflow.id.value.clone(),
            name: workflow.name.value.clone(),
            service: settings.service.as_ref().map_or_else(
                || workflow.id.value.clone(),
                |service| service.value.clone(),
            ),
            nodes: self.nodes,
            edges: self.edges,
            gates: self.gates,
            guards: self.guards,
            bake,
            deadlines: Deadlines {
                evidence: settings.deadlines.evidence.map(|deadline| deadline.value),
                decision: settings
                    .deadlines
                    .decision
                    .map_or(DECISION, |deadline| deadline.value),
            },
            on_failure,
            timeout: workflow.timeout.map(|timeout| timeout.value),
            hash: self.inputs.hash(&self.values.environment),
            values: self.values,
            settings,
        };
        let good = !self.d.has_errors();
        (good.then_some(plan), self.d)
    }

    /// Presets and names of metrics are looked up once here, so that a wrong one is known before anything runs.
    fn check_metrics(&mut self, workflow: &Workflow) {
        if self.settings.is_refused("metrics") {
            return;
        }
        let service = self.settings.service.as_ref().unwrap_or(&workflow.id);
        if let Err(error) = service_metrics(&self.settings, &service.value) {
            let metrics = &self.settings.metrics;
            let span = metrics
                .preset
                .as_ref()
                .map(|preset| preset.span)
                .or(metrics.span);
            self.d.error(
                codes::WRONG_METRICS,
                span.unwrap_or(workflow.id.span),
                error.to_string(),
            );
        }
    }

    fn read_values(&mut self, workflow: &Workflow) {
        for (name, value) in &self.settings.variables {
            let file = self.d.file(value.span.origin);
            if let Some(text) = words::written(value, &file.text) {
                self.values.written.insert(name.value.clone(), text);
            }
            let text = value.as_text().unwrap_or_default();
            let kept = value.span.origin != Origin::CommandLine;
            if kept && words::names_secret(&name.value) && !text.is_empty() {
                self.d.redact(value.span);
                let message = format!(
                    "variable {} looks like a secret: variables are kept with the run, and shown",
                    quote(&name.value)
                );
                self.d
                    .warning(codes::INLINE_SECRET, name.span, message)
                    .help(format!(
                        "set it in the environment and refer to it as `${{secrets.{}}}`; if it only names a secret, call it `{}_NAME`",
                        name.value, name.value
                    ));
            }
            if let Some(value) = words::variable(value) {
                self.values.variables.insert(name.value.clone(), value);
            }
        }
        if let Some(namespace) = &self.settings.namespace {
            let known = self.settings.variable("NAMESPACE").is_some();
            if !known && !self.inputs.environment.contains_key("NAMESPACE") {
                let value = namespace.value.clone().into();
                self.values.variables.insert("NAMESPACE".to_owned(), value);
            }
        }
        if let Some(serde_json::Value::Object(metadata)) = workflow
            .descriptive
            .get("metadata")
            .map(osop::tree::Value::to_json)
        {
            self.values.metadata.extend(metadata);
        }
    }

    /// Secrets belong into the environment, not into a file.
    fn check_env(&mut self, frame: &Frame<'_>) {
        for (name, value) in &frame.workflow.env {
            self.check_inline_secret(&name.value, &value.value, value.span);
        }
    }

    fn check_inline_secret(&mut self, name: &str, value: &str, span: Span) {
        if words::names_secret(name)
            && !value.is_empty()
            && !value.contains("{{")
            && !value.contains("${")
        {
            let message = format!(
                "{} looks like a secret that is written into the file",
                quote(name)
            );
            self.d.redact(span);
            self.d
                .error(codes::INLINE_SECRET, span, message)
                .help(format!(
                    "set it in the environment and refer to it as `${{secrets.{name}}}`"
                ));
        }
    }

    /// Makes what is reported from now on point into this file.
    fn enter_file(&mut self, file: &Arc<SourceFile>) {
        self.d.add_file(Origin::Workflow, Arc::clone(file));
    }
}
