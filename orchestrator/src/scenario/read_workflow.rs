//! Reads a workflow test: how its nodes, gates, router and people behave.

use std::collections::BTreeMap;
use std::time::Duration;

use canary_traffic::Weight;

use super::format::{Fault, From, Happens, NodeAnswer, RouterFault, Timed, WorkflowTest};
use super::read::{sample, sample_of};
use super::words::{LONGEST, one_of, time, weight_of};
use crate::diagnostic::{Diagnostics, Span, codes};
use crate::machine::{NodeStatus, OperatorAction};
use crate::osop::reader::Reader;
use crate::osop::tree::Value;

/// Reads the rest of a workflow test.
pub(super) fn workflow_test(
    reader: &mut Reader<'_>,
    from: From,
    span: Span,
    d: &mut Diagnostics,
) -> Option<WorkflowTest> {
    let hold = reader.text("on_failure", d).and_then(|word| {
        one_of(
            &word.value,
            word.span,
            "`on_failure`",
            &[("rollback", false), ("hold", true)],
            d,
        )
    });
    let weight = weight_of(reader, "weight", d).unwrap_or(Weight::ZERO);
    let mut nodes = Vec::new();
    if let Some(map) = reader.map("nodes", d) {
        for (id, value) in map.value.iter() {
            nodes.push((id.clone(), each(value, d, node_answer)));
        }
    }
    let mut gates = Vec::new();
    if let Some(map) = reader.map("gates", d) {
        for (name, value) in map.value.iter() {
            gates.push((name.clone(), each_sample(value, d)));
        }
    }
    let router = reader
        .list("router", d)
        .unwrap_or_default()
        .iter()
        .filter_map(|item| router_fault(item, d))
        .collect();
    let happens = reader
        .list("happens", d)
        .unwrap_or_default()
        .iter()
        .filter_map(|item| happens(item, d))
        .collect();
    let until = time(reader, "until", d).unwrap_or(Duration::from_hours(24));
    let Some(section) = reader.section("expect", d) else {
        if reader.value("expect").is_none() {
            reader.missing("expect", d);
        }
        return None;
    };
    let expect = super::expect::read(section, d);
    Some(WorkflowTest {
        from,
        span,
        hold: hold.unwrap_or(false),
        weight,
        nodes,
        gates,
        router,
        happens,
        until,
        expect,
    })
}

/// One answer, or a list of them: one per attempt, the last for all that follow.
fn each<T>(
    value: &Value,
    d: &mut Diagnostics,
    read: fn(&Value, &mut Diagnostics) -> Option<T>,
) -> Vec<T> {
    match value.as_list() {
        Some(items) => items.iter().filter_map(|item| read(item, d)).collect(),
        None => read(value, d).into_iter().collect(),
    }
}

/// One sample, or a list of them by time.
fn each_sample(value: &Value, d: &mut Diagnostics) -> Vec<Timed> {
    each(value, d, |item, d| {
        let Some(map) = item.as_map() else {
            return sample(item, d).map(|sample| Timed {
                from: Duration::ZERO,
                weight: None,
                sample,
            });
        };
        let mut reader = Reader::new("a result", map, item.span);
        let from = time(&mut reader, "from", d).unwrap_or_default();
        let weight = weight_of(&mut reader, "weight", d);
        let sample = sample_of(&mut reader, d);
        reader.close_all(d);
        Some(Timed {
            from,
            weight,
            sample: sample?,
        })
    })
}

/// How an attempt ends; hanging is not ending.
#[derive(Clone, Copy)]
enum Ends {
    As(NodeStatus),
    Never,
}

impl Ends {
    fn status(self) -> Option<NodeStatus> {
        match self {
            Self::As(status) => Some(status),
            Self::Never => None,
        }
    }
}

fn status(text: &str, span: Span, d: &mut Diagnostics) -> Option<Ends> {
    one_of(
        text,
        span,
        "how an attempt ends",
        &[
            ("completed", Ends::As(NodeStatus::Completed)),
            ("failed", Ends::As(NodeStatus::Failed)),
            ("timed-out", Ends::As(NodeStatus::TimedOut)),
            ("inconclusive", Ends::As(NodeStatus::Inconclusive)),
            ("hang", Ends::Never),
        ],
        d,
    )
}

fn node_answer(value: &Value, d: &mut Diagnostics) -> Option<NodeAnswer> {
    let plain = |ends: Ends| NodeAnswer {
        status: ends.status(),
        after: Duration::from_secs(1),
        outputs: BTreeMap::new(),
        error: None,
        verify: None,
    };
    if let Some(text) = value.as_scalar_text() {
        return status(text, value.span, d).map(plain);
    }
    let mut reader = Reader::of("an answer of a node", value, d)?;
    let word = reader.text("status", d);
    let status = match &word {
        Some(word) => status(&word.value, word.span, d)?,
        None => Ends::As(NodeStatus::Completed),
    };
    let mut answer = plain(status);
    if let Some(after) = time(&mut reader, "after", d) {
        answer.after = after;
    }
    if let Some(map) = reader.map("outputs", d) {
        answer.outputs = map
            .value
            .iter()
            .map(|(name, value)| (name.value.clone(), value.to_json()))
            .collect();
    }
    answer.error = reader.text("error", d).map(|text| text.value);
    answer.verify =
        reader
            .value("verify")
            .map(|value| match (value.as_bool(), value.as_scalar_text()) {
                (Some(finished), _) => Ok(finished),
                (None, text) => Err(text.unwrap_or("no answer").to_owned()),
            });
    reader.close_all(d);
    Some(answer)
}

fn router_fault(item: &Value, d: &mut Diagnostics) -> Option<RouterFault> {
    let mut reader = Reader::of("a fault of the router", item, d)?;
    let from = time(&mut reader, "from", d).unwrap_or_default();
    let to = time(&mut reader, "to", d).unwrap_or(LONGEST);
    let error = reader.text("error", d).map(|text| Fault::Error(text.value));
    let pending = reader
        .text("pending", d)
        .map(|text| Fault::Pending(text.value));
    let hang = reader
        .bool("hang", d)
        .filter(|hang| hang.value)
        .map(|_| Fault::Hang);
    let fault = error.or(pending).or(hang);
    if fault.is_none() {
        d.error(
            codes::MISSING_KEY,
            reader.head(),
            "a fault of the router has neither `error`, `pending` nor `hang: true`",
        );
    }
    reader.close_all(d);
    Some(RouterFault {
        from,
        to,
        fault: fault?,
    })
}

fn happens(item: &Value, d: &mut Diagnostics) -> Option<(Duration, Happens)> {
    let mut reader = Reader::of("a happening", item, d)?;
    let at = time(&mut reader, "at", d);
    if at.is_none() && reader.value("at").is_none() {
        reader.missing("at", d);
    }
    let by = reader
        .filled("by", d)
        .map_or_else(|| "somebody".to_owned(), |text| text.value);
    let reason = reader.text("reason", d).map(|text| text.value);
    let node = reader
        .filled("node", d)
        .map(|text| text.value)
        .unwrap_or_default();
    let operator = reader.filled("operator", d).and_then(|word| {
        let answer = |approve| OperatorAction::Answer {
            node: node.clone(),
            approve,
        };
        one_of(
            &word.value,
            word.span,
            "`operator`",
            &[
                ("abort", OperatorAction::Abort { signal: None }),
                ("interrupt", OperatorAction::Abort { signal: Some(2) }),
                ("terminate", OperatorAction::Abort { signal: Some(15) }),
                ("promote", OperatorAction::Promote { full: false }),
                ("promote-full", OperatorAction::Promote { full: true }),
                ("pause", OperatorAction::Pause),
                ("resume", OperatorAction::Resume),
                ("retry", OperatorAction::Retry),
                ("approve", answer(true)),
                ("reject", answer(false)),
            ],
            d,
        )
    });
    let foreign = weight_of(&mut reader, "foreign_weight", d);
    let crash = time(&mut reader, "crash", d);
    let what = match (operator, foreign, crash) {
        (Some(action), None, None) => Some(Happens::Operator(action, by, reason)),
        (None, Some(weight), None) => Some(Happens::Foreign(weight, by)),
        (None, None, Some(down)) => Some(Happens::Crash(down)),
        _ => {
            d.error(
                codes::CONFLICTING_KEYS,
                reader.head(),
                "a happening has exactly one of `operator`, `foreign_weight` and `crash`",
            );
            None
        }
    };
    reader.close_all(d);
    Some((at?, what?))
}
