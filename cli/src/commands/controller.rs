//! `canary controller`: carries Releases out in a cluster.

use std::net::SocketAddr;
use std::time::Duration;

use canary_analyzer::duration;
use canary_controller::controller::{ControllerError, Options, run as drive};
use canary_controller::engine::Shard;
use canary_controller::lease::LeaseOptions;
use canary_controller::watch::Scope;
use kube::Config;
use kube::config::KubeConfigOptions;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::environment::Environment;
use crate::error::{CommandError, CommandResult};
use crate::output::Output;

/// Carry Releases out in a cluster
///
/// Watches Releases and what they release, and moves traffic as they say. Several controllers may run: one holds the lease,
/// the others wait. It reaches the cluster by its pod's service account, or by KUBECONFIG.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary controller                                       # in a pod, for the whole cluster
  canary controller --namespaces shop,cart                # for two namespaces, with Roles only
  canary controller --shard 0/3                           # a third of the releases; the others run 1/3 and 2/3
  canary controller --context test --listen 127.0.0.1:0   # from a laptop")]
pub(crate) struct Args {
    /// Look at these namespaces only; by default at all
    #[arg(long, value_name = "NAMESPACES", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// The controller's own namespace: its lease, and the Secrets of cluster-wide sources and profiles
    #[arg(short = 'n', long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// The context of the kubeconfig file
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Serve /metrics, /healthz and /readyz here; empty: nowhere
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9099")]
    listen: String,
    /// Carry out a part of the releases only: INDEX/COUNT, from 0
    #[arg(long, value_name = "INDEX/COUNT", value_parser = shard)]
    shard: Option<Shard>,
    /// Who holds the lease; by default the name of this host and a number
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// Name of the lease; a shard adds its own part
    #[arg(long, value_name = "NAME", default_value = "canary-controller")]
    lease: String,
    /// How long the lease counts after a renewal; at least 5s
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration::parse)]
    lease_duration: Duration,
    /// Keep targets paused at rest (true), or un-pause them (false); by default as the cluster's admission policy demands
    #[arg(long, value_name = "BOOL")]
    keep_paused: Option<bool>,
}

fn shard(text: &str) -> Result<Shard, String> {
    let wrong = || "INDEX/COUNT, such as 0/3: the index is below the count".to_owned();
    let (index, count) = text.split_once('/').ok_or_else(wrong)?;
    let index: u64 = index.parse().map_err(|_| wrong())?;
    let count: u64 = count.parse().map_err(|_| wrong())?;
    (index < count && count <= 1000)
        .then_some(Shard { index, count })
        .ok_or_else(wrong)
}

pub(crate) fn run(args: Args, _environment: &Environment, output: &Output) -> CommandResult {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CommandError::failed(format!("could not start: {error}")))?;
    runtime.block_on(carry_out(args, output))
}

async fn carry_out(args: Args, output: &Output) -> CommandResult {
    if args.lease_duration < Duration::from_secs(5) {
        return Err(CommandError::usage("--lease-duration is at least 5s"));
    }
    let listen: Option<SocketAddr> = match args.listen.as_str() {
        "" => None,
        address => Some(address.parse().map_err(|_| {
            CommandError::usage(format!("--listen: `{address}` is not an address"))
                .hint("write HOST:PORT with a number for the host, such as 0.0.0.0:9099")
        })?),
    };
    let config = config(args.context.as_deref()).await.map_err(|why| {
        CommandError::failed(format!("no way to a cluster: {why}"))
            .hint("set KUBECONFIG and try `kubectl cluster-info`, or run it in a pod")
    })?;
    let namespace = args
        .namespace
        .unwrap_or_else(|| config.default_namespace.clone());
    let scope = if args.namespaces.is_empty() {
        Scope::Cluster
    } else {
        Scope::Namespaces(args.namespaces)
    };
    let identity = args.identity.unwrap_or_else(|| {
        let host = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        format!("{host}_{:08x}", fastrand::u32(..))
    });
    let name = match args.shard {
        None => args.lease,
        Some(Shard { index, count }) => format!("{}-{index}-of-{count}", args.lease),
    };
    let options = Options {
        scope,
        namespace,
        shard: args.shard,
        listen,
        lease: LeaseOptions {
            name,
            identity,
            duration: args.lease_duration,
            renew: args.lease_duration / 5,
        },
        keep_paused: args.keep_paused,
    };
    let stop = CancellationToken::new();
    let signals = stop.clone();
    let (mut terminate, mut interrupt) = signal(SignalKind::terminate())
        .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)))
        .map_err(|error| CommandError::failed(format!("could not listen for signals: {error}")))?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        signals.cancel();
    });
    output.talk(&format!("canary controller {}", env!("CARGO_PKG_VERSION")));
    drive(config, options, stop).await.map_err(|error| {
        let code = match error {
            ControllerError::Listen { .. } => CommandError::usage(error.to_string()),
            error => CommandError::failed(error.to_string()),
        };
        code.hint("`canary controller --help` says what it needs")
    })?;
    Ok(0)
}

async fn config(context: Option<&str>) -> Result<Config, String> {
    match context {
        None => Config::infer().await.map_err(|error| error.to_string()),
        Some(context) => {
            let options = KubeConfigOptions {
                context: Some(context.to_owned()),
                ..KubeConfigOptions::default()
            };
            Config::from_kubeconfig(&options)
                .await
                .map_err(|error| error.to_string())
        }
    }
}
