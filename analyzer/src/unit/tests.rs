use super::*;

#[test]
fn spellings_are_read_and_written_back() {
    for (unit, names) in SPELLINGS {
        for name in *names {
            assert_eq!(name.parse::<Unit>().as_ref(), Ok(unit), "{name}");
        }
        assert_eq!(unit.to_string().parse::<Unit>().as_ref(), Ok(unit));
    }
    assert_eq!("Seconds".parse::<Unit>(), Ok(Unit::Seconds));
    let error = "secnds".parse::<Unit>().unwrap_err().to_string();
    assert!(error.contains("did you mean `seconds`?"), "{error}");
    assert!("Ms".parse::<Unit>().is_err(), "Ms is neither ms nor MB");
}

#[test]
fn conversion_is_exact_where_the_literals_are() {
    for (value, from, to, expected) in [
        (500.0, Unit::Milliseconds, Unit::Seconds, Some(0.5)),
        (450.0, Unit::Milliseconds, Unit::Seconds, Some(0.45)),
        (1.0, Unit::Percent, Unit::Ratio, Some(0.01)),
        (
            0.034,
            Unit::Ratio,
            Unit::Percent,
            Some(3.400_000_000_000_000_4),
        ),
        (10.0, Unit::Mebibytes, Unit::Bytes, Some(10_485_760.0)),
        (1.0, Unit::Gigabytes, Unit::Megabytes, Some(1000.0)),
        (1.0, Unit::Seconds, Unit::Bytes, None),
        (1.0, Unit::None, Unit::Seconds, None),
    ] {
        assert_eq!(from.convert(value, to), expected, "{value} {from} in {to}");
    }
}

#[test]
fn display() {
    for (value, unit, expected) in [
        (512.0, Unit::Milliseconds, "512 ms"),
        (0.512, Unit::Seconds, "512 ms"),
        (1500.0, Unit::Milliseconds, "1500 ms"),
        (90_000.0, Unit::Milliseconds, "90 s"),
        (2.5, Unit::Seconds, "2.5 s"),
        (0.034, Unit::Ratio, "3.4 %"),
        (3.4, Unit::Percent, "3.4 %"),
        (0.034, Unit::None, "0.034"),
        (12_345_678.0, Unit::None, "12345678"),
        (10_485_760.0, Unit::Bytes, "10 MiB"),
        (0.0, Unit::Seconds, "0 s"),
        (12.0, Unit::PerSecond, "12 /s"),
        (1200.0, Unit::Count, "1200"),
        (f64::NAN, Unit::Seconds, "NaN"),
        (f64::INFINITY, Unit::Ratio, "+Inf"),
        (-0.25, Unit::None, "-0.25"),
        (1e-9, Unit::None, "1.000e-9"),
    ] {
        assert_eq!(Quantity::new(value, unit).to_string(), expected);
    }
}
