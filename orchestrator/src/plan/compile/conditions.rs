//! Names that a condition on an edge may use, with their types (S5).

use canary_analyzer::expr::{Condition, Scope, Syntax, Type, Value};
use canary_analyzer::unit::Unit;

use super::Compiler;
use super::frame::Frame;
use super::gates::condition;
use super::names::{At, Place, Upstream, upstream};
use crate::diagnostic::{codes, quote};
use crate::osop::model::Text;
use crate::plan::model::Node;
use crate::plan::template::Part;

/// The names at the edges of one node.
struct Names<'a> {
    compiler: &'a Compiler<'a>,
    frame: &'a Frame<'a>,
    local: usize,
}

const MAPS: &[&str] = &["inputs", "outputs", "variables", "env", "metadata"];

impl Compiler<'_> {
    /// Compiles the condition of an edge out of `local`. `source` is `text` with `skip` bytes of our own before it.
    pub(super) fn edge_condition(
        &mut self,
        frame: &Frame<'_>,
        local: usize,
        text: &Text,
        source: &str,
        skip: usize,
    ) -> Option<Condition> {
        // The scope borrows what is known; problems go into a list of their own meanwhile.
        let mut told = self.d.sibling();
        let scope = Names {
            compiler: self,
            frame,
            local,
        };
        let compiled = condition(&mut told, text, source, skip, Syntax::Cel, &scope);
        self.d.append(told);
        let condition = compiled?;
        for path in condition.references() {
            let place = Place {
                frame,
                local,
                at: At::Span(text.span),
            };
            let own = frame
                .node(local)
                .outputs
                .iter()
                .any(|port| port.name.value == path.root);
            if own {
                continue;
            }
            match upstream(frame, local, &path.root) {
                Upstream::Several(nodes) => self.ambiguous(place, &path.root, &nodes),
                Upstream::One(_) => {}
                Upstream::None if path.root == "env" => {
                    if let Some(name) = path.members.first() {
                        self.capture(&name.clone());
                    }
                }
                Upstream::None if matches!(path.root.as_str(), "inputs" | "variables") => {
                    if let Some(name) = path.members.first() {
                        self.condition_input(frame, name, text);
                    }
                }
                Upstream::None if frame.find(&path.root).is_some() => {}
                Upstream::None => {
                    self.condition_input(frame, &path.root, text);
                    if !self.values.variables.contains_key(&path.root) {
                        self.capture(&path.root);
                    }
                }
            }
        }
        Some(condition)
    }

    /// An input of a sub-workflow in a condition: its value must be known, and mean the same in the whole plan.
    fn condition_input(&mut self, frame: &Frame<'_>, name: &str, text: &Text) {
        let Some(template) = frame.inputs.get(name) else {
            return;
        };
        let value = match template.parts() {
            [] => String::new(),
            [Part::Literal(value)] => value.clone(),
            _ => {
                let message = format!(
                    "{} is only known during the run, and conditions of a sub-workflow cannot look into its caller",
                    quote(name)
                );
                self.d
                    .error(codes::UNSUITABLE_CALL, text.span, message)
                    .help("let a node of the sub-workflow give it as an output, and name that");
                return;
            }
        };
        let value = serde_json::Value::String(value);
        match self.values.variables.get(name) {
            Some(known) if *known != value => {
                let message = format!(
                    "{} has another value outside of the sub-workflow: conditions could not tell them apart",
                    quote(name)
                );
                self.d
                    .error(codes::UNSUITABLE_CALL, text.span, message)
                    .help("give the input of the sub-workflow another name");
            }
            Some(_) => {}
            None => {
                self.values.variables.insert(name.to_owned(), value);
            }
        }
    }

    fn compiled(&self, frame: &Frame<'_>, local: usize) -> Option<&Node> {
        self.nodes.get(frame.first + local)
    }
}

impl Names<'_> {
    fn output(&self, local: usize, name: &str) -> Option<Type> {
        let node = self.compiler.compiled(self.frame, local)?;
        let output = node.outputs.iter().find(|output| output.name == name)?;
        Some(match output.unit {
            Some(unit) => Type::Number(Some(unit)),
            None => Type::Any,
        })
    }
}

impl Scope for Names<'_> {
    fn type_of(&self, name: &str) -> Option<Type> {
        if let Some(own) = self.output(self.local, name) {
            return Some(own);
        }
        match name {
            "exit_code" | "http_status" | "attempt" => return Some(Type::Number(Some(Unit::None))),
            "stdout" | "stderr" | "status" | "error" => return Some(Type::Text),
            _ if MAPS.contains(&name) => return Some(Type::Map),
            _ => {}
        }
        match upstream(self.frame, self.local, name) {
            Upstream::One(node) => return self.output(node, name),
            Upstream::Several(_) => return Some(Type::Any),
            Upstream::None => {}
        }
        // Ids of nodes are looked up in the whole plan, where those of a sub-workflow have another form.
        if self.frame.prefix.is_empty()
            && self
                .frame
                .workflow
                .nodes
                .iter()
                .any(|node| node.id.value == name)
        {
            return Some(Type::Map);
        }
        if self.frame.inputs.contains_key(name) {
            return Some(Type::Any);
        }
        if let Some(value) = self.compiler.values.variables.get(name) {
            return Some(Type::of(&Value::from(value.clone())));
        }
        if self.compiler.inputs.environment.contains_key(name) {
            return Some(Type::Text);
        }
        // What was reported already is not unknown as well.
        self.compiler.is_told(self.frame, name).then_some(Type::Any)
    }

    fn names(&self) -> Vec<String> {
        let own = self
            .frame
            .node(self.local)
            .outputs
            .iter()
            .map(|port| port.name.value.as_str());
        let mut names: Vec<String> = own.map(str::to_owned).collect();
        let before = self
            .frame
            .outputs()
            .filter(|name| matches!(upstream(self.frame, self.local, name), Upstream::One(_)));
        names.extend(before.map(str::to_owned));
        if self.frame.prefix.is_empty() {
            names.extend(
                self.frame
                    .workflow
                    .nodes
                    .iter()
                    .map(|node| node.id.value.clone()),
            );
        }
        names.extend(
            [
                "exit_code",
                "stdout",
                "stderr",
                "http_status",
                "status",
                "attempt",
                "error",
            ]
            .map(str::to_owned),
        );
        names.extend(MAPS.iter().map(|name| (*name).to_owned()));
        names.extend(self.compiler.values.variables.keys().cloned());
        names.sort_unstable();
        names.dedup();
        names
    }
}
