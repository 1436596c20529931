//! Types of functions and quantifiers.

use super::super::Syntax;
use super::super::functions;
use super::super::tree::{Function, Kind, Node, Quantifier, Span};
use super::super::value::{Type, Value};
use super::{Checker, join};
use crate::duration;
use crate::unit::Unit;

impl Checker<'_> {
    pub(super) fn over(
        &mut self,
        quantifier: Quantifier,
        list: &Node,
        found: &Type,
        variable: &str,
        body: &mut Node,
    ) -> Type {
        let item = match found {
            Type::List(item) => (**item).clone(),
            Type::Map | Type::Object(_) if self.syntax == Syntax::Cel => Type::Text,
            other => {
                self.want(list, other, &Type::List(Box::new(Type::Any)));
                Type::Any
            }
        };
        self.bound.push((variable.to_owned(), item.clone()));
        let made = self.node(body);
        self.bound.pop();
        if quantifier != Quantifier::Map {
            self.want(body, &made, &Type::Bool);
        }
        match quantifier {
            Quantifier::All | Quantifier::Any | Quantifier::None | Quantifier::One => Type::Bool,
            Quantifier::Count => Type::Number(Some(Unit::None)),
            Quantifier::Find => item,
            Quantifier::Filter => Type::List(Box::new(item)),
            Quantifier::Map => Type::List(Box::new(made)),
        }
    }

    pub(super) fn call(&mut self, span: &Span, function: Function, arguments: &mut [Node]) -> Type {
        let types: Vec<Type> = arguments
            .iter_mut()
            .map(|argument| self.node(argument))
            .collect();
        let (Some(first), Some(found)) = (arguments.first(), types.first()) else {
            return Type::Any;
        };
        let plain = Type::Number(Some(Unit::None));
        match function {
            Function::Size | Function::CountTrue => {
                if matches!(found, Type::Number(_) | Type::Bool) {
                    self.error(
                        span,
                        format!("`{}` is {found} and has no size", self.text(first)),
                        String::new(),
                    );
                }
                plain
            }
            Function::Abs | Function::Floor | Function::Ceil | Function::Round => {
                self.want(first, found, &Type::Number(None));
                found.clone()
            }
            Function::IsNan | Function::IsInf => {
                self.want(first, found, &Type::Number(None));
                Type::Bool
            }
            Function::Sum | Function::Mean | Function::Median | Function::Min | Function::Max => {
                let mut joined = Type::Null;
                for (argument, found) in arguments.iter().zip(&types) {
                    let item = if let Type::List(item) = found {
                        item
                    } else {
                        found
                    };
                    self.want(argument, item, &Type::Number(None));
                    joined = join(joined, item.clone());
                }
                if matches!(joined, Type::Number(_)) {
                    joined
                } else {
                    Type::Number(None)
                }
            }
            Function::Int => plain,
            Function::Float => {
                if matches!(found, Type::Number(_)) {
                    found.clone()
                } else {
                    Type::Number(None)
                }
            }
            Function::Text | Function::Lower | Function::Upper | Function::Trim => Type::Text,
            Function::Duration => {
                if let Kind::Literal(Value::Text(text)) = &first.kind
                    && let Err(error) = duration::parse(text)
                {
                    self.error(&first.span, error.to_string(), String::new());
                }
                Type::Number(Some(Unit::Seconds))
            }
            Function::IsNull | Function::Contains => Type::Bool,
            Function::Default => join(found.clone(), types.get(1).cloned().unwrap_or(Type::Any)),
            Function::StartsWith | Function::EndsWith | Function::Matches => {
                for (argument, found) in arguments.iter().zip(&types) {
                    self.want(argument, found, &Type::Text);
                }
                if let (Function::Matches, Some(second)) = (function, arguments.get(1)) {
                    self.pattern(second);
                }
                Type::Bool
            }
            Function::First | Function::Last => {
                self.want(first, found, &Type::List(Box::new(Type::Any)));
                if let Type::List(item) = found {
                    (**item).clone()
                } else {
                    Type::Any
                }
            }
            Function::Keys => Type::List(Box::new(Type::Text)),
            Function::Values => Type::List(Box::new(Type::Any)),
        }
    }

    pub(super) fn pattern(&mut self, node: &Node) {
        if let Kind::Literal(Value::Text(text)) = &node.kind
            && let Err(message) = functions::pattern(text)
        {
            self.error(&node.span, message, String::new());
        }
    }
}
