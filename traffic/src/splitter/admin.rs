//! The admin interface: state, weight and metrics over a Unix socket, metrics over TCP. There is no other way in:
//! whoever may open the socket may set the weight, and TCP has no such thing as a file's mode.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::metrics::CONTENT_TYPE as METRICS_TYPE;
use super::serve::accept;
use super::shared::SplitterHandle;
use super::socket::Socket;
use crate::Weight;

/// Largest body of a request, in bytes.
const MAX_BODY: usize = 4096;
/// Longest name of who sets the weight, in bytes.
pub(crate) const MAX_BY: usize = 200;
/// Connections served at a time.
const MAX_CONNECTIONS: usize = 32;
/// A connection's whole life, so that one that does nothing makes room.
const LIFETIME: Duration = Duration::from_secs(30);

/// The body of `PUT /v1/weight`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetWeight {
    pub(crate) weight: Weight,
    /// Only if the weight is this now (or `weight` already), else nothing is set. Whatever it is if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<Weight>,
    /// Who sets it: `run checkout-1`. The process at the other end of the socket if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
}

/// The body of every error.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Problem {
    pub(crate) error: String,
}

#[derive(Clone)]
struct Scope {
    handle: SplitterHandle,
    /// Who is at the other end; none where only metrics are served.
    peer: Option<Arc<str>>,
}

type Answer = Response<Full<Bytes>>;

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    match serde_json::to_vec(body) {
        Ok(text) => answer(status, "application/json", text),
        Err(error) => answer(
            StatusCode::INTERNAL_SERVER_ERROR,
            "text/plain",
            error.to_string(),
        ),
    }
}

fn problem(status: StatusCode, error: impl Into<String>) -> Answer {
    json(
        status,
        &Problem {
            error: error.into(),
        },
    )
}

fn not_allowed(allowed: &'static str) -> Answer {
    let mut answer = problem(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("this path answers {allowed} only"),
    );
    answer
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

async fn route(scope: Scope, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let get = request.method() == Method::GET;
    Ok(match (request.uri().path(), &scope.peer) {
        ("/metrics", _) if get => answer(StatusCode::OK, METRICS_TYPE, scope.handle.metrics_text()),
        ("/v1/state", Some(_)) if get => json(StatusCode::OK, &scope.handle.state()),
        ("/v1/weight", Some(peer)) if request.method() == Method::PUT => {
            let peer = peer.clone();
            put_weight(&scope.handle, &peer, request).await
        }
        ("/metrics", _) | ("/v1/state", Some(_)) => not_allowed("GET"),
        ("/v1/weight", Some(_)) => not_allowed("PUT"),
        (_, Some(_)) => problem(
            StatusCode::NOT_FOUND,
            "there is GET /v1/state, PUT /v1/weight and GET /metrics",
        ),
        (_, None) => problem(StatusCode::NOT_FOUND, "there is GET /metrics"),
    })
}

async fn put_weight(handle: &SplitterHandle, peer: &str, request: Request<Incoming>) -> Answer {
    let body = match Limited::new(request.into_body(), MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            return problem(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body could not be read ({error}); expected at most {MAX_BODY} bytes"),
            );
        }
    };
    let set: SetWeight = match serde_json::from_slice(&body) {
        Ok(set) => set,
        Err(error) => {
            return problem(
                StatusCode::BAD_REQUEST,
                format!("{error}; expected {{\"weight\": 10, \"by\": \"who\"}}, weight 0 to 100"),
            );
        }
    };
    let by = set.by.as_deref().unwrap_or(peer);
    if by.is_empty() || by.len() > MAX_BY || by.chars().any(char::is_control) {
        return problem(
            StatusCode::BAD_REQUEST,
            format!("`by` must be 1 to {MAX_BY} bytes without control characters"),
        );
    }
    json(StatusCode::OK, &handle.change(set.from, set.weight, by))
}

/// Serves the socket until this future is dropped.
pub(crate) async fn serve_socket(socket: Socket, handle: SplitterHandle) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = places.clone().acquire_owned().await;
        let stream = match socket.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept an admin connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let peer = match stream.peer_cred().map(|peer| (peer.pid(), peer.uid())) {
            Ok((Some(pid), uid)) => format!("process {pid} of user {uid}"),
            Ok((None, uid)) => format!("user {uid}"),
            Err(_) => "unknown process".to_owned(),
        };
        let scope = Scope {
            handle: handle.clone(),
            peer: Some(peer.into()),
        };
        tokio::spawn(serve_one(stream, scope, place.ok()));
    }
}

/// Serves GET /metrics over TCP until this future is dropped.
pub(crate) async fn serve_metrics(listener: TcpListener, handle: SplitterHandle) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = places.clone().acquire_owned().await;
        let (stream, _) = accept(&listener).await;
        let scope = Scope {
            handle: handle.clone(),
            peer: None,
        };
        tokio::spawn(serve_one(stream, scope, place.ok()));
    }
}

async fn serve_one(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    scope: Scope,
    place: Option<OwnedSemaphorePermit>,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(10))
        .max_buf_size(16 * 1024)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| route(scope.clone(), request)),
        );
    match tokio::time::timeout(LIFETIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "admin connection broke"),
        Err(_) => tracing::debug!("admin connection was open for too long"),
    }
    drop(place);
}
