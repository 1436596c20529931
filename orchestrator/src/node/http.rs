//! One HTTP request: how it is built from values that may say anything, and how its answer is read.

mod address;
mod answer;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::process::Log;
use super::spec::{HttpBody, HttpWork, JsonTemplate};
use super::{Attempt, Ending, slack};
use crate::machine::{NodeStatus, ProcessMark};
use crate::notify::text;

pub(crate) use address::shown;
pub(crate) use answer::{Answer, LARGEST_BODY, read, reason};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// Redirects within one origin that are followed.
const REDIRECTS: usize = 5;

/// The client for everything but evidence. A redirect is followed within the same scheme, host and port only: a header with a
/// token must not travel to a place that nobody named.
///
/// # Errors
/// The system's certificates cannot be read, or no TLS provider is installed.
pub fn client() -> Result<reqwest::Client, String> {
    let policy = Policy::custom(|attempt| {
        let same = attempt
            .previous()
            .last()
            .is_some_and(|from| from.origin() == attempt.url().origin());
        if same && attempt.previous().len() <= REDIRECTS {
            attempt.follow()
        } else {
            attempt.stop()
        }
    });
    reqwest::Client::builder()
        .user_agent(concat!("canary/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .redirect(policy)
        .build()
        .map_err(|error| format!("cannot make an HTTP client: {}", reason(&error)))
}

/// Sends the request and reads the answer.
pub(super) async fn request(
    attempt: &Attempt<'_>,
    work: &HttpWork,
    started: impl FnOnce(Option<ProcessMark>) -> BoxFuture<'static, ()>,
    cancel: &CancellationToken,
) -> Ending {
    let built = match build(attempt, work) {
        Ok(built) => built,
        Err(error) => return Ending::failed(error),
    };
    let tried = format!("{} {}", work.method, shown(built.url()));
    started(None).await;
    if cancel.is_cancelled() {
        return Ending::with(
            NodeStatus::Cancelled,
            format!("{tried}: was cancelled before it was sent"),
        );
    }
    let client = attempt.context.shared.http.clone();
    let exchange = async {
        let response = client
            .execute(built)
            .await
            .map_err(|error| reason(&error))?;
        read(response).await
    };
    let ending = tokio::select! {
        biased;
        () = cancel.cancelled() => {
            Ending::with(NodeStatus::Cancelled, format!("{tried}: was cancelled; the server may have acted on it"))
        }
        answer = tokio::time::timeout(attempt.timeout(), exchange) => match answer {
            Err(_) => Ending::with(
                NodeStatus::TimedOut,
                format!("{tried}: no complete answer within {:?}; the server may have acted on it", attempt.timeout()),
            ),
            Ok(Err(why)) => Ending::failed(format!("{tried}: no answer: {why}; check the address, that the server runs, and the network between")),
            Ok(Ok(answer)) => judge(work, &tried, answer),
        },
    };
    write_log(attempt, &tried, &ending).await;
    ending
}

fn build(attempt: &Attempt<'_>, work: &HttpWork) -> Result<reqwest::Request, String> {
    let method = Method::from_bytes(work.method.as_bytes())
        .map_err(|_| format!("`{}` is not a method of HTTP", work.method))?;
    let mut url = address::render(&work.url, &attempt.values)?;
    if !work.query.is_empty() {
        let mut pairs = url.query_pairs_mut();
        for (name, value) in &work.query {
            pairs.append_pair(name, &attempt.render(value)?);
        }
    }
    let mut headers = headers(attempt, work)?;
    let body = body(attempt, work)?;
    if let Some((content_type, _)) = &body
        && !headers.contains_key(CONTENT_TYPE)
    {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    let mut request = attempt
        .context
        .shared
        .http
        .request(method, url)
        .headers(headers);
    if let Some((_, body)) = body {
        request = request.body(body);
    }
    request.build().map_err(|error| reason(&error))
}

fn headers(attempt: &Attempt<'_>, work: &HttpWork) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let sensitive = |name: &str, value: &str| {
        // The value is not shown: it may be a secret.
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| format!("the value of header `{name}` has a line end or another character that no header may have"))?;
        value.set_sensitive(true);
        Ok::<_, String>(value)
    };
    for (name, template) in &work.headers {
        let key = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("`{name}` is not a name of a header"))?;
        headers.insert(key, sensitive(name, &attempt.render(template)?)?);
    }
    if let Some(name) = &work.bearer {
        let token = attempt
            .context
            .shared
            .secrets
            .resolve(name)
            .map_err(|error| error.to_string())?;
        let value = format!("Bearer {}", token.expose_secret().trim());
        headers.insert(AUTHORIZATION, sensitive("Authorization", &value)?);
    }
    Ok(headers)
}

/// Content type and text.
fn body(attempt: &Attempt<'_>, work: &HttpWork) -> Result<Option<(&'static str, String)>, String> {
    const JSON: &str = "application/json; charset=utf-8";
    Ok(match &work.body {
        HttpBody::Empty => None,
        HttpBody::Text(template) => {
            let text = attempt.render(template)?;
            let json = text.trim_start().starts_with(['{', '['])
                && serde_json::from_str::<Value>(&text).is_ok();
            Some((
                if json {
                    JSON
                } else {
                    "text/plain; charset=utf-8"
                },
                text,
            ))
        }
        HttpBody::Json(template) => Some((JSON, fill(attempt, template)?.to_string())),
        HttpBody::SlackReport { channel } => {
            let report = (attempt.context.shared.report)();
            let text = text::report_for_slack(&attempt.context.shared.run, &report);
            let text = attempt.redactor.text(&text).into_owned();
            let body = serde_json::json!({"channel": attempt.render(channel)?, "text": text, "unfurl_links": false});
            Some((JSON, body.to_string()))
        }
    })
}

fn fill(attempt: &Attempt<'_>, template: &JsonTemplate) -> Result<Value, String> {
    Ok(match template {
        JsonTemplate::Literal(value) => value.clone(),
        JsonTemplate::Text(text) => text
            .value(&attempt.values)
            .map_err(|error| error.to_string())?,
        JsonTemplate::List(items) => Value::Array(
            items
                .iter()
                .map(|item| fill(attempt, item))
                .collect::<Result<_, _>>()?,
        ),
        JsonTemplate::Map(entries) => {
            let entries = entries
                .iter()
                .map(|(key, item)| Ok((key.clone(), fill(attempt, item)?)));
            Value::Object(entries.collect::<Result<Map<_, _>, String>>()?)
        }
    })
}

fn judge(work: &HttpWork, tried: &str, answer: Answer) -> Ending {
    let expected = if work.expected_status.is_empty() {
        (200..300).contains(&answer.status)
    } else {
        work.expected_status.contains(&answer.status)
    };
    let mut error =
        (!expected).then(|| format!("{tried}: {}", answer.words(&work.expected_status)));
    if error.is_none() && work.slack {
        error = match &answer.body {
            Some(body) => slack::check(body)
                .err()
                .map(|why| format!("{tried}: {why}")),
            None => Some(format!(
                "{tried}: the answer is larger than {LARGEST_BODY} bytes, which none of Slack's is"
            )),
        };
    }
    let mut notes = Vec::new();
    if answer.body.is_none() {
        notes.push(format!(
            "the answer is larger than {} MiB: no outputs were read from it",
            LARGEST_BODY / 1024 / 1024
        ));
    }
    let always = BTreeMap::from([
        ("http_status".to_owned(), Value::from(answer.status)),
        (
            "body".to_owned(),
            Value::from(answer.body.clone().unwrap_or_default()),
        ),
    ]);
    Ending {
        status: Some(if error.is_some() {
            NodeStatus::Failed
        } else {
            NodeStatus::Completed
        }),
        error,
        mapping: work.response_mapping.clone(),
        body: answer.body,
        always,
        notes,
        ..Ending::default()
    }
}

async fn write_log(attempt: &Attempt<'_>, tried: &str, ending: &Ending) {
    let what = match (&ending.error, ending.always.get("http_status")) {
        (Some(error), _) => error.clone(),
        (None, Some(status)) => format!("{tried}: {status}"),
        (None, None) => tried.to_owned(),
    };
    let body = ending.body.as_deref().unwrap_or_default();
    let text = format!("{what}\n{body}\n");
    Log::create(Some(&attempt.context.log))
        .await
        .write(attempt.redactor.text(&text).as_bytes())
        .await;
}
