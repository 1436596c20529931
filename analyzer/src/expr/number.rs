//! How units meet: in a comparison and in arithmetic.

use super::tree::Op;
use crate::unit::{Dimension, Unit};

/// From here on a bare number is not taken for seconds: a p99 in seconds compared with 500 is a mistake that would let
/// every canary pass, and no service promises a latency of 10 s.
pub(super) const BARE_SECONDS: f64 = 10.0;

/// One side of a comparison. A value that is not known at compile time is NaN.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operand {
    pub(super) value: f64,
    pub(super) unit: Unit,
    /// Written in the source, not measured.
    pub(super) constant: bool,
}

/// Why two numbers cannot be put side by side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Misfit {
    /// They measure different things.
    Dimensions(Dimension, Dimension),
    /// A measurement in seconds and a large bare number.
    BareSeconds(f64),
    /// A measurement without a unit and a time with one: seconds or milliseconds?
    Undeclared,
}

impl Misfit {
    /// Message and hint, about the two texts as written.
    pub(super) fn explain(self, left: &str, right: &str) -> (String, String) {
        match self {
            Self::Dimensions(a, b) => (
                format!("`{left}` is {a} and `{right}` is {b}: they do not go together"),
                "give both the same kind of unit".to_owned(),
            ),
            Self::BareSeconds(value) => {
                let value = crate::unit::number(value, 6);
                (
                    format!(
                        "one side of `{left}` and `{right}` is in seconds, and the other is {value} without a unit"
                    ),
                    format!("write `{value}ms`, or `{value}s` if seconds are meant"),
                )
            }
            Self::Undeclared => (
                format!(
                    "one of `{left}` and `{right}` has a unit of time, and the unit of the other is not declared"
                ),
                "declare it (`unit: s` or `unit: ms`)".to_owned(),
            ),
        }
    }
}

/// Both sides in one unit. A bare number takes the unit of the other side; a measurement without a unit is taken for
/// the base of a written percentage or size (a ratio, bytes), but not of a written time.
pub(super) fn align(left: Operand, right: Operand) -> Result<(f64, f64), Misfit> {
    match (left.unit, right.unit) {
        (a, b) if a == b => Ok((left.value, right.value)),
        (Unit::None, _) => bare(left, right),
        (_, Unit::None) => bare(right, left).map(|(bare, other)| (other, bare)),
        (a, b) if a.dimension() == b.dimension() => {
            Ok((a.to_base(left.value), b.to_base(right.value)))
        }
        (a, b) => Err(Misfit::Dimensions(a.dimension(), b.dimension())),
    }
}

fn bare(bare: Operand, other: Operand) -> Result<(f64, f64), Misfit> {
    let time = other.unit.dimension() == Dimension::Time;
    if bare.constant || !other.constant {
        if bare.constant && other.unit == Unit::Seconds && bare.value.abs() >= BARE_SECONDS {
            return Err(Misfit::BareSeconds(bare.value));
        }
        return Ok((bare.value, other.value));
    }
    if time && other.value != 0.0 {
        return Err(Misfit::Undeclared);
    }
    Ok((bare.value, other.unit.to_base(other.value)))
}

/// The result of an arithmetic operator, with its unit.
pub(super) fn arithmetic(op: Op, left: Operand, right: Operand) -> Result<(f64, Unit), Misfit> {
    let (a, left_unit) = (left.value, left.unit);
    let (b, right_unit) = (right.value, right.unit);
    let (from, by) = (left_unit.dimension(), right_unit.dimension());
    match op {
        Op::Add | Op::Subtract => {
            let sign = if op == Op::Add { 1.0 } else { -1.0 };
            match (left_unit, right_unit) {
                (Unit::None, unit) | (unit, Unit::None) => Ok((a + sign * b, unit)),
                _ => match right_unit.convert(b, left_unit) {
                    Some(b) => Ok((a + sign * b, left_unit)),
                    None => Err(Misfit::Dimensions(from, by)),
                },
            }
        }
        Op::Multiply => Ok(match (from, by) {
            (Dimension::Plain, _) => (
                a * b,
                if converts(left, by) {
                    Unit::None
                } else {
                    right_unit
                },
            ),
            (_, Dimension::Plain) => (
                a * b,
                if converts(right, from) {
                    Unit::None
                } else {
                    left_unit
                },
            ),
            (_, Dimension::Ratio) => (a * right_unit.to_base(b), left_unit),
            (Dimension::Ratio, _) => (left_unit.to_base(a) * b, right_unit),
            (_, Dimension::Count) => (a * b, left_unit),
            (Dimension::Count, _) => (a * b, right_unit),
            (Dimension::Time, Dimension::Rate) | (Dimension::Rate, Dimension::Time) => {
                (left_unit.to_base(a) * right_unit.to_base(b), Unit::Count)
            }
            _ => (left_unit.to_base(a) * right_unit.to_base(b), Unit::None),
        }),
        Op::Divide => Ok(match (from, by) {
            (_, Dimension::Plain) => (
                a / b,
                if converts(right, from) {
                    Unit::None
                } else {
                    left_unit
                },
            ),
            (from, by) if from == by => (left_unit.to_base(a) / right_unit.to_base(b), Unit::None),
            (_, Dimension::Ratio) => (a / right_unit.to_base(b), left_unit),
            (_, Dimension::Count) => (a / b, left_unit),
            (Dimension::Count, Dimension::Time) => (a / right_unit.to_base(b), Unit::PerSecond),
            _ => (left_unit.to_base(a) / right_unit.to_base(b), Unit::None),
        }),
        Op::Power => Ok((a.powf(b), Unit::None)),
        _ => Ok((a % b, left_unit)),
    }
}

/// Whether a written number is one that people convert units with by hand: `error_rate * 100 < 5`,
/// `p99_seconds * 1000 < 500`, `memory / 1024 / 1024 < 512`. The result is a plain number then, as they mean it.
fn converts(factor: Operand, dimension: Dimension) -> bool {
    let factors: &[f64] = match dimension {
        Dimension::Ratio => &[100.0],
        Dimension::Time => &[60.0, 1e3, 3600.0, 1e6, 1e9],
        Dimension::Data => &[1e3, 1024.0, 1e6, 1_048_576.0, 1e9, 1_073_741_824.0],
        Dimension::Plain | Dimension::Count | Dimension::Rate => &[],
    };
    factor.constant
        && factors
            .iter()
            .any(|known| (known - factor.value).abs() < f64::EPSILON)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(value: f64, unit: Unit) -> Operand {
        Operand {
            value,
            unit,
            constant: false,
        }
    }

    fn written(value: f64, unit: Unit) -> Operand {
        Operand {
            value,
            unit,
            constant: true,
        }
    }

    #[test]
    fn comparisons() {
        use Unit::{Bytes, Mebibytes, Milliseconds, None, Percent, Ratio, Seconds};
        for (left, right, expected) in [
            (
                measured(450.0, Milliseconds),
                written(500.0, None),
                Ok((450.0, 500.0)),
            ),
            (
                measured(0.45, Seconds),
                written(500.0, Milliseconds),
                Ok((0.45, 0.5)),
            ),
            (measured(0.45, Seconds), written(0.5, None), Ok((0.45, 0.5))),
            (
                measured(0.45, Seconds),
                written(500.0, None),
                Err(Misfit::BareSeconds(500.0)),
            ),
            (
                written(500.0, None),
                measured(0.45, Seconds),
                Err(Misfit::BareSeconds(500.0)),
            ),
            (
                measured(0.02, None),
                written(1.0, Percent),
                Ok((0.02, 0.01)),
            ),
            (measured(3.4, Percent), written(5.0, None), Ok((3.4, 5.0))),
            (
                measured(3.4, Percent),
                written(0.01, Ratio),
                Ok((0.034, 0.01)),
            ),
            (
                measured(450.0, None),
                written(500.0, Milliseconds),
                Err(Misfit::Undeclared),
            ),
            (
                measured(2e6, None),
                written(1.0, Mebibytes),
                Ok((2e6, 1_048_576.0)),
            ),
            (
                measured(1.0, Seconds),
                written(1.0, Bytes),
                Err(Misfit::Dimensions(Dimension::Time, Dimension::Data)),
            ),
        ] {
            assert_eq!(align(left, right), expected, "{left:?} {right:?}");
        }
    }

    #[test]
    fn results_of_arithmetic() {
        use Unit::{Count, Milliseconds, None, PerSecond, Percent, Ratio, Seconds};
        for (op, left, right, expected) in [
            (
                Op::Add,
                (400.0, Milliseconds),
                (0.1, Seconds),
                (500.0, Milliseconds),
            ),
            (
                Op::Add,
                (400.0, Milliseconds),
                (100.0, None),
                (500.0, Milliseconds),
            ),
            (
                Op::Multiply,
                (400.0, Milliseconds),
                (120.0, Percent),
                (480.0, Milliseconds),
            ),
            (
                Op::Multiply,
                (2.0, Seconds),
                (10.0, PerSecond),
                (20.0, Count),
            ),
            (
                Op::Divide,
                (400.0, Milliseconds),
                (0.2, Seconds),
                (2.0, None),
            ),
            (Op::Divide, (3.0, Count), (100.0, Count), (0.03, None)),
            (Op::Divide, (3.0, Count), (2.0, Seconds), (1.5, PerSecond)),
            (
                Op::Subtract,
                (0.03, Ratio),
                (1.0, Percent),
                (0.019_999_999_999_999_997, Ratio),
            ),
        ] {
            let (left, right) = (written(left.0, left.1), measured(right.0, right.1));
            assert_eq!(arithmetic(op, left, right), Ok(expected), "{op}");
        }
        assert!(arithmetic(Op::Add, measured(1.0, Seconds), measured(1.0, Ratio)).is_err());
        for (op, left, right, expected) in [
            (
                Op::Multiply,
                measured(0.5, Seconds),
                written(1000.0, None),
                (500.0, None),
            ),
            (
                Op::Multiply,
                written(100.0, None),
                measured(0.5, Ratio),
                (50.0, None),
            ),
            (
                Op::Divide,
                measured(500.0, Milliseconds),
                written(1000.0, None),
                (0.5, None),
            ),
            (
                Op::Multiply,
                measured(0.5, Seconds),
                measured(1000.0, None),
                (500.0, Seconds),
            ),
            (
                Op::Multiply,
                measured(3.0, Percent),
                written(1.5, None),
                (4.5, Percent),
            ),
        ] {
            assert_eq!(arithmetic(op, left, right), Ok(expected), "{op} {right:?}");
        }
    }
}
