//! What the service's own metrics look like.

use std::collections::BTreeMap;

use canary_analyzer::metric::{LatencyConfig, MetricsConfig, RequestsConfig, ServiceMetrics};

use super::error::AssembleError;
use crate::osop::settings::Settings;

/// The service's metrics; `None` where the settings do not say.
pub fn service_metrics(settings: &Settings, service: &str) -> Result<Option<ServiceMetrics>, AssembleError> {
    let metrics = &settings.metrics;
    if metrics.preset.is_none() && metrics.requests.is_none() {
        return Ok(None);
    }
    let text = |text: &Option<crate::osop::model::Text>| text.as_ref().map(|text| text.value.clone());
    let latency = match &metrics.latency {
        None => None,
        Some(latency) => Some(LatencyConfig {
            metric: latency.histogram.value.clone(),
            unit: latency
                .unit
                .as_ref()
                .map(|unit| unit.value)
                .ok_or_else(|| AssembleError::Metrics("latency needs a unit: s or ms".to_owned()))?,
            selector: text(&latency.matchers),
        }),
    };
    let config = MetricsConfig {
        preset: text(&metrics.preset),
        parameters: metrics.parameters.iter().map(|(name, value)| (name.value.clone(), value.value.clone())).collect(),
        requests: metrics.requests.as_ref().map(|requests| RequestsConfig {
            metric: requests.counter.value.clone(),
            selector: text(&requests.matchers),
            errors: text(&requests.errors),
        }),
        latency,
        stable: text(&metrics.stable),
        canary: text(&metrics.canary),
        pod: None,
    };
    let mut known = BTreeMap::from([("service".to_owned(), service.to_owned())]);
    if let Some(namespace) = &settings.namespace {
        known.insert("namespace".to_owned(), namespace.value.clone());
    }
    config.resolve(&known).map(Some).map_err(|error| AssembleError::Metrics(error.to_string()))
}
