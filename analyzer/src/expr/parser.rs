//! What the two parsers share: the token cursor, operator precedence, brackets, and the bounds on the tree.
//!
//! Recursion is only through [`Parser::expression`], which counts its depth; a chain of operators is a loop.

mod operand;

use super::bounds::{MAX_DEPTH, MAX_NODES, MAX_QUANTIFIERS};
use super::lexer::{self, Token};
use super::tree::{Kind, Node, Op, Span};
use super::{ConditionError, Syntax, cel, expr_lang};

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
            return too_deep(node.span);
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
            return too_deep(self.span());
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

fn too_deep<T>(span: Span) -> Parsed<T> {
    Err(ConditionError::boxed(
        span,
        format!(
            "the condition is more than {MAX_DEPTH} levels deep (every bracket and every operator of a chain is one)"
        ),
        "use `sum`, `all` or `any` over a list, or split it into several gates".to_owned(),
    ))
}
