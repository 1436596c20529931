//! One line of the text formats.

use jiff::Timestamp;

use super::{Limits, MetricType, Sample};
use crate::evidence::{Labels, number};

/// Family and type of a `# TYPE` comment; `None` for any other comment.
pub(super) fn metric_type(comment: &str) -> Result<Option<(&str, MetricType)>, String> {
    let mut words = comment.split_ascii_whitespace();
    if words.next() != Some("TYPE") {
        return Ok(None);
    }
    let (Some(family), Some(kind)) = (words.next(), words.next()) else {
        return Err("# TYPE needs a metric name and a type".to_owned());
    };
    let kind = match kind.to_ascii_lowercase().as_str() {
        "counter" => MetricType::Counter,
        "gauge" => MetricType::Gauge,
        "histogram" => MetricType::Histogram,
        "gaugehistogram" => MetricType::GaugeHistogram,
        "summary" => MetricType::Summary,
        "info" => MetricType::Info,
        "stateset" => MetricType::StateSet,
        "untyped" | "unknown" => MetricType::Unknown,
        other => {
            return Err(format!(
                "unknown type {:?}; expected counter, gauge, histogram, summary, untyped or an OpenMetrics type",
                short(other)
            ));
        }
    };
    Ok(Some((family.trim_matches('"'), kind)))
}

/// Name, labels, value and timestamp of a sample line. An exemplar behind it is skipped.
pub(super) fn sample(line: &str, openmetrics: bool, limits: &Limits) -> Result<Sample, String> {
    let mut rest = Rest(line);
    let mut name = rest.name().map(str::to_owned);
    rest.blanks();
    let labels = if rest.take('{') {
        labels(&mut rest, &mut name, limits)?
    } else {
        Labels::new()
    };
    let Some(name) = name else {
        return Err(format!("expected a metric name, found {:?}", short(line)));
    };
    rest.blanks();
    let value = rest.word();
    if value.is_empty() {
        return Err(format!("{name}: a value is missing"));
    }
    let value = number::parse(value).ok_or_else(|| {
        format!(
            "{name}: expected a value (a number, NaN, +Inf or -Inf), found {:?}",
            short(value)
        )
    })?;
    rest.blanks();
    let mut at = None;
    if !rest.0.is_empty() && !rest.0.starts_with('#') {
        let text = rest.word();
        at = Some(timestamp(text, openmetrics).ok_or_else(|| {
            let unit = if openmetrics {
                "seconds"
            } else {
                "milliseconds"
            };
            format!(
                "{name}: expected a timestamp in {unit} or the end of the line, found {:?}",
                short(text)
            )
        })?);
        rest.blanks();
    }
    if !rest.0.is_empty() && !rest.0.starts_with('#') {
        return Err(format!(
            "{name}: expected the end of the line, found {:?}",
            short(rest.0)
        ));
    }
    Ok(Sample {
        name,
        labels,
        value,
        at,
    })
}

/// The labels up to the closing brace. A quoted string without `=` is the metric name (names outside ASCII, Prometheus 3).
fn labels(
    rest: &mut Rest<'_>,
    metric: &mut Option<String>,
    limits: &Limits,
) -> Result<Labels, String> {
    let mut labels = Labels::new();
    loop {
        rest.blanks();
        if rest.take('}') {
            return Ok(labels);
        }
        let name = if rest.0.starts_with('"') {
            rest.quoted(limits)?
        } else {
            rest.name()
                .ok_or_else(|| format!("expected a label name or }}, found {:?}", short(rest.0)))?
                .to_owned()
        };
        rest.blanks();
        if rest.take('=') {
            rest.blanks();
            if !rest.0.starts_with('"') {
                return Err(format!(
                    "label {name}: expected a value in double quotes, found {:?}",
                    short(rest.0)
                ));
            }
            let value = rest.quoted(limits)?;
            if labels.len() == limits.labels {
                return Err(format!("more than {} labels in one series", limits.labels));
            }
            if labels.insert(name.clone(), value).is_some() {
                return Err(format!("label {name} comes twice in one series"));
            }
        } else if metric.is_none() {
            *metric = Some(name);
        } else {
            return Err(format!(
                "label {}: expected = and a value in double quotes",
                short(&name)
            ));
        }
        rest.blanks();
        if !rest.take(',') && !rest.0.starts_with('}') {
            return Err(format!(
                "expected , or }} after a label, found {:?}",
                short(rest.0)
            ));
        }
    }
}

/// Milliseconds, or seconds with a fraction in OpenMetrics.
fn timestamp(text: &str, openmetrics: bool) -> Option<Timestamp> {
    if openmetrics {
        let seconds: f64 = text
            .parse()
            .ok()
            .filter(|seconds: &f64| seconds.is_finite())?;
        Timestamp::UNIX_EPOCH
            .checked_add(jiff::SignedDuration::try_from_secs_f64(seconds).ok()?)
            .ok()
    } else {
        Timestamp::from_millisecond(text.parse().ok()?).ok()
    }
}

/// What of the line is not read yet.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn take(&mut self, expected: char) -> bool {
        let stripped = self.0.strip_prefix(expected);
        self.0 = stripped.unwrap_or(self.0);
        stripped.is_some()
    }

    fn cut(&mut self, end: usize) -> &'a str {
        let (head, tail) = self.0.split_at(end);
        self.0 = tail;
        head
    }

    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`
    fn name(&mut self) -> Option<&'a str> {
        let end = self
            .0
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
            .unwrap_or(self.0.len());
        if end == 0 || self.0.starts_with(|c: char| c.is_ascii_digit()) {
            None
        } else {
            Some(self.cut(end))
        }
    }

    fn word(&mut self) -> &'a str {
        self.cut(self.0.find([' ', '\t']).unwrap_or(self.0.len()))
    }

    /// A string in double quotes, with the escapes `\\`, `\"` and `\n`. As Prometheus does, a backslash before any other
    /// character stands for itself.
    fn quoted(&mut self, limits: &Limits) -> Result<String, String> {
        let mut text = String::new();
        let mut chars = self.0.char_indices().skip(1);
        while let Some((index, char)) = chars.next() {
            match char {
                '"' => {
                    self.cut(index + 1);
                    return Ok(text);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, escaped @ ('\\' | '"'))) => text.push(escaped),
                    Some((_, other)) => text.extend(['\\', other]),
                    None => break,
                },
                other => text.push(other),
            }
            if text.len() > limits.label_bytes {
                return Err(format!(
                    "a label value of more than {} bytes",
                    limits.label_bytes
                ));
            }
        }
        Err(format!(
            "a string without its closing quote: {:?}",
            short(self.0)
        ))
    }
}

/// Enough to recognise it by.
fn short(text: &str) -> &str {
    let end = text
        .char_indices()
        .nth(40)
        .map_or(text.len(), |(index, _)| index);
    &text[..end]
}
