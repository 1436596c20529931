//! Talks to a live run.

use std::io;
use std::path::Path;

use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::lines::{self, Line};
use super::{Answer, MAX_ANSWER, Present, Request};
use crate::machine::OperatorAction;
use crate::run::store::RunDirectory;

/// A connection to a live run.
#[derive(Debug)]
pub struct Client {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

/// The run could not be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no process is driving this run")]
    NotLive,
    /// The connection broke.
    #[error("could not talk to the process that drives the run: {0}")]
    Io(#[from] io::Error),
    /// The run said no.
    #[error("{0}")]
    Refused(String),
    /// The run said something else.
    #[error(
        "the process that drives the run answered something unexpected ({0}); it may be another version of canary"
    )]
    Unexpected(String),
}

impl Client {
    /// Connects to the process that drives the run.
    pub async fn connect(run: &RunDirectory) -> Result<Self, ClientError> {
        Self::connect_to(&run.socket()).await
    }

    pub(super) async fn connect_to(socket: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotLive,
                _ => ClientError::Io(error),
            })?;
        let (read, write) = stream.into_split();
        Ok(Self {
            read: BufReader::new(read),
            write,
        })
    }

    /// Asks for something; resolves with the first answer. Where it is refused, the error says why.
    pub async fn operator(
        mut self,
        action: OperatorAction,
        by: &str,
        reason: Option<&str>,
        wait: bool,
    ) -> Result<Accepted, ClientError> {
        let (by, reason) = (by.to_owned(), reason.map(ToOwned::to_owned));
        self.send(&Request::Operator {
            action,
            by,
            reason,
            wait,
        })
        .await?;
        match self.receive().await? {
            Answer::Accepted { message } => Ok(Accepted {
                message,
                client: self,
            }),
            Answer::Refused { message } | Answer::Error { message } => {
                Err(ClientError::Refused(message))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// How things are.
    pub async fn report(&mut self) -> Result<Present, ClientError> {
        self.send(&Request::Report).await?;
        self.receive_report().await
    }

    /// How things are, now and after each change.
    pub async fn subscribe(mut self) -> Result<Subscription, ClientError> {
        self.send(&Request::Subscribe).await?;
        Ok(Subscription {
            client: self,
            over: false,
        })
    }

    async fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        Ok(lines::write(&mut self.write, request).await?)
    }

    async fn receive(&mut self) -> Result<Answer, ClientError> {
        match lines::read(&mut self.read, MAX_ANSWER).await? {
            Line::Value(answer) => Ok(answer),
            Line::Malformed(why) => Err(ClientError::Unexpected(why)),
            Line::End => Err(ClientError::Io(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    async fn receive_report(&mut self) -> Result<Present, ClientError> {
        match self.receive().await? {
            Answer::Report { present } => Ok(*present),
            Answer::Error { message } => Err(ClientError::Refused(message)),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(answer: &Answer) -> ClientError {
    ClientError::Unexpected(format!("{answer:.120?}"))
}

/// The first answer: it was taken.
#[derive(Debug)]
pub struct Accepted {
    /// What will happen, for people.
    pub message: String,
    client: Client,
}

impl Accepted {
    /// The second answer: it has taken effect. Only for requests that wait.
    pub async fn effect(mut self) -> Result<String, ClientError> {
        match self.client.receive().await? {
            Answer::Effect { message } => Ok(message),
            Answer::Refused { message } | Answer::Error { message } => {
                Err(ClientError::Refused(message))
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// Reports of a live run.
#[derive(Debug)]
pub struct Subscription {
    client: Client,
    over: bool,
}

impl Subscription {
    /// The next report; `None` after the last one.
    pub async fn next(&mut self) -> Result<Option<Present>, ClientError> {
        if self.over {
            return Ok(None);
        }
        let present = self.client.receive_report().await?;
        self.over = !present.driven;
        Ok(Some(present))
    }
}
