//! The router of a run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use canary_traffic::Router;
use canary_traffic::local::LocalSplitter;

use crate::osop::settings::{RouterKind, Settings};

/// The admin socket of the `canary proxy` of that name, below the runtime directory.
pub fn proxy_socket(runtime_directory: &Path, name: &str) -> PathBuf {
    runtime_directory.join(format!("proxy-{name}.sock"))
}

/// What sets the weight; `None` where the settings name nothing that canary drives. `identity` is what the router
/// remembers as who set a weight: `run checkout-7`.
pub fn router(
    settings: &Settings,
    service: &str,
    identity: &str,
    runtime_directory: &Path,
) -> Option<Arc<dyn Router>> {
    let traffic = &settings.traffic;
    let kind = traffic.router.as_ref().map(|kind| kind.value);
    let local = match kind {
        Some(RouterKind::None) => false,
        Some(RouterKind::Local) => true,
        None => traffic.proxy.is_some(),
    };
    if !local {
        return None;
    }
    let name = traffic
        .proxy
        .as_ref()
        .map_or("local", |name| name.value.as_str());
    let socket = if name.contains('/') {
        PathBuf::from(name)
    } else {
        proxy_socket(runtime_directory, name)
    };
    Some(Arc::new(LocalSplitter::new(service, socket, identity)))
}
