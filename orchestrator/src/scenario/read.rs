//! Reads a file of tests. Every key that is not known is an error with its place.

use std::sync::Arc;
use std::time::Duration;

use canary_analyzer::gate::Phase;

use super::format::{
    From, GateRef, GateTest, Kind, Sample, Says, Test, TestFile, WantedMeasurement,
};
use super::read_workflow::workflow_test;
use super::words::{one_of, time};
use crate::diagnostic::{Diagnostics, Origin, SourceFile, Span, codes, quote};
use crate::osop::load;
use crate::osop::model::Text;
use crate::osop::reader::Reader;
use crate::osop::tree::{Data, Value};

/// Reads a file of tests.
pub(super) fn parse(file: &Arc<SourceFile>, d: &mut Diagnostics) -> Option<TestFile> {
    let root = load::load(file, Origin::Workflow, d)?;
    let mut reader = Reader::of("", &root, d)?;
    let items = reader.list("tests", d);
    if items.is_none() && reader.value("tests").is_none() {
        reader.missing("tests", d);
    }
    reader.close_all(d);
    let tests: Vec<Test> = items
        .unwrap_or_default()
        .iter()
        .filter_map(|item| test(item, d))
        .collect();
    Some(TestFile { tests })
}

fn test(item: &Value, d: &mut Diagnostics) -> Option<Test> {
    let mut reader = Reader::of("a test", item, d)?;
    let name = reader.required("name", d);
    if let Some(name) = &name {
        reader.rename(format!("test {}", quote(&name.value)));
    }
    let from = from(&mut reader, d);
    let kind = if let Some(gate) = reader.value("gate") {
        gate_test(&mut reader, gate, from, d).map(|test| Kind::Gate(Box::new(test)))
    } else if from.workflow.is_some() {
        workflow_test(&mut reader, from, item.span, d).map(|test| Kind::Workflow(Box::new(test)))
    } else {
        d.error(
            codes::MISSING_KEY,
            reader.head(),
            format!("{} has neither `gate` nor `workflow`", reader.what()),
        )
        .help(
            "`gate` with `results` tests one gate; `workflow` names a file and tests a whole run",
        );
        return None;
    };
    reader.close_all(d);
    Some(Test {
        name: name?,
        kind: kind?,
    })
}

fn from(reader: &mut Reader<'_>, d: &mut Diagnostics) -> From {
    From {
        workflow: reader.filled("workflow", d),
        profile: reader.filled("profile", d),
        set: reader
            .text_map("set", d)
            .into_iter()
            .map(|(name, value)| (name.value, value.value))
            .collect(),
        environment: reader
            .text_map("environment", d)
            .into_iter()
            .map(|(name, value)| (name.value, value.value))
            .collect(),
    }
}

fn gate_test(
    reader: &mut Reader<'_>,
    gate: &Value,
    from: From,
    d: &mut Diagnostics,
) -> Option<GateTest> {
    let gate = match &gate.data {
        Data::Text(name) => GateRef::Named(Text::new(name.clone(), gate.span)),
        Data::Map(map) => GateRef::Inline(map.to_json(), gate.span),
        _ => {
            d.error(
                codes::WRONG_TYPE,
                gate.span,
                "`gate` must be the name of a gate, or a gate as under `x-canary.gates`",
            );
            return None;
        }
    };
    let results = reader
        .list("results", d)
        .unwrap_or_default()
        .iter()
        .filter_map(|item| sample(item, d))
        .collect();
    let pending = time(reader, "pending", d).unwrap_or_default();
    let mut measurements = None;
    let mut verdict = None;
    if let Some(mut expect) = reader.section("expect", d) {
        measurements = expect.list("measurements", d).map(|items| {
            items
                .iter()
                .filter_map(|item| wanted_measurement(item, d))
                .collect()
        });
        verdict = expect.filled("verdict", d);
        expect.close_all(d);
    } else if reader.value("expect").is_none() {
        reader.missing("expect", d);
    }
    Some(GateTest {
        from,
        gate,
        results,
        pending,
        measurements,
        verdict,
    })
}

fn wanted_measurement(item: &Value, d: &mut Diagnostics) -> Option<WantedMeasurement> {
    if let Some(text) = item.as_scalar_text() {
        return Some(WantedMeasurement {
            phase: phase(text, item.span, d),
            contains: None,
            span: item.span,
        });
    }
    let mut reader = Reader::of("a measurement", item, d)?;
    let word = reader.text("phase", d);
    let wanted = WantedMeasurement {
        phase: word.and_then(|word| phase(&word.value, word.span, d)),
        contains: reader.text("contains", d).map(|text| text.value),
        span: item.span,
    };
    reader.close_all(d);
    Some(wanted)
}

fn phase(text: &str, span: Span, d: &mut Diagnostics) -> Option<Phase> {
    one_of(
        text,
        span,
        "how a measurement counts",
        &[
            ("pass", Phase::Pass),
            ("fail", Phase::Fail),
            ("inconclusive", Phase::Inconclusive),
            ("error", Phase::Error),
        ],
        d,
    )
}

/// `0.01`, `nan`, `empty`, `[1, 2]`, or a mapping.
pub(super) fn sample(item: &Value, d: &mut Diagnostics) -> Option<Sample> {
    let plain = |says| Sample {
        says,
        requests: None,
        warnings: Vec::new(),
        after: Duration::ZERO,
    };
    let Some(map) = item.as_map() else {
        return says(item, d).map(plain);
    };
    let mut reader = Reader::new("a result", map, item.span);
    let sample = sample_of(&mut reader, d);
    reader.close_all(d);
    sample
}

pub(super) fn sample_of(reader: &mut Reader<'_>, d: &mut Diagnostics) -> Option<Sample> {
    let error = reader.text("error", d).map(|text| Says::Error(text.value));
    let value = reader.value("value").map(|value| says(value, d));
    let says = match (error, value) {
        (Some(_), Some(_)) => {
            d.error(
                codes::CONFLICTING_KEYS,
                reader.head(),
                format!("{} has both `value` and `error`", reader.what()),
            );
            return None;
        }
        (Some(error), None) => error,
        (None, Some(value)) => value?,
        (None, None) => {
            reader.missing("value", d);
            return None;
        }
    };
    Some(Sample {
        says,
        requests: reader
            .count("requests", 0, u32::MAX, d)
            .map(|count| u64::from(count.value)),
        warnings: reader
            .texts("warnings", d)
            .into_iter()
            .map(|text| text.value)
            .collect(),
        after: time(reader, "after", d).unwrap_or_default(),
    })
}

fn says(value: &Value, d: &mut Diagnostics) -> Option<Says> {
    match &value.data {
        Data::Number(number) => Some(Says::Value(number.value)),
        Data::List(items) => {
            let numbers: Vec<f64> = items.iter().filter_map(|item| number(item, d)).collect();
            (numbers.len() == items.len()).then_some(Says::Series(numbers))
        }
        Data::Text(text) if text == "empty" => Some(Says::Empty),
        Data::Text(text) if text == "hang" => Some(Says::Hang),
        _ => number(value, d).map(Says::Value),
    }
}

fn number(value: &Value, d: &mut Diagnostics) -> Option<f64> {
    if let Some(number) = value.as_f64() {
        return Some(number);
    }
    let text = value.as_scalar_text().unwrap_or_default();
    match text.trim_start_matches('.').to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "inf" | "+inf" | "+.inf" => Some(f64::INFINITY),
        "-inf" | "-.inf" => Some(f64::NEG_INFINITY),
        _ => {
            d.error(codes::UNKNOWN_VALUE, value.span, format!("{} is no result", quote(text)))
                .help("write a number, `nan`, `+inf`, `empty`, `hang`, a list of numbers for several series, or `{error: ...}`");
            None
        }
    }
}
