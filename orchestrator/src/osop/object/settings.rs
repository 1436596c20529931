//! `spec` as settings: `camelCase` becomes `snake_case`, lists by name become mappings, Secrets become variables.

use super::write::{entry, map, renamed, text};
use super::{Head, ObjectKind, secret_variable};
use crate::diagnostic::{Diagnostics, Spanned, codes, quote};
use crate::osop::cast::wrong_type;
use crate::osop::reader::Reader;
use crate::osop::tree::{Data, Entry, Map, Value};

/// Keys whose own keys are names that the user chose.
const NAMED: &[&str] = &["parameters", "variables", "headers"];

/// All settings of a Release.
pub(super) fn of_release(spec: &mut Reader<'_>, head: &Head<'_>, d: &mut Diagnostics) -> Value {
    let mut entries = Vec::new();
    let target = target(spec, d);
    let service = spec.entry("service");
    // How many pods it has, and how long they may take, is not the plan's to say.
    for key in ["canary", "progressDeadline"] {
        let _known = spec.value(key);
    }
    match (service, &target) {
        (Some(service), _) => entries.push(service.clone()),
        (None, Some(name)) => entries.push(entry("service", name.clone())),
        (None, None) => {}
    }
    if let Some(namespace) = &head.namespace {
        entries.push(entry(
            "namespace",
            text(namespace.span, namespace.value.clone()),
        ));
    }
    if let Some(traffic) = traffic(spec, target.as_ref(), d) {
        entries.push(traffic);
    }
    if let Some(profile) = spec.value("profile") {
        reference("`profile`", profile, &["Profile", "ClusterProfile"], d);
    }
    entries.extend(shared(spec, head, d));
    map(head.spec.span, entries)
}

/// What profiles say, too.
pub(super) fn shared(spec: &mut Reader<'_>, head: &Head<'_>, d: &mut Diagnostics) -> Vec<Entry> {
    let mut entries = Vec::new();
    if let Some(sources) = spec.entry("sources") {
        entries.extend(self::sources(sources, d));
    }
    for key in ["metrics", "gates", "deadlines"] {
        if let Some(found) = spec.entry(key) {
            entries.push(Entry {
                key: found.key.clone(),
                value: snake(&found.value, d),
            });
        }
    }
    for (key, ours) in [
        ("bake", "bake"),
        ("onFailure", "on_failure"),
        ("variables", "variables"),
    ] {
        if let Some(found) = spec.entry(key) {
            entries.push(renamed(found, ours));
        }
    }
    if let Some(notify) = spec.entry("notify") {
        let cluster = head.kind == ObjectKind::ClusterProfile;
        entries.extend(channels(notify, cluster, d));
    }
    entries
}

fn target(spec: &mut Reader<'_>, d: &mut Diagnostics) -> Option<Value> {
    let Some(value) = spec.value("target") else {
        spec.missing("target", d);
        return None;
    };
    let mut target = Reader::of("`target`", value, d)?;
    one_of(
        "`kind` of `target`",
        target.value("kind"),
        &["Deployment", "Rollout"],
        d,
    );
    let name = target.required("name", d);
    target.close_all(d);
    name.map(|name| text(name.span, name.value))
}

/// An object that is named by kind and name.
fn reference(what: &str, value: &Value, kinds: &[&str], d: &mut Diagnostics) {
    let Some(mut reader) = Reader::of(what, value, d) else {
        return;
    };
    one_of(&format!("`kind` of {what}"), reader.value("kind"), kinds, d);
    reader.required("name", d);
    reader.close_all(d);
}

fn one_of(what: &str, value: Option<&Value>, words: &[&str], d: &mut Diagnostics) {
    let Some(value) = value else { return };
    if !value.as_text().is_some_and(|word| words.contains(&word)) {
        let found = value.as_scalar_text().unwrap_or(value.kind());
        d.error(
            codes::UNKNOWN_VALUE,
            value.span,
            format!(
                "{what} must be {}, found {}",
                words.join(" or "),
                quote(found)
            ),
        );
    }
}

/// Who answers for a source is known in the cluster only; the settings get a place that says which it is.
fn sources(written: &Entry, d: &mut Diagnostics) -> Option<Entry> {
    let mut reader = Reader::of("`sources`", &written.value, d)?;
    let prometheus = reader.entry("prometheus");
    reader.close_all(d);
    let prometheus = prometheus?;
    reference(
        "`prometheus` of `sources`",
        &prometheus.value,
        &["Source", "ClusterSource"],
        d,
    );
    let name = prometheus
        .value
        .as_map()
        .and_then(|map| map.get("name")?.as_text())
        .unwrap_or("unnamed");
    let span = prometheus.value.span;
    let url = entry(
        "url",
        text(span, format!("http://{name}.source.{}", super::GROUP)),
    );
    let source = entry("prometheus", map(span, vec![url]));
    Some(Entry {
        key: written.key.clone(),
        value: map(written.value.span, vec![source]),
    })
}

/// `camelCase` keys as the settings spell them, all the way down.
fn snake(value: &Value, d: &mut Diagnostics) -> Value {
    let data = match &value.data {
        Data::List(items) => Data::List(items.iter().map(|item| snake(item, d)).collect()),
        Data::Map(found) => Data::Map(Map {
            entries: found
                .entries
                .iter()
                .map(|entry| snake_entry(entry, d))
                .collect(),
        }),
        other => other.clone(),
    };
    Value {
        data,
        span: value.span,
    }
}

fn snake_entry(entry: &Entry, d: &mut Diagnostics) -> Entry {
    let key = &entry.key.value;
    if key.contains('_') {
        d.error(
            codes::UNKNOWN_KEY,
            entry.key.span,
            format!(
                "{} is written {} in an object",
                quote(key),
                quote(&camel_case(key))
            ),
        );
    }
    Entry {
        key: Spanned::new(snake_case(key), entry.key.span),
        value: if NAMED.contains(&key.as_str()) {
            entry.value.clone()
        } else {
            snake(&entry.value, d)
        },
    }
}

fn snake_case(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 4);
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

fn camel_case(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    let mut upper = false;
    for c in key.chars() {
        if c == '_' {
            upper = true;
        } else if std::mem::take(&mut upper) {
            out.push(c.to_ascii_uppercase());
        } else {
            out.push(c);
        }
    }
    out
}

/// Keys of a channel, and what the settings call them; those with a Secret become names of variables.
const CHANNEL: &[(&str, &str, bool)] = &[
    ("type", "type", false),
    ("events", "events", false),
    ("timeout", "timeout", false),
    ("channel", "channel", false),
    ("apiUrl", "api_url", false),
    ("url", "url", false),
    ("webhookSecret", "webhook_env", true),
    ("tokenSecret", "token_env", true),
    ("routingKeySecret", "routing_key_env", true),
    ("urlSecret", "url_env", true),
    ("signingSecret", "secret_env", true),
];

fn channels(notify: &Entry, cluster: bool, d: &mut Diagnostics) -> Option<Entry> {
    let Some(items) = notify.value.as_list() else {
        wrong_type("`notify`", "a list of channels", &notify.value, d);
        return None;
    };
    let mut channels: Vec<Entry> = Vec::new();
    for item in items {
        let Some(mut reader) = Reader::of("a channel", item, d) else {
            continue;
        };
        let name = reader.required("name", d);
        if let Some(kind) = reader.value("type") {
            one_of(
                "`type` of a channel",
                Some(kind),
                &["slack", "pagerduty", "webhook"],
                d,
            );
        } else {
            reader.missing("type", d);
        }
        let mut entries = Vec::new();
        for (theirs, ours, secret) in CHANNEL {
            let Some(found) = reader.entry(theirs) else {
                continue;
            };
            if *secret {
                entries.extend(secret_entry(found, ours, cluster, d));
            } else {
                entries.push(renamed(found, ours));
            }
        }
        reader.close_all(d);
        let Some(name) = name else { continue };
        if let Some(first) = channels.iter().find(|known| known.key.value == name.value) {
            d.error(
                codes::DUPLICATE_ID,
                name.span,
                format!("two channels have the name {}", quote(&name.value)),
            )
            .related(first.key.span, "the first one");
            continue;
        }
        channels.push(Entry {
            key: name,
            value: map(item.span, entries),
        });
    }
    Some(Entry {
        key: notify.key.clone(),
        value: map(notify.value.span, channels),
    })
}

fn secret_entry(found: &Entry, ours: &str, cluster: bool, d: &mut Diagnostics) -> Option<Entry> {
    let what = quote(&found.key.value);
    if found.value.as_map().is_none() {
        // Somebody may have put the secret itself here.
        d.redact(found.value.span);
        d.error(
            codes::INLINE_SECRET,
            found.key.span,
            format!("{what} must name a Secret: `{{name: NAME, key: KEY}}`"),
        );
        return None;
    }
    let mut reader = Reader::of(what, &found.value, d)?;
    let (name, key) = (reader.required("name", d), reader.required("key", d));
    reader.close_all(d);
    let variable = secret_variable(cluster, &name?.value, &key?.value);
    Some(Entry {
        key: Spanned::new(ours.to_owned(), found.key.span),
        value: text(found.value.span, variable),
    })
}

const ROUTERS: &[&str] = &["gateway-api", "istio", "nginx", "alb", "argo", "replicas"];

/// Keys of `x-canary.traffic` that only a workflow has: a controller is in its cluster, and a Release in its namespace.
const NOT_HERE: &[&str] = &["proxy", "kubeconfig", "context", "namespace"];

fn traffic(spec: &mut Reader<'_>, target: Option<&Value>, d: &mut Diagnostics) -> Option<Entry> {
    let drives_rollout = spec
        .value("target")
        .and_then(Value::as_map)
        .is_some_and(|map| {
            let kind = map.entries.iter().find(|entry| entry.key.value == "kind");
            kind.and_then(|entry| entry.value.as_text()) == Some("Rollout")
        });
    let Some(written) = spec.entry("traffic") else {
        spec.missing("traffic", d);
        return None;
    };
    let mut reader = Reader::of("`traffic`", &written.value, d)?;
    let router = reader.entry("router");
    if router.is_none() {
        reader.missing("router", d);
    }
    one_of(
        "`router` of `traffic`",
        router.map(|entry| &entry.value),
        ROUTERS,
        d,
    );
    if let Some(router) = router
        && let Some(word) = router.value.as_text()
        && ROUTERS.contains(&word)
        && (word == "argo") != drives_rollout
    {
        d.error(
            codes::CONFLICTING_KEYS,
            router.value.span,
            "router argo drives a target of kind Rollout; every other router a Deployment",
        );
    }
    let mut entries = reader.map.entries.clone();
    for found in &entries {
        if NOT_HERE.contains(&found.key.value.as_str()) {
            d.error(
                codes::UNKNOWN_KEY,
                found.key.span,
                format!(
                    "`traffic` of a Release has no key {}",
                    quote(&found.key.value)
                ),
            );
        }
    }
    // What these routers change is the workload itself.
    let workload = match router.and_then(|router| router.value.as_text()) {
        Some("argo") => Some("rollout"),
        Some("replicas") => Some("stable"),
        Some(_) | None => None,
    };
    if let (Some(key), Some(target)) = (workload, target)
        && reader.map.get(key).is_none()
    {
        entries.push(entry(key, target.clone()));
    }
    Some(Entry {
        key: written.key.clone(),
        value: map(written.value.span, entries),
    })
}
