//! Connections to one version: opened when needed, kept for the next request, retried where that is safe.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::body::RequestBody;
use super::counted::Counted;
use super::options::{SplitterError, SplitterOptions, bad};

/// Connections kept per version for the next request.
const MAX_IDLE: usize = 512;
/// Servers close idle connections themselves, typically after 5 to 75 s; longer than this is never useful.
const IDLE_FOR: Duration = Duration::from_mins(1);

/// One version, where it is and the connections to it.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// `host:port`, for the system's resolver.
    authority: String,
    /// The scheme was `h2c`.
    always_http2: bool,
    connect_timeout: Duration,
    max_header_bytes: usize,
    idle: Arc<Mutex<VecDeque<Idle>>>,
    shared: tokio::sync::Mutex<Option<http2::SendRequest<RequestBody>>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// An HTTP/1.1 connection.
#[derive(Debug)]
struct Connection {
    sender: http1::SendRequest<RequestBody>,
    /// Bytes that the other side has sent on it.
    received: Arc<AtomicU64>,
}

/// A connection in use by one request. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Lease(Option<(Connection, Arc<Mutex<VecDeque<Idle>>>)>);

impl Lease {
    /// Keeps the connection for the next request, now that this one's answer has ended.
    pub(crate) fn give_back(self, now: Instant) {
        let Some((connection, pool)) = self.0 else {
            return;
        };
        if connection.sender.is_closed() {
            return;
        }
        let mut idle = pool.lock().unwrap_or_else(PoisonError::into_inner);
        // Newest at the back and taken from there, so the front is what the load no longer needs.
        while idle.len() >= MAX_IDLE
            || idle
                .front()
                .is_some_and(|i| now.saturating_duration_since(i.since) > IDLE_FOR)
        {
            idle.pop_front();
        }
        idle.push_back(Idle {
            connection,
            since: now,
        });
    }
}

/// Why a version did not answer.
#[derive(Debug)]
pub(crate) enum SendError {
    Connect(io::Error),
    ConnectTimeout(Duration),
    Http(hyper::Error),
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "cannot connect: {error}"),
            Self::ConnectTimeout(after) => write!(f, "cannot connect within {after:?}"),
            Self::Http(error) => {
                write!(f, "connection broke before an answer: {error}")?;
                match std::error::Error::source(error) {
                    Some(source) => write!(f, ": {source}"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// An answer, its connection, and whether it took a second attempt.
pub(crate) struct Sent {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Lease,
    pub(crate) retried: bool,
}

impl Upstream {
    pub(crate) fn new(
        option: &'static str,
        uri: &Uri,
        options: &SplitterOptions,
    ) -> Result<Self, SplitterError> {
        const FORM: &str = "write http://host:port, or h2c://host:port for HTTP/2";
        let always_http2 = match uri.scheme_str() {
            Some("http") => false,
            Some("h2c") => true,
            Some("https") => {
                return Err(bad(option, uri, "TLS to a version is not supported", FORM));
            }
            _ => return Err(bad(option, uri, "not an http URL", FORM)),
        };
        let Some(host) = uri.host().filter(|host| !host.is_empty()) else {
            return Err(bad(option, uri, "no host in it", FORM));
        };
        if uri.path() != "/" && !uri.path().is_empty() || uri.query().is_some() {
            return Err(bad(
                option,
                uri,
                "paths are passed on as they are, so it can have none",
                FORM,
            ));
        }
        if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
            // Not repeated in the message: it is a secret.
            return Err(bad(
                option,
                host,
                "user and password are not supported",
                FORM,
            ));
        }
        Ok(Self {
            authority: format!("{host}:{}", uri.port_u16().unwrap_or(80)),
            always_http2,
            connect_timeout: options.connect_timeout,
            max_header_bytes: options.max_header_bytes,
            idle: Arc::default(),
            shared: tokio::sync::Mutex::new(None),
        })
    }

    /// `host:port`.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether a request goes by HTTP/2: gRPC exists on nothing else, and everything else works on HTTP/1.1.
    pub(crate) fn by_http2<B>(&self, request: &Request<B>) -> bool {
        self.always_http2
            || request
                .headers()
                .get(hyper::header::CONTENT_TYPE)
                .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
    }

    /// Sends a request and waits for the header of its answer, without limit of time.
    ///
    /// It is sent a second time only if its connection was an old one, which may have died without our knowing, and
    /// either nothing of the request was written, or it is idempotent, has no body, and not a byte came back
    /// (RFC 9110 section 9.2.2).
    pub(crate) async fn send(
        &self,
        mut request: Request<RequestBody>,
        http2: bool,
    ) -> Result<Sent, SendError> {
        if http2 {
            return self.send_http2(request).await;
        }
        *request.version_mut() = Version::HTTP_11;
        let Some(mut connection) = self.take_idle() else {
            return self.send_fresh(request, false).await;
        };
        let spare = spare_copy(&request);
        let before = connection.received.load(Ordering::Acquire);
        let mut failed = match connection.sender.try_send_request(request).await {
            Ok(response) => return Ok(self.sent(response, connection, false)),
            Err(failed) => failed,
        };
        let unwritten = failed.take_message();
        let silent = connection.received.load(Ordering::Acquire) == before;
        match unwritten.or_else(|| spare.filter(|_| silent).map(rebuild)) {
            Some(again) => self.send_fresh(again, true).await,
            None => Err(SendError::Http(failed.into_error())),
        }
    }

    async fn send_fresh(
        &self,
        request: Request<RequestBody>,
        retried: bool,
    ) -> Result<Sent, SendError> {
        let mut connection = self.connect().await?;
        let response = connection
            .sender
            .send_request(request)
            .await
            .map_err(SendError::Http)?;
        Ok(self.sent(response, connection, retried))
    }

    fn sent(&self, response: Response<Incoming>, connection: Connection, retried: bool) -> Sent {
        Sent {
            response,
            lease: Lease(Some((connection, self.idle.clone()))),
            retried,
        }
    }

    /// The youngest connection that can take a request at once. Some cannot yet, because their last answer's end is
    /// still being handled; they stay for the next one.
    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = idle.len();
        while at > 0 {
            at -= 1;
            let sender = &idle.get(at)?.connection.sender;
            if sender.is_closed() {
                idle.remove(at);
            } else if sender.is_ready() {
                return idle.remove(at).map(|i| i.connection);
            }
        }
        None
    }

    async fn open(&self) -> Result<TcpStream, SendError> {
        match timeout(self.connect_timeout, TcpStream::connect(&self.authority)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(SendError::Connect)?;
                Ok(stream)
            }
            Ok(Err(error)) => Err(SendError::Connect(error)),
            Err(_) => Err(SendError::ConnectTimeout(self.connect_timeout)),
        }
    }

    async fn connect(&self) -> Result<Connection, SendError> {
        let (io, received) = Counted::new(self.open().await?);
        let (sender, connection) = http1::Builder::new()
            .max_header_size(self.max_header_bytes)
            .handshake(TokioIo::new(io))
            .await
            .map_err(SendError::Http)?;
        // Ends with the connection: when the version closes it, or when its sender is dropped.
        tokio::spawn(connection.with_upgrades());
        Ok(Connection { sender, received })
    }

    /// All HTTP/2 requests share one connection, which is opened by the first of them.
    async fn connect_http2(&self) -> Result<http2::SendRequest<RequestBody>, SendError> {
        let mut shared = timeout(self.connect_timeout, self.shared.lock())
            .await
            .map_err(|_| SendError::ConnectTimeout(self.connect_timeout))?;
        if let Some(sender) = shared.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .adaptive_window(true)
            .keep_alive_interval(Duration::from_secs(20))
            .max_header_list_size(u32::try_from(self.max_header_bytes).unwrap_or(u32::MAX))
            .handshake(TokioIo::new(self.open().await?))
            .await
            .map_err(SendError::Http)?;
        tokio::spawn(connection);
        *shared = Some(sender.clone());
        Ok(sender)
    }

    async fn send_http2(&self, mut request: Request<RequestBody>) -> Result<Sent, SendError> {
        // HTTP/2 has the host in the target.
        let host = request.headers_mut().remove(HOST);
        let authority = host
            .as_ref()
            .and_then(|host| host.to_str().ok())
            .unwrap_or(&self.authority);
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        if let Ok(uri) = Uri::builder()
            .scheme("http")
            .authority(authority)
            .path_and_query(path)
            .build()
        {
            *request.uri_mut() = uri;
        }
        *request.version_mut() = Version::HTTP_2;
        let mut retried = false;
        loop {
            let mut sender = self.connect_http2().await?;
            match sender.try_send_request(request).await {
                Ok(response) => {
                    return Ok(Sent {
                        response,
                        lease: Lease(None),
                        retried,
                    });
                }
                Err(mut failed) => match failed.take_message() {
                    Some(unwritten) if !retried => {
                        request = unwritten;
                        retried = true;
                    }
                    _ => return Err(SendError::Http(failed.into_error())),
                },
            }
        }
    }
}

/// What is needed to send a request again, if that is allowed at all.
fn spare_copy(request: &Request<RequestBody>) -> Option<Parts> {
    let safe = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    );
    if !safe || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(());
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(copy.into_parts().0)
}

fn rebuild(parts: Parts) -> Request<RequestBody> {
    Request::from_parts(parts, RequestBody::Empty)
}
