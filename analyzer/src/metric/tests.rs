use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::evidence::Labels;

fn known() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("service".to_owned(), "cart".to_owned()),
        ("namespace".to_owned(), "shop".to_owned()),
    ])
}

fn preset(name: &str, parameters: &[(&str, &str)]) -> Result<ServiceMetrics, String> {
    MetricsConfig::preset(name, parameters)
        .resolve(&known())
        .map_err(|error| error.to_string())
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn presets_become_promql() {
    let app = preset("app", &[]).unwrap();
    assert_eq!(
        app.counter_query(Arm::Canary),
        r#"sum by (instance, code) (http_requests_total{job="cart", namespace="shop", track="canary"})"#
    );
    assert_eq!(
        app.error_rate_query(Arm::Stable),
        r#"(sum(rate(http_requests_total{job="cart", namespace="shop", track="stable", code=~"5.."}[{{window}}])) or vector(0)) / sum(rate(http_requests_total{job="cart", namespace="shop", track="stable"}[{{window}}]))"#
    );
    let nginx = preset("nginx-ingress", &[("ingress", "cart")]).unwrap();
    assert_eq!(
        nginx.counter_query(Arm::Canary),
        r#"sum by (controller_pod, status) (nginx_ingress_controller_requests{namespace="shop", ingress="cart", canary!=""})"#
    );
    assert!(!nginx.knows_pods);
    let istio = preset("istio", &[]).unwrap();
    assert_eq!(
        istio.quantile_query(Arm::Canary, 0.99).unwrap(),
        r#"histogram_quantile(0.99, sum by (le) (rate(istio_request_duration_milliseconds_bucket{reporter="destination", destination_workload_namespace="shop", destination_workload="cart-canary"}[{{window}}]))) / 1000"#
    );
    let linkerd = preset("linkerd", &[]).unwrap();
    assert_eq!(
        linkerd.bucket_query(Arm::Stable).unwrap(),
        r#"sum by (pod, le) (response_latency_ms_bucket{namespace="shop", direction="inbound", deployment="cart"})"#
    );
    let envoy = preset("envoy", &[("stable", "a"), ("canary", "b")]).unwrap();
    assert_eq!(
        envoy.counter_query(Arm::Stable),
        r#"sum by (instance, envoy_response_code) (envoy_cluster_upstream_rq{envoy_cluster_name="a"})"#
    );
    let traefik = preset(
        "traefik",
        &[("stable", "a@kubernetes"), ("canary", "b@kubernetes")],
    )
    .unwrap();
    assert_eq!(
        traefik.counter_query(Arm::Canary),
        r#"sum by (instance, code) (traefik_service_requests_total{service="b@kubernetes"})"#
    );
    let proxy = preset("canary-proxy", &[]).unwrap();
    assert_eq!(
        proxy.counter_query(Arm::Canary),
        r#"sum by (instance, code) (canary_proxy_requests_total{arm="canary"})"#
    );
}

#[test]
fn presets_say_what_they_need() {
    for preset in PRESETS {
        assert!(
            !preset.source.is_empty() && !preset.about.is_empty(),
            "{}",
            preset.name
        );
    }
    let rows = [
        (
            "ngnix-ingress",
            &[][..],
            "unknown preset \"ngnix-ingress\", did you mean \"nginx-ingress\"?; there are app, nginx-ingress, istio, linkerd, envoy, traefik, canary-proxy",
        ),
        (
            "nginx-ingress",
            &[],
            "preset nginx-ingress needs the parameter ingress: the name of the stable Ingress (the canary's requests are counted under it, too)",
        ),
        (
            "nginx-ingress",
            &[("ingress", "")],
            "preset nginx-ingress needs the parameter ingress: the name of the stable Ingress (the canary's requests are counted under it, too)",
        ),
        (
            "nginx-ingress",
            &[("ingres", "x")],
            "preset nginx-ingress has no parameter \"ingres\", did you mean \"ingress\"?; it has namespace, ingress, pod_label",
        ),
        (
            "app",
            &[("arm_label", "a b")],
            "selector \"{{arm_label}}=\\\"{{stable}}\\\"\": \"a b\" is no label name (letters, digits and _, not starting with a digit)",
        ),
        (
            "traefik",
            &[("stable", "a"), ("canary", "a")],
            "stable and canary are both selected by {service=\"a\"}: they could not be told apart; set the parameters stable and canary to the names of the two services",
        ),
    ];
    for (name, parameters, expected) in rows {
        assert_eq!(preset(name, parameters).unwrap_err(), expected);
    }
    assert!(
        preset("envoy", &[("stable", "a"), ("canary", "a")])
            .unwrap_err()
            .contains("one cluster")
    );
}

#[test]
fn names_of_their_own() {
    let config: MetricsConfig = serde_json::from_str(
        r#"{"requests": {"metric": "rpcs_total", "selector": "{app=\"{{service}}\"}", "errors": "grpc_code!=\"OK\""},
            "latency": {"metric": "rpc_ms_bucket", "unit": "ms"},
            "stable": "version='1'", "canary": "version='2'", "pod": "pod"}"#,
    )
    .unwrap();
    let metrics = config.resolve(&known()).unwrap();
    assert_eq!(
        metrics.counter_query(Arm::Canary),
        r#"sum by (pod, grpc_code) (rpcs_total{app="cart", version="2"})"#
    );
    assert_eq!(
        metrics.bucket_query(Arm::Stable).unwrap(),
        r#"sum by (pod, le) (rpc_ms_bucket{version="1"})"#
    );

    let wrong = |change: fn(&mut MetricsConfig)| {
        let mut config = config.clone();
        change(&mut config);
        config.resolve(&known()).unwrap_err().to_string()
    };
    assert!(
        wrong(|c| c.requests = None)
            .starts_with("metrics: requests is missing; write requests: {metric:")
    );
    assert!(wrong(|c| c.canary = c.stable.clone()).contains("could not be told apart"));
    assert!(wrong(|c| c.preset = Some("app".to_owned())).contains("exclude each other"));
    assert!(
        wrong(|c| c.stable = Some("a=\"{{servcie}}\"".to_owned()))
            .contains("did you mean \"service\"?")
    );
    assert!(
        wrong(|c| c.latency.as_mut().unwrap().metric = "a b".to_owned())
            .contains("metric name \"a b\"")
    );
    assert!(
        serde_json::from_str::<MetricsConfig>(r#"{"latency": {"metric": "x"}}"#).is_err(),
        "a unit is needed"
    );
    assert!(serde_json::from_str::<MetricsConfig>(r#"{"prest": "app"}"#).is_err());
}

#[test]
fn selectors_are_read_and_written() {
    let rows = [
        (r#"a="b""#, r#"a="b""#),
        (r#"{ a = "b" , c=~'d.*', }"#, r#"a="b", c=~"d.*""#),
        (r#"a!="b\"c\\d\n",e!~"f""#, r#"a!="b\"c\\d\n", e!~"f""#),
        ("", ""),
        ("{}", ""),
    ];
    for (text, expected) in rows {
        let selector = Selector::parse(text).unwrap();
        assert_eq!(selector.to_string(), expected);
        assert_eq!(Selector::parse(expected).unwrap(), selector);
    }
    for text in [
        "a",
        "a=b",
        "a=\"b",
        "{a=\"b\"",
        "a=\"b\" c=\"d\"",
        "1a=\"b\"",
        "a=~\"(\"",
        "a=\"\\q\"",
        "a!\"b\"",
    ] {
        assert!(Selector::parse(text).is_err(), "{text}");
    }
}

#[test]
fn selectors_select() {
    let rows = [
        (r#"code=~"5..""#, labels(&[("code", "503")]), true),
        (r#"code=~"5..""#, labels(&[("code", "5xx")]), true),
        (r#"code=~"5..""#, labels(&[("code", "1503")]), false),
        (r#"code=~"5..|429""#, labels(&[("code", "429")]), true),
        (r#"code!~"2..""#, labels(&[]), true),
        (r#"canary="""#, labels(&[]), true),
        (r#"canary!="""#, labels(&[("canary", "x")]), true),
        (r#"canary!="""#, labels(&[]), false),
        (r#"a="1", b="2""#, labels(&[("a", "1")]), false),
    ];
    for (text, labels, expected) in rows {
        assert_eq!(
            Selector::parse(text).unwrap().matches(&labels),
            expected,
            "{text} {labels:?}"
        );
    }
}

proptest! {
    #[test]
    fn a_parameter_is_data(value in "\\PC{1,20}|[\"\\\\\n{}=,~!a]{1,10}") {
        let nginx = preset("nginx-ingress", &[("ingress", value.as_str())]).unwrap();
        // What is written is read back as the same matchers: nothing broke out of its string.
        let again = Selector::parse(&nginx.requests.selector.to_string()).unwrap();
        prop_assert_eq!(&again, &nginx.requests.selector);
        prop_assert!(again.matches(&labels(&[("namespace", "shop"), ("ingress", &value)])));
        // In a regular expression it stands for itself.
        let filled = Selector::template(
            "a=~\"x-{{v}}\"",
            &BTreeMap::from([("v".to_owned(), Some(value.clone()))]),
        ).unwrap();
        let text = format!("x-{value}");
        prop_assert!(filled.matches(&labels(&[("a", &text)])));
    }
}
