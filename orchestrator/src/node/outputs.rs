//! How the outputs of a node are bound (S7 of the OSOP semantics): from its output file, by mapping, from a JSON object
//! on stdout or in the body, from all of it, and from what the executor knows by itself. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::path;
use super::redact::Redactor;
use crate::plan::Output;

/// One value is kept up to this many bytes (of its text, or of its JSON).
pub const LARGEST_VALUE: usize = 64 * 1024;

/// All values of a node are kept up to this many bytes together.
pub const LARGEST_NODE: usize = 256 * 1024;

/// A node binds at most this many outputs.
const MOST: usize = 128;

/// What a node left behind.
#[derive(Debug, Clone, Default)]
pub struct Found<'a> {
    /// Text of the file that `$OSOP_OUTPUT` named.
    pub file: Option<&'a str>,
    /// Output name -> `$.path` into `body`.
    pub mapping: Option<&'a BTreeMap<String, String>>,
    /// Stdout, or the body of a response: whole, or nothing if it was too large to keep whole.
    pub body: Option<&'a str>,
    /// Known from what was asked.
    pub facts: BTreeMap<String, Value>,
    /// Always available: `exit_code`, `stdout`, ...
    pub always: BTreeMap<String, Value>,
}

/// Bound outputs, and what was noticed on the way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bound {
    /// Name -> value.
    pub values: BTreeMap<String, Value>,
    /// Sentences: what was cut, what could not be read.
    pub notes: Vec<String>,
}

/// Binds outputs: each name by the first way that has it.
pub fn bind(declared: &[Output], found: &Found<'_>, redactor: &Redactor) -> Bound {
    let mut bound = Bound::default();
    let mut values: BTreeMap<String, Value> = BTreeMap::new();
    if let Some(text) = found.file {
        match read_file(text) {
            Ok(pairs) => {
                for (name, value) in pairs {
                    let value = match value {
                        FileValue::Text(text) => {
                            scalar(&text, declared.iter().find(|output| output.name == name))
                        }
                        FileValue::Json(value) => value,
                    };
                    values.insert(name, value);
                }
            }
            Err(why) => bound
                .notes
                .push(format!("the output file was not read: {why}")),
        }
    }
    let json: Option<Value> = found
        .body
        .and_then(|body| serde_json::from_str(body.trim()).ok());
    for (name, wanted) in found.mapping.into_iter().flatten() {
        if values.contains_key(name) {
            continue;
        }
        match json.as_ref().map(|document| path::get(wanted, document)) {
            Some(Ok(Some(value))) => {
                values.insert(name.clone(), value.clone());
            }
            Some(Ok(None)) => bound.notes.push(format!(
                "output `{name}`: the answer has nothing at `{wanted}`"
            )),
            Some(Err(why)) => bound.notes.push(format!("output `{name}`: {why}")),
            None => bound.notes.push(format!(
                "output `{name}`: the answer is not JSON, so `{wanted}` names nothing in it"
            )),
        }
    }
    if let Some(Value::Object(map)) = &json {
        for output in declared {
            if let Some(value) = map.get(&output.name)
                && !values.contains_key(&output.name)
            {
                values.insert(output.name.clone(), value.clone());
            }
        }
    }
    if let ([only], Some(body)) = (declared, found.body)
        && !values.contains_key(&only.name)
        && !found
            .mapping
            .is_some_and(|mapping| mapping.contains_key(&only.name))
        && !found.facts.contains_key(&only.name)
        && !body.trim().is_empty()
    {
        values.insert(only.name.clone(), whole(body.trim(), only));
    }
    for (name, value) in found.facts.iter().chain(&found.always) {
        values.entry(name.clone()).or_insert_with(|| value.clone());
    }
    keep(values, redactor, &mut bound);
    bound
}

/// Redacts, and cuts what is too large.
fn keep(values: BTreeMap<String, Value>, redactor: &Redactor, bound: &mut Bound) {
    let mut total = 0;
    for (name, value) in values {
        if bound.values.len() == MOST {
            bound
                .notes
                .push(format!("more than {MOST} outputs: the rest was left out"));
            return;
        }
        let value = cut(
            &name,
            redactor.value(value),
            LARGEST_VALUE,
            &mut bound.notes,
        );
        let size = size_of(&value);
        if total + size > LARGEST_NODE {
            bound.notes.push(format!(
                "output `{name}` was left out: all outputs together are larger than {} KiB",
                LARGEST_NODE / 1024
            ));
            bound.values.insert(name, Value::Null);
            continue;
        }
        total += size;
        bound.values.insert(name, value);
    }
}

fn size_of(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        other => other.to_string().len(),
    }
}

fn cut(name: &str, value: Value, largest: usize, notes: &mut Vec<String>) -> Value {
    let size = size_of(&value);
    if size <= largest {
        return value;
    }
    if let Value::String(text) = value {
        // The end of a log says more than its start.
        let mut from = text.len() - largest;
        while !text.is_char_boundary(from) {
            from += 1;
        }
        notes.push(format!(
            "output `{name}` has {size} bytes: the last {} KiB were kept",
            largest / 1024
        ));
        return Value::String(text[from..].to_owned());
    }
    notes.push(format!(
        "output `{name}` has {size} bytes of JSON, more than {} KiB: it was left out",
        largest / 1024
    ));
    Value::Null
}

/// Text that is a number, a word of JSON or a whole JSON document becomes that. A number must read back as the very
/// same text: `1.10` and `007` are versions and names more often than numbers, unless the output declares a unit.
fn scalar(text: &str, output: Option<&Output>) -> Value {
    if output.is_some_and(|output| output.unit.is_some())
        && let Ok(number) = text.trim().parse::<f64>()
        && let Some(number) = serde_json::Number::from_f64(number)
    {
        return Value::Number(number);
    }
    match serde_json::from_str::<Value>(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::Null))
            if reads_back(&value, text) =>
        {
            value
        }
        _ => Value::String(text.to_owned()),
    }
}

fn reads_back(value: &Value, text: &str) -> bool {
    let written = value.to_string();
    written == text
}

fn whole(text: &str, output: &Output) -> Value {
    match serde_json::from_str::<Value>(text) {
        Ok(value @ (Value::Object(_) | Value::Array(_) | Value::String(_))) => value,
        _ => scalar(text, Some(output)),
    }
}

/// A value of the output file.
enum FileValue {
    Text(String),
    Json(Value),
}

/// `name=value` lines, `name<<EOF` blocks, or one JSON object.
fn read_file(text: &str) -> Result<Vec<(String, FileValue)>, String> {
    if text.trim_start().starts_with('{') {
        let map: Map<String, Value> = serde_json::from_str(text)
            .map_err(|error| format!("it starts like a JSON object and is none: {error}"))?;
        return Ok(map
            .into_iter()
            .map(|(name, value)| (name, FileValue::Json(value)))
            .collect());
    }
    let mut pairs = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        let block = line
            .find("<<")
            .filter(|at| line.find('=').is_none_or(|equals| *at < equals));
        let (name, value) = if let Some(at) = block {
            let (name, end) = (&line[..at], line[at + 2..].trim());
            let mut value = Vec::new();
            loop {
                match lines.next() {
                    Some((_, inner)) if inner == end => break,
                    Some((_, inner)) => value.push(inner),
                    None => {
                        return Err(format!(
                            "line {}: `{end}`, the end of `{name}`, never comes",
                            number + 1
                        ));
                    }
                }
            }
            (name, value.join("\n"))
        } else {
            let (name, value) = line
                .split_once('=')
                .ok_or_else(|| format!("line {}: expected `name=value`", number + 1))?;
            (name, value.to_owned())
        };
        let name = name.trim();
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > 128 || !name.chars().all(plain) {
            return Err(format!(
                "line {}: a name has letters, digits, `_`, `-` and `.`",
                number + 1
            ));
        }
        pairs.push((name.to_owned(), FileValue::Text(value)));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests;
