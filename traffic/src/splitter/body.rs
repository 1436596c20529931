//! Bodies on their way through: never collected, one frame at a time, in the reader's rhythm.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::record::Record;
use super::upstream::Lease;

/// A request's body on its way to a version.
#[derive(Debug)]
pub(crate) enum RequestBody {
    Empty,
    Streaming { body: Incoming, upload: Arc<Upload> },
}

/// How an upload goes, seen from outside of it: whoever waits for the answer must know whether the time is the
/// client's or the version's.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    frames: AtomicU64,
    state: AtomicU8,
}

/// Who an upload waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The version does not take more, or has everything.
    Version,
    /// The client does not send more.
    Client,
    /// The client broke off.
    Broken,
}

impl Upload {
    pub(crate) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Acquire)
    }

    pub(crate) fn waiting(&self) -> Waiting {
        match self.state.load(Ordering::Acquire) {
            0 => Waiting::Version,
            1 => Waiting::Client,
            _ => Waiting::Broken,
        }
    }

    fn set(&self, waiting: Waiting) {
        let state = match waiting {
            Waiting::Version => 0,
            Waiting::Client => 1,
            Waiting::Broken => 2,
        };
        self.state.store(state, Ordering::Release);
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Streaming { body, upload } => {
                let polled = Pin::new(body).poll_frame(cx);
                upload.set(match &polled {
                    Poll::Pending => Waiting::Client,
                    Poll::Ready(Some(Err(_))) => Waiting::Broken,
                    Poll::Ready(_) => Waiting::Version,
                });
                if polled.is_ready() {
                    upload.frames.fetch_add(1, Ordering::AcqRel);
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming { body, .. } => body.size_hint(),
        }
    }
}

/// An answer's body on its way to the client.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// From a version.
    Streaming(Streaming),
    /// A short text of our own, or nothing.
    Own(Option<Bytes>),
}

/// A version's answer, what is counted about it, and the connection that it comes from.
#[derive(Debug)]
pub(crate) struct Streaming {
    body: Incoming,
    /// Gone once the answer has ended.
    rest: Option<(Record, Lease)>,
}

impl AnswerBody {
    pub(crate) fn text(text: &'static str) -> Self {
        Self::Own(Some(Bytes::from_static(text.as_bytes())))
    }

    /// Passes a version's answer on. The record ends and the connection goes back when the answer has ended; if it is
    /// dropped before, the client has left: the record ends with the status sent and the connection is closed.
    pub(crate) fn streaming(body: Incoming, record: Record, lease: Lease) -> Self {
        let mut streaming = Streaming {
            body,
            rest: Some((record, lease)),
        };
        if streaming.body.is_end_stream() {
            streaming.finish();
        }
        Self::Streaming(streaming)
    }
}

impl Streaming {
    fn finish(&mut self) {
        if let Some((record, lease)) = self.rest.take() {
            lease.give_back(record.end());
        }
    }

    fn broke(&mut self) {
        if let Some((mut record, lease)) = self.rest.take() {
            // The status line said success, the client got half an answer: that is a failure of the version.
            record.answered(StatusCode::BAD_GATEWAY);
            record.end();
            drop(lease);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let streaming = match self.get_mut() {
            Self::Own(text) => return Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Streaming(streaming) => streaming,
        };
        let frame = ready!(Pin::new(&mut streaming.body).poll_frame(cx));
        match &frame {
            None => streaming.finish(),
            Some(Err(_)) => streaming.broke(),
            Some(Ok(_)) if streaming.body.is_end_stream() => streaming.finish(),
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(text) => text.is_none(),
            Self::Streaming(streaming) => streaming.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len).try_into().unwrap_or(0))
            }
            Self::Streaming(streaming) => streaming.body.size_hint(),
        }
    }
}
