//! `--gate 'QUERY < LIMIT'`: a gate on the command line.

use serde_json::{Value, json};

use crate::error::CommandError;

/// A gate as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GateFlag {
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

    /// A built-in metric: the name itself; a query: `gate-1`.
    pub(crate) fn name(&self, index: usize) -> String {
        if self.is_metric() {
            self.measured.replace('_', "-")
        } else {
            format!("gate-{}", index + 1)
        }
    }

    fn is_metric(&self) -> bool {
        self.measured
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '.')
            && (self.measured == "error_rate" || self.measured.ends_with("_latency"))
    }

    /// The gate as a workflow would say it. A query answers in Prometheus' base units: a limit in ms is compared with seconds.
    /// `once`: one measurement decides.
    pub(crate) fn settings(&self, index: usize, window: &str, once: bool) -> Value {
        let condition = format!("result {} {}", self.comparison, self.limit);
        let mut gate =
            json!({"name": self.name(index), "success_condition": condition, "window": window});
        if once {
            gate["count"] = 1.into();
        }
        if self.is_metric() {
            gate["metric"] = self.measured.clone().into();
        } else {
            gate["query"] = self.measured.clone().into();
            if let Some(unit) = self.unit() {
                gate["unit"] = unit.into();
            }
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
