//! NGINX annotations: a second, "canary" Ingress beside the stable one
//! (<https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations/#canary>).
//!
//! ingress-nginx is retired, but others read the same annotations, some under a prefix of their own: the prefix is a
//! setting. The canary Ingress is ours: made at the first weight from the stable Ingress' rules for the stable Service,
//! owned by it (whoever deletes the stable Ingress deletes both), and deleted at the end.

use futures::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::api::{Api, Failure, Patience, Resource, Served};
use super::fields::last_writer;
use super::object::{Unfit, annotation, label, list, text};
use super::weighted::Match;
use super::{ANNOTATION_BY, LABEL_MANAGED_BY, MANAGED_BY};
use crate::{Acceptance, Observed, Preflight, Router, RouterError, RouterErrorKind, Weight};

/// What ingress-nginx itself reads.
pub const USUAL_PREFIX: &str = "nginx.ingress.kubernetes.io";

/// Legacy way to name the class.
const CLASS: &str = "kubernetes.io/ingress.class";

static INGRESS: Resource = Resource {
    group: "networking.k8s.io",
    versions: &["v1"],
    plural: "ingresses",
    kind: "Ingress",
};

/// Which Ingress, and what of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// The stable Ingress.
    pub name: String,
    /// The Service of the stable version.
    pub stable: String,
    /// The Service of the canary.
    pub canary: String,
    /// Prefix of the annotations.
    pub prefix: String,
    /// Requests that go to the canary whatever its weight is. A cookie's value is always `always`.
    pub matching: Option<Match>,
}

impl Ingress {
    /// The canary Ingress.
    #[must_use]
    pub fn canary_name(&self) -> String {
        format!("{}-canary", self.name)
    }

    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    /// The annotations of that weight.
    fn annotations(&self, weight: Weight, by: &str) -> Map<String, Value> {
        let mut all = Map::new();
        let mut put = |name: String, value: &str| all.insert(name, json!(value));
        put(ANNOTATION_BY.to_owned(), by);
        put(self.key("canary"), "true");
        put(self.key("canary-weight"), &weight.percent().to_string());
        match &self.matching {
            Some(Match::Header { name, value }) => {
                put(self.key("canary-by-header"), name);
                put(self.key("canary-by-header-value"), value);
            }
            Some(Match::Cookie { name, .. }) => {
                put(self.key("canary-by-cookie"), name);
            }
            None => {}
        }
        all
    }

    /// The canary Ingress that belongs to this stable one.
    fn build(&self, stable: &Value, weight: Weight, by: &str) -> Result<Value, Unfit> {
        let mut spec = Map::new();
        for member in ["ingressClassName", "tls"] {
            if let Some(value) = stable.pointer(&format!("/spec/{member}")) {
                spec.insert(member.to_owned(), value.clone());
            }
        }
        let mut rules = Vec::new();
        for rule in list(stable, "/spec/rules") {
            let paths: Vec<Value> = list(rule, "/http/paths")
                .iter()
                .filter(|path| text(path, "/backend/service/name") == Some(&self.stable))
                .map(|path| {
                    let mut path = path.clone();
                    path["backend"]["service"]["name"] = json!(self.canary);
                    path
                })
                .collect();
            if !paths.is_empty() {
                let mut rule = rule.clone();
                rule["http"] = json!({ "paths": paths });
                rules.push(rule);
            }
        }
        if rules.is_empty() {
            let default = text(stable, "/spec/defaultBackend/service/name") == Some(&self.stable);
            let (what, hint) = if default {
                (
                    format!("{} is its default backend only", self.stable),
                    "NGINX has no canary of a default backend: add a rule with the path / for the stable Service",
                )
            } else {
                (
                    format!("no path of it sends to the Service {}", self.stable),
                    "name the stable Service under traffic.stable, as the Ingress does",
                )
            };
            return Err(Unfit::new(what, hint));
        }
        spec.insert("rules".to_owned(), Value::Array(rules));
        let mut annotations = self.annotations(weight, by);
        if let Some(class) = annotation(stable, CLASS) {
            annotations.insert(CLASS.to_owned(), json!(class));
        }
        Ok(json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {
                "name": self.canary_name(),
                "labels": {LABEL_MANAGED_BY: MANAGED_BY},
                "annotations": annotations,
                "ownerReferences": [{
                    "apiVersion": "networking.k8s.io/v1",
                    "kind": "Ingress",
                    "name": self.name,
                    "uid": text(stable, "/metadata/uid").unwrap_or_default(),
                }],
            },
            "spec": spec,
        }))
    }

    /// The merge patch that sets a weight on the canary Ingress, which is ours: `spec` follows the stable one.
    fn change(&self, canary: &Value, weight: Weight, by: &str) -> Value {
        let mut patch = json!({"metadata": {"annotations": self.annotations(weight, by)}});
        // Somebody else may have changed it since it was read: a raise must not go on top of that.
        if let Some(version) = text(canary, "/metadata/resourceVersion") {
            patch["metadata"]["resourceVersion"] = json!(version);
        }
        patch
    }

    /// The merge patch that takes the canary off, whatever the weight is: no weight, no header, no cookie.
    fn off(&self, by: &str) -> Value {
        let mut annotations = Map::new();
        annotations.insert(ANNOTATION_BY.to_owned(), json!(by));
        annotations.insert(self.key("canary-weight"), json!("0"));
        for name in [
            "canary-by-header",
            "canary-by-header-value",
            "canary-by-header-pattern",
            "canary-by-cookie",
        ] {
            annotations.insert(self.key(name), Value::Null);
        }
        json!({"metadata": {"annotations": annotations}})
    }

    /// The weight of a canary Ingress.
    fn weight(&self, canary: &Value) -> Result<Weight, Unfit> {
        if annotation(canary, &self.key("canary")) != Some("true") {
            return Err(Unfit::new(
                format!(
                    "{} is there and is no canary Ingress: it takes all of its paths' requests",
                    self.canary_name()
                ),
                format!(
                    "remove it, or annotate it with {}: \"true\"",
                    self.key("canary")
                ),
            ));
        }
        let part = annotation(canary, &self.key("canary-weight")).unwrap_or("0");
        let whole = annotation(canary, &self.key("canary-weight-total")).unwrap_or("100");
        let (Ok(part), Ok(whole)) = (part.parse::<u64>(), whole.parse::<u64>()) else {
            return Err(Unfit::new(
                format!(
                    "the weight of {} is no number: {part} of {whole}",
                    self.canary_name()
                ),
                "delete that Ingress",
            ));
        };
        if part == 0 || whole == 0 {
            return Ok(Weight::ZERO);
        }
        let percent = (part.saturating_mul(100).saturating_add(whole / 2) / whole).clamp(1, 100);
        Ok(Weight::saturating(u8::try_from(percent).unwrap_or(100)))
    }

    /// Another canary Ingress for the same host, of which NGINX would take only one.
    fn rival(&self, stable: &Value, others: &[Value]) -> Option<String> {
        let hosts = |ingress: &Value| -> Vec<String> {
            list(ingress, "/spec/rules")
                .iter()
                .map(|rule| text(rule, "/host").unwrap_or("*").to_owned())
                .collect()
        };
        let ours = hosts(stable);
        others
            .iter()
            .filter(|other| {
                annotation(other, &self.key("canary")) == Some("true")
                    && text(other, "/metadata/name") != Some(&self.canary_name())
            })
            .find(|other| hosts(other).iter().any(|host| ours.contains(host)))
            .and_then(|other| text(other, "/metadata/name").map(str::to_owned))
    }
}

/// The router.
#[derive(Debug)]
pub struct Nginx {
    ingress: Ingress,
    api: Api,
    by: String,
    served: Served,
}

impl Nginx {
    /// `by` is remembered as who set a weight: `run checkout-1`.
    pub fn new(ingress: Ingress, api: Api, by: impl Into<String>) -> Self {
        Self {
            ingress,
            api,
            by: by.into(),
            served: Served::default(),
        }
    }

    async fn get(&self, name: &str, patience: Patience) -> Result<Option<Value>, Failure> {
        match self.api.get(&INGRESS, &self.served, name, patience).await {
            Ok(object) => Ok(Some(object)),
            Err(Failure::NotFound(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn observed(&self, canary: Option<&Value>, tried: &str) -> Result<Observed, RouterError> {
        let Some(canary) = canary else {
            return Ok(Observed {
                weight: Weight::ZERO,
                accepted: Acceptance::Accepted,
                changed_by: None,
                changed_at: None,
                requests: None,
            });
        };
        let weight = self
            .ingress
            .weight(canary)
            .map_err(|unfit| unfit.tried(tried))?;
        let key = self.ingress.key("canary-weight");
        let writer = last_writer(canary, &["metadata", "annotations", &key]);
        Ok(Observed {
            weight,
            // An Ingress says nothing about weights; NGINX reads it within a second or so.
            accepted: Acceptance::Accepted,
            changed_at: writer.as_ref().and_then(|writer| writer.at),
            changed_by: writer.map(|writer| writer.who),
            requests: None,
        })
    }

    /// An Ingress of the canary's name that somebody else made is not ours to change.
    fn ours(&self, canary: &Value, tried: &str) -> Result<(), RouterError> {
        if label(canary, LABEL_MANAGED_BY) == Some(MANAGED_BY) {
            return Ok(());
        }
        Err(RouterError::new(
            RouterErrorKind::Refused,
            tried,
            format!(
                "the Ingress {} exists and was not made by canary",
                self.ingress.canary_name()
            ),
            "delete it, or give it another name",
        ))
    }

    async fn raise(&self, from: Weight, to: Weight) -> Result<Observed, RouterError> {
        let tried = format!("set weight {to} on {}", self.name());
        let name = self.ingress.canary_name();
        let mut last = Failure::Conflict("the object changes all the time".to_owned());
        for _ in 0..5 {
            let current = self
                .get(&name, Patience::USUAL)
                .await
                .map_err(|failure| failure.tried(&tried))?;
            let seen = self.observed(current.as_ref(), &tried)?;
            if seen.weight != from && seen.weight != to {
                return Ok(seen);
            }
            let result = match &current {
                Some(canary) => {
                    self.ours(canary, &tried)?;
                    let patch = self.ingress.change(canary, to, &self.by);
                    self.api
                        .merge(&INGRESS, &self.served, &name, &patch, Patience::USUAL)
                        .await
                }
                None => {
                    let object = self.new_canary(to, &tried).await?;
                    self.api
                        .create(&INGRESS, &self.served, &object, Patience::USUAL)
                        .await
                }
            };
            match result {
                Ok(object) => return self.observed(Some(&object), &tried),
                Err(failure @ (Failure::Conflict(_) | Failure::NotFound(_))) => last = failure,
                Err(failure) => return Err(failure.tried(&tried)),
            }
        }
        Err(last.tried(&tried))
    }

    async fn new_canary(&self, weight: Weight, tried: &str) -> Result<Value, RouterError> {
        let stable = self
            .api
            .get(&INGRESS, &self.served, &self.ingress.name, Patience::USUAL)
            .await
            .map_err(|failure| failure.tried(tried))?;
        self.ingress
            .build(&stable, weight, &self.by)
            .map_err(|unfit| unfit.tried(tried))
    }

    async fn off(&self) -> Result<Observed, RouterError> {
        let tried = format!("take the canary off {}", self.name());
        let patch = self.ingress.off(&self.by);
        let name = self.ingress.canary_name();
        let result = self
            .api
            .merge(&INGRESS, &self.served, &name, &patch, Patience::URGENT)
            .await;
        match result {
            Ok(object) => self.observed(Some(&object), &tried),
            // No canary Ingress, no canary.
            Err(Failure::NotFound(_)) => self.observed(None, &tried),
            Err(failure) => Err(failure.tried(&tried)),
        }
    }

    async fn look(&self) -> Result<Preflight, RouterError> {
        let tried = format!("prepare {}", self.name());
        let fail = |failure: Failure| failure.tried(&tried);
        let all = self
            .api
            .list(&INGRESS, &self.served, None, Patience::USUAL)
            .await
            .map_err(fail)?;
        let named = |name: &str| {
            all.iter()
                .find(|one| text(one, "/metadata/name") == Some(name))
        };
        let Some(stable) = named(&self.ingress.name) else {
            return Err(fail(Failure::NotFound(format!(
                "{} among the ingresses",
                self.ingress.name
            ))));
        };
        let object = self
            .ingress
            .build(stable, Weight::ZERO, &self.by)
            .map_err(|unfit| unfit.tried(&tried))?;
        if let Some(rival) = self.ingress.rival(stable, &all) {
            return Err(Unfit::new(
                format!(
                    "the Ingress {rival} is a canary for the same host: NGINX takes one per path"
                ),
                format!("delete {rival}, or wait for the release that made it"),
            )
            .tried(&tried));
        }
        let current = named(&self.ingress.canary_name());
        let mut changes = Vec::new();
        match current {
            Some(canary) => self.ours(canary, &tried)?,
            None => {
                self.api
                    .try_create(&INGRESS, &self.served, &object)
                    .await
                    .map_err(fail)?;
                changes.push(format!(
                    "create Ingress {} (owned by {}), with {}/canary-weight",
                    self.ingress.canary_name(),
                    self.ingress.name,
                    self.ingress.prefix
                ));
            }
        }
        Ok(Preflight {
            observed: self.observed(current, &tried)?,
            rounded: Vec::new(),
            warnings: Vec::new(),
            changes,
        })
    }

    async fn clean(&self) -> Result<(), RouterError> {
        let tried = format!("remove {}", self.ingress.canary_name());
        let name = self.ingress.canary_name();
        let current = self
            .get(&name, Patience::URGENT)
            .await
            .map_err(|failure| failure.tried(&tried))?;
        let Some(canary) = current else { return Ok(()) };
        self.ours(&canary, &tried)?;
        match self
            .api
            .delete(&INGRESS, &self.served, &name, Patience::URGENT)
            .await
        {
            Ok(()) | Err(Failure::NotFound(_)) => Ok(()),
            Err(failure) => Err(failure.tried(&tried)),
        }
    }
}

impl Router for Nginx {
    fn name(&self) -> String {
        let name = &self.ingress.name;
        match self.api.namespace_given() {
            Some(namespace) => format!("Ingress {namespace}/{name}"),
            None => format!("Ingress {name}"),
        }
    }

    fn preflight<'a>(
        &'a self,
        _weights: &'a [Weight],
    ) -> BoxFuture<'a, Result<Preflight, RouterError>> {
        Box::pin(self.look())
    }

    fn observe(&self) -> BoxFuture<'_, Result<Observed, RouterError>> {
        Box::pin(async {
            let tried = format!("read {}", self.name());
            let current = self
                .get(&self.ingress.canary_name(), Patience::USUAL)
                .await
                .map_err(|failure| failure.tried(&tried))?;
            self.observed(current.as_ref(), &tried)
        })
    }

    fn set_weight(&self, from: Weight, to: Weight) -> BoxFuture<'_, Result<Observed, RouterError>> {
        Box::pin(self.raise(from, to))
    }

    fn take_off(&self) -> BoxFuture<'_, Result<Observed, RouterError>> {
        Box::pin(self.off())
    }

    fn remove(&self) -> BoxFuture<'_, Result<(), RouterError>> {
        Box::pin(self.clean())
    }
}

#[cfg(test)]
mod tests;
