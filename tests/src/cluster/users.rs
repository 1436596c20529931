//! Users of a service: real requests to a data plane, counted by which version answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use reqwest::header::HOST;
use reqwest::{Client, Version};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What users send.
#[derive(Debug, Clone)]
pub struct Request {
    address: SocketAddr,
    host: String,
    path: String,
    headers: Vec<(String, String)>,
    grpc: bool,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answer {
    /// HTTP status; 0 where none came. A gRPC status other than 0 counts as 500.
    pub status: u16,
    /// The version that answered; empty where it was not the service itself.
    pub version: String,
    /// What went wrong, where no status came.
    pub error: String,
}

/// Answers, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<Answer, u64>);

impl Request {
    /// A GET of `/` with this Host header to a data plane.
    pub fn new(address: SocketAddr, host: &str) -> Self {
        Self {
            address,
            host: host.to_owned(),
            path: "/".to_owned(),
            headers: Vec::new(),
            grpc: false,
        }
    }

    /// Another path; of a gRPC call, `/package.Service/Method`.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// A header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As a gRPC call with an empty message, by HTTP/2.
    #[must_use]
    pub fn grpc(mut self) -> Self {
        self.grpc = true;
        self
    }

    /// Sends so many, four at a time.
    ///
    /// # Panics
    /// Never for what the other side does: that is counted.
    pub fn send(&self, count: u32) -> Counts {
        runtime().block_on(async {
            let client = self.client();
            let mut running = JoinSet::new();
            let mut counts = Counts::default();
            for _ in 0..count {
                if running.len() == 4
                    && let Some(answer) = running.join_next().await
                {
                    counts.add(answer.expect("no panic"));
                }
                let (client, request) = (client.clone(), self.clone());
                running.spawn(async move { request.ask(&client).await });
            }
            while let Some(answer) = running.join_next().await {
                counts.add(answer.expect("no panic"));
            }
            counts
        })
    }

    /// A client with connections of its own.
    fn client(&self) -> Client {
        drop(rustls::crypto::ring::default_provider().install_default());
        let builder = Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .resolve(&self.host, self.address);
        let builder = if self.grpc {
            builder.http2_prior_knowledge()
        } else {
            builder.http1_only()
        };
        builder.build().expect("a client")
    }

    async fn ask(&self, client: &Client) -> Answer {
        let url = format!("http://{}:{}{}", self.host, self.address.port(), self.path);
        let mut request = if self.grpc {
            client
                .post(url)
                .version(Version::HTTP_2)
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(vec![0; 5])
        } else {
            client.get(url).header(HOST, &self.host)
        };
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        match request.send().await {
            Err(error) => Answer::none(&error),
            Ok(response) => {
                let header = |name: &str| {
                    let value = response.headers().get(name)?.to_str().ok()?;
                    Some(value.to_owned())
                };
                let version = header("x-version").unwrap_or_default();
                let bad_call = header("grpc-status").is_some_and(|status| status != "0");
                let status = match response.status().as_u16() {
                    200 if bad_call => 500,
                    status => status,
                };
                match response.bytes().await {
                    Err(error) => Answer::none(&error),
                    Ok(_) => Answer {
                        status,
                        version,
                        error: String::new(),
                    },
                }
            }
        }
    }
}

impl Answer {
    fn none(error: &reqwest::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(next) = cause {
            text += &format!(": {next}");
            cause = next.source();
        }
        Self {
            status: 0,
            version: String::new(),
            error: text,
        }
    }

    /// The service answered, and well.
    pub fn is_good(&self) -> bool {
        self.status == 200 && !self.version.is_empty()
    }
}

impl Counts {
    fn add(&mut self, answer: Answer) {
        *self.0.entry(answer).or_default() += 1;
    }

    /// All requests.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Answers of this version, good and bad.
    pub fn of(&self, version: &str) -> u64 {
        let mine = self
            .0
            .iter()
            .filter(|(answer, _)| answer.version == version);
        mine.map(|(_, count)| count).sum()
    }

    /// Requests without a good answer.
    pub fn bad(&self) -> u64 {
        let bad = self.0.iter().filter(|(answer, _)| !answer.is_good());
        bad.map(|(_, count)| count).sum()
    }

    /// The share of this version in percent.
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of requests are far below 2^52"
    )]
    pub fn share(&self, version: &str) -> f64 {
        100.0 * self.of(version) as f64 / self.total().max(1) as f64
    }

    /// Fails the test unless the share of a version is `percent`, within what chance does: five standard deviations.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of requests are far below 2^52"
    )]
    pub fn expect_share(&self, version: &str, percent: f64) {
        let share = percent / 100.0;
        let deviation = 100.0 * (share * (1.0 - share) / self.total().max(1) as f64).sqrt();
        let found = self.share(version);
        assert!(
            (found - percent).abs() <= 5.0 * deviation,
            "{version} has {found:.1} % of {} requests; expected {percent} % ± {:.1}: {self:?}",
            self.total(),
            5.0 * deviation
        );
    }
}

/// A steady stream of requests beside the test, until dropped.
#[derive(Debug)]
pub struct Users {
    stop: Arc<AtomicBool>,
    answers: Arc<Mutex<Vec<(Instant, Answer)>>>,
    thread: Option<JoinHandle<()>>,
}

impl Users {
    /// About so many requests a second. One that takes long does not hold up the next.
    pub fn start(request: Request, per_second: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(Mutex::new(Vec::new()));
        let (ended, kept) = (Arc::clone(&stop), Arc::clone(&answers));
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let client = request.client();
                let mut running = JoinSet::new();
                let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
                while !ended.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    while running.try_join_next().is_some() {}
                    let (client, request) = (client.clone(), request.clone());
                    let kept = Arc::clone(&kept);
                    running.spawn(async move {
                        let sent = Instant::now();
                        let answer = request.ask(&client).await;
                        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                        kept.push((sent, answer));
                    });
                }
                running.join_all().await;
            });
        });
        Self {
            stop,
            answers,
            thread: Some(thread),
        }
    }

    /// Answers so far to requests that were sent at `from` or later.
    pub fn since(&self, from: Instant) -> Counts {
        let mut counts = Counts::default();
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, answer) in answers.iter().filter(|(sent, _)| *sent >= from) {
            counts.add(answer.clone());
        }
        counts
    }

    /// All answers so far.
    pub fn so_far(&self) -> Counts {
        let mut counts = Counts::default();
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, answer) in answers.iter() {
            counts.add(answer.clone());
        }
        counts
    }

    /// When the last request was sent that this version answered.
    pub fn last_of(&self, version: &str) -> Option<Instant> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = answers
            .iter()
            .filter(|(_, answer)| answer.version == version);
        mine.map(|(sent, _)| *sent).max()
    }

    /// Ends the stream, waits for what is under way, and gives all answers.
    pub fn stop(mut self) -> Counts {
        self.end();
        self.so_far()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        self.end();
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}
