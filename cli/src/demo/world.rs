//! Everything that the demo's release happens to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use canary_analyzer::duration;
use canary_traffic::splitter::{Splitter, SplitterHandle, SplitterOptions, Uri};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::load::{Seen, generate};
use super::service::{Service, Version};
use super::story::Story;
use crate::error::CommandError;

/// Two versions, the splitter before them, and users. Dropping it ends all of them.
pub(crate) struct World {
    splitter: SplitterHandle,
    address: SocketAddr,
    metrics: SocketAddr,
    seen: Arc<Seen>,
    _stop: DropGuard,
}

impl World {
    /// Starts everything on free ports of the loopback interface. `pace`: how many times faster than usual.
    pub(crate) async fn start(story: Story, pace: f64, seed: u64) -> Result<Self, CommandError> {
        let stop = CancellationToken::new();
        let failed = |error: &dyn std::fmt::Display| {
            CommandError::failed(format!("the demo cannot start: {error}"))
        };
        let stable = Service::start(Version::Stable, seed, stop.clone())
            .await
            .map_err(|error| failed(&error))?;
        let canary = Service::start(
            Version::Canary(story, pace),
            seed.wrapping_add(1),
            stop.clone(),
        )
        .await
        .map_err(|error| failed(&error))?;
        let uri = |service: &Service| service.url().parse::<Uri>().map_err(|error| failed(&error));
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let metrics = free_address().await.map_err(|error| failed(&error))?;
        let splitter = Splitter::bind(SplitterOptions {
            name: "demo".to_owned(),
            seed: Some(seed),
            metrics_listen: Some(metrics),
            ..SplitterOptions::new(loopback, uri(&stable)?, uri(&canary)?)
        })
        .await
        .map_err(|error| failed(&error))?;
        let address = splitter.addr();
        let handle = splitter.handle();
        tokio::spawn(splitter.serve(stop.clone()));
        let seen = Arc::new(Seen::default());
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .no_proxy()
            .build()
            .map_err(|error| failed(&error))?;
        let users = generate(
            client,
            format!("http://{address}/"),
            story.requests_per_second(),
            Arc::clone(&seen),
            stop.clone(),
        );
        tokio::spawn(users);
        Ok(Self {
            splitter: handle,
            address,
            metrics,
            seen,
            _stop: stop.drop_guard(),
        })
    }

    /// Drives the splitter of this process.
    pub(crate) fn splitter(&self) -> &SplitterHandle {
        &self.splitter
    }

    /// Where users connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that users sent, and how many of them went badly.
    pub(crate) fn seen(&self) -> (u64, u64) {
        self.seen.totals()
    }

    /// The settings that depend on where everything runs: a profile. Every duration of the release is `pace` times shorter.
    pub(crate) fn profile(&self) -> String {
        format!(
            "traffic: {{router: local, proxy: demo}}\nsources:\n  scrape:\n    canary: [\"http://{}/metrics\"]\n    interval: 500ms\n",
            self.metrics
        )
    }
}

/// The workflow with every duration `pace` times shorter; nothing gets shorter than half a second, the time between scrapes.
pub(crate) fn faster(workflow: &str, pace: f64) -> String {
    let shorter = |text: &str| {
        let length = duration::parse(text).ok()?;
        let millis = (length.as_secs_f64() * 1000.0 / pace).round().max(500.0);
        Some(duration::format(Duration::from_secs_f64(millis / 1000.0)))
    };
    let mut result = String::new();
    for piece in workflow.split_inclusive([' ', ',', '}', '\n']) {
        let word = piece.trim_end_matches([' ', ',', '}', '\n']);
        let is_duration = word.ends_with('s')
            && word.starts_with(|letter: char| letter.is_ascii_digit())
            && !word.ends_with("ms");
        match shorter(word).filter(|_| is_duration) {
            Some(shorter) => {
                result.push_str(&shorter);
                result.push_str(&piece[word.len()..]);
            }
            None => result.push_str(piece),
        }
    }
    result
}

/// A port that was free a moment ago.
async fn free_address() -> std::io::Result<SocketAddr> {
    tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await?
        .local_addr()
}

#[cfg(test)]
mod tests {
    use super::faster;

    #[test]
    fn only_durations_in_seconds_get_shorter() {
        let text =
            "for: 12s, bake: 10s}\nlimit < 300ms, gates: [a-2s-b], 2 seconds\n  window: 10s\n";
        assert_eq!(
            faster(text, 4.0),
            "for: 3s, bake: 2s500ms}\nlimit < 300ms, gates: [a-2s-b], 2 seconds\n  window: 2s500ms\n"
        );
        assert_eq!(faster("interval: 2s", 100.0), "interval: 500ms");
    }
}
