//! A real Prometheus on a port of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::proxy::{free_address, get};
use crate::sandbox::{Running, eventually};

/// A running one; it ends, and its data goes, when dropped.
#[derive(Debug)]
pub struct Prometheus {
    /// Where it answers.
    pub address: SocketAddr,
    _running: Running,
    _data: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes `target` every second. `None`: it is not installed, and `CANARY_TEST_ALLOW_SKIP` says that
    /// this is no failure.
    #[track_caller]
    pub fn start(target: SocketAddr) -> Option<Self> {
        let binary = installed()?;
        let data = TempDir::new().expect("a directory");
        let config = data.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs: [{{job_name: proxy, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        std::fs::write(&config, text).expect("a file");
        for _ in 0..5 {
            let address = free_address();
            let mut command = Command::new(&binary);
            command
                .arg(format!("--config.file={}", config.display()))
                .arg(format!(
                    "--storage.tsdb.path={}",
                    data.path().join("data").display()
                ))
                .arg(format!("--web.listen-address={address}"));
            let mut running = Running::start(command);
            // Somebody else may have taken the port: then it ends, and another one is tried.
            let ready = eventually("a Prometheus that starts", || {
                if running.ended().is_some() {
                    return Some(false);
                }
                let open = std::net::TcpStream::connect(address).is_ok();
                (open && get(address, "/-/ready").0 == 200).then_some(true)
            });
            if ready {
                return Some(Self {
                    address,
                    _running: running,
                    _data: data,
                });
            }
        }
        panic!("prometheus does not start");
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until a query has an answer with at least one series.
    #[track_caller]
    pub fn wait_for(&self, query: &str) {
        eventually(query, || {
            let (status, body) = get(self.address, &format!("/api/v1/query?query={query}"));
            (status == 200 && body.contains("\"value\":")).then_some(())
        });
    }
}

fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|directory| directory.join("prometheus"))
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
