use kube::{Client, Config};
use serde_json::json;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::super::gateway::{GatewayApi, Route, RouteType};
use super::*;

fn weight(percent: u8) -> Weight {
    Weight::try_from(percent).unwrap()
}

/// A route whose canary has this weight, as somebody left it.
fn route(canary: u64) -> Value {
    json!({
        "metadata": {"name": "a", "namespace": "shop", "generation": 1, "resourceVersion": "1", "annotations": {}, "managedFields": [
            {"manager": "flux", "operation": "Apply", "time": "2026-11-21T10:00:00Z", "fieldsV1": {"f:spec": {"f:rules": {}}}},
        ]},
        "spec": {"parentRefs": [{"name": "g"}], "rules": [{"backendRefs": [
            {"name": "stable", "weight": 100 - canary}, {"name": "canary", "weight": canary},
        ]}]},
        "status": {"parents": [{"parentRef": {"name": "g"}, "conditions": [
            {"type": "Accepted", "status": "True", "observedGeneration": 1},
            {"type": "ResolvedRefs", "status": "True", "observedGeneration": 1},
        ]}]},
    })
}

fn router(server: &MockServer) -> GatewayApi {
    let mut config = Config::new(server.uri().parse().unwrap());
    config.default_retry = false;
    let route = Route {
        route_type: RouteType::Http,
        name: "a".to_owned(),
        stable: "stable".to_owned(),
        canary: "canary".to_owned(),
        matching: None,
    };
    let api = Api::with_client(Client::try_from(config).unwrap(), "shop");
    route.router(api, "run a-1")
}

fn gives(object: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(object)
}

async fn on(server: &MockServer, verb: &str, answer: ResponseTemplate, times: Option<u64>) {
    let mock = Mock::given(method(verb)).respond_with(answer);
    match times {
        Some(times) => mock.up_to_n_times(times).mount(server).await,
        None => mock.mount(server).await,
    }
}

async fn methods(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    requests.iter().map(|one| one.method.to_string()).collect()
}

#[tokio::test]
async fn taking_off_is_one_round_trip_from_what_was_seen() {
    let server = MockServer::start().await;
    on(&server, "GET", gives(&route(50)), None).await;
    on(&server, "PATCH", gives(&route(0)), None).await;
    let router = router(&server);
    assert_eq!(router.observe().await.unwrap().weight, weight(50));
    assert_eq!(router.take_off().await.unwrap().weight, Weight::ZERO);
    assert_eq!(methods(&server).await, ["GET", "PATCH"]);
    // What was seen is 0: only a look can say that it still is.
    let again = MockServer::start().await;
    on(&again, "GET", gives(&route(0)), None).await;
    let router = self::router(&again);
    router.take_off().await.unwrap();
    router.take_off().await.unwrap();
    assert_eq!(methods(&again).await, ["GET", "GET"]);
}

#[tokio::test]
async fn an_object_that_changed_is_read_again_and_patched_again() {
    let refused = ResponseTemplate::new(422)
        .set_body_json(json!({"kind": "Status", "message": "the server rejected our request"}));
    for verb in ["off", "raise"] {
        let server = MockServer::start().await;
        on(&server, "GET", gives(&route(10)), None).await;
        on(&server, "PATCH", refused.clone(), Some(2)).await;
        let after = if verb == "off" { 0 } else { 25 };
        on(&server, "PATCH", gives(&route(after)), None).await;
        let router = router(&server);
        let observed = if verb == "off" {
            router.take_off().await
        } else {
            router.set_weight(weight(10), weight(25)).await
        };
        assert_eq!(
            observed.unwrap().weight.percent(),
            u8::try_from(after).unwrap()
        );
        let expected = ["GET", "PATCH", "GET", "PATCH", "GET", "PATCH"];
        assert_eq!(methods(&server).await, expected, "{verb}");
    }
}

#[tokio::test]
async fn another_weight_than_was_believed_is_left_and_its_writer_named() {
    let server = MockServer::start().await;
    on(&server, "GET", gives(&route(40)), None).await;
    let router = router(&server);
    let kept = router.set_weight(weight(10), weight(25)).await.unwrap();
    assert_eq!(
        (kept.weight, kept.changed_by.as_deref()),
        (weight(40), Some("flux (server-side apply)"))
    );
    assert_eq!(methods(&server).await, ["GET"]);
}

#[tokio::test]
async fn a_change_that_is_never_taken_is_given_up() {
    let server = MockServer::start().await;
    let refused = ResponseTemplate::new(422).set_body_json(json!({"message": "spec.rules: no"}));
    on(&server, "GET", gives(&route(10)), None).await;
    on(&server, "PATCH", refused, None).await;
    let error = router(&server)
        .set_weight(weight(10), weight(25))
        .await
        .unwrap_err();
    assert_eq!(error.kind, RouterErrorKind::Refused);
    assert!(error.to_string().contains("spec.rules: no"), "{error}");
}

#[tokio::test]
async fn a_route_that_is_gone_gives_the_canary_nothing() {
    let server = MockServer::start().await;
    let gone = ResponseTemplate::new(404)
        .set_body_json(json!({"details": {"name": "a", "kind": "httproutes"}}));
    on(&server, "GET", gone, None).await;
    let router = router(&server);
    assert_eq!(router.take_off().await.unwrap().weight, Weight::ZERO);
    router.remove().await.unwrap();
    let error = router.observe().await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("there is no a among the httproutes"),
        "{error}"
    );
}
