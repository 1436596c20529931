//! An HTTP/1.1 server written by hand on TCP, so that it can misbehave in every way.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// `POST /api/v1/query`
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// What is done about it.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A whole answer: status line, headers, body.
    Full(&'static str, Vec<(&'static str, String)>, String),
    /// Success with this body in chunks, without end.
    Endless(&'static str),
    /// Success that announces so many bytes.
    Announced(u64),
    /// Success that stops in the middle, and stays open.
    Stall(&'static str),
    /// No answer, connection open.
    Hang,
    /// The connection is reset.
    Reset,
}

impl Reply {
    pub(crate) fn json(body: impl Into<String>) -> Self {
        Self::Full(
            "200 OK",
            vec![("content-type", "application/json".to_owned())],
            body.into(),
        )
    }

    pub(crate) fn text(body: impl Into<String>) -> Self {
        Self::Full(
            "200 OK",
            vec![("content-type", "text/plain; version=0.0.4".to_owned())],
            body.into(),
        )
    }
}

type Handler = dyn Fn(usize, &Request) -> Reply + Send + Sync;

/// A server on a port of its own, until dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) sent: Arc<AtomicU64>,
    requests: Arc<Mutex<Vec<Request>>>,
    seen: watch::Receiver<usize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Answers each request (numbered from 0) as `handler` says.
    pub(crate) async fn start(
        handler: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        install_tls();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let handler: Arc<Handler> = Arc::new(handler);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let sent = Arc::new(AtomicU64::new(0));
        let (note, seen) = watch::channel(0);
        let (note, all, bytes) = (Arc::new(note), Arc::clone(&requests), Arc::clone(&sent));
        let task = tokio::spawn(async move {
            // Dropped with the server, and with it every open connection.
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let (handler, all, note, bytes) = (
                    Arc::clone(&handler),
                    Arc::clone(&all),
                    Arc::clone(&note),
                    Arc::clone(&bytes),
                );
                connections.spawn(async move {
                    // A client that goes away in the middle is its own business.
                    let _gone = serve(stream, &*handler, &all, &note, &bytes).await;
                });
            }
        });
        Self {
            address,
            sent,
            requests,
            seen,
            task,
        }
    }

    /// Always the same answer.
    pub(crate) async fn always(reply: Reply) -> Self {
        Self::start(move |_, _| reply.clone()).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until so many more requests were answered.
    pub(crate) async fn answered(&self, more: usize) {
        let mut seen = self.seen.clone();
        let target = *seen.borrow() + more;
        seen.wait_for(|answered| *answered >= target).await.unwrap();
    }
}

/// What every program does first; see `canary_analyzer::source`.
pub(crate) fn install_tls() {
    // The second test of a process finds it installed.
    let _installed_already = rustls::crypto::ring::default_provider().install_default();
}

async fn serve(
    mut stream: TcpStream,
    handler: &Handler,
    all: &Mutex<Vec<Request>>,
    note: &watch::Sender<usize>,
    sent: &AtomicU64,
) -> std::io::Result<()> {
    loop {
        let Some(request) = read(&mut stream).await? else {
            return Ok(());
        };
        let number = {
            let mut all = all.lock().unwrap();
            all.push(request.clone());
            all.len() - 1
        };
        match handler(number, &request) {
            Reply::Full(status, headers, body) => {
                let mut head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    write!(head, "{name}: {value}\r\n").unwrap();
                }
                stream
                    .write_all(format!("{head}\r\n{body}").as_bytes())
                    .await?;
                note.send_modify(|answered| *answered += 1);
            }
            Reply::Endless(start) => {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
                stream
                    .write_all(format!("{head}{:x}\r\n{start}\r\n", start.len()).as_bytes())
                    .await?;
                let chunk = format!("{:x}\r\n{}\r\n", 64 << 10, " ".repeat(64 << 10));
                while sent.load(Ordering::Relaxed) < 300 << 20 {
                    stream.write_all(chunk.as_bytes()).await?;
                    sent.fetch_add(64 << 10, Ordering::Relaxed);
                }
            }
            Reply::Announced(length) => {
                stream
                    .write_all(
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes(),
                    )
                    .await?;
                std::future::pending::<()>().await;
            }
            Reply::Stall(start) => {
                stream
                    .write_all(
                        format!("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{start}")
                            .as_bytes(),
                    )
                    .await?;
                std::future::pending::<()>().await;
            }
            Reply::Hang => std::future::pending::<()>().await,
            Reply::Reset => {
                stream.set_zero_linger()?;
                return Ok(());
            }
        }
    }
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Option<Request>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&buffer[..count]);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let line = lines
        .next()
        .unwrap_or_default()
        .trim_end_matches(" HTTP/1.1")
        .to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = bytes[end + 4..].to_vec();
    while body.len() < length {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(None);
        }
        body.extend_from_slice(&buffer[..count]);
    }
    Ok(Some(Request {
        line,
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }))
}
