//! A `canary proxy` in a process of its own, and users who send requests through it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::sandbox::{Running, SOON, Sandbox};

/// A running `canary proxy`.
#[derive(Debug)]
pub struct Proxy {
    /// Where users connect.
    pub address: SocketAddr,
    /// Where `/metrics` is served.
    pub metrics: SocketAddr,
    running: Running,
}

impl Proxy {
    /// Starts one that `canary run` calls `name`.
    #[track_caller]
    pub fn start(sandbox: &Sandbox, name: &str, stable: &str, canary: &str) -> Self {
        // Somebody else may take the port between our giving it back and the proxy's taking it.
        for _ in 0..5 {
            let metrics = free_address();
            let mut running = sandbox.start(&[
                "proxy",
                "--name",
                name,
                "--listen",
                "127.0.0.1:0",
                "--metrics",
                &metrics.to_string(),
                "--stable",
                stable,
                "--canary",
                canary,
                "--seed",
                "1",
            ]);
            let line = running.expect(" ");
            if let Some((_, rest)) = line.split_once("on http://") {
                let address = rest.split(": ").next().and_then(|text| text.parse().ok());
                let address = address.unwrap_or_else(|| panic!("no address in {line:?}"));
                return Self {
                    address,
                    metrics,
                    running,
                };
            }
            assert!(line.contains("in use"), "the proxy does not start: {line}");
        }
        panic!("no port is free");
    }

    /// The weight that it has.
    #[track_caller]
    pub fn weight(&self) -> f64 {
        let page = get(self.metrics, "/metrics").1;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix("canary_proxy_weight"))
            .unwrap_or_else(|| panic!("no weight in {page}"));
        let number = line
            .split_whitespace()
            .last()
            .and_then(|text| text.parse().ok());
        number.unwrap_or_else(|| panic!("no number in {line:?}"))
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }
}

/// An address on loopback whose port was free a moment ago.
pub fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
}

/// One GET on a connection of its own: status and body.
#[track_caller]
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(SOON)).expect("a bound");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )
    .expect("a request");
    let mut reader = BufReader::new(stream);
    let (status, body) = answer(&mut reader).expect("an answer");
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// Reads one answer.
fn answer(reader: &mut BufReader<TcpStream>) -> std::io::Result<(u16, Vec<u8>)> {
    let bad = || std::io::Error::other("not an answer");
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line
        .split_whitespace()
        .nth(1)
        .and_then(|code| code.parse().ok());
    let status = status.ok_or_else(bad)?;
    let (mut length, mut chunked) = (None, false);
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(bad());
        }
        let lower = line.trim().to_ascii_lowercase();
        if lower.is_empty() {
            break;
        }
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse::<usize>().ok();
        }
        chunked |= lower.starts_with("transfer-encoding:") && lower.contains("chunked");
    }
    let mut body = Vec::new();
    match length {
        Some(length) => {
            body.resize(length, 0);
            reader.read_exact(&mut body)?;
        }
        None if chunked => loop {
            line.clear();
            reader.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(|_| bad())?;
            let start = body.len();
            body.resize(start + size, 0);
            reader.read_exact(&mut body[start..])?;
            line.clear();
            reader.read_line(&mut line)?;
            if size == 0 {
                break;
            }
        },
        None => {
            reader.read_to_end(&mut body)?;
        }
    }
    Ok((status, body))
}

/// Users: a steady stream of requests, until dropped.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// About so many requests a second.
    pub fn start(address: SocketAddr, per_second: u32) -> Self {
        let (stop, sent) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (ended, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            let pause = Duration::from_secs(1) / per_second;
            let mut next = Instant::now();
            let mut open: Option<BufReader<TcpStream>> = None;
            while !ended.load(Ordering::Relaxed) {
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                next = (next + pause).max(Instant::now() - Duration::from_secs(1));
                if request(&mut open, address).is_err() {
                    open = None;
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self {
            stop,
            sent,
            thread: Some(thread),
        }
    }

    /// Requests that were sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn request(open: &mut Option<BufReader<TcpStream>>, address: SocketAddr) -> std::io::Result<()> {
    let mut reader = match open.take() {
        Some(reader) => reader,
        None => {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            BufReader::new(stream)
        }
    };
    reader
        .get_mut()
        .write_all(format!("GET /shop HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes())?;
    answer(&mut reader)?;
    *open = Some(reader);
    Ok(())
}
