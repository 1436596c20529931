//! The metrics of well-known proxies and of instrumented applications. Each says where its names are documented.

use std::collections::BTreeMap;

use super::{LatencyUnit, MetricError, closest};

/// The metrics of one kind of program, with parameters.
#[derive(Debug)]
pub struct Preset {
    /// What users write.
    pub name: &'static str,
    /// What it measures, in one sentence.
    pub about: &'static str,
    /// Where the names of the metrics and labels are documented.
    pub source: &'static str,
    /// Whether the metrics say which pod of an arm a request went to. Where they do not, evidence by pod cannot be had.
    pub knows_pods: bool,
    /// What it has to be told.
    pub parameters: &'static [Parameter],
    /// Counter and selector.
    pub(super) requests: (&'static str, &'static str),
    /// Which requests are errors.
    pub(super) errors: &'static str,
    /// Histogram without `_bucket`, unit, selector.
    pub(super) latency: Option<(&'static str, LatencyUnit, &'static str)>,
    pub(super) stable: &'static str,
    pub(super) canary: &'static str,
    pub(super) reporter: &'static str,
    pub(super) process_start: Option<&'static str>,
    /// What to do when both arms come out the same.
    pub(super) same_arms: &'static str,
}

/// Something that a preset has to be told.
#[derive(Debug)]
pub struct Parameter {
    /// What users write.
    pub name: &'static str,
    /// What it is, with an example.
    pub help: &'static str,
    /// What it is if nobody says.
    pub default: Default,
}

/// What a parameter is if nobody says.
#[derive(Debug)]
pub enum Default {
    /// Somebody must say.
    Required,
    /// The conditions on it are left out.
    Absent,
    /// This; may refer to a parameter above it.
    Value(&'static str),
}

const SERVICE: Parameter = Parameter {
    name: "service",
    help: "the name of the service",
    default: Default::Required,
};
const NAMESPACE: Parameter = Parameter {
    name: "namespace",
    help: "the Kubernetes namespace of the service",
    default: Default::Required,
};
const INSTANCE: Parameter = Parameter {
    name: "pod_label",
    help: "the label that tells the reporting processes apart",
    default: Default::Value("instance"),
};
const POD: Parameter = Parameter {
    name: "pod_label",
    help: "the label with the name of the pod",
    default: Default::Value("pod"),
};

/// All presets.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "app",
        about: "requests and latency as the application itself counts them",
        source: "https://prometheus.io/docs/practices/naming and the defaults of the common HTTP instrumentations",
        knows_pods: true,
        parameters: &[
            SERVICE,
            Parameter {
                name: "job",
                help: "the Prometheus job that scrapes the service",
                default: Default::Value("{{service}}"),
            },
            Parameter {
                name: "namespace",
                help: "the value of the namespace label",
                default: Default::Absent,
            },
            Parameter {
                name: "arm_label",
                help: "the label that tells stable from canary",
                default: Default::Value("track"),
            },
            Parameter {
                name: "stable",
                help: "its value for stable",
                default: Default::Value("stable"),
            },
            Parameter {
                name: "canary",
                help: "its value for the canary",
                default: Default::Value("canary"),
            },
            Parameter {
                name: "code_label",
                help: "the label with the HTTP status code, often code or status",
                default: Default::Value("code"),
            },
            INSTANCE,
        ],
        requests: (
            "http_requests_total",
            "job=\"{{job}}\", namespace=\"{{namespace}}\"",
        ),
        // Both 503 and the class 5xx, which some libraries write.
        errors: "{{code_label}}=~\"5..\"",
        latency: Some((
            "http_request_duration_seconds",
            LatencyUnit::Seconds,
            "job=\"{{job}}\", namespace=\"{{namespace}}\"",
        )),
        stable: "{{arm_label}}=\"{{stable}}\"",
        canary: "{{arm_label}}=\"{{canary}}\"",
        reporter: "{{pod_label}}",
        process_start: Some("process_start_time_seconds"),
        same_arms: "; set the parameters stable and canary to the values that arm_label has in each version",
    },
    Preset {
        name: "nginx-ingress",
        about: "what ingress-nginx counts for an Ingress; its label canary holds the backend of the canary Ingress",
        source: "https://kubernetes.github.io/ingress-nginx/user-guide/monitoring, labels in internal/ingress/metric/collectors/socket.go",
        knows_pods: false,
        parameters: &[
            NAMESPACE,
            Parameter {
                name: "ingress",
                help: "the name of the stable Ingress (the canary's requests are counted under it, too)",
                default: Default::Required,
            },
            Parameter {
                name: "pod_label",
                help: "the label that tells the controllers' pods apart",
                default: Default::Value("controller_pod"),
            },
        ],
        requests: (
            "nginx_ingress_controller_requests",
            "namespace=\"{{namespace}}\", ingress=\"{{ingress}}\"",
        ),
        errors: "status=~\"5..\"",
        latency: Some((
            "nginx_ingress_controller_request_duration_seconds",
            LatencyUnit::Seconds,
            "namespace=\"{{namespace}}\", ingress=\"{{ingress}}\"",
        )),
        stable: "canary=\"\"",
        canary: "canary!=\"\"",
        reporter: "{{pod_label}}",
        process_start: None,
        same_arms: "",
    },
    Preset {
        name: "istio",
        about: "what the sidecars of the called workloads count",
        source: "https://istio.io/latest/docs/reference/config/metrics",
        knows_pods: true,
        parameters: &[
            SERVICE,
            NAMESPACE,
            Parameter {
                name: "stable",
                help: "the stable workload",
                default: Default::Value("{{service}}"),
            },
            Parameter {
                name: "canary",
                help: "the canary's workload",
                default: Default::Value("{{service}}-canary"),
            },
            POD,
        ],
        requests: (
            "istio_requests_total",
            "reporter=\"destination\", destination_workload_namespace=\"{{namespace}}\"",
        ),
        errors: "response_code=~\"5..\"",
        latency: Some((
            "istio_request_duration_milliseconds",
            LatencyUnit::Milliseconds,
            "reporter=\"destination\", destination_workload_namespace=\"{{namespace}}\"",
        )),
        stable: "destination_workload=\"{{stable}}\"",
        canary: "destination_workload=\"{{canary}}\"",
        reporter: "{{pod_label}}",
        process_start: None,
        same_arms: "; set the parameters stable and canary to the names of the two workloads",
    },
    Preset {
        name: "linkerd",
        about: "what the proxies of the called deployments count; latency is time to the first byte",
        source: "https://linkerd.io/2/reference/proxy-metrics",
        knows_pods: true,
        parameters: &[
            SERVICE,
            NAMESPACE,
            Parameter {
                name: "stable",
                help: "the stable Deployment",
                default: Default::Value("{{service}}"),
            },
            Parameter {
                name: "canary",
                help: "the canary's Deployment",
                default: Default::Value("{{service}}-canary"),
            },
            POD,
        ],
        requests: (
            "response_total",
            "namespace=\"{{namespace}}\", direction=\"inbound\"",
        ),
        errors: "classification=\"failure\"",
        latency: Some((
            "response_latency_ms",
            LatencyUnit::Milliseconds,
            "namespace=\"{{namespace}}\", direction=\"inbound\"",
        )),
        stable: "deployment=\"{{stable}}\"",
        canary: "deployment=\"{{canary}}\"",
        reporter: "{{pod_label}}",
        process_start: None,
        same_arms: "; set the parameters stable and canary to the names of the two Deployments",
    },
    Preset {
        name: "envoy",
        about: "what Envoy (Envoy Gateway, Contour, Gloo) counts per upstream cluster",
        source: "https://www.envoyproxy.io/docs/envoy/latest/configuration/upstream/cluster_manager/cluster_stats",
        knows_pods: false,
        parameters: &[
            Parameter {
                name: "stable",
                help: "the envoy_cluster_name of the stable backend, for instance httproute/shop/cart/rule/0/backend/0",
                default: Default::Required,
            },
            Parameter {
                name: "canary",
                help: "the envoy_cluster_name of the canary's backend, for instance httproute/shop/cart/rule/0/backend/1",
                default: Default::Required,
            },
            INSTANCE,
        ],
        requests: ("envoy_cluster_upstream_rq", ""),
        errors: "envoy_response_code=~\"5..\"",
        latency: Some((
            "envoy_cluster_upstream_rq_time",
            LatencyUnit::Milliseconds,
            "",
        )),
        stable: "envoy_cluster_name=\"{{stable}}\"",
        canary: "envoy_cluster_name=\"{{canary}}\"",
        reporter: "{{pod_label}}",
        process_start: None,
        // github.com/envoyproxy/gateway issue 6742.
        same_arms: " (Envoy Gateway puts all backends of a rule into one cluster unless one of them has a filter of its \
                    own: give the canary's backendRef a filter, for instance a response header, or use the preset app)",
    },
    Preset {
        name: "traefik",
        about: "what Traefik counts per service",
        source: "https://doc.traefik.io/traefik/observability/metrics/overview",
        knows_pods: false,
        parameters: &[
            Parameter {
                name: "stable",
                help: "Traefik's name of the stable service, for instance shop-cart-80@kubernetes",
                default: Default::Required,
            },
            Parameter {
                name: "canary",
                help: "Traefik's name of the canary's service, for instance shop-cart-canary-80@kubernetes",
                default: Default::Required,
            },
            INSTANCE,
        ],
        requests: ("traefik_service_requests_total", ""),
        errors: "code=~\"5..\"",
        latency: Some((
            "traefik_service_request_duration_seconds",
            LatencyUnit::Seconds,
            "",
        )),
        stable: "service=\"{{stable}}\"",
        canary: "service=\"{{canary}}\"",
        reporter: "{{pod_label}}",
        process_start: None,
        same_arms: "; set the parameters stable and canary to the names of the two services",
    },
    Preset {
        name: "canary-proxy",
        about: "what canary's own splitter (canary proxy) counts per arm",
        source: "the /metrics page of canary proxy",
        knows_pods: false,
        parameters: &[INSTANCE],
        requests: ("canary_proxy_requests_total", ""),
        errors: "code=~\"5..\"",
        latency: Some((
            "canary_proxy_request_duration_seconds",
            LatencyUnit::Seconds,
            "",
        )),
        stable: "arm=\"stable\"",
        canary: "arm=\"canary\"",
        reporter: "{{pod_label}}",
        process_start: None,
        same_arms: "",
    },
];

/// The names of all presets, for messages.
pub(super) fn names() -> String {
    PRESETS
        .iter()
        .map(|preset| preset.name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A preset by its name.
pub(super) fn find(name: &str) -> Result<&'static Preset, MetricError> {
    PRESETS
        .iter()
        .find(|preset| preset.name == name)
        .ok_or_else(|| MetricError::UnknownPreset {
            name: name.to_owned(),
            suggestion: closest(name, PRESETS.iter().map(|preset| preset.name)),
            known: names(),
        })
}

impl Preset {
    /// The value of every parameter: what is given, else what the workflow knows (`service` and `namespace` only: a
    /// workflow variable that happens to be called `stable` is not meant), else the default.
    pub(super) fn values(
        &self,
        given: &BTreeMap<String, String>,
        known: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, Option<String>>, MetricError> {
        let names = || self.parameters.iter().map(|parameter| parameter.name);
        if let Some(name) = given
            .keys()
            .find(|name| !names().any(|known| known == name.as_str()))
        {
            return Err(MetricError::UnknownParameter {
                preset: self.name.to_owned(),
                name: name.clone(),
                suggestion: closest(name, names()),
                known: names().collect::<Vec<_>>().join(", "),
            });
        }
        let mut values = BTreeMap::new();
        for parameter in self.parameters {
            let known = || {
                known
                    .get(parameter.name)
                    .filter(|_| matches!(parameter.name, "service" | "namespace"))
            };
            let value = match (given.get(parameter.name).or_else(known), &parameter.default) {
                (Some(value), _) if !value.is_empty() => Some(value.clone()),
                (None, Default::Value(default)) => {
                    super::selector::fill(default, &values, str::to_owned, default)?
                }
                (None, Default::Absent) => None,
                _ => {
                    return Err(MetricError::MissingParameter {
                        preset: self.name.to_owned(),
                        parameter: parameter.name.to_owned(),
                        help: parameter.help.to_owned(),
                    });
                }
            };
            values.insert(parameter.name.to_owned(), value);
        }
        Ok(values)
    }
}
