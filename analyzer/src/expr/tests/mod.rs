mod hostile;
mod messages;
mod oracle;

use std::collections::BTreeMap;

use super::*;
use crate::unit::Unit;

type Names = BTreeMap<String, Type>;
type Values = BTreeMap<String, Value>;

fn names() -> Names {
    let build = [
        ("status", Type::Text),
        ("exit_code", Type::Number(Some(Unit::None))),
    ];
    let build = Type::Object(
        build
            .into_iter()
            .map(|(name, found)| (name.to_owned(), found))
            .collect(),
    );
    [
        ("error_rate", Type::Number(Some(Unit::Ratio))),
        ("percent", Type::Number(Some(Unit::Percent))),
        ("p99_latency", Type::Number(Some(Unit::Milliseconds))),
        ("p99_seconds", Type::Number(Some(Unit::Seconds))),
        ("memory", Type::Number(Some(Unit::Bytes))),
        ("requests", Type::Number(Some(Unit::Count))),
        ("x", Type::Number(None)),
        ("result", Type::vector(None)),
        ("json", Type::Any),
        ("missing", Type::Any),
        ("flag", Type::Bool),
        ("status", Type::Text),
        ("build-image", build),
    ]
    .into_iter()
    .map(|(name, found)| (name.to_owned(), found))
    .collect()
}

fn values() -> Values {
    let json = serde_json::json!({
        "status": "ok", "ready": true, "count": 3, "half": 0.5, "none": null, "node-name": "a",
        "items": [{"name": "a", "size": 1}, {"name": "b", "size": 2}], "empty": []
    });
    let build = serde_json::json!({"status": "COMPLETED", "exit_code": 0});
    [
        ("error_rate", Value::Float(0.034, Unit::Ratio)),
        ("p99_latency", Value::Float(512.0, Unit::Milliseconds)),
        ("p99_seconds", Value::Float(0.512, Unit::Seconds)),
        ("memory", Value::Float(10_485_760.0, Unit::Bytes)),
        ("requests", Value::Float(200.0, Unit::Count)),
        ("x", Value::Int(5)),
        ("result", vec![0.2, 0.7, 0.4].into()),
        ("json", json.into()),
        ("flag", true.into()),
        ("status", "healthy".into()),
        ("build-image", build.into()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn compile(source: &str, syntax: Syntax) -> Condition {
    Condition::compile(source, syntax, &names())
        .unwrap_or_else(|errors| panic!("{source}: {errors:?}"))
}

fn errors(source: &str, syntax: Syntax) -> Vec<String> {
    match Condition::compile(source, syntax, &names()) {
        Ok(_) => panic!("{source} compiles"),
        Err(errors) => errors
            .iter()
            .map(|error| {
                assert!(
                    source.get(error.span.clone()).is_some(),
                    "{source}: {error:?}"
                );
                error.to_string()
            })
            .collect(),
    }
}

fn warnings(source: &str, syntax: Syntax) -> String {
    compile(source, syntax)
        .warnings()
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" | ")
}

#[test]
fn cel_conditions() {
    for (source, expected) in [
        ("error_rate < 0.01 && p99_latency < 500", false),
        ("error_rate >= 0.01 || p99_latency >= 500", true),
        ("error_rate < 5%", true),
        ("error_rate < 3.4%", false),
        ("p99_latency < 0.6s", true),
        ("p99_latency < 513ms && p99_latency > 511 ", true),
        ("p99_seconds < 513ms", true),
        ("p99_seconds < 0.6", true),
        ("p99_latency < p99_seconds * 1.1", true),
        ("memory == 10Mi", true),
        ("memory < 1Gi && memory > 10MB", true),
        ("requests >= 100", true),
        (
            "7 / 2 == 3 && 7 % 2 == 1 && -7 / 2 == -3 && x % 2 == 1",
            true,
        ),
        ("json.status != 'ok'", false),
        ("json.status == \"ok\" ? json.ready : false", true),
        (
            "json.items.length == 2 && size(json.items) == 2 && json.items.size() == 2",
            true,
        ),
        (
            "json.items.all(i, i.size < 3) && json.items.exists(i, i.name == 'b')",
            true,
        ),
        ("json.items.exists_one(i, i.size == 1)", true),
        ("json.items.filter(i, i.size > 1)[0].name == 'b'", true),
        ("json.items.map(i, i.size) == [1, 2]", true),
        ("json.items.map(i, i.size > 1, i.name) == ['b']", true),
        ("json.empty.all(i, i > 1)", true),
        (
            "'a' in ['a', 'b'] && !('c' in ['a', 'b']) && 'status' in json",
            true,
        ),
        (
            "has(json.status) && !has(json.nothing) && !has(json.none)",
            true,
        ),
        (
            "json.status.startsWith('o') && json.status.matches('^o.$')",
            true,
        ),
        (
            "status contains 'health' and not (status contains 'un')",
            true,
        ),
        (
            "int('12') == 12 && double('1.5') == 1.5 && string(3) == '3'",
            true,
        ),
        (
            "duration('5m') == 300s && p99_latency < duration('1s')",
            true,
        ),
        (
            "build_image.status == 'COMPLETED' && build_image.exit_code == 0",
            true,
        ),
        ("json.node_name == 'a'", true),
        ("json['status'] == 'ok' && {'a': 1}['a'] == 1", true),
        (
            "json.half * 2.0 == 1.0 && 1 + 2 * 3 == 7 && (1 + 2) * 3 == 9",
            true,
        ),
        ("missing == null || json.none != null", true),
        ("missing > 3 && false", false),
        ("false && missing > 3", false),
        ("missing > 3 || true", true),
        ("flag", true),
        ("!flag", false),
        ("50% == 50 && 5 % 2 == 1 && 5%2 == 1", true),
        ("1h30m == 90m", true),
        ("p99_seconds * 1000 < 513 && error_rate * 100 < 4", true),
        (
            "memory / 1024 / 1024 <= 10.0 && p99_latency / 1000 > 0.5",
            true,
        ),
        ("error_rate * 2 > 6%", true),
    ] {
        assert_eq!(
            compile(source, Syntax::Cel).evaluate(&values()),
            Ok(expected),
            "{source}"
        );
    }
}

#[test]
fn expr_conditions() {
    for (source, expected) in [
        ("result[0] >= 0.95", false),
        ("result[-1] == 0.4", true),
        ("all(result, {# < 0.5})", false),
        ("all(result, # < 0.8)", true),
        (
            "any(result, {# > 0.5}) and none(result, {# > 1}) and one(result, # > 0.5)",
            true,
        ),
        ("count(result, {# < 0.5}) == 2", true),
        ("len(filter(result, {# > 0.3})) == 2", true),
        ("sum(map(result, {# * 2})) > 2.5", true),
        (
            "mean(result) > 0.43 && mean(result) < 0.44 && median(result) == 0.4",
            true,
        ),
        (
            "max(result) == 0.7 && min(result) == 0.2 && max(1, 2) == 2",
            true,
        ),
        ("result | all(# < 0.8)", true),
        ("result | filter(# > 0.3) | len() == 2", true),
        ("let worst = max(result); worst < 0.8 && worst > 0.6", true),
        ("(json.nothing ?? 5) > 4 && json?.status == 'ok'", true),
        ("json.nothing ?? 5 > 4", true),
        ("default(json.nothing, 0) == 0", true),
        ("isNaN(result[0]) || result[0] < 0.5", true),
        ("not isNaN(result[0]) and not isInf(result[0])", true),
        ("isNil(json.none)", true),
        (
            "asInt('12') == 12 && asFloat('1.5') == 1.5 && asInt(1.9) == 1",
            true,
        ),
        ("7 / 2 == 3.5 && 2 ** 3 == 8 && 2 ^ 2 ** 1 == 4", true),
        ("'ok' in ['ok', 'fine'] && 'bad' not in ['ok']", true),
        (
            "status contains 'health' && status startsWith 'h' && status endsWith 'y' && status matches '^h'",
            true,
        ),
        (
            "json.items[0].name == 'a' && all(json.items, .size < 3) && sum(json.items, .size) == 3",
            true,
        ),
        (
            "len(1..3) == 3 && result[0:2][1] == 0.7 && len(result[1:]) == 2",
            true,
        ),
        (
            "abs(-3) == 3 && floor(1.5) == 1 && ceil(1.5) == 2 && round(2.5) == 3",
            true,
        ),
        ("result[0] > 0.1 ? flag : false", true),
        ("any(json.items, {let s = .size; s == 2})", true),
        ("first(result) == 0.2 && last(result) == 0.4", true),
        ("result[0] < 50%", true),
        ("len(result) == 0 || result[0] < 0.5", true),
        ("!(result[0] > 0.5)", true),
    ] {
        let condition = compile(source, Syntax::Expr);
        assert_eq!(condition.evaluate(&values()), Ok(expected), "{source}");
        assert_eq!(
            condition.evaluate_argo(&values()),
            Ok(expected),
            "argo: {source}"
        );
    }
}

#[test]
fn absent_data_is_its_own_answer() {
    let with = |name: &str, value: Value| {
        let mut values = values();
        values.insert(name.to_owned(), value);
        values
    };
    let nan = with("result", vec![f64::NAN].into());
    let infinite = with("result", vec![f64::INFINITY].into());
    let empty = with("result", Value::List(Vec::new()));
    for (source, env, what) in [
        ("missing > 3", &values(), "`missing` has no value"),
        ("missing == 'ok'", &values(), "`missing` has no value"),
        ("!missing", &values(), "`missing` has no value"),
        (
            "json.nothing.more < 3",
            &values(),
            "`json.nothing.more` has no value",
        ),
        ("missing + 1 < 3", &values(), "`missing` has no value"),
        ("missing", &values(), "`missing` has no value"),
        ("result[0] < 0.5", &nan, "`result[0]` is NaN"),
        ("!(result[0] > 0.5)", &nan, "`result[0]` is NaN"),
        ("result[0] == 0.5", &nan, "`result[0]` is NaN"),
        ("all(result, # < 0.5)", &nan, "`result[0]` is NaN"),
        ("max(result) < 0.5", &nan, "`max(result)` is NaN"),
        ("result[0] < 0.5", &infinite, "`result[0]` is +Inf"),
        ("result[0] < 0.5", &empty, "`result[0]` has no value"),
        ("all(result, # < 0.5)", &empty, "`result` is empty"),
        ("none(result, # < 0.5)", &empty, "`result` is empty"),
        ("sum(result) < 0.5", &empty, "`result` is empty"),
        ("count(result, # > 1) == 0", &empty, "`result` is empty"),
        (
            "len(filter(result, # > 1)) == 0",
            &empty,
            "`result` is empty",
        ),
        ("x / (x - x) > 1", &values(), "`x / (x - x)` is +Inf"),
    ] {
        let error = compile(source, Syntax::Expr).evaluate(env).unwrap_err();
        assert!(
            matches!(error, EvaluationError::NoData { .. }),
            "{source}: {error:?}"
        );
        assert_eq!(error.to_string(), what, "{source}");
    }
    for (source, env, expected) in [
        ("result[0] < 0.5 || isNaN(result[0])", &nan, true),
        ("len(result) == 0 || result[0] < 0.5", &empty, true),
        ("result[0] < 0.5 || len(result) == 0", &empty, true),
        ("default(result[0], 0) == 0", &empty, true),
        ("(result[0] ?? 0) == 0", &empty, true),
        (
            "any(result, # > 0.5)",
            &with("result", vec![f64::NAN, 0.7].into()),
            true,
        ),
        (
            "all(result, # < 0.5)",
            &with("result", vec![f64::NAN, 0.7].into()),
            false,
        ),
    ] {
        assert_eq!(
            compile(source, Syntax::Expr).evaluate(env),
            Ok(expected),
            "{source}"
        );
    }
}

#[test]
fn argo_reads_absent_data_its_own_way() {
    let nan: Values = [("result".to_owned(), vec![f64::NAN].into())].into();
    let empty: Values = [("result".to_owned(), Value::List(Vec::new()))].into();
    for (source, env, expected) in [
        ("result[0] < 0.5", &nan, Some(false)),
        ("result[0] >= 0.5", &nan, Some(false)),
        ("!(result[0] > 0.5)", &nan, Some(true)),
        ("result[0] == result[0]", &nan, Some(false)),
        ("all(result, # < 0.5)", &empty, Some(true)),
        ("sum(result) <= 1", &empty, Some(true)),
        ("mean(result) <= 1", &empty, Some(true)),
        ("result[0] < 0.5", &empty, None),
        ("result[0] < 0.5 || true", &empty, None),
        ("len(result) == 0 || result[0] < 0.5", &empty, Some(true)),
        ("result == []", &empty, Some(true)),
    ] {
        let found = compile(source, Syntax::Expr).evaluate_argo(env);
        assert_eq!(
            found.as_ref().ok().copied(),
            expected,
            "{source}: {found:?}"
        );
        assert!(
            !matches!(found, Err(EvaluationError::NoData { .. })),
            "{source}"
        );
    }
}
