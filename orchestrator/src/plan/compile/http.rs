//! HTTP requests: `api`.

use std::collections::BTreeMap;

use super::Compiler;
use super::nodes::Made;
use super::read::Cx;
use crate::diagnostic::{Spanned, codes, quote};
use crate::node::spec::{HttpBody, HttpWork, JsonTemplate, Work};
use crate::osop::tree::{Data, Value};
use crate::plan::template::Template;

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

impl Compiler<'_> {
    pub(super) fn api(&mut self, cx: Cx<'_>) -> Option<Made> {
        let address = |key: &str| {
            cx.runtime
                .get(key)
                .and_then(Value::as_text)
                .unwrap_or_default()
        };
        let ends = |end: &str| {
            let path = |text: &str| {
                text.split('?')
                    .next()
                    .unwrap_or_default()
                    .trim_end_matches('/')
                    .ends_with(end)
            };
            path(address("endpoint")) || path(address("url"))
        };
        let prometheus = (ends("/api/v1/query") || ends("/api/v1/query_range"))
            && !cx.runtime.has("body")
            && !cx.runtime.has("response_mapping");
        if prometheus || cx.runtime.has("queries") {
            return self.query(cx, ends("/api/v1/query_range"));
        }
        let slack = ends("chat.postMessage");
        self.request(cx, slack)
    }

    /// `url`, with `endpoint` where that is a path (S7: `app-health` is a label).
    pub(super) fn address(&mut self, cx: Cx<'_>) -> Option<Template> {
        let endpoint = self.text(cx, "endpoint");
        let path = endpoint.filter(|endpoint| endpoint.value.starts_with('/'));
        let url = match (self.text(cx, "url"), endpoint) {
            (Some(url), _) => url,
            (None, Some(endpoint)) if endpoint.value.contains("://") => endpoint,
            (None, _) => {
                self.need(cx, &["url"], "`url: https://app.example.com/health`")?;
                return None;
            }
        };
        self.check_address(url);
        let base = Spanned::new(
            if path.is_some() {
                url.value.trim_end_matches('/')
            } else {
                url.value
            },
            url.span,
        );
        let base = self.template(cx, base)?;
        match path {
            Some(path) => Some(Template::concat([base, self.template(cx, path)?])),
            None => Some(base),
        }
    }

    fn check_address(&mut self, url: Spanned<&str>) {
        let known = url.value.starts_with("http://") || url.value.starts_with("https://");
        let open = url.value.starts_with("{{") || url.value.starts_with("${");
        if !known && !open {
            self.d.error(
                codes::INVALID_URL,
                url.span,
                format!("{} is not an http or https address", quote(url.value)),
            );
        }
        let authority = url
            .value
            .split("://")
            .nth(1)
            .and_then(|rest| rest.split(['/', '?']).next())
            .unwrap_or_default();
        if let Some((user, _)) = authority.rsplit_once('@')
            && user.contains(':')
            && !user.contains("{{")
            && !user.contains("${")
        {
            self.d.redact(url.span);
            self.d
                .error(
                    codes::INLINE_SECRET,
                    url.span,
                    "the address holds a password",
                )
                .help("send it as a header with `${secrets.NAME}`");
        }
    }

    fn request(&mut self, cx: Cx<'_>, slack: bool) -> Option<Made> {
        let body = self.body(cx)?;
        let method = match self.text(cx, "method") {
            Some(method) => {
                let upper = method.value.to_ascii_uppercase();
                if !METHODS.contains(&upper.as_str()) {
                    let message = format!("{} is not a method of HTTP", quote(method.value));
                    self.d
                        .error(codes::UNKNOWN_VALUE, method.span, message)
                        .help(format!("known are {}", METHODS.join(", ")));
                }
                upper
            }
            None if slack || body != HttpBody::Empty => "POST".to_owned(),
            None => "GET".to_owned(),
        };
        let mut work = HttpWork {
            method,
            url: self.address(cx)?,
            query: self.templates(cx, "query_params"),
            headers: self.headers(cx),
            body,
            bearer: self.bearer(cx),
            expected_status: self.statuses(cx),
            response_mapping: self.mapping(cx, "response_mapping"),
            slack,
        };
        if slack && work.body == HttpBody::Empty {
            self.slack_report(cx, &mut work)?;
        }
        let idempotent = matches!(
            work.method.as_str(),
            "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE"
        );
        Some(Made::local(Work::Http(work), idempotent))
    }

    fn headers(&mut self, cx: Cx<'_>) -> BTreeMap<String, Template> {
        if let Some(map) = cx.runtime.get("headers").and_then(Value::as_map) {
            for (name, value) in map.iter() {
                let text = value.as_text().unwrap_or_default();
                let is_secret = name.value.eq_ignore_ascii_case("authorization")
                    || name.value.eq_ignore_ascii_case("x-api-key");
                if is_secret && !text.is_empty() && !text.contains("{{") && !text.contains("${") {
                    self.d.redact(value.span);
                    self.d
                        .error(codes::INLINE_SECRET, value.span, format!("the header {} holds a secret that is written into the file", quote(&name.value)))
                        .help("set it in the environment and refer to it: `Authorization: Bearer ${secrets.API_TOKEN}`");
                }
            }
        }
        self.templates(cx, "headers")
    }

    fn body(&mut self, cx: Cx<'_>) -> Option<HttpBody> {
        for key in ["body", "body_template"] {
            let Some(value) = cx.runtime.get(key) else {
                continue;
            };
            return match &value.data {
                Data::Text(text) => {
                    let template = self.template(cx, Spanned::new(text, value.span))?;
                    Some(HttpBody::Text(template))
                }
                _ => self.json(cx, value).map(HttpBody::Json),
            };
        }
        Some(HttpBody::Empty)
    }

    fn json(&mut self, cx: Cx<'_>, value: &Value) -> Option<JsonTemplate> {
        Some(match &value.data {
            Data::Text(text) => {
                JsonTemplate::Text(self.template(cx, Spanned::new(text, value.span))?)
            }
            Data::List(items) => JsonTemplate::List(
                items
                    .iter()
                    .map(|item| self.json(cx, item))
                    .collect::<Option<_>>()?,
            ),
            Data::Map(map) => JsonTemplate::Map(
                map.iter()
                    .map(|(name, value)| Some((name.value.clone(), self.json(cx, value)?)))
                    .collect::<Option<_>>()?,
            ),
            _ => JsonTemplate::Literal(value.to_json()),
        })
    }

    /// The secret that is sent as a bearer token.
    fn bearer(&mut self, cx: Cx<'_>) -> Option<String> {
        let own = cx.runtime.get("auth");
        let own_map = own.and_then(Value::as_map);
        let word = own
            .and_then(Value::as_text)
            .or_else(|| {
                own_map
                    .and_then(|map| map.get("type"))
                    .and_then(Value::as_text)
            })
            .or_else(|| {
                cx.node
                    .security
                    .as_ref()
                    .and_then(|security| security.auth.as_ref())
                    .map(|auth| auth.value.as_str())
            })?;
        let key = |name: &str| {
            own_map
                .and_then(|map| map.get(name))
                .and_then(Value::as_text)
                .map(str::to_owned)
        };
        let span = own.map_or(cx.node.id.span, |value| value.span);
        match word {
            "bearer" | "bearer_token" | "token" => {
                let declared =
                    cx.node.security.as_ref().and_then(|security| {
                        security.secret_ref.as_ref().or(security.secrets.first())
                    });
                let name = key("secret_ref")
                    .or_else(|| key("token_env"))
                    .or_else(|| declared.map(|name| name.value.clone()));
                match name {
                    Some(name) => {
                        self.secrets.insert(name.clone());
                        return Some(name);
                    }
                    None => {
                        self.d
                            .error(codes::MISSING_KEY, span, format!("{} authenticates with a token, and does not say which", cx.what()))
                            .help("add under `security`: `secret_ref: API_TOKEN` (the name of an environment variable)");
                    }
                }
            }
            "none" => {}
            other => {
                self.d
                    .error(codes::CANNOT_EXECUTE, span, format!("{} authenticates with {}; canary sends bearer tokens", cx.what(), quote(other)))
                    .help("write the header itself: `headers: {Authorization: \"Basic ${secrets.BASIC_AUTH}\"}`");
            }
        }
        None
    }

    fn statuses(&mut self, cx: Cx<'_>) -> Vec<u16> {
        let mut codes = Vec::new();
        for status in self.texts(cx, "expected_status") {
            match status.value.parse::<u16>() {
                Ok(code) if (100..600).contains(&code) => codes.push(code),
                _ => {
                    let message = format!("{} is not a status of HTTP", quote(status.value));
                    self.d
                        .error(crate::diagnostic::codes::OUT_OF_RANGE, status.span, message);
                }
            }
        }
        codes
    }
}
