//! One request through the splitter: check, choose, rewrite, send, answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, SET_COOKIE, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::body::{AnswerBody, RequestBody, Upload, Waiting};
use super::choose::Arm;
use super::headers::{self, BadHost};
use super::record::Record;
use super::shared::Shared;
use super::upstream::{SendError, Sent};

/// What the requests of one connection have in common.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) shared: Arc<Shared>,
    /// The client's address, for X-Forwarded-For.
    pub(crate) peer: HeaderValue,
    pub(crate) tunnels: TaskTracker,
    /// Ends tunnels that outlive the drain.
    pub(crate) cut: CancellationToken,
}

type Answer = Response<AnswerBody>;

/// An answer of our own.
fn own(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(AnswerBody::text(text));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    answer
}

/// Requests that no version is asked about, because they mean nothing to it or would go round in circles.
fn refuse(request: &Request<Incoming>, shared: &Shared) -> Option<Answer> {
    if request.method() == Method::CONNECT {
        let mut answer = own(
            StatusCode::METHOD_NOT_ALLOWED,
            "CONNECT is not supported here\n",
        );
        let allowed = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE";
        answer
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static(allowed));
        return Some(answer);
    }
    if shared.via.is_loop(request.headers()) {
        return Some(own(
            StatusCode::LOOP_DETECTED,
            "this request came back to the proxy that sent it: one of its versions points at the proxy itself\n",
        ));
    }
    None
}

/// Answers one request.
pub(crate) async fn forward(
    client: Arc<Client>,
    mut request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let shared = &client.shared;
    if let Some(answer) = refuse(&request, shared) {
        return Ok(answer);
    }
    let version = request.version();
    let uri = request.uri().clone();
    let host = match headers::take_host(request.headers_mut(), &uri, version) {
        Ok(host) => host,
        Err(BadHost::Missing) => {
            return Ok(own(
                StatusCode::BAD_REQUEST,
                "the request has no Host header\n",
            ));
        }
        Err(BadHost::Several) => {
            return Ok(own(
                StatusCode::BAD_REQUEST,
                "the request has several Host headers\n",
            ));
        }
    };

    let choice = shared.rules.choose(&shared.sequence, request.headers());
    let arm = choice.arm;
    if choice.by_weight {
        shared.decided(arm);
    }
    let mut record = Record::begin(shared.clone(), arm);

    let upgrade = headers::strip_hop_by_hop(request.headers_mut());
    let upgrading = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    headers::add_forwarded(
        request.headers_mut(),
        &client.peer,
        host.as_ref(),
        version,
        &shared.via,
    );
    let upstream = shared.upstream(arm);
    let (outgoing, upload) = outgoing(request, version, host, upstream.authority(), upgrade);
    let http2 = upgrading.is_none() && upstream.by_http2(&outgoing);

    let sent = tokio::select! {
        biased;
        sent = upstream.send(outgoing, http2) => sent,
        late = lateness(shared.response_timeout, upload.as_deref()) => {
            return Ok(too_late(shared, arm, record, late));
        }
    };
    let Sent {
        response,
        lease,
        retried,
    } = match sent {
        Ok(sent) => sent,
        Err(error) => return Ok(failed(shared, arm, record, upload.as_deref(), &error)),
    };
    if retried {
        shared.metrics.retried(arm);
    }

    record.answered(response.status());
    let (mut head, body) = response.into_parts();
    head.version = Version::HTTP_11; // the client's connection says its own
    let granted = headers::strip_hop_by_hop(&mut head.headers);
    if let Some(cookie) = choice.set_cookie {
        head.headers.append(SET_COOKIE, cookie);
    }
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        let (Some(theirs), Some(protocol)) = (upgrading, granted) else {
            shared.failed(
                arm,
                "it switched protocols without being asked to".to_owned(),
            );
            record.answered(StatusCode::BAD_GATEWAY);
            return Ok(own(StatusCode::BAD_GATEWAY, "Bad Gateway\n"));
        };
        head.headers
            .insert(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, protocol);
        record.end();
        let ours = hyper::upgrade::on(Response::from_parts(head.clone(), body));
        // The connection belongs to the tunnel from here on.
        drop(lease);
        tunnel(&client, arm, theirs, ours);
        return Ok(Response::from_parts(head, AnswerBody::Own(None)));
    }
    Ok(Response::from_parts(
        head,
        AnswerBody::streaming(body, record, lease),
    ))
}

/// The request as the version gets it.
fn outgoing(
    request: Request<Incoming>,
    version: Version,
    host: Option<HeaderValue>,
    authority: &str,
    upgrade: Option<HeaderValue>,
) -> (Request<RequestBody>, Option<Arc<Upload>>) {
    let (mut head, body) = request.into_parts();
    head.extensions.clear();
    if head.uri.authority().is_some() {
        let mut parts = hyper::http::uri::Parts::default();
        parts.path_and_query = head.uri.path_and_query().cloned();
        head.uri = Uri::from_parts(parts).unwrap_or_default();
    }
    // HTTP/1.0 without a Host: the version needs one, and its own address is the only one known.
    if let Some(host) = host.or_else(|| HeaderValue::from_str(authority).ok()) {
        head.headers.insert(HOST, host);
    }
    if version == Version::HTTP_2 {
        headers::join_cookies(&mut head.headers);
    }
    if let Some(protocol) = upgrade {
        head.headers
            .insert(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, protocol);
    }
    if body.is_end_stream() {
        return (Request::from_parts(head, RequestBody::Empty), None);
    }
    let upload = Arc::new(Upload::default());
    let body = RequestBody::Streaming {
        body,
        upload: upload.clone(),
    };
    (Request::from_parts(head, body), Some(upload))
}

/// Resolves when nothing has moved for the timeout: who did not move. Time in which an upload makes progress does not
/// count.
async fn lateness(limit: Duration, upload: Option<&Upload>) -> Waiting {
    let Some(upload) = upload else {
        tokio::time::sleep(limit).await;
        return Waiting::Version;
    };
    loop {
        let before = upload.frames();
        tokio::time::sleep(limit).await;
        if upload.frames() == before {
            return upload.waiting();
        }
    }
}

fn too_late(shared: &Shared, arm: Arm, mut record: Record, late: Waiting) -> Answer {
    if late != Waiting::Version {
        record.answered(StatusCode::REQUEST_TIMEOUT);
        return own(
            StatusCode::REQUEST_TIMEOUT,
            "the request's body did not arrive in time\n",
        );
    }
    shared.failed(
        arm,
        format!("no answer within {:?}", shared.response_timeout),
    );
    record.answered(StatusCode::GATEWAY_TIMEOUT);
    own(
        StatusCode::GATEWAY_TIMEOUT,
        "Gateway Timeout: the service did not answer in time\n",
    )
}

fn failed(
    shared: &Shared,
    arm: Arm,
    mut record: Record,
    upload: Option<&Upload>,
    error: &SendError,
) -> Answer {
    if upload.is_some_and(|upload| upload.waiting() == Waiting::Broken) {
        record.answered(StatusCode::BAD_REQUEST);
        return own(StatusCode::BAD_REQUEST, "the request's body broke off\n");
    }
    shared.failed(arm, error.to_string());
    let (status, text) = match error {
        SendError::ConnectTimeout(_) => (
            StatusCode::GATEWAY_TIMEOUT,
            "Gateway Timeout: the service could not be reached in time\n",
        ),
        SendError::Connect(_) | SendError::Http(_) => (
            StatusCode::BAD_GATEWAY,
            "Bad Gateway: the service did not answer\n",
        ),
    };
    record.answered(status);
    own(status, text)
}

/// Copies bytes both ways until one side closes or the drain is over.
fn tunnel(client: &Client, arm: Arm, theirs: OnUpgrade, ours: OnUpgrade) {
    let shared = client.shared.clone();
    let cut = client.cut.clone();
    client.tunnels.spawn(async move {
        let both = async {
            let (theirs, ours) = futures::future::try_join(theirs, ours).await?;
            shared.metrics.tunnel_opened(arm);
            let copied =
                tokio::io::copy_bidirectional(&mut TokioIo::new(theirs), &mut TokioIo::new(ours))
                    .await;
            shared.metrics.tunnel_closed(arm);
            if let Err(error) = copied {
                tracing::debug!(arm = arm.as_str(), %error, "tunnel broke");
            }
            Ok::<(), hyper::Error>(())
        };
        match cut.run_until_cancelled(both).await {
            Some(Err(error)) => tracing::debug!(arm = arm.as_str(), %error, "upgrade failed"),
            Some(Ok(())) => {}
            None => tracing::debug!(arm = arm.as_str(), "tunnel cut by the stop"),
        }
    });
}
