//! What a test expects of a run.

use super::format::{Expect, WantedMoment, WantedNews};
use super::words::{one_of, time, weight, weight_of};
use crate::diagnostic::{Diagnostics, codes};
use crate::machine::{NodePhase, RunPhase, Topic};
use crate::osop::reader::Reader;

const OUTCOMES: &[(&str, ())] = &[
    ("promoted", ()),
    ("completed", ()),
    ("rolled-back", ()),
    ("aborted", ()),
    ("held", ()),
    ("failed", ()),
    ("none", ()),
];

pub(super) const TOPICS: &[(&str, Topic)] = &[
    ("started", Topic::Started),
    ("step", Topic::Step),
    ("approval", Topic::Approval),
    ("paused", Topic::Paused),
    ("blocked", Topic::Blocked),
    ("unblocked", Topic::Unblocked),
    ("failing", Topic::Failing),
    ("ended", Topic::Ended),
];

pub(super) const PHASES: &[(&str, RunPhase)] = &[
    ("new", RunPhase::New),
    ("progressing", RunPhase::Progressing),
    ("paused", RunPhase::Paused),
    ("waiting", RunPhase::Waiting),
    ("blocked", RunPhase::Blocked),
    ("baking", RunPhase::Baking),
    ("rolling-back", RunPhase::RollingBack),
    ("ended", RunPhase::Ended),
];

pub(super) const STATUSES: &[(&str, NodePhase)] = &[
    ("pending", NodePhase::Pending),
    ("ready", NodePhase::Ready),
    ("waiting", NodePhase::Waiting),
    ("running", NodePhase::Running),
    ("in-doubt", NodePhase::InDoubt),
    ("completed", NodePhase::Completed),
    ("failed", NodePhase::Failed),
    ("timed-out", NodePhase::TimedOut),
    ("skipped", NodePhase::Skipped),
    ("cancelled", NodePhase::Cancelled),
    ("blocked", NodePhase::Blocked),
];

/// Reads `expect` of a workflow test.
pub(super) fn read(mut reader: Reader<'_>, d: &mut Diagnostics) -> Expect {
    let outcome = reader.filled("outcome", d);
    if let Some(outcome) = &outcome {
        one_of(&outcome.value, outcome.span, "`outcome`", OUTCOMES, d);
    }
    let exit = reader
        .count("exit", 0, 255, d)
        .and_then(|exit| u8::try_from(exit.value).ok());
    let path = reader.value("path").map(|value| value.span);
    let path = path.map(|span| {
        (
            reader
                .texts("path", d)
                .into_iter()
                .map(|text| text.value)
                .collect(),
            span,
        )
    });
    let status = reader.text_map("status", d);
    for (_, text) in &status {
        one_of(&text.value, text.span, "a status", STATUSES, d);
    }
    let span = reader.value("weights").map(|value| value.span);
    let weights = reader.list("weights", d).map(|items| {
        let found = items.iter().filter_map(|item| {
            let Some(map) = item.as_map() else {
                return weight(item, d).map(|weight| (weight, None));
            };
            let mut one = Reader::new("a weight", map, item.span);
            let at = time(&mut one, "at", d);
            let weight = weight_of(&mut one, "weight", d);
            one.close_all(d);
            Some((weight?, at))
        });
        (found.collect(), span.unwrap_or_default())
    });
    let notifications = reader
        .list("notifications", d)
        .unwrap_or_default()
        .iter()
        .filter_map(|item| {
            let mut one = Reader::of("a notification", item, d)?;
            let topic = one.filled("topic", d);
            if let Some(topic) = &topic {
                one_of(&topic.value, topic.span, "`topic`", TOPICS, d);
            }
            let contains = one.text("contains", d).map(|text| text.value);
            one.close_all(d);
            Some(WantedNews {
                topic,
                contains,
                span: item.span,
            })
        });
    let notifications = notifications.collect();
    let at = reader
        .list("at", d)
        .unwrap_or_default()
        .iter()
        .filter_map(|item| moment(item, d))
        .collect();
    if reader.map.is_empty() {
        d.error(
            codes::MISSING_KEY,
            reader.span,
            format!("{} expects nothing: such a test cannot fail", reader.what()),
        );
    }
    reader.close_all(d);
    Expect {
        outcome,
        exit,
        path,
        status,
        weights,
        notifications,
        at,
    }
}

fn moment(item: &crate::osop::tree::Value, d: &mut Diagnostics) -> Option<WantedMoment> {
    let mut reader = Reader::of("an expectation at a time", item, d)?;
    let time = time(&mut reader, "time", d);
    if time.is_none() && reader.value("time").is_none() {
        reader.missing("time", d);
    }
    let phase = reader.filled("phase", d);
    if let Some(phase) = &phase {
        one_of(&phase.value, phase.span, "`phase`", PHASES, d);
    }
    let wanted = WantedMoment {
        time: time.unwrap_or_default(),
        phase,
        weight: weight_of(&mut reader, "weight", d),
        waits: reader.text("waits", d).map(|text| text.value),
        headline: reader.text("headline", d).map(|text| text.value),
        span: item.span,
    };
    reader.close_all(d);
    time.map(|_| wanted)
}
