//! Istio: a VirtualService's `http`, `tls` and `tcp` routes.
//!
//! Versions are told apart by host (two Services) or by subset (one Service and a DestinationRule). The canary's
//! destination is added to every route that names stable, and removed at the end; other destinations stay, with their
//! weights: a destination gets weight / (sum of all weights) of the requests
//! (<https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRouteDestination>).
//!
//! A VirtualService has no condition that says when the proxies follow; istiod may report that it is not valid.

use serde_json::{Value, json};

use super::api::{Api, Resource};
use super::object::{Unfit, list, number, text};
use super::patch::PatchOperation;
use super::patched::{Patched, Reading, RouteKind, Wanted};
use super::weighted::{Arm, List, Match, Parts};
use crate::Acceptance;

/// How the two versions are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arms {
    /// By host: two Services.
    Hosts {
        /// Stable's.
        stable: String,
        /// The canary's.
        canary: String,
    },
    /// By subset of one host; a DestinationRule says which pods they are.
    Subsets {
        /// The Service.
        host: String,
        /// Stable's subset.
        stable: String,
        /// The canary's.
        canary: String,
    },
}

/// A VirtualService, and which of its destinations are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualService {
    /// Its name.
    pub name: String,
    /// The versions.
    pub arms: Arms,
    /// Requests that go to the canary whatever its weight is. For `http` routes only.
    pub matching: Option<Match>,
}

/// The router.
pub type Istio = Patched<VirtualService>;

static RESOURCE: Resource = Resource {
    group: "networking.istio.io",
    versions: &["v1", "v1beta1", "v1alpha3"],
    plural: "virtualservices",
    kind: "VirtualService",
};

const PROTOCOLS: [&str; 3] = ["http", "tls", "tcp"];

impl VirtualService {
    /// A router for this VirtualService.
    pub fn router(self, api: Api, by: impl Into<String>) -> Istio {
        Patched::new(self, api, by)
    }

    /// Host and subset of stable (`true`) or the canary.
    fn arm(&self, is_stable: bool) -> (&str, Option<&str>) {
        match &self.arms {
            Arms::Hosts { stable, canary } => (if is_stable { stable } else { canary }, None),
            Arms::Subsets {
                host,
                stable,
                canary,
            } => (host, Some(if is_stable { stable } else { canary })),
        }
    }

    fn is_arm(&self, object: &Value, entry: &Value, is_stable: bool) -> bool {
        let (host, subset) = self.arm(is_stable);
        text(entry, "/destination/host").is_some_and(|found| same_host(object, found, host))
            && text(entry, "/destination/subset") == subset
    }

    fn parts(&self, object: &Value) -> Result<Parts, Unfit> {
        let mut parts = Parts {
            lists: Vec::new(),
            inserts: Vec::new(),
            matching: Vec::new(),
        };
        let mut others = Vec::new();
        for protocol in PROTOCOLS {
            let rules = format!("/spec/{protocol}");
            for (place, rule) in list(object, &rules).iter().enumerate() {
                let entries = list(rule, "/route");
                let find = |is_stable| {
                    entries
                        .iter()
                        .position(|entry| self.is_arm(object, entry, is_stable))
                };
                let canary = find(false);
                let Some(stable) = find(true) else {
                    if canary.is_some() && entries.len() == 1 && self.is_matching(rule) {
                        parts.matching.push((rules.clone(), place, rule.clone()));
                    }
                    others.extend(entries.iter().map(destination));
                    continue;
                };
                let template = self.template(&entries[stable]);
                if protocol == "http"
                    && let Some(rule) = self.matching_rule(rule, &template)
                {
                    parts.inserts.push((rules.clone(), place, rule));
                }
                parts.lists.push(List {
                    pointer: format!("{rules}/{place}/route"),
                    entries: entries.to_vec(),
                    stable: arm(entries, stable),
                    canary: canary.map(|index| arm(entries, index)),
                    template,
                    // One destination alone gets everything, among others nothing.
                    unwritten: if entries.len() == 1 { 100 } else { 0 },
                });
            }
        }
        if parts.lists.is_empty() {
            let (host, subset) = self.arm(true);
            let wanted =
                subset.map_or_else(|| host.to_owned(), |subset| format!("{host}/{subset}"));
            let found = if others.is_empty() {
                "it has no destinations".to_owned()
            } else {
                format!("it sends to {}", others.join(", "))
            };
            return Err(Unfit::new(
                format!("no route names {wanted}: {found}"),
                "name the stable destination under traffic.stable (with subsets, the Service under traffic.host)",
            ));
        }
        Ok(parts)
    }

    /// The canary's entry, made from stable's.
    fn template(&self, stable: &Value) -> Value {
        let mut entry = stable.clone();
        let (host, subset) = self.arm(false);
        match subset {
            Some(subset) => entry["destination"]["subset"] = json!(subset),
            None => {
                // As stable's host is written: short, or with the same domain.
                let written = text(stable, "/destination/host").unwrap_or_default();
                let domain = written.split_once('.').map(|(_, domain)| domain);
                entry["destination"]["host"] = match domain {
                    Some(domain) if !host.contains('.') => json!(format!("{host}.{domain}")),
                    _ => json!(host),
                };
            }
        }
        if let Some(members) = entry.as_object_mut() {
            members.remove("weight");
        }
        entry
    }

    /// Header and how it is matched.
    fn header(&self) -> Option<(String, Value)> {
        Some(match self.matching.as_ref()? {
            Match::Header { name, value } => (name.to_ascii_lowercase(), json!({ "exact": value })),
            Match::Cookie { name, value } => (
                "cookie".to_owned(),
                json!({ "regex": Match::cookie_pattern(name, value) }),
            ),
        })
    }

    fn matching_rule(&self, rule: &Value, canary: &Value) -> Option<Value> {
        let (name, pattern) = self.header()?;
        let mut rule = rule.clone();
        let matches = match list(&rule, "/match") {
            [] => vec![json!({ "headers": { name: pattern } })],
            matches => matches
                .iter()
                .map(|one| {
                    let mut one = one.clone();
                    if !one.get("headers").is_some_and(Value::is_object) {
                        one["headers"] = json!({});
                    }
                    one["headers"][&name] = pattern.clone();
                    one
                })
                .collect(),
        };
        rule["match"] = Value::Array(matches);
        rule["route"] = json!([canary]);
        if let Some(name) = text(&rule, "/name").map(|name| format!("{name}-canary")) {
            rule["name"] = json!(name);
        }
        Some(rule)
    }

    fn is_matching(&self, rule: &Value) -> bool {
        let Some((name, pattern)) = self.header() else {
            return false;
        };
        let matches = list(rule, "/match");
        !matches.is_empty()
            && matches.iter().all(|one| {
                one.get("headers")
                    .and_then(|headers| headers.get(&name))
                    .is_some_and(|found| *found == pattern)
            })
    }
}

fn destination(entry: &Value) -> String {
    let host = text(entry, "/destination/host").unwrap_or("?");
    text(entry, "/destination/subset")
        .map_or_else(|| host.to_owned(), |subset| format!("{host}/{subset}"))
}

fn arm(entries: &[Value], index: usize) -> Arm {
    let mut identity = vec![(
        "destination/host",
        entries[index]["destination"]["host"].clone(),
    )];
    if let Some(subset) = entries[index]["destination"].get("subset") {
        identity.push(("destination/subset", subset.clone()));
    }
    Arm {
        index,
        weight: number(&entries[index], "/weight"),
        identity,
    }
}

/// A host may be written short, with its namespace, or in full.
fn same_host(object: &Value, found: &str, wanted: &str) -> bool {
    if found == wanted {
        return true;
    }
    let namespace = text(object, "/metadata/namespace").unwrap_or("default");
    let full = |host: &str| {
        let mut parts = host.splitn(3, '.');
        let name = parts.next().unwrap_or_default();
        let in_namespace = parts.next().unwrap_or(namespace);
        let domain = parts.next().unwrap_or("svc.cluster.local");
        let domain = if domain == "svc" {
            "svc.cluster.local"
        } else {
            domain
        };
        format!("{name}.{in_namespace}.{domain}")
    };
    full(found) == full(wanted)
}

/// istiod says where a VirtualService is not valid, if it is told to write status at all.
fn acceptance(object: &Value) -> Acceptance {
    let error = list(object, "/status/validationMessages")
        .iter()
        .find(|message| {
            text(message, "/level").is_some_and(|level| level.eq_ignore_ascii_case("error"))
        });
    match error {
        Some(message) => Acceptance::Refused {
            reason: format!(
                "istiod says {}: {}",
                text(message, "/type/code").unwrap_or("ERROR"),
                text(message, "/documentationUrl").unwrap_or("no documentation")
            ),
        },
        None => Acceptance::Accepted,
    }
}

impl RouteKind for VirtualService {
    fn resource(&self) -> &'static Resource {
        &RESOURCE
    }

    fn object(&self) -> &str {
        &self.name
    }

    fn read(&self, object: &Value) -> Result<Reading, Unfit> {
        let parts = self.parts(object)?;
        let protocol = parts.lists[0]
            .pointer
            .split('/')
            .nth(2)
            .unwrap_or("http")
            .to_owned();
        Ok(Reading {
            weight: parts.weight(),
            even: parts.is_even(),
            matching: parts.has_matching(object),
            accepted: acceptance(object),
            field: vec!["spec".to_owned(), protocol],
        })
    }

    fn plan(&self, object: &Value, wanted: &Wanted<'_>) -> Result<Vec<PatchOperation>, Unfit> {
        self.parts(object)?.plan(object, wanted)
    }

    fn fits(&self, object: &Value) -> Result<Vec<String>, Unfit> {
        let parts = self.parts(object)?;
        if parts.shared_in_manifest(object) {
            let (host, subset) = self.arm(false);
            return Err(Unfit::new(
                format!(
                    "its manifest gives {host}{} {} of the traffic: whoever applies it again takes that much of the users to the canary, whatever a run decided",
                    subset
                        .map(|subset| format!("/{subset}"))
                        .unwrap_or_default(),
                    parts.weight()
                ),
                "remove the canary's destination from the manifest (it is added for as long as a release runs), or give it the weight 0",
            ));
        }
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests;
