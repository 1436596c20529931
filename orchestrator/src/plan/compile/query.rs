//! Prometheus queries that bind outputs (S8, S9).

use std::time::Duration;

use canary_analyzer::unit::{Dimension, Unit};

use super::Compiler;
use super::nodes::Made;
use super::read::Cx;
use super::units;
use crate::diagnostic::{Diagnostics, Origin, Spanned, codes, quote};
use crate::node::spec::{QueryBinding, QueryWork, Reduce, Work};
use crate::osop::model::{Port, Text};
use crate::osop::settings::{self, QuerySettings, read_query_map};
use crate::osop::tree::Value;
use crate::plan::template::{Part, Reference, Template};

const WINDOW: Duration = Duration::from_mins(5);
const STEP: Duration = Duration::from_secs(15);

impl Compiler<'_> {
    pub(super) fn query(&mut self, cx: Cx<'_>, range: bool) -> Option<Made> {
        let own = match self.take(cx, "queries", cx.runtime.get_map("queries")) {
            Some(map) => read_query_map(map.value, &mut self.d),
            None => Vec::new(),
        };
        if cx.node.outputs.is_empty() {
            self.d
                .error(
                    codes::MISSING_KEY,
                    cx.span(),
                    format!(
                        "{} asks Prometheus and declares no output for the answer",
                        cx.what()
                    ),
                )
                .help("add `outputs: [error_rate]`");
            return None;
        }
        let settings = std::rc::Rc::clone(&self.settings);
        let mut queries = Vec::new();
        let mut missing: Vec<&Port> = Vec::new();
        for port in &cx.node.outputs {
            let name = port.name.value.as_str();
            let found = own
                .iter()
                .find(|(known, _)| known.value == name)
                .map(|(_, query)| query)
                .or_else(|| settings.queries.find(&cx.frame.plan_id(cx.local), name));
            match found {
                Some(query) => queries.extend(self.binding(cx, port, query)),
                None => match (cx.node.outputs.len(), self.text(cx, "query")) {
                    (1, Some(text)) => {
                        let query = QuerySettings {
                            span: text.span,
                            query: text.map(str::to_owned),
                            unit: None,
                            as_unit: None,
                            reduce: None,
                            min_samples: None,
                        };
                        queries.extend(self.binding(cx, port, &query));
                    }
                    _ => missing.push(port),
                },
            }
        }
        for (name, query) in own.iter().filter(|(name, _)| !cx.declares(&name.value)) {
            let declared = cx.node.outputs.iter().map(|port| port.name.value.as_str());
            self.d
                .error(
                    codes::UNKNOWN_OUTPUT,
                    query.span,
                    format!(
                        "{} has a query for {}, which is none of its outputs",
                        cx.what(),
                        quote(&name.value)
                    ),
                )
                .help_opt(crate::diagnostic::did_you_mean(&name.value, declared));
        }
        let lacking = !missing.is_empty();
        // A query under the name of what is no output may be the one that is missing.
        let told =
            settings.is_refused("queries") || own.iter().any(|(name, _)| !cx.declares(&name.value));
        if lacking && !told {
            self.missing_queries(cx, &missing);
        }
        let url = self.source_url(cx);
        if lacking || queries.len() < cx.node.outputs.len() {
            return None;
        }
        let work = QueryWork {
            url: match url? {
                Asked::Settings => None,
                Asked::Address(url) => Some(url),
            },
            range,
            queries,
            window: self.seconds(cx, "window_sec").unwrap_or(WINDOW),
            step: self.seconds(cx, "step_sec").unwrap_or(STEP),
            wait: self.seconds(cx, "wait_sec").unwrap_or(Duration::ZERO),
        };
        Some(Made::local(Work::Query(work), true))
    }

    fn seconds(&mut self, cx: Cx<'_>, key: &str) -> Option<Duration> {
        self.duration(cx, key).map(|duration| duration.value)
    }

    /// The address of the node; or none where the profile names a source, which knows more about it (credentials, certificates).
    fn source_url(&mut self, cx: Cx<'_>) -> Option<Asked> {
        let settings = std::rc::Rc::clone(&self.settings);
        let own = self.text(cx, "url");
        match (&settings.sources.prometheus, own) {
            (Some(_), None) => Some(Asked::Settings),
            (Some(source), Some(url))
                if source.span.origin == Origin::Profile && url.span.origin == Origin::Workflow =>
            {
                Some(Asked::Settings)
            }
            (_, Some(url)) => {
                let base = url
                    .value
                    .split("/api/v1/query")
                    .next()
                    .unwrap_or_default()
                    .trim_end_matches('/');
                Some(Asked::Address(
                    self.template(cx, Spanned::new(base, url.span))?,
                ))
            }
            (None, None) if settings.is_refused("sources") => None,
            (None, None) => {
                self.d
                    .error(codes::MISSING_KEY, cx.span(), format!("{} asks Prometheus, and does not say where it is", cx.what()))
                    .help("add to the profile:\nsources:\n  prometheus:\n    url: http://prometheus:9090");
                None
            }
        }
    }

    fn binding(&mut self, cx: Cx<'_>, port: &Port, query: &QuerySettings) -> Option<QueryBinding> {
        let output = &port.name.value;
        // The number at the end of an output is that of its step: `{{step}}` in a query that serves several nodes.
        let step = output
            .rsplit_once('_')
            .map(|(_, n)| n)
            .filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        let own = |reference: &Reference| match reference.head() {
            "window" => Some(Part::Reference(reference.clone())),
            "step" => step.map(|step| Part::Literal(step.to_owned())),
            _ => None,
        };
        let promql = self.template_with(cx, query.query.as_ref().map(String::as_str), own);
        let mut read = |unit: Option<&Text>| match unit {
            Some(unit) => self.unit(unit.as_ref().map(String::as_str)).map(Some),
            None => Some(None),
        };
        let unit = read(query.unit.as_ref());
        // The unit of the port itself was read with the outputs.
        let as_unit = match (&query.as_unit, &port.unit) {
            (None, Some(port)) => port.value.parse().ok().map(Some),
            (own, _) => read(own.as_ref()),
        };
        let (unit, as_unit) = (unit?, as_unit?);
        if unit.is_none() && units::is_latency(output) {
            self.d
                .error(codes::UNIT_MISMATCH, query.span, format!("{} is a latency, and its query does not say in which unit it answers", quote(output)))
                .help("add `unit: s` (most histograms are in seconds) or `unit: ms`; conditions see milliseconds, or what `as` says");
            return None;
        }
        let output_unit = as_unit
            .or_else(|| units::convention(output))
            .or(unit)
            .unwrap_or(Unit::None);
        let unit = unit.unwrap_or(output_unit);
        if unit.dimension() != output_unit.dimension() {
            let message = format!(
                "{} is {}, and its query answers in {}",
                quote(output),
                output_unit.dimension(),
                describe(unit)
            );
            self.d
                .error(codes::UNIT_MISMATCH, query.span, message)
                .help("declare the right `unit`, and with `as` the unit that conditions see");
            return None;
        }
        Some(QueryBinding {
            output: output.clone(),
            promql: promql?,
            unit,
            output_unit,
            reduce: match query.reduce.map(|reduce| reduce.value) {
                Some(settings::Reduce::Max) => Reduce::Max,
                Some(settings::Reduce::Min) => Reduce::Min,
                Some(settings::Reduce::Mean) => Reduce::Mean,
                Some(settings::Reduce::Last) | None => Reduce::Last,
            },
            min_samples: query.min_samples.map_or(1, |count| count.value),
        })
    }

    fn missing_queries(&mut self, cx: Cx<'_>, missing: &[&Port]) {
        let names: Vec<String> = missing.iter().map(|port| port.name.value.clone()).collect();
        let message = format!(
            "{} asks Prometheus for {} without saying what to ask",
            cx.what(),
            super::words::list(&names)
        );
        let mut lines = String::from("add to the profile (or `x-canary`):\nqueries:");
        for name in &names {
            let stem = name
                .rsplit_once('_')
                .filter(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
                .map_or(name.as_str(), |(stem, _)| stem);
            let unit = match units::convention(stem).map(Unit::dimension) {
                Some(Dimension::Time) => "unit: s, as: ms",
                Some(Dimension::Ratio) => "unit: ratio",
                _ => "unit: none",
            };
            let piece = format!("\n  {stem}: {{query: 'PROMQL with [{{{{window}}}}]', {unit}}}");
            lines.push_str(&piece);
        }
        let span = missing.first().map_or(cx.span(), |port| port.span);
        self.d
            .error(codes::MISSING_QUERY, span, message)
            .help(lines);
    }
}

fn describe(unit: Unit) -> String {
    match unit.dimension() {
        Dimension::Plain => "plain numbers".to_owned(),
        _ => unit.to_string(),
    }
}

/// Queries written in the node.
pub(super) fn own_queries(cx: Cx<'_>) -> Vec<(Text, QuerySettings)> {
    match cx.runtime.get("queries").and_then(Value::as_map) {
        // Problems are told once, when the work is made.
        Some(map) => read_query_map(map, &mut Diagnostics::default()),
        None => Vec::new(),
    }
}

/// Who is asked.
enum Asked {
    /// The source of the settings.
    Settings,
    /// This address.
    Address(Template),
}
