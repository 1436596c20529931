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
    /// Id of a node, or a gate or key of the settings.
    who: String,
    is_node: bool,
    place: Span,
}

impl Missing {
    /// The node `node` needs `name`, written at `place`.
    pub(super) fn add(&mut self, name: &str, node: &str, place: Span) {
        self.push(name, node.to_owned(), true, place);
    }

    /// Something else than a node needs it.
    pub(super) fn add_other(&mut self, name: &str, what: &str, place: Span) {
        self.push(name, what.to_owned(), false, place);
    }

    fn push(&mut self, name: &str, who: String, is_node: bool, place: Span) {
        let needs = self.names.entry(name.to_owned()).or_default();
        if needs.iter().all(|need| need.who != who) {
            needs.push(Need {
                who,
                is_node,
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
            let mut all: Vec<String> = needs.iter().map(|need| need.who.clone()).collect();
            all.dedup();
            let nodes = needs.iter().all(|need| need.is_node);
            let message = format!(
                "{} has no value; {}{} need{} it",
                quote(&name),
                match (nodes, all.len()) {
                    (false, _) => "",
                    (true, 1) => "node ",
                    (true, _) => "nodes ",
                },
                words::list(&all),
                if all.len() == 1 { "s" } else { "" }
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
