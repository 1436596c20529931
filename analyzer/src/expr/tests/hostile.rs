//! Sources and data that mean harm: an answer or a clear error, soon, on a small stack.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// Compiles and evaluates on a stack of 512 KiB, half of what a thread gets anywhere.
fn on_a_small_stack(source: String, syntax: Syntax) -> Result<bool, String> {
    let thread = std::thread::Builder::new().stack_size(512 * 1024);
    let run = move || {
        let condition = Condition::compile(&source, syntax, &names())
            .map_err(|errors| errors[0].to_string())?;
        let explained = condition.explain(&values());
        assert!(explained.len() < 8192, "{explained}");
        condition
            .evaluate(&values())
            .map_err(|error| error.to_string())
    };
    thread.spawn(run).unwrap().join().unwrap()
}

fn nested(open: &str, inner: &str, close: &str, times: usize) -> String {
    format!("{}{inner}{}", open.repeat(times), close.repeat(times))
}

#[test]
fn long_and_deep_sources() {
    for syntax in [Syntax::Cel, Syntax::Expr] {
        for (source, expected) in [
            (
                format!("{} > 1", vec!["1"; 5_000].join("+")),
                "at most 4096 are allowed",
            ),
            (
                format!("{} > 1", vec!["1"; 1_600].join("+")),
                "more than 64 levels deep",
            ),
            (
                format!("{}1 > 1", "1-".repeat(1_000)),
                "more than 64 levels deep",
            ),
            (vec!["flag"; 600].join("&&"), "more than 64 levels deep"),
            (nested("[", "1", "]", 800), "more than 64 levels deep"),
            (nested("(", "flag", ")", 800), "more than 64 levels deep"),
            ("(".repeat(4_000), "more than 64 levels deep"),
            ("!".repeat(4_000), "more than 64 levels deep"),
            ("-".repeat(4_000), "more than 64 levels deep"),
            (
                format!("x{} > 1", ".a".repeat(1_000)),
                "more than 64 levels deep",
            ),
            (
                format!("x{} > 1", "[0]".repeat(1_000)),
                "more than 64 levels deep",
            ),
            ("flag?".repeat(800), "more than 64 levels deep"),
            ("flag?flag:".repeat(400), "more than 64 levels deep"),
            ("abs(".repeat(1_000), "more than 64 levels deep"),
            ("{1:".repeat(1_000), "more than 64 levels deep"),
            (
                format!("size([{}]) > 1", vec!["1"; 2_020].join(",")),
                "more than 2000 parts",
            ),
        ] {
            let found = on_a_small_stack(source.clone(), syntax).unwrap_err();
            assert!(
                found.contains(expected),
                "{syntax:?} {}: {found}",
                &source[..20]
            );
        }
        for (source, expected) in [
            (format!("{} > 1", vec!["1"; 60].join("+")), true),
            (nested("(", "flag", ")", 60), true),
            (nested("!", "flag", "", 60), true),
            (format!("{}flag", "flag?flag:".repeat(50)), true),
            (format!("abs{} == 5", nested("(abs", "(x)", ")", 50)), true),
        ] {
            assert_eq!(
                on_a_small_stack(source.clone(), syntax),
                Ok(expected),
                "{source}"
            );
        }
    }
}

#[test]
fn work_is_bounded() {
    let ten = "[1,2,3,4,5,6,7,8,9,10]";
    let four = format!("{ten}.all(a,{ten}.all(b,{ten}.all(c,{ten}.all(d,a+b+c+d>0))))");
    assert!(
        on_a_small_stack(four, Syntax::Cel)
            .unwrap_err()
            .contains("inside each other")
    );
    let hundred = format!("[{}]", vec!["1"; 100].join(","));
    let three = format!("{hundred}.all(a,{hundred}.all(b,{hundred}.all(c,a+b+c>0)))");
    let started = start();
    assert!(
        on_a_small_stack(three, Syntax::Cel)
            .unwrap_err()
            .contains("too much work")
    );
    assert!(
        started.elapsed() < Duration::from_millis(500),
        "{:?}",
        started.elapsed()
    );
    for (source, expected) in [
        ("len(1..100000000) > 1", "too much work"),
        (
            &format!("len(map(1..9000, '{}')) > 1", "a".repeat(3_900)),
            "too much work",
        ),
        ("len(map(1..100000000, #)) > 1", "too much work"),
        ("all(1..9000, all(1..9000, # > 0))", "too much work"),
        (
            "len(-9223372036854775807..9223372036854775807) > 1",
            "too much work",
        ),
        (
            "9223372036854775807 + 1 > 0",
            "too large for a whole number",
        ),
        (
            "-9223372036854775807 - 2 < 0",
            "too large for a whole number",
        ),
        (
            "9223372036854775807 * 2 > 0",
            "too large for a whole number",
        ),
        (
            "sum([9223372036854775807, 1]) > 0",
            "too large for a whole number",
        ),
        ("5 % 0 == 0", "divides by zero"),
        (
            "status matches '(((((((((a{100}){100}){100}){100}))))))'",
            "the pattern is too large",
        ),
        (
            "status matches '\\\\w{1000}{1000}'",
            "the pattern is too large",
        ),
    ] {
        let found = on_a_small_stack(source.to_owned(), Syntax::Expr).unwrap_err();
        assert!(found.contains(expected), "{source}: {found}");
    }
    let mut big = values();
    big.insert("result".to_owned(), vec![0.1; 20_000].into());
    let error = compile("all(result, # < 1)", Syntax::Expr)
        .evaluate(&big)
        .unwrap_err();
    assert!(
        matches!(error, EvaluationError::TooMuchWork { .. }),
        "{error:?}"
    );
}

#[test]
fn many_unknown_names_are_answered_soon() {
    let scope: Names = (0..10_000)
        .map(|index| (format!("node-{index}-status"), Type::Any))
        .collect();
    let source = (0..60)
        .map(|index| format!("nod_{index}"))
        .collect::<Vec<_>>()
        .join("+")
        + ">1";
    let started = start();
    let errors = Condition::compile(&source, Syntax::Cel, &scope).unwrap_err();
    assert_eq!(errors.len(), 20);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    assert!(Condition::compile("node_9999_status > 1", Syntax::Cel, &scope).is_ok());
}

#[expect(clippy::disallowed_methods, reason = "the test asks how long it takes")]
fn start() -> std::time::Instant {
    std::time::Instant::now()
}

/// Pieces that conditions are made of, put together without sense.
fn soup() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "error_rate",
        "result",
        "json",
        "x",
        "flag",
        "status",
        "missing",
        "build-image",
        "#",
        "a",
        "0",
        "1",
        "2.5",
        "1%",
        "500ms",
        "'ok'",
        "\"a",
        "true",
        "nil",
        "null",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ".",
        "?.",
        "??",
        "?",
        ":",
        "..",
        "&&",
        "||",
        "!",
        "not",
        "in",
        "and",
        "or",
        "==",
        "!=",
        "<",
        ">=",
        "+",
        "-",
        "*",
        "/",
        "%",
        "**",
        "|",
        "all(",
        "map(",
        "len(",
        "sum(",
        ".all(x,",
        ".filter(a,",
        "has(",
        "let a =",
        ";",
        "matches",
        "contains",
        "max(",
        "isNaN(",
        "default(",
        ".length",
        "é",
        "\\",
        "µs",
        "9223372036854775807",
        "1e308",
        "1e999",
    ]);
    prop::collection::vec(pieces, 0..30).prop_map(|pieces| pieces.join(" "))
}

fn survives(source: &str) {
    for syntax in [Syntax::Cel, Syntax::Expr] {
        match Condition::compile(source, syntax, &names()) {
            Err(errors) => {
                assert!(!errors.is_empty());
                for error in errors {
                    assert!(
                        source.get(error.span.clone()).is_some(),
                        "{source:?}: {error:?}"
                    );
                }
            }
            Ok(condition) => {
                for path in condition.references() {
                    assert!(source.get(path.span).is_some());
                }
                for warning in condition.warnings() {
                    assert!(source.get(warning.span.clone()).is_some());
                }
                let strict = condition.evaluate(&values());
                assert!(!condition.explain(&values()).is_empty());
                drop(condition.evaluate_argo(&values()));
                drop(condition.explain_argo(&values()));
                // Nothing is known: a constant is a constant, the rest is never a guess.
                let nothing: Values = Values::new();
                if let Ok(answer) = condition.evaluate(&nothing) {
                    assert_eq!(condition.evaluate(&nothing), Ok(answer));
                }
                assert_eq!(strict, condition.evaluate(&values()), "{source}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(source in ".{0,200}") {
        survives(&source);
    }

    #[test]
    fn no_soup_panics(source in soup()) {
        survives(&source);
    }

    /// What is absent decides nothing: the strict answer with a value missing is that of every value, or none.
    #[test]
    fn absent_data_never_decides(
        operands in prop::collection::vec((prop::sample::select(vec!["flag", "missing", "missing < 1", "x > 1", "!missing"]), any::<bool>()), 1..6),
        truth in any::<bool>(),
    ) {
        let mut source = String::new();
        for (index, (operand, and)) in operands.iter().enumerate() {
            if index > 0 {
                source.push_str(if *and { " && " } else { " || " });
            }
            source.push_str(operand);
        }
        let condition = compile(&source, Syntax::Cel);
        if let Ok(answer) = condition.evaluate(&values()) {
            let mut known = values();
            // A number for the comparison and a boolean for the rest cannot be had at once: each where it fits.
            for value in [Value::Bool(truth), Value::Int(i64::from(truth))] {
                known.insert("missing".to_owned(), value);
                if let Ok(found) = condition.evaluate(&known) {
                    prop_assert_eq!(found, answer, "{}", source);
                }
            }
        }
    }
}
