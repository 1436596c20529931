//! The router for a splitter that runs in another process (`canary proxy`), driven over its admin socket.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, Either, select};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::splitter::{Problem, SetWeight, SplitterState};
use crate::{Observed, Router, RouterError, RouterErrorKind, Weight};

/// How long one call may take, unless told otherwise. The splitter answers from memory; more than this means that it hangs.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Somebody else's change of the weight is seen after this long at the latest.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Largest answer that is read, in bytes; metrics are the largest of them.
const MAX_ANSWER: usize = 256 * 1024;

/// A splitter in another process, by its admin socket. Every call opens the socket anew: calls are rare, and a splitter
/// that was restarted in between is then no special case.
#[derive(Clone, Debug)]
pub struct LocalSplitter {
    service: String,
    socket: PathBuf,
    by: String,
    timeout: Duration,
}

impl LocalSplitter {
    /// The splitter with that admin socket. `service` is for messages; `by` is what the splitter remembers as who set
    /// the weight, such as `run checkout-1`, at most 200 bytes.
    pub fn new(
        service: impl Into<String>,
        socket: impl Into<PathBuf>,
        by: impl Into<String>,
    ) -> Self {
        Self {
            service: service.into(),
            socket: socket.into(),
            by: by.into(),
            timeout: TIMEOUT,
        }
    }

    /// With another limit than 5 s for a call.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The admin socket's path.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Everything that the splitter says about itself.
    pub async fn state(&self) -> Result<SplitterState, RouterError> {
        let tried = format!("ask {} for its weight", self.name());
        let body = self
            .call(&tried, Method::GET, "/v1/state", Bytes::new())
            .await?;
        self.parse(&tried, &body)
    }

    /// Its metrics as OpenMetrics text.
    pub async fn metrics_text(&self) -> Result<String, RouterError> {
        let tried = format!("read the metrics of {}", self.name());
        let body = self
            .call(&tried, Method::GET, "/metrics", Bytes::new())
            .await?;
        String::from_utf8(body.to_vec()).map_err(|error| self.strange(&tried, error.to_string()))
    }

    async fn put(&self, from: Option<Weight>, weight: Weight) -> Result<Observed, RouterError> {
        let tried = format!("set weight {weight} on {}", self.name());
        let set = SetWeight {
            weight,
            from,
            by: Some(self.by.clone()),
        };
        let body = serde_json::to_vec(&set).map_err(|e| self.strange(&tried, e.to_string()))?;
        // The answer is the splitter's state after the change, or as it is where it was not `from`: read back in one.
        let answer = self
            .call(&tried, Method::PUT, "/v1/weight", body.into())
            .await?;
        self.parse::<SplitterState>(&tried, &answer)
            .map(Observed::from)
    }

    fn parse<T: serde::de::DeserializeOwned>(
        &self,
        tried: &str,
        body: &[u8],
    ) -> Result<T, RouterError> {
        serde_json::from_slice(body)
            .map_err(|error| self.strange(tried, format!("an answer that makes no sense: {error}")))
    }

    fn strange(&self, tried: &str, got: String) -> RouterError {
        RouterError::new(
            RouterErrorKind::Unexpected,
            tried,
            got,
            format!(
                "check that {} is the admin socket of a `canary proxy` of this version",
                self.socket.display()
            ),
        )
    }

    /// One request, bounded in time and size; the body of a success.
    async fn call(
        &self,
        tried: &str,
        method: Method,
        path: &'static str,
        body: Bytes,
    ) -> Result<Bytes, RouterError> {
        match tokio::time::timeout(self.timeout, self.exchange(tried, method, path, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(RouterError::new(
                RouterErrorKind::TimedOut,
                tried,
                format!(
                    "no answer within {:?} on {}",
                    self.timeout,
                    self.socket.display()
                ),
                "the proxy hangs or is overloaded: look at its log, or restart it",
            )),
        }
    }

    async fn exchange(
        &self,
        tried: &str,
        method: Method,
        path: &'static str,
        body: Bytes,
    ) -> Result<Bytes, RouterError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|e| self.unreachable(tried, e))?;
        let broke = |error: hyper::Error| {
            RouterError::new(
                RouterErrorKind::Unreachable,
                tried,
                format!("the connection to {} broke: {error}", self.socket.display()),
                "check that the proxy still runs, then try again",
            )
            .caused_by(error)
        };
        let (mut sender, connection) = http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(broke)?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "splitter")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| self.strange(tried, error.to_string()))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(broke)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER)
                .collect()
                .await
                .map_err(|error| self.strange(tried, format!("an unreadable answer: {error}")))?;
            Ok((status, body.to_bytes()))
        };
        // The connection is driven here, beside the exchange, so that nothing outlives this call. It may end first,
        // with the answer already handed over.
        let (exchange, connection) = (pin!(exchange), pin!(connection));
        let (status, body) = match select(exchange, connection).await {
            Either::Left((exchanged, _)) => exchanged?,
            Either::Right((_, exchange)) => exchange.await?,
        };
        if status == StatusCode::OK {
            return Ok(body);
        }
        let said = serde_json::from_slice::<Problem>(&body).map_or_else(
            |_| String::from_utf8_lossy(&body).chars().take(200).collect(),
            |problem| problem.error,
        );
        Err(RouterError::new(
            RouterErrorKind::Refused,
            tried,
            format!("{status}: {said}"),
            "this proxy and this program do not understand each other: use the same version of both",
        ))
    }

    /// What makes `canary proxy` listen on this socket: its name, where the socket is called as the command calls it.
    fn proxy_flag(&self) -> String {
        // The directories that canary itself keeps sockets in; in any other one a name would not find it.
        let directory = self.socket.parent().and_then(Path::file_name);
        let ours = directory
            .and_then(|name| name.to_str())
            .is_some_and(|name| name == "canary" || name.starts_with("canary-"));
        let name = self.socket.file_name().and_then(|name| name.to_str());
        match name
            .filter(|_| ours)
            .and_then(|name| name.strip_prefix("proxy-")?.strip_suffix(".sock"))
        {
            Some(name) => format!("--name {name}"),
            None => format!("--admin {}", self.socket.display()),
        }
    }

    fn unreachable(&self, tried: &str, error: std::io::Error) -> RouterError {
        use std::io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
        let socket = self.socket.display();
        let start = format!(
            "start one with `canary proxy {} --stable URL --canary URL`, or name the one that runs",
            self.proxy_flag()
        );
        let (kind, got, hint) = match error.kind() {
            NotFound => (
                RouterErrorKind::Unreachable,
                format!("there is no socket {socket}: no proxy runs there"),
                start,
            ),
            ConnectionRefused => (
                RouterErrorKind::Unreachable,
                format!("nobody listens on {socket}: the proxy that made it has ended"),
                start,
            ),
            PermissionDenied => (
                RouterErrorKind::Refused,
                format!("{socket} belongs to another user"),
                "run as the user who started the proxy".to_owned(),
            ),
            _ => (
                RouterErrorKind::Unreachable,
                format!("cannot connect to {socket}: {error}"),
                start,
            ),
        };
        RouterError::new(kind, tried, got, hint).caused_by(error)
    }
}

impl Router for LocalSplitter {
    fn name(&self) -> String {
        format!("local splitter {}", self.service)
    }

    fn observe(&self) -> BoxFuture<'_, Result<Observed, RouterError>> {
        Box::pin(async { self.state().await.map(Observed::from) })
    }

    fn set_weight(&self, from: Weight, to: Weight) -> BoxFuture<'_, Result<Observed, RouterError>> {
        Box::pin(self.put(Some(from), to))
    }

    fn take_off(&self) -> BoxFuture<'_, Result<Observed, RouterError>> {
        Box::pin(self.put(None, Weight::ZERO))
    }

    /// One request over a Unix socket, answered from memory.
    fn look_every(&self) -> Option<Duration> {
        Some(LOOK_EVERY)
    }

    fn remove(&self) -> BoxFuture<'_, Result<(), RouterError>> {
        Box::pin(async { self.put(None, Weight::ZERO).await.map(drop) })
    }
}
