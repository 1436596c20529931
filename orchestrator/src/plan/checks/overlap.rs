//! Conditions of one node that hold together, or leave a gap: found by trying them at and around every number and text in them.

use std::collections::BTreeMap;

use canary_analyzer::expr::{Condition, Value};
use canary_analyzer::unit::Unit;

use crate::diagnostic::{Diagnostics, codes, quote};
use crate::plan::compile::{Arrow, Frame};
use crate::plan::model::{Edge, EdgeMode, Node};

/// Combinations tried at most; more conditions than that are not looked at.
const MOST_POINTS: usize = 2_048;
const MOST_NAMES: usize = 4;
const MOST_CONDITIONS: usize = 8;

pub(super) fn check(
    frame: &Frame<'_>,
    nodes: &[Node],
    edges: &[(Edge, Arrow)],
    d: &mut Diagnostics,
) {
    let mut by_source: BTreeMap<usize, Vec<&(Edge, Arrow)>> = BTreeMap::new();
    for edge in edges {
        by_source.entry(edge.1.from).or_default().push(edge);
    }
    for (source, out) in by_source {
        let conditions: Vec<(&Condition, &Arrow)> = out
            .iter()
            .filter_map(|(edge, arrow)| match &edge.mode {
                EdgeMode::Conditional(condition) => Some((condition, arrow)),
                _ => None,
            })
            .collect();
        if conditions.len() < 2 || conditions.len() > MOST_CONDITIONS {
            continue;
        }
        // An edge that was refused may be the one that closes the gap.
        let ways = frame.arrows.iter().filter(|arrow| arrow.from == source);
        let lost = ways.count() > out.len() || frame.workflow.lost.edges;
        let open = lost
            || out.iter().any(|(edge, _)| {
                edge.optional
                    || matches!(
                        edge.mode,
                        EdgeMode::Otherwise | EdgeMode::Sequential | EdgeMode::Parallel
                    )
            });
        try_points(frame, &nodes[source], &conditions, open, d);
    }
}

fn try_points(
    frame: &Frame<'_>,
    node: &Node,
    conditions: &[(&Condition, &Arrow)],
    open: bool,
    d: &mut Diagnostics,
) {
    let Some(points) = points(node, conditions) else {
        return;
    };
    let mut overlap = None;
    let mut gap = None;
    for point in points {
        let environment = environment(&point);
        let truths: Option<Vec<bool>> = conditions
            .iter()
            .map(|(condition, _)| condition.evaluate(&environment).ok())
            .collect();
        let Some(truths) = truths else { continue };
        let true_ones: Vec<usize> = (0..truths.len()).filter(|n| truths[*n]).collect();
        match true_ones.as_slice() {
            [] if gap.is_none() => gap = Some(point),
            [first, second, ..] if overlap.is_none() => overlap = Some((point, *first, *second)),
            _ => {}
        }
    }
    let place = |n: usize| {
        let edge = frame.edge(conditions[n].1);
        edge.when.as_ref().map_or(edge.span, |when| when.span)
    };
    if let Some((point, first, second)) = overlap {
        d.warning(
            codes::OVERLAPPING_CONDITIONS,
            place(second),
            format!(
                "both conditions are true for {}: both ways are then taken",
                say(&point)
            ),
        )
        .related(place(first), "also true")
        .help("make them exclude each other, or use `else` for one of them");
    }
    if let Some(point) = gap
        && !open
    {
        d.warning(codes::CONDITION_GAP, place(conditions.len() - 1), format!("no condition of {} is true for {}: the run is then blocked", quote(&node.id), say(&point)))
            .help("use `else` for one of them, or `<` with `>=`; `x-optional: true` where nothing need follow");
    }
}

type Path = Vec<String>;
type Point = Vec<(Path, Value)>;

fn points(node: &Node, conditions: &[(&Condition, &Arrow)]) -> Option<Vec<Point>> {
    let mut paths: Vec<Path> = Vec::new();
    for path in conditions
        .iter()
        .flat_map(|(condition, _)| condition.references())
    {
        let mut whole = vec![path.root];
        whole.extend(path.members);
        if !paths.contains(&whole) {
            paths.push(whole);
        }
    }
    let prefixed = paths.iter().any(|path| {
        paths
            .iter()
            .any(|other| other.len() > path.len() && other.starts_with(path))
    });
    if paths.is_empty() || paths.len() > MOST_NAMES || prefixed {
        return None;
    }
    let literals: Vec<(String, Literal)> = conditions
        .iter()
        .flat_map(|(condition, _)| literals(condition.source()))
        .collect();
    let mut points: Vec<Point> = vec![Vec::new()];
    for path in paths {
        let unit = match path.as_slice() {
            [name] => node
                .outputs
                .iter()
                .find(|output| output.name == *name)
                .and_then(|output| output.unit),
            _ => None,
        };
        let name = path.join(".");
        let own = literals
            .iter()
            .filter(|(of, _)| *of == name)
            .map(|(_, literal)| literal);
        let candidates = candidates(own, unit);
        if candidates.is_empty() {
            return None;
        }
        if points.len() * candidates.len() > MOST_POINTS {
            return None;
        }
        points = points
            .into_iter()
            .flat_map(|point| {
                candidates.iter().map({
                    let path = path.clone();
                    move |value| {
                        let mut point = point.clone();
                        point.push((path.clone(), value.clone()));
                        point
                    }
                })
            })
            .collect();
    }
    Some(points)
}

enum Literal {
    Number(f64, Option<Unit>),
    Text(String),
}

/// Values at and around the literals, as far as they fit the unit.
fn candidates<'a>(literals: impl Iterator<Item = &'a Literal>, unit: Option<Unit>) -> Vec<Value> {
    let mut values: Vec<Value> = Vec::new();
    let mut add = |value: Value| {
        if !values.contains(&value) {
            values.push(value);
        }
    };
    let literals: Vec<&Literal> = literals.collect();
    for literal in &literals {
        match literal {
            Literal::Number(number, suffix) => {
                let number = match (suffix, unit) {
                    (Some(suffix), Some(unit)) => suffix.convert(*number, unit),
                    (None, _) => Some(*number),
                    (Some(_), None) => None,
                };
                let Some(number) = number else { continue };
                let near = (number.abs() * 0.01).max(1e-6);
                for value in [number - near, number, number + near] {
                    add(Value::Float(value, unit.unwrap_or_default()));
                }
            }
            Literal::Text(text) if unit.is_none() => add(Value::Text(text.clone())),
            Literal::Text(_) => {}
        }
    }
    if literals
        .iter()
        .any(|literal| matches!(literal, Literal::Text(_)))
        && unit.is_none()
    {
        add(Value::Text("something else".to_owned()));
    }
    if literals.is_empty() {
        add(Value::Bool(true));
        add(Value::Bool(false));
    }
    values
}

/// Numbers with their units and texts of an expression, each with the name that was written last before it.
fn literals(source: &str) -> Vec<(String, Literal)> {
    let mut found = Vec::new();
    let bytes = source.as_bytes();
    let mut at = 0;
    let mut last = String::new();
    let part = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        if byte.is_ascii_alphabetic() || byte == b'_' {
            while bytes.get(at).is_some_and(|b| part(b) || *b == b'.') {
                at += 1;
            }
            let name = &source[start..at];
            if !matches!(name, "in" | "true" | "false" | "and" | "or" | "not") {
                name.clone_into(&mut last);
            }
        } else if byte.is_ascii_digit() {
            while bytes
                .get(at)
                .is_some_and(|b| b.is_ascii_digit() || *b == b'.')
            {
                at += 1;
            }
            let number = source[start..at].parse();
            let suffix = at;
            while bytes.get(at).is_some_and(|b| part(b) || *b == b'%') {
                at += 1;
            }
            let suffix = &source[suffix..at];
            let unit = if suffix.is_empty() {
                Ok(None)
            } else {
                suffix.parse().map(Some)
            };
            if let (Ok(number), Ok(unit)) = (number, unit) {
                found.push((last.clone(), Literal::Number(number, unit)));
            }
        } else if byte == b'\'' || byte == b'"' {
            at += 1;
            while bytes.get(at).is_some_and(|b| *b != byte) {
                at += 1;
            }
            let text = source.get(start + 1..at).unwrap_or_default().to_owned();
            found.push((last.clone(), Literal::Text(text)));
            at += 1;
        } else {
            at += 1;
        }
    }
    found
}

fn environment(point: &Point) -> BTreeMap<String, Value> {
    let mut environment = BTreeMap::new();
    for (path, value) in point {
        insert(&mut environment, path, value);
    }
    environment
}

fn insert(map: &mut BTreeMap<String, Value>, path: &[String], value: &Value) {
    match path {
        [] => {}
        [name] => {
            map.insert(name.clone(), value.clone());
        }
        [name, rest @ ..] => {
            let inner = map
                .entry(name.clone())
                .or_insert_with(|| Value::Map(BTreeMap::new()));
            if let Value::Map(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

fn say(point: &Point) -> String {
    let parts: Vec<String> = point
        .iter()
        .map(|(path, value)| format!("{} = {}", path.join("."), value.human(4)))
        .collect();
    parts.join(", ")
}
