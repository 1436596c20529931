//! Gates: from settings to what the analyzer judges.

use std::time::Duration;

use canary_analyzer::expr::{self, Condition};
use canary_analyzer::gate::{Compat, Gate, GateScope, Metric, Rule};
use canary_analyzer::unit::{Dimension, Unit};

use super::Compiler;
use super::read::{Cx, inside};
use super::units;
use crate::diagnostic::{Diagnostics, Spanned, codes, quote};
use crate::osop::model::Text;
use crate::osop::settings::{self, GateMetric, GateSettings};
use crate::osop::tree::Value;
use crate::plan::model::GateIndex;
use crate::plan::template::{Part, Reference, RunValues, Template};

const INTERVAL: Duration = Duration::from_secs(15);
const WINDOW: Duration = Duration::from_mins(1);
/// Argo's default.
const CONSECUTIVE_ERRORS: u32 = 4;

impl Compiler<'_> {
    /// The gates of the settings, which are watched as guards.
    pub(super) fn read_guards(&mut self) {
        let settings = std::rc::Rc::clone(&self.settings);
        for written in &settings.gates {
            if let Some(index) = self.gate(written) {
                self.guards.push(index);
            }
        }
    }

    /// A gate written in a node: judged there, and no guard.
    pub(super) fn inline_gate(&mut self, cx: Cx<'_>, item: &Value) -> Option<GateIndex> {
        let mut written = settings::read_gate(item, &mut self.d)?;
        if self
            .gates
            .iter()
            .any(|gate| gate.name == written.name.value)
        {
            // Gates of several nodes may have the same name; reports tell them apart by the node.
            written.name.value = format!("{}/{}", cx.frame.plan_id(cx.local), written.name.value);
        }
        self.gate(&written)
    }

    fn gate(&mut self, written: &GateSettings) -> Option<GateIndex> {
        let errors = self.d.errors();
        let compat = match written.compat.map(|compat| compat.value) {
            Some(settings::Compat::Argo) => Compat::Argo,
            Some(settings::Compat::Strict) | None => Compat::Strict,
        };
        // Both are looked at, whatever is wrong with the other one.
        let metric = self.gate_metric(written, compat);
        let rule = self.rule(written, metric.as_ref().map(|(_, unit)| *unit), compat);
        let (Some((metric, unit)), Some(rule)) = (metric, rule) else {
            return None;
        };
        let gate = Gate {
            name: written.name.value.clone(),
            metric,
            unit,
            rule,
            compat,
            interval: written.interval.map_or(INTERVAL, |interval| interval.value),
            window: written.window.map_or(WINDOW, |window| window.value),
            initial_delay: written
                .initial_delay
                .map_or(Duration::ZERO, |delay| delay.value),
            count: written.count.map(|count| count.value),
            failure_limit: match written.failure_limit {
                Some(limit) => u32::try_from(limit.value).ok(),
                None => Some(0),
            },
            inconclusive_limit: written.inconclusive_limit.map_or(0, |limit| limit.value),
            consecutive_error_limit: written
                .consecutive_error_limit
                .map_or(CONSECUTIVE_ERRORS, |limit| limit.value),
            consecutive_success_limit: written
                .consecutive_success_limit
                .map_or(0, |limit| limit.value),
            min_requests: written.min_requests.map_or(0, |count| count.value),
        };
        self.check_limits(written, &gate);
        if self.d.errors() > errors {
            return None;
        }
        self.gates.push(gate);
        Some(GateIndex(self.gates.len() - 1))
    }

    fn gate_metric(&mut self, written: &GateSettings, compat: Compat) -> Option<(Metric, Unit)> {
        let as_unit = written
            .as_unit
            .as_ref()
            .and_then(|unit| self.unit(unit.as_ref().map(String::as_str)));
        if let Some(metric) = &written.metric {
            let (metric, natural) = match metric.value {
                GateMetric::ErrorRate => (Metric::ErrorRate, Unit::Ratio),
                GateMetric::Latency { quantile } => {
                    (Metric::Latency { quantile }, Unit::Milliseconds)
                }
            };
            let unit = as_unit.unwrap_or(natural);
            if unit.dimension() != natural.dimension() {
                self.dimensions(written.as_unit.as_ref(), &written.name, natural, unit);
                return None;
            }
            return Some((metric, unit));
        }
        let query = written.query.as_ref()?;
        let promql = self.gate_query(&written.name, query);
        let declared = written
            .unit
            .as_ref()
            .and_then(|unit| self.unit(unit.as_ref().map(String::as_str)));
        let name = &written.name.value;
        let source_unit = match declared {
            Some(unit) => unit,
            None if written.unit.is_some() => return None,
            // Argo's conditions are written in the unit of the query.
            None if units::is_latency(name) && compat == Compat::Strict => {
                self.d
                    .error(
                        codes::UNIT_MISMATCH,
                        written.name.span,
                        format!(
                            "gate {} measures a latency, and its query does not say in which unit",
                            quote(name)
                        ),
                    )
                    .help("add `unit: s` (most histograms are in seconds) or `unit: ms`");
                return None;
            }
            None => as_unit
                .or_else(|| units::convention(name))
                .filter(|_| compat == Compat::Strict)
                .unwrap_or(Unit::None),
        };
        let unit = as_unit.unwrap_or(match source_unit.dimension() {
            Dimension::Time if compat == Compat::Strict => Unit::Milliseconds,
            Dimension::Ratio if compat == Compat::Strict => Unit::Ratio,
            _ => source_unit,
        });
        if unit.dimension() != source_unit.dimension() {
            self.dimensions(written.as_unit.as_ref(), &written.name, source_unit, unit);
            return None;
        }
        Some((
            Metric::Query {
                promql: promql?,
                source_unit,
            },
            unit,
        ))
    }

    fn dimensions(&mut self, place: Option<&Text>, name: &Text, from: Unit, to: Unit) {
        let span = place.map_or(name.span, |text| text.span);
        let message = format!(
            "gate {} measures {}, which cannot be given as {to}",
            quote(&name.value),
            from.dimension()
        );
        self.d.error(codes::UNIT_MISMATCH, span, message);
    }

    /// The query with variables filled in, and `{{window}}` left.
    fn gate_query(&mut self, name: &Text, query: &Text) -> Option<String> {
        let template = match Template::parse(&query.value) {
            Ok(template) => template,
            Err(error) => {
                self.reference_error(query.as_ref().map(String::as_str), &error);
                return None;
            }
        };
        let mut text = String::new();
        for part in template.parts() {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Reference(reference) if reference.to_string() == "window" => {
                    text.push_str("{{window}}");
                }
                Part::Reference(reference) => {
                    let what = format!("gate {}", name.value);
                    text.push_str(&self.known_value(&what, query, reference)?);
                }
            }
        }
        Some(text)
    }

    /// The value of a variable or environment variable, for texts that are fixed before the run.
    pub(super) fn known_value(
        &mut self,
        what: &str,
        text: &Text,
        reference: &Reference,
    ) -> Option<String> {
        use crate::plan::template::{Lookup as _, Namespace, text_of};
        let mut reference = reference.clone();
        if reference.namespace == Namespace::Name {
            reference.namespace = if self.values.variables.contains_key(reference.head()) {
                Namespace::Inputs
            } else {
                Namespace::Env
            };
        }
        if reference.namespace == Namespace::Env {
            self.capture(reference.head());
        }
        let found = match reference.head() {
            "service" => self
                .settings
                .service
                .as_ref()
                .map(|service| service.value.clone()),
            "namespace" => self
                .settings
                .namespace
                .as_ref()
                .map(|namespace| namespace.value.clone()),
            _ => None,
        };
        let lookup = RunValues {
            values: &self.values,
            outputs: |_: &str, _: &str| None,
            iteration: 0,
        };
        let value = lookup
            .get(&reference)
            .map(text_of)
            .or(found)
            .or(reference.default.clone());
        if value.is_none() {
            let head = reference.head();
            let told = self.settings.refused.whole
                || self
                    .settings
                    .variable(head)
                    .is_some_and(|value| value.is_null() && self.d.any_error_within(value.span));
            if !told {
                self.missing.add_other(head, what, text.span);
            }
        }
        value
    }

    /// Without a unit only what holds for every unit is checked: why there is none was reported.
    fn rule(&mut self, written: &GateSettings, unit: Option<Unit>, compat: Compat) -> Option<Rule> {
        if let (Some(range), Some(unit)) = (&written.threshold_range, unit) {
            let min = range.min.as_ref().map(|text| self.bound(text, unit));
            let max = range.max.as_ref().map(|text| self.bound(text, unit));
            let (min, max) = (
                min.map_or(Some(None), |bound| bound.map(Some))?,
                max.map_or(Some(None), |bound| bound.map(Some))?,
            );
            if let (Some(min), Some(max)) = (min, max)
                && min > max
            {
                self.d.error(
                    codes::OUT_OF_RANGE,
                    range.span,
                    "`threshold_range` is empty: `min` is above `max`",
                );
            }
            return Some(Rule::Range { min, max });
        }
        let syntax = match written.syntax.map(|syntax| syntax.value) {
            None if compat == Compat::Argo => expr::Syntax::Expr,
            Some(settings::Syntax::Expr) => expr::Syntax::Expr,
            Some(settings::Syntax::Cel) | None => expr::Syntax::Cel,
        };
        let name = &written.name.value;
        if name.is_empty() {
            // It may be what the conditions call their value.
            return None;
        }
        let mut read = |text: &Option<Text>| match text {
            None => Some(None),
            Some(text) => match unit {
                Some(unit) => {
                    let scope = GateScope::new(name, unit, compat, &text.value);
                    condition(&mut self.d, text, &text.value, 0, syntax, &scope)
                }
                None => {
                    let scope = AnyUnit(GateScope::new(name, Unit::None, compat, &text.value));
                    condition(&mut self.d, text, &text.value, 0, syntax, &scope)
                }
            }
            .map(Some),
        };
        let success = read(&written.success_condition);
        let failure = read(&written.failure_condition);
        let (success, failure) = (success?, failure?);
        if success.is_none() && failure.is_none() {
            // The reader told that already.
            return None;
        }
        Some(Rule::Conditions { success, failure })
    }

    /// A bound like `500`, `500ms`, `1%`, in the gate's unit.
    fn bound(&mut self, text: &Text, unit: Unit) -> Option<f64> {
        let trimmed = text.value.trim();
        let split = trimmed
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E')))
            .unwrap_or(trimmed.len());
        let (number, suffix) = trimmed.split_at(split);
        let Ok(number) = number.parse::<f64>() else {
            self.d.error(
                codes::WRONG_TYPE,
                text.span,
                format!("{} is not a number", quote(trimmed)),
            );
            return None;
        };
        if suffix.trim().is_empty() {
            return Some(number);
        }
        let from = self.unit(Spanned::new(suffix.trim(), text.span))?;
        let converted = from.convert(number, unit);
        if converted.is_none() {
            let message = format!(
                "{} is {}, and the gate measures {}",
                quote(trimmed),
                from.dimension(),
                unit.dimension()
            );
            self.d.error(codes::UNIT_MISMATCH, text.span, message);
        }
        converted
    }

    /// Argo's validation of a metric.
    fn check_limits(&mut self, written: &GateSettings, gate: &Gate) {
        let name = quote(&gate.name);
        let count_span = written.count.map_or(written.name.span, |count| count.span);
        if let Some(count) = gate.count {
            let failures = gate.failure_limit.unwrap_or(0);
            if count < failures {
                self.d.error(codes::GATE_LIMITS, count_span, format!("gate {name} can never fail: `failure_limit` {failures} is above `count` {count}"));
            }
            if count < gate.inconclusive_limit {
                let limit = gate.inconclusive_limit;
                self.d.error(codes::GATE_LIMITS, count_span, format!("gate {name} can never be inconclusive: `inconclusive_limit` {limit} is above `count` {count}"));
            }
            if count < gate.consecutive_success_limit {
                let limit = gate.consecutive_success_limit;
                self.d.error(codes::GATE_LIMITS, count_span, format!("gate {name} can never pass: `consecutive_success_limit` {limit} is above `count` {count}"));
            }
        }
        if gate.failure_limit.is_none() && gate.consecutive_success_limit == 0 {
            let span = written
                .failure_limit
                .map_or(written.name.span, |limit| limit.span);
            self.d
                .error(codes::GATE_LIMITS, span, format!("gate {name} can never fail: `failure_limit: -1` needs a `consecutive_success_limit`"))
                .help("with it, the gate passes after that many passes in a row, and fails when `count` is used up");
        }
    }
}

/// The names of a gate whose unit is not known.
struct AnyUnit(GateScope);

impl expr::Scope for AnyUnit {
    fn type_of(&self, name: &str) -> Option<expr::Type> {
        self.0.type_of(name).map(|_| expr::Type::Any)
    }

    fn names(&self) -> Vec<String> {
        self.0.names()
    }
}

/// Compiles a condition; problems point into `text`, of which `source` is the part after `skip` bytes of our own.
pub(super) fn condition(
    d: &mut Diagnostics,
    text: &Text,
    source: &str,
    skip: usize,
    syntax: expr::Syntax,
    scope: &dyn expr::Scope,
) -> Option<Condition> {
    let file = d.file(text.span.origin);
    let written = Spanned::new(text.value.as_str(), text.span);
    let length = text.value.len();
    let place = |span: &std::ops::Range<usize>| {
        let start = span.start.saturating_sub(skip).min(length);
        inside(
            &file,
            &written,
            start,
            span.end.saturating_sub(skip).clamp(start, length),
        )
    };
    match Condition::compile(source, syntax, scope) {
        Ok(condition) => {
            for warning in condition.warnings() {
                let diagnostic = d.warning(
                    codes::SUSPICIOUS_CONDITION,
                    place(&warning.span),
                    warning.message.clone(),
                );
                if !warning.hint.is_empty() {
                    diagnostic.help(warning.hint.clone());
                }
            }
            Some(condition)
        }
        Err(errors) => {
            for error in errors {
                let diagnostic =
                    d.error(codes::INVALID_CONDITION, place(&error.span), error.message);
                if !error.hint.is_empty() {
                    diagnostic.help(error.hint);
                }
            }
            None
        }
    }
}
