//! A real Prometheus that scrapes a real target, beside our own scrape of the same target.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use canary_analyzer::evidence::{
    Arm, ArmEvidence, Bucket, QueryValue, ServiceEvidence, SourceError, Window,
};
use canary_analyzer::metric::{MetricsConfig, PRESETS, ServiceMetrics};
use canary_analyzer::source::{
    PrometheusOptions, PrometheusSource, ScrapeOptions, Scraper, Targets,
};
use jiff::Timestamp;

use crate::support::{Reply, Server};

/// A Prometheus on a port of its own, with its data in a directory of its own, until dropped.
struct Prometheus {
    process: Child,
    source: PrometheusSource,
    _data: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing else to do about a failure here.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "where the tests run is theirs to look at"
)]
fn binary() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join("prometheus"))
        .find(|file| file.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os("CANARY_TEST_ALLOW_SKIP").is_some(),
            "no prometheus on the PATH; install it (Debian: apt-get install prometheus), or set CANARY_TEST_ALLOW_SKIP=1"
        );
        println!("skipped: no prometheus on the PATH, and CANARY_TEST_ALLOW_SKIP is set");
    }
    found
}

impl Prometheus {
    /// Starts one that scrapes the target five times a second; comes back when it says that it is ready.
    async fn start(binary: PathBuf, target: &Server) -> Self {
        let data = tempfile::tempdir().unwrap();
        let config = data.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
             scrape_configs: [{{job_name: proxy, static_configs: [{{targets: ['{}']}}]}}]\n",
            target.address
        );
        std::fs::write(&config, text).unwrap();
        // Another program may take the port between our giving it back and Prometheus's taking it: then it says so and ends,
        // and another port is tried.
        for _ in 0..5 {
            let address = std::net::TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap();
            let mut process = Command::new(&binary)
                .arg(format!("--config.file={}", config.display()))
                .arg(format!(
                    "--storage.tsdb.path={}",
                    data.path().join("data").display()
                ))
                .arg(format!("--web.listen-address={address}"))
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let log = BufReader::new(process.stderr.take().unwrap());
            let ready = tokio::task::spawn_blocking(move || {
                let mut lines = log.lines().map_while(Result::ok);
                let ready =
                    lines.any(|line| line.contains("Server is ready to receive web requests"));
                // Its pipe is read to the end, so that it never waits for us.
                std::thread::spawn(move || lines.for_each(drop));
                ready
            });
            let ready = tokio::time::timeout(Duration::from_mins(1), ready)
                .await
                .unwrap()
                .unwrap();
            if ready {
                let source =
                    PrometheusSource::new(PrometheusOptions::new(format!("http://{address}/")))
                        .unwrap();
                return Self {
                    process,
                    source,
                    _data: data,
                };
            }
            process.wait().unwrap();
        }
        panic!("prometheus does not start");
    }
}

/// A page of the splitter. Each arm: 2xx, 5xx, and requests within 0.1 s, 0.5 s.
fn page(arms: &[(&str, u32, Option<u32>, u32, u32)]) -> String {
    let mut page = "# TYPE canary_proxy_requests_total counter\n".to_owned();
    for (arm, ok, bad, _, _) in arms {
        writeln!(
            page,
            "canary_proxy_requests_total{{arm=\"{arm}\",code=\"2xx\"}} {ok}"
        )
        .unwrap();
        if let Some(bad) = bad {
            writeln!(
                page,
                "canary_proxy_requests_total{{arm=\"{arm}\",code=\"5xx\"}} {bad}"
            )
            .unwrap();
        }
    }
    page += "# TYPE canary_proxy_request_duration_seconds histogram\n";
    for (arm, ok, bad, fast, medium) in arms {
        let all = ok + bad.unwrap_or(0);
        for (le, count) in [("0.1", *fast), ("0.5", *medium), ("+Inf", all)] {
            writeln!(
                page,
                "canary_proxy_request_duration_seconds_bucket{{arm=\"{arm}\",le=\"{le}\"}} {count}"
            )
            .unwrap();
        }
    }
    page
}

/// A target whose page can be changed.
async fn target(text: String) -> (Server, Arc<Mutex<String>>) {
    let page = Arc::new(Mutex::new(text));
    let shown = Arc::clone(&page);
    (
        Server::start(move |_, _| Reply::text(shown.lock().unwrap().clone())).await,
        page,
    )
}

fn metrics() -> ServiceMetrics {
    MetricsConfig::preset("canary-proxy", &[])
        .resolve(&BTreeMap::new())
        .unwrap()
}

/// Both sources look at one target while its counters move: growth, a series that appears, a restart. They must agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sources_yield_the_same_evidence() {
    let Some(binary) = binary() else { return };
    let (server, shown) = target(page(&[
        ("stable", 1000, Some(4), 900, 990),
        ("canary", 100, None, 90, 99),
    ]))
    .await;
    let prometheus = Prometheus::start(binary, &server).await;
    let targets = Targets::Labelled(vec![format!("{}/metrics", server.url())]);
    let scraper = Scraper::new(metrics(), &targets, &ScrapeOptions::default()).unwrap();

    // When a scrape after the next is answered, the next one is in the database.
    server.answered(3).await;
    assert_eq!(scraper.scrape().await.answered, 1);
    let start = now();
    scraper.scrape().await;
    *shown.lock().unwrap() = page(&[
        ("stable", 1900, Some(5), 1800, 1890),
        ("canary", 190, Some(12), 150, 180),
    ]);
    server.answered(3).await;
    scraper.scrape().await;
    let middle = now();
    let grown = compare(&prometheus, &scraper, Window::new(start, middle).unwrap()).await;
    assert_eq!((grown.stable.requests, grown.stable.errors), (901.0, 1.0));
    assert_eq!((grown.canary.requests, grown.canary.errors), (102.0, 12.0));
    assert_eq!(
        grown
            .canary
            .buckets
            .iter()
            .map(|bucket| bucket.count)
            .collect::<Vec<_>>(),
        [60.0, 81.0, 102.0]
    );
    assert!(
        !grown.partial && grown.notes.is_empty(),
        "{:?}",
        grown.notes
    );

    // A second window, from where the first ended; the process restarts in it.
    scraper.scrape().await;
    *shown.lock().unwrap() = page(&[
        ("stable", 70, Some(1), 60, 70),
        ("canary", 8, Some(3), 7, 9),
    ]);
    server.answered(3).await;
    scraper.scrape().await;
    let end = now();
    let restarted = compare(&prometheus, &scraper, Window::new(middle, end).unwrap()).await;
    assert_eq!(
        (
            restarted.canary.requests,
            restarted.canary.errors,
            restarted.canary.resets
        ),
        (11.0, 3.0, 1)
    );
    assert_eq!(restarted.canary.error_rate(), Some(3.0 / 11.0));

    // The target goes away: Prometheus marks its series stale, and neither source makes evidence of that.
    drop(server);
    let failed = scraper.scrape().await;
    assert!(
        matches!(failed.failures[0].1, SourceError::Unreachable { .. }),
        "{failed:?}"
    );
    let late = scraper.evidence(Window::new(end, now()).unwrap());
    assert!(late.is_err(), "{late:?}");
}

async fn compare(prometheus: &Prometheus, scraper: &Scraper, window: Window) -> ServiceEvidence {
    let asked = prometheus
        .source
        .service_evidence(&metrics(), window)
        .await
        .unwrap();
    let scraped = scraper.evidence(window).unwrap();
    for arm in Arm::BOTH {
        let (asked, scraped) = (asked.arm(arm), scraped.arm(arm));
        assert_eq!(
            (asked.requests, asked.errors),
            (scraped.requests, scraped.errors),
            "{arm}"
        );
        assert_eq!(
            (asked.pods, asked.resets, asked.missed),
            (scraped.pods, scraped.resets, scraped.missed),
            "{arm}"
        );
        assert_eq!(asked.buckets, scraped.buckets, "{arm}");
        assert_eq!(
            asked.quantile_seconds(0.99),
            scraped.quantile_seconds(0.99),
            "{arm}"
        );
    }
    assert_eq!(asked.partial, scraped.partial);
    asked
}

/// Histograms with everything that `histogram_quantile` has a rule for.
const HISTOGRAMS: &[&[(f64, f64)]] = &[
    &[
        (0.1, 90.0),
        (0.5, 98.0),
        (1.0, 99.0),
        (f64::INFINITY, 100.0),
    ],
    &[(0.1, 0.0), (1.0, 4.0), (f64::INFINITY, 4.0)],
    &[(-1.0, 2.0), (1.0, 4.0), (f64::INFINITY, 4.0)],
    &[(0.0, 3.0), (1.0, 4.0), (f64::INFINITY, 4.0)],
    &[(1.0, 8.0), (2.0, 7.0), (f64::INFINITY, 10.0)],
    &[(1.0, 1.0), (2.0, 1.0), (4.0, 1.0), (f64::INFINITY, 9.0)],
    &[(0.1, 0.0), (f64::INFINITY, 0.0)],
    &[(0.1, 4.0), (1.0, 4.0)],
    &[(f64::INFINITY, 4.0)],
    &[
        (0.005, 12.0),
        (0.01, 40.0),
        (0.025, 41.0),
        (0.05, 90.0),
        (f64::INFINITY, 117.0),
    ],
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_understands_what_we_ask_and_we_what_it_says() {
    let Some(binary) = binary() else { return };
    let mut text = page(&[("stable", 10, None, 9, 10), ("canary", 2, Some(1), 2, 3)]);
    for (row, histogram) in HISTOGRAMS.iter().enumerate() {
        for (le, count) in *histogram {
            let le = if le.is_finite() {
                le.to_string()
            } else {
                "+Inf".to_owned()
            };
            writeln!(text, "rows_bucket{{row=\"{row}\",le=\"{le}\"}} {count}").unwrap();
        }
    }
    let odd = "a\"b\\c{}\n=~,(x|y).*[{{window}}]";
    let (server, _) = target(text).await;
    let prometheus = Prometheus::start(binary, &server).await;
    server.answered(3).await;
    let (source, at) = (&prometheus.source, now());

    let ready = source.ready().await.unwrap();
    assert!(ready.version.is_some_and(|version| version.contains('.')));
    assert!(
        ready.clock_offset.unwrap().abs() < jiff::SignedDuration::from_secs(3),
        "{:?}",
        ready.clock_offset
    );

    for (row, histogram) in HISTOGRAMS.iter().enumerate() {
        let buckets = histogram
            .iter()
            .map(|&(le_seconds, count)| Bucket { le_seconds, count })
            .collect();
        let evidence = ArmEvidence {
            buckets,
            ..ArmEvidence::default()
        };
        for q in [0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0] {
            let answer = source
                .instant(
                    &format!("histogram_quantile({q}, rows_bucket{{row=\"{row}\"}})"),
                    at,
                )
                .await
                .unwrap();
            let QueryValue::Vector(samples) = answer.value else {
                panic!("no vector")
            };
            let theirs = samples[0].1;
            match evidence.quantile_seconds(q) {
                Some(ours) => assert!(
                    (ours.value_seconds - theirs).abs() < 1e-12,
                    "row {row}, q {q}: {ours:?}, {theirs}"
                ),
                None => assert!(theirs.is_nan(), "row {row}, q {q}: none, {theirs}"),
            }
        }
    }

    // Every query of every preset is valid, whatever the parameters hold.
    let known = BTreeMap::from([
        ("service".to_owned(), odd.to_owned()),
        ("namespace".to_owned(), odd.to_owned()),
    ]);
    for preset in PRESETS {
        let mut config = MetricsConfig::preset(preset.name, &[]);
        for parameter in preset
            .parameters
            .iter()
            .filter(|parameter| !parameter.name.ends_with("_label"))
        {
            config.parameters.insert(
                parameter.name.to_owned(),
                format!("{odd} {}", parameter.name),
            );
        }
        let metrics = config.resolve(&known).unwrap();
        for arm in Arm::BOTH {
            let queries = [
                Some(metrics.counter_query(arm)),
                metrics.bucket_query(arm),
                metrics.process_start_query(arm),
                Some(metrics.error_rate_query(arm)),
                metrics.quantile_query(arm, 0.99),
            ];
            for query in queries.into_iter().flatten() {
                let answer = source.instant(&query.replace("{{window}}", "1m"), at).await;
                assert!(answer.is_ok(), "{}: {answer:?}", preset.name);
            }
        }
    }

    let scalar = source.instant("1/0", at).await.unwrap();
    assert_eq!(scalar.value, QueryValue::Scalar(f64::INFINITY));
    assert_eq!(
        scalar.at.as_millisecond(),
        at.as_millisecond(),
        "times are exact to the millisecond"
    );
    assert_eq!(
        source
            .instant("absent_metric", at)
            .await
            .unwrap()
            .value
            .series(),
        0
    );
    assert_eq!(
        source.instant("\"hello\"", at).await.unwrap().value,
        QueryValue::Text("hello".to_owned())
    );
    let window = Window::ending_at(at, Duration::from_secs(10));
    let range = source
        .range("vector(1)", window, Duration::from_millis(2500))
        .await
        .unwrap();
    let QueryValue::Matrix(series) = range.value else {
        panic!("no matrix")
    };
    assert_eq!(series[0].samples.len(), 5);
    let wrong = source.instant("sum(", at).await.unwrap_err();
    assert!(
        matches!(&wrong, SourceError::Query { error_type, .. } if error_type == "bad_data"),
        "{wrong:?}"
    );
    let too_many = source
        .range(
            "vector(1)",
            Window::ending_at(at, Duration::from_secs(100_000)),
            Duration::from_secs(1),
        )
        .await;
    assert!(
        too_many
            .unwrap_err()
            .to_string()
            .contains("exceeded maximum resolution of 11,000 points")
    );

    // A window before anything was known: the reporter was not there, so nothing is counted, and that is said.
    let before = Window::new(at - jiff::SignedDuration::from_hours(2), at).unwrap();
    let evidence = source.service_evidence(&metrics(), before).await.unwrap();
    assert_eq!(
        (
            evidence.canary.requests,
            evidence.canary.missed,
            evidence.canary.error_rate()
        ),
        (0.0, 1, None)
    );
    assert!(
        evidence
            .notes
            .iter()
            .any(|note| note.contains("seen only since the window began")),
        "{:?}",
        evidence.notes
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "a real Prometheus lives in real time"
)]
fn now() -> Timestamp {
    Timestamp::now()
}
