//! A small HTTP service: the thing that is released in the demo.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::story::{Behaviour, STABLE, Story};

/// Which version a service is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Version {
    /// The old one.
    Stable,
    /// The new one: its story, and how many times faster than usual it is told.
    Canary(Story, f64),
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
    /// Set when it ends, or crashes as its story wants.
    gone: CancellationToken,
}

impl Service {
    /// Starts it on a free port of the loopback interface; it ends with `stop`.
    pub(crate) async fn start(
        version: Version,
        seed: u64,
        stop: CancellationToken,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let inner = Arc::new(Inner {
            version,
            first_request: Mutex::new(None),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            gone: stop.child_token(),
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
            () = inner.gone.cancelled() => return,
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
            let handle = service_fn(move |_| answer(Arc::clone(&served)));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), handle);
            tokio::select! {
                () = inner.gone.cancelled() => {}
                result = connection => if let Err(error) = result { tracing::debug!(%error, "connection") },
            }
        });
    }
}

async fn answer(inner: Arc<Inner>) -> Result<Response<Full<Bytes>>, Infallible> {
    let behaviour = inner.behaviour();
    if behaviour.gone {
        inner.gone.cancel();
    }
    let (bad, pause) = inner.draw(behaviour);
    tokio::time::sleep(pause).await;
    let (status, body) = if bad {
        (StatusCode::INTERNAL_SERVER_ERROR, "error\n")
    } else {
        (StatusCode::OK, "ok\n")
    };
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    Ok(response)
}

impl Inner {
    fn behaviour(&self) -> Behaviour {
        match self.version {
            Version::Stable => STABLE,
            Version::Canary(story, pace) => {
                let now = Instant::now();
                let mut first = self
                    .first_request
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
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
}
