//! The JSON in which the Prometheus API answers: prometheus.io/docs/prometheus/latest/querying/api, "Format overview".
//! Bounded: the bytes were bounded on the way in, nesting by `serde_json` (128), series here.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, SeqAccess, Visitor};

use crate::evidence::{Answer, Labels, QueryValue, Series, number};

/// An answer in good form.
#[derive(Debug)]
pub(super) enum Read {
    /// Success.
    Answered(Answer),
    /// The server says why not.
    Refused {
        /// `errorType`
        error_type: String,
        /// `error`
        message: String,
    },
}

/// An answer that cannot be used.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// What it is instead.
    NotPrometheus(String),
    /// More series than allowed.
    TooManySeries,
    /// Histograms where numbers are needed.
    NativeHistogram,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    status: String,
    #[serde(default)]
    data: Option<Data>,
    #[serde(default)]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    infos: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Scalar(Point),
    String(Text),
    Vector(Vec<VectorSeries>),
    Matrix(Vec<MatrixSeries>),
}

#[derive(Deserialize)]
struct VectorSeries {
    #[serde(default)]
    metric: Labels,
    #[serde(default)]
    value: Option<Point>,
    #[serde(default)]
    histogram: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct MatrixSeries {
    #[serde(default)]
    metric: Labels,
    #[serde(default)]
    values: Vec<Point>,
    #[serde(default)]
    histograms: Option<IgnoredAny>,
}

/// `[ <unix seconds>, "<value>" ]`
struct Point {
    at: Timestamp,
    value: f64,
}

/// The same with a string that is no number.
struct Text {
    at: Timestamp,
    text: String,
}

/// Reads an answer that was asked for at `at`.
pub(super) fn read(body: &[u8], at: Timestamp, max_series: usize) -> Result<Read, Unreadable> {
    let envelope: Envelope = serde_json::from_slice(body)
        .map_err(|error| Unreadable::NotPrometheus(what(body, &error)))?;
    match (envelope.status.as_str(), envelope.data) {
        ("success", Some(data)) => {
            let (value, at) = value(data, at, max_series)?;
            Ok(Read::Answered(Answer {
                value,
                warnings: envelope.warnings,
                infos: envelope.infos,
                at,
            }))
        }
        ("error", _) => {
            let error_type = if envelope.error_type.is_empty() {
                "error".to_owned()
            } else {
                envelope.error_type
            };
            let message = if envelope.error.is_empty() {
                "no message".to_owned()
            } else {
                envelope.error
            };
            Ok(Read::Refused {
                error_type,
                message,
            })
        }
        ("success", None) => Err(Unreadable::NotPrometheus("JSON without data".to_owned())),
        _ => Err(Unreadable::NotPrometheus(
            "JSON whose status is neither success nor error".to_owned(),
        )),
    }
}

/// The version in an answer to `/api/v1/status/buildinfo`.
pub(super) fn version(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Build {
        data: Version,
    }
    #[derive(Deserialize)]
    struct Version {
        version: String,
    }
    serde_json::from_slice::<Build>(body)
        .ok()
        .map(|build| build.data.version)
}

fn value(
    data: Data,
    at: Timestamp,
    max_series: usize,
) -> Result<(QueryValue, Timestamp), Unreadable> {
    match data {
        Data::Scalar(point) => Ok((QueryValue::Scalar(point.value), point.at)),
        Data::String(text) => Ok((QueryValue::Text(text.text), text.at)),
        Data::Vector(series) => {
            if series.len() > max_series {
                return Err(Unreadable::TooManySeries);
            }
            let evaluated = series
                .iter()
                .find_map(|series| series.value.as_ref())
                .map_or(at, |point| point.at);
            let samples = series
                .into_iter()
                .map(|series| match (series.value, series.histogram) {
                    (Some(point), None) => Ok((series.metric, point.value)),
                    (_, Some(_)) => Err(Unreadable::NativeHistogram),
                    (None, None) => Err(Unreadable::NotPrometheus(
                        "JSON with a series without a value".to_owned(),
                    )),
                });
            Ok((
                QueryValue::Vector(samples.collect::<Result<_, _>>()?),
                evaluated,
            ))
        }
        Data::Matrix(series) => {
            if series.len() > max_series {
                return Err(Unreadable::TooManySeries);
            }
            if series.iter().any(|series| series.histograms.is_some()) {
                return Err(Unreadable::NativeHistogram);
            }
            let series = series.into_iter().map(|series| Series {
                labels: series.metric,
                samples: series
                    .values
                    .into_iter()
                    .map(|point| (point.at, point.value))
                    .collect(),
            });
            Ok((QueryValue::Matrix(series.collect()), at))
        }
    }
}

/// What a body is that is not the JSON we expect.
fn what(body: &[u8], error: &serde_json::Error) -> String {
    let start = body.trim_ascii_start();
    if start.is_empty() {
        "empty".to_owned()
    } else if start.starts_with(b"<") {
        "an HTML page".to_owned()
    } else if matches!(start.first(), Some(b'{' | b'[')) {
        match error.classify() {
            serde_json::error::Category::Data => format!("JSON of another shape: {error}"),
            serde_json::error::Category::Eof => "JSON that ends in the middle".to_owned(),
            _ => format!("broken JSON: {error}"),
        }
    } else {
        "neither JSON nor HTML".to_owned()
    }
}

/// Reads a pair; the second element is handed to `finish`.
struct Pair;

impl<'de> Visitor<'de> for Pair {
    type Value = (Timestamp, String);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[unix seconds, \"value\"]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let seconds: f64 = seq
            .next_element()?
            .ok_or_else(|| de::Error::invalid_length(0, &self))?;
        let text: String = seq
            .next_element()?
            .ok_or_else(|| de::Error::invalid_length(1, &self))?;
        if seq.next_element::<IgnoredAny>()?.is_some() {
            return Err(de::Error::invalid_length(3, &self));
        }
        // Milliseconds are all that Prometheus has; a double holds them exactly for any time of interest.
        let milliseconds = (seconds * 1000.0).round();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the cast saturates, and the range is checked after it"
        )]
        let at = Timestamp::from_millisecond(milliseconds as i64).map_err(de::Error::custom)?;
        Ok((at, text))
    }
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (at, text) = deserializer.deserialize_seq(Pair)?;
        let value = number::parse(&text).ok_or_else(|| {
            de::Error::invalid_value(de::Unexpected::Str(&text), &"a number in quotes")
        })?;
        Ok(Self { at, value })
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (at, text) = deserializer.deserialize_seq(Pair)?;
        Ok(Self { at, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(json: &str) -> Answer {
        match read(json.as_bytes(), Timestamp::UNIX_EPOCH, 3) {
            Ok(Read::Answered(answer)) => answer,
            other => panic!("{json}: {other:?}"),
        }
    }

    fn refusal(json: &str) -> String {
        match read(json.as_bytes(), Timestamp::UNIX_EPOCH, 3) {
            Err(Unreadable::NotPrometheus(what)) => what,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_four_result_types() {
        let scalar = answer(
            r#"{"status":"success","data":{"resultType":"scalar","result":[1700000000.25,"1.5"]}}"#,
        );
        assert_eq!(scalar.value, QueryValue::Scalar(1.5));
        assert_eq!(scalar.at.as_millisecond(), 1_700_000_000_250);
        let text =
            answer(r#"{"status":"success","data":{"resultType":"string","result":[1,"hello"]}}"#);
        assert_eq!(text.value, QueryValue::Text("hello".to_owned()));
        let vector = answer(
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1,"+Inf"]},{"metric":{},"value":[1,"NaN"]}]},
               "warnings":["partial response"],"infos":["not a counter"]}"#,
        );
        let QueryValue::Vector(samples) = vector.value else {
            panic!("no vector")
        };
        assert!(samples[0].1.is_infinite() && samples[1].1.is_nan());
        assert_eq!(samples[0].0["a"], "b");
        assert_eq!((vector.warnings.len(), vector.infos.len()), (1, 1));
        let matrix = answer(
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2"],[2,"3"]]}]}}"#,
        );
        assert_eq!(matrix.value.series(), 1);
        assert_eq!(
            answer(r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#)
                .value
                .series(),
            0
        );
    }

    #[test]
    fn what_is_not_an_answer() {
        let deep = format!(
            "{}{}",
            r#"{"status":"success","data":"#,
            "[".repeat(100_000)
        );
        let rows = [
            ("", "empty"),
            ("<html>", "an HTML page"),
            ("not found", "neither JSON nor HTML"),
            (r#"{"status":"success""#, "JSON that ends in the middle"),
            (r#"{"status":"success"}"#, "JSON without data"),
            (
                r#"{"status":"fine"}"#,
                "JSON whose status is neither success nor error",
            ),
            (
                r#"{"status":"success",}"#,
                "broken JSON: trailing comma at line 1 column 21",
            ),
            (
                r#"{"a":1}"#,
                "JSON of another shape: missing field `status` at line 1 column 7",
            ),
        ];
        for (json, expected) in rows {
            assert_eq!(refusal(json), expected);
        }
        assert!(
            refusal(&deep).starts_with("JSON of another shape"),
            "{}",
            refusal(&deep)
        );
        assert!(
            refusal(r#"{"status":"success","data":{"resultType":"scalar","result":[1,"many"]}}"#)
                .contains("a number in quotes")
        );
        assert!(
            refusal(r#"{"status":"success","data":{"resultType":"scalar","result":[1e300,"1"]}}"#)
                .contains("JSON of another shape")
        );
        let series = r#"{"metric":{},"value":[1,"1"]}"#;
        let many = format!(
            r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#,
            [series; 4].join(",")
        );
        assert!(refusal(&many).contains("TooManySeries"));
        let native = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"1"}]}]}}"#;
        assert!(refusal(native).contains("NativeHistogram"));
        let refused = read(
            br#"{"status":"error","errorType":"bad_data","error":"parse error"}"#,
            Timestamp::UNIX_EPOCH,
            1,
        );
        assert!(matches!(refused, Ok(Read::Refused { .. })));
    }
}
