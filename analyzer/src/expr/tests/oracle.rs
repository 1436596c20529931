//! The crates `expr-lang` and `cel` evaluate the same conditions on the same values, and we agree; where we do not, the
//! difference is listed with its reason.

mod conditions;

use std::collections::HashMap;

use super::*;
use conditions::{ON_DOCUMENTS, ON_OUTPUTS, ON_SCALARS, ON_VECTORS};

/// An answer of either side: true, false, or an error of whatever kind.
type Answer = Option<bool>;

fn result_env(value: Value) -> Values {
    [("result".to_owned(), value)].into()
}

fn vectors() -> Vec<Value> {
    [
        vec![],
        vec![0.0],
        vec![0.01],
        vec![0.97],
        vec![1.0],
        vec![120.5],
        vec![f64::NAN],
        vec![f64::INFINITY],
        vec![0.2, 0.7, 0.4],
        vec![0.99, 150.0],
        vec![0.96, f64::NAN],
    ]
    .into_iter()
    .map(Value::from)
    .collect()
}

fn documents() -> Vec<Value> {
    [
        serde_json::json!({
            "ok": true, "status": "healthy", "code": 200, "successRate": 0.97, "count": 3, "errors": 0,
            "latency": {"p99": 412.5}, "data": {"passed": true, "failures": []}, "tags": ["a", "b"],
            "items": [{"name": "a", "value": 0.1}, {"name": "b", "value": 0.9}], "text": "12", "none": null
        }),
        serde_json::json!({
            "ok": false, "status": "failing", "code": 503, "successRate": 0.5, "count": 0, "errors": 17,
            "latency": {"p99": 900}, "data": {"passed": false, "failures": ["x"]}, "tags": [],
            "items": [], "text": "1.5", "none": null
        }),
    ]
    .into_iter()
    .map(Value::from)
    .collect()
}

fn scalars() -> Vec<Value> {
    let mut scalars: Vec<Value> = [0.0, 0.04, 0.5, 0.99, 5.0, 1e9, f64::NAN, f64::INFINITY]
        .into_iter()
        .map(Value::from)
        .collect();
    scalars.extend([Value::Int(0), Value::Int(3), Value::Int(200)]);
    scalars
}

fn to_expr(value: &Value) -> expr::Value {
    match value {
        Value::Null => expr::Value::Nil,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value, _) => (*value).into(),
        Value::Text(text) => text.into(),
        Value::List(items) => items.iter().map(to_expr).collect::<Vec<_>>().into(),
        Value::Map(entries) => entries
            .iter()
            .map(|(name, value)| (name.clone(), to_expr(value)))
            .collect(),
    }
}

/// The functions that Argo Rollouts adds, as its `evaluate.go` defines them.
fn argo_environment() -> expr::Environment<'static> {
    fn float(call: &expr::Value) -> expr::Result<f64> {
        match call {
            expr::Value::Float(value) => Ok(*value),
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            expr::Value::Integer(value) => Ok(*value as f64),
            expr::Value::String(text) => text
                .parse()
                .map_err(|_| expr::Error::ExprError("no number".to_owned())),
            _ => Err(expr::Error::ExprError("no number".to_owned())),
        }
    }
    let mut env = expr::Environment::new();
    env.add_function("isNaN", |call| Ok(float(&call.args[0])?.is_nan().into()));
    env.add_function("isInf", |call| {
        Ok(float(&call.args[0])?.is_infinite().into())
    });
    env.add_function(
        "isNil",
        |call| Ok((call.args[0] == expr::Value::Nil).into()),
    );
    env.add_function("asFloat", |call| Ok(float(&call.args[0])?.into()));
    env.add_function("asInt", |call| match &call.args[0] {
        expr::Value::String(text) => match text.parse::<i64>() {
            Ok(value) => Ok(value.into()),
            Err(_) => Err(expr::Error::ExprError("no integer".to_owned())),
        },
        other => match float(other)? {
            #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
            value if value.is_finite() => Ok((value as i64).into()),
            _ => Err(expr::Error::ExprError("no integer".to_owned())),
        },
    });
    env.add_function("default", |call| {
        Ok(if call.args[0] == expr::Value::Nil {
            call.args[1].clone()
        } else {
            call.args[0].clone()
        })
    });
    env
}

fn any_scope() -> Names {
    [("result".to_owned(), Type::Any)].into()
}

/// Where expr-lang answers and we answer otherwise, on purpose.
const EXPR_DIFFERENCES: &[(&str, &str)] = &[
    ("result[0] == 0", OUT_OF_RANGE),
    ("result[0] == 1", OUT_OF_RANGE),
    ("result[0] != 1", OUT_OF_RANGE),
    ("result[0] in [0, 1]", OUT_OF_RANGE),
    ("result[0] not in [0.0, 1.0]", OUT_OF_RANGE),
    ("any(result.items, {.name == 'b'})", BARE_FIELD),
    ("count(result.items, {.value > 0.5}) <= 1", BARE_FIELD),
    ("map(result.items, {.name}) == ['a', 'b']", BARE_FIELD),
];

const OUT_OF_RANGE: &str =
    "an index out of range is an error in Go, which Argo runs; the crate takes it for nil";
const BARE_FIELD: &str =
    "`.name` in braces is `#.name` in Go; the crate knows it only without braces";

#[test]
fn expr_lang_agrees() {
    let oracle = argo_environment();
    let mut seen = 0;
    let mut differ = Vec::new();
    for (conditions, inputs) in [
        (ON_VECTORS, vectors()),
        (ON_DOCUMENTS, documents()),
        (ON_SCALARS, scalars()),
    ] {
        for source in conditions {
            let ours = Condition::compile(source, Syntax::Expr, &any_scope())
                .unwrap_or_else(|errors| panic!("{source}: {errors:?}"));
            for input in &inputs {
                let mut context = expr::Context::default();
                context.insert("result", to_expr(input));
                let theirs: Answer = match oracle.eval(source, &context) {
                    Ok(expr::Value::Bool(value)) => Some(value),
                    _ => None,
                };
                let found = ours.evaluate_argo(&result_env(input.clone()));
                if found.as_ref().ok().copied() != theirs {
                    differ.push((
                        *source,
                        format!("{input}: theirs {theirs:?}, ours {found:?}"),
                    ));
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 700, "{seen}");
    let unknown: Vec<_> = differ
        .iter()
        .filter(|(source, _)| !EXPR_DIFFERENCES.iter().any(|(known, _)| known == source))
        .collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
    for (known, reason) in EXPR_DIFFERENCES {
        assert!(
            differ.iter().any(|(source, _)| source == known),
            "{known} no longer differs: {reason}"
        );
    }
}

fn outputs() -> Vec<serde_json::Value> {
    vec![
        serde_json::json!({
            "error_rate_10": 0.004, "p99_latency_10": 310.0, "approved": true, "severity": "low", "coverage": 87.5,
            "health_status": {"status": "ok", "ready": true},
            "test": {"exit_code": 0, "passed": 10, "failed": 2, "note": null},
            "vulnerabilities": [{"severity": "low", "score": 2.5}]
        }),
        serde_json::json!({
            "error_rate_10": 0.034, "p99_latency_10": 512.0, "approved": false, "severity": "critical", "coverage": 12.0,
            "health_status": {"status": "starting", "ready": false},
            "test": {"exit_code": 1, "passed": 7, "failed": 5, "note": "late"},
            "vulnerabilities": [{"severity": "critical", "score": 9.8}, {"severity": "low", "score": 6.0}]
        }),
        serde_json::json!({
            "error_rate_10": 0.01, "p99_latency_10": 500.0, "approved": true, "severity": "high", "coverage": 80.0,
            "health_status": {"status": "ok", "ready": false},
            "test": {"exit_code": 0, "passed": 12, "failed": 0, "note": null},
            "vulnerabilities": []
        }),
    ]
}

fn to_cel(value: &Value) -> ::cel::Value {
    match value {
        Value::Null => ::cel::Value::Null,
        Value::Bool(value) => ::cel::Value::Bool(*value),
        Value::Int(value) => ::cel::Value::Int(*value),
        Value::Float(value, _) => ::cel::Value::Float(*value),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(to_cel).collect::<Vec<_>>().into(),
        Value::Map(entries) => entries
            .iter()
            .map(|(name, value)| (name.clone(), to_cel(value)))
            .collect::<HashMap<_, _>>()
            .into(),
    }
}

/// Where the `cel` crate answers and we answer otherwise, on purpose.
const CEL_DIFFERENCES: &[(&str, &str)] = &[];

#[test]
fn cel_agrees() {
    let mut differ = Vec::new();
    for source in ON_OUTPUTS {
        let theirs =
            ::cel::Program::compile(source).unwrap_or_else(|errors| panic!("{source}: {errors:?}"));
        for input in outputs() {
            let Value::Map(values) = Value::from(input) else {
                panic!("a map")
            };
            let scope: Names = values
                .keys()
                .map(|name| (name.clone(), Type::Any))
                .collect();
            let ours = Condition::compile(source, Syntax::Cel, &scope)
                .unwrap_or_else(|errors| panic!("{source}: {errors:?}"));
            let mut context = ::cel::Context::default();
            for (name, value) in &values {
                context.add_variable_from_value(name.clone(), to_cel(value));
            }
            let theirs: Answer = match theirs.execute(&context) {
                Ok(::cel::Value::Bool(value)) => Some(value),
                _ => None,
            };
            let found = ours.evaluate(&values);
            if found.as_ref().ok().copied() != theirs {
                differ.push((*source, format!("theirs {theirs:?}, ours {found:?}")));
            }
        }
    }
    let unknown: Vec<_> = differ
        .iter()
        .filter(|(source, _)| !CEL_DIFFERENCES.iter().any(|(known, _)| known == source))
        .collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
    for (known, reason) in CEL_DIFFERENCES {
        assert!(
            differ.iter().any(|(source, _)| source == known),
            "{known} no longer differs: {reason}"
        );
    }
}
