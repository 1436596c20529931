//! The router that a Release names.

use std::sync::Arc;

use canary_traffic::Router;
use canary_traffic::kubernetes::{Api, Match, alb, gateway, istio, nginx};

use crate::api::{ReleaseSpec, RequestMatch, RouteKind, RouterName};
use crate::names;
use crate::plan::service;

/// The names of stable's and the canary's Service, as the router has them.
pub(super) fn services(spec: &ReleaseSpec) -> (String, String) {
    let stable = spec
        .traffic
        .stable
        .clone()
        .unwrap_or_else(|| service(spec).to_owned());
    let canary = spec
        .traffic
        .canary
        .clone()
        .unwrap_or_else(|| names::canary(&stable));
    (stable, canary)
}

/// The router, or `None` where the Release names one that the controller does not drive. `by` is what it remembers as who set
/// a weight. Nothing is sent.
pub(super) fn router(spec: &ReleaseSpec, api: Api, by: &str) -> Option<Arc<dyn Router>> {
    let traffic = &spec.traffic;
    let (stable, canary) = services(spec);
    let or_service =
        |written: &Option<String>| written.clone().unwrap_or_else(|| service(spec).to_owned());
    let matching = traffic.matching.as_ref().and_then(matching);
    Some(match traffic.router {
        RouterName::GatewayApi => {
            let route_type = match traffic.kind {
                Some(RouteKind::Grpc) => gateway::RouteType::Grpc,
                Some(RouteKind::Http) | None => gateway::RouteType::Http,
            };
            let route = gateway::Route {
                route_type,
                name: or_service(&traffic.route),
                stable,
                canary,
                matching,
            };
            Arc::new(route.router(api, by))
        }
        RouterName::Istio => {
            let arms = match &traffic.host {
                Some(host) => istio::Arms::Subsets {
                    host: host.clone(),
                    stable: traffic
                        .stable
                        .clone()
                        .unwrap_or_else(|| "stable".to_owned()),
                    canary: traffic
                        .canary
                        .clone()
                        .unwrap_or_else(|| "canary".to_owned()),
                },
                None => istio::Arms::Hosts { stable, canary },
            };
            let service = istio::VirtualService {
                name: or_service(&traffic.route),
                arms,
                matching,
            };
            Arc::new(service.router(api, by))
        }
        RouterName::Nginx => {
            let prefix = traffic.prefix.clone();
            let ingress = nginx::Ingress {
                name: or_service(&traffic.ingress),
                stable,
                canary,
                prefix: prefix.unwrap_or_else(|| nginx::USUAL_PREFIX.to_owned()),
                matching,
            };
            Arc::new(nginx::Nginx::new(ingress, api, by))
        }
        RouterName::Alb => {
            let action = alb::Action {
                ingress: or_service(&traffic.ingress),
                action: traffic.action.clone().unwrap_or_else(|| stable.clone()),
                stable,
                canary,
            };
            Arc::new(action.router(api, by))
        }
        RouterName::Argo | RouterName::Replicas => return None,
    })
}

fn matching(matching: &RequestMatch) -> Option<Match> {
    let value = matching
        .value
        .clone()
        .unwrap_or_else(|| "always".to_owned());
    match (&matching.header, &matching.cookie) {
        (Some(name), _) => Some(Match::Header {
            name: name.clone(),
            value,
        }),
        (None, Some(name)) => Some(Match::Cookie {
            name: name.clone(),
            value,
        }),
        (None, None) => None,
    }
}
