//! Channels against real local servers and real programs.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::diagnostic::{Span, Spanned};
use crate::notify::Delivery::{Later, Never, Sent};
use crate::osop::model::Text;
use crate::osop::settings::WebhookUrl;

const NOW: &str = "2026-11-21T14:05:00Z";

fn text(text: &str) -> Text {
    Spanned::by_default(text.to_owned())
}

fn variable(name: &str) -> SecretRef {
    SecretRef::Env(text(name))
}

/// The channel, with these secrets in the environment.
fn channel(target: ChannelTarget, secrets: &[(&str, &str)]) -> Channel {
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
    let secrets: BTreeMap<String, String> = secrets
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Channel {
        settings: settings::Channel {
            span: Span::default(),
            name: text("ops"),
            target,
            events: None,
            timeout: Spanned::by_default(Duration::from_millis(500)),
        },
        tools: Tools {
            http: crate::node::client().unwrap(),
            secrets: Secrets::new(
                std::env::temp_dir(),
                Arc::new(move |name| secrets.get(name).cloned()),
            ),
            directory: std::env::temp_dir(),
            environment: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
            clock: Arc::new(|| NOW.parse().unwrap()),
        },
    }
}

fn message(topic: Topic) -> Message {
    Message {
        run: "shop-7f3a".to_owned(),
        workflow: "shop-release".to_owned(),
        service: "shop".to_owned(),
        notification: 4,
        at: NOW.parse().unwrap(),
        topic,
        outcome: None,
        weight: None,
        headline: "error-rate was 7.5 %, the limit is < 1 %".to_owned(),
        why: vec![],
        cost: None,
        done: String::new(),
        next: vec![],
    }
}

async fn server(response: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(response)
        .mount(&server)
        .await;
    server
}

async fn bodies(server: &MockServer) -> Vec<Value> {
    let requests = server.received_requests().await.unwrap();
    requests
        .iter()
        .map(|request| serde_json::from_slice(&request.body).unwrap())
        .collect()
}

fn slack_api(server: &MockServer) -> Channel {
    let target = ChannelTarget::SlackApi {
        token: variable("TOKEN"),
        channel: text("C1"),
        api_url: text(&server.uri()),
    };
    channel(target, &[("TOKEN", "xoxb-12345")])
}

fn hook(server: &MockServer, secret: Option<&str>) -> Channel {
    let target = ChannelTarget::Webhook {
        url: WebhookUrl::Plain(text(&format!("{}/hook", server.uri()))),
        secret: secret.map(variable),
    };
    channel(target, &[("KEY", "k3y-material")])
}

#[tokio::test]
async fn slack_begins_a_thread_and_goes_on_in_it() {
    let server = MockServer::start().await;
    Mock::given(path("/api/chat.postMessage"))
        .and(header("authorization", "Bearer xoxb-12345"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"ok": true, "ts": "171.5"})))
        .mount(&server)
        .await;
    let slack = slack_api(&server);
    let first = slack.deliver(&message(Topic::Started), None).await;
    assert_eq!(
        first,
        Sent {
            thread: Some("171.5".to_owned())
        }
    );
    let later = slack.deliver(&message(Topic::Failing), Some("171.0")).await;
    assert_eq!(
        later,
        Sent {
            thread: Some("171.0".to_owned())
        }
    );
    slack.deliver(&message(Topic::Step), Some("171.0")).await;
    let bodies = bodies(&server).await;
    assert_eq!(
        (&bodies[0]["channel"], bodies[0].get("thread_ts")),
        (&json!("C1"), None)
    );
    assert_eq!(
        (&bodies[1]["thread_ts"], &bodies[1]["reply_broadcast"]),
        (&json!("171.0"), &json!(true))
    );
    assert_eq!(bodies[2]["reply_broadcast"], json!(false));
    assert!(
        bodies[0]["blocks"].is_array() && bodies[0]["text"].as_str().unwrap().contains("&lt; 1 %")
    );
}

#[tokio::test]
async fn slack_says_no_in_its_ways() {
    let ok_false =
        |word: &str| ResponseTemplate::new(200).set_body_json(json!({"ok": false, "error": word}));
    for (response, passing, expected) in [
        (
            ok_false("not_in_channel"),
            false,
            "Slack refused: not_in_channel; invite the bot",
        ),
        (
            ok_false("invalid_auth"),
            false,
            "Slack refused: invalid_auth; the token",
        ),
        (ok_false("internal_error"), true, "internal_error"),
        (
            ResponseTemplate::new(200).set_body_string("<html>"),
            false,
            "not an answer of Slack",
        ),
        (
            ResponseTemplate::new(403).set_body_string("nope"),
            false,
            "answered 403 Forbidden",
        ),
        (ResponseTemplate::new(502), true, "answered 502 Bad Gateway"),
    ] {
        let server = server(response).await;
        match (
            slack_api(&server)
                .deliver(&message(Topic::Ended), None)
                .await,
            passing,
        ) {
            (Never { why }, false) | (Later { why, .. }, true) => {
                assert!(
                    why.contains(expected) && why.starts_with("POST http"),
                    "{why}"
                );
            }
            (other, _) => panic!("{expected}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn slack_webhook() {
    for (status, body, expected) in [
        (200, "ok", None),
        (
            200,
            "something else",
            Some("did not say `ok` but: something else"),
        ),
        (
            404,
            "no_service",
            Some("no_service; the webhook was removed"),
        ),
    ] {
        let server = server(ResponseTemplate::new(status).set_body_string(body)).await;
        let url = format!("{}/services/T0/B0/s3cr3tpath", server.uri());
        let slack = channel(
            ChannelTarget::SlackWebhook {
                webhook: variable("HOOK"),
            },
            &[("HOOK", url.as_str())],
        );
        match (slack.deliver(&message(Topic::Ended), None).await, expected) {
            (Sent { thread: None }, None) => {}
            (Never { why }, Some(expected)) => {
                assert!(
                    why.contains(expected) && !why.contains("s3cr3tpath"),
                    "{why}"
                );
            }
            (other, _) => panic!("{body}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_receiver_may_ask_to_be_left_alone() {
    for (status, value, after) in [
        (429, Some("30"), Some(Duration::from_secs(30))),
        (
            503,
            Some("Sat, 21 Nov 2026 14:06:30 GMT"),
            Some(Duration::from_secs(90)),
        ),
        (503, Some("Sat, 21 Nov 2026 13:00:00 GMT"), None),
        (429, Some("soon"), None),
        (408, None, None),
        (500, None, None),
    ] {
        let mut response = ResponseTemplate::new(status);
        if let Some(value) = value {
            response = response.insert_header("retry-after", value);
        }
        let server = server(response).await;
        match hook(&server, None)
            .deliver(&message(Topic::Ended), None)
            .await
        {
            Later { after: found, .. } => assert_eq!(found, after, "{value:?}"),
            other => panic!("{status}: {other:?}"),
        }
    }
    for status in [400, 401, 404, 410, 422] {
        let server = server(ResponseTemplate::new(status)).await;
        let answer = hook(&server, None)
            .deliver(&message(Topic::Ended), None)
            .await;
        assert!(matches!(answer, Never { .. }), "{status}: {answer:?}");
    }
}

#[tokio::test]
async fn slow_and_unreachable_receivers_are_tried_again() {
    let slow = server(ResponseTemplate::new(200).set_delay(Duration::from_mins(1))).await;
    let answer = hook(&slow, None)
        .deliver(&message(Topic::Ended), None)
        .await;
    assert!(
        matches!(&answer, Later { why, .. } if why.contains("no complete answer within 500ms")),
        "{answer:?}"
    );
    let gone = MockServer::start().await;
    let channel = hook(&gone, None);
    drop(gone);
    // The server of wiremock goes back to a pool: an address that nobody listens on is taken instead.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", free.local_addr().unwrap());
    drop(free);
    let mut channel = channel;
    channel.settings.target = ChannelTarget::Webhook {
        url: WebhookUrl::Plain(text(&url)),
        secret: None,
    };
    let answer = channel.deliver(&message(Topic::Ended), None).await;
    assert!(
        matches!(&answer, Later { why, .. } if why.contains("no answer")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_signature_that_another_program_can_check() {
    let server = server(ResponseTemplate::new(204)).await;
    let channel = hook(&server, Some("KEY"));
    assert_eq!(
        channel.deliver(&message(Topic::Ended), None).await,
        Sent { thread: None }
    );
    let request = server.received_requests().await.unwrap().remove(0);
    let head = |name: &str| {
        request
            .headers
            .get(name)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(head("content-type"), "application/json");
    assert_eq!(head("idempotency-key"), "shop-7f3a/4");
    assert_eq!(head("x-canary-timestamp"), "1795269900");
    // RFC 2104 by hand, from the hash alone, so that the test does not ask the code that it tests.
    let signed = [b"1795269900.".as_slice(), &request.body].concat();
    assert_eq!(
        head("x-canary-signature"),
        format!("sha256={}", hmac_by_hand(b"k3y-material", &signed))
    );
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(
        (&body["id"], &body["topic"]),
        (&json!("shop-7f3a/4"), &json!("ended"))
    );
}

fn hmac_by_hand(key: &[u8], text: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let inner: Vec<u8> = block
        .iter()
        .map(|byte| byte ^ 0x36)
        .chain(text.iter().copied())
        .collect();
    let outer: Vec<u8> = block
        .iter()
        .map(|byte| byte ^ 0x5c)
        .chain(Sha256::digest(inner))
        .collect();
    Sha256::digest(outer)
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|half| char::from_digit(u32::from(half), 16))
        .collect()
}

#[test]
fn the_hand_made_hmac_is_right() {
    // RFC 4231, test case 2.
    assert_eq!(
        hmac_by_hand(b"Jefe", b"what do ya want for nothing?"),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
}

#[tokio::test]
async fn pagerduty_gets_what_the_person_on_call_must_know() {
    let server = MockServer::start().await;
    Mock::given(path("/v2/enqueue"))
        .respond_with(ResponseTemplate::new(202).set_body_json(json!({"status": "success"})))
        .mount(&server)
        .await;
    let target = ChannelTarget::PagerDuty {
        routing_key: variable("ROUTING"),
        api_url: text(&server.uri()),
    };
    let pager = channel(target, &[("ROUTING", "R0123456789")]);
    for topic in [
        Topic::Started,
        Topic::Blocked,
        Topic::Unblocked,
        Topic::Failing,
    ] {
        assert_eq!(
            pager.deliver(&message(topic), None).await,
            Sent { thread: None }
        );
    }
    let bodies = bodies(&server).await;
    let actions: Vec<&Value> = bodies.iter().map(|body| &body["event_action"]).collect();
    assert_eq!(
        actions,
        [&json!("trigger"), &json!("acknowledge"), &json!("trigger")]
    );
    assert!(bodies.iter().all(
        |body| body["dedup_key"] == "canary/shop-7f3a" && body["routing_key"] == "R0123456789"
    ));
}

#[tokio::test]
async fn a_command_reads_json_and_its_arguments_are_never_a_shell() {
    let directory = tempfile::tempdir().unwrap();
    let run = |argv: &[&str]| {
        let argv = argv.iter().map(|argument| text(argument)).collect();
        let mut channel = channel(ChannelTarget::Command { argv }, &[]);
        channel.tools.directory = directory.path().to_owned();
        async move { channel.deliver(&message(Topic::Ended), None).await }
    };
    let sent = run(&[
        "sh",
        "-c",
        "cat > got; printf '%s' \"$1 $CANARY_NOTIFICATION\" > args",
        "x",
        "$(touch never)",
    ])
    .await;
    assert_eq!(sent, Sent { thread: None });
    let got: Value =
        serde_json::from_str(&std::fs::read_to_string(directory.path().join("got")).unwrap())
            .unwrap();
    assert_eq!(got["run"], "shop-7f3a");
    assert_eq!(
        std::fs::read_to_string(directory.path().join("args")).unwrap(),
        "$(touch never) shop-7f3a/4"
    );
    assert!(!directory.path().join("never").exists());

    let answer = run(&["sh", "-c", "echo 'no mail server' >&2; exit 3"]).await;
    assert_eq!(
        answer,
        Never {
            why: "`sh` exited with 3: no mail server".to_owned()
        }
    );
    assert!(matches!(run(&["sh", "-c", "exit 75"]).await, Later { .. }));
    assert!(matches!(run(&["sleep", "60"]).await, Later { .. }));
    let answer = run(&["no-such-program-here"]).await;
    assert!(
        matches!(&answer, Never { why } if why.contains("not found in PATH")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_missing_secret_is_said_and_no_secret_is() {
    let server = server(ResponseTemplate::new(400).set_body_string("bad key k3y-material")).await;
    let channel = hook(&server, Some("KEY"));
    let answer = channel.deliver(&message(Topic::Ended), None).await;
    assert!(
        matches!(&answer, Never { why } if why.contains("bad key ***")),
        "{answer:?}"
    );
    let answer = hook(&server, Some("NOT_SET"))
        .deliver(&message(Topic::Ended), None)
        .await;
    assert!(
        matches!(&answer, Never { why } if why.contains("`NOT_SET`, which holds a secret, is not set")),
        "{answer:?}"
    );
}

#[test]
fn a_channel_gets_the_news_that_it_asked_for() {
    let mut channel = channel(ChannelTarget::Command { argv: vec![] }, &[]);
    assert!(
        channel.wants(Topic::Blocked)
            && channel.wants(Topic::Started)
            && !channel.wants(Topic::Step)
    );
    channel.settings.events = Some(vec![Spanned::by_default(NotifyEvent::Step)]);
    assert!(channel.wants(Topic::Step) && !channel.wants(Topic::Blocked));
}
