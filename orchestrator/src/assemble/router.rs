//! The router of a run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use canary_traffic::Router;
use canary_traffic::kubernetes::{Access, Api, Match, alb, argo, gateway, istio, nginx, replicas};
use canary_traffic::local::LocalSplitter;

use crate::osop::model::Text;
use crate::osop::settings::{RolloutSteps, RouteKind, RouterKind, Settings, Traffic};

/// The admin socket of the `canary proxy` of that name, below the runtime directory.
pub fn proxy_socket(runtime_directory: &Path, name: &str) -> PathBuf {
    runtime_directory.join(format!("proxy-{name}.sock"))
}

/// What sets the weight; `None` where the settings name nothing that canary drives. `identity` is what the router
/// remembers as who set a weight: `run checkout-7`. A relative kubeconfig starts at `directory`. Nothing is sent.
pub fn router(
    settings: &Settings,
    service: &str,
    identity: &str,
    runtime_directory: &Path,
    directory: &Path,
) -> Option<Arc<dyn Router>> {
    let traffic = &settings.traffic;
    let kind = match traffic.router {
        Some(kind) => kind.value,
        None => traffic.proxy.as_ref().map(|_| RouterKind::Local)?,
    };
    let names = Names { traffic, service };
    let api = || api(settings, directory);
    Some(match kind {
        RouterKind::None => return None,
        RouterKind::Local => Arc::new(local(traffic, service, identity, runtime_directory)),
        RouterKind::GatewayApi => {
            let route_type = match traffic.kind.map(|kind| kind.value) {
                Some(RouteKind::Grpc) => gateway::RouteType::Grpc,
                Some(RouteKind::Http) | None => gateway::RouteType::Http,
            };
            let route = gateway::Route {
                route_type,
                name: names.or_service(traffic.route.as_ref()),
                stable: names.stable(),
                canary: names.canary(),
                matching: names.matching(),
            };
            Arc::new(route.router(api(), identity))
        }
        RouterKind::Istio => {
            let service = istio::VirtualService {
                name: names.or_service(traffic.route.as_ref()),
                arms: names.arms(),
                matching: names.matching(),
            };
            Arc::new(service.router(api(), identity))
        }
        RouterKind::Nginx => {
            let ingress = nginx::Ingress {
                name: names.or_service(traffic.ingress.as_ref()),
                stable: names.stable(),
                canary: names.canary(),
                prefix: value(traffic.prefix.as_ref(), nginx::USUAL_PREFIX),
                matching: names.matching(),
            };
            Arc::new(nginx::Nginx::new(ingress, api(), identity))
        }
        RouterKind::Alb => {
            let action = alb::Action {
                ingress: names.or_service(traffic.ingress.as_ref()),
                action: value(traffic.action.as_ref(), &names.stable()),
                stable: names.stable(),
                canary: names.canary(),
            };
            Arc::new(action.router(api(), identity))
        }
        RouterKind::Argo => {
            let steps = match traffic.steps.map(|steps| steps.value) {
                Some(RolloutSteps::Replace) => argo::Steps::Replace,
                Some(RolloutSteps::Keep) | None => argo::Steps::Keep,
            };
            let rollout = names.or_service(traffic.rollout.as_ref());
            Arc::new(argo::Argo::new(rollout, steps, api(), identity))
        }
        RouterKind::Replicas => {
            let deployments = replicas::Deployments {
                stable: names.stable(),
                canary: names.canary(),
            };
            Arc::new(replicas::Replicas::new(deployments, api(), identity))
        }
    })
}

fn local(
    traffic: &Traffic,
    service: &str,
    identity: &str,
    runtime_directory: &Path,
) -> LocalSplitter {
    let name = traffic
        .proxy
        .as_ref()
        .map_or("local", |name| name.value.as_str());
    let socket = if name.contains('/') {
        PathBuf::from(name)
    } else {
        proxy_socket(runtime_directory, name)
    };
    LocalSplitter::new(service, socket, identity)
}

fn api(settings: &Settings, directory: &Path) -> Api {
    let cluster = &settings.traffic.cluster;
    let namespace = cluster.namespace.as_ref().or(settings.namespace.as_ref());
    let access = Access {
        kubeconfig: cluster
            .kubeconfig
            .as_ref()
            .map(|path| directory.join(&path.value)),
        context: cluster.context.as_ref().map(|name| name.value.clone()),
    };
    Api::new(access, namespace.map(|name| name.value.clone()))
}

fn value(written: Option<&Text>, default: &str) -> String {
    written.map_or_else(|| default.to_owned(), |text| text.value.clone())
}

/// Names as written, or what they are where they are not.
struct Names<'a> {
    traffic: &'a Traffic,
    service: &'a str,
}

impl Names<'_> {
    fn or_service(&self, written: Option<&Text>) -> String {
        value(written, self.service)
    }

    fn stable(&self) -> String {
        self.or_service(self.traffic.stable.as_ref())
    }

    fn canary(&self) -> String {
        value(
            self.traffic.canary.as_ref(),
            &format!("{}-canary", self.stable()),
        )
    }

    fn arms(&self) -> istio::Arms {
        match &self.traffic.host {
            None => istio::Arms::Hosts {
                stable: self.stable(),
                canary: self.canary(),
            },
            Some(host) => istio::Arms::Subsets {
                host: host.value.clone(),
                stable: value(self.traffic.stable.as_ref(), "stable"),
                canary: value(self.traffic.canary.as_ref(), "canary"),
            },
        }
    }

    fn matching(&self) -> Option<Match> {
        let matching = self.traffic.matching.as_ref()?;
        let wanted = value(matching.value.as_ref(), "always");
        match (&matching.header, &matching.cookie) {
            (Some(header), _) => Some(Match::Header {
                name: header.value.clone(),
                value: wanted,
            }),
            (None, Some(cookie)) => Some(Match::Cookie {
                name: cookie.value.clone(),
                value: wanted,
            }),
            (None, None) => None,
        }
    }
}
