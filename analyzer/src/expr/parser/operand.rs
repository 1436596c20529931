//! Operands: literals, names, calls, brackets, and what follows them.

use super::super::lexer::Token;
use super::super::tree::{FUNCTIONS, Kind, Node, Quantifier, Span};
use super::super::value::Value;
use super::super::{ConditionError, Syntax, cel, expr_lang};
use super::{NOT, OR, POWER, Parsed, Parser, SIGN};
use crate::unit::{self, Unit};

impl Parser {
    /// A prefix operator with its operand, or a primary with what follows it.
    pub(super) fn operand(&mut self) -> Parsed<Node> {
        let start = self.span().start;
        let word = matches!(self.peek(), Token::Name(name) if name == "not" || name == "NOT");
        let not = word || *self.peek() == Token::Punct("!");
        let strength = match self.syntax {
            // In CEL a prefix operator binds more tightly than every infix; as a word it is read as in expr-lang.
            Syntax::Cel if !word => POWER,
            Syntax::Cel | Syntax::Expr if not => NOT,
            Syntax::Cel | Syntax::Expr => SIGN,
        };
        if not {
            self.advance();
            let inner = self.expression(strength)?;
            let span = start..inner.span.end;
            return self.node(Kind::Not(Box::new(inner)), span);
        }
        if self.accept("+") {
            return self.expression(strength);
        }
        if self.accept("-") {
            let mut inner = self.expression(strength)?;
            inner.span = start..inner.span.end;
            match &mut inner.kind {
                Kind::Literal(Value::Int(value)) => *value = value.wrapping_neg(),
                Kind::Literal(Value::Float(value, _)) => *value = -*value,
                _ => {
                    let span = inner.span.clone();
                    return self.node(Kind::Negate(Box::new(inner)), span);
                }
            }
            return Ok(inner);
        }
        let primary = self.primary()?;
        self.postfix(primary)
    }

    fn primary(&mut self) -> Parsed<Node> {
        let (token, span) = self.advance();
        let literal = match token {
            Token::Int(value) => Value::Int(value),
            Token::Float(value) => Value::Float(value, Unit::None),
            Token::Quantity(value, unit) => Value::Float(value, unit),
            Token::Text(text) => Value::Text(text),
            Token::Name(name) => return self.named(name, span),
            Token::Hash => return expr_lang::element(self, span),
            Token::Punct("(") => {
                let mut inner = self.expression(0)?;
                inner.span = span.start..self.expect(")", "to close `(`")?.end;
                return Ok(inner);
            }
            Token::Punct("[") => {
                let (items, end) = self.items("]", "to close `[`")?;
                return self.node(Kind::List(items), span.start..end);
            }
            Token::Punct("{") => return self.map(span.start),
            Token::Punct(".") if self.syntax == Syntax::Expr => {
                return expr_lang::field(self, span);
            }
            other => {
                self.at -= usize::from(other != Token::End);
                let message = format!("expected a value, found {}", other.describe());
                return self.fail(&message, "");
            }
        };
        self.node(Kind::Literal(literal), span)
    }

    fn named(&mut self, name: String, span: Span) -> Parsed<Node> {
        let literal = match name.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" | "nil" => Value::Null,
            _ if *self.peek() == Token::Punct("(") => return self.call(&name, span, None),
            _ if self.bound.contains(&name) => return self.node(Kind::Variable(name), span),
            _ => return self.node(Kind::Name(name), span),
        };
        self.node(Kind::Literal(literal), span)
    }

    /// `name(...)`; `given` is the first argument of a method or a pipe.
    pub(in crate::expr) fn call(
        &mut self,
        name: &str,
        span: Span,
        given: Option<Node>,
    ) -> Parsed<Node> {
        self.expect("(", "after the name of a function")?;
        let start = given
            .as_ref()
            .map_or(span.start, |node| node.span.start.min(span.start));
        match self.syntax {
            Syntax::Cel if name == "has" && given.is_none() => return cel::has(self, start),
            Syntax::Expr if expr_lang::takes_predicate(name) => {
                return expr_lang::predicate_call(self, name, start, given);
            }
            Syntax::Cel | Syntax::Expr => {}
        }
        let (mut arguments, end) = self.items(")", "to close the arguments")?;
        if let Some(given) = given {
            arguments.insert(0, given);
        }
        self.function(name, span, arguments, start..end)
    }

    /// A call of a function of the table.
    pub(in crate::expr) fn function(
        &mut self,
        name: &str,
        at: Span,
        arguments: Vec<Node>,
        span: Span,
    ) -> Parsed<Node> {
        let Some((_, function, fewest, most)) = FUNCTIONS.iter().find(|(known, ..)| *known == name)
        else {
            let near = unit::nearest(name, FUNCTIONS.iter().map(|(known, ..)| *known));
            let quantifier = Quantifier::in_expr(name)
                .or(Quantifier::in_cel(name))
                .is_some();
            let hint = match (near, quantifier, self.syntax) {
                (_, true, Syntax::Cel) => format!("write `list.{name}(x, x < 1)`"),
                (Some(near), ..) => format!("did you mean `{near}`?"),
                (None, ..) => String::new(),
            };
            return Err(ConditionError::boxed(
                at,
                format!("there is no function `{name}`"),
                hint,
            ));
        };
        if !(*fewest..=*most).contains(&arguments.len()) {
            let wanted = if fewest == most {
                fewest.to_string()
            } else {
                format!("{fewest} to {most}")
            };
            let message = format!(
                "`{name}` takes {wanted} argument(s), found {}",
                arguments.len()
            );
            return Err(ConditionError::boxed(span, message, String::new()));
        }
        self.node(
            Kind::Call {
                function: *function,
                arguments,
            },
            span,
        )
    }

    /// Expressions up to `close`; a comma may follow the last one.
    pub(super) fn items(&mut self, close: &'static str, place: &str) -> Parsed<(Vec<Node>, usize)> {
        let mut items = Vec::new();
        while *self.peek() != Token::Punct(close) {
            items.push(self.expression(0)?);
            if !self.accept(",") {
                break;
            }
        }
        Ok((items, self.expect(close, place)?.end))
    }

    fn map(&mut self, start: usize) -> Parsed<Node> {
        let mut entries = Vec::new();
        while *self.peek() != Token::Punct("}") {
            // `{name: 1}` names its key in expr-lang; in CEL the key is an expression.
            let key = match (self.peek().clone(), self.syntax) {
                (Token::Name(name), Syntax::Expr) => {
                    let (_, span) = self.advance();
                    self.node(Kind::Literal(Value::Text(name)), span)?
                }
                _ => self.expression(OR)?,
            };
            self.expect(":", "after the key of a map")?;
            entries.push((key, self.expression(0)?));
            if !self.accept(",") {
                break;
            }
        }
        let end = self.expect("}", "to close `{`")?.end;
        self.node(Kind::Map(entries), start..end)
    }

    /// Members, indexes and method calls.
    fn postfix(&mut self, mut target: Node) -> Parsed<Node> {
        loop {
            let start = target.span.start;
            let optional = self.accept("?.");
            target = if self.accept("[") {
                self.index(target, start)?
            } else if optional || self.accept(".") {
                self.member(target, start)?
            } else {
                return Ok(target);
            };
        }
    }

    fn member(&mut self, target: Node, start: usize) -> Parsed<Node> {
        let (token, span) = self.advance();
        let Token::Name(name) = token else {
            self.at -= usize::from(token != Token::End);
            let message = format!("expected a name after `.`, found {}", token.describe());
            return self.fail(&message, "");
        };
        if *self.peek() != Token::Punct("(") {
            return self.node(
                Kind::Member {
                    target: Box::new(target),
                    name,
                },
                start..span.end,
            );
        }
        match Quantifier::in_cel(&name) {
            Some(quantifier) if self.syntax == Syntax::Cel => {
                cel::over(self, quantifier, &name, target)
            }
            _ => self.call(&name, span, Some(target)),
        }
    }

    fn index(&mut self, target: Node, start: usize) -> Parsed<Node> {
        let colon = Token::Punct(":");
        let from = if *self.peek() == colon {
            None
        } else {
            Some(Box::new(self.expression(OR)?))
        };
        let target = Box::new(target);
        if self.accept(":") {
            let open = *self.peek() == Token::Punct("]");
            let to = if open {
                None
            } else {
                Some(Box::new(self.expression(OR)?))
            };
            let end = self.expect("]", "to close `[`")?.end;
            return self.node(Kind::Slice { target, from, to }, start..end);
        }
        let end = self.expect("]", "to close `[`")?.end;
        match from {
            Some(index) => self.node(Kind::Index { target, index }, start..end),
            None => self.fail("expected an index", ""),
        }
    }
}
