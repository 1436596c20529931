//! What is CEL's own: its operators, `has()` and the macros.
//!
//! Semantics: <https://github.com/google/cel-spec/blob/master/doc/langdef.md>. Beyond CEL, and only where it would be
//! an error there: `and`, `or`, `not`, and infix `contains`, `startsWith`, `endsWith`, `matches`.

use super::lexer::Token;
use super::parser::{AND, Infix, Make, OR, PRODUCT, Parsed, Parser, RELATION, SUM};
use super::tree::{Kind, Node, Op, Quantifier};

pub(super) fn infix(token: &Token, next: &Token) -> Option<Infix> {
    let (op, strength, tokens) = match token {
        Token::Punct(punct) => match *punct {
            "||" => (Op::Or, OR, 1),
            "&&" => (Op::And, AND, 1),
            "==" => (Op::Equal, RELATION, 1),
            "!=" => (Op::NotEqual, RELATION, 1),
            "<" => (Op::Less, RELATION, 1),
            "<=" => (Op::LessOrEqual, RELATION, 1),
            ">" => (Op::Greater, RELATION, 1),
            ">=" => (Op::GreaterOrEqual, RELATION, 1),
            "+" => (Op::Add, SUM, 1),
            "-" => (Op::Subtract, SUM, 1),
            "*" => (Op::Multiply, PRODUCT, 1),
            "/" => (Op::Divide, PRODUCT, 1),
            "%" => (Op::Modulo, PRODUCT, 1),
            _ => return None,
        },
        Token::Name(name) => word(name, next)?,
        _ => return None,
    };
    Some(Infix {
        make: Make::Op(op),
        strength,
        right: false,
        tokens,
    })
}

/// Operators that are words, the same in both languages.
pub(super) fn word(name: &str, next: &Token) -> Option<(Op, u8, usize)> {
    Some(match name {
        "or" | "OR" => (Op::Or, OR, 1),
        "and" | "AND" => (Op::And, AND, 1),
        "in" => (Op::In, RELATION, 1),
        "not" if matches!(next, Token::Name(word) if word == "in") => (Op::NotIn, RELATION, 2),
        "contains" => (Op::Contains, RELATION, 1),
        "startsWith" => (Op::StartsWith, RELATION, 1),
        "endsWith" => (Op::EndsWith, RELATION, 1),
        "matches" => (Op::Matches, RELATION, 1),
        _ => return None,
    })
}

/// `has(path)`, after its opening parenthesis.
pub(super) fn has(parser: &mut Parser, start: usize) -> Parsed<Node> {
    let path = parser.expression(0)?;
    let end = parser.expect(")", "to close `has(`")?.end;
    if !path.is_path() {
        return parser.fail(
            "`has` takes a name with members",
            "write `has(outputs.build)`",
        );
    }
    parser.node(Kind::Has(Box::new(path)), start..end)
}

/// `list.all(x, ...)` and its kin, before their opening parenthesis.
pub(super) fn over(
    parser: &mut Parser,
    quantifier: Quantifier,
    name: &str,
    list: Node,
) -> Parsed<Node> {
    let start = list.span.start;
    parser.expect("(", "after the name of a macro")?;
    let (token, _) = parser.advance();
    let Token::Name(variable) = token else {
        let message = format!(
            "`{name}` takes a name and a condition, found {}",
            token.describe()
        );
        return parser.fail(&message, &format!("write `list.{name}(x, x < 1)`"));
    };
    parser.expect(",", &format!("after the name in `{name}`"))?;
    let body = parser.body(&variable, |parser| parser.expression(0))?;
    if quantifier == Quantifier::Map && parser.accept(",") {
        // list.map(x, keep, value) is list.filter(x, keep).map(x, value).
        let value = parser.body(&variable, |parser| parser.expression(0))?;
        let end = parser.expect(")", "to close the macro")?.end;
        let kept = Kind::Over {
            quantifier: Quantifier::Filter,
            list: Box::new(list),
            variable: variable.clone(),
            body: Box::new(body),
        };
        let list = Box::new(parser.node(kept, start..end)?);
        return parser.node(
            Kind::Over {
                quantifier,
                list,
                variable,
                body: Box::new(value),
            },
            start..end,
        );
    }
    let end = parser.expect(")", "to close the macro")?.end;
    parser.node(
        Kind::Over {
            quantifier,
            list: Box::new(list),
            variable,
            body: Box::new(body),
        },
        start..end,
    )
}
