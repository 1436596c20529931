//! The text in which programs expose metrics: the Prometheus text format 0.0.4 and OpenMetrics 1.0. Pure and bounded.
//!
//! One reader for both, since they share all but details: OpenMetrics ends with `# EOF` and writes timestamps in seconds,
//! the older format in milliseconds. Exemplars are skipped, `_created` samples left out (they are times, not counts).
//! Sources: prometheus.io/docs/instrumenting/exposition_formats, and the OpenMetrics 1.0 specification.

mod line;

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::evidence::Labels;

/// Bounds of what is read. Passing one is an error, never a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole text.
    pub bytes: usize,
    /// Lines, comments and blank ones included.
    pub lines: usize,
    /// Bytes of one line.
    pub line_bytes: usize,
    /// Samples.
    pub series: usize,
    /// Labels of one sample.
    pub labels: usize,
    /// Bytes of one label value, unescaped.
    pub label_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 16 << 20,
            lines: 500_000,
            line_bytes: 64 << 10,
            series: 100_000,
            labels: 64,
            label_bytes: 8 << 10,
        }
    }
}

/// The metrics of one program at one time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Exposition {
    /// Samples, in the order of the text, without `_created` ones and without repetitions.
    pub samples: Vec<Sample>,
    /// The type of each metric family that declares one.
    pub types: BTreeMap<String, MetricType>,
    /// Series that came more than once: only the first is in `samples`. A program that does this has a defect, and which of
    /// its numbers is right nobody knows.
    pub duplicates: Vec<Duplicate>,
    /// The text ends with `# EOF`, as OpenMetrics does and the older format does not.
    pub openmetrics: bool,
}

/// One sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Name as written, with `_total`, `_bucket`, `_sum` or `_count`.
    pub name: String,
    /// Labels without the name.
    pub labels: Labels,
    /// Value; may be NaN or infinite.
    #[serde(with = "crate::evidence::number")]
    pub value: f64,
    /// When it was true, if the text says so.
    pub at: Option<Timestamp>,
}

/// The declared type of a metric family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricType {
    /// Only grows, but for restarts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets.
    Histogram,
    /// Buckets that go up and down.
    GaugeHistogram,
    /// Quantiles computed by the program itself.
    Summary,
    /// Labels are the information.
    Info,
    /// One of several states.
    StateSet,
    /// Not said (`untyped` or `unknown`).
    Unknown,
}

/// A series that came a second time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duplicate {
    /// The line of the repetition, from 1.
    pub line: usize,
    /// The series, as text.
    pub series: String,
}

/// The text could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub struct ParseError {
    /// Line, from 1; 0 when the text as a whole is meant.
    pub line: usize,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            f.write_str(&self.message)
        } else {
            write!(f, "line {}: {}", self.line, self.message)
        }
    }
}

impl Exposition {
    /// The declared type of the family that a sample of this name belongs to.
    pub fn type_of(&self, sample: &str) -> Option<MetricType> {
        if let Some(found) = self.types.get(sample) {
            return Some(*found);
        }
        ["_total", "_bucket", "_count", "_sum", "_info"]
            .into_iter()
            .filter_map(|suffix| sample.strip_suffix(suffix))
            .find_map(|family| self.types.get(family).copied())
    }
}

/// At most so many repetitions are kept; one is enough to know of the defect.
const DUPLICATES: usize = 16;

/// Reads a text in either format. The error names the first line that is wrong.
pub fn parse(text: &[u8], limits: Limits) -> Result<Exposition, ParseError> {
    let whole = |message: String| ParseError { line: 0, message };
    if text.len() > limits.bytes {
        return Err(whole(format!(
            "{} bytes of metrics; at most {} are read",
            text.len(),
            limits.bytes
        )));
    }
    let text = std::str::from_utf8(text).map_err(|error| {
        let before = text.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        ParseError {
            line,
            message: "not UTF-8; metrics are text in UTF-8".to_owned(),
        }
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('<') {
        return Err(whole(
            "an HTML or XML page, not metrics; check the path (often /metrics)".to_owned(),
        ));
    }
    let openmetrics = text.trim_end_matches(['\n', '\r']).lines().next_back() == Some("# EOF");
    let mut found = Exposition {
        openmetrics,
        ..Exposition::default()
    };
    let mut seen: HashSet<String> = HashSet::new();
    let mut ended = false;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let wrong = |message: String| ParseError {
            line: number,
            message,
        };
        if number > limits.lines {
            return Err(wrong(format!(
                "more than {} lines of metrics",
                limits.lines
            )));
        }
        if line.len() > limits.line_bytes {
            return Err(wrong(format!(
                "{} bytes in one line; at most {} are read",
                line.len(),
                limits.line_bytes
            )));
        }
        let line = line.trim_matches([' ', '\t', '\r']);
        if line.is_empty() {
            continue;
        }
        if ended {
            return Err(wrong("text after # EOF".to_owned()));
        }
        if let Some(comment) = line.strip_prefix('#') {
            if openmetrics && comment == " EOF" {
                ended = true;
            } else if let Some((family, kind)) = line::metric_type(comment).map_err(wrong)? {
                found.types.insert(family.to_owned(), kind);
            }
            continue;
        }
        let sample = line::sample(line, openmetrics, &limits).map_err(wrong)?;
        let series = sample.series();
        if seen.contains(&series) {
            if found.duplicates.len() < DUPLICATES {
                found.duplicates.push(Duplicate {
                    line: number,
                    series,
                });
            }
            continue;
        }
        if found.samples.len() == limits.series {
            return Err(wrong(format!("more than {} series", limits.series)));
        }
        seen.insert(series);
        found.samples.push(sample);
    }
    let types = &found.types;
    found
        .samples
        .retain(|sample| !is_creation_time(&sample.name, types));
    Ok(found)
}

/// `x_created` beside a counter, histogram or summary `x` is the time its counting began.
fn is_creation_time(name: &str, types: &BTreeMap<String, MetricType>) -> bool {
    let Some(family) = name.strip_suffix("_created") else {
        return false;
    };
    let counts = |name: &str| {
        use MetricType::{Counter, GaugeHistogram, Histogram, Summary};
        types
            .get(name)
            .is_some_and(|kind| matches!(kind, Counter | Histogram | GaugeHistogram | Summary))
    };
    counts(family) || counts(&format!("{family}_total"))
}

impl Sample {
    /// Name and labels as text; the same for the same series.
    pub fn series(&self) -> String {
        use fmt::Write as _;
        let mut text = self.name.clone();
        for (index, (name, value)) in self.labels.iter().enumerate() {
            text.push(if index == 0 { '{' } else { ',' });
            // Debug escapes quotes and control characters, so that two series never share one text. Writing to a String cannot fail.
            let _ = write!(text, "{name}={value:?}");
        }
        if !self.labels.is_empty() {
            text.push('}');
        }
        text
    }
}

#[cfg(test)]
mod tests;
