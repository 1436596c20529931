//! Each way of binding, their order, and their bounds.

use serde_json::json;

use super::*;

fn declared(names: &[&str]) -> Vec<Output> {
    names
        .iter()
        .map(|name| Output {
            name: (*name).to_owned(),
            unit: None,
        })
        .collect()
}

fn bound(names: &[&str], found: &Found<'_>) -> Value {
    let bound = bind(&declared(names), found, &Redactor::default());
    assert_eq!(bound.notes, Vec::<String>::new());
    serde_json::to_value(bound.values).unwrap()
}

#[test]
fn each_way_alone() {
    let mapping = BTreeMap::from([("digest".to_owned(), "$.image.digest".to_owned())]);
    for (names, found, expected) in [
        (
            vec!["a", "b"],
            Found {
                file: Some("a=1\nb=two words\n"),
                ..Found::default()
            },
            json!({"a": 1, "b": "two words"}),
        ),
        (
            vec!["a"],
            Found {
                file: Some("a<<END\nx=1\ny\nEND\nb=true"),
                ..Found::default()
            },
            json!({"a": "x=1\ny", "b": true}),
        ),
        (
            vec!["a"],
            Found {
                file: Some("{\"a\": \"1.10\", \"b\": [1]}"),
                ..Found::default()
            },
            json!({"a": "1.10", "b": [1]}),
        ),
        (
            vec!["v"],
            Found {
                file: Some("v=1.10\nw=007\nx=-0.5\ny=1e3"),
                ..Found::default()
            },
            json!({"v": "1.10", "w": "007", "x": -0.5, "y": "1e3"}),
        ),
        (
            vec!["digest"],
            Found {
                mapping: Some(&mapping),
                body: Some("{\"image\":{\"digest\":\"sha256:1\"}}"),
                ..Found::default()
            },
            json!({"digest": "sha256:1"}),
        ),
        (
            vec!["a", "b"],
            Found {
                body: Some("{\"a\": 1, \"c\": 2}"),
                ..Found::default()
            },
            json!({"a": 1}),
        ),
        (
            vec!["a"],
            Found {
                body: Some(" 0.25\n"),
                ..Found::default()
            },
            json!({"a": 0.25}),
        ),
        (
            vec!["a"],
            Found {
                body: Some("ready\n"),
                ..Found::default()
            },
            json!({"a": "ready"}),
        ),
        (
            vec!["a"],
            Found {
                body: Some("{\"x\": 1}"),
                ..Found::default()
            },
            json!({"a": {"x": 1}}),
        ),
        (
            vec!["a"],
            Found {
                body: Some("{\"a\": 7}"),
                ..Found::default()
            },
            json!({"a": 7}),
        ),
        (
            vec!["a", "b"],
            Found {
                body: Some("text"),
                ..Found::default()
            },
            json!({}),
        ),
        (
            vec!["a"],
            Found {
                body: Some("  \n"),
                ..Found::default()
            },
            json!({}),
        ),
        (
            vec!["tag"],
            Found {
                body: Some("built"),
                facts: BTreeMap::from([("tag".to_owned(), json!("v1"))]),
                ..Found::default()
            },
            json!({"tag": "v1"}),
        ),
    ] {
        assert_eq!(bound(&names, &found), expected, "{found:?}");
    }
}

#[test]
fn the_first_way_that_has_a_name_wins() {
    let mapping = BTreeMap::from([
        ("a".to_owned(), "$.m".to_owned()),
        ("b".to_owned(), "$.m".to_owned()),
    ]);
    let found = Found {
        file: Some("a=file"),
        mapping: Some(&mapping),
        body: Some(
            "{\"a\":\"body\",\"b\":\"body\",\"c\":\"body\",\"m\":\"map\",\"status\":\"starting\"}",
        ),
        facts: BTreeMap::from([
            ("c".to_owned(), json!("fact")),
            ("d".to_owned(), json!("fact")),
        ]),
        always: BTreeMap::from([
            ("status".to_owned(), json!("completed")),
            ("attempt".to_owned(), json!(1)),
        ]),
    };
    assert_eq!(
        bound(&["a", "b", "c", "d", "status"], &found),
        json!({"a": "file", "b": "map", "c": "body", "d": "fact", "status": "starting", "attempt": 1})
    );
}

#[test]
fn a_declared_unit_makes_it_a_number() {
    let outputs = [Output {
        name: "rate".to_owned(),
        unit: Some(canary_analyzer::unit::Unit::Ratio),
    }];
    let found = Found {
        file: Some("rate=0.10"),
        ..Found::default()
    };
    assert_eq!(
        bind(&outputs, &found, &Redactor::default()).values["rate"],
        json!(0.1)
    );
}

#[test]
fn what_cannot_be_read_is_said() {
    let mapping = BTreeMap::from([
        ("a".to_owned(), "$.x".to_owned()),
        ("b".to_owned(), "$[".to_owned()),
    ]);
    for (found, expected) in [
        (
            Found {
                file: Some("{nope"),
                ..Found::default()
            },
            "starts like a JSON object",
        ),
        (
            Found {
                file: Some("a<<E\nx"),
                ..Found::default()
            },
            "line 1: `E`, the end of `a`, never comes",
        ),
        (
            Found {
                file: Some("ok=1\nno equals"),
                ..Found::default()
            },
            "line 2: expected `name=value`",
        ),
        (
            Found {
                mapping: Some(&mapping),
                body: Some("{}"),
                ..Found::default()
            },
            "nothing at `$.x`",
        ),
        (
            Found {
                mapping: Some(&mapping),
                body: Some("<html>"),
                ..Found::default()
            },
            "is not JSON",
        ),
    ] {
        let notes = bind(&declared(&["a", "z"]), &found, &Redactor::default()).notes;
        assert!(
            notes.iter().any(|note| note.contains(expected)),
            "{notes:?}"
        );
    }
}

#[test]
fn bounded_and_redacted() {
    let redactor = Redactor::new(["hunter2"]);
    let long = "é".repeat(LARGEST_VALUE);
    let file: String = (0..6).fold(format!("p=hunter2\nq={long}\n"), |text, i| {
        format!("{text}r{i}={}\n", "x".repeat(60_000))
    });
    let bound = bind(
        &declared(&["p"]),
        &Found {
            file: Some(&file),
            ..Found::default()
        },
        &redactor,
    );
    assert_eq!(bound.values["p"], json!("***"));
    assert!(bound.values["q"].as_str().unwrap().len() <= LARGEST_VALUE);
    assert!(serde_json::to_string(&bound.values).unwrap().len() < LARGEST_NODE + 1_000);
    assert!(
        bound
            .notes
            .iter()
            .any(|note| note.contains("`q` has 131072 bytes")),
        "{:?}",
        bound.notes
    );
    assert!(
        bound
            .notes
            .iter()
            .any(|note| note.contains("`r5` was left out")),
        "{:?}",
        bound.notes
    );
}
