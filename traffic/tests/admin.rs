//! The admin socket, and the router that drives a splitter over it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use canary_traffic::splitter::{Splitter, SplitterError, SplitterOptions};
use canary_traffic::{LocalSplitter, Router, RouterErrorKind};
use support::{Backend, Serving, answer, http1, serve, weight};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

async fn with_socket(path: &Path) -> Serving {
    let backend = Backend::saying("x").await;
    serve(backend.uri(), backend.uri(), 5, |o| {
        o.name = "checkout".into();
        o.admin = Some(path.to_owned());
    })
    .await
}

fn options(path: &Path) -> SplitterOptions {
    let uri = support::uri(([127, 0, 0, 1], 1).into());
    let mut options = SplitterOptions::new(([127, 0, 0, 1], 0).into(), uri.clone(), uri);
    options.admin = Some(path.to_owned());
    options
}

async fn problem(path: &Path) -> String {
    match Splitter::bind(options(path)).await {
        Err(error @ SplitterError::Socket { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Sends bytes as they are, and returns everything that comes back.
async fn raw(path: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn put(body: &str) -> String {
    format!(
        "PUT /v1/weight HTTP/1.1\r\nHost: s\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_router_sets_reads_and_removes_the_weight() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run/admin.sock");
    let serving = with_socket(&path).await;
    let router = LocalSplitter::new("checkout", &path, "run checkout-1");
    assert_eq!(router.name(), "local splitter checkout");

    let seen = router.observe().await.unwrap();
    assert_eq!((seen.weight, seen.changed_by), (weight(5), None));

    let set = router.set_weight(weight(5), weight(10)).await.unwrap();
    assert!(set.accepted.is_accepted());
    assert_eq!(
        (set.weight, set.changed_by.as_deref()),
        (weight(10), Some("run checkout-1"))
    );
    assert_eq!(serving.handle.state().weight, weight(10));

    // Requests since the change are in the observation, at the weight that was set.
    let client = http1();
    for _ in 0..100 {
        answer(&client, serving.get("/")).await;
    }
    let requests = router.observe().await.unwrap().requests.unwrap();
    assert_eq!(requests.canary_share(), Some(0.1));
    assert_eq!(
        router
            .set_weight(weight(10), weight(20))
            .await
            .unwrap()
            .requests
            .unwrap()
            .canary_share(),
        None
    );

    // Drift: somebody else sets it, and it is visible who.
    serving.handle.set_weight(weight(33), "alice");
    let seen = router.observe().await.unwrap();
    assert_eq!(
        (seen.weight, seen.changed_by.as_deref()),
        (weight(33), Some("alice"))
    );

    // A weight that is not what we believed is not changed; taking the canary off asks nothing.
    let kept = router.set_weight(weight(20), weight(40)).await.unwrap();
    assert_eq!(
        (kept.weight, kept.changed_by.as_deref()),
        (weight(33), Some("alice"))
    );
    let again = router.set_weight(weight(20), weight(33)).await.unwrap();
    assert_eq!(again.weight, weight(33));
    assert_eq!(router.take_off().await.unwrap().weight, weight(0));
    serving.handle.set_weight(weight(33), "alice");

    let metrics = router.metrics_text().await.unwrap();
    assert!(metrics.contains("canary_proxy_weight 33\n"), "{metrics}");
    router.remove().await.unwrap();
    assert_eq!(serving.handle.state().weight, weight(0));
}

#[tokio::test]
async fn a_handle_is_a_router_too() {
    let backend = Backend::saying("x").await;
    let serving = serve(backend.uri(), backend.uri(), 0, |o| o.name = "demo".into()).await;
    // As the orchestrator holds it.
    let router: Arc<dyn Router> = Arc::new(serving.handle.signed("run demo-1"));
    assert_eq!(router.name(), "local splitter demo");
    let set = router.set_weight(weight(0), weight(50)).await.unwrap();
    assert_eq!(
        (set.weight, set.changed_by.as_deref()),
        (weight(50), Some("run demo-1"))
    );
    router.remove().await.unwrap();
    assert_eq!(router.observe().await.unwrap().weight, weight(0));
}

#[tokio::test]
async fn the_socket_is_private() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/admin.sock");
    let _serving = with_socket(&path).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
}

#[tokio::test]
async fn a_directory_that_others_may_enter_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let open = dir.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    let message = problem(&open.join("admin.sock")).await;
    assert!(
        message.contains("mode 0755") && message.contains("chmod 700"),
        "{message}"
    );
}

#[tokio::test]
async fn one_proxy_per_socket_and_a_dead_ones_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s/admin.sock");
    let mut serving = with_socket(&path).await;
    let message = problem(&path).await;
    assert!(message.contains("another splitter serves it"), "{message}");
    // The loser did not harm the winner.
    LocalSplitter::new("c", &path, "t").observe().await.unwrap();

    serving.stop.cancel();
    (&mut serving.task).await.unwrap();
    assert!(!path.exists(), "an orderly end leaves no socket");

    // What a killed process leaves behind: a socket file that nobody listens on.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let _again = with_socket(&path).await;
    LocalSplitter::new("c", &path, "t").observe().await.unwrap();
}

#[tokio::test]
async fn a_file_or_a_strangers_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let file = dir.path().join("precious");
    fs::write(&file, "data").unwrap();
    assert!(problem(&file).await.contains("no socket"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "data");

    let strange = dir.path().join("strange.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&strange).unwrap();
    assert!(problem(&strange).await.contains("another program"));
    let long = dir.path().join("x".repeat(120));
    assert!(problem(&long).await.contains("shorter path"));
}

#[tokio::test]
async fn bad_requests_get_clear_answers_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s/admin.sock");
    let serving = with_socket(&path).await;
    for (request, status, says) in [
        (put(r#"{"weight": 101}"#), 400, "0 to 100"),
        (put(r#"{"weight": -1}"#), 400, "expected"),
        (put(r#"{"weight": "10"}"#), 400, "expected"),
        (
            put(r#"{"weight": 10, "force": true}"#),
            400,
            "unknown field `force`",
        ),
        (put(r#"{"weight": 10, "by": ""}"#), 400, "`by` must be"),
        (put(r#"{"weight": 10, "by": "a\nb"}"#), 400, "`by` must be"),
        (
            put(&format!(r#"{{"weight": 10, "by": "{}"}}"#, "x".repeat(201))),
            400,
            "`by` must be",
        ),
        (put(&"x".repeat(5000)), 413, "at most 4096 bytes"),
        (put(&"[".repeat(4000)), 400, "expected"),
        (put(""), 400, "expected"),
        (
            "POST /v1/weight HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n".into(),
            405,
            "PUT only",
        ),
        (
            "DELETE /metrics HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n".into(),
            405,
            "GET only",
        ),
        (
            "GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n".into(),
            404,
            "GET /v1/state",
        ),
    ] {
        let got = raw(&path, &request).await;
        assert!(
            got.starts_with(&format!("HTTP/1.1 {status}")),
            "{request}\n{got}"
        );
        assert!(got.contains(says), "{request}\n{got}");
    }
    assert_eq!(serving.handle.state().changes, 0);
}

#[tokio::test]
async fn who_says_nothing_is_remembered_by_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s/admin.sock");
    let serving = with_socket(&path).await;
    let got = raw(&path, &put(r#"{"weight": 7}"#)).await;
    assert!(got.starts_with("HTTP/1.1 200"), "{got}");
    let by = serving.handle.state().changed_by.unwrap();
    assert!(
        by.starts_with(&format!("process {} of user", std::process::id())),
        "{by}"
    );
}

#[tokio::test]
async fn errors_of_the_router_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.sock");
    let router = LocalSplitter::new("checkout", &path, "t");
    let error = router.set_weight(weight(0), weight(10)).await.unwrap_err();
    assert_eq!(error.kind, RouterErrorKind::Unreachable);
    let message = error.to_string();
    assert!(
        message.starts_with(
            "could not set weight 10 % on local splitter checkout: there is no socket"
        ),
        "{message}"
    );
    assert!(message.contains("`canary proxy --admin"), "{message}");

    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let message = router.observe().await.unwrap_err().to_string();
    assert!(message.contains("has ended"), "{message}");
}

#[tokio::test]
async fn strange_answers_are_errors_of_their_own_kind() {
    for (reply, kind) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            RouterErrorKind::Unexpected,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            RouterErrorKind::Unexpected,
        ),
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
            RouterErrorKind::Refused,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n{",
            RouterErrorKind::Unexpected,
        ),
        ("nonsense\r\n\r\n", RouterErrorKind::Unreachable),
        ("", RouterErrorKind::Unreachable),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(reply.as_bytes()).await.unwrap();
        });
        let error = LocalSplitter::new("c", &path, "t")
            .observe()
            .await
            .unwrap_err();
        assert_eq!(error.kind, kind, "{reply}: {error}");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn a_socket_that_never_answers_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let _listener = tokio::net::UnixListener::bind(&path).unwrap();
    let router = LocalSplitter::new("c", &path, "t").with_timeout(Duration::from_millis(50));
    let error = tokio::time::timeout(Duration::from_mins(1), router.observe())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind, RouterErrorKind::TimedOut, "{error}");
}

#[tokio::test]
async fn metrics_over_tcp_and_nothing_else() {
    let backend = Backend::saying("x").await;
    let mut options =
        SplitterOptions::new(([127, 0, 0, 1], 0).into(), backend.uri(), backend.uri());
    options.metrics_listen = Some(([127, 0, 0, 1], 0).into());
    let splitter = Splitter::bind(options).await.unwrap();
    let addr = splitter.metrics_addr().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let task = tokio::spawn(splitter.serve(stop.clone()));
    let get = |path: &str| {
        hyper::Request::builder()
            .uri(format!("http://{addr}{path}"))
            .body(support::empty())
            .unwrap()
    };
    let client = http1();
    let response = client.request(get("/metrics")).await.unwrap();
    assert_eq!(
        response.headers()["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let (status, text) = answer(&client, get("/metrics")).await;
    assert_eq!(status, 200);
    assert!(
        text.contains("canary_proxy_requests_total{arm=\"canary\",code=\"5xx\"} 0\n"),
        "{text}"
    );
    for path in ["/v1/state", "/v1/weight", "/"] {
        assert_eq!(answer(&client, get(path)).await.0, 404, "{path}");
    }
    stop.cancel();
    task.await.unwrap();
}

/// Reads the text by the grammar of OpenMetrics 1.0, as far as counters, gauges and histograms go.
#[tokio::test]
async fn metrics_are_well_formed_and_hang_together() {
    let backend = Backend::saying("x").await;
    let serving = serve(backend.uri(), backend.uri(), 20, |_| {}).await;
    let client = http1();
    for _ in 0..100 {
        answer(&client, serving.get("/")).await;
    }
    let text = serving.handle.metrics_text();
    let mut family = ("", "");
    let mut buckets: Vec<(f64, u64)> = Vec::new();
    let mut families = std::collections::HashSet::new();
    let mut seen = std::collections::HashSet::new();
    let body = text.strip_suffix("# EOF\n").unwrap();
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split_once(' ').unwrap();
            assert!(families.insert(family.0), "family {} twice", family.0);
            continue;
        }
        if line.starts_with("# HELP ") || line.starts_with("# UNIT ") {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(seen.insert(series.to_owned()), "{series} twice");
        let value: f64 = value.parse().unwrap();
        assert!(value.is_finite(), "{line}");
        let suffix = series
            .split('{')
            .next()
            .unwrap()
            .strip_prefix(family.0)
            .unwrap();
        match (family.1, suffix) {
            ("counter", "_total") | ("gauge", "") | ("histogram", "_sum") => {}
            ("histogram", "_count") => buckets.clear(),
            ("histogram", "_bucket") => {
                let le = series
                    .split("le=\"")
                    .nth(1)
                    .unwrap()
                    .split('"')
                    .next()
                    .unwrap();
                let le = if le == "+Inf" {
                    f64::INFINITY
                } else {
                    le.parse().unwrap()
                };
                let count = line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
                if let Some((last_le, last)) = buckets.last() {
                    assert!(le > *last_le && count >= *last, "{line}");
                }
                buckets.push((le, count));
            }
            other => panic!("{other:?} in {line}"),
        }
    }
    for (arm, want) in [("stable", 80), ("canary", 20)] {
        assert_eq!(serving.requests(arm, "2xx"), want);
        let of = |what: &str| {
            serving.metric(&format!(
                "canary_proxy_request_duration_seconds_{what}arm=\"{arm}\"}}"
            ))
        };
        assert_eq!(of("count{"), want);
        assert_eq!(of("bucket{le=\"+Inf\","), want);
    }
}
