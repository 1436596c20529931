//! `--gate 'QUERY < LIMIT'`: a gate on the command line.

use serde_json::{Value, json};

use crate::error::CommandError;

/// A gate as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GateFlag {
    typed: String,
    measured: String,
    comparison: &'static str,
    limit: String,
}

const COMPARISONS: [&str; 6] = ["<=", ">=", "==", "!=", "<", ">"];

impl GateFlag {
    /// The last comparison with a literal is the limit; everything before it is what is measured.
    pub(crate) fn parse(text: &str) -> Result<Self, CommandError> {
        let wrong = || {
            CommandError::usage(format!("--gate `{text}` has no limit"))
                .hint("write what is measured, a comparison and a limit: 'error_rate < 1%', 'histogram_quantile(...) < 500ms'")
        };
        let (place, comparison) = COMPARISONS
            .iter()
            .filter_map(|comparison| Some((text.rfind(comparison)?, *comparison)))
            // `<=` ends where its `=` ends: of two that end alike, the longer one.
            .max_by_key(|(place, comparison)| (place + comparison.len(), comparison.len()))
            .ok_or_else(wrong)?;
        let measured = text[..place].trim();
        let limit = text[place + comparison.len()..].trim();
        let literal = limit
            .starts_with(|letter: char| letter.is_ascii_digit() || letter == '.' || letter == '-')
            && limit
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || ".%-+".contains(letter));
        if measured.is_empty() || !literal {
            return Err(wrong());
        }
        let gate = Self {
            typed: text.to_owned(),
            measured: measured.to_owned(),
            comparison,
            limit: limit.to_owned(),
        };
        if gate.is_quantile_of_time() && gate.unit().is_none() {
            return Err(CommandError::usage(format!(
                "--gate `{text}` compares a time with {limit}, which has no unit"
            ))
            .hint(format!("write {limit}ms or {limit}s")));
        }
        Ok(gate)
    }

    /// The argument.
    pub(super) fn typed(&self) -> &str {
        &self.typed
    }

    /// For each byte of what is measured its place in the argument, and one for its end.
    pub(super) fn measured_places(&self) -> Vec<usize> {
        let start = self.typed.find(&self.measured).unwrap_or_default();
        (start..=start + self.measured.len()).collect()
    }

    /// The same for the condition: `result` in it stands for what is measured.
    pub(super) fn condition_places(&self) -> Vec<usize> {
        let measured = self.measured_places();
        let (start, end) = (
            measured.first().copied().unwrap_or_default(),
            measured.last().copied().unwrap_or_default(),
        );
        let comparison = end + self.typed[end..].find(self.comparison).unwrap_or_default();
        let limit = self.typed.rfind(&self.limit).unwrap_or_default();
        let mut places = vec![start];
        places.resize("result".len(), end);
        places.push(end);
        places.extend(comparison..=comparison + self.comparison.len());
        places.extend(limit..=limit + self.limit.len());
        places
    }

    /// The key of the workflow that says what is measured.
    pub(super) fn measured_key(&self) -> &'static str {
        if self.is_metric() { "metric" } else { "query" }
    }

    /// What it is called: after the metric, or after the words of the query.
    fn own_name(&self) -> String {
        const LONGEST: usize = 40;
        let mut name = String::new();
        for letter in self.measured.chars() {
            if letter.is_ascii_alphanumeric() {
                name.push(letter);
            } else if !name.is_empty() && !name.ends_with('-') {
                name.push('-');
            }
        }
        name.truncate(LONGEST);
        let name = name.trim_end_matches('-');
        if name.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
            name.to_owned()
        } else {
            format!("query-{name}").trim_end_matches('-').to_owned()
        }
    }

    /// What they are called; a second one of the same name has a number.
    pub(super) fn names(gates: &[Self]) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for gate in gates {
            let own = gate.own_name();
            let mut name = own.clone();
            let mut number = 2;
            while names.contains(&name) {
                name = format!("{own}-{number}");
                number += 1;
            }
            names.push(name);
        }
        names
    }

    fn is_metric(&self) -> bool {
        self.measured
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '.')
            && (self.measured == "error_rate" || self.measured.ends_with("_latency"))
    }

    /// The gate as a workflow would say it. A query answers in Prometheus' base units: a limit in ms is compared with seconds.
    /// `once`: one measurement decides.
    pub(crate) fn settings(&self, name: &str, window: &str, once: bool) -> Value {
        let condition = format!("result {} {}", self.comparison, self.limit);
        let mut gate = json!({"name": name, "success_condition": condition, "window": window});
        if once {
            gate["count"] = 1.into();
        }
        gate[self.measured_key()] = self.measured.clone().into();
        if let Some(unit) = self.unit().filter(|_| !self.is_metric()) {
            gate["unit"] = unit.into();
        }
        gate
    }

    fn unit(&self) -> Option<&'static str> {
        let letters = self
            .limit
            .trim_start_matches(|letter: char| letter.is_ascii_digit() || ".-+".contains(letter));
        match letters {
            "%" => Some("ratio"),
            "ns" | "us" | "ms" | "s" | "m" | "h" if self.measured.contains("milliseconds") => {
                Some("ms")
            }
            "ns" | "us" | "ms" | "s" | "m" | "h" => Some("s"),
            _ => None,
        }
    }

    /// A histogram whose name says that it holds times.
    fn is_quantile_of_time(&self) -> bool {
        self.measured.contains("histogram_quantile") && self.measured.contains("seconds")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_comparison_is_the_limit() {
        let rows = [
            ("error_rate < 1%", "error_rate", "<", "1%"),
            (
                "sum(up{job=\"a\"} == 1) >= 3",
                "sum(up{job=\"a\"} == 1)",
                ">=",
                "3",
            ),
            (
                "histogram_quantile(0.99, x) <= 500ms",
                "histogram_quantile(0.99, x)",
                "<=",
                "500ms",
            ),
        ];
        for (text, measured, comparison, limit) in rows {
            let gate = GateFlag::parse(text).unwrap();
            assert_eq!(
                (gate.measured.as_str(), gate.comparison, gate.limit.as_str()),
                (measured, comparison, limit)
            );
        }
        let bare = "histogram_quantile(0.99, rate(x_seconds_bucket[5m])) < 500";
        for text in ["up", "up <", "< 3", "up{a=\"b\"}", "a < b", bare] {
            assert!(GateFlag::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn gates_are_called_after_what_they_measure() {
        let gates: Vec<_> = [
            "error_rate < 1%",
            "sum(rate(errors{job=\"a\"}[5m])) < 3",
            "error_rate < 2%",
            "1 - up > 0",
        ]
        .iter()
        .map(|text| GateFlag::parse(text).unwrap())
        .collect();
        assert_eq!(
            GateFlag::names(&gates),
            [
                "error-rate",
                "sum-rate-errors-job-a-5m",
                "error-rate-2",
                "query-1-up"
            ]
        );
    }

    #[test]
    fn places_are_those_of_the_argument() {
        let gate = GateFlag::parse("  error_rate  <=  1%").unwrap();
        let typed = gate.typed();
        let measured = gate.measured_places();
        assert_eq!(&typed[measured[0]..*measured.last().unwrap()], "error_rate");
        let condition = gate.condition_places();
        let source = "result <= 1%";
        assert_eq!(condition.len(), source.len() + 1);
        assert_eq!(&typed[condition[source.find("<=").unwrap()]..][..2], "<=");
        assert_eq!(&typed[condition[source.find("1%").unwrap()]..], "1%");
        assert_eq!(condition.last(), Some(&typed.len()));
    }

    #[test]
    fn queries_answer_in_base_units() {
        assert_eq!(GateFlag::parse("q < 500ms").unwrap().unit(), Some("s"));
        assert_eq!(GateFlag::parse("q < 1%").unwrap().unit(), Some("ratio"));
        assert_eq!(GateFlag::parse("q < 3").unwrap().unit(), None);
        assert_eq!(
            GateFlag::parse("x_milliseconds < 1s").unwrap().unit(),
            Some("ms")
        );
    }
}
