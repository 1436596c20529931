//! AWS Load Balancer Controller: the weights are JSON in an annotation of the Ingress, an "action"
//! (<https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/ingress/annotations/#actions>), and the
//! Ingress' backend names that action with the port `use-annotation`.
//!
//! Of the action only the weights of the two target groups are changed; the rest of the text keeps its meaning and its
//! spelling (the controller reads keys in any case). The original text is put back at the end.

use serde_json::{Value, json};

use super::api::{Api, Resource};
use super::object::{Unfit, annotation, list, text};
use super::patch::{PatchOperation, annotate, annotation_pointer, forget};
use super::patched::{Patched, Reading, RouteKind, Wanted};
use super::{ANNOTATION_BEFORE, ANNOTATION_BY};
use crate::{Acceptance, Weight};

static INGRESS: Resource = Resource {
    group: "networking.k8s.io",
    versions: &["v1"],
    plural: "ingresses",
    kind: "Ingress",
};

/// Before the name of the action.
const ACTIONS: &str = "alb.ingress.kubernetes.io/actions.";

/// The action of an Ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The Ingress.
    pub ingress: String,
    /// The action's name, as the Ingress' backend says it.
    pub action: String,
    /// The Service of the stable version.
    pub stable: String,
    /// The Service of the canary.
    pub canary: String,
}

/// The router.
pub type Alb = Patched<Action>;

/// A forward action, read.
struct Forward {
    /// All of it.
    action: Value,
    /// Pointer of its target groups.
    groups: String,
    stable: usize,
    canary: Option<usize>,
}

/// The member of that name, in any case, as it is spelled.
fn member<'a>(value: &'a Value, name: &str) -> Option<(&'a str, &'a Value)> {
    value
        .as_object()?
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(key, value)| (key.as_str(), value))
}

fn service(group: &Value) -> Option<&str> {
    member(group, "serviceName")?.1.as_str()
}

fn weight(group: &Value) -> u64 {
    // What is not written counts 1. AWS takes 0 to 999; more is cut, so that sums stay sums.
    member(group, "weight").map_or(1, |(_, weight)| weight.as_u64().unwrap_or(0).min(1_000_000))
}

impl Forward {
    fn group(&self, index: usize) -> &Value {
        self.action
            .pointer(&format!("{}/{index}", self.groups))
            .unwrap_or(&Value::Null)
    }

    fn groups(&self) -> usize {
        list(&self.action, &self.groups).len()
    }

    fn parts(&self) -> (u64, u64) {
        (
            weight(self.group(self.stable)),
            self.canary.map_or(0, |index| weight(self.group(index))),
        )
    }

    fn weight(&self) -> Weight {
        let (stable, canary) = self.parts();
        if canary == 0 {
            return Weight::ZERO;
        }
        let sum = stable + canary;
        Weight::saturating(u8::try_from(((canary * 100 + sum / 2) / sum).max(1)).unwrap_or(100))
    }

    fn set(&mut self, index: usize, weight: u64) {
        let pointer = format!("{}/{index}", self.groups);
        if let Some(group) = self.action.pointer_mut(&pointer) {
            let key = member(group, "weight")
                .map_or("weight", |(key, _)| key)
                .to_owned();
            group[&key] = json!(weight);
        }
    }

    /// The canary's group, made from stable's where there is none.
    fn canary(&mut self, service: &str) -> usize {
        if let Some(index) = self.canary {
            return index;
        }
        let mut group = self.group(self.stable).clone();
        let key = member(&group, "serviceName")
            .map_or("serviceName", |(key, _)| key)
            .to_owned();
        group[&key] = json!(service);
        let pointer = self.groups.clone();
        let index = self.groups();
        if let Some(groups) = self
            .action
            .pointer_mut(&pointer)
            .and_then(Value::as_array_mut)
        {
            groups.push(group);
        }
        self.canary = Some(index);
        index
    }
}

impl Action {
    /// A router for this action.
    pub fn router(self, api: Api, by: impl Into<String>) -> Alb {
        Patched::new(self, api, by)
    }

    fn annotation_name(&self) -> String {
        format!("{ACTIONS}{}", self.action)
    }

    /// The action's text.
    fn written<'a>(&self, object: &'a Value) -> Result<&'a str, Unfit> {
        annotation(object, &self.annotation_name()).ok_or_else(|| {
            Unfit::new(
                format!("it has no annotation {}", self.annotation_name()),
                format!(
                    "write the action with stable alone: {}",
                    json!({"type": "forward", "forwardConfig": {"targetGroups": [{"serviceName": self.stable, "servicePort": "80", "weight": 100}]}})
                ),
            )
        })
    }

    fn parse(&self, object: &Value) -> Result<Forward, Unfit> {
        let written = self.written(object)?;
        let bad = |what: String| {
            Unfit::new(
                format!("{}: {what}", self.annotation_name()),
                "the action must be a forward to target groups by serviceName",
            )
        };
        let action: Value =
            serde_json::from_str(written).map_err(|error| bad(format!("no JSON: {error}")))?;
        let config = member(&action, "forwardConfig")
            .ok_or_else(|| bad("it has no forwardConfig".to_owned()))?;
        let groups = member(config.1, "targetGroups")
            .filter(|(_, groups)| groups.is_array())
            .ok_or_else(|| bad("its forwardConfig has no targetGroups".to_owned()))?;
        let pointer = format!("/{}/{}", config.0, groups.0);
        let find = |name: &str| {
            groups
                .1
                .as_array()
                .and_then(|groups| groups.iter().position(|group| service(group) == Some(name)))
        };
        let (stable, canary) = (find(&self.stable), find(&self.canary));
        let stable = stable.ok_or_else(|| {
            bad(format!(
                "no target group has the serviceName {}",
                self.stable
            ))
        })?;
        Ok(Forward {
            action,
            groups: pointer,
            stable,
            canary,
        })
    }

    fn is_used(&self, object: &Value) -> bool {
        let uses = |backend: &Value| {
            text(backend, "/service/name") == Some(&self.action)
                && text(backend, "/service/port/name") == Some("use-annotation")
        };
        let in_rules = list(object, "/spec/rules").iter().any(|rule| {
            list(rule, "/http/paths")
                .iter()
                .any(|path| uses(&path["backend"]))
        });
        in_rules || object.pointer("/spec/defaultBackend").is_some_and(uses)
    }

    /// The patch that replaces the action's text, if it is still the one that was read.
    fn replace(&self, object: &Value, new: &Value) -> Result<Vec<PatchOperation>, Unfit> {
        let written = self.written(object)?;
        let text = new.to_string();
        if serde_json::from_str::<Value>(written).is_ok_and(|old| old == *new) {
            return Ok(Vec::new());
        }
        let path = annotation_pointer(&self.annotation_name());
        Ok(vec![
            PatchOperation::test(path.clone(), written),
            PatchOperation::add(path, text),
        ])
    }
}

impl RouteKind for Action {
    fn resource(&self) -> &'static Resource {
        &INGRESS
    }

    fn object(&self) -> &str {
        &self.ingress
    }

    fn read(&self, object: &Value) -> Result<Reading, Unfit> {
        Ok(Reading {
            weight: self.parse(object)?.weight(),
            even: true,
            matching: false,
            // An Ingress says nothing about its actions.
            accepted: Acceptance::Accepted,
            field: vec![
                "metadata".to_owned(),
                "annotations".to_owned(),
                self.annotation_name(),
            ],
        })
    }

    fn plan(&self, object: &Value, wanted: &Wanted<'_>) -> Result<Vec<PatchOperation>, Unfit> {
        let mut forward = self.parse(object)?;
        let mut operations;
        match *wanted {
            Wanted::Weight { to, by } => {
                let others = forward.groups() > 1 + usize::from(forward.canary.is_some());
                let (stable, canary) = forward.parts();
                let whole = if others { stable + canary } else { 100 };
                let part = whole * u64::from(to.percent());
                if !part.is_multiple_of(100) {
                    return Err(Unfit::new(
                        format!(
                            "the action has other target groups, and {to} of stable's weight {whole} there is no whole number"
                        ),
                        "give the target groups weights that are multiples of 100 (AWS takes 0 to 999)",
                    ));
                }
                let first = forward.canary.is_none();
                let index = forward.canary(&self.canary);
                forward.set(forward.stable, whole - part / 100);
                forward.set(index, part / 100);
                operations = self.replace(object, &forward.action)?;
                let mut notes = vec![(ANNOTATION_BY, by.to_owned())];
                if first || annotation(object, ANNOTATION_BEFORE).is_none() {
                    notes.push((ANNOTATION_BEFORE, self.written(object)?.to_owned()));
                }
                annotate(object, &notes, &mut operations);
            }
            Wanted::Off { by } => {
                let (stable, canary) = forward.parts();
                if canary == 0 {
                    return Ok(Vec::new());
                }
                let index = forward.canary(&self.canary);
                forward.set(forward.stable, stable + canary);
                forward.set(index, 0);
                operations = self.replace(object, &forward.action)?;
                annotate(object, &[(ANNOTATION_BY, by.to_owned())], &mut operations);
            }
            Wanted::Gone => {
                operations = Vec::new();
                if let Some(before) = annotation(object, ANNOTATION_BEFORE) {
                    let path = annotation_pointer(&self.annotation_name());
                    operations.push(PatchOperation::test(path.clone(), self.written(object)?));
                    operations.push(PatchOperation::add(path, before));
                }
                forget(object, &mut operations);
            }
        }
        Ok(operations)
    }

    fn fits(&self, object: &Value) -> Result<Vec<String>, Unfit> {
        if !self.is_used(object) {
            return Err(Unfit::new(
                format!(
                    "no backend of it is the action {0} (service.name: {0}, port.name: use-annotation)",
                    self.action
                ),
                "name the action under traffic.action, as the Ingress' backend does",
            ));
        }
        let forward = self.parse(object)?;
        if annotation(object, ANNOTATION_BEFORE).is_none() && !forward.weight().is_zero() {
            return Err(Unfit::new(
                format!(
                    "its manifest gives {} {} of the traffic: whoever applies it again takes that much of the users to the canary, whatever a run decided",
                    self.canary,
                    forward.weight()
                ),
                "remove the canary's target group from the manifest, or give it the weight 0",
            ));
        }
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests;
