//! What a user writes about the metrics of a service: a preset with parameters, or names of their own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::preset::{self, Preset};
use super::selector::fill;
use super::{
    Latency, LatencyUnit, MetricError, Requests, Selector, ServiceMetrics, is_label_name,
    is_metric_name,
};

/// The `metrics:` of a workflow or profile. Either `preset` (with `parameters`), or `requests`, `stable` and `canary`.
/// Strings may hold `{{name}}`, filled from the parameters and the workflow's own values (`service`, `namespace`, ...).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsConfig {
    /// Name of a preset, see [`super::PRESETS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Values for the preset's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// The counter of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<RequestsConfig>,
    /// The latency histogram.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyConfig>,
    /// What selects the stable arm, for instance `version="1.4"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<String>,
    /// What selects the canary arm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<String>,
    /// The label that tells processes apart; default `instance`, which Prometheus gives every target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
}

/// The counter of requests, as a user writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestsConfig {
    /// Its name.
    pub metric: String,
    /// What selects the service, for both arms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Which requests are errors; default `code=~"5.."`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<String>,
}

/// The latency histogram, as a user writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyConfig {
    /// Its name, with or without `_bucket`.
    pub metric: String,
    /// What its bounds are in. There is no default: a p99 in seconds that is taken for milliseconds passes every gate.
    pub unit: LatencyUnit,
    /// What selects the service, for both arms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
}

impl MetricsConfig {
    /// A preset by name.
    pub fn preset(name: &str, parameters: &[(&str, &str)]) -> Self {
        let parameters = parameters
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self {
            preset: Some(name.to_owned()),
            parameters,
            ..Self::default()
        }
    }

    /// The metrics that are meant. `known` are the workflow's own values that placeholders and presets may use
    /// (`service`, `namespace`); the parameters win over them.
    pub fn resolve(&self, known: &BTreeMap<String, String>) -> Result<ServiceMetrics, MetricError> {
        match &self.preset {
            Some(name) => self.resolve_preset(preset::find(name)?, known),
            None => self.resolve_custom(known),
        }
    }

    fn resolve_preset(
        &self,
        preset: &Preset,
        known: &BTreeMap<String, String>,
    ) -> Result<ServiceMetrics, MetricError> {
        for (given, key) in [
            (self.requests.is_some(), "requests"),
            (self.latency.is_some(), "latency"),
            (self.stable.is_some(), "stable"),
            (self.canary.is_some(), "canary"),
            (self.pod.is_some(), "pod"),
        ] {
            if given {
                let message = format!(
                    "preset and {key} exclude each other; leave {key} out (a preset is adjusted by its parameters), or \
                     leave preset out and write requests, stable and canary"
                );
                return Err(MetricError::Incomplete { message });
            }
        }
        let values = preset.values(&self.parameters, known)?;
        let latency = match preset.latency {
            Some((metric, unit, selector)) => Some(Latency {
                metric: metric.to_owned(),
                unit,
                selector: Selector::template(selector, &values)?,
            }),
            None => None,
        };
        let metrics = ServiceMetrics {
            name: preset.name.to_owned(),
            requests: Requests {
                metric: preset.requests.0.to_owned(),
                selector: Selector::template(preset.requests.1, &values)?,
                errors: Selector::template(preset.errors, &values)?,
            },
            latency,
            stable: Selector::template(preset.stable, &values)?,
            canary: Selector::template(preset.canary, &values)?,
            reporter: label(preset.reporter, &values)?,
            knows_pods: preset.knows_pods,
            process_start: preset.process_start.map(str::to_owned),
        };
        checked(metrics, preset.same_arms)
    }

    fn resolve_custom(
        &self,
        known: &BTreeMap<String, String>,
    ) -> Result<ServiceMetrics, MetricError> {
        let missing = |key: &str, example: &str| MetricError::Incomplete {
            message: format!(
                "{key} is missing; write {key}: {example}, or name a preset ({})",
                preset::names()
            ),
        };
        let requests = self
            .requests
            .as_ref()
            .ok_or_else(|| missing("requests", "{metric: http_requests_total}"))?;
        let stable = self
            .stable
            .as_ref()
            .ok_or_else(|| missing("stable", "'version=\"1\"'"))?;
        let canary = self
            .canary
            .as_ref()
            .ok_or_else(|| missing("canary", "'version=\"2\"'"))?;
        let values: BTreeMap<String, Option<String>> = known
            .iter()
            .chain(&self.parameters)
            .map(|(name, value)| (name.clone(), Some(value.clone())))
            .collect();
        let optional = |text: &Option<String>| match text {
            Some(text) => Selector::template(text, &values),
            None => Ok(Selector::default()),
        };
        let errors = Selector::template(
            requests.errors.as_deref().unwrap_or("code=~\"5..\""),
            &values,
        )?;
        if errors.is_empty() {
            let message = "errors is empty: every request would be an error; write which are, as code=~\"5..\"";
            return Err(MetricError::Incomplete {
                message: message.to_owned(),
            });
        }
        let latency = match &self.latency {
            Some(latency) => Some(Latency {
                metric: metric(
                    latency
                        .metric
                        .strip_suffix("_bucket")
                        .unwrap_or(&latency.metric),
                )?,
                unit: latency.unit,
                selector: optional(&latency.selector)?,
            }),
            None => None,
        };
        let metrics = ServiceMetrics {
            name: "custom".to_owned(),
            requests: Requests {
                metric: metric(&requests.metric)?,
                selector: optional(&requests.selector)?,
                errors,
            },
            latency,
            stable: Selector::template(stable, &values)?,
            canary: Selector::template(canary, &values)?,
            reporter: label(self.pod.as_deref().unwrap_or("instance"), &values)?,
            knows_pods: self.pod.is_some(),
            process_start: None,
        };
        checked(metrics, "; give each its own label value")
    }
}

fn checked(metrics: ServiceMetrics, same_arms: &str) -> Result<ServiceMetrics, MetricError> {
    if metrics.stable == metrics.canary {
        let selector = metrics.stable.to_string();
        return Err(MetricError::SameArms {
            selector,
            hint: same_arms.to_owned(),
        });
    }
    Ok(metrics)
}

fn metric(name: &str) -> Result<String, MetricError> {
    if is_metric_name(name) {
        Ok(name.to_owned())
    } else {
        Err(MetricError::Name {
            what: "metric name",
            value: name.to_owned(),
        })
    }
}

fn label(template: &str, values: &BTreeMap<String, Option<String>>) -> Result<String, MetricError> {
    let name = fill(template, values, str::to_owned, template)?.unwrap_or_default();
    if is_label_name(&name) {
        Ok(name)
    } else {
        Err(MetricError::Name {
            what: "label name",
            value: name,
        })
    }
}
