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
    // A variable such as VERSION tells the arms apart; presets look at `service` and `namespace` only.
    let variables = settings.variables.iter();
    let mut known: BTreeMap<String, String> = variables
        .filter_map(|(name, value)| Some((name.value.clone(), value.as_scalar_text()?.to_owned())))
        .collect();
    known.insert("service".to_owned(), service.to_owned());
    if let Some(namespace) = &settings.namespace {
        known.insert("namespace".to_owned(), namespace.value.clone());
    }
    config.resolve(&known).map(Some)
}

#[cfg(test)]
mod tests {
    use canary_analyzer::evidence::Arm;

    use super::service_metrics;
    use crate::diagnostic::SourceFile;
    use crate::osop::{self, settings};

    /// What differs from release to release comes in by `--set`.
    #[test]
    fn selectors_are_filled_from_variables() {
        let text = r#"{"osop_version": "2.0", "id": "w", "name": "w", "nodes": [{"id": "a", "type": "cli", "purpose": "p"}],
            "x-canary": {"metrics": {"requests": {"metric": "handled_total"}, "stable": "version=\"1.4\"",
            "canary": "version=\"{{VERSION}}\", app=\"{{service}}\""}}}"#;
        let (workflow, _) = osop::parse(SourceFile::new("w.json", text));
        let sets = ["VERSION=1.10".to_owned(), "service=not me".to_owned()];
        let (settings, problems) = settings::merge(&workflow.unwrap(), None, &sets);
        assert!(!problems.has_errors());
        let metrics = service_metrics(&settings, "cart").unwrap().unwrap();
        let canary = metrics.arm(Arm::Canary).to_string();
        assert_eq!(canary, r#"version="1.10", app="cart""#);
    }
}
