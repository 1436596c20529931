//! What a plain scalar means: the core schema of YAML 1.2 (<https://yaml.org/spec/1.2.2/#103-core-schema>). `yes`, `no`, `on` and
//! `off` are texts.

use super::tree::{Data, Number};

/// Null, boolean, number or text.
pub(crate) fn resolve(text: &str) -> Data {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Data::Null,
        "true" | "True" | "TRUE" => Data::Bool(true),
        "false" | "False" | "FALSE" => Data::Bool(false),
        _ => number(text).map_or_else(|| Data::Text(text.to_owned()), Data::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    let first = text.bytes().next()?;
    if !(first.is_ascii_digit() || matches!(first, b'-' | b'+' | b'.')) {
        return None;
    }
    let raw = text.to_owned();
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let all = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
            let integer = all
                .then(|| i64::from_str_radix(digits, radix).ok())
                .flatten()?;
            return Some(Number {
                raw,
                value: to_f64(integer),
                integer: Some(integer),
            });
        }
    }
    let (sign, unsigned) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (if first == b'-' { -1.0 } else { 1.0 }, rest),
        None => (1.0, text),
    };
    match unsigned {
        ".inf" | ".Inf" | ".INF" => {
            return Some(Number {
                raw,
                value: sign * f64::INFINITY,
                integer: None,
            });
        }
        ".nan" | ".NaN" | ".NAN" if unsigned.len() == text.len() => {
            return Some(Number {
                raw,
                value: f64::NAN,
                integer: None,
            });
        }
        _ => {}
    }
    if !is_decimal(unsigned) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    let integer = text.strip_prefix('+').unwrap_or(text).parse().ok();
    Some(Number {
        raw,
        value,
        integer,
    })
}

/// `digits`, `digits.digits`, `.digits`, with an exponent.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && exponent_fits
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a number beyond 2^53 is no setting; `integer` keeps it exactly"
)]
fn to_f64(integer: i64) -> f64 {
    integer as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        for (text, expected) in [
            ("0", Some(0.0)),
            ("-12", Some(-12.0)),
            ("+3", Some(3.0)),
            ("0.01", Some(0.01)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("1e3", Some(1000.0)),
            ("1.5E-2", Some(0.015)),
            ("0x1F", Some(31.0)),
            ("0o17", Some(15.0)),
            ("010", Some(10.0)),
            ("-.inf", Some(f64::NEG_INFINITY)),
            ("9223372036854775808", Some(9_223_372_036_854_775_808.0)),
            ("1.2.3", None),
            ("1_000", None),
            ("10s", None),
            ("0x", None),
            ("-", None),
            (".", None),
            ("1e", None),
            ("e1", None),
            ("inf", None),
            ("NaN", None),
            ("infinity", None),
            ("yes", None),
        ] {
            match (resolve(text), expected) {
                (Data::Number(number), Some(value)) => {
                    assert!(
                        (number.value - value).abs() < 1e-9
                            || number.value.total_cmp(&value).is_eq(),
                        "{text}"
                    );
                    assert_eq!(number.raw, text);
                }
                (Data::Text(found), None) => assert_eq!(found, text),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
        assert!(matches!(resolve(".nan"), Data::Number(number) if number.value.is_nan()));
        assert_eq!(resolve("~"), Data::Null);
        assert_eq!(resolve("True"), Data::Bool(true));
    }

    #[test]
    fn whole_numbers_are_exact_or_not_whole() {
        let integer = |text| match resolve(text) {
            Data::Number(number) => number.integer,
            _ => None,
        };
        assert_eq!(integer("9223372036854775807"), Some(i64::MAX));
        assert_eq!(integer("9223372036854775808"), None);
        assert_eq!(integer("1.0"), None);
        assert_eq!(integer("+7"), Some(7));
    }
}
