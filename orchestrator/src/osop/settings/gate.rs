//! Gates.

use super::reference;
use super::section::{Section, conflict};
use crate::diagnostic::Span;
use crate::diagnostic::{Diagnostics, Spanned, codes, did_you_mean, quote};
use crate::osop::cast::wrong_type;
use crate::osop::model::Text;
use crate::osop::reader::Reader;
use crate::osop::tree::{Data, Map, Value};
use crate::osop::word::words;
use crate::osop::workflow::check_id;
use std::time::Duration;

/// What a gate measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GateMetric {
    /// `error_rate`: a ratio, 0 to 1.
    ErrorRate,
    /// `p50_latency`, `p99_latency`, `p99.9_latency`: a quantile of latency.
    Latency {
        /// Above 0, below 1.
        quantile: f64,
    },
}

/// A condition on a metric, with limits. Fields mean what Argo's of the same name mean.
#[derive(Clone, Debug)]
pub struct GateSettings {
    /// The whole mapping.
    pub span: Span,
    /// Unique name.
    pub name: Text,
    /// What is measured; this or `query`.
    pub metric: Option<Spanned<GateMetric>>,
    /// PromQL; this or `metric`.
    pub query: Option<Text>,
    /// Unit that the source answers in; needed for a latency query.
    pub unit: Option<Text>,
    /// Unit that conditions see (`as`).
    pub as_unit: Option<Text>,
    /// Pass when true.
    pub success_condition: Option<Text>,
    /// Fail when true.
    pub failure_condition: Option<Text>,
    /// Fail when outside.
    pub threshold_range: Option<ThresholdRange>,
    /// Language of the conditions.
    pub syntax: Option<Spanned<Syntax>>,
    /// How absence of data is read.
    pub compat: Option<Spanned<Compat>>,
    /// Pause between measurements.
    pub interval: Option<Spanned<Duration>>,
    /// How far back one measurement looks.
    pub window: Option<Spanned<Duration>>,
    /// Time to the first measurement.
    pub initial_delay: Option<Spanned<Duration>>,
    /// Measurements until it has passed.
    pub count: Option<Spanned<u32>>,
    /// Fails when more than this many failed; -1: never by count.
    pub failure_limit: Option<Spanned<i64>>,
    /// Inconclusive when more than this many were.
    pub inconclusive_limit: Option<Spanned<u32>>,
    /// Error when more than this many in a row were.
    pub consecutive_error_limit: Option<Spanned<u32>>,
    /// Passes when this many in a row passed.
    pub consecutive_success_limit: Option<Spanned<u32>>,
    /// Requests that the canary must have had in the window.
    pub min_requests: Option<Spanned<u64>>,
}

/// Bounds as written (`500`, `500ms`, `1%`); at least one is there.
#[derive(Clone, Debug)]
pub struct ThresholdRange {
    /// The whole mapping.
    pub span: Span,
    /// Lowest value that passes.
    pub min: Option<Text>,
    /// Highest value that passes.
    pub max: Option<Text>,
}

words! {
    /// Language of conditions.
    pub enum Syntax { Cel = "cel", Expr = "expr" }
}
words! {
    /// How doubtful answers are read.
    pub enum Compat {
        /// No data, NaN, several series: inconclusive.
        Strict = "strict",
        /// As Argo Rollouts reads them.
        Argo = "argo",
    }
}

/// Reads gates: of `x-canary.gates`, or of `gates` in a node's own runtime. Names are unique.
pub(super) fn read_all(items: &[Value], d: &mut Diagnostics) -> Vec<GateSettings> {
    let mut gates: Vec<GateSettings> = Vec::new();
    for item in items {
        let Some(gate) = read(item, d) else { continue };
        if let Some(first) = gates
            .iter()
            .find(|known| known.name.value == gate.name.value && gate.name.is_written())
        {
            d.error(
                codes::DUPLICATE_ID,
                gate.name.span,
                format!("two gates have the name {}", quote(&gate.name.value)),
            )
            .related(first.name.span, "the first one");
            continue;
        }
        gates.push(gate);
    }
    gates
}

/// Reads one gate. Argo's spellings (`failureLimit`) mean the same as ours (`failure_limit`).
pub fn read(item: &Value, d: &mut Diagnostics) -> Option<GateSettings> {
    let reader = Reader::of("a gate", item, d)?;
    let map = with_own_spelling(reader.map, d);
    let what = map.get("name").and_then(Value::as_text).map_or_else(
        || "a gate".to_owned(),
        |name| format!("gate {}", quote(name)),
    );
    let mut section = Section::new("gates[]", what, &map, item.span);
    section.correct(d);
    let name = section
        .required("name", d)
        .filter(|name| check_id("name of a gate", name, d));
    let metric = read_metric(&mut section, d);
    let query = section.text("query", d);
    let success_condition = read_condition(&mut section, "success_condition", d);
    let failure_condition = read_condition(&mut section, "failure_condition", d);
    let threshold_range = section
        .section("threshold_range", "gates[].threshold_range", d)
        .and_then(|section| read_range(section, d));
    let gate = GateSettings {
        span: item.span,
        unit: section.text("unit", d),
        as_unit: section.text("as", d),
        syntax: section.word("syntax", d),
        compat: section.word("compat", d),
        interval: section.duration("interval", d),
        window: section.duration("window", d),
        initial_delay: section.duration("initial_delay", d),
        count: section.count_u32("count", d),
        failure_limit: section.count("failure_limit", d),
        inconclusive_limit: section.count_u32("inconclusive_limit", d),
        consecutive_error_limit: section.count_u32("consecutive_error_limit", d),
        consecutive_success_limit: section.count_u32("consecutive_success_limit", d),
        min_requests: section
            .count("min_requests", d)
            .map(|n| n.map(|n| u64::try_from(n).unwrap_or(0))),
        name: name.unwrap_or_default(),
        metric,
        query,
        success_condition,
        failure_condition,
        threshold_range,
    };
    check_measured(&section.reader, &gate, d);
    check_rule(&section.reader, d);
    if section.reader.map.get("provider").is_some()
        && let Some(entry) = section.reader.refuse("provider")
    {
        d.error(codes::UNKNOWN_KEY, entry.key.span, format!("{} has no key `provider`", section.reader.what())).help(
            "write what stands under `provider.prometheus.query` as `query`, and the address once under `sources.prometheus.url`",
        );
    }
    section.reader.close_all(d);
    // Without a name it is refused, and its conditions are looked at all the same.
    Some(gate)
}

/// Renames keys in Argo's spelling.
fn with_own_spelling(map: &Map, d: &mut Diagnostics) -> Map {
    let mut own = Map::default();
    for entry in &map.entries {
        let mut entry = entry.clone();
        let snake = snake_case(&entry.key.value);
        if snake == entry.key.value || reference::find("gates[]", &snake).is_none() {
            own.entries.push(entry);
            continue;
        }
        if let Some(other) = map.entry(&snake) {
            d.error(
                codes::CONFLICTING_KEYS,
                entry.key.span,
                format!(
                    "{} and {} are one key",
                    quote(&entry.key.value),
                    quote(&snake)
                ),
            )
            .related(other.key.span, "the other one");
            continue;
        }
        entry.key.value = snake;
        own.entries.push(entry);
    }
    own
}

fn snake_case(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 4);
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

fn read_metric(section: &mut Section<'_>, d: &mut Diagnostics) -> Option<Spanned<GateMetric>> {
    let word = section.text("metric", d)?;
    let metric = parse_metric(&word.value);
    if metric.is_none() {
        let known = [
            "error_rate",
            "p50_latency",
            "p90_latency",
            "p95_latency",
            "p99_latency",
        ];
        d.error(
            codes::UNKNOWN_VALUE,
            word.span,
            format!(
                "there is no metric {}; it is `error_rate` or a quantile like `p99_latency`",
                quote(&word.value)
            ),
        )
        .help_opt(did_you_mean(&word.value, known))
        .help("anything else is measured by a `query`");
    }
    metric.map(|metric| Spanned::new(metric, word.span))
}

/// `error_rate`, `p99_latency`, `p99.9_latency`.
pub(super) fn parse_metric(word: &str) -> Option<GateMetric> {
    if word == "error_rate" {
        return Some(GateMetric::ErrorRate);
    }
    let percent = word.strip_prefix('p')?.strip_suffix("_latency")?;
    if percent.is_empty()
        || percent.len() > 8
        || !percent.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    {
        return None;
    }
    let percent: f64 = percent.parse().ok()?;
    (percent > 0.0 && percent < 100.0).then_some(GateMetric::Latency {
        quantile: percent / 100.0,
    })
}

/// A condition is a text; `true` would be a boolean in YAML.
fn read_condition(
    section: &mut Section<'_>,
    key: &'static str,
    d: &mut Diagnostics,
) -> Option<Text> {
    let value = section.reader.value(key)?;
    match value.as_bool() {
        Some(_) => value
            .as_scalar_text()
            .map(|text| Spanned::new(text.to_owned(), value.span)),
        None => section.text(key, d),
    }
}

fn read_range(mut section: Section<'_>, d: &mut Diagnostics) -> Option<ThresholdRange> {
    let [min, max] = ["min", "max"].map(|key| {
        let value = section.reader.value(key)?;
        match &value.data {
            Data::Number(number) if number.value.is_finite() => {
                Some(Spanned::new(number.raw.clone(), value.span))
            }
            Data::Text(text) if !text.trim().is_empty() => {
                Some(Spanned::new(text.clone(), value.span))
            }
            _ => {
                wrong_type(
                    &section.reader.path(key),
                    "a number, or a number with a unit",
                    value,
                    d,
                );
                None
            }
        }
    });
    if section.reader.map.get("min").is_none() && section.reader.map.get("max").is_none() {
        d.error(
            codes::MISSING_KEY,
            section.span(),
            format!("{} has neither `min` nor `max`", section.reader.what()),
        );
    }
    let number = |bound: &Option<Text>| {
        bound
            .as_ref()
            .and_then(|bound| bound.value.parse::<f64>().ok())
    };
    if let (Some(least), Some(most), Some(max)) = (number(&min), number(&max), &max)
        && least > most
    {
        d.error(
            codes::OUT_OF_RANGE,
            max.span,
            format!("`max` is below `min`: nothing is between {least} and {most}"),
        );
    }
    let span = section.span();
    section.close(d);
    (min.is_some() || max.is_some()).then_some(ThresholdRange { span, min, max })
}

/// Exactly one thing is measured.
fn check_measured(reader: &Reader<'_>, gate: &GateSettings, d: &mut Diagnostics) {
    let (metric, query) = (reader.found("metric"), reader.found("query"));
    match (metric, query) {
        (Some(metric), Some(query)) => {
            conflict(
                reader,
                ("metric", metric.key.span),
                ("query", query.key.span),
                d,
            );
        }
        // What an AnalysisTemplate says is told where it is written.
        (None, None) if reader.found("provider").is_some() => {}
        (None, None) => {
            d.error(
                codes::MISSING_KEY,
                reader.head(),
                format!("{} measures nothing", reader.what()),
            )
            .help("write `metric: error_rate`, `metric: p99_latency`, or a `query`");
        }
        (Some(_), None) => {
            if let Some(unit) = &gate.unit {
                d.error(
                    codes::CONFLICTING_KEYS,
                    unit.span,
                    format!(
                        "{}: `unit` says what a query answers in; `metric` knows its own",
                        reader.what()
                    ),
                )
                .help("write `as` for the unit that conditions see");
            }
        }
        (None, Some(_)) => {}
    }
}

/// Without a rule a gate would pass whatever is measured.
fn check_rule(reader: &Reader<'_>, d: &mut Diagnostics) {
    let condition = reader
        .found("success_condition")
        .or_else(|| reader.found("failure_condition"));
    match (condition, reader.found("threshold_range")) {
        (Some(condition), Some(range)) => {
            let key = condition.key.value.as_str();
            conflict(
                reader,
                (key, condition.key.span),
                ("threshold_range", range.key.span),
                d,
            );
        }
        (None, None) => {
            d.error(codes::MISSING_KEY, reader.head(), format!("{} has no condition", reader.what())).help(
                "write `success_condition: \"result < 0.01\"`, `failure_condition`, or `threshold_range: {max: 0.01}`",
            );
        }
        _ => {}
    }
}
