//! HTTP requests.

use wiremock::matchers::{body_json, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

fn get(url: &str) -> HttpWork {
    HttpWork {
        method: "GET".to_owned(),
        url: template(url),
        query: BTreeMap::new(),
        headers: BTreeMap::new(),
        body: HttpBody::Empty,
        bearer: None,
        expected_status: vec![],
        response_mapping: BTreeMap::new(),
        slack: false,
    }
}

async fn server(response: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(path("/x"))
        .respond_with(response)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn what_is_sent_and_what_is_bound() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/a%20b"))
        .and(query_param("q", "x&y=1"))
        .and(header("x-team", "Ünïcode is not here"))
        .respond_with(ResponseTemplate::new(500))
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path("/v1/a%20b"))
        .and(query_param("q", "x&y=1"))
        .and(header("authorization", "Bearer tok-12345"))
        .and(header("content-type", "application/json; charset=utf-8"))
        .and(body_json(
            json!({"n": 3, "text": "n is 3", "list": [true, "a b"]}),
        ))
        .respond_with(
            ResponseTemplate::new(202).set_body_json(json!({"data": {"id": 7}, "state": "queued"})),
        )
        .expect(1)
        .mount(&server)
        .await;
    let world = World::new()
        .outputs(&["id", "state"])
        .secret("TOKEN", "tok-12345")
        .values(json!({"base": server.uri(), "v": "a b", "q": "x&y=1", "n": 3}));
    let work = HttpWork {
        method: "POST".to_owned(),
        query: BTreeMap::from([("q".to_owned(), template("{{q}}"))]),
        body: HttpBody::Json(JsonTemplate::Map(vec![
            ("n".to_owned(), JsonTemplate::Text(template("{{n}}"))),
            (
                "text".to_owned(),
                JsonTemplate::Text(template("n is {{n}}")),
            ),
            (
                "list".to_owned(),
                JsonTemplate::List(vec![
                    JsonTemplate::Literal(json!(true)),
                    JsonTemplate::Text(template("{{v}}")),
                ]),
            ),
        ])),
        bearer: Some("TOKEN".to_owned()),
        expected_status: vec![202],
        response_mapping: BTreeMap::from([("id".to_owned(), "$.data.id".to_owned())]),
        ..get("{{base}}/v1/{{v}}")
    };
    let result = world.run(Work::Http(work)).await;
    assert_eq!(
        (result.status, &result.error),
        (NodeStatus::Completed, &None)
    );
    assert_eq!(
        (&result.outputs["id"], &result.outputs["state"]),
        (&json!(7), &json!("queued"))
    );
    assert_eq!(
        (&result.outputs["http_status"], &result.outputs["status"]),
        (&json!(202), &json!("completed"))
    );
    assert!(!format!("{result:?}{}", world.log()).contains("tok-12345"));
    assert_eq!(*world.marks.lock().unwrap(), [None]);
}

#[tokio::test]
async fn errors_say_method_address_and_what_came_back() {
    let busy = server(ResponseTemplate::new(503).set_body_string("  over\n capacity ")).await;
    let world = World::new();
    let url = format!(
        "{}/x?token=do-not-show",
        busy.uri().replace("//", "//user:pw@")
    );
    let error = world.run(Work::Http(get(&url))).await.error.unwrap();
    assert_eq!(
        error,
        format!(
            "GET {}/x: answered 503 Service Unavailable, expected 200-299: over capacity",
            busy.uri()
        )
    );

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let error = world
        .run(Work::Http(get(&format!("http://127.0.0.1:{port}/x"))))
        .await
        .error
        .unwrap();
    assert!(
        error.contains("no answer: ")
            && error.contains("refused")
            && error.contains("check the address"),
        "{error}"
    );

    let error = world
        .run(Work::Http(get("http://{{missing}}/")))
        .await
        .error
        .unwrap();
    assert!(error.contains("`missing` has no value"), "{error}");
    let mut work = get(&format!("{}/x", busy.uri()));
    work.headers = BTreeMap::from([("x-a".to_owned(), template("a\r\nx-b: c"))]);
    let error = world.run(Work::Http(work)).await.error.unwrap();
    assert!(error.contains("header `x-a` has a line end"), "{error}");
    let mut work = get(&format!("{}/x", busy.uri()));
    work.bearer = Some("NOT_SET".to_owned());
    let error = world.run(Work::Http(work)).await.error.unwrap();
    assert!(
        error.contains("`NOT_SET`, which holds a secret, is not set"),
        "{error}"
    );
}

#[tokio::test]
async fn a_redirect_to_another_host_is_not_followed() {
    let elsewhere = MockServer::start().await;
    Mock::given(path("/x"))
        .respond_with(ResponseTemplate::new(200))
        .expect(0)
        .mount(&elsewhere)
        .await;
    let away = server(
        ResponseTemplate::new(307).insert_header("location", format!("{}/x", elsewhere.uri())),
    )
    .await;
    let result = World::new()
        .run(Work::Http(get(&format!("{}/x", away.uri()))))
        .await;
    assert_eq!(result.status, NodeStatus::Failed);
    assert!(
        result
            .error
            .unwrap()
            .contains("another host is not followed")
    );

    let home = server(ResponseTemplate::new(302).insert_header("location", "/y")).await;
    Mock::given(path("/y"))
        .respond_with(ResponseTemplate::new(200).set_body_string("here"))
        .mount(&home)
        .await;
    let result = World::new()
        .run(Work::Http(get(&format!("{}/x", home.uri()))))
        .await;
    assert_eq!(
        (result.status, &result.outputs["body"]),
        (NodeStatus::Completed, &json!("here"))
    );
}

#[tokio::test]
async fn slack_says_no_with_200() {
    for (body, expected) in [
        (json!({"ok": true, "ts": "1.2"}), None),
        (
            json!({"ok": false, "error": "channel_not_found"}),
            Some("Slack refused: channel_not_found; check the channel"),
        ),
        (json!({"fine": true}), Some("no `ok`")),
    ] {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(200).set_body_json(&body))
            .mount(&server)
            .await;
        let work = HttpWork {
            method: "POST".to_owned(),
            body: HttpBody::SlackReport {
                channel: template("#releases"),
            },
            slack: true,
            ..get(&format!("{}/api/chat.postMessage", server.uri()))
        };
        let result = World::new().run(Work::Http(work)).await;
        match expected {
            None => assert_eq!(result.status, NodeStatus::Completed, "{result:?}"),
            Some(expected) => assert!(
                result.error.as_ref().unwrap().contains(expected),
                "{result:?}"
            ),
        }
        let sent: Value =
            serde_json::from_slice(&server.received_requests().await.unwrap()[0].body).unwrap();
        assert_eq!(sent["channel"], "#releases");
        assert!(
            sent["text"]
                .as_str()
                .unwrap()
                .contains("error-rate was 7.5 %, the limit is &lt; 1 %"),
            "{sent}"
        );
    }
}

#[tokio::test]
async fn large_slow_and_cancelled() {
    let large = server(ResponseTemplate::new(200).set_body_string("x".repeat(2_000_000))).await;
    let result = World::new()
        .outputs(&["a"])
        .run(Work::Http(get(&format!("{}/x", large.uri()))))
        .await;
    assert_eq!(result.status, NodeStatus::Completed);
    assert!(
        result.outputs["notes"][0]
            .as_str()
            .unwrap()
            .contains("larger than 1 MiB"),
        "{:?}",
        result.outputs.keys()
    );
    assert!(!result.outputs.contains_key("a"));

    let slow = server(ResponseTemplate::new(200).set_delay(Duration::from_mins(1))).await;
    let mut world = World::new();
    world.timeout = Some(Duration::from_millis(200));
    let result = world
        .run(Work::Http(get(&format!("{}/x", slow.uri()))))
        .await;
    assert_eq!(result.status, NodeStatus::TimedOut);
    assert!(
        result
            .error
            .unwrap()
            .contains("no complete answer within 200ms")
    );

    let cancel = CancellationToken::new();
    let world = World::new();
    let seen = async {
        while slow.received_requests().await.unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(
        world.cancelled_by(
            Work::Http(get(&format!("{}/x", slow.uri()))),
            cancel.clone()
        ),
        seen
    );
    assert_eq!(result.status, NodeStatus::Cancelled);
}
