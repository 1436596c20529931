//! `$.a.b[0]['odd key']`: the part of JSONPath that names exactly one value. Wildcards, filters and slices name
//! several, which an output cannot hold; they are refused.

use serde_json::Value;

/// A path longer than this many steps is refused.
const DEEPEST: usize = 64;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Member of an object.
    Key(String),
    /// Element of a list; negative counts from the end.
    Index(i64),
}

/// Reads the value that the path names. `Ok(None)`: there is none.
///
/// # Errors
/// The path cannot be read; the text says where and what was expected.
pub fn get<'a>(path: &str, document: &'a Value) -> Result<Option<&'a Value>, String> {
    let mut value = document;
    for step in parse(path)? {
        let next = match (&step, value) {
            (Step::Key(key), Value::Object(map)) => map.get(key),
            (Step::Index(index), Value::Array(items)) => element(items, *index),
            _ => None,
        };
        match next {
            Some(found) => value = found,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

/// Whether the path can be read, for checks before anything runs.
pub fn check(path: &str) -> Result<(), String> {
    parse(path).map(drop)
}

fn element(items: &[Value], index: i64) -> Option<&Value> {
    let position = if index < 0 {
        items
            .len()
            .checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?
    } else {
        usize::try_from(index).ok()?
    };
    items.get(position)
}

fn parse(path: &str) -> Result<Vec<Step>, String> {
    let text = path.trim();
    let wrong = |what: &str, rest: &str| {
        let column = text.len() - rest.len() + 1;
        format!(
            "path `{path}`: {what} at character {column}; expected something like `$.data.items[0].name`"
        )
    };
    let mut rest = text.strip_prefix('$').unwrap_or(text);
    // `data.status` is read as `$.data.status`.
    let mut bare = rest.len() == text.len();
    if bare && text.is_empty() {
        return Err(wrong("nothing", rest));
    }
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() == DEEPEST {
            return Err(wrong(&format!("more than {DEEPEST} steps"), rest));
        }
        if let Some(inner) = rest.strip_prefix('[') {
            let (step, after) = bracket(inner).map_err(|what| wrong(what, rest))?;
            steps.push(step);
            rest = after;
        } else {
            let name = match rest.strip_prefix('.') {
                Some(name) => name,
                None if bare => rest,
                None => return Err(wrong("neither `.` nor `[`", rest)),
            };
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let (key, after) = name.split_at(end);
            if key.is_empty() {
                return Err(wrong("a name is missing", name));
            }
            if key.contains(['*', '?', '@', '(', ']']) {
                return Err(wrong(
                    "only plain names are understood, an output holds one value:",
                    name,
                ));
            }
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        }
        bare = false;
    }
    Ok(steps)
}

fn bracket(inner: &str) -> Result<(Step, &str), &'static str> {
    for quote in ['\'', '"'] {
        if let Some(quoted) = inner.strip_prefix(quote) {
            let end = quoted.find(quote).ok_or("a quote is not closed")?;
            let after = quoted[end + 1..]
                .strip_prefix(']')
                .ok_or("`]` is missing")?;
            return Ok((Step::Key(quoted[..end].to_owned()), after));
        }
    }
    let end = inner.find(']').ok_or("`]` is missing")?;
    let index = inner[..end]
        .trim()
        .parse()
        .map_err(|_| "an index or a quoted name belongs in `[]`")?;
    Ok((Step::Index(index), &inner[end + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn finds_one_value() {
        let document = json!({"a": {"b": [1, {"c d": 2}], "null": null}, "x.y": 3});
        for (path, expected) in [
            ("$", Some(document.clone())),
            ("$.a.b[0]", Some(json!(1))),
            ("$.a.b[-1]['c d']", Some(json!(2))),
            ("a.b[1][\"c d\"]", Some(json!(2))),
            ("$['x.y']", Some(json!(3))),
            ("$.a.null", Some(json!(null))),
            ("$.a.b[2]", None),
            ("$.a.b[-3]", None),
            ("$.a.b.c", None),
            ("$.nope", None),
        ] {
            assert_eq!(get(path, &document).unwrap(), expected.as_ref(), "{path}");
        }
    }

    #[test]
    fn says_where_a_path_is_wrong() {
        for (path, what) in [
            ("", "nothing at character 1"),
            ("$.a.", "a name is missing at character 5"),
            ("$a", "neither `.` nor `[` at character 2"),
            ("$.a[*]", "an index or a quoted name"),
            ("$..a", "a name is missing"),
            ("$.a['b", "a quote is not closed"),
            ("$.*", "an output holds one value"),
        ] {
            let error = check(path).unwrap_err();
            assert!(error.contains(what), "{path}: {error}");
        }
        assert!(
            check(&"a.".repeat(100))
                .unwrap_err()
                .contains("more than 64 steps")
        );
    }

    proptest! {
        #[test]
        fn never_panics(path in "[$.a\\[\\]'\"0-9é*-]{0,20}") {
            drop(get(&path, &json!({"a": ["é", {"": 1}]})).map(Option::<&Value>::cloned));
        }
    }
}
