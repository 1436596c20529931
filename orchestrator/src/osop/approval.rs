//! Approvals: every form that files use comes out as one.

use super::cast::wrong_type;
use super::model::ApprovalGate;
use super::reader::{Reader, yes_or_no};
use super::tree::{Data, Map};
use crate::diagnostic::{Diagnostics, Span, Spanned, codes};

/// `approval_gate: true`, or a mapping. A mapping without `required` asks for an approval: nobody writes one to say that none is
/// needed, and the official default (`false`) would open the gate silently.
pub(crate) fn read(reader: &mut Reader<'_>, d: &mut Diagnostics) -> Option<ApprovalGate> {
    let value = reader.value("approval_gate")?;
    let what = reader.path("approval_gate");
    match &value.data {
        Data::Bool(required) => Some(gate(value.span, Spanned::new(*required, value.span))),
        Data::Map(map) => Some(read_mapping(&what, map, value.span, d)),
        _ => {
            let diagnostic = wrong_type(&what, "true, false or a mapping", value, d);
            if let Some(word) = value.as_text().and_then(yes_or_no) {
                diagnostic.help(format!("write `{word}`"));
            }
            None
        }
    }
}

fn gate(span: Span, required: Spanned<bool>) -> ApprovalGate {
    ApprovalGate {
        span,
        required,
        approvals: Spanned::by_default(1),
        approver_role: None,
        approvers: Vec::new(),
        timeout: None,
        bypass_allowed: None,
        extras: Map::default(),
    }
}

fn read_mapping(what: &str, map: &Map, span: Span, d: &mut Diagnostics) -> ApprovalGate {
    let mut reader = Reader::new(what, map, span);
    let required = reader.bool("required", d);
    let mandatory = reader.bool("mandatory", d);
    let mut gate = gate(
        span,
        required.or(mandatory).unwrap_or(Spanned::by_default(true)),
    );
    let number = ["required_approvers", "min_approvals"].map(|key| reader.count(key, 0, 1_000, d));
    match number {
        [Some(one), Some(other)] if one.value != other.value => {
            d.error(
                codes::CONFLICTING_KEYS,
                other.span,
                "`required_approvers` and `min_approvals` differ",
            )
            .related(one.span, "the other one");
        }
        [one, other] => {
            if let Some(number) = one.or(other) {
                // Zero people: no approval, whatever else is written.
                if number.value == 0 {
                    gate.required = number.map(|_| false);
                } else {
                    gate.approvals = number;
                }
            }
        }
    }
    gate.approver_role = reader.text("approver_role", d);
    gate.approvers = reader.texts("approvers", d);
    let timeouts = [
        ("timeout_hours", 3600.0),
        ("timeout_min", 60.0),
        ("timeout_sec", 1.0),
    ]
    .map(|(key, seconds)| reader.duration(key, seconds, d));
    let mut written = timeouts.into_iter().flatten();
    gate.timeout = written.next();
    if let (Some(first), Some(second)) = (&gate.timeout, written.next()) {
        d.error(
            codes::CONFLICTING_KEYS,
            second.span,
            format!("{what} has two timeouts"),
        )
        .related(first.span, "the other one");
    }
    gate.bypass_allowed = reader.bool("bypass_allowed", d);
    gate.extras = reader.rest();
    let people = u32::try_from(gate.approvers.len()).unwrap_or(u32::MAX);
    if people > 0 && gate.approvals.value > people {
        d.error(
            codes::OUT_OF_RANGE,
            gate.approvals.span,
            format!(
                "{what} asks for {} approvals, but names {people} who may give one",
                gate.approvals
            ),
        );
    }
    gate
}
