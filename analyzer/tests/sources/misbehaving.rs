//! Servers that misbehave: each is a clear error, in bounded time and memory.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use canary_analyzer::evidence::{Answer, QueryValue, SourceError, Window};
use canary_analyzer::metric::{MetricsConfig, ServiceMetrics};
use canary_analyzer::source::{
    Auth, PrometheusOptions, PrometheusSource, ScrapeOptions, Scraper, Targets, Tls,
};
use jiff::Timestamp;
use secrecy::SecretString;

use crate::support::{self, Reply, Request, Server};

/// What is made wrong in options that are right.
type Change = fn(&mut PrometheusOptions);

const ONE: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}"#;

fn at() -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_250).unwrap()
}

fn quick(url: String) -> PrometheusOptions {
    PrometheusOptions {
        timeout: Duration::from_millis(400),
        ..PrometheusOptions::new(url)
    }
}

async fn asked(server: &Server) -> Result<Answer, SourceError> {
    PrometheusSource::new(PrometheusOptions::new(server.url()))
        .unwrap()
        .instant("up", at())
        .await
}

async fn error(reply: Reply) -> SourceError {
    asked(&Server::always(reply).await).await.unwrap_err()
}

#[tokio::test]
async fn an_answer_is_kept_whole() {
    let server = Server::always(Reply::json(
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"1"},"value":[1,"NaN"]},{"metric":{"a":"2"},"value":[1,"-Inf"]}]},
            "warnings":["partial response: store is down"],"infos":["not a counter"]}"#,
    ))
    .await;
    let answer = asked(&server).await.unwrap();
    assert_eq!(answer.warnings, ["partial response: store is down"]);
    assert_eq!(answer.infos, ["not a counter"]);
    let QueryValue::Vector(samples) = answer.value else {
        panic!("no vector")
    };
    assert!(samples.len() == 2 && samples[0].1.is_nan() && samples[1].1 == f64::NEG_INFINITY);
    let request = &server.requests()[0];
    assert_eq!(request.line, "POST /api/v1/query");
    assert_eq!(request.body, "query=up&time=1700000000.250&timeout=10000ms");
}

#[tokio::test]
async fn html_is_recognised() {
    let html = error(Reply::Full(
        "200 OK",
        vec![],
        "<!DOCTYPE html>\n<title>Log in</title>".to_owned(),
    ))
    .await;
    let text = html.to_string();
    assert!(
        matches!(html, SourceError::NotPrometheus { .. }),
        "{html:?}"
    );
    assert!(
        text.contains(
            "not a Prometheus answer but an HTML page (<!DOCTYPE html> <title>Log in</title>)"
        ),
        "{text}"
    );
}

#[tokio::test]
async fn broken_answers_are_named() {
    let deep = format!(r#"{{"status":"success","data":{}"#, "[".repeat(1 << 20));
    for (body, expected) in [
        ("", "but empty"),
        ("{\"status\":\"succ", "but JSON that ends in the middle"),
        ("{\"status\":}", "but broken JSON"),
        (
            "{\"status\":\"success\",\"data\":{\"resultType\":\"cube\",\"result\":[]}}",
            "unknown variant `cube`",
        ),
        ("ok", "but neither JSON nor HTML"),
        (&deep, "but JSON of another shape"),
    ] {
        let text = error(Reply::json(body)).await.to_string();
        assert!(text.contains(expected), "{text}");
        assert!(text.len() < 1000, "{} bytes", text.len());
    }
}

#[tokio::test]
async fn reading_stops_at_the_bound() {
    let server = Server::always(Reply::Endless("{\"status\":\"success\",")).await;
    let started = started();
    let error = asked(&server).await.unwrap_err();
    assert!(
        matches!(error, SourceError::TooLarge { limit, .. } if limit == 8 << 20),
        "{error:?}"
    );
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    // What is on the way when the reader stops is a few socket buffers.
    assert!(server.sent.load(Ordering::Relaxed) < 32 << 20);

    let server = Server::always(Reply::Announced(300 << 20)).await;
    assert!(matches!(
        asked(&server).await,
        Err(SourceError::TooLarge { .. })
    ));
}

#[tokio::test]
async fn a_server_that_wants_to_be_left_alone() {
    let retry = |status, body: &str| {
        Reply::Full(
            status,
            vec![("retry-after", "7".to_owned())],
            body.to_owned(),
        )
    };
    let unavailable = r#"{"status":"error","errorType":"unavailable","error":"not ready"}"#;
    for (reply, code) in [
        (retry("429 Too Many Requests", "slow down"), 429),
        (retry("503 Service Unavailable", unavailable), 503),
    ] {
        let error = error(reply).await;
        assert!(
            matches!(error, SourceError::Status { code: found, .. } if found == code),
            "{error:?}"
        );
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        assert!(error.is_transient());
    }
    let plain = error(Reply::Full(
        "503 Service Unavailable",
        vec![],
        "no backend".to_owned(),
    ))
    .await;
    assert!(plain.to_string().ends_with(
        "HTTP status 503 (no backend); the server is overloaded or starting; try again later"
    ));
}

#[tokio::test]
async fn a_query_that_is_refused() {
    let bad = r#"{"status":"error","errorType":"bad_data","error":"1:4: parse error: unexpected end of input"}"#;
    for status in ["200 OK", "400 Bad Request", "422 Unprocessable Entity"] {
        let error = error(Reply::Full(status, vec![], bad.to_owned())).await;
        assert!(
            error.to_string().ends_with(
                "bad_data: 1:4: parse error: unexpected end of input; correct the query"
            ),
            "{error}"
        );
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn a_hang_ends_at_the_timeout() {
    for reply in [Reply::Hang, Reply::Stall("{\"status\":")] {
        let server = Server::always(reply).await;
        let started = started();
        let error = PrometheusSource::new(quick(server.url()))
            .unwrap()
            .instant("up", at())
            .await
            .unwrap_err();
        assert!(matches!(error, SourceError::Timeout { .. }), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(3));
        assert_eq!(server.requests().len(), 1, "a timeout is not tried again");
    }
}

#[tokio::test]
async fn a_reset_is_tried_once_more() {
    let once = Server::start(|number, _| {
        if number == 0 {
            Reply::Reset
        } else {
            Reply::json(ONE)
        }
    })
    .await;
    assert_eq!(asked(&once).await.unwrap().value.series(), 1);
    assert_eq!(once.requests().len(), 2);
    let always = Server::always(Reply::Reset).await;
    let error = asked(&always).await.unwrap_err();
    assert!(
        matches!(error, SourceError::Unreachable { .. }),
        "{error:?}"
    );
    assert_eq!(always.requests().len(), 2);
}

#[tokio::test]
async fn nobody_listens() {
    let address = { Server::always(Reply::Hang).await.address };
    // The port was just given back; a machine that hands it to another program at once would answer something else than refused.
    let source = PrometheusSource::new(quick(format!("http://{address}"))).unwrap();
    tokio::task::yield_now().await;
    let error = source.instant("up", at()).await.unwrap_err();
    assert!(
        matches!(
            error,
            SourceError::Unreachable { .. } | SourceError::Timeout { .. }
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains(&address.to_string()));
}

#[tokio::test]
async fn post_is_not_taken_everywhere() {
    let server = Server::start(|_, request| {
        if request.line.starts_with("POST") {
            Reply::Full("405 Method Not Allowed", vec![], String::new())
        } else {
            Reply::json(ONE)
        }
    })
    .await;
    assert_eq!(asked(&server).await.unwrap().value.series(), 1);
    assert_eq!(
        server.requests()[1].line,
        "GET /api/v1/query?query=up&time=1700000000.250&timeout=10000ms"
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Server::always(Reply::json(ONE)).await;
    let location = format!(
        "http://ann:hidden@{}/api/v1/query?token=hidden",
        other.address
    );
    let server = Server::always(Reply::Full(
        "302 Found",
        vec![("location", location)],
        String::new(),
    ))
    .await;
    let options = PrometheusOptions {
        auth: Auth::Bearer(SecretString::from("s3cret-token")),
        ..PrometheusOptions::new(server.url())
    };
    let error = PrometheusSource::new(options)
        .unwrap()
        .instant("up", at())
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&format!(
            "redirected (HTTP status 302) to http://{}/api/v1/query; if",
            other.address
        )),
        "{text}"
    );
    assert!(!text.contains("hidden"));
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn secrets_are_sent_and_never_shown() {
    // The worst server: it answers with all that it was sent.
    let echo = |_: usize, request: &Request| {
        Reply::Full("401 Unauthorized", vec![], format!("{:?}", request.headers))
    };
    let server = Server::start(echo).await;
    let base = PrometheusOptions {
        headers: vec![("X-Api-Key".to_owned(), SecretString::from("k3y-of-ours"))],
        tenant: Some("team-a".to_owned()),
        ..PrometheusOptions::new(server.url())
    };
    let bearer = PrometheusOptions {
        auth: Auth::Bearer(SecretString::from("t0ken-of-ours")),
        ..base.clone()
    };
    let user_info = PrometheusOptions {
        url: format!("http://ann:p4ssword@{}", server.address),
        ..base
    };
    for (options, sent) in [
        (bearer, "Bearer t0ken-of-ours"),
        (user_info, "Basic YW5uOnA0c3N3b3Jk"),
    ] {
        let shown = format!(
            "{:?}",
            PrometheusOptions {
                url: String::new(),
                ..options.clone()
            }
        );
        let source = PrometheusSource::new(options).unwrap();
        let error = source.instant("up", at()).await.unwrap_err();
        let all = format!("{shown} {error} {error:?} {source:?} {}", source.address());
        for secret in [
            "k3y-of-ours",
            "t0ken-of-ours",
            "p4ssword",
            "YW5uOnA0c3N3b3Jk",
            "ann:",
        ] {
            assert!(!all.contains(secret), "{secret} in {all}");
        }
        assert!(error.to_string().contains("HTTP status 401"), "{error}");
        let request = server.requests().pop().unwrap();
        assert_eq!(request.headers["authorization"], sent);
        assert_eq!(request.headers["x-api-key"], "k3y-of-ours");
        assert_eq!(request.headers["x-scope-orgid"], "team-a");
        assert!(request.headers["user-agent"].starts_with("canary/"));
    }
}

#[tokio::test]
async fn settings_are_checked_before_anything_is_sent() {
    support::install_tls();
    let wrong = |change: fn(&mut PrometheusOptions)| {
        let mut options = PrometheusOptions::new("https://prometheus.example");
        change(&mut options);
        PrometheusSource::new(options).unwrap_err().to_string()
    };
    let rows: &[(Change, &str)] = &[
        (
            |o| o.url = "prometheus:9090".to_owned(),
            "prometheus url: scheme \"prometheus\"; expected http://host:port or https://host",
        ),
        (
            |o| o.url = "http://ann:pw@[".to_owned(),
            "prometheus url: not an address (invalid IPv6 address); expected http://host:port or https://host",
        ),
        (
            |o| o.headers = vec![("a b".to_owned(), SecretString::from("x"))],
            "headers: \"a b\" is no header name",
        ),
        (
            |o| o.headers = vec![("a".to_owned(), SecretString::from("x\ny"))],
            "a: the value has characters that a header cannot have (a line break?)",
        ),
        (
            |o| {
                o.tls = Tls {
                    cert_pem: Some(b"x".to_vec()),
                    ..Tls::default()
                }
            },
            "cert and key: one is given without the other",
        ),
        (
            |o| {
                o.tls = Tls {
                    cert_pem: Some(b"x".to_vec()),
                    key_pem: Some(SecretString::from("y")),
                    ..Tls::default()
                }
            },
            "cert and key: not a certificate and key in PEM form",
        ),
    ];
    for (change, expected) in rows {
        let found = wrong(*change);
        assert!(found.starts_with(expected), "{found}");
    }
}

fn proxy() -> ServiceMetrics {
    MetricsConfig::preset("canary-proxy", &[])
        .resolve(&std::collections::BTreeMap::new())
        .unwrap()
}

fn scraper(server: &Server) -> Scraper {
    let targets = Targets::Labelled(vec![server.url()]);
    let options = ScrapeOptions {
        timeout: Duration::from_millis(400),
        ..ScrapeOptions::default()
    };
    Scraper::new(proxy(), &targets, &options).unwrap()
}

#[tokio::test]
async fn pages_that_are_no_metrics() {
    let openmetrics = vec![(
        "content-type",
        "application/openmetrics-text; version=1.0.0; charset=utf-8".to_owned(),
    )];
    let series = "canary_proxy_requests_total{arm=\"canary\",code=\"2xx\"} 1\n";
    for (reply, expected) in [
        (Reply::text("<html>"), "an HTML or XML page, not metrics"),
        (
            Reply::text("a 1\nb{ 2\n"),
            "line 2: expected a label name or }",
        ),
        (
            Reply::Full("200 OK", openmetrics, series.to_owned()),
            "ends without # EOF: it was cut off",
        ),
        (
            Reply::text(format!("{series}{series}")),
            "line 2: canary_proxy_requests_total{arm=\"canary\",code=\"2xx\"} comes twice",
        ),
        (
            Reply::text("# TYPE canary_proxy_requests_total gauge\n"),
            "canary_proxy_requests_total is a Gauge here",
        ),
        (
            Reply::text("canary_proxy_requests_total{arm=\"canary\"} -1\n"),
            "has the value -1, which no counter can have",
        ),
        (Reply::Endless("a 1\n"), "is larger than 16777216 bytes"),
        (Reply::Hang, "no complete answer within 400ms"),
        (
            Reply::Full("404 Not Found", vec![], "gone".to_owned()),
            "HTTP status 404 (gone); check the path of the address",
        ),
    ] {
        let server = Server::always(reply).await;
        let scraper = scraper(&server);
        let report = scraper.scrape().await;
        let text = report.failures[0].1.to_string();
        assert!(text.contains(expected), "{text}");
        // Nothing was seen and every target fails: that is an error, not evidence of nothing.
        let window = Window::ending_at(Timestamp::MAX, Duration::from_secs(u64::from(u32::MAX)));
        assert_eq!(scraper.evidence(window).unwrap_err().to_string(), text);
    }
}

#[tokio::test]
async fn targets_are_checked() {
    support::install_tls();
    let refused = |targets: Targets| {
        Scraper::new(
            proxy(),
            &targets,
            &ScrapeOptions {
                max_targets: 2,
                ..ScrapeOptions::default()
            },
        )
        .unwrap_err()
        .to_string()
    };
    let per_arm = |stable: &[&str], canary: &[&str]| Targets::PerArm {
        stable: stable.iter().map(ToString::to_string).collect(),
        canary: canary.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(
        refused(per_arm(&["http://a/", "http://b/"], &["http://c/"])),
        "targets: 3 targets; at most 2 are scraped"
    );
    assert_eq!(
        refused(per_arm(&["http://a/"], &["http://a/"])),
        "targets: http://a/metrics is named twice"
    );
    let secret = refused(per_arm(&["http://ann:hidden@a/"], &[]));
    assert!(
        secret.contains("credentials do not belong into the address") && !secret.contains("hidden"),
        "{secret}"
    );
}

#[expect(clippy::disallowed_methods, reason = "the test measures real time")]
fn started() -> Instant {
    Instant::now()
}
