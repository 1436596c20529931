//! What the splitter counts, per arm.

use std::time::Duration;

use hyper::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::choose::Arm;

/// The content type of [`Metrics::text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bucket borders in seconds, 1 ms to 30 s, about 1.5 to 2 apart: a p99 read from them is off by less than a step, and
/// the usual limits (100 ms, 250 ms, 500 ms, 1 s) are borders themselves, where a bucket count is exact.
const BUCKETS: [f64; 20] = [
    0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.375, 0.5,
    0.75, 1.0, 2.5, 5.0, 10.0, 30.0,
];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ArmLabel {
    arm: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    arm: &'static str,
    code: &'static str,
}

/// The handles of one arm, so that counting looks nothing up.
#[derive(Debug)]
struct ArmMetrics {
    requests: [Counter; CLASSES.len()],
    duration: Histogram,
    in_flight: Gauge,
    tunnels: Gauge,
    retries: Counter,
}

#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    weight: Gauge,
    arms: [ArmMetrics; 2],
}

impl Metrics {
    /// All series exist from the start, at zero: a counter that is absent is not a counter at zero.
    pub(crate) fn new() -> Self {
        let requests = Family::<RequestLabels, Counter>::default();
        let duration =
            Family::<ArmLabel, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
        let in_flight = Family::<ArmLabel, Gauge>::default();
        let tunnels = Family::<ArmLabel, Gauge>::default();
        let retries = Family::<ArmLabel, Counter>::default();
        let weight = Gauge::default();
        let arms = Arm::ALL.map(|arm| {
            let label = ArmLabel { arm: arm.as_str() };
            ArmMetrics {
                requests: CLASSES.map(|code| {
                    requests.get_or_create_owned(&RequestLabels {
                        arm: arm.as_str(),
                        code,
                    })
                }),
                duration: duration.get_or_create_owned(&label),
                in_flight: in_flight.get_or_create_owned(&label),
                tunnels: tunnels.get_or_create_owned(&label),
                retries: retries.get_or_create_owned(&label),
            }
        });

        // The encoder appends `_total` to counters itself.
        let mut registry = Registry::with_prefix("canary_proxy");
        registry.register(
            "requests",
            "Requests by class of answer; 5xx includes what the proxy answered itself because the version did not \
             and answers that broke off, 4xx includes clients that left before the answer",
            requests,
        );
        registry.register(
            "request_duration_seconds",
            "Time from the request's header to the end of its answer",
            duration,
        );
        registry.register(
            "requests_in_flight",
            "Requests that have no end of answer yet",
            in_flight,
        );
        registry.register(
            "tunnels",
            "Upgraded connections (WebSocket) that are open",
            tunnels,
        );
        registry.register(
            "retries",
            "Requests sent again because a pooled connection died before a byte was answered",
            retries,
        );
        registry.register(
            "weight",
            "Percent of requests that the canary gets",
            weight.clone(),
        );
        let info = ConstGauge::<i64>::new(1);
        registry.register("up", "1 while the proxy serves", info);
        Self {
            registry,
            weight,
            arms,
        }
    }

    pub(crate) fn set_weight(&self, weight: crate::Weight) {
        self.weight.set(i64::from(weight.percent()));
    }

    pub(crate) fn began(&self, arm: Arm) {
        self.arms[arm.index()].in_flight.inc();
    }

    pub(crate) fn ended(&self, arm: Arm, status: StatusCode, took: Duration) {
        let arm = &self.arms[arm.index()];
        // Codes above 599 do not exist; a server that invents one is broken.
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        arm.requests[class].inc();
        arm.duration.observe(took.as_secs_f64());
        arm.in_flight.dec();
    }

    pub(crate) fn retried(&self, arm: Arm) {
        self.arms[arm.index()].retries.inc();
    }

    pub(crate) fn tunnel_opened(&self, arm: Arm) {
        self.arms[arm.index()].tunnels.inc();
    }

    pub(crate) fn tunnel_closed(&self, arm: Arm) {
        self.arms[arm.index()].tunnels.dec();
    }

    pub(crate) fn in_flight(&self, arm: Arm) -> u64 {
        u64::try_from(self.arms[arm.index()].in_flight.get()).unwrap_or_default()
    }

    /// All of it as OpenMetrics text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::with_capacity(4096);
        // Writing to a String cannot fail; an encoder that gives up leaves a text without the closing # EOF, which
        // every reader refuses.
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            tracing::error!(%error, "metrics could not be encoded");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_from_the_start_under_its_name() {
        let text = Metrics::new().text();
        for arm in ["stable", "canary"] {
            for class in CLASSES {
                let line =
                    format!("canary_proxy_requests_total{{arm=\"{arm}\",code=\"{class}\"}} 0");
                assert!(text.contains(&line), "{line}\n{text}");
            }
            assert!(text.contains(&format!(
                "canary_proxy_request_duration_seconds_count{{arm=\"{arm}\"}} 0"
            )));
        }
        assert!(text.contains("\ncanary_proxy_weight 0\n"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn what_ended_is_counted_by_class_and_timed() {
        let metrics = Metrics::new();
        for (code, n) in [(101, 1), (200, 3), (304, 1), (404, 2), (503, 4), (700, 1)] {
            for _ in 0..n {
                metrics.began(Arm::Canary);
                metrics.ended(
                    Arm::Canary,
                    StatusCode::from_u16(code).unwrap(),
                    Duration::from_millis(3),
                );
            }
        }
        let text = metrics.text();
        for (class, n) in [("1xx", 1), ("2xx", 3), ("3xx", 1), ("4xx", 2), ("5xx", 5)] {
            let line =
                format!("canary_proxy_requests_total{{arm=\"canary\",code=\"{class}\"}} {n}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
        assert!(
            text.contains(
                "canary_proxy_request_duration_seconds_bucket{le=\"0.0025\",arm=\"canary\"} 0\n"
            ),
            "{text}"
        );
        assert!(
            text.contains(
                "canary_proxy_request_duration_seconds_bucket{le=\"0.005\",arm=\"canary\"} 12\n"
            ),
            "{text}"
        );
        assert_eq!(metrics.in_flight(Arm::Canary), 0);
    }
}
