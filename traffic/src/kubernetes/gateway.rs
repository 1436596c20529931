//! Gateway API: HTTPRoute and GRPCRoute, as they are: with several rules, filters and matches.
//!
//! The manifest names the stable Service only. The canary's backend is added to every rule that names stable, with the
//! same port and filters, and removed at the end; so whoever applies the manifest again takes traffic off the canary.
//!
//! The data plane follows when every parent says `Accepted` and `ResolvedRefs` for the object's present generation
//! (<https://gateway-api.sigs.k8s.io/geps/gep-1364/>).

use serde_json::{Value, json};

use super::api::{Api, Resource};
use super::object::{Unfit, list, number, text};
use super::patch::PatchOperation;
use super::patched::{Patched, Reading, RouteKind, Wanted};
use super::weighted::{Arm, List, Match, Parts};
use crate::{Acceptance, Weight};

/// Which kind of route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteType {
    /// HTTPRoute.
    Http,
    /// GRPCRoute.
    Grpc,
}

/// A route, and which of its backends are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which kind.
    pub route_type: RouteType,
    /// Its name.
    pub name: String,
    /// The Service of the stable version.
    pub stable: String,
    /// The Service of the canary.
    pub canary: String,
    /// Requests that go to the canary whatever its weight is.
    pub matching: Option<Match>,
}

/// The router.
pub type GatewayApi = Patched<Route>;

const GROUP: &str = "gateway.networking.k8s.io";
static HTTP: Resource = Resource {
    group: GROUP,
    versions: &["v1", "v1beta1"],
    plural: "httproutes",
    kind: "HTTPRoute",
};
static GRPC: Resource = Resource {
    group: GROUP,
    versions: &["v1", "v1alpha2"],
    plural: "grpcroutes",
    kind: "GRPCRoute",
};

/// The weight of a backend that has none written (the CRD's default).
const UNWRITTEN: u64 = 1;

impl Route {
    /// A router for this route.
    pub fn router(self, api: Api, by: impl Into<String>) -> GatewayApi {
        Patched::new(self, api, by)
    }

    fn parts(&self, object: &Value) -> Result<Parts, Unfit> {
        let mut parts = Parts {
            lists: Vec::new(),
            inserts: Vec::new(),
            matching: Vec::new(),
        };
        let mut others = Vec::new();
        for (place, rule) in list(object, "/spec/rules").iter().enumerate() {
            let backends = list(rule, "/backendRefs");
            let find = |name: &str| {
                backends
                    .iter()
                    .position(|backend| names(object, backend, name))
            };
            let canary = find(&self.canary);
            let Some(stable) = find(&self.stable) else {
                if canary.is_some() && backends.len() == 1 && self.is_matching(rule) {
                    parts
                        .matching
                        .push(("/spec/rules".to_owned(), place, rule.clone()));
                }
                others.extend(backends.iter().filter_map(|backend| text(backend, "/name")));
                continue;
            };
            let mut template = backends[stable].clone();
            template["name"] = json!(self.canary);
            if let Some(members) = template.as_object_mut() {
                members.remove("weight");
            }
            if let Some(rule) = self.matching_rule(rule, &template) {
                parts.inserts.push(("/spec/rules".to_owned(), place, rule));
            }
            parts.lists.push(List {
                pointer: format!("/spec/rules/{place}/backendRefs"),
                entries: backends.to_vec(),
                stable: arm(backends, stable),
                canary: canary.map(|index| arm(backends, index)),
                template,
                unwritten: UNWRITTEN,
            });
        }
        if parts.lists.is_empty() {
            let found = if others.is_empty() {
                "it has no backends".to_owned()
            } else {
                format!("its rules send to {}", others.join(", "))
            };
            return Err(Unfit::new(
                format!("no rule names the Service {}: {found}", self.stable),
                "name the stable Service under traffic.stable, as the route's backendRefs do",
            ));
        }
        Ok(parts)
    }

    /// The header that a matching request has, as a route says it.
    fn header(&self) -> Option<Value> {
        Some(match self.matching.as_ref()? {
            Match::Header { name, value } => {
                json!({"type": "Exact", "name": name, "value": value})
            }
            Match::Cookie { name, value } => {
                json!({"type": "RegularExpression", "name": "Cookie", "value": Match::cookie_pattern(name, value)})
            }
        })
    }

    /// The rule for matching requests that goes with this one.
    fn matching_rule(&self, rule: &Value, canary: &Value) -> Option<Value> {
        let header = self.header()?;
        let mut rule = rule.clone();
        let matches = match list(&rule, "/matches") {
            [] => vec![json!({ "headers": [header] })],
            matches => matches
                .iter()
                .map(|one| {
                    let mut one = one.clone();
                    match one.get_mut("headers").and_then(Value::as_array_mut) {
                        Some(headers) => headers.push(header.clone()),
                        None => one["headers"] = json!([header.clone()]),
                    }
                    one
                })
                .collect(),
        };
        rule["matches"] = Value::Array(matches);
        let mut canary = canary.clone();
        canary["weight"] = json!(1);
        rule["backendRefs"] = json!([canary]);
        // Names of rules are unique.
        if let Some(name) = text(&rule, "/name").map(|name| format!("{name}-canary")) {
            rule["name"] = json!(name);
        }
        Some(rule)
    }

    /// Every match of the rule asks for our header.
    fn is_matching(&self, rule: &Value) -> bool {
        let (Some(header), matches) = (self.header(), list(rule, "/matches")) else {
            return false;
        };
        let asks = |headers: &[Value]| {
            headers.iter().any(|one| {
                one["value"] == header["value"]
                    && text(one, "/name").is_some_and(|name| {
                        text(&header, "/name").is_some_and(|ours| ours.eq_ignore_ascii_case(name))
                    })
            })
        };
        !matches.is_empty() && matches.iter().all(|one| asks(list(one, "/headers")))
    }
}

fn arm(backends: &[Value], index: usize) -> Arm {
    Arm {
        index,
        weight: number(&backends[index], "/weight"),
        identity: vec![("name", backends[index]["name"].clone())],
    }
}

/// A backend is the Service of that name in the route's own namespace.
fn names(object: &Value, backend: &Value, service: &str) -> bool {
    text(backend, "/name") == Some(service)
        && text(backend, "/kind").is_none_or(|kind| kind == "Service")
        && text(backend, "/group").is_none_or(str::is_empty)
        && text(backend, "/namespace")
            .is_none_or(|namespace| text(object, "/metadata/namespace") == Some(namespace))
}

/// What the controllers of the route's parents say about its present generation.
fn acceptance(object: &Value, weight: Weight) -> Acceptance {
    let generation = number(object, "/metadata/generation").unwrap_or(0);
    let statuses = list(object, "/status/parents");
    let mut pending = None;
    for parent in list(object, "/spec/parentRefs") {
        let name = text(parent, "/name").unwrap_or("its parent");
        let mut said = statuses
            .iter()
            .filter(|status| same_parent(parent, &status["parentRef"]))
            .peekable();
        if said.peek().is_none() {
            pending = Some(format!("no controller has said anything about {name} yet"));
        }
        for status in said {
            let controller = text(status, "/controllerName").unwrap_or("its controller");
            for condition in ["Accepted", "ResolvedRefs"] {
                // Nothing needs to be resolved for a backend that gets nothing.
                if condition == "ResolvedRefs" && weight.is_zero() {
                    continue;
                }
                match condition_of(status, condition) {
                    Some((_, seen, _)) if seen < generation => {
                        pending = Some(format!(
                            "{controller} has seen generation {seen} of the route, which is at {generation} ({name}, {condition})"
                        ));
                    }
                    Some((true, _, _)) => {}
                    Some((false, _, why)) => {
                        return Acceptance::Refused {
                            reason: format!(
                                "{controller} says {condition}=False for {name}: {why}"
                            ),
                        };
                    }
                    None => {
                        pending = Some(format!(
                            "{controller} has not said {condition} for {name} yet"
                        ));
                    }
                }
            }
        }
    }
    if list(object, "/spec/parentRefs").is_empty() {
        return Acceptance::Refused {
            reason: "the route has no parentRefs: no gateway serves it".to_owned(),
        };
    }
    pending.map_or(Acceptance::Accepted, |reason| Acceptance::Pending {
        reason,
    })
}

/// Status names a parent with the defaults filled in.
fn same_parent(wanted: &Value, said: &Value) -> bool {
    let same = |member: &str| {
        let (wanted, said) = (wanted.get(member), said.get(member));
        wanted.is_none() || said.is_none() || wanted == said
    };
    ["group", "kind", "namespace", "name", "sectionName", "port"]
        .into_iter()
        .all(same)
}

/// A condition: true or not, the generation it is about, its reason and message.
fn condition_of(status: &Value, name: &str) -> Option<(bool, u64, String)> {
    let condition = list(status, "/conditions")
        .iter()
        .find(|condition| text(condition, "/type") == Some(name))?;
    let why = format!(
        "{}: {}",
        text(condition, "/reason").unwrap_or("no reason"),
        text(condition, "/message").unwrap_or("no message")
    );
    Some((
        text(condition, "/status") == Some("True"),
        number(condition, "/observedGeneration").unwrap_or(0),
        why,
    ))
}

impl RouteKind for Route {
    fn resource(&self) -> &'static Resource {
        match self.route_type {
            RouteType::Http => &HTTP,
            RouteType::Grpc => &GRPC,
        }
    }

    fn object(&self) -> &str {
        &self.name
    }

    fn read(&self, object: &Value) -> Result<Reading, Unfit> {
        let parts = self.parts(object)?;
        let weight = parts.weight();
        Ok(Reading {
            weight,
            even: parts.is_even(),
            matching: parts.has_matching(object),
            accepted: acceptance(object, weight),
            field: vec!["spec".to_owned(), "rules".to_owned()],
        })
    }

    fn plan(&self, object: &Value, wanted: &Wanted<'_>) -> Result<Vec<PatchOperation>, Unfit> {
        self.parts(object)?.plan(object, wanted)
    }

    fn fits(&self, object: &Value) -> Result<Vec<String>, Unfit> {
        let parts = self.parts(object)?;
        if parts.shared_in_manifest(object) {
            return Err(Unfit::new(
                format!(
                    "its manifest gives the Service {} {} of the traffic: whoever applies it again takes that much of the users to the canary, whatever a run decided (backends without a weight count 1 each)",
                    self.canary,
                    parts.weight()
                ),
                format!(
                    "remove {} from the manifest (it is added for as long as a release runs), or give the two backends the weights 100 and 0",
                    self.canary
                ),
            ));
        }
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests;
