//! What a gate demands, in a few words for tables and messages.

use super::model::{Gate, Rule};
use crate::unit::Quantity;

/// `< 1 %`, `95 % to 100 %`, or the condition as written.
pub(super) fn text(gate: &Gate) -> String {
    let quantity = |value: f64| Quantity::new(value, gate.unit).to_string();
    match &gate.rule {
        Rule::Range {
            min: Some(min),
            max: Some(max),
        } => format!("{} to {}", quantity(*min), quantity(*max)),
        Rule::Range {
            min: Some(min),
            max: None,
        } => format!(">= {}", quantity(*min)),
        Rule::Range {
            min: None,
            max: Some(max),
        } => format!("<= {}", quantity(*max)),
        Rule::Conditions {
            success: Some(success),
            failure: None,
        } => bare(gate, success.source()).to_owned(),
        Rule::Conditions {
            success: None,
            failure: Some(failure),
        } => {
            format!("not {}", bare(gate, failure.source()))
        }
        Rule::Conditions {
            success: Some(success),
            failure: Some(failure),
        } => {
            format!(
                "{}, not {}",
                bare(gate, success.source()),
                bare(gate, failure.source())
            )
        }
        Rule::Range {
            min: None,
            max: None,
        }
        | Rule::Conditions {
            success: None,
            failure: None,
        } => "any value".to_owned(),
    }
}

/// The condition without the name that the table shows anyway: `result < 1%` is `< 1%`.
fn bare<'a>(gate: &Gate, source: &'a str) -> &'a str {
    simple(gate, source).unwrap_or(source.trim())
}

/// What is left of a condition that only compares the gate's own value: `< 1%`.
pub(super) fn simple<'a>(gate: &Gate, source: &'a str) -> Option<&'a str> {
    let own = super::scope::own_name(&gate.name);
    ["result[0]", "result", "value", own.as_str()]
        .iter()
        .find_map(|name| {
            let rest = source.trim().strip_prefix(name)?.trim_start();
            let literal = rest.trim_start_matches(['<', '>', '=', '!']).trim_start();
            let plain = |letter: char| letter.is_ascii_alphanumeric() || ".%-+_".contains(letter);
            let compares =
                literal.len() < rest.len() && !literal.is_empty() && literal.chars().all(plain);
            compares.then_some(rest)
        })
}
