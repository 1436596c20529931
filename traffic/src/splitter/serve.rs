//! From options to a served port, and an orderly end.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admin;
use super::forward::{Client, forward};
use super::options::{SplitterError, SplitterOptions};
use super::patience::Patient;
use super::shared::{Shared, SplitterHandle};
use super::socket::Socket;

/// A splitter that is bound to its port and not yet serving; see [`serve`](Self::serve).
#[derive(Debug)]
pub struct Splitter {
    listener: TcpListener,
    addr: SocketAddr,
    metrics: Option<(TcpListener, SocketAddr)>,
    admin: Option<Socket>,
    shared: Arc<Shared>,
    options: SplitterOptions,
}

impl Splitter {
    /// Checks the options and takes the addresses. Clients can connect from here on, and wait until it serves.
    pub async fn bind(options: SplitterOptions) -> Result<Self, SplitterError> {
        // What is wrong with the options is said before what is wrong with an address.
        Shared::new(&options, options.listen)?;
        let (listener, addr) = listen(options.listen, "clients").await?;
        let shared = Arc::new(Shared::new(&options, addr)?);
        let metrics = match options.metrics_listen {
            Some(addr) => Some(listen(addr, "metrics").await?),
            None => None,
        };
        let admin = options.admin.as_deref().map(Socket::bind).transpose()?;
        Ok(Self {
            listener,
            addr,
            metrics,
            admin,
            shared,
            options,
        })
    }

    /// Where metrics are served over TCP, if they are.
    #[must_use]
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(_, addr)| *addr)
    }

    /// Where clients connect; the real port if 0 was asked for.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Reads and sets it from this process.
    #[must_use]
    pub fn handle(&self) -> SplitterHandle {
        SplitterHandle::new(self.shared.clone())
    }

    /// Serves until the token is cancelled. Then it takes no more connections, lets requests in flight finish for the
    /// drain timeout, and cuts what is left.
    pub async fn serve(self, stop: CancellationToken) {
        let handle = self.handle();
        let Self {
            listener,
            addr: _,
            metrics,
            admin,
            shared,
            options,
        } = self;
        // The admin side stays up while requests drain, and ends with them.
        let clients = serve_clients(listener, shared, &options, stop, CancellationToken::new());
        let admin = async {
            match admin {
                Some(socket) => admin::serve_socket(socket, handle.clone()).await,
                None => pending().await,
            }
        };
        let metrics = async {
            match metrics {
                Some((listener, _)) => admin::serve_metrics(listener, handle.clone()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = clients => {}
            () = admin => {}
            () = metrics => {}
        }
    }
}

/// Listens there.
pub(crate) async fn listen(
    addr: SocketAddr,
    purpose: &'static str,
) -> Result<(TcpListener, SocketAddr), SplitterError> {
    let error = |source| SplitterError::Listen {
        addr,
        purpose,
        source,
    };
    let listener = TcpListener::bind(addr).await.map_err(error)?;
    let addr = listener.local_addr().map_err(error)?;
    Ok((listener, addr))
}

/// The next connection. Errors of `accept` are about one connection or about resources that come back (file
/// descriptors); the second kind would spin without a pause.
pub(crate) async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve_clients(
    listener: TcpListener,
    shared: Arc<Shared>,
    options: &SplitterOptions,
    stop: CancellationToken,
    cut: CancellationToken,
) {
    let builder = connection_builder(options);
    let graceful = GracefulShutdown::new();
    let tunnels = TaskTracker::new();
    let places = Arc::new(Semaphore::new(options.max_connections));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, accept(&listener).await)
        };
        let (place, (stream, peer)) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            next = next => next,
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "connection is gone already");
            continue;
        }
        let client = Arc::new(Client {
            shared: shared.clone(),
            peer: HeaderValue::try_from(peer.ip().to_canonical().to_string())
                .unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            tunnels: tunnels.clone(),
            cut: cut.clone(),
        });
        let connection = builder
            .serve_connection_with_upgrades(
                TokioIo::new(Patient::new(stream, options.client_header_timeout)),
                service_fn(move |request| forward(client.clone(), request)),
            )
            .into_owned();
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "client connection broke");
            }
            drop(place);
        });
    }
    drop(listener);
    tunnels.close();
    let drained = async {
        graceful.shutdown().await;
        tunnels.wait().await;
    };
    if tokio::time::timeout(options.drain_timeout, drained)
        .await
        .is_err()
    {
        tracing::warn!("requests were still in flight after the drain timeout and are cut");
    }
    cut.cancel();
    connections.shutdown().await;
}

fn connection_builder(options: &SplitterOptions) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.client_header_timeout)
        .max_buf_size(options.max_header_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .adaptive_window(true)
        .max_concurrent_streams(1000)
        .keep_alive_interval(Duration::from_secs(20))
        .max_header_list_size(u32::try_from(options.max_header_bytes).unwrap_or(u32::MAX));
    builder
}
