//! Names, types and units, before there are values.

mod functions;
mod operators;

use std::collections::BTreeMap;

use super::evaluate::{Evaluator, Mode};
use super::number::{self, Misfit, Operand};
use super::ranges::{self, Bound};
use super::tree::{Function, Kind, Node, Op, Span};
use super::value::{Scope, Type, Value, alias};
use super::{ConditionError, ConditionWarning, Path, Syntax};
use crate::unit::{self, Dimension, Unit};

pub(super) struct Checked {
    pub(super) warnings: Vec<ConditionWarning>,
}

/// Checks a tree, and writes root names as the scope spells them.
pub(super) fn check(
    root: &mut Node,
    source: &str,
    syntax: Syntax,
    scope: &dyn Scope,
) -> Result<Checked, Vec<ConditionError>> {
    let mut checker = Checker {
        source,
        syntax,
        scope,
        errors: Vec::new(),
        warnings: Vec::new(),
        bound: Vec::new(),
        bounds: BTreeMap::new(),
        names: Vec::new(),
    };
    let found = checker.node(root);
    if !found.overlaps(&Type::Bool) {
        let hint = match found {
            Type::Number(_) => format!("compare it with something: `{source} > 0`"),
            _ => "compare it with something".to_owned(),
        };
        checker.error(
            &root.span,
            format!("the condition gives {found}, not true or false"),
            hint,
        );
    }
    if !checker.errors.is_empty() {
        return Err(checker.errors);
    }
    let mut warnings = checker.warnings;
    warnings.extend(ranges::warnings(root, &checker.bounds));
    if let Some(Value::Bool(value)) = constant(root, source, syntax) {
        let (message, hint) = (
            format!("the condition is always {value}: it uses no name"),
            String::new(),
        );
        warnings = vec![ConditionWarning {
            span: root.span.clone(),
            message,
            hint,
        }];
    }
    Ok(Checked { warnings })
}

/// The value of a node that uses no names.
fn constant(node: &Node, source: &str, syntax: Syntax) -> Option<Value> {
    if !node.is_constant() {
        return None;
    }
    let nothing: BTreeMap<String, Value> = BTreeMap::new();
    Evaluator::new(source, syntax, Mode::Argo, &nothing)
        .value(node)
        .ok()
}

/// Every use of a root name, with constant members.
pub(super) fn references(root: &Node) -> Vec<Path> {
    fn path(node: &Node) -> Option<Path> {
        let (target, member) = match &node.kind {
            Kind::Name(name) => {
                return Some(Path {
                    root: name.clone(),
                    members: Vec::new(),
                    span: node.span.clone(),
                });
            }
            Kind::Member { target, name } => (target, name),
            Kind::Index { target, index } => match &index.kind {
                Kind::Literal(Value::Text(name)) => (target, name),
                _ => return None,
            },
            _ => return None,
        };
        let mut path = path(target)?;
        path.members.push(member.clone());
        path.span = node.span.clone();
        Some(path)
    }
    fn visit(node: &Node, found: &mut Vec<Path>) {
        match path(node) {
            Some(path) => found.push(path),
            None => node
                .children()
                .into_iter()
                .for_each(|child| visit(child, found)),
        }
    }
    let mut found = Vec::new();
    visit(root, &mut found);
    found
}

/// At most so many errors of one condition are told.
const MAX_ERRORS: usize = 20;

struct Checker<'c> {
    source: &'c str,
    syntax: Syntax,
    scope: &'c dyn Scope,
    errors: Vec<ConditionError>,
    warnings: Vec<ConditionWarning>,
    bound: Vec<(String, Type)>,
    /// Comparisons of a value with a constant, by their place.
    bounds: BTreeMap<(usize, usize), Bound>,
    /// All root names, once they were asked for.
    names: Vec<String>,
}

impl Checker<'_> {
    fn text(&self, node: &Node) -> String {
        self.source.get(node.span.clone()).unwrap_or("").to_owned()
    }

    /// More errors than these help nobody, and looking for suggestions takes time.
    fn is_full(&self) -> bool {
        self.errors.len() >= MAX_ERRORS
    }

    fn error(&mut self, span: &Span, message: String, hint: String) {
        if self.is_full() {
            return;
        }
        self.errors.push(ConditionError {
            span: span.clone(),
            message,
            hint,
        });
    }

    fn warn(&mut self, span: &Span, message: String, hint: &str) {
        self.warnings.push(ConditionWarning {
            span: span.clone(),
            message,
            hint: hint.to_owned(),
        });
    }

    fn node(&mut self, node: &mut Node) -> Type {
        let span = node.span.clone();
        match &mut node.kind {
            Kind::Literal(value) => Type::of(value),
            Kind::Name(name) => {
                let (known, found) = self.name(&span, name);
                *name = known;
                found
            }
            Kind::Variable(name) => {
                let bound = self.bound.iter().rev().find(|(bound, _)| bound == name);
                bound.map_or(Type::Any, |(_, found)| found.clone())
            }
            Kind::Member { target, name } => {
                let found = self.node(target);
                self.member(&span, target, &found, name)
            }
            Kind::Index { target, index } => self.index(&span, target, index),
            Kind::Slice { target, from, to } => {
                let found = self.node(target);
                self.want(target, &found, &Type::List(Box::new(Type::Any)));
                for end in [from, to].into_iter().flatten() {
                    let end_type = self.node(end);
                    self.want(end, &end_type, &Type::Number(None));
                }
                found
            }
            Kind::Not(inner) => {
                let found = self.node(inner);
                self.want(inner, &found, &Type::Bool);
                Type::Bool
            }
            Kind::Negate(inner) => {
                let found = self.node(inner);
                self.want(inner, &found, &Type::Number(None));
                found
            }
            Kind::Binary { op, left, right } => self.binary(&span, *op, left, right),
            Kind::Coalesce { left, right } => {
                let (left, right) = (self.node(left), self.node(right));
                join(left, right)
            }
            Kind::Conditional {
                test,
                then,
                otherwise,
            } => {
                let found = self.node(test);
                self.want(test, &found, &Type::Bool);
                let (then, otherwise) = (self.node(then), self.node(otherwise));
                join(then, otherwise)
            }
            Kind::Has(path) => {
                self.node(path);
                Type::Bool
            }
            Kind::Call {
                function,
                arguments,
            } => self.call(&span, *function, arguments),
            Kind::Over {
                quantifier,
                list,
                variable,
                body,
            } => {
                let found = self.node(list);
                self.over(*quantifier, list, &found, variable, body)
            }
            Kind::Let { name, value, body } => {
                let found = self.node(value);
                self.bound.push((name.clone(), found));
                let found = self.node(body);
                self.bound.pop();
                found
            }
            Kind::List(items) => {
                let types: Vec<_> = items.iter_mut().map(|item| self.node(item)).collect();
                Type::List(Box::new(
                    types.into_iter().reduce(join).unwrap_or(Type::Any),
                ))
            }
            Kind::Map(entries) => {
                for (key, value) in entries {
                    let found = self.node(key);
                    self.want(key, &found, &Type::Text);
                    self.node(value);
                }
                Type::Map
            }
        }
    }

    /// The name as the scope spells it, and its type.
    fn name(&mut self, span: &Span, name: &str) -> (String, Type) {
        if let Some(found) = self.scope.type_of(name) {
            return (name.to_owned(), found);
        }
        if self.is_full() {
            return (name.to_owned(), Type::Any);
        }
        if self.names.is_empty() {
            self.names = self.scope.names();
        }
        let names = &self.names;
        if let Some(known) = alias(name, names.iter().map(String::as_str))
            && let Some(found) = self.scope.type_of(&known)
        {
            return (known, found);
        }
        let dashed = names.iter().find(|known| {
            known.contains('-')
                && self
                    .source
                    .get(span.start..)
                    .is_some_and(|rest| rest.starts_with(known.as_str()))
        });
        let hint = if let Some(dashed) = dashed {
            format!(
                "write `{}` for `{dashed}`: a `-` is a minus here",
                dashed.replace('-', "_")
            )
        } else if let Some(near) = unit::nearest(name, names.iter().map(String::as_str)) {
            format!("did you mean `{}`?", near.replace('-', "_"))
        } else if names.is_empty() {
            String::new()
        } else {
            let more = if names.len() > 8 { ", ..." } else { "" };
            let known: Vec<_> = names.iter().take(8).map(String::as_str).collect();
            format!("known are {}{more}", known.join(", "))
        };
        self.error(span, format!("there is no `{name}` here"), hint);
        (name.to_owned(), Type::Any)
    }

    fn member(&mut self, span: &Span, target: &Node, found: &Type, name: &str) -> Type {
        match found {
            Type::Object(members) => {
                let known = members.get(name).cloned();
                let known = known.or_else(|| {
                    members
                        .get(&alias(name, members.keys().map(String::as_str))?)
                        .cloned()
                });
                known.unwrap_or_else(|| {
                    let hint = match unit::nearest(name, members.keys().map(String::as_str)) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!(
                            "it has {}",
                            members
                                .keys()
                                .map(String::as_str)
                                .collect::<Vec<_>>()
                                .join(", ")
                        ),
                    };
                    self.error(
                        span,
                        format!("`{}` has no `{name}`", self.text(target)),
                        hint,
                    );
                    Type::Any
                })
            }
            Type::List(_) | Type::Text if name == "length" => Type::Number(Some(Unit::None)),
            Type::Any | Type::Map | Type::Null => Type::Any,
            other => {
                let hint = if matches!(other, Type::List(_)) {
                    "write `[0]` for its first element"
                } else {
                    ""
                };
                self.error(
                    span,
                    format!("`{}` is {other} and has no `.{name}`", self.text(target)),
                    hint.to_owned(),
                );
                Type::Any
            }
        }
    }

    fn index(&mut self, span: &Span, target: &mut Node, index: &mut Node) -> Type {
        let (found, key) = (self.node(target), self.node(index));
        match (&found, &key) {
            (Type::List(item), Type::Number(_) | Type::Any | Type::Null) => (**item).clone(),
            (Type::Object(_), Type::Text) => match &index.kind {
                Kind::Literal(Value::Text(name)) => self.member(span, target, &found, name),
                _ => Type::Any,
            },
            (Type::Any | Type::Null, _)
            | (Type::Map | Type::Object(_), Type::Text | Type::Any | Type::Null) => Type::Any,
            (Type::Number(_), Type::Number(_)) => {
                let text = self.text(target);
                let hint = format!("write `{text}`, without an index");
                self.error(span, format!("`{text}` is {found}, not a list"), hint);
                found
            }
            _ => {
                let message = format!(
                    "`{}` is {found} and has no element by {key}",
                    self.text(target)
                );
                self.error(span, message, String::new());
                Type::Any
            }
        }
    }

    /// Complains unless `found` may be a `wanted`.
    fn want(&mut self, node: &Node, found: &Type, wanted: &Type) {
        if found.overlaps(wanted) {
            return;
        }
        let text = self.text(node);
        let hint = match (found, wanted) {
            (Type::List(_), Type::Number(_)) => format!("write `{text}[0]`, or `all({text}, ...)`"),
            (Type::Number(_), Type::Bool) => format!("compare it with something: `{text} > 0`"),
            (Type::List(_), Type::Bool) => format!("write `len({text}) > 0`"),
            _ => String::new(),
        };
        self.error(
            &node.span,
            format!("`{text}` is {found}, where {wanted} is needed"),
            hint,
        );
    }
}

/// What either of two is.
fn join(a: Type, b: Type) -> Type {
    match (a, b) {
        (a, b) if a == b => a,
        (Type::Null, other) | (other, Type::Null) => other,
        (Type::Number(Some(Unit::None)), Type::Number(unit))
        | (Type::Number(unit), Type::Number(Some(Unit::None))) => Type::Number(unit),
        (Type::Number(_), Type::Number(_)) => Type::Number(None),
        _ => Type::Any,
    }
}
