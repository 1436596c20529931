//! Types and units of operators.

use super::{
    Bound, Checker, Dimension, Function, Kind, Misfit, Node, Op, Operand, Span, Syntax, Type, Unit,
    Value, constant, join, number, unit,
};

impl Checker<'_> {
    pub(super) fn binary(
        &mut self,
        span: &Span,
        op: Op,
        left: &mut Node,
        right: &mut Node,
    ) -> Type {
        let (a, b) = (self.node(left), self.node(right));
        match op {
            Op::And | Op::Or => {
                self.want(left, &a, &Type::Bool);
                self.want(right, &b, &Type::Bool);
                Type::Bool
            }
            _ if op.is_comparison() => {
                self.comparison(span, op, (left, &a), (right, &b));
                Type::Bool
            }
            Op::In | Op::NotIn | Op::Contains => {
                let (holder, found) = if op == Op::Contains {
                    (&*left, &a)
                } else {
                    (&*right, &b)
                };
                if matches!(found, Type::Number(_) | Type::Bool) {
                    let message = format!(
                        "`{}` is {found} and cannot contain anything",
                        self.text(holder)
                    );
                    self.error(&holder.span, message, String::new());
                }
                Type::Bool
            }
            Op::StartsWith | Op::EndsWith | Op::Matches => {
                self.want(left, &a, &Type::Text);
                self.want(right, &b, &Type::Text);
                if op == Op::Matches {
                    self.pattern(right);
                }
                Type::Bool
            }
            Op::Range => {
                self.want(left, &a, &Type::Number(None));
                self.want(right, &b, &Type::Number(None));
                Type::vector(Some(Unit::None))
            }
            _ => self.arithmetic(span, op, (left, &a), (right, &b)),
        }
    }

    fn arithmetic(
        &mut self,
        span: &Span,
        op: Op,
        left: (&Node, &Type),
        right: (&Node, &Type),
    ) -> Type {
        let joins = op == Op::Add
            && !matches!(
                (left.1, right.1),
                (Type::Number(_), _) | (_, Type::Number(_))
            );
        if joins {
            if !left.1.overlaps(right.1) || *left.1 == Type::Bool || *right.1 == Type::Bool {
                let message = format!("`+` does not take {} and {}", left.1, right.1);
                self.error(span, message, String::new());
            }
            return join(left.1.clone(), right.1.clone());
        }
        self.want(left.0, left.1, &Type::Number(None));
        self.want(right.0, right.1, &Type::Number(None));
        let (Type::Number(a), Type::Number(b)) = (left.1, right.1) else {
            return Type::Number(None);
        };
        if op == Op::Divide && self.syntax == Syntax::Cel {
            self.whole_division(span, left, right);
        }
        let (Some(a), Some(b)) = (a, b) else {
            return Type::Number(None);
        };
        let operand = |node: &Node, unit: Unit| Operand {
            value: self.constant_number(node).unwrap_or(1.0),
            unit,
            constant: node.is_constant(),
        };
        match number::arithmetic(op, operand(left.0, *a), operand(right.0, *b)) {
            Ok((_, unit)) => Type::Number(Some(unit)),
            Err(misfit) => {
                self.misfit(span, misfit, left.0, right.0);
                Type::Number(None)
            }
        }
    }

    /// `errors / requests < 0.01` is true of 3 / 100 in CEL, where two whole numbers divide to a whole number.
    fn whole_division(&mut self, span: &Span, left: (&Node, &Type), right: (&Node, &Type)) {
        let may_be_whole = |(node, found): (&Node, &Type)| {
            let float = matches!(
                node.kind,
                Kind::Literal(Value::Float(..))
                    | Kind::Call {
                        function: Function::Float,
                        ..
                    }
            );
            !float && matches!(found, Type::Number(None | Some(Unit::None)))
        };
        if may_be_whole(left) && may_be_whole(right) {
            let (a, b) = (self.text(left.0), self.text(right.0));
            let message =
                format!("`{a} / {b}` of two whole numbers is a whole number in CEL: 3 / 100 is 0");
            self.warn(span, message, &format!("write `double({a}) / {b}`"));
        }
    }

    fn misfit(&mut self, span: &Span, misfit: Misfit, left: &Node, right: &Node) {
        let (message, hint) = misfit.explain(&self.text(left), &self.text(right));
        self.error(span, message, hint);
    }

    fn comparison(&mut self, span: &Span, op: Op, left: (&Node, &Type), right: (&Node, &Type)) {
        if !left.1.overlaps(right.1) {
            let (a, b) = (self.text(left.0), self.text(right.0));
            let message = format!(
                "`{a}` is {} and `{b}` is {}: they cannot be compared",
                left.1, right.1
            );
            let hint = match (left.1, right.1) {
                (Type::List(_), Type::Number(_)) => {
                    format!("write `{a}[0] {op} {b}`, or `all({a}, ...)`")
                }
                (Type::Number(_), Type::Text) | (Type::Text, Type::Number(_)) => {
                    "numbers have no quotes".to_owned()
                }
                _ => String::new(),
            };
            self.error(span, message, hint);
            return;
        }
        if op.is_order() {
            for (node, found) in [left, right] {
                let ordered = found.overlaps(&Type::Number(None)) || found.overlaps(&Type::Text);
                if !ordered {
                    self.want(node, found, &Type::Number(None));
                    return;
                }
            }
        }
        let (Type::Number(a), Type::Number(b)) = (left.1, right.1) else {
            return;
        };
        let (left_value, right_value) =
            (self.constant_number(left.0), self.constant_number(right.0));
        let (Some(a), Some(b)) = (*a, *b) else {
            // A unit that is not known yet is looked at when there is a value.
            self.bound_of(
                span,
                op,
                (left.0, a.or(Some(Unit::None)), left_value),
                (right.0, b.or(Some(Unit::None)), right_value),
            );
            return;
        };
        let operand = |node: &Node, unit: Unit, value: Option<f64>| Operand {
            value: value.unwrap_or(f64::NAN),
            unit,
            constant: node.is_constant(),
        };
        let (first, second) = (
            operand(left.0, a, left_value),
            operand(right.0, b, right_value),
        );
        if let Err(misfit) = number::align(first, second) {
            self.misfit(span, misfit, left.0, right.0);
            return;
        }
        self.bound_of(
            span,
            op,
            (left.0, Some(a), left_value),
            (right.0, Some(b), right_value),
        );
    }

    fn constant_number(&self, node: &Node) -> Option<f64> {
        constant(node, self.source, self.syntax)?
            .quantity()
            .map(|quantity| quantity.value)
    }

    /// Notes a comparison with a constant for the warnings about ranges, and warns of what is wrong with it alone.
    fn bound_of(
        &mut self,
        span: &Span,
        op: Op,
        left: (&Node, Option<Unit>, Option<f64>),
        right: (&Node, Option<Unit>, Option<f64>),
    ) {
        let ((node, unit, _), (written, written_unit, limit), op) = match (left.2, right.2) {
            (None, Some(_)) => (left, right, op),
            (Some(_), None) => (right, left, op.mirrored()),
            _ => return,
        };
        let (Some(unit), Some(written_unit), Some(limit)) = (unit, written_unit, limit) else {
            return;
        };
        let text = self.text(node);
        let shown = self.text(written);
        let bare = written_unit == Unit::None;
        if unit == Unit::Ratio
            && bare
            && (limit > 1.0 || (limit >= 1.0 && op.is_order() && op != Op::GreaterOrEqual))
        {
            let percent = unit::number(limit, 6);
            let message = format!(
                "`{text}` is a ratio, 0 to 1, and `{shown}` is {} %",
                unit::number(limit * 100.0, 6)
            );
            self.warn(
                span,
                message,
                &format!("write `{percent}%` if that is meant"),
            );
        }
        if unit == Unit::Percent && bare && limit > 0.0 && limit < 1.0 {
            let message = format!(
                "`{text}` is in percent, and `{shown}` is {} %",
                unit::number(limit, 6)
            );
            self.warn(
                span,
                message,
                &format!(
                    "write `{}%` if that is meant",
                    unit::number(limit * 100.0, 6)
                ),
            );
        }
        let measured = matches!(
            unit.dimension(),
            Dimension::Ratio | Dimension::Time | Dimension::Rate
        );
        if !op.is_order() && limit != 0.0 && (measured || limit.fract() != 0.0) {
            let message =
                format!("`{text} {op} {shown}` asks for exact equality of a measured number");
            self.warn(span, message, "compare with `<` or `>`");
        }
        let unit = if unit == Unit::None {
            written_unit
        } else {
            unit
        };
        let limit = if bare {
            unit.to_base(limit)
        } else {
            written_unit.to_base(limit)
        };
        let key: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let natural = node.is_path();
        self.bounds.insert(
            (span.start, span.end),
            Bound {
                key,
                op,
                limit,
                unit,
                natural,
            },
        );
    }
}
