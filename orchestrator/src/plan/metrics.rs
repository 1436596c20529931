//! What the service's own metrics look like.

use std::collections::BTreeMap;

use canary_analyzer::metric::{
    LatencyConfig, LatencyUnit, MetricError, MetricsConfig, RequestsConfig, ServiceMetrics,
};

use crate::osop::model::Text;
use crate::osop::settings::{self, Settings};

/// The service's metrics; `None` where the settings do not say.
pub fn service_metrics(
    settings: &Settings,
    service: &str,
) -> Result<Option<ServiceMetrics>, MetricError> {
    let metrics = &settings.metrics;
    if metrics.preset.is_none() && metrics.requests.is_none() {
        return Ok(None);
    }
    let text = |text: &Option<Text>| text.as_ref().map(|text| text.value.clone());
    let latency = metrics.latency.as_ref().map(|latency| LatencyConfig {
        metric: latency.metric.value.clone(),
        unit: match latency.unit.value {
            settings::LatencyUnit::Seconds => LatencyUnit::Seconds,
            settings::LatencyUnit::Milliseconds => LatencyUnit::Milliseconds,
        },
        selector: text(&latency.selector),
    });
    let config = MetricsConfig {
        preset: text(&metrics.preset),
        parameters: metrics
            .parameters
            .iter()
            .map(|(name, value)| (name.value.clone(), value.value.clone()))
            .collect(),
        requests: metrics.requests.as_ref().map(|requests| RequestsConfig {
            metric: requests.metric.value.clone(),
            selector: text(&requests.selector),
            errors: text(&requests.errors),
        }),
        latency,
        stable: text(&metrics.stable),
        canary: text(&metrics.canary),
        pod: text(&metrics.pod),
    };
    let mut known = BTreeMap::from([("service".to_owned(), service.to_owned())]);
    if let Some(namespace) = &settings.namespace {
        known.insert("namespace".to_owned(), namespace.value.clone());
    }
    config.resolve(&known).map(Some)
}
