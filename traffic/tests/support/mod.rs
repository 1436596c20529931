//! Real servers and clients on loopback for the splitter's tests.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use canary_traffic::Weight;
use canary_traffic::splitter::{Splitter, SplitterHandle, SplitterOptions, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) type Body = BoxBody<Bytes, hyper::Error>;

pub(crate) fn text(text: impl Into<Bytes>) -> Body {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed()
}

pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

pub(crate) fn weight(percent: u8) -> Weight {
    Weight::try_from(percent).unwrap()
}

/// A server that answers with a function, and counts.
pub(crate) struct Backend {
    pub(crate) addr: SocketAddr,
    pub(crate) requests: Arc<AtomicUsize>,
    pub(crate) connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Backend {
    pub(crate) async fn start<F, Fut>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let connections = Arc::new(AtomicUsize::new(0));
        let answer = Arc::new(answer);
        let (counted, opened) = (requests.clone(), connections.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                opened.fetch_add(1, Ordering::SeqCst);
                let (answer, counted) = (answer.clone(), counted.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        counted.fetch_add(1, Ordering::SeqCst);
                        let answer = answer(request);
                        async move { Ok::<_, Infallible>(answer.await) }
                    });
                    // A client that goes away is none of this server's business.
                    drop(
                        auto::Builder::new(TokioExecutor::new())
                            .serve_connection_with_upgrades(TokioIo::new(stream), service)
                            .await,
                    );
                });
            }
        });
        Self {
            addr,
            requests,
            connections,
            task,
        }
    }

    /// Always answers that text.
    pub(crate) async fn saying(what: &'static str) -> Self {
        Self::start(move |_| async move { Response::new(text(what)) }).await
    }

    pub(crate) fn uri(&self) -> Uri {
        uri(self.addr)
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

pub(crate) fn uri(addr: SocketAddr) -> Uri {
    format!("http://{addr}").parse().unwrap()
}

/// An address that nobody listens on.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

/// A splitter that serves until it is dropped.
pub(crate) struct Serving {
    pub(crate) addr: SocketAddr,
    pub(crate) handle: SplitterHandle,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) async fn serve(
    stable: Uri,
    canary: Uri,
    percent: u8,
    change: impl FnOnce(&mut SplitterOptions),
) -> Serving {
    let mut options = SplitterOptions::new(([127, 0, 0, 1], 0).into(), stable, canary);
    options.weight = weight(percent);
    options.seed = Some(42);
    change(&mut options);
    let splitter = Splitter::bind(options).await.unwrap();
    let (addr, handle) = (splitter.addr(), splitter.handle());
    let stop = CancellationToken::new();
    let task = tokio::spawn(splitter.serve(stop.clone()));
    Serving {
        addr,
        handle,
        stop,
        task,
    }
}

pub(crate) type Pooled = Client<HttpConnector, Body>;

pub(crate) fn http1() -> Pooled {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

pub(crate) fn http2() -> Pooled {
    Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http()
}

impl Serving {
    pub(crate) fn get(&self, path: &str) -> Request<Body> {
        self.request(path, empty())
    }

    pub(crate) fn request(&self, path: &str, body: Body) -> Request<Body> {
        Request::builder()
            .uri(format!("http://{}{path}", self.addr))
            .body(body)
            .unwrap()
    }

    /// The whole number at the end of the metrics line that begins so.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let metrics = self.handle.metrics_text();
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{series} not in\n{metrics}"))
            .parse()
            .unwrap()
    }

    pub(crate) fn requests(&self, arm: &str, code: &str) -> u64 {
        self.metric(&format!(
            "canary_proxy_requests_total{{arm=\"{arm}\",code=\"{code}\"}}"
        ))
    }
}

/// Status and whole body.
pub(crate) async fn answer(client: &Pooled, request: Request<Body>) -> (u16, String) {
    let response = client.request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Sends bytes over a connection of its own and returns all that comes back until it is closed.
pub(crate) async fn raw(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// Reads from the stream until what was read ends so.
pub(crate) async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        let mut byte = [0];
        assert_eq!(
            stream.read(&mut byte).await.unwrap(),
            1,
            "closed after {:?}",
            String::from_utf8_lossy(&read)
        );
        read.push(byte[0]);
    }
    String::from_utf8(read).unwrap()
}

/// A server of bytes: each connection is handed to a function.
pub(crate) async fn bytes_server<F, Fut>(serve: F) -> Uri
where
    F: Fn(usize, TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for n in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(n, stream));
        }
    });
    uri(addr)
}
