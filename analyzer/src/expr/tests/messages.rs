//! What people are told: errors, warnings, explanations, references.

use super::*;

#[test]
fn errors_say_what_to_write() {
    for (source, syntax, expected) in [
        ("p99_seconds < 500", Syntax::Cel, "write `500ms`, or `500s`"),
        ("500 > p99_seconds", Syntax::Cel, "write `500ms`"),
        (
            "p99_latency < 10Mi",
            Syntax::Cel,
            "`p99_latency` is a time and `10Mi` is an amount of data",
        ),
        (
            "error_rate < p99_latency",
            Syntax::Cel,
            "do not go together",
        ),
        (
            "error_rate + p99_latency < 1",
            Syntax::Cel,
            "do not go together",
        ),
        (
            "eror_rate < 1%",
            Syntax::Cel,
            "there is no `eror_rate` here; did you mean `error_rate`?",
        ),
        (
            "build-image.status == 'ok'",
            Syntax::Cel,
            "write `build_image` for `build-image`",
        ),
        (
            "build_image.statos == 'ok'",
            Syntax::Cel,
            "did you mean `status`?",
        ),
        ("result >= 0.95", Syntax::Expr, "write `result[0] >= 0.95`"),
        ("result", Syntax::Expr, "a list, not true or false"),
        (
            "error_rate",
            Syntax::Cel,
            "compare it with something: `error_rate > 0`",
        ),
        (
            "error_rate && flag",
            Syntax::Cel,
            "compare it with something: `error_rate > 0`",
        ),
        ("error_rate < '1'", Syntax::Cel, "numbers have no quotes"),
        (
            "error_rate[0] < 1%",
            Syntax::Cel,
            "write `error_rate`, without an index",
        ),
        ("error_rate = 1", Syntax::Cel, "write `==`"),
        ("error_rate === 1", Syntax::Cel, "write `==`"),
        (
            "error_rate <",
            Syntax::Cel,
            "expected a value, found the end",
        ),
        (
            "(error_rate < 1",
            Syntax::Cel,
            "expected `)` to close `(`, found the end",
        ),
        ("error_rate < 1) ", Syntax::Cel, "`)` closes nothing"),
        ("0 < error_rate < 1", Syntax::Cel, "write `a < b && b < c`"),
        ("flag & flag", Syntax::Cel, "write `&&`"),
        ("flag flag", Syntax::Cel, "join conditions with `&&`"),
        ("", Syntax::Cel, "the condition is empty"),
        ("  ", Syntax::Expr, "the condition is empty"),
        ("status == 'ok", Syntax::Cel, "the text is not closed"),
        (
            "status matches '('",
            Syntax::Expr,
            "not a regular expression",
        ),
        (
            "p99_latency < 5 parsecs",
            Syntax::Cel,
            "expected an operator, found `parsecs`",
        ),
        (
            "p99_latency < 5parsecs",
            Syntax::Cel,
            "`parsecs` after 5 is not a unit",
        ),
        (
            "p99_latency < duration('soon')",
            Syntax::Cel,
            "`soon` is not a duration",
        ),
        ("sise(result) > 1", Syntax::Cel, "did you mean `size`?"),
        (
            "all(result, x, x < 1)",
            Syntax::Cel,
            "write `list.all(x, x < 1)`",
        ),
        ("all(result)", Syntax::Expr, "write `all(list, # < 1)`"),
        (
            "abs(1, 2) > 1",
            Syntax::Expr,
            "`abs` takes 1 argument(s), found 2",
        ),
        ("# < 1", Syntax::Expr, "`#` is the element of a list"),
        (
            "result[0] < {{args.limit}}",
            Syntax::Expr,
            "a template must be filled in before",
        ),
        ("${error_rate} < 1", Syntax::Cel, "write the bare name"),
        (
            "x < 99999999999999999999",
            Syntax::Cel,
            "too large for a whole number",
        ),
        ("flag < true", Syntax::Cel, "true or false"),
    ] {
        let found = errors(source, syntax).join(" | ");
        assert!(found.contains(expected), "{source}: {found}");
    }
    assert_eq!(
        errors("eror_rate < 1% && p99_seconds < 500", Syntax::Cel).len(),
        2,
        "all are told"
    );
}

#[test]
fn warnings_tell_what_cannot_be_meant() {
    for (source, expected) in [
        (
            "error_rate < 1",
            "`error_rate` is a ratio, 0 to 1, and `1` is 100 %; write `1%` if that is meant",
        ),
        ("error_rate > 5", "can never be true"),
        ("error_rate >= 0", "always true"),
        (
            "x < 1 && x > 2",
            "this can never be true: no value of `x` meets it",
        ),
        ("x < 1 && flag && 2 < x", "can never be true"),
        (
            "x < 5 || x > 3",
            "this is always true: every value of `x` meets it",
        ),
        ("!(x >= 1 || x <= 2)", "this is always true"),
        (
            "percent >= 0.99",
            "`percent` is in percent, and `0.99` is 0.99 %; write `99%` if that is meant",
        ),
        (
            "p99_latency < 1s && p99_latency > 2000ms",
            "can never be true",
        ),
        ("p99_latency < 0", "can never be true"),
        ("1 < 2", "always true: it uses no name"),
        ("error_rate == 0.01", "exact equality"),
        ("x / x < 0.01", "write `double(x) / x`"),
    ] {
        let found = warnings(source, Syntax::Cel);
        assert!(found.contains(expected), "{source}: {found}");
    }
    for source in [
        "error_rate < 1%",
        "error_rate < 0.01 && p99_latency < 500",
        "error_rate >= 0.01 || p99_latency >= 500",
        "x > 1 && x < 2",
        "x < 1 || x > 2",
        "p99_latency - p99_seconds < 0",
        "x == 3",
        "requests == 0",
        "error_rate == 0",
        "x != 1 && x != 2",
        "x != 1 || x > 2",
        "error_rate / 2.0 < 1%",
    ] {
        assert_eq!(warnings(source, Syntax::Cel), "", "{source}");
    }
}

#[test]
fn references_are_names_with_members() {
    let condition = compile(
        "build_image.status == 'ok' && json['items'][0].name == status",
        Syntax::Cel,
    );
    let found: Vec<_> = condition
        .references()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found, ["build-image.status", "json.items", "status"]);
    assert_eq!(condition.references()[0].span, 0..18);
}

#[test]
fn explanations() {
    for (source, syntax, expected) in [
        (
            "error_rate < 1%",
            Syntax::Cel,
            "error_rate is 3.4 %, and must be < 1 %",
        ),
        (
            "error_rate < 0.01 && p99_latency < 600",
            Syntax::Cel,
            "error_rate is 3.4 %, and must be < 1 %",
        ),
        (
            "error_rate < 0.01 && p99_latency < 500",
            Syntax::Cel,
            "error_rate is 3.4 %, and must be < 1 %; p99_latency is 512 ms, and must be < 500 ms",
        ),
        (
            "error_rate > 1% || p99_latency > 1s",
            Syntax::Cel,
            "error_rate is 3.4 % (> 1 %)",
        ),
        (
            "error_rate < 5% && p99_latency < 600",
            Syntax::Cel,
            "error_rate is 3.4 % (< 5 %); p99_latency is 512 ms (< 600 ms)",
        ),
        (
            "!(error_rate > 1%)",
            Syntax::Cel,
            "error_rate is 3.4 %, and must not be > 1 %",
        ),
        (
            "1% > error_rate",
            Syntax::Cel,
            "error_rate is 3.4 %, and must be < 1 %",
        ),
        (
            "result[0] >= 0.95",
            Syntax::Expr,
            "result[0] is 0.2, and must be >= 0.95",
        ),
        (
            "all(result, # < 0.5)",
            Syntax::Expr,
            "result[1] is 0.7, and must be < 0.5",
        ),
        (
            "none(result, # > 0.5)",
            Syntax::Expr,
            "result[1] is 0.7, and must not be > 0.5",
        ),
        (
            "p99_latency < p99_seconds * 0.9",
            Syntax::Cel,
            "p99_latency is 512 ms, and must be < p99_seconds * 0.9 (460.8 ms)",
        ),
        (
            "missing < 3",
            Syntax::Cel,
            "inconclusive: missing has no value",
        ),
        (
            "json.status != 'ok'",
            Syntax::Cel,
            "json.status is \"ok\", and must be != \"ok\"",
        ),
        (
            "status.contains('sick')",
            Syntax::Cel,
            "status.contains('sick') is false (status is \"healthy\"), and must be true",
        ),
        ("!flag", Syntax::Cel, "flag is true, and must be false"),
        (
            "x > 3 ? error_rate < 1% : true",
            Syntax::Cel,
            "error_rate is 3.4 %, and must be < 1 %",
        ),
    ] {
        assert_eq!(
            compile(source, syntax).explain(&values()),
            expected,
            "{source}"
        );
    }
    let close: Values = [(
        "error_rate".to_owned(),
        Value::Float(0.010_000_1, Unit::Ratio),
    )]
    .into();
    assert_eq!(
        compile("error_rate < 1%", Syntax::Cel).explain(&close),
        "error_rate is 1.00001 %, and must be < 1 %"
    );
}
