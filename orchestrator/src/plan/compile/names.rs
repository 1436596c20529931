//! What a reference in a node means (S5, S6): upstream outputs, nodes, inputs, variables, environment.

use super::Compiler;
use super::frame::Frame;
use super::read::inside;
use crate::diagnostic::{Diagnostics, Span, Spanned, codes, did_you_mean, nearest, quote};
use crate::plan::template::{Namespace, Part, Reference, Segment};

/// Outputs that every node has.
pub(super) const ALWAYS: &[&str] = &[
    "exit_code",
    "stdout",
    "stderr",
    "http_status",
    "status",
    "attempt",
];

/// The output that a name means at a node.
pub(super) enum Upstream {
    /// One node before it declares it.
    One(usize),
    /// Several do.
    Several(Vec<usize>),
    /// None does.
    None,
}

/// Where a reference is written.
#[derive(Clone, Copy)]
pub(super) struct Place<'f> {
    pub(super) frame: &'f Frame<'f>,
    pub(super) local: usize,
    pub(super) at: At<'f>,
}

/// Where in a file. Lines are only counted when there is something to tell: that takes as long as the file is.
#[derive(Clone, Copy)]
pub(super) enum At<'f> {
    /// Exactly here.
    Span(Span),
    /// These bytes of a text.
    Inside(Spanned<&'f str>, usize, usize),
}

impl Place<'_> {
    pub(super) fn span(&self, d: &Diagnostics) -> Span {
        match self.at {
            At::Span(span) => span,
            At::Inside(text, start, end) => inside(&d.file(text.span.origin), &text, start, end),
        }
    }

    fn node(&self) -> String {
        self.frame.plan_id(self.local)
    }
}

/// Which node before `local` declares `output`.
pub(super) fn upstream(frame: &Frame<'_>, local: usize, output: &str) -> Upstream {
    let found: Vec<usize> = frame
        .producers(output)
        .iter()
        .copied()
        .filter(|producer| frame.runs_before(*producer, local))
        // More than this are not told.
        .take(7)
        .collect();
    match found.as_slice() {
        [] => Upstream::None,
        [one] => Upstream::One(*one),
        _ => Upstream::Several(found),
    }
}

impl Compiler<'_> {
    /// What to put in place of a reference. Problems are told, and then it is empty text.
    pub(super) fn resolve(&mut self, place: Place<'_>, reference: &Reference) -> Vec<Part> {
        let found = match reference.namespace {
            Namespace::Name => self.resolve_name(place, reference),
            Namespace::Outputs => Some(self.resolve_output(place, reference)),
            Namespace::Inputs => self.resolve_input(place, reference),
            Namespace::Env => self.resolve_env(reference),
            Namespace::Secrets => {
                self.secrets.insert(reference.head().to_owned());
                Some(vec![Part::Reference(reference.clone())])
            }
            Namespace::Metadata | Namespace::Loop => Some(vec![Part::Reference(reference.clone())]),
        };
        match (found, &reference.default) {
            (Some(parts), _) => parts,
            (None, Some(default)) => vec![Part::Literal(default.clone())],
            (None, None) if self.is_told(place.frame, reference.head()) => Vec::new(),
            (None, None) => {
                let span = place.span(&self.d);
                self.missing
                    .add(&reference.to_string(), &place.node(), span);
                Vec::new()
            }
        }
    }

    /// Whether a name has no value because of something that was reported already.
    pub(super) fn is_told(&self, frame: &Frame<'_>, name: &str) -> bool {
        let lost = frame.workflow.lost;
        let variable = self.settings.variables.iter();
        lost.nodes
            || lost.edges && !frame.producers(name).is_empty()
            || self.settings.refused.whole
            || variable
                .filter(|(known, _)| known.value == name)
                .any(|(_, value)| value.is_null() && self.d.any_error_within(value.span))
    }

    fn resolve_name(&mut self, place: Place<'_>, reference: &Reference) -> Option<Vec<Part>> {
        let head = reference.head();
        match upstream(place.frame, place.local, head) {
            Upstream::One(node) => {
                let mut path = vec![Segment::Name(place.frame.plan_id(node))];
                path.extend(reference.path.iter().cloned());
                return Some(outputs(path, reference));
            }
            Upstream::Several(nodes) => {
                self.ambiguous(place, head, &nodes);
                return Some(Vec::new());
            }
            Upstream::None => {}
        }
        if reference.path.len() > 1
            && let Some(node) = place.frame.find(head)
        {
            return Some(self.output_of(place, node, reference, 1));
        }
        self.resolve_input(place, reference)
            .or_else(|| self.resolve_env(reference))
    }

    pub(super) fn ambiguous(&mut self, place: Place<'_>, name: &str, nodes: &[usize]) {
        let ids: Vec<String> = nodes
            .iter()
            .map(|node| place.frame.node(*node).id.value.clone())
            .collect();
        let message = format!(
            "{} is an output of {}: it is not clear which one is meant",
            quote(name),
            super::words::list(&ids)
        );
        let span = place.span(&self.d);
        let diagnostic = self.d.error(codes::AMBIGUOUS_NAME, span, message);
        for node in nodes.iter().take(3) {
            diagnostic.related(place.frame.node(*node).id.span, "declares it");
        }
        diagnostic.help(format!(
            "write `outputs.{}.{name}`",
            ids.first().map_or("node", String::as_str)
        ));
    }

    fn resolve_output(&mut self, place: Place<'_>, reference: &Reference) -> Vec<Part> {
        // An id may hold dots: the longest that fits.
        let mut id = String::new();
        let mut found = None;
        for (n, segment) in reference.path.iter().enumerate() {
            let Segment::Name(name) = segment else { break };
            if n > 0 {
                id.push('.');
            }
            id.push_str(name);
            if let Some(node) = place.frame.find(&id) {
                found = Some((node, n + 1));
            }
        }
        let Some((node, used)) = found else {
            if place.frame.workflow.lost.nodes {
                return Vec::new();
            }
            let ids = place
                .frame
                .workflow
                .nodes
                .iter()
                .map(|node| node.id.value.as_str());
            let message = format!("{} names no node of the workflow", quote(reference.head()));
            let hint = did_you_mean(reference.head(), ids);
            let span = place.span(&self.d);
            self.d
                .error(codes::UNKNOWN_NODE, span, message)
                .help_opt(hint);
            return Vec::new();
        };
        self.output_of(place, node, reference, used)
    }

    /// `path[used..]` of the reference, in the outputs of `node`.
    fn output_of(
        &mut self,
        place: Place<'_>,
        node: usize,
        reference: &Reference,
        used: usize,
    ) -> Vec<Part> {
        let target = place.frame.node(node);
        let id = &target.id.value;
        let Some(Segment::Name(output)) = reference.path.get(used) else {
            let span = place.span(&self.d);
            self.d
                .error(
                    codes::UNKNOWN_OUTPUT,
                    span,
                    format!(
                        "{} names a node, not one of its outputs",
                        quote(&reference.to_string())
                    ),
                )
                .help(format!("write `outputs.{id}.NAME`"));
            return Vec::new();
        };
        let declared = || target.outputs.iter().map(|port| port.name.value.as_str());
        if !declared().any(|name| name == output) && !ALWAYS.contains(&output.as_str()) {
            if place.frame.workflow.lost.nodes {
                return Vec::new();
            }
            let hint = nearest(output, declared().chain(ALWAYS.iter().copied()))
                .map(|near| format!("did you mean {}?", quote(near)));
            let span = place.span(&self.d);
            self.d
                .error(
                    codes::UNKNOWN_OUTPUT,
                    span,
                    format!("node {} declares no output {}", quote(id), quote(output)),
                )
                .help_opt(hint)
                .help(format!("add it to `outputs` of {}", quote(id)));
            return Vec::new();
        }
        if node == place.local || !place.frame.runs_before(node, place.local) {
            if node != place.local && place.frame.workflow.lost.edges {
                return Vec::new();
            }
            let span = place.span(&self.d);
            self.d
                .error(
                    codes::NOT_UPSTREAM,
                    span,
                    format!(
                        "node {} does not run before {}",
                        quote(id),
                        quote(&place.node())
                    ),
                )
                .help("add an edge between them, or use an output of a node that runs before");
            return Vec::new();
        }
        let mut path = vec![Segment::Name(place.frame.plan_id(node))];
        path.extend(reference.path[used..].iter().cloned());
        outputs(path, reference)
    }

    fn resolve_input(&mut self, place: Place<'_>, reference: &Reference) -> Option<Vec<Part>> {
        let head = reference.head();
        if let Some(template) = place.frame.inputs.get(head) {
            let rest = &reference.path[1..];
            return Some(match template.parts() {
                [Part::Reference(outer)] if !rest.is_empty() => {
                    let mut outer = outer.clone();
                    outer.path.extend(rest.iter().cloned());
                    vec![Part::Reference(outer)]
                }
                parts => parts.to_vec(),
            });
        }
        self.values.variables.get(head)?;
        Some(vec![Part::Reference(Reference {
            namespace: Namespace::Inputs,
            ..reference.clone()
        })])
    }

    fn resolve_env(&mut self, reference: &Reference) -> Option<Vec<Part>> {
        let head = reference.head();
        if reference.path.len() > 1 || !self.capture(head) {
            return None;
        }
        Some(vec![Part::Reference(Reference {
            namespace: Namespace::Env,
            ..reference.clone()
        })])
    }

    /// Keeps a variable of the environment in the plan. False: it is not set.
    pub(super) fn capture(&mut self, name: &str) -> bool {
        let Some(value) = self.inputs.environment.get(name) else {
            return false;
        };
        self.values
            .environment
            .insert(name.to_owned(), value.clone());
        true
    }
}

fn outputs(path: Vec<Segment>, reference: &Reference) -> Vec<Part> {
    vec![Part::Reference(Reference {
        namespace: Namespace::Outputs,
        path,
        default: reference.default.clone(),
    })]
}
