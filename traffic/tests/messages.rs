//! What the proxy does to messages: headers, targets, framing.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::fmt::Write as _;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response};
use support::{Backend, answer, empty, http1, http2, raw, serve, text};

/// Answers with the request as it arrived: one line for the target, one for each header, then the body.
async fn mirror() -> Backend {
    Backend::start(|request: Request<hyper::body::Incoming>| async move {
        let (head, body) = request.into_parts();
        let mut seen = format!("{} {} {:?}\n", head.method, head.uri, head.version);
        for (name, value) in &head.headers {
            writeln!(seen, "{name}: {}", value.to_str().unwrap()).unwrap();
        }
        let body = body.collect().await.unwrap().to_bytes();
        seen.push_str(&String::from_utf8_lossy(&body));
        Response::new(text(seen))
    })
    .await
}

fn lines(answer: &str) -> Vec<&str> {
    answer.split_once("\r\n\r\n").unwrap().1.lines().collect()
}

#[tokio::test]
async fn a_request_arrives_as_a_gateway_passes_it_on() {
    let backend = mirror().await;
    let serving = serve(backend.uri(), backend.uri(), 0, |_| {}).await;
    let request = "GET /a/b?c=%20d HTTP/1.1\r\nHost: shop.example\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\
                   Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nX-Forwarded-For: 10.1.2.3\r\n\
                   Via: 1.1 edge\r\nX-Kept: yes\r\nX-Canary: never\r\n\r\n";
    let got = raw(serving.addr, request).await;
    let seen = lines(&got);
    assert_eq!(seen[0], "GET /a/b?c=%20d HTTP/1.1");
    let mut rest: Vec<_> = seen[1..].to_vec();
    rest.sort_unstable();
    let via = rest
        .iter()
        .position(|line| line.starts_with("via: "))
        .unwrap();
    assert!(
        rest.remove(via).starts_with("via: 1.1 edge, 1.1 canary-"),
        "{got}"
    );
    assert_eq!(
        rest,
        [
            "host: shop.example",
            "x-canary: never",
            "x-forwarded-for: 10.1.2.3, 127.0.0.1",
            "x-forwarded-host: shop.example",
            "x-forwarded-proto: http",
            "x-kept: yes",
        ]
    );
}

#[tokio::test]
async fn an_answer_loses_what_was_for_one_connection_only() {
    let backend = Backend::start(|_| async {
        let mut answer = Response::new(text("x"));
        for (name, value) in [
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("x-kept", "2"),
        ] {
            answer
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        answer
    })
    .await;
    let serving = serve(backend.uri(), backend.uri(), 0, |_| {}).await;
    for client in [http1(), http2()] {
        let answer = client.request(serving.get("/")).await.unwrap();
        assert_eq!(answer.headers()["x-kept"], "2");
        for gone in ["connection", "x-hop", "keep-alive", "transfer-encoding"] {
            assert!(!answer.headers().contains_key(gone), "{gone}");
        }
    }
}

#[tokio::test]
async fn targets() {
    let backend = mirror().await;
    let serving = serve(backend.uri(), backend.uri(), 0, |_| {}).await;
    for (target, host, line, want_host) in [
        (
            "http://shop.example:81/x?y",
            "other",
            "GET /x?y HTTP/1.1",
            "host: shop.example:81",
        ),
        (
            "http://u:secret@shop.example/",
            "other",
            "GET / HTTP/1.1",
            "host: shop.example",
        ),
        (
            "http://shop.example",
            "other",
            "GET / HTTP/1.1",
            "host: shop.example",
        ),
        ("/x//y/../z", "a", "GET /x//y/../z HTTP/1.1", "host: a"),
        ("/?", "a", "GET /? HTTP/1.1", "host: a"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let got = raw(serving.addr, &request).await;
        assert_eq!(lines(&got)[0], line, "{target}");
        assert!(got.contains(&format!("\n{want_host}\n")), "{target}\n{got}");
        assert!(!got.contains("secret"), "{got}");
    }
    let request = "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(
        lines(&raw(serving.addr, request).await)[0],
        "OPTIONS * HTTP/1.1"
    );
    // HTTP/1.0 needs no Host; the version gets its own address.
    let got = raw(serving.addr, "GET /old HTTP/1.0\r\n\r\n").await;
    assert_eq!(lines(&got)[0], "GET /old HTTP/1.1");
    assert!(
        got.contains(&format!("\nhost: {}\n", backend.addr)),
        "{got}"
    );
}

#[tokio::test]
async fn what_is_refused_reaches_no_version() {
    let backend = mirror().await;
    let serving = serve(backend.uri(), backend.uri(), 50, |o| {
        o.max_header_bytes = 8192;
    })
    .await;
    let long = "x".repeat(9000);
    for (request, status) in [
        (
            "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nConnection: close\r\n\r\n".to_owned(),
            405,
        ),
        (
            "GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
            400,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n".to_owned(),
            400,
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"),
            431,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n".to_owned(),
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"
                .to_owned(),
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n".to_owned(),
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n".to_owned(),
            400,
        ),
    ] {
        let got = raw(serving.addr, &request).await;
        assert!(
            got.starts_with(&format!("HTTP/1.1 {status}")),
            "{request}\n{got}"
        );
    }
    assert_eq!(backend.count(), 0);
    let state = serving.handle.state();
    assert_eq!((state.requests.stable, state.requests.canary), (0, 0));
}

#[tokio::test]
async fn a_body_framed_twice_is_framed_once_behind_the_proxy() {
    // The classic of request smuggling: the proxy must not let the two framings of one message through.
    let backend = mirror().await;
    let serving = serve(backend.uri(), backend.uri(), 0, |_| {}).await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
                   0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let got = raw(serving.addr, request).await;
    // Chunked wins (RFC 9112 section 6.3), and the length that contradicts it is gone.
    assert!(got.starts_with("HTTP/1.1 200"), "{got}");
    assert!(!got.contains("content-length: 60"), "{got}");
    assert_eq!(backend.count(), 1);
    assert!(!got.contains("smuggled"), "{got}");
}

#[tokio::test]
async fn head_keeps_the_length_and_has_no_body() {
    let backend = Backend::saying("twelve bytes").await;
    let serving = serve(backend.uri(), backend.uri(), 0, |_| {}).await;
    let got = raw(
        serving.addr,
        "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(got.starts_with("HTTP/1.1 200"), "{got}");
    assert!(
        got.to_lowercase().contains("content-length: 12\r\n"),
        "{got}"
    );
    assert!(got.ends_with("\r\n\r\n"), "{got}");
    let mut request = serving.get("/");
    *request.method_mut() = Method::HEAD;
    let response = http2().request(request).await.unwrap();
    assert_eq!(response.headers()["content-length"], "12");
}

#[tokio::test]
async fn a_body_keeps_its_framing_and_its_bytes() {
    let backend = mirror().await;
    let serving = serve(backend.uri(), backend.uri(), 0, |_| {}).await;
    let sized = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    let got = raw(serving.addr, sized).await;
    assert!(
        got.contains("\ncontent-length: 5\n") && got.ends_with("\nhello"),
        "{got}"
    );
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
                   3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
    let got = raw(serving.addr, chunked).await;
    assert!(
        got.contains("\ntransfer-encoding: chunked\n") && got.ends_with("\nhello"),
        "{got}"
    );
    let (status, got) = answer(&http2(), {
        let mut request = serving.request("/h2", text("hello"));
        *request.method_mut() = Method::POST;
        request
            .headers_mut()
            .append("cookie", HeaderValue::from_static("a=1"));
        request
            .headers_mut()
            .append("cookie", HeaderValue::from_static("b=2"));
        request
    })
    .await;
    assert_eq!(status, 200);
    assert!(
        got.contains("\ncontent-length: 5\n") && got.ends_with("\nhello"),
        "{got}"
    );
    assert!(got.contains("\ncookie: a=1; b=2\n"), "{got}");
    assert!(
        got.contains(&format!("\nhost: {}\n", serving.addr)),
        "{got}"
    );
}

#[tokio::test]
async fn several_cookies_of_an_answer_stay_several() {
    let backend = Backend::start(|_| async {
        let mut answer = Response::new(empty());
        answer
            .headers_mut()
            .append("set-cookie", HeaderValue::from_static("a=1"));
        answer
            .headers_mut()
            .append("set-cookie", HeaderValue::from_static("b=2"));
        answer
    })
    .await;
    let serving = serve(backend.uri(), backend.uri(), 0, |o| {
        o.sticky = canary_traffic::splitter::Sticky::Cookie {
            name: "canary".into(),
            max_age: None,
            attributes: String::new(),
        };
    })
    .await;
    let answer = http1().request(serving.get("/")).await.unwrap();
    let cookies: Vec<_> = answer.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies.len(), 3, "{cookies:?}");
}

#[tokio::test]
async fn a_proxy_that_points_at_itself_notices() {
    let addr = support::nobody().await;
    let serving = serve(support::uri(addr), support::uri(addr), 0, |o| {
        o.listen = addr;
    })
    .await;
    let (status, text) = answer(&http1(), serving.get("/")).await;
    assert_eq!(status, 508, "{text}");
    // Two splitters in a row are no loop.
    let backend = Backend::saying("end").await;
    let second = serve(backend.uri(), backend.uri(), 0, |_| {}).await;
    let first = serve(
        support::uri(second.addr),
        support::uri(second.addr),
        0,
        |_| {},
    )
    .await;
    assert_eq!(answer(&http1(), first.get("/")).await, (200, "end".into()));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let backend = mirror().await;
    let serving = serve(backend.uri(), backend.uri(), 0, |_| {}).await;
    let mut requests = String::new();
    for n in 0..5 {
        let close = if n == 4 { "Connection: close\r\n" } else { "" };
        write!(requests, "GET /{n} HTTP/1.1\r\nHost: a\r\n{close}\r\n").unwrap();
    }
    let got = raw(serving.addr, &requests).await;
    let order: Vec<_> = got
        .lines()
        .filter(|line| line.starts_with("GET /"))
        .collect();
    assert_eq!(
        order,
        (0..5)
            .map(|n| format!("GET /{n} HTTP/1.1"))
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn grpc_goes_by_http2_with_its_trailers() {
    // Answers only over HTTP/2, with what it saw in the trailers.
    let backend = Backend::start(|request: Request<hyper::body::Incoming>| async move {
        let version = format!("{:?}", request.version());
        let te = request.headers().get("te").cloned().unwrap();
        let collected = request.into_body().collect().await.unwrap();
        let sent = collected.trailers().unwrap()["x-sum"].clone();
        let mut trailers = hyper::HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        trailers.insert("x-version", HeaderValue::try_from(version).unwrap());
        trailers.insert("x-te", te);
        trailers.insert("x-sum", sent);
        let body = text(collected.to_bytes()).with_trailers(std::future::ready(Some(Ok(trailers))));
        Response::new(body.boxed())
    })
    .await;
    let serving = serve(backend.uri(), backend.uri(), 0, |_| {}).await;
    let mut sums = hyper::HeaderMap::new();
    sums.insert("x-sum", HeaderValue::from_static("42"));
    let body = text("ping")
        .with_trailers(std::future::ready(Some(Ok(sums))))
        .boxed();
    let mut request = serving.request("/pkg.Service/Call", body);
    *request.method_mut() = Method::POST;
    request.headers_mut().insert(
        "content-type",
        HeaderValue::from_static("application/grpc+proto"),
    );
    request
        .headers_mut()
        .insert("te", HeaderValue::from_static("trailers"));
    let answer = http2()
        .request(request)
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap();
    let trailers = answer.trailers().unwrap().clone();
    assert_eq!(answer.to_bytes(), Bytes::from_static(b"ping"));
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers["x-version"], "HTTP/2.0");
    assert_eq!(trailers["x-te"], "trailers");
    assert_eq!(trailers["x-sum"], "42");
}

#[tokio::test]
async fn h2c_versions_get_http2_from_http1_clients() {
    let backend = mirror().await;
    let h2c = format!("h2c://{}", backend.addr).parse().unwrap();
    let serving = serve(backend.uri(), h2c, 100, |_| {}).await;
    let got = raw(
        serving.addr,
        "GET /x?y HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n",
    )
    .await;
    let seen = lines(&got);
    assert_eq!(seen[0], "GET http://shop.example/x?y HTTP/2.0", "{got}");
    // Many requests share one connection.
    let client = http1();
    for _ in 0..20 {
        assert_eq!(answer(&client, serving.get("/")).await.0, 200);
    }
    assert_eq!(
        backend
            .connections
            .load(std::sync::atomic::Ordering::SeqCst),
        1
    );
}
