//! A small HTTP service with metrics, as an application would have them: the thing that is released in the demo.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::story::{Behaviour, STABLE, Story};

/// Bounds of the latency histogram, in seconds.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Which version a service is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Version {
    /// The old one.
    Stable,
    /// The new one, and how it behaves.
    Canary(Story, f64),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: u16,
}

/// One running version.
#[derive(Debug)]
pub(crate) struct Service {
    address: SocketAddr,
}

struct Inner {
    version: Version,
    first_request: Mutex<Option<Instant>>,
    random: Mutex<fastrand::Rng>,
    registry: Registry,
    requests: Family<Code, Counter>,
    duration: Histogram,
    crashed: CancellationToken,
}

impl Service {
    /// Starts it on a free port of the loopback interface; it ends with `stop`.
    pub(crate) async fn start(version: Version, seed: u64, stop: CancellationToken) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let requests = Family::<Code, Counter>::default();
        let duration = Histogram::new(BUCKETS);
        let mut registry = Registry::default();
        registry.register("http_requests", "Requests by status code", requests.clone());
        registry.register("http_request_duration_seconds", "Time of an answer", duration.clone());
        // Both codes are there from the start, at 0, as well-kept applications have them.
        for code in [200, 500] {
            drop(requests.get_or_create(&Code { code }));
        }
        let inner = Arc::new(Inner {
            version,
            first_request: Mutex::new(None),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            registry,
            requests,
            duration,
            crashed: stop.child_token(),
        });
        tokio::spawn(accept(listener, inner));
        Ok(Self { address })
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn accept(listener: TcpListener, inner: Arc<Inner>) {
    loop {
        let stream = tokio::select! {
            () = inner.crashed.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!(%error, "accept");
                    continue;
                }
            },
        };
        let _no_delay = stream.set_nodelay(true);
        let inner = Arc::clone(&inner);
        tokio::spawn(async move {
            let served = Arc::clone(&inner);
            let handle = service_fn(move |request| answer(Arc::clone(&served), request));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), handle);
            tokio::select! {
                () = inner.crashed.cancelled() => {}
                result = connection => if let Err(error) = result { tracing::debug!(%error, "connection") },
            }
        });
    }
}

async fn answer<B>(inner: Arc<Inner>, request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/metrics" {
        return Ok(inner.metrics());
    }
    let started = Instant::now();
    let behaviour = inner.behaviour(started);
    if behaviour.gone {
        inner.crashed.cancel();
    }
    let (bad, pause) = inner.draw(behaviour);
    tokio::time::sleep(pause).await;
    let status = if bad { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    inner.requests.get_or_create(&Code { code: status.as_u16() }).inc();
    inner.duration.observe(started.elapsed().as_secs_f64());
    Ok(respond(status, if bad { "error\n" } else { "ok\n" }))
}

fn respond(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *response.status_mut() = status;
    response
}

impl Inner {
    fn behaviour(&self, now: Instant) -> Behaviour {
        match self.version {
            Version::Stable => STABLE,
            Version::Canary(story, pace) => {
                let mut first = self.first_request.lock().unwrap_or_else(PoisonError::into_inner);
                story.canary(now.duration_since(*first.get_or_insert(now)), pace)
            }
        }
    }

    /// Whether this request fails, and how long its answer takes.
    fn draw(&self, behaviour: Behaviour) -> (bool, Duration) {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let bad = random.f64() < behaviour.error_rate;
        let pause = if random.f64() < behaviour.tail_share {
            behaviour.tail
        } else {
            behaviour.median.mul_f64(0.5 + random.f64())
        };
        (bad, pause)
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => {
                let mut response = respond(StatusCode::OK, &text);
                let kind = hyper::header::HeaderValue::from_static(
                    "application/openmetrics-text; version=1.0.0; charset=utf-8",
                );
                response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
                response
            }
            Err(error) => respond(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }
}
