//! The one way to the API server: every call bounded in time, size and tries.
//!
//! Answers are plain JSON: objects that are not ours keep the fields that we do not know.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use hyper::{Method, Request, StatusCode};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};

use super::FIELD_MANAGER;
use super::patch::PatchOperation;
use crate::{RouterError, RouterErrorKind};

/// Largest answer that is read: lists of Ingresses are the largest of them.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// Pause before the second try; the next ones double it.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How to reach a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The kubeconfig file. `None`: `$KUBECONFIG`, `~/.kube/config`, or the pod's own service account.
    pub kubeconfig: Option<PathBuf>,
    /// Which context of it. `None`: the current one.
    pub context: Option<String>,
}

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// One try.
    pub each: Duration,
    /// All tries and the pauses between them.
    pub all: Duration,
}

impl Patience {
    /// Usual: 4 s a try, 8 s in all.
    pub const USUAL: Self = Self {
        each: Duration::from_secs(4),
        all: Duration::from_secs(8),
    };
    /// Taking traffic off: 2 s a try, so that one hanging connection does not hold it up; 8 s in all.
    pub const URGENT: Self = Self {
        each: Duration::from_secs(2),
        all: Duration::from_secs(8),
    };
}

/// A kind of object, and the versions of it that we can read, best first.
#[derive(Debug)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Versions that we can read, best first. Never empty.
    pub versions: &'static [&'static str],
    /// As in the path: `httproutes`.
    pub plural: &'static str,
    /// As in messages: `HTTPRoute`.
    pub kind: &'static str,
}

impl Resource {
    fn path(&self, version: &str, namespace: &str, rest: &str) -> String {
        let plural = self.plural;
        if self.group.is_empty() {
            format!("/api/{version}/namespaces/{namespace}/{plural}{rest}")
        } else {
            let group = self.group;
            format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}{rest}")
        }
    }

    /// `gateway.networking.k8s.io/v1 or v1beta1`, for messages.
    fn served_as(&self) -> String {
        format!("{}/{}", self.group, self.versions.join(" or "))
    }
}

/// Why a call to the API server failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// There is no way to the cluster: no kubeconfig, no such context, unusable credentials.
    Config(String),
    /// Nobody answered.
    Unreachable(String),
    /// No answer in time.
    TimedOut(Duration),
    /// This kind of object is not served: its CRD is not installed.
    NotServed {
        /// The kind.
        kind: &'static str,
        /// Group and versions.
        served_as: String,
    },
    /// No such object.
    NotFound(String),
    /// 409.
    Conflict(String),
    /// 422: a failed `test` of a JSON Patch, or an object that is not valid.
    Invalid(String),
    /// 401 or 403.
    Forbidden(String),
    /// 429, still after our tries.
    TooMany(String),
    /// Any other status.
    Status(u16, String),
    /// An answer that makes no sense.
    Odd(String),
}

impl Failure {
    /// Worth a second try as it is.
    fn passes(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_)
                | Self::TimedOut(_)
                | Self::TooMany(_)
                | Self::Status(500 | 502 | 503 | 504, _)
        )
    }

    /// As an error of a router, which tried that.
    pub(super) fn tried(self, tried: impl Into<String>) -> RouterError {
        let (kind, hint) = match &self {
            Self::Config(_) => (
                RouterErrorKind::Refused,
                "set traffic.kubeconfig and traffic.context, or KUBECONFIG; `kubectl cluster-info` must work with the same",
            ),
            Self::Unreachable(_) => (
                RouterErrorKind::Unreachable,
                "check that the cluster is up and reachable from here: `kubectl get --raw /readyz`",
            ),
            Self::TimedOut(_) => (
                RouterErrorKind::TimedOut,
                "the API server hangs or is overloaded: `kubectl get --raw /readyz?verbose`",
            ),
            Self::NotServed { .. } => (
                RouterErrorKind::Refused,
                "install its CRDs, or choose another `traffic.router`",
            ),
            Self::NotFound(_) => (
                RouterErrorKind::Refused,
                "check the names and the namespace under `traffic`",
            ),
            Self::Conflict(_) => (
                RouterErrorKind::Conflict,
                "somebody else writes to the same object: look who, with `kubectl get -o yaml --show-managed-fields`",
            ),
            Self::Invalid(_) => (
                RouterErrorKind::Refused,
                "the API server does not accept the change: read what it says",
            ),
            Self::Forbidden(_) => (
                RouterErrorKind::Refused,
                "give this user the right: `kubectl auth can-i --list` shows what it has",
            ),
            Self::TooMany(_) => (
                RouterErrorKind::Unreachable,
                "the API server is overloaded and asks to come back later",
            ),
            Self::Status(..) => (RouterErrorKind::Unreachable, "look at the API server's log"),
            Self::Odd(_) => (
                RouterErrorKind::Unexpected,
                "check that the address is that of a Kubernetes API server",
            ),
        };
        RouterError::new(kind, tried, self.to_string(), hint)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(why) => write!(f, "no way to the cluster: {why}"),
            Self::Unreachable(why) => write!(f, "the API server cannot be reached: {why}"),
            Self::TimedOut(after) => write!(f, "no answer within {after:?} from the API server"),
            Self::NotServed { kind, served_as } => {
                write!(f, "{kind} is not served by this cluster ({served_as})")
            }
            Self::NotFound(what) => write!(f, "there is no {what}"),
            Self::Conflict(what) => write!(f, "conflict: {what}"),
            Self::Invalid(what) => write!(f, "the change was refused: {what}"),
            Self::Forbidden(what) => f.write_str(what),
            Self::TooMany(what) => write!(f, "429: {what}"),
            Self::Status(code, what) => write!(f, "{code}: {what}"),
            Self::Odd(what) => write!(f, "an answer that makes no sense: {what}"),
        }
    }
}

/// One cluster and one namespace.
pub struct Api {
    access: Access,
    namespace: Option<String>,
    client: OnceCell<Client>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("access", &self.access)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// Remembers which version of a resource a cluster serves.
#[derive(Debug, Default)]
pub struct Served(AtomicUsize);

/// What a call sends.
enum Send<'a> {
    Get,
    Delete,
    Create(&'a Value),
    Merge(&'a Value),
    Json(&'a [PatchOperation]),
}

impl Api {
    /// Nothing is read or sent before the first call. `namespace`: `None` takes the context's own.
    #[must_use]
    pub fn new(access: Access, namespace: Option<String>) -> Self {
        Self {
            access,
            namespace,
            client: OnceCell::new(),
        }
    }

    /// With a client that is there already.
    #[must_use]
    pub fn with_client(client: Client, namespace: impl Into<String>) -> Self {
        Self {
            access: Access::default(),
            namespace: Some(namespace.into()),
            client: OnceCell::new_with(Some(client)),
        }
    }

    /// The namespace as it was given, for names in messages.
    pub(super) fn namespace_given(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    async fn client(&self) -> Result<&Client, Failure> {
        self.client
            .get_or_try_init(|| async {
                let config = self.config().await?;
                Client::try_from(config).map_err(|error| Failure::Config(chain(&error)))
            })
            .await
    }

    async fn config(&self) -> Result<Config, Failure> {
        let options = KubeConfigOptions {
            context: self.access.context.clone(),
            ..KubeConfigOptions::default()
        };
        let failed = |error: &dyn std::error::Error| Failure::Config(chain(error));
        let mut config = match &self.access.kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|error| failed(&error))?;
                Config::from_custom_kubeconfig(file, &options)
                    .await
                    .map_err(|error| failed(&error))?
            }
            None if self.access.context.is_some() => Config::from_kubeconfig(&options)
                .await
                .map_err(|error| failed(&error))?,
            None => Config::infer().await.map_err(|error| failed(&error))?,
        };
        // Our own bounds are per call; these keep a dead connection from being waited for.
        config.connect_timeout = Some(Patience::URGENT.each);
        // We try again ourselves, within a bound.
        config.default_retry = false;
        Ok(config)
    }

    fn namespace<'a>(&'a self, client: &'a Client) -> &'a str {
        self.namespace
            .as_deref()
            .unwrap_or_else(|| client.default_namespace())
    }

    /// The object.
    pub async fn get(
        &self,
        resource: &Resource,
        served: &Served,
        name: &str,
        patience: Patience,
    ) -> Result<Value, Failure> {
        self.call(resource, served, &format!("/{name}"), Send::Get, patience)
            .await
    }

    /// All objects of the namespace, or those with `labels` (a selector).
    pub async fn list(
        &self,
        resource: &Resource,
        served: &Served,
        labels: Option<&str>,
        patience: Patience,
    ) -> Result<Vec<Value>, Failure> {
        let rest = labels.map_or_else(String::new, |labels| {
            format!("?labelSelector={}", escape(labels))
        });
        let mut list = self
            .call(resource, served, &rest, Send::Get, patience)
            .await?;
        match list.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => Ok(items),
            _ => Err(Failure::Odd("a list without items".to_owned())),
        }
    }

    /// Changes an object by a JSON Patch; the answer is the object after it. `name` may end in a subresource: `a/status`.
    pub async fn patch(
        &self,
        resource: &Resource,
        served: &Served,
        name: &str,
        operations: &[PatchOperation],
        patience: Patience,
    ) -> Result<Value, Failure> {
        let rest = format!("/{name}?fieldManager={FIELD_MANAGER}");
        self.call(resource, served, &rest, Send::Json(operations), patience)
            .await
    }

    /// Asks whether a JSON Patch would be taken: rights, schema and admission, and nothing is changed.
    pub async fn try_patch(
        &self,
        resource: &Resource,
        served: &Served,
        name: &str,
        operations: &[PatchOperation],
    ) -> Result<Value, Failure> {
        let rest = format!("/{name}?dryRun=All&fieldManager={FIELD_MANAGER}");
        let send = Send::Json(operations);
        self.call(resource, served, &rest, send, Patience::USUAL)
            .await
    }

    /// Changes an object by a merge patch. `name` may end in a subresource: `a/status`.
    pub async fn merge(
        &self,
        resource: &Resource,
        served: &Served,
        name: &str,
        patch: &Value,
        patience: Patience,
    ) -> Result<Value, Failure> {
        let rest = format!("/{name}?fieldManager={FIELD_MANAGER}");
        self.call(resource, served, &rest, Send::Merge(patch), patience)
            .await
    }

    /// Makes an object. One that is there already is a [`Failure::Conflict`].
    pub async fn create(
        &self,
        resource: &Resource,
        served: &Served,
        object: &Value,
        patience: Patience,
    ) -> Result<Value, Failure> {
        let rest = format!("?fieldManager={FIELD_MANAGER}");
        self.call(resource, served, &rest, Send::Create(object), patience)
            .await
    }

    /// Asks whether an object would be made: rights, schema and admission, and nothing is made.
    pub async fn try_create(
        &self,
        resource: &Resource,
        served: &Served,
        object: &Value,
    ) -> Result<Value, Failure> {
        let rest = format!("?dryRun=All&fieldManager={FIELD_MANAGER}");
        let send = Send::Create(object);
        self.call(resource, served, &rest, send, Patience::USUAL)
            .await
    }

    /// Deletes an object.
    pub async fn delete(
        &self,
        resource: &Resource,
        served: &Served,
        name: &str,
        patience: Patience,
    ) -> Result<(), Failure> {
        self.call(
            resource,
            served,
            &format!("/{name}"),
            Send::Delete,
            patience,
        )
        .await
        .map(drop)
    }

    /// Sends it to the version that is served.
    async fn call(
        &self,
        resource: &Resource,
        served: &Served,
        rest: &str,
        send: Send<'_>,
        patience: Patience,
    ) -> Result<Value, Failure> {
        let client = match timeout(patience.each, self.client()).await {
            Ok(client) => client?,
            Err(_) => return Err(Failure::TimedOut(patience.each)),
        };
        let namespace = self.namespace(client);
        let deadline = Instant::now() + patience.all;
        let first = served.0.load(Ordering::Relaxed);
        for (version, name) in resource.versions.iter().enumerate().skip(first) {
            let path = resource.path(name, namespace, rest);
            match call(client, &path, &send, patience.each, deadline).await {
                Err(Failure::NotServed { .. }) => {}
                Err(failure) => return Err(failure),
                Ok(answer) => {
                    served.0.store(version, Ordering::Relaxed);
                    return Ok(answer);
                }
            }
        }
        Err(Failure::NotServed {
            kind: resource.kind,
            served_as: resource.served_as(),
        })
    }
}

/// Sends it until it is answered, or until there is no time left.
async fn call(
    client: &Client,
    path: &str,
    send: &Send<'_>,
    each: Duration,
    deadline: Instant,
) -> Result<Value, Failure> {
    let mut pause = PAUSE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let (failure, wait) = match timeout(each.min(left), exchange(client, path, send)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failed)) => failed,
            Err(_) => (Failure::TimedOut(each), None),
        };
        if !failure.passes() {
            return Err(failure);
        }
        let wait = wait.unwrap_or(pause);
        if Instant::now() + wait >= deadline {
            return Err(failure);
        }
        tracing::debug!(path, %failure, ?wait, "trying again");
        sleep(wait).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

/// One try. With a failure comes how long the server asks to wait.
async fn exchange(
    client: &Client,
    path: &str,
    send: &Send<'_>,
) -> Result<Value, (Failure, Option<Duration>)> {
    let (method, content, body) = match send {
        Send::Get => (Method::GET, None, Vec::new()),
        Send::Delete => (Method::DELETE, None, Vec::new()),
        Send::Create(object) => (Method::POST, Some("application/json"), bytes(object)?),
        Send::Merge(patch) => (
            Method::PATCH,
            Some("application/merge-patch+json"),
            bytes(patch)?,
        ),
        Send::Json(operations) => (
            Method::PATCH,
            Some("application/json-patch+json"),
            bytes(operations)?,
        ),
    };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(ACCEPT, "application/json");
    if let Some(content) = content {
        request = request.header(CONTENT_TYPE, content);
    }
    let request = request
        .body(Body::from(body))
        .map_err(|error| (Failure::Config(error.to_string()), None))?;
    let response = client
        .send(request)
        .await
        .map_err(|error| (unreachable(&error), None))?;
    let status = response.status();
    let wait = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await
        .map_err(|error| (Failure::Unreachable(error.to_string()), None))?
        .to_bytes();
    if status.is_success() {
        return serde_json::from_slice(&body)
            .map_err(|error| (Failure::Odd(error.to_string()), None));
    }
    Err((refusal(status, &body), wait))
}

fn bytes(value: &impl serde::Serialize) -> Result<Vec<u8>, (Failure, Option<Duration>)> {
    serde_json::to_vec(value).map_err(|error| (Failure::Odd(error.to_string()), None))
}

/// Nothing came back: whether that is the network or our own credentials.
fn unreachable(error: &kube::Error) -> Failure {
    match error {
        kube::Error::Auth(why) => Failure::Config(chain(why)),
        other => Failure::Unreachable(chain(other)),
    }
}

/// What a status that is not a success means.
fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let answer: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
    let message = text("/message").map_or_else(
        || {
            String::from_utf8_lossy(body)
                .trim()
                .chars()
                .take(300)
                .collect()
        },
        |message| message.chars().take(1000).collect::<String>(),
    );
    match status {
        // An object that is not there is named in the answer; a path that nobody serves is not.
        StatusCode::NOT_FOUND => match (text("/details/name"), text("/details/kind")) {
            (Some(name), Some(kind)) => Failure::NotFound(format!("{name} among the {kind}")),
            _ => Failure::NotServed {
                kind: "",
                served_as: String::new(),
            },
        },
        StatusCode::CONFLICT => Failure::Conflict(message),
        StatusCode::UNPROCESSABLE_ENTITY => Failure::Invalid(message),
        StatusCode::UNAUTHORIZED => Failure::Forbidden(format!(
            "the API server does not accept these credentials: {message}"
        )),
        StatusCode::FORBIDDEN => Failure::Forbidden(message),
        StatusCode::TOO_MANY_REQUESTS => Failure::TooMany(message),
        other => Failure::Status(other.as_u16(), message),
    }
}

/// An error and all that caused it, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}

/// For a query: label selectors hold `=`, `,`, `/` and `!` besides what needs no escape.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
