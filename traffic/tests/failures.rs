//! Versions and clients that misbehave: what the other side sees, and what is counted.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::{Method, Response};
use support::{
    Backend, Serving, answer, bytes_server, empty, http1, nobody, read_until, serve, text, uri,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Waits until the metric has that value; the test's own time limit is the only other end.
async fn until(serving: &Serving, series: &str, want: u64) {
    let reached = async {
        while serving.metric(series) != want {
            tokio::task::yield_now().await;
        }
    };
    let limit = Duration::from_secs(20);
    assert!(
        tokio::time::timeout(limit, reached).await.is_ok(),
        "{series} is {}",
        serving.metric(series)
    );
}

#[tokio::test]
async fn a_version_that_is_down_is_a_502_of_its_arm() {
    let stable = Backend::saying("stable").await;
    let serving = serve(stable.uri(), uri(nobody().await), 50, |_| {}).await;
    let client = http1();
    let mut counts = [0; 2];
    for _ in 0..200 {
        match answer(&client, serving.get("/")).await {
            (200, body) if body == "stable" => counts[0] += 1,
            (502, body) if body.starts_with("Bad Gateway") && body.len() < 100 => counts[1] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(counts, [100, 100]);
    assert_eq!(serving.requests("canary", "5xx"), 100);
    assert_eq!(serving.requests("stable", "2xx"), 100);
    let error = serving.handle.state().last_error.unwrap();
    assert_eq!(error.arm, canary_traffic::splitter::Arm::Canary);
    assert!(
        error.message.contains("onnection refused"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn a_version_that_does_not_answer_is_a_504() {
    let uri = bytes_server(|_, mut stream| async move {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
    })
    .await;
    let serving = serve(uri.clone(), uri, 100, |o| {
        o.response_timeout = Duration::from_millis(50);
    })
    .await;
    assert_eq!(answer(&http1(), serving.get("/")).await.0, 504);
    assert_eq!(serving.requests("canary", "5xx"), 1);
    assert!(
        serving
            .handle
            .state()
            .last_error
            .unwrap()
            .message
            .contains("no answer within 50ms")
    );
    // An upload that has ended does not stop that clock.
    let mut request = serving.request("/", text("hello"));
    *request.method_mut() = Method::POST;
    assert_eq!(answer(&http1(), request).await.0, 504);
}

#[tokio::test]
async fn a_client_that_stops_uploading_is_a_408_and_no_error_of_the_version() {
    let backend = Backend::start(
        |request: hyper::Request<hyper::body::Incoming>| async move {
            drop(request.into_body().collect().await);
            Response::new(empty())
        },
    )
    .await;
    let serving = serve(backend.uri(), backend.uri(), 0, |o| {
        o.response_timeout = Duration::from_millis(50);
    })
    .await;
    let mut stream = TcpStream::connect(serving.addr).await.unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhel")
        .await
        .unwrap();
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 408"), "{head}");
    assert_eq!(serving.requests("stable", "4xx"), 1);
    assert_eq!(serving.requests("stable", "5xx"), 0);
    assert_eq!(serving.handle.state().last_error, None);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_of_the_version() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let uri = bytes_server(move |_, mut stream| async move {
            read_until(&mut stream, "\r\n\r\n").await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let serving = serve(uri.clone(), uri, 100, |_| {}).await;
        let response = http1().request(serving.get("/")).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(
            response.into_body().collect().await.is_err(),
            "the client must notice"
        );
        assert_eq!(serving.requests("canary", "5xx"), 1, "{answer}");
        assert_eq!(serving.requests("canary", "2xx"), 0);
        assert_eq!(serving.handle.state().in_flight.canary, 0);
    }
}

#[tokio::test]
async fn nonsense_from_a_version_is_a_502() {
    for nonsense in [
        "SSH-2.0-OpenSSH_9\r\n",
        "",
        "HTTP/1.1 99 Low\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ] {
        let uri = bytes_server(move |_, mut stream| async move {
            read_until(&mut stream, "\r\n\r\n").await;
            stream.write_all(nonsense.as_bytes()).await.unwrap();
        })
        .await;
        let serving = serve(uri.clone(), uri, 0, |_| {}).await;
        assert_eq!(
            answer(&http1(), serving.get("/")).await.0,
            502,
            "{nonsense:?}"
        );
        assert_eq!(serving.requests("stable", "5xx"), 1);
    }
    // A header section without end is not collected without end.
    let uri = bytes_server(|_, mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while stream
            .write_all(b"X-Filler: 0123456789012345678901234567890123456789\r\n")
            .await
            .is_ok()
        {}
    })
    .await;
    let serving = serve(uri.clone(), uri, 0, |_| {}).await;
    assert_eq!(answer(&http1(), serving.get("/")).await.0, 502);
}

/// Answers the first request of its first connection and keeps it; the second one kills it, after saying that. Later
/// connections answer everything.
async fn dies_on_the_second(last_words: &'static str) -> hyper::Uri {
    bytes_server(move |n, mut stream| async move {
        let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        for request in 0.. {
            let mut byte = [0];
            if stream.peek(&mut byte).await.unwrap() == 0 {
                return;
            }
            read_until(&mut stream, "\r\n\r\n").await;
            if n == 0 && request == 1 {
                stream.write_all(last_words.as_bytes()).await.unwrap();
                return;
            }
            stream.write_all(ok).await.unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn only_a_request_that_may_be_repeated_and_got_no_byte_is_repeated() {
    for (method, last_words, status, retries) in [
        (Method::GET, "", 200, 1),
        (Method::DELETE, "", 200, 1),
        (Method::POST, "", 502, 0),
        (Method::PATCH, "", 502, 0),
        (Method::GET, "HTTP/1.1 2", 502, 0),
    ] {
        let uri = dies_on_the_second(last_words).await;
        let serving = serve(uri.clone(), uri, 0, |_| {}).await;
        let client = http1();
        assert_eq!(answer(&client, serving.get("/")).await.0, 200);
        let mut request = serving.get("/");
        *request.method_mut() = method.clone();
        let (got, _) = answer(&client, request).await;
        assert_eq!(got, status, "{method} {last_words:?}");
        assert_eq!(
            serving.metric("canary_proxy_retries_total{arm=\"stable\"}"),
            retries,
            "{method}"
        );
        // Whatever happened, the next one is served.
        assert_eq!(answer(&client, serving.get("/")).await.0, 200);
    }
}

#[tokio::test]
async fn a_fresh_connection_that_dies_is_not_tried_again() {
    let connections = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = connections.clone();
    let uri = bytes_server(move |_, mut stream| {
        counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move {
            read_until(&mut stream, "\r\n\r\n").await;
        }
    })
    .await;
    let serving = serve(uri.clone(), uri, 0, |_| {}).await;
    assert_eq!(answer(&http1(), serving.get("/")).await.0, 502);
    assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn connections_to_a_version_are_used_again() {
    let backend = Backend::saying("x").await;
    let serving = serve(backend.uri(), backend.uri(), 50, |_| {}).await;
    let client = http1();
    for _ in 0..200 {
        assert_eq!(answer(&client, serving.get("/")).await.0, 200);
    }
    // One per arm; a few more if a connection was not ready yet when its successor came.
    let connections = backend
        .connections
        .load(std::sync::atomic::Ordering::SeqCst);
    assert!(connections <= 8, "{connections}");
}

#[tokio::test]
async fn a_client_that_leaves_early_is_counted_as_such() {
    // Before the answer.
    let uri = bytes_server(|_, mut stream| async move {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
    })
    .await;
    let serving = serve(uri.clone(), uri, 0, |_| {}).await;
    let mut stream = TcpStream::connect(serving.addr).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    until(
        &serving,
        "canary_proxy_requests_in_flight{arm=\"stable\"}",
        1,
    )
    .await;
    drop(stream);
    until(
        &serving,
        "canary_proxy_requests_in_flight{arm=\"stable\"}",
        0,
    )
    .await;
    assert_eq!(serving.requests("stable", "4xx"), 1);

    // In the middle of it: the version did its part.
    let uri = bytes_server(|_, mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            .await
            .unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
    })
    .await;
    let serving = serve(uri.clone(), uri, 0, |_| {}).await;
    let mut stream = TcpStream::connect(serving.addr).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    read_until(&mut stream, "half").await;
    drop(stream);
    until(
        &serving,
        "canary_proxy_requests_in_flight{arm=\"stable\"}",
        0,
    )
    .await;
    assert_eq!(serving.requests("stable", "2xx"), 1);
    assert_eq!(serving.requests("stable", "5xx"), 0);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_disconnected() {
    let backend = Backend::saying("x").await;
    let serving = serve(backend.uri(), backend.uri(), 0, |o| {
        o.client_header_timeout = Duration::from_millis(50);
    })
    .await;
    for start in [
        "",
        "P",
        "PRI * HTTP",
        "GET / HTT",
        "GET / HTTP/1.1\r\nHost: a\r\n",
    ] {
        let mut stream = TcpStream::connect(serving.addr).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        let limit = Duration::from_secs(10);
        let closed = tokio::time::timeout(limit, stream.read_to_end(&mut all)).await;
        assert!(closed.is_ok(), "{start:?} held a connection");
    }
}
