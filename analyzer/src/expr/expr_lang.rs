//! What is expr-lang's own: its operators, `#` predicates, pipes and `let`.
//!
//! Semantics: <https://expr-lang.org/docs/language-definition>, as far as AnalysisTemplates use it.

use super::cel;
use super::lexer::Token;
use super::parser::{COALESCE, Infix, Make, PIPE, POWER, Parsed, Parser, RANGE};
use super::tree::{Kind, Node, Op, Quantifier, Span};

/// The element, inside a predicate.
pub(super) const ELEMENT: &str = "#";

pub(super) fn infix(token: &Token, next: &Token) -> Option<Infix> {
    let (make, strength, right) = match token {
        Token::Punct("|") => (Make::Pipe, PIPE, false),
        Token::Punct("??") => (Make::Coalesce, COALESCE, false),
        Token::Punct("..") => (Make::Op(Op::Range), RANGE, false),
        Token::Punct("**" | "^") => (Make::Op(Op::Power), POWER, true),
        _ => return cel::infix(token, next),
    };
    Some(Infix {
        make,
        strength,
        right,
        tokens: 1,
    })
}

pub(super) fn is_let(parser: &Parser) -> bool {
    matches!(parser.peek(), Token::Name(word) if word == "let")
        && matches!(parser.peek_at(1), Token::Name(_))
        && *parser.peek_at(2) == Token::Punct("=")
}

/// `let name = value; body`.
pub(super) fn binding(parser: &mut Parser) -> Parsed<Node> {
    let (_, start) = parser.advance();
    let (Token::Name(name), _) = parser.advance() else {
        return parser.fail("expected a name after `let`", "");
    };
    parser.expect("=", "after the name of `let`")?;
    let value = Box::new(parser.expression(0)?);
    parser.expect(";", "after the value of `let`")?;
    let body = Box::new(parser.with_bound(&name, |parser| parser.expression(0))?);
    let span = start.start..body.span.end;
    parser.node(Kind::Let { name, value, body }, span)
}

/// `#`, after it was taken.
pub(super) fn element(parser: &mut Parser, span: Span) -> Parsed<Node> {
    if !parser.is_bound(ELEMENT) {
        return parser.fail(
            "`#` is the element of a list, inside `all(list, # < 1)` and its kin",
            "",
        );
    }
    parser.node(Kind::Variable(ELEMENT.to_owned()), span)
}

/// `.name` for `#.name`, after the point was taken.
pub(super) fn field(parser: &mut Parser, point: Span) -> Parsed<Node> {
    let start = point.start;
    let target = Box::new(element(parser, point)?);
    match parser.advance() {
        (Token::Name(name), span) => parser.node(Kind::Member { target, name }, start..span.end),
        (other, _) => parser.fail(
            &format!("expected a name after `.`, found {}", other.describe()),
            "",
        ),
    }
}

pub(super) fn pipe(parser: &mut Parser, left: Node) -> Parsed<Node> {
    match parser.advance() {
        (Token::Name(name), span) => parser.call(&name, span, Some(left)),
        (other, _) => parser.fail(
            &format!("expected a function after `|`, found {}", other.describe()),
            "",
        ),
    }
}

/// Whether a second argument is a predicate; of `sum` it is a value for each element.
pub(super) fn takes_predicate(name: &str) -> bool {
    name == "sum" || Quantifier::in_expr(name).is_some()
}

/// `all(list, predicate)` and its kin, after the opening parenthesis.
pub(super) fn predicate_call(
    parser: &mut Parser,
    name: &str,
    start: usize,
    given: Option<Node>,
) -> Parsed<Node> {
    let piped = given.is_some();
    let list = match given {
        Some(list) => list,
        None => parser.expression(0)?,
    };
    let more = if piped {
        *parser.peek() != Token::Punct(")")
    } else {
        parser.accept(",")
    };
    if !more {
        let end = parser.expect(")", "to close the arguments")?.end;
        if name != "sum" && name != "count" {
            let message = format!("`{name}` needs a condition for the elements");
            return parser.fail(&message, &format!("write `{name}(list, # < 1)`"));
        }
        return parser.function(name, start..end, vec![list], start..end);
    }
    let body = parser.body(ELEMENT, |parser| {
        if parser.accept("{") {
            let body = parser.expression(0)?;
            parser.expect("}", "to close the predicate")?;
            return Ok(body);
        }
        parser.expression(0)
    })?;
    parser.accept(",");
    let end = parser.expect(")", "to close the arguments")?.end;
    let quantifier = Quantifier::in_expr(name).unwrap_or(Quantifier::Map);
    let over = Kind::Over {
        quantifier,
        list: Box::new(list),
        variable: ELEMENT.to_owned(),
        body: Box::new(body),
    };
    let over = parser.node(over, start..end)?;
    match name {
        "sum" => parser.function(name, start..end, vec![over], start..end),
        _ => Ok(over),
    }
}
