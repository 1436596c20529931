//! What the two parsers share: the token cursor, operator precedence, brackets, and the bounds on the tree.
//!
//! Recursion is only through [`Parser::expression`], which counts its depth; a chain of operators is a loop.

use super::bounds::{MAX_DEPTH, MAX_NODES, MAX_QUANTIFIERS};
use super::lexer::{self, Token};
use super::tree::{FUNCTIONS, Kind, Node, Op, Quantifier, Span};
use super::value::Value;
use super::{ConditionError, Syntax, cel, expr_lang};
use crate::unit::{self, Unit};

pub(super) type Parsed<T> = Result<T, Box<ConditionError>>;

/// How tightly an infix operator binds, and what it makes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Infix {
    pub(super) make: Make,
    pub(super) strength: u8,
    pub(super) right: bool,
    /// Tokens it takes: `not in` is two.
    pub(super) tokens: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Make {
    Op(Op),
    Coalesce,
    Pipe,
}

/// Binding strengths, weakest first.
pub(super) const PIPE: u8 = 1;
pub(super) const OR: u8 = 10;
pub(super) const AND: u8 = 15;
pub(super) const RELATION: u8 = 20;
pub(super) const RANGE: u8 = 25;
pub(super) const SUM: u8 = 30;
pub(super) const NOT: u8 = 50;
pub(super) const PRODUCT: u8 = 60;
pub(super) const SIGN: u8 = 90;
pub(super) const POWER: u8 = 100;
pub(super) const COALESCE: u8 = 110;

pub(super) struct Parser {
    tokens: Vec<(Token, Span)>,
    at: usize,
    pub(super) syntax: Syntax,
    depth: u16,
    nodes: usize,
    quantifiers: usize,
    /// Names bound here: by a quantifier or `let`.
    bound: Vec<String>,
}

pub(super) fn parse(source: &str, syntax: Syntax) -> Parsed<Node> {
    let tokens = lexer::lex(source, syntax)?;
    let mut parser = Parser {
        tokens,
        at: 0,
        syntax,
        depth: 0,
        nodes: 0,
        quantifiers: 0,
        bound: Vec::new(),
    };
    if *parser.peek() == Token::End {
        return Err(ConditionError::boxed(
            0..source.len(),
            "the condition is empty".to_owned(),
            "write one like `error_rate < 1%`".to_owned(),
        ));
    }
    let root = parser.expression(0)?;
    match parser.peek() {
        Token::End => Ok(root),
        Token::Punct("=") => parser.fail("`=` compares nothing", "write `==`"),
        Token::Punct(close @ (")" | "]" | "}")) => {
            let message = format!("`{close}` closes nothing");
            parser.fail(&message, "")
        }
        other => {
            let message = format!("expected an operator, found {}", other.describe());
            parser.fail(&message, "join conditions with `&&` or `||`")
        }
    }
}

impl Parser {
    pub(super) fn peek(&self) -> &Token {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> &Token {
        self.tokens
            .get(self.at + ahead)
            .map_or(&Token::End, |(token, _)| token)
    }

    pub(super) fn span(&self) -> Span {
        let last = self.tokens.last().map_or(0..0, |(_, span)| span.clone());
        self.tokens
            .get(self.at)
            .map_or(last, |(_, span)| span.clone())
    }

    pub(super) fn advance(&mut self) -> (Token, Span) {
        let taken = (self.peek().clone(), self.span());
        self.at = (self.at + 1).min(self.tokens.len());
        taken
    }

    pub(super) fn accept(&mut self, punct: &'static str) -> bool {
        let found = *self.peek() == Token::Punct(punct);
        if found {
            self.at += 1;
        }
        found
    }

    pub(super) fn expect(&mut self, punct: &'static str, place: &str) -> Parsed<Span> {
        if *self.peek() == Token::Punct(punct) {
            return Ok(self.advance().1);
        }
        let message = format!(
            "expected `{punct}` {place}, found {}",
            self.peek().describe()
        );
        self.fail(&message, "")
    }

    pub(super) fn fail<T>(&self, message: &str, hint: &str) -> Parsed<T> {
        Err(ConditionError::boxed(
            self.span(),
            message.to_owned(),
            hint.to_owned(),
        ))
    }

    /// A node, if the tree stays within bounds.
    pub(super) fn node(&mut self, kind: Kind, span: Span) -> Parsed<Node> {
        let mut node = Node {
            kind,
            span,
            depth: 1,
        };
        node.depth = node
            .children()
            .iter()
            .map(|child| child.depth)
            .max()
            .unwrap_or(0)
            + 1;
        self.nodes += 1;
        if node.depth > MAX_DEPTH {
            return Err(too_deep(node.span));
        }
        if self.nodes > MAX_NODES {
            return Err(ConditionError::boxed(
                node.span,
                format!("the condition has more than {MAX_NODES} parts"),
                "split it into several gates, or compute the value in the query".to_owned(),
            ));
        }
        Ok(node)
    }

    /// An expression of operators that bind at least as tightly as `minimum`; 0 takes `?:`, `|` and `let` too.
    pub(super) fn expression(&mut self, minimum: u8) -> Parsed<Node> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(too_deep(self.span()));
        }
        let mut left = match self.syntax {
            Syntax::Expr if minimum == 0 && expr_lang::is_let(self) => expr_lang::binding(self)?,
            _ => self.operand()?,
        };
        while let Some(infix) = self.infix() {
            if infix.strength < minimum {
                break;
            }
            left = self.infix_node(left, infix)?;
        }
        if minimum == 0 && *self.peek() == Token::Punct("?") {
            left = self.conditional(left)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn infix(&self) -> Option<Infix> {
        match self.syntax {
            Syntax::Cel => cel::infix(self.peek(), self.peek_at(1)),
            Syntax::Expr => expr_lang::infix(self.peek(), self.peek_at(1)),
        }
    }

    fn infix_node(&mut self, left: Node, infix: Infix) -> Parsed<Node> {
        let operator = self.span();
        self.at += infix.tokens;
        if infix.make == Make::Pipe {
            return expr_lang::pipe(self, left);
        }
        let right = self.expression(if infix.right {
            infix.strength
        } else {
            infix.strength + 1
        })?;
        let span = left.span.start..right.span.end;
        let (left, right) = (Box::new(left), Box::new(right));
        let op = match infix.make {
            Make::Op(op) => op,
            Make::Coalesce | Make::Pipe => return self.node(Kind::Coalesce { left, right }, span),
        };
        if let Kind::Binary { op: before, .. } = left.kind
            && op.is_order()
            && before.is_order()
            && infix.strength == RELATION
            && !self.closes_before(&operator)
        {
            return Err(ConditionError::boxed(
                span,
                format!("two comparisons in a row: `{before}` and `{op}`"),
                "write `a < b && b < c`".to_owned(),
            ));
        }
        self.node(Kind::Binary { op, left, right }, span)
    }

    /// Whether the token before this operator is a closing parenthesis: `(a < b) == c` is meant.
    fn closes_before(&self, operator: &Span) -> bool {
        let position = self
            .tokens
            .partition_point(|(_, span)| span.start < operator.start);
        let before = position
            .checked_sub(1)
            .and_then(|index| self.tokens.get(index));
        before.is_some_and(|(token, _)| *token == Token::Punct(")"))
    }

    fn conditional(&mut self, test: Node) -> Parsed<Node> {
        self.advance();
        let then = self.expression(0)?;
        self.expect(":", "between the two results of `?`")?;
        let otherwise = self.expression(0)?;
        let span = test.span.start..otherwise.span.end;
        let (test, then, otherwise) = (Box::new(test), Box::new(then), Box::new(otherwise));
        self.node(
            Kind::Conditional {
                test,
                then,
                otherwise,
            },
            span,
        )
    }

    /// A prefix operator with its operand, or a primary with what follows it.
    fn operand(&mut self) -> Parsed<Node> {
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
            _ if *self.peek() == Token::Punct("(") => return self.call(name, span, None),
            _ if self.bound.contains(&name) => return self.node(Kind::Variable(name), span),
            _ => return self.node(Kind::Name(name), span),
        };
        self.node(Kind::Literal(literal), span)
    }

    /// `name(...)`; `given` is the first argument of a method or a pipe.
    pub(super) fn call(&mut self, name: String, span: Span, given: Option<Node>) -> Parsed<Node> {
        self.expect("(", "after the name of a function")?;
        let start = given
            .as_ref()
            .map_or(span.start, |node| node.span.start.min(span.start));
        match self.syntax {
            Syntax::Cel if name == "has" && given.is_none() => return cel::has(self, start),
            Syntax::Expr if expr_lang::takes_predicate(&name) => {
                return expr_lang::predicate_call(self, &name, start, given);
            }
            Syntax::Cel | Syntax::Expr => {}
        }
        let (mut arguments, end) = self.items(")", "to close the arguments")?;
        if let Some(given) = given {
            arguments.insert(0, given);
        }
        self.function(&name, span, arguments, start..end)
    }

    /// A call of a function of the table.
    pub(super) fn function(
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
    fn items(&mut self, close: &'static str, place: &str) -> Parsed<(Vec<Node>, usize)> {
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
            target = if self.accept("?.") && *self.peek() != Token::Punct("[") {
                self.member(target, start)?
            } else if self.accept(".") {
                self.member(target, start)?
            } else if self.accept("[") {
                self.index(target, start)?
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
            _ => self.call(name, span, Some(target)),
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

    pub(super) fn is_bound(&self, name: &str) -> bool {
        self.bound.iter().any(|bound| bound == name)
    }

    /// Parses with `name` bound.
    pub(super) fn with_bound<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        self.bound.push(name.to_owned());
        let parsed = parse(self);
        self.bound.pop();
        parsed
    }

    /// Parses the body of a quantifier.
    pub(super) fn body(
        &mut self,
        variable: &str,
        parse: impl FnOnce(&mut Self) -> Parsed<Node>,
    ) -> Parsed<Node> {
        self.quantifiers += 1;
        if self.quantifiers > MAX_QUANTIFIERS {
            return self.fail(
                &format!("more than {MAX_QUANTIFIERS} of `all`, `any`, `filter`, `map`... inside each other"),
                "each multiplies the work; compute the value in the query",
            );
        }
        let body = self.with_bound(variable, parse);
        self.quantifiers -= 1;
        body
    }
}

fn too_deep(span: Span) -> Box<ConditionError> {
    ConditionError::boxed(
        span,
        format!(
            "the condition is more than {MAX_DEPTH} levels deep (every bracket and every operator of a chain is one)"
        ),
        "use `sum`, `all` or `any` over a list, or split it into several gates".to_owned(),
    )
}
