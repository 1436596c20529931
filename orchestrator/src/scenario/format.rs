//! The file that `canary test` reads: `tests:`, each a gate test or a workflow test. Every key that is not known is an
//! error with its place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use canary_analyzer::duration::parse_or_seconds;
use canary_analyzer::gate::Phase;
use canary_traffic::Weight;
use serde_json::Value as Json;

use crate::diagnostic::{Diagnostics, Origin, SourceFile, Span, codes, did_you_mean, quote};
use crate::machine::{NodeStatus, OperatorAction};
use crate::osop::load;
use crate::osop::model::Text;
use crate::osop::reader::Reader;
use crate::osop::tree::{Data, Value};

/// A file of tests.
#[derive(Debug)]
pub(super) struct TestFile {
    pub tests: Vec<Test>,
}

/// One test.
#[derive(Debug)]
pub(super) struct Test {
    pub name: Text,
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Gate(GateTest),
    Workflow(Box<WorkflowTest>),
}

/// Where a plan comes from.
#[derive(Debug, Default, Clone)]
pub(super) struct From {
    pub workflow: Option<Text>,
    pub profile: Option<Text>,
    pub set: Vec<(String, String)>,
    pub environment: BTreeMap<String, String>,
}

/// A gate, a series of results, and what comes of them.
#[derive(Debug)]
pub(super) struct GateTest {
    pub from: From,
    pub gate: GateRef,
    pub results: Vec<Sample>,
    /// Absence of data is pending for this long.
    pub pending: Duration,
    pub measurements: Option<Vec<WantedMeasurement>>,
    pub verdict: Option<Text>,
}

#[derive(Debug)]
pub(super) enum GateRef {
    Named(Text),
    /// Written as under `x-canary.gates`.
    Inline(Json, Span),
}

/// What a source answers.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub says: Says,
    pub requests: Option<u64>,
    pub warnings: Vec<String>,
    /// How long the answer takes.
    pub after: Duration,
}

#[derive(Debug, Clone)]
pub(super) enum Says {
    Value(f64),
    Empty,
    Series(Vec<f64>),
    Error(String),
    Hang,
}

#[derive(Debug)]
pub(super) struct WantedMeasurement {
    pub phase: Option<Phase>,
    pub contains: Option<String>,
    pub span: Span,
}

/// A workflow, how its world behaves, and what is expected.
#[derive(Debug)]
pub(super) struct WorkflowTest {
    pub from: From,
    pub span: Span,
    pub hold: bool,
    /// Of the router, before the run.
    pub weight: Weight,
    pub nodes: Vec<(Text, Vec<NodeAnswer>)>,
    pub gates: Vec<(Text, Vec<Timed>)>,
    pub router: Vec<RouterFault>,
    pub happens: Vec<(Duration, Happens)>,
    pub until: Duration,
    pub expect: Expect,
}

/// How one attempt of a node ends.
#[derive(Debug, Clone)]
pub(super) struct NodeAnswer {
    /// `None`: it hangs.
    pub status: Option<NodeStatus>,
    pub after: Duration,
    pub outputs: BTreeMap<String, Json>,
    pub error: Option<String>,
    pub verify: Option<Result<bool, String>>,
}

/// What a source answers from a time on, and while the canary has that weight.
#[derive(Debug, Clone)]
pub(super) struct Timed {
    pub from: Duration,
    pub weight: Option<Weight>,
    pub sample: Sample,
}

/// What is wrong with the router for a while.
#[derive(Debug, Clone)]
pub(super) struct RouterFault {
    pub from: Duration,
    pub to: Duration,
    pub fault: Fault,
}

#[derive(Debug, Clone)]
pub(super) enum Fault {
    Error(String),
    Pending(String),
    Hang,
}

#[derive(Debug, Clone)]
pub(super) enum Happens {
    Operator(OperatorAction, String, Option<String>),
    Foreign(Weight, String),
    Crash(Duration),
}

/// What is expected of a run.
#[derive(Debug, Default)]
pub(super) struct Expect {
    pub outcome: Option<Text>,
    pub exit: Option<u8>,
    pub path: Option<(Vec<String>, Span)>,
    pub status: Vec<(Text, Text)>,
    pub weights: Option<(Vec<(Weight, Option<Duration>)>, Span)>,
    pub notifications: Vec<WantedNews>,
    pub at: Vec<WantedMoment>,
}

#[derive(Debug)]
pub(super) struct WantedNews {
    pub topic: Option<Text>,
    pub contains: Option<String>,
    pub span: Span,
}

/// What is expected at a time.
#[derive(Debug)]
pub(super) struct WantedMoment {
    pub time: Duration,
    pub phase: Option<Text>,
    pub weight: Option<Weight>,
    pub waits: Option<String>,
    pub headline: Option<String>,
    pub span: Span,
}

/// Longest simulated time of one test.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

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
        gate_test(&mut reader, gate, from, d).map(Kind::Gate)
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

/// The value of a word.
fn one_of<T: Clone>(
    text: &str,
    span: Span,
    what: &str,
    words: &[(&str, T)],
    d: &mut Diagnostics,
) -> Option<T> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Some(value.clone());
    }
    let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    let message = format!(
        "{what} must be one of {}, found {}",
        known.join(", "),
        quote(text)
    );
    d.error(codes::UNKNOWN_VALUE, span, message)
        .help_opt(did_you_mean(text, known.iter().copied()));
    None
}

/// A duration: `90s`, `1m30s`, or a number of seconds.
fn time(reader: &mut Reader<'_>, key: &'static str, d: &mut Diagnostics) -> Option<Duration> {
    let value = reader.value(key)?;
    duration(value, d)
}

fn duration(value: &Value, d: &mut Diagnostics) -> Option<Duration> {
    match value.as_scalar_text().map(parse_or_seconds) {
        Some(Ok(duration)) if duration <= LONGEST => Some(duration),
        Some(Ok(_)) => {
            d.error(
                codes::OUT_OF_RANGE,
                value.span,
                "a test lasts 30 days at most",
            );
            None
        }
        Some(Err(error)) => {
            d.error(codes::INVALID_DURATION, value.span, error.to_string());
            None
        }
        None => {
            d.error(
                codes::WRONG_TYPE,
                value.span,
                format!("expected a time such as `90s`, found {}", value.kind()),
            );
            None
        }
    }
}

fn weight(value: &Value, d: &mut Diagnostics) -> Option<Weight> {
    match value.as_scalar_text().map(str::parse::<Weight>) {
        Some(Ok(weight)) => Some(weight),
        Some(Err(error)) => {
            d.error(codes::OUT_OF_RANGE, value.span, error.to_string());
            None
        }
        None => {
            d.error(
                codes::WRONG_TYPE,
                value.span,
                format!("expected a weight such as `10`, found {}", value.kind()),
            );
            None
        }
    }
}

fn weight_of(reader: &mut Reader<'_>, key: &'static str, d: &mut Diagnostics) -> Option<Weight> {
    let value = reader.value(key)?;
    weight(value, d)
}

/// `0.01`, `nan`, `empty`, `[1, 2]`, or a mapping.
fn sample(item: &Value, d: &mut Diagnostics) -> Option<Sample> {
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

fn sample_of(reader: &mut Reader<'_>, d: &mut Diagnostics) -> Option<Sample> {
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

fn workflow_test(
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
    let until = time(reader, "until", d).unwrap_or(Duration::from_secs(24 * 3600));
    let expect = match reader.section("expect", d) {
        Some(section) => super::expect::read(section, d),
        None => {
            if reader.value("expect").is_none() {
                reader.missing("expect", d);
            }
            return None;
        }
    };
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

fn status(text: &str, span: Span, d: &mut Diagnostics) -> Option<Option<NodeStatus>> {
    one_of(
        text,
        span,
        "how an attempt ends",
        &[
            ("completed", Some(NodeStatus::Completed)),
            ("failed", Some(NodeStatus::Failed)),
            ("timed-out", Some(NodeStatus::TimedOut)),
            ("inconclusive", Some(NodeStatus::Inconclusive)),
            ("hang", None),
        ],
        d,
    )
}

fn node_answer(value: &Value, d: &mut Diagnostics) -> Option<NodeAnswer> {
    let plain = |status| NodeAnswer {
        status,
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
        None => Some(NodeStatus::Completed),
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

/// Shared with [`super::expect`].
pub(super) fn read_time(
    reader: &mut Reader<'_>,
    key: &'static str,
    d: &mut Diagnostics,
) -> Option<Duration> {
    time(reader, key, d)
}

/// Shared with [`super::expect`].
pub(super) fn read_weight(
    reader: &mut Reader<'_>,
    key: &'static str,
    d: &mut Diagnostics,
) -> Option<Weight> {
    weight_of(reader, key, d)
}

/// Shared with [`super::expect`].
pub(super) fn plain_weight(value: &Value, d: &mut Diagnostics) -> Option<Weight> {
    weight(value, d)
}

/// Shared with [`super::expect`].
pub(super) fn word<T: Clone>(
    text: &Text,
    what: &str,
    words: &[(&str, T)],
    d: &mut Diagnostics,
) -> Option<T> {
    one_of(&text.value, text.span, what, words, d)
}
