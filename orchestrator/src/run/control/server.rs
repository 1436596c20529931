//! The run's side of the control socket.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::lines::{self, Line};
use super::{Answer, MAX_REQUEST, Present, Request};
use crate::run::driver::Handle;

/// Connections at the same time. One more closes the oldest: somebody who wants to abort always gets in.
const MOST: usize = 64;

/// How long a connection may say nothing.
const IDLE: Duration = Duration::from_secs(30);

/// How long closing waits for clients to take their last answer.
const CLOSE: Duration = Duration::from_secs(1);

/// How long a client may take to read one answer.
const WRITE: Duration = Duration::from_secs(10);

/// Answers on the control socket until it is dropped; the socket is removed then.
#[derive(Debug)]
pub struct ControlServer {
    path: PathBuf,
    task: JoinHandle<()>,
    closing: CancellationToken,
    connections: TaskTracker,
}

impl ControlServer {
    /// Listens there; nothing else may be at that path. Must be called inside a runtime.
    pub fn start(path: &Path, handle: Handle) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        // The directory is ours alone already; this holds where somebody opens it up.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let (closing, connections) = (CancellationToken::new(), TaskTracker::new());
        let task = tokio::spawn(accept(
            listener,
            handle,
            closing.clone(),
            connections.clone(),
        ));
        Ok(Self {
            path: path.to_owned(),
            task,
            closing,
            connections,
        })
    }

    /// Takes no more requests, and lets answers that are on their way out: the last report, that an abort took effect.
    pub async fn close(self) {
        self.task.abort();
        self.closing.cancel();
        self.connections.close();
        // A client that does not read its answer is not waited for.
        let _late = timeout(CLOSE, self.connections.wait()).await;
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.task.abort();
        // Whoever drives the run next removes what is left.
        let _left = fs::remove_file(&self.path);
    }
}

async fn accept(
    listener: UnixListener,
    handle: Handle,
    closing: CancellationToken,
    connections: TaskTracker,
) {
    let mut open: VecDeque<(CancellationToken, JoinHandle<()>)> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, for example: not a reason to spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        open.retain(|(_, task)| !task.is_finished());
        if open.len() >= MOST
            && let Some((oldest, _)) = open.pop_front()
        {
            oldest.cancel();
        }
        let (handle, closing, crowded) =
            (handle.clone(), closing.clone(), CancellationToken::new());
        let out = crowded.clone();
        let task = connections.spawn(async move {
            // A client that goes away in the middle harms nobody.
            let _gone = serve(stream, handle, &closing, &crowded).await;
        });
        open.push_back((out, task));
    }
}

async fn refuse(stream: UnixStream, message: String) -> io::Result<()> {
    let (_, mut write) = stream.into_split();
    say(&mut write, &Answer::Error { message }).await
}

/// Answers one client until it goes, the run ends (`closing`), or others need the room (`crowded`). What somebody asked
/// for is always carried out and answered.
async fn serve(
    stream: UnixStream,
    handle: Handle,
    closing: &CancellationToken,
    crowded: &CancellationToken,
) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    let ours = rustix::process::geteuid().as_raw();
    if peer != ours && peer != 0 {
        return refuse(
            stream,
            format!("this run belongs to user id {ours}, you are user id {peer}"),
        )
        .await;
    }
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let line = tokio::select! {
            line = timeout(IDLE, lines::read_strictly(&mut read, MAX_REQUEST)) => line,
            () = closing.cancelled() => return Ok(()),
            () = crowded.cancelled() => return Ok(()),
        };
        let Ok(line) = line else { return Ok(()) };
        match line? {
            Line::End => return Ok(()),
            Line::Malformed(why) => {
                let message = format!("the request is not understood: {why}");
                return say(&mut write, &Answer::Error { message }).await;
            }
            Line::Value(Request::Report) => {
                let present = Box::new(Present::from(&*handle.view().borrow()));
                say(&mut write, &Answer::Report { present }).await?;
            }
            Line::Value(Request::Subscribe) => {
                return stream_reports(read, write, &handle, crowded).await;
            }
            Line::Value(Request::Operator {
                action,
                by,
                reason,
                wait,
            }) => {
                let by = if by.is_empty() {
                    format!("user id {peer}")
                } else {
                    by
                };
                let message = match handle.operator(action, by, reason).await {
                    Err(gone) => Some(gone.to_string()),
                    Ok(reply) if reply.refused => {
                        say(
                            &mut write,
                            &Answer::Refused {
                                message: reply.message,
                            },
                        )
                        .await?;
                        None
                    }
                    Ok(reply) => {
                        say(
                            &mut write,
                            &Answer::Accepted {
                                message: reply.message,
                            },
                        )
                        .await?;
                        match if wait { Some(reply.effect.await) } else { None } {
                            Some(Ok(message)) => {
                                say(&mut write, &Answer::Effect { message }).await?;
                                None
                            }
                            Some(Err(_)) => {
                                Some("the run was left before that took effect".to_owned())
                            }
                            None => None,
                        }
                    }
                };
                if let Some(message) = message {
                    say(&mut write, &Answer::Error { message }).await?;
                }
            }
        }
    }
}

async fn stream_reports(
    mut read: impl AsyncRead + Unpin,
    mut write: OwnedWriteHalf,
    handle: &Handle,
    crowded: &CancellationToken,
) -> io::Result<()> {
    let mut view = handle.view();
    let mut nothing = [0_u8; 1];
    loop {
        let present = Box::new(Present::from(&*view.borrow_and_update()));
        let last = !present.driven;
        let answer = Answer::Report { present };
        tokio::select! {
            said = say(&mut write, &answer) => said?,
            () = crowded.cancelled() => return Ok(()),
        }
        if last {
            return Ok(());
        }
        tokio::select! {
            changed = view.changed() => if changed.is_err() {
                return Ok(());
            },
            // A subscriber has nothing to say: it went away, or it is not one.
            _ = read.read(&mut nothing) => return Ok(()),
            () = crowded.cancelled() => return Ok(()),
        }
    }
}

async fn say(write: &mut OwnedWriteHalf, answer: &Answer) -> io::Result<()> {
    timeout(WRITE, lines::write(write, answer))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
