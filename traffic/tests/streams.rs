//! Bodies and upgraded connections flow through in both directions, in the reader's rhythm.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{SinkExt, StreamExt, channel::mpsc};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use support::{Backend, Body, answer, bytes_server, http1, http2, read_until, serve, text};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// A body that somebody else feeds; it ends with the sender.
fn fed() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = mpsc::channel(0);
    let frames = receiver.map(|chunk| Ok::<_, Infallible>(Frame::data(chunk)));
    (
        sender,
        StreamBody::new(frames)
            .map_err(|never| match never {})
            .boxed(),
    )
}

fn chunk(frame: Option<Result<Frame<Bytes>, hyper::Error>>) -> Bytes {
    frame.unwrap().unwrap().into_data().unwrap()
}

#[tokio::test]
async fn an_answers_first_chunk_arrives_before_its_last_is_made() {
    for client in [http1(), http2()] {
        let (mut feed, body) = fed();
        let body = Arc::new(Mutex::new(Some(body)));
        let backend = Backend::start(move |_| {
            let body = body.clone();
            async move { Response::new(body.lock().await.take().unwrap()) }
        })
        .await;
        let serving = serve(backend.uri(), backend.uri(), 0, |_| {}).await;
        let response = tokio::spawn({
            let request = serving.get("/events");
            async move { client.request(request).await.unwrap().into_body() }
        });
        feed.send(Bytes::from_static(b"one")).await.unwrap();
        let mut body = response.await.unwrap();
        assert_eq!(chunk(body.frame().await), "one");
        // Only now is there a second chunk.
        for word in ["two", "three"] {
            feed.send(Bytes::from_static(word.as_bytes()))
                .await
                .unwrap();
            assert_eq!(chunk(body.frame().await), word);
        }
        assert_eq!(serving.handle.state().in_flight.stable, 1);
        drop(feed);
        let rest = body.collect().await.unwrap().to_bytes();
        assert!(rest.is_empty());
        assert_eq!(serving.handle.state().in_flight.stable, 0);
    }
}

#[tokio::test]
async fn an_uploads_first_chunk_arrives_before_its_last_is_sent() {
    for client in [http1(), http2()] {
        let (seen, mut arrived) = mpsc::unbounded::<Bytes>();
        let backend = Backend::start(move |request: Request<Incoming>| {
            let seen = seen.clone();
            async move {
                let mut body = request.into_body();
                while let Some(frame) = body.frame().await {
                    seen.unbounded_send(frame.unwrap().into_data().unwrap())
                        .unwrap();
                }
                Response::new(text("done"))
            }
        })
        .await;
        let serving = serve(backend.uri(), backend.uri(), 0, |_| {}).await;
        let (mut feed, body) = fed();
        let mut request = serving.request("/upload", body);
        *request.method_mut() = Method::POST;
        let response = tokio::spawn(async move { answer(&client, request).await });
        for word in ["one", "two", "three"] {
            feed.send(Bytes::from_static(word.as_bytes()))
                .await
                .unwrap();
            assert_eq!(arrived.next().await.unwrap(), word);
        }
        drop(feed);
        assert_eq!(response.await.unwrap(), (200, "done".into()));
    }
}

const MIB: u64 = 1024 * 1024;

#[tokio::test]
async fn a_large_answer_waits_for_its_reader() {
    const SIZE: u64 = 256 * MIB;
    let made = Arc::new(AtomicU64::new(0));
    let counter = made.clone();
    let backend = Backend::start(move |request: Request<Incoming>| {
        let made = counter.clone();
        async move {
            if request.uri().path() == "/small" {
                return Response::new(text("small"));
            }
            let block = Bytes::from(vec![7; 64 * 1024]);
            let blocks = futures::stream::iter(0..SIZE / (64 * 1024)).map(move |_| {
                made.fetch_add(64 * 1024, Ordering::SeqCst);
                Ok::<_, Infallible>(Frame::data(block.clone()))
            });
            Response::new(
                StreamBody::new(blocks)
                    .map_err(|never| match never {})
                    .boxed(),
            )
        }
    })
    .await;
    let serving = serve(backend.uri(), backend.uri(), 0, |_| {}).await;
    let mut body = http1()
        .request(serving.get("/large"))
        .await
        .unwrap()
        .into_body();
    let mut read = chunk(body.frame().await).len() as u64;
    // Other requests pass meanwhile; the large answer stands still, held only by buffers of sockets.
    let client = http1();
    for _ in 0..300 {
        assert_eq!(answer(&client, serving.get("/small")).await.1, "small");
    }
    let ahead = made.load(Ordering::SeqCst);
    assert!(
        ahead < 64 * MIB,
        "{ahead} bytes were taken from the version while nobody read"
    );
    while let Some(frame) = body.frame().await {
        read += frame.unwrap().into_data().unwrap().len() as u64;
    }
    assert_eq!(read, SIZE);
}

#[tokio::test]
async fn a_large_upload_waits_for_its_reader() {
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let gone = Arc::new(Mutex::new(Some(gone)));
    let backend = Backend::start(move |request: Request<Incoming>| {
        let gone = gone.clone();
        async move {
            if request.uri().path() == "/small" {
                return Response::new(text("small"));
            }
            // Does not read before it is told to.
            gone.lock().await.take().unwrap().await.unwrap();
            let mut body = request.into_body();
            let mut size = 0;
            while let Some(frame) = body.frame().await {
                size += frame.unwrap().into_data().unwrap().len();
            }
            Response::new(text(size.to_string()))
        }
    })
    .await;
    let serving = serve(backend.uri(), backend.uri(), 0, |_| {}).await;
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    let block = Bytes::from(vec![7; 64 * 1024]);
    let blocks = futures::stream::iter(0..4096).map(move |_| {
        counter.fetch_add(64 * 1024, Ordering::SeqCst);
        Ok::<_, Infallible>(Frame::data(block.clone()))
    });
    let mut request = serving.request(
        "/large",
        StreamBody::new(blocks)
            .map_err(|never| match never {})
            .boxed(),
    );
    *request.method_mut() = Method::PUT;
    let response = tokio::spawn(async move { answer(&http1(), request).await });
    let client = http1();
    for _ in 0..300 {
        assert_eq!(answer(&client, serving.get("/small")).await.1, "small");
    }
    let ahead = sent.load(Ordering::SeqCst);
    assert!(
        ahead < 64 * MIB,
        "{ahead} bytes were taken from the client while nobody read"
    );
    go.send(()).unwrap();
    assert_eq!(response.await.unwrap(), (200, (256 * MIB).to_string()));
}

#[tokio::test]
async fn a_client_that_asks_before_it_uploads_is_told_to_go_on() {
    let backend = Backend::start(|request: Request<Incoming>| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(text(body))
    })
    .await;
    let serving = serve(backend.uri(), backend.uri(), 0, |_| {}).await;
    let mut stream = TcpStream::connect(serving.addr).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(
        read_until(&mut stream, "\r\n\r\n").await,
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    stream.write_all(b"hello").await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(
        rest.starts_with("HTTP/1.1 200") && rest.ends_with("hello"),
        "{rest}"
    );
}

/// Upgrades to `echo`, and echoes.
async fn echo() -> Backend {
    Backend::start(|mut request: Request<Incoming>| async move {
        assert_eq!(request.headers()["connection"], "upgrade");
        let protocol = request.headers()["upgrade"].clone();
        if protocol != "echo" {
            return Response::builder()
                .status(426)
                .body(support::empty())
                .unwrap();
        }
        tokio::spawn(async move {
            let io = TokioIo::new(hyper::upgrade::on(&mut request).await.unwrap());
            let (mut reader, mut writer) = tokio::io::split(io);
            tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        });
        Response::builder()
            .status(101)
            .header("connection", "Upgrade")
            .header("upgrade", protocol)
            .header("sec-websocket-accept", "x")
            .body(support::empty())
            .unwrap()
    })
    .await
}

const UPGRADE: &str =
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\n\r\n";

#[tokio::test]
async fn an_upgrade_becomes_a_tunnel() {
    let backend = echo().await;
    let serving = serve(backend.uri(), backend.uri(), 100, |_| {}).await;
    let mut stream = TcpStream::connect(serving.addr).await.unwrap();
    // Bytes right behind the header belong to the tunnel already.
    stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    let head = read_until(&mut stream, "\r\n\r\n").await.to_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    for line in [
        "connection: upgrade\r\n",
        "upgrade: echo\r\n",
        "sec-websocket-accept: x\r\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
    for word in ["ping\n", "pong\n"] {
        stream.write_all(word.as_bytes()).await.unwrap();
        assert_eq!(read_until(&mut stream, "\n").await, word);
    }
    assert_eq!(serving.metric("canary_proxy_tunnels{arm=\"canary\"}"), 1);
    assert_eq!(serving.requests("canary", "1xx"), 1);
    // The weight does not touch what is open.
    serving.handle.set_weight(support::weight(0), "test");
    stream.write_all(b"still\n").await.unwrap();
    assert_eq!(read_until(&mut stream, "\n").await, "still\n");
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn an_upgrade_that_is_declined_is_an_ordinary_answer() {
    let backend = echo().await;
    let serving = serve(backend.uri(), backend.uri(), 0, |_| {}).await;
    let got = support::raw(
        serving.addr,
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: other\r\n\r\n",
    )
    .await;
    assert!(got.starts_with("HTTP/1.1 426"), "{got}");
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_the_versions_error() {
    let uri = bytes_server(|_, mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let answer =
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
    })
    .await;
    let serving = serve(uri.clone(), uri, 0, |_| {}).await;
    assert_eq!(answer(&http1(), serving.get("/")).await.0, 502);
    assert_eq!(serving.requests("stable", "5xx"), 1);
}
