//! `traffic`: which router, and what it needs to know. Every router has keys of its own; one that belongs to another router
//! would be ignored, so it is an error.

use super::model::{Cluster, Matching, RouterKind, Traffic};
use super::section::{Section, conflict};
use crate::diagnostic::{Diagnostics, Spanned, codes, quote};
use crate::osop::model::Text;

const CLUSTER: &[&str] = &["kubeconfig", "context", "namespace"];

/// The keys that a router reads besides `router`, `timeout` and, in a cluster, how to reach that.
fn keys(router: RouterKind) -> &'static [&'static str] {
    match router {
        RouterKind::Local => &["proxy"],
        RouterKind::GatewayApi => &["route", "kind", "stable", "canary", "match"],
        RouterKind::Istio => &["route", "host", "stable", "canary", "match"],
        RouterKind::Nginx => &["ingress", "stable", "canary", "prefix", "match"],
        RouterKind::Alb => &["ingress", "action", "stable", "canary"],
        RouterKind::Argo => &["rollout", "steps"],
        RouterKind::Replicas => &["stable", "canary"],
        RouterKind::None => &[],
    }
}

fn is_in_a_cluster(router: RouterKind) -> bool {
    !matches!(router, RouterKind::Local | RouterKind::None)
}

pub(super) fn read(mut section: Section<'_>, d: &mut Diagnostics) -> Traffic {
    let traffic = Traffic {
        router: section.word("router", d),
        proxy: section.text("proxy", d),
        cluster: Cluster {
            kubeconfig: section.text("kubeconfig", d),
            context: section.text("context", d),
            namespace: name("namespace", &mut section, d),
        },
        route: name("route", &mut section, d),
        kind: section.word("kind", d),
        ingress: name("ingress", &mut section, d),
        rollout: name("rollout", &mut section, d),
        stable: name("stable", &mut section, d),
        canary: name("canary", &mut section, d),
        host: name("host", &mut section, d),
        action: name("action", &mut section, d),
        prefix: name("prefix", &mut section, d),
        steps: section.word("steps", d),
        matching: section
            .section("match", "traffic.match", d)
            .and_then(|section| read_match(section, d)),
        timeout: section.duration("timeout", d),
    };
    check_keys(&section, traffic.router, d);
    if let (Some(stable), Some(canary)) = (&traffic.stable, &traffic.canary)
        && stable.value == canary.value
    {
        d.error(
            codes::CONFLICTING_KEYS,
            canary.span,
            format!(
                "stable and canary are both {}: nothing tells the versions apart",
                quote(&canary.value)
            ),
        )
        .related(stable.span, "the other one");
    }
    if let Some(matching) = &traffic.matching {
        check_match(matching, traffic.router, d);
    }
    section.close(d);
    traffic
}

/// The name of an object: letters, digits, `-` and `.`, at most 253. Placeholders may stand for any part of it.
fn name(key: &'static str, section: &mut Section<'_>, d: &mut Diagnostics) -> Option<Text> {
    let text = section.text(key, d)?;
    let fits = text.value.len() <= 253
        && text
            .value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    if !fits && !text.value.contains("${") && !text.value.contains("{{") {
        d.error(
            codes::INVALID_NAME,
            text.span,
            format!("{} cannot be the name of an object", quote(&text.value)),
        )
        .help("letters, digits, `-` and `.`, as in `metadata.name`");
        return None;
    }
    Some(text)
}

fn check_keys(section: &Section<'_>, router: Option<Spanned<RouterKind>>, d: &mut Diagnostics) {
    let Some(router) = router else { return };
    let own = keys(router.value);
    for entry in &section.reader.map.entries {
        let key = entry.key.value.as_str();
        let fits = matches!(key, "router" | "timeout")
            || own.contains(&key)
            || (is_in_a_cluster(router.value) && CLUSTER.contains(&key));
        // What no router knows is reported by the section itself.
        let known = super::reference::find("traffic", key).is_some();
        if known && !fits && !entry.value.is_null() {
            let mut all: Vec<&str> = own.to_vec();
            if is_in_a_cluster(router.value) {
                all.extend(CLUSTER);
            }
            let diagnostic = d.error(
                codes::CONFLICTING_KEYS,
                entry.key.span,
                format!("the router {} does not read {}", router.value, quote(key)),
            );
            diagnostic.related(router.span, "the router");
            if all.is_empty() {
                diagnostic.help("it reads no keys of its own");
            } else {
                diagnostic.help(format!("it reads {}", all.join(", ")));
            }
        }
    }
}

fn read_match(mut section: Section<'_>, d: &mut Diagnostics) -> Option<Matching> {
    let matching = Matching {
        header: section.text("header", d),
        cookie: section.text("cookie", d),
        value: section.text("value", d),
    };
    let span = section.span();
    if let (Some(header), Some(cookie)) = (&matching.header, &matching.cookie) {
        conflict(
            &section.reader,
            ("header", header.span),
            ("cookie", cookie.span),
            d,
        );
    }
    let nothing = matching.header.is_none() && matching.cookie.is_none();
    section.close(d);
    if nothing {
        d.error(
            codes::MISSING_KEY,
            span,
            "`traffic.match` has neither `header` nor `cookie`",
        )
        .help("`match: {header: X-Canary, value: always}`");
        return None;
    }
    for name in [&matching.header, &matching.cookie].into_iter().flatten() {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if !name.value.bytes().all(token) {
            d.error(
                codes::INVALID_NAME,
                name.span,
                format!("{} cannot name a header or cookie", quote(&name.value)),
            );
            return None;
        }
    }
    Some(matching)
}

fn check_match(matching: &Matching, router: Option<Spanned<RouterKind>>, d: &mut Diagnostics) {
    let nginx = router.is_some_and(|router| router.value == RouterKind::Nginx);
    if let (true, Some(_), Some(value)) = (nginx, &matching.cookie, &matching.value)
        && value.value != "always"
    {
        d.error(
            codes::CONFLICTING_KEYS,
            value.span,
            format!(
                "NGINX sends a cookie with the value `always` to the canary, and no other: {} cannot be had",
                quote(&value.value)
            ),
        );
    }
}
