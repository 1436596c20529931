use std::time::Instant;

use serde_json::json;
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

static ROUTE: Resource = Resource {
    group: "gateway.networking.k8s.io",
    versions: &["v1", "v1beta1"],
    plural: "httproutes",
    kind: "HTTPRoute",
};
const V1: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/a";
const V1BETA1: &str = "/apis/gateway.networking.k8s.io/v1beta1/namespaces/shop/httproutes/a";

fn api(server: &MockServer) -> Api {
    let mut config = Config::new(server.uri().parse().unwrap());
    config.default_retry = false;
    Api::with_client(Client::try_from(config).unwrap(), "shop")
}

fn status(code: u16, message: &str, details: Value) -> ResponseTemplate {
    ResponseTemplate::new(code)
        .set_body_json(json!({"kind": "Status", "message": message, "details": details}))
}

fn not_served() -> ResponseTemplate {
    ResponseTemplate::new(404).set_body_string("404 page not found\n")
}

async fn get(server: &MockServer, patience: Patience) -> Result<Value, Failure> {
    let served = Served::default();
    api(server).get(&ROUTE, &served, "a", patience).await
}

async fn answers(answer: ResponseTemplate) -> Result<Value, Failure> {
    let server = MockServer::start().await;
    Mock::given(path(V1))
        .respond_with(answer)
        .mount(&server)
        .await;
    get(&server, Patience::USUAL).await
}

#[tokio::test]
async fn the_version_that_is_served_is_found_and_remembered() {
    let server = MockServer::start().await;
    Mock::given(path(V1))
        .respond_with(not_served())
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path(V1BETA1))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"a": 1})))
        .expect(2)
        .mount(&server)
        .await;
    let (api, served) = (api(&server), Served::default());
    for _ in 0..2 {
        let object = api.get(&ROUTE, &served, "a", Patience::USUAL).await;
        assert_eq!(object, Ok(json!({"a": 1})));
    }
}

#[tokio::test]
async fn a_crd_that_is_missing_is_named() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(not_served())
        .mount(&server)
        .await;
    let failure = get(&server, Patience::USUAL).await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "HTTPRoute is not served by this cluster (gateway.networking.k8s.io/v1 or v1beta1)"
    );
    let error = failure.tried("read HTTPRoute shop/a");
    assert_eq!(error.kind, RouterErrorKind::Refused);
    assert!(error.hint.contains("install its CRDs"));
}

#[tokio::test]
async fn refusals_are_told_apart_and_not_tried_again() {
    let object = json!({"name": "a", "kind": "httproutes"});
    for (code, details, expected) in [
        (
            404,
            object,
            Failure::NotFound("a among the httproutes".to_owned()),
        ),
        (409, json!({}), Failure::Conflict("no".to_owned())),
        (422, json!({}), Failure::Invalid("no".to_owned())),
        (403, json!({}), Failure::Forbidden("no".to_owned())),
        (400, json!({}), Failure::Status(400, "no".to_owned())),
    ] {
        assert_eq!(answers(status(code, "no", details)).await, Err(expected));
    }
    let odd = answers(ResponseTemplate::new(200).set_body_string("<html>")).await;
    assert!(matches!(odd, Err(Failure::Odd(_))), "{odd:?}");
}

#[tokio::test]
async fn a_server_that_asks_to_wait_is_asked_again_after_that() {
    let server = MockServer::start().await;
    Mock::given(path(V1))
        .respond_with(status(429, "slow down", json!({})).insert_header("Retry-After", "1"))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(path(V1))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({})))
        .mount(&server)
        .await;
    #[expect(clippy::disallowed_methods, reason = "how long it waited is the test")]
    let began = Instant::now();
    assert_eq!(get(&server, Patience::USUAL).await, Ok(json!({})));
    assert!(began.elapsed() >= Duration::from_secs(1));
    // One that asks for longer than we have is not waited for.
    let late = answers(status(429, "later", json!({})).insert_header("Retry-After", "3600")).await;
    assert_eq!(late, Err(Failure::TooMany("later".to_owned())));
}

#[tokio::test]
async fn errors_that_pass_are_tried_again_and_a_hanging_server_is_left() {
    let server = MockServer::start().await;
    Mock::given(path(V1))
        .respond_with(status(503, "starting", json!({})))
        .up_to_n_times(3)
        .mount(&server)
        .await;
    Mock::given(path(V1))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({})))
        .mount(&server)
        .await;
    assert_eq!(get(&server, Patience::USUAL).await, Ok(json!({})));

    let server = MockServer::start().await;
    Mock::given(path(V1))
        .respond_with(ResponseTemplate::new(200).set_delay(Duration::from_mins(1)))
        .mount(&server)
        .await;
    let short = Patience {
        each: Duration::from_millis(20),
        all: Duration::from_millis(100),
    };
    let failure = get(&server, short).await.unwrap_err();
    assert!(matches!(failure, Failure::TimedOut(_)), "{failure:?}");
    assert!(server.received_requests().await.unwrap().len() > 1);
}

#[tokio::test]
async fn a_patch_says_who_we_are_and_what_form_it_has() {
    let server = MockServer::start().await;
    Mock::given(method("PATCH"))
        .and(path(V1))
        .and(query_param("fieldManager", "canary"))
        .and(header("content-type", "application/json-patch+json"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({})))
        .expect(1)
        .mount(&server)
        .await;
    let operations = [PatchOperation::remove("/a")];
    let patched = api(&server)
        .patch(
            &ROUTE,
            &Served::default(),
            "a",
            &operations,
            Patience::URGENT,
        )
        .await;
    assert_eq!(patched, Ok(json!({})));
}

#[tokio::test]
async fn without_a_way_to_a_cluster_nothing_is_sent_and_the_reason_is_said() {
    let access = Access {
        kubeconfig: Some("/nowhere/kubeconfig".into()),
        context: None,
    };
    let api = Api::new(access, None);
    let failure = api
        .get(&ROUTE, &Served::default(), "a", Patience::USUAL)
        .await
        .unwrap_err();
    assert!(
        matches!(&failure, Failure::Config(why) if why.contains("/nowhere/kubeconfig")),
        "{failure:?}"
    );
}
