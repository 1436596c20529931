//! The answer to one query, kept whole: with what the source warned of, and with values that are not finite.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::number::{self, Number};

/// The labels of one series, sorted by name.
pub type Labels = BTreeMap<String, String>;

/// The answer to one PromQL query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What the query came to.
    pub value: QueryValue,
    /// What the source warned of: with any of these the data may be incomplete, and strict gates do not judge on them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Remarks of the source about the query itself (a name that does not look like a counter); they do not put the data in doubt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub infos: Vec<String>,
    /// The time that the query was evaluated for.
    pub at: Timestamp,
}

/// The four result types of the Prometheus query API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueryValue {
    /// One number without labels.
    Scalar(#[serde(with = "number")] f64),
    /// One number per series, at one time.
    #[serde(serialize_with = "vector_out", deserialize_with = "vector_in")]
    Vector(Vec<(Labels, f64)>),
    /// Several numbers per series, over a range of time.
    Matrix(Vec<Series>),
    /// A string literal.
    Text(String),
}

impl QueryValue {
    /// How many series there are; a scalar and a text count as one.
    pub fn series(&self) -> usize {
        match self {
            Self::Scalar(_) | Self::Text(_) => 1,
            Self::Vector(samples) => samples.len(),
            Self::Matrix(series) => series.len(),
        }
    }
}

/// One series of a range query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Its labels.
    pub labels: Labels,
    /// Its samples, oldest first.
    #[serde(serialize_with = "samples_out", deserialize_with = "samples_in")]
    pub samples: Vec<(Timestamp, f64)>,
}

fn vector_out<S: Serializer>(samples: &[(Labels, f64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(
        samples
            .iter()
            .map(|(labels, value)| (labels, Number(*value))),
    )
}

fn vector_in<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Labels, f64)>, D::Error> {
    let samples = Vec::<(Labels, Number)>::deserialize(deserializer)?;
    Ok(samples
        .into_iter()
        .map(|(labels, value)| (labels, value.0))
        .collect())
}

fn samples_out<S: Serializer>(
    samples: &[(Timestamp, f64)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(samples.iter().map(|(at, value)| (at, Number(*value))))
}

fn samples_in<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(Timestamp, f64)>, D::Error> {
    let samples = Vec::<(Timestamp, Number)>::deserialize(deserializer)?;
    Ok(samples
        .into_iter()
        .map(|(at, value)| (at, value.0))
        .collect())
}
