//! Queries, against a server that answers like Prometheus, and like much else.

use canary_analyzer::unit::Unit;
use wiremock::matchers::{body_string_contains, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

fn binding(output: &str, promql: &str, unit: Unit, output_unit: Unit) -> QueryBinding {
    QueryBinding {
        output: output.to_owned(),
        promql: Template::parse(promql).unwrap(),
        unit,
        output_unit,
        reduce: Reduce::Last,
        min_samples: 1,
    }
}

fn work(queries: Vec<QueryBinding>) -> QueryWork {
    QueryWork {
        url: Some(template("{{base}}")),
        range: false,
        queries,
        window: Duration::from_mins(5),
        step: Duration::from_secs(15),
        wait: Duration::ZERO,
    }
}

fn error_rate() -> QueryWork {
    work(vec![binding(
        "error_rate_10",
        "errors[{{window}}]",
        Unit::Ratio,
        Unit::Ratio,
    )])
}

fn vector(values: &[&str]) -> Value {
    let series: Vec<Value> = values
        .iter()
        .enumerate()
        .map(|(n, value)| json!({"metric": {"n": n.to_string()}, "value": [1.0, value]}))
        .collect();
    json!({"status": "success", "data": {"resultType": "vector", "result": series}})
}

fn matrix(values: &[&str]) -> Value {
    let samples: Vec<Value> = values
        .iter()
        .enumerate()
        .map(|(n, value)| json!([n, value]))
        .collect();
    json!({"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": samples}]}})
}

async fn answering(response: ResponseTemplate) -> (World, MockServer) {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(response)
        .mount(&server)
        .await;
    let mut world = World::new().outputs(&["error_rate_10"]);
    world.values = json!({"base": server.uri()});
    (world, server)
}

#[tokio::test]
async fn numbers_are_bound_in_the_unit_of_the_output() {
    let server = MockServer::start().await;
    for (query, value) in [("errors", "0.0125"), ("latency", "0.412")] {
        Mock::given(path("/api/v1/query"))
            .and(body_string_contains(query))
            .respond_with(ResponseTemplate::new(200).set_body_json(vector(&[value])))
            .expect(1)
            .mount(&server)
            .await;
    }
    let mut world = World::new()
        .outputs(&["error_rate_10", "p99_latency_10"])
        .values(json!({"base": server.uri()}));
    world.since = Some("2026-11-21T14:08:30Z".parse().unwrap());
    let work = work(vec![
        binding(
            "error_rate_10",
            "errors[{{window}}]",
            Unit::Ratio,
            Unit::Ratio,
        ),
        binding(
            "p99_latency_10",
            "latency[{{window}}]",
            Unit::Seconds,
            Unit::Milliseconds,
        ),
    ]);
    let result = world.run(Work::Query(work)).await;
    assert_eq!(
        (result.status, &result.error),
        (NodeStatus::Completed, &None)
    );
    assert_eq!(result.outputs["error_rate_10"], json!(0.0125));
    assert_eq!(result.outputs["p99_latency_10"], json!(412.0));
    assert_eq!(
        result.outputs["raw"],
        json!({"error_rate_10": 0.0125, "p99_latency_10": 0.412})
    );
    // 300 s are asked for, 90 s have been watched; both queries speak of the same instant.
    assert_eq!(result.outputs["window_sec"], json!(90.0));
    let at: Timestamp = NOW.parse().unwrap();
    for request in server.received_requests().await.unwrap() {
        let body = String::from_utf8(request.body).unwrap();
        assert!(
            body.contains("%5B90s%5D") && body.contains(&at.as_second().to_string()),
            "{body}"
        );
    }
}

#[tokio::test]
async fn what_is_not_one_clear_number_decides_nothing() {
    let ok = |body: Value| ResponseTemplate::new(200).set_body_json(body);
    let mut warned = vector(&["0.5"]);
    warned["warnings"] = json!(["store api unreachable"]);
    for (response, expected) in [
        (ok(vector(&[])), "no data in the window"),
        (ok(vector(&["NaN"])), "the value is NaN"),
        (ok(vector(&["+Inf"])), "the value is +Inf"),
        (ok(vector(&["0.1", "0.2"])), "2 series where one is meant"),
        (ok(warned), "store api unreachable"),
        (ok(vector(&["7.5"])), "7.5 is no error rate"),
        (
            ok(
                json!({"status": "success", "data": {"resultType": "string", "result": [1.0, "x"]}}),
            ),
            "a text, not a number",
        ),
        (
            ok(json!({"status": "error", "errorType": "bad_data", "error": "parse error"})),
            "parse error",
        ),
        (ResponseTemplate::new(503), "503"),
        (ResponseTemplate::new(429), "429"),
        (
            ResponseTemplate::new(200).set_body_string("<html>login</html>"),
            "not a Prometheus answer",
        ),
    ] {
        let (world, _server) = answering(response).await;
        let result = world.run(Work::Query(error_rate())).await;
        let error = result.error.unwrap();
        assert_eq!(result.status, NodeStatus::Inconclusive, "{error}");
        assert!(
            error.contains(expected) && error.starts_with("`error_rate_10`: "),
            "{error}"
        );
        assert!(!result.outputs.contains_key("error_rate_10"));
    }
}

#[tokio::test]
async fn unreachable_is_inconclusive_and_unknown_is_a_failure() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let world = World::new().values(json!({"base": base}));
    let result = world.run(Work::Query(error_rate())).await;
    assert_eq!(result.status, NodeStatus::Inconclusive);
    assert!(result.error.unwrap().contains("no answer"));

    let result = world
        .run(Work::Query(QueryWork {
            url: None,
            ..error_rate()
        }))
        .await;
    assert_eq!(result.status, NodeStatus::Failed);
    assert!(
        result
            .error
            .unwrap()
            .contains("x-canary.sources.prometheus.url")
    );
}

#[tokio::test]
async fn a_range_becomes_one_number() {
    for (reduce, values, min_samples, expected) in [
        (Reduce::Last, vec!["0.1", "NaN", "0.3"], 1, Ok(0.3)),
        (Reduce::Max, vec!["0.1", "0.4", "0.3"], 3, Ok(0.4)),
        (Reduce::Min, vec!["0.2", "0.1", "0.3"], 1, Ok(0.1)),
        (Reduce::Mean, vec!["0.25", "0.75"], 1, Ok(0.5)),
        (Reduce::Max, vec!["0.1", "NaN"], 1, Err("the value is NaN")),
        (
            Reduce::Mean,
            vec!["0.1", "+Inf"],
            1,
            Err("the value is +Inf"),
        ),
        (
            Reduce::Last,
            vec!["0.1", "0.2"],
            3,
            Err("2 of 3 samples that are needed"),
        ),
    ] {
        let (world, server) =
            answering(ResponseTemplate::new(200).set_body_json(matrix(&values))).await;
        let mut work = QueryWork {
            range: true,
            ..error_rate()
        };
        work.queries[0].reduce = reduce;
        work.queries[0].min_samples = min_samples;
        let result = world.run(Work::Query(work)).await;
        match expected {
            Ok(expected) => assert_eq!(
                result.outputs["error_rate_10"],
                json!(expected),
                "{result:?}"
            ),
            Err(expected) => assert!(
                result.error.as_ref().unwrap().contains(expected),
                "{result:?}"
            ),
        }
        assert_eq!(
            server.received_requests().await.unwrap()[0].url.path(),
            "/api/v1/query_range"
        );
    }
}

#[tokio::test]
async fn just_set_says_nothing_and_a_wait_can_be_cancelled() {
    let (mut world, server) =
        answering(ResponseTemplate::new(200).set_body_json(vector(&["0"]))).await;
    world.since = Some(NOW.parse().unwrap());
    let result = world.run(Work::Query(error_rate())).await;
    assert_eq!(result.status, NodeStatus::Inconclusive);
    assert!(result.error.unwrap().contains("nothing can be said yet"));

    let cancel = CancellationToken::new();
    let waiting = QueryWork {
        wait: Duration::from_hours(1),
        ..error_rate()
    };
    let soon = async {
        while world.marks.lock().unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(
        world.cancelled_by(Work::Query(waiting), cancel.clone()),
        soon
    );
    assert_eq!(result.status, NodeStatus::Cancelled);
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn credentials_of_the_settings_go_to_their_own_host_only() {
    let answer = || ResponseTemplate::new(200).set_body_json(vector(&["0"]));
    let (mut world, own) = answering(answer()).await;
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
    let mut options = canary_analyzer::source::PrometheusOptions::new(own.uri());
    options.auth = canary_analyzer::source::Auth::Bearer("tok-12345".to_owned().into());
    world.prometheus = Some(Arc::new(PrometheusSource::new(options).unwrap()));
    world.run(Work::Query(error_rate())).await;
    world
        .run(Work::Query(QueryWork {
            url: None,
            ..error_rate()
        }))
        .await;
    let (other_world, other) = answering(answer()).await;
    world.values = other_world.values;
    world.run(Work::Query(error_rate())).await;
    for request in own.received_requests().await.unwrap() {
        assert_eq!(
            request.headers.get("authorization").unwrap(),
            "Bearer tok-12345"
        );
    }
    let others = other.received_requests().await.unwrap();
    assert_eq!(
        (own.received_requests().await.unwrap().len(), others.len()),
        (2, 1)
    );
    assert!(others[0].headers.get("authorization").is_none());
}
