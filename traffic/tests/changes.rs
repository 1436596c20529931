//! Weight changes under load, stickiness over HTTP, and the orderly end.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use canary_traffic::splitter::Sticky;
use http_body_util::BodyExt;
use hyper::{Request, Response};
use support::{
    Backend, Body, Pooled, answer, bytes_server, empty, http1, http2, read_until, serve, text,
    weight,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, oneshot};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_while_the_weight_changes() {
    const CLIENTS: usize = 8;
    const EACH: usize = 2_500;
    let stable = Backend::saying("stable").await;
    let canary = Backend::saying("canary").await;
    let serving = serve(stable.uri(), canary.uri(), 0, |_| {}).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (addr, sent) = (serving.addr, sent.clone());
            tokio::spawn(async move {
                let client = if n % 2 == 0 { http1() } else { http2() };
                for _ in 0..EACH {
                    let request = Request::builder()
                        .uri(format!("http://{addr}/"))
                        .body(empty())
                        .unwrap();
                    let (status, body) = answer(&client, request).await;
                    assert_eq!(status, 200, "{body}");
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    // A change about every 100 requests, from one end of the scale to the other.
    let mut changes = 0u32;
    while sent.load(Ordering::Relaxed) < CLIENTS * EACH {
        let now = sent.load(Ordering::Relaxed);
        let percent = u8::try_from(changes * 37 % 101).unwrap();
        serving.handle.set_weight(weight(percent), "test");
        changes += 1;
        while sent.load(Ordering::Relaxed) < (now + 100).min(CLIENTS * EACH) {
            tokio::task::yield_now().await;
        }
    }
    for client in clients {
        client.await.unwrap();
    }
    assert!(changes >= 100, "{changes}");
    assert_eq!(stable.count() + canary.count(), CLIENTS * EACH);
    assert!(stable.count() > 4_000 && canary.count() > 4_000);
    let all = serving.requests("stable", "2xx") + serving.requests("canary", "2xx");
    assert_eq!(all, (CLIENTS * EACH) as u64);
    assert_eq!(serving.handle.state().last_error, None);
}

#[tokio::test]
async fn after_zero_no_request_reaches_the_canary_and_those_in_flight_finish() {
    let stable = Backend::saying("stable").await;
    let (go, gone) = oneshot::channel::<()>();
    let gone = Arc::new(Mutex::new(Some(gone)));
    let canary = Backend::start(move |_| {
        let gone = gone.clone();
        async move {
            gone.lock().await.take().unwrap().await.unwrap();
            Response::new(text("canary"))
        }
    })
    .await;
    let serving = serve(stable.uri(), canary.uri(), 100, |_| {}).await;
    let slow = tokio::spawn({
        let request = serving.get("/slow");
        async move { answer(&http1(), request).await }
    });
    while canary.count() == 0 {
        tokio::task::yield_now().await;
    }
    serving.handle.set_weight(weight(0), "abort");
    let client = http1();
    for _ in 0..500 {
        assert_eq!(answer(&client, serving.get("/")).await.1, "stable");
    }
    assert_eq!(canary.count(), 1);
    assert_eq!(serving.handle.state().in_flight.canary, 1);
    go.send(()).unwrap();
    assert_eq!(slow.await.unwrap(), (200, "canary".into()));
}

async fn with(
    client: &Pooled,
    serving: &support::Serving,
    header: (&str, &str),
) -> (String, Option<String>) {
    let mut request: Request<Body> = serving.get("/");
    let name = hyper::header::HeaderName::from_bytes(header.0.as_bytes()).unwrap();
    request
        .headers_mut()
        .insert(name, header.1.parse().unwrap());
    let response = client.request(request).await.unwrap();
    let cookie = response
        .headers()
        .get("set-cookie")
        .map(|c| c.to_str().unwrap().to_owned());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (String::from_utf8(body.to_vec()).unwrap(), cookie)
}

#[tokio::test]
async fn a_cookie_holds_a_client_until_zero_takes_everybody_away() {
    let stable = Backend::saying("stable").await;
    let canary = Backend::saying("canary").await;
    let serving = serve(stable.uri(), canary.uri(), 30, |o| {
        o.sticky = Sticky::Cookie {
            name: "release".into(),
            max_age: Some(Duration::from_mins(5)),
            attributes: String::new(),
        };
    })
    .await;
    let client = http1();
    let mut users = Vec::new();
    for _ in 0..100 {
        let (version, cookie) = with(&client, &serving, ("x-none", "1")).await;
        let cookie = cookie.unwrap();
        assert!(
            cookie.starts_with("release=") && cookie.ends_with("; Max-Age=300"),
            "{cookie}"
        );
        users.push((version, cookie.split(';').next().unwrap().to_owned()));
    }
    assert_eq!(
        users
            .iter()
            .filter(|(version, _)| version == "canary")
            .count(),
        30
    );
    for (version, cookie) in &users {
        for _ in 0..3 {
            let (again, new) = with(&client, &serving, ("cookie", cookie)).await;
            assert_eq!((&again, new), (version, None));
        }
    }
    serving.handle.set_weight(weight(60), "test");
    let mut on_canary = 0;
    for (version, cookie) in &users {
        let (now, _) = with(&client, &serving, ("cookie", cookie)).await;
        assert!(
            version == "stable" || now == "canary",
            "raising took a client away"
        );
        on_canary += usize::from(now == "canary");
    }
    assert!((45..=75).contains(&on_canary), "{on_canary}");
    serving.handle.set_weight(weight(0), "abort");
    for (_, cookie) in &users {
        assert_eq!(
            with(&client, &serving, ("cookie", cookie)).await.0,
            "stable"
        );
    }
}

#[tokio::test]
async fn a_header_decides_who_and_zero_beats_it() {
    let stable = Backend::saying("stable").await;
    let canary = Backend::saying("canary").await;
    let serving = serve(stable.uri(), canary.uri(), 50, |o| {
        o.sticky = Sticky::Header {
            name: "X-User".into(),
            salt: String::new(),
        };
    })
    .await;
    let client = http1();
    let mut on_canary = Vec::new();
    for n in 0..200 {
        let user = format!("user-{n}");
        let (version, cookie) = with(&client, &serving, ("x-user", &user)).await;
        assert_eq!(cookie, None);
        assert_eq!(with(&client, &serving, ("x-user", &user)).await.0, version);
        if version == "canary" {
            on_canary.push(user);
        }
    }
    assert!((65..=135).contains(&on_canary.len()), "{}", on_canary.len()); // five standard deviations of 7
    serving.handle.set_weight(weight(0), "abort");
    for user in on_canary {
        assert_eq!(with(&client, &serving, ("x-user", &user)).await.0, "stable");
    }
}

#[tokio::test]
async fn the_override_header_over_http() {
    let stable = Backend::saying("stable").await;
    let canary = Backend::saying("canary").await;
    let client = http1();
    for (percent, at_zero, value, want) in [
        (1, false, "always", "canary"),
        (100, false, "never", "stable"),
        (0, false, "always", "stable"),
        (0, true, "always", "canary"),
    ] {
        let serving = serve(stable.uri(), canary.uri(), percent, |o| {
            o.override_at_zero = at_zero;
        })
        .await;
        for _ in 0..20 {
            assert_eq!(
                with(&client, &serving, ("X-Canary", value)).await.0,
                want,
                "{percent} {value}"
            );
        }
        // Chosen by the client, so not counted as the weight's doing.
        let state = serving.handle.state();
        let by_weight = if percent == 0 && !at_zero { 20 } else { 0 };
        assert_eq!(state.requests.stable + state.requests.canary, by_weight);
    }
}

#[tokio::test]
async fn the_stop_lets_requests_finish_and_takes_no_more() {
    let (go, gone) = oneshot::channel::<()>();
    let gone = Arc::new(Mutex::new(Some(gone)));
    let backend = Backend::start(move |_| {
        let gone = gone.clone();
        async move {
            gone.lock().await.take().unwrap().await.unwrap();
            Response::new(text("finished"))
        }
    })
    .await;
    let mut serving = serve(backend.uri(), backend.uri(), 0, |_| {}).await;
    let slow = tokio::spawn({
        let request = serving.get("/slow");
        async move { answer(&http1(), request).await }
    });
    // One that is connected and idle must not hold up the end.
    let idle = TcpStream::connect(serving.addr).await.unwrap();
    while backend.count() == 0 {
        tokio::task::yield_now().await;
    }
    serving.stop.cancel();
    while TcpStream::connect(serving.addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!serving.task.is_finished());
    go.send(()).unwrap();
    assert_eq!(slow.await.unwrap(), (200, "finished".into()));
    (&mut serving.task).await.unwrap();
    drop(idle);
}

#[tokio::test]
async fn what_does_not_finish_is_cut_after_the_drain() {
    let uri = bytes_server(|_, mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        stream
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
            )
            .await
            .unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
    })
    .await;
    let mut serving = serve(uri.clone(), uri, 0, |o| {
        o.drain_timeout = Duration::from_millis(50);
    })
    .await;
    let mut tunnel = TcpStream::connect(serving.addr).await.unwrap();
    let upgrade = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    tunnel.write_all(upgrade).await.unwrap();
    read_until(&mut tunnel, "\r\n\r\n").await;
    serving.stop.cancel();
    (&mut serving.task).await.unwrap();
    let mut rest = Vec::new();
    drop(tunnel.read_to_end(&mut rest).await);
    assert!(rest.is_empty());
}
