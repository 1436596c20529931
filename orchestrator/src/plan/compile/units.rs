//! Units of outputs, declared or by convention (S9).

use canary_analyzer::unit::Unit;

use super::Compiler;
use crate::diagnostic::{Spanned, codes};

impl Compiler<'_> {
    /// Reads a unit; tells if there is none of that name.
    pub(super) fn unit(&mut self, text: Spanned<&str>) -> Option<Unit> {
        match text.value.parse() {
            Ok(unit) => Some(unit),
            Err(error) => {
                let error: canary_analyzer::unit::UnknownUnit = error;
                self.d
                    .error(codes::UNKNOWN_VALUE, text.span, error.to_string());
                None
            }
        }
    }
}

/// The unit that a name says: latencies are milliseconds unless they end in another unit, rates of errors are ratios.
pub(super) fn convention(output: &str) -> Option<Unit> {
    let name = output.to_ascii_lowercase().replace('-', "_");
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
    let ends = |ends: &[&str]| ends.iter().any(|end| stem.ends_with(end));
    if ends(&["_seconds", "_sec", "_secs"]) {
        Some(Unit::Seconds)
    } else if ends(&["_ms", "_millis", "_milliseconds"]) || is_latency(output) {
        Some(Unit::Milliseconds)
    } else if ends(&["_percent", "_pct", "_percentage"]) {
        Some(Unit::Percent)
    } else if ends(&[
        "error_rate",
        "success_rate",
        "failure_rate",
        "_ratio",
        "availability",
    ]) {
        Some(Unit::Ratio)
    } else {
        None
    }
}

/// Whether the name is that of a latency: its query must say its unit.
pub(super) fn is_latency(output: &str) -> bool {
    let name = output.to_ascii_lowercase();
    name.split(['_', '-', '.']).any(|word| {
        let quantile = word
            .strip_prefix('p')
            .is_some_and(|n| n.len() >= 2 && n.bytes().all(|b| b.is_ascii_digit()));
        quantile || matches!(word, "latency" | "duration")
    }) || name.contains("response_time")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_their_unit() {
        for (name, unit) in [
            ("p99_latency_10", Some(Unit::Milliseconds)),
            ("latency", Some(Unit::Milliseconds)),
            ("p99_latency_seconds_10", Some(Unit::Seconds)),
            ("request_duration_ms", Some(Unit::Milliseconds)),
            ("p95", Some(Unit::Milliseconds)),
            ("error_rate_10", Some(Unit::Ratio)),
            ("error_rate", Some(Unit::Ratio)),
            ("cpu_percent", Some(Unit::Percent)),
            ("restarts", None),
            ("status", None),
            ("p2p_peers", None),
        ] {
            assert_eq!(convention(name), unit, "{name}");
        }
    }
}
