//! Names without a value: told once each, with everything that needs them.

use std::collections::BTreeMap;

use super::{Compiler, words};
use crate::diagnostic::{Span, codes, did_you_mean, quote};

/// Names without a value.
#[derive(Default)]
pub(super) struct Missing {
    names: BTreeMap<String, Vec<Need>>,
}

struct Need {
    node: String,
    place: Span,
}

impl Missing {
    /// `node` needs `name`, written at `place`.
    pub(super) fn add(&mut self, name: &str, node: &str, place: Span) {
        let needs = self.names.entry(name.to_owned()).or_default();
        if needs.iter().all(|need| need.node != node) {
            needs.push(Need {
                node: node.to_owned(),
                place,
            });
        }
    }
}

impl Compiler<'_> {
    pub(super) fn report_missing(&mut self) {
        let known: Vec<String> = self
            .nodes
            .iter()
            .flat_map(|node| node.outputs.iter().map(|output| output.name.clone()))
            .chain(self.values.variables.keys().cloned())
            .collect();
        for (name, needs) in std::mem::take(&mut self.missing.names) {
            let mut nodes: Vec<String> = needs.iter().map(|need| need.node.clone()).collect();
            nodes.dedup();
            let plural = if nodes.len() == 1 { "node" } else { "nodes" };
            let message = format!(
                "{} has no value; {plural} {} need{} it",
                quote(&name),
                words::list(&nodes),
                if nodes.len() == 1 { "s" } else { "" }
            );
            let Some(first) = needs.first() else { continue };
            let diagnostic = self.d.error(codes::MISSING_VALUE, first.place, message);
            for need in needs.iter().skip(1).take(4) {
                diagnostic.related(need.place, "needed here, too");
            }
            diagnostic.help_opt(did_you_mean(&name, known.iter().map(String::as_str)));
            diagnostic.help(format!(
                "give it with `--set {name}=...`, in the environment, or in the profile (or `x-canary`):\nvariables:\n  {name}: ..."
            ));
        }
    }
}
