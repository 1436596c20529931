//! `canary proxy`: the local splitter.

use std::net::SocketAddr;
use std::path::PathBuf;

use canary_analyzer::duration;
use canary_orchestrator::assemble::proxy_socket;
use canary_traffic::Weight;
use canary_traffic::splitter::{Splitter, SplitterOptions, Sticky, Uri};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::environment::Environment;
use crate::error::{CommandError, CommandResult};
use crate::output::Output;

/// Split HTTP traffic between two versions on this machine
///
/// An HTTP/1.1 and HTTP/2 reverse proxy. `canary run` drives its weight over a Unix socket that only this user may
/// open; `x-canary.traffic.proxy` names it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary proxy --stable http://127.0.0.1:8081 --canary http://127.0.0.1:8082
  canary proxy --listen 0.0.0.0:8080 --name checkout --stable http://10.0.0.1 --canary http://10.0.0.2
  canary proxy --sticky-cookie canary --stable http://127.0.0.1:8081 --canary http://127.0.0.1:8082
  curl -H 'X-Canary: always' http://127.0.0.1:8080/")]
pub(crate) struct Args {
    /// The version that users trust: http://HOST:PORT, or h2c://HOST:PORT for HTTP/2 only
    #[arg(long, value_name = "URL")]
    stable: Uri,
    /// The version on trial, in the same form
    #[arg(long, value_name = "URL")]
    canary: Uri,
    /// Where clients connect
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// What `canary run` calls this proxy
    #[arg(long, default_value = "local", value_parser = proxy_name)]
    name: String,
    /// Percent of requests that the canary gets at the start
    #[arg(long, value_name = "0-100", default_value = "0", value_parser = weight)]
    weight: Weight,
    /// Keep each client with one version by a cookie of this name
    #[arg(long, value_name = "NAME", conflicts_with = "sticky_header")]
    sticky_cookie: Option<String>,
    /// How long the cookie lives; without it, until the browser closes
    #[arg(long, value_name = "DURATION", requires = "sticky_cookie", value_parser = duration::parse)]
    sticky_max_age: Option<std::time::Duration>,
    /// Keep each client with one version by this request header, such as X-User-Id
    #[arg(long, value_name = "NAME")]
    sticky_header: Option<String>,
    /// Request header that overrides the split with `always` or `never`; empty switches it off
    #[arg(long, value_name = "NAME", default_value = "X-Canary")]
    override_header: String,
    /// Let `always` reach the canary at weight 0 too
    #[arg(long)]
    override_at_zero: bool,
    /// Serve /metrics over TCP too, for a Prometheus
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// The socket that the weight is set over; by default one of this user's, by name
    #[arg(long, value_name = "PATH")]
    admin: Option<PathBuf>,
    /// Make the sequence of versions repeatable
    #[arg(long)]
    seed: Option<u64>,
    /// Worker threads
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
}

fn proxy_name(text: &str) -> Result<String, String> {
    let valid = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    if !text.is_empty() && text.len() <= 40 && text.chars().all(valid) {
        Ok(text.to_owned())
    } else {
        Err("1 to 40 letters, digits, `-`, `_` or `.`".to_owned())
    }
}

/// A weight as people write it: `10` or `10%`.
pub(crate) fn weight(text: &str) -> Result<Weight, String> {
    let number = text.trim_end_matches('%').trim();
    let percent: u8 = number
        .parse()
        .map_err(|_| format!("`{text}` is not a whole number of percent, 0 to 100"))?;
    Weight::try_from(percent).map_err(|error| error.to_string())
}

impl Args {
    fn options(self, environment: &Environment) -> SplitterOptions {
        let sticky = match (self.sticky_cookie, self.sticky_header) {
            (Some(name), _) => Sticky::Cookie {
                name,
                max_age: self.sticky_max_age,
                attributes: String::new(),
            },
            (None, Some(name)) => Sticky::Header {
                name,
                salt: String::new(),
            },
            (None, None) => Sticky::None,
        };
        let admin = self
            .admin
            .unwrap_or_else(|| proxy_socket(&environment.runtime_directory(), &self.name));
        SplitterOptions {
            name: self.name,
            weight: self.weight,
            sticky,
            override_header: (!self.override_header.is_empty()).then_some(self.override_header),
            override_at_zero: self.override_at_zero,
            seed: self.seed,
            admin: Some(admin),
            metrics_listen: self.metrics,
            ..SplitterOptions::new(self.listen, self.stable, self.canary)
        }
    }
}

/// Runs until Ctrl-C or SIGTERM; requests in flight finish.
pub(crate) fn run(args: Args, environment: &Environment, output: &Output) -> CommandResult {
    let threads = usize::from(args.threads);
    let options = args.options(environment);
    let failed = |error: std::io::Error| CommandError::failed(format!("cannot start: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(failed)?;
    runtime.block_on(async {
        let admin = options.admin.clone().unwrap_or_default();
        let name = options.name.clone();
        let (stable, canary, weight) = (
            options.stable.clone(),
            options.canary.clone(),
            options.weight,
        );
        let splitter = Splitter::bind(options)
            .await
            .map_err(|error| CommandError::usage(error.to_string()))?;
        output.talk(&format!(
            "proxy {name} on http://{}: {weight} to {canary}, the rest to {stable}",
            splitter.addr(),
        ));
        output.talk(&format!("set over {}", admin.display()));
        let stop = CancellationToken::new();
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let serving = tokio::spawn(splitter.serve(stop.clone()));
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        output.talk("finishing the requests in flight ...");
        stop.cancel();
        tokio::select! {
            _ = serving => {}
            _ = interrupt.recv() => {}
        }
        Ok(0)
    })
}
