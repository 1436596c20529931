//! What a process says: streamed to a log file, bounded and redacted, with the end kept in memory.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex as StateMutex, PoisonError};

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Mutex;

use crate::node::redact::{Redactor, Stream};

/// A log file holds at most this many bytes.
pub const LARGEST_LOG: u64 = 10 * 1024 * 1024;

/// Of each stream the last so many bytes are kept in memory: enough to read a JSON document from it.
const KEPT: usize = 1024 * 1024;

/// Of each stream the last so many bytes become an output.
pub(super) const TAIL: usize = 64 * 1024;

/// The log of one attempt; both streams write to it.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    inner: Arc<Mutex<Option<Open>>>,
}

#[derive(Debug)]
struct Open {
    file: File,
    room: u64,
}

impl Log {
    /// Creates the file; it is readable by its owner only. A log that cannot be written is said in the program's own
    /// log and does not stop the work.
    pub(crate) async fn create(path: Option<&Path>) -> Self {
        let file = match path {
            None => None,
            Some(path) => match create(path).await {
                Ok(file) => Some(Open {
                    file,
                    room: LARGEST_LOG,
                }),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "the log of a node cannot be written");
                    None
                }
            },
        };
        Self {
            inner: Arc::new(Mutex::new(file)),
        }
    }

    /// Appends; it is already redacted.
    pub(crate) async fn write(&self, bytes: &[u8]) {
        let mut guard = self.inner.lock().await;
        let Some(open) = guard.as_mut() else { return };
        let fits = usize::try_from(open.room)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let mut result = open.file.write_all(&bytes[..fits]).await;
        open.room -= fits as u64;
        let full = fits < bytes.len();
        if full && result.is_ok() {
            let note = format!(
                "\n[canary: this log ends here, at {} MiB; the work goes on]\n",
                LARGEST_LOG / 1024 / 1024
            );
            result = open.file.write_all(note.as_bytes()).await;
        }
        if result.is_ok() {
            result = open.file.flush().await;
        }
        if let Err(error) = &result {
            tracing::warn!(%error, "the log of a node cannot be written any longer");
        }
        if full || result.is_err() {
            *guard = None;
        }
    }
}

async fn create(path: &Path) -> std::io::Result<File> {
    if let Some(parent) = path.parent() {
        tokio::fs::create_dir_all(parent).await?;
    }
    tokio::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .await
}

/// One stream as it was taken so far.
#[derive(Debug, Clone, Default)]
pub struct Captured {
    inner: Arc<StateMutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: VecDeque<u8>,
    total: u64,
}

impl Captured {
    fn add(&self, bytes: &[u8]) {
        let mut kept = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        kept.total += bytes.len() as u64;
        kept.bytes.extend(bytes);
        let over = kept.bytes.len().saturating_sub(KEPT);
        kept.bytes.drain(..over);
    }

    /// All of it, as text; `None` if it was too large to be kept whole (1 MiB).
    pub fn whole(&self) -> Option<String> {
        let kept = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.total <= KEPT as u64).then(|| text(&kept.bytes, 0))
    }

    /// The end of it: 64 KiB at most, from the start of a character.
    pub fn tail(&self) -> String {
        let kept = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut from = kept.bytes.len().saturating_sub(TAIL);
        while from > 0 && kept.bytes.get(from).is_some_and(|byte| byte & 0xC0 == 0x80) {
            from += 1;
        }
        text(&kept.bytes, from)
    }

    /// Bytes that came.
    pub fn total(&self) -> u64 {
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .total
    }
}

fn text(bytes: &VecDeque<u8>, from: usize) -> String {
    let bytes: Vec<u8> = bytes.iter().skip(from).copied().collect();
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Reads a stream to its end.
pub(super) async fn pump(
    mut from: impl AsyncRead + Unpin,
    to: Captured,
    log: Log,
    redactor: Redactor,
) {
    let mut stream = Stream::new(redactor);
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => {
                to.add(&buffer[..read]);
                let clean = stream.push(&buffer[..read]);
                log.write(&clean).await;
            }
        }
    }
    log.write(&stream.finish()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_log_is_bounded_redacted_and_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/node.log");
        let log = Log::create(Some(&path)).await;
        let captured = Captured::default();
        let line = "0123456789 hunter2\n";
        let times = usize::try_from(LARGEST_LOG).unwrap() / line.len() * 2;
        let text = line.repeat(times);
        pump(
            text.as_bytes(),
            captured.clone(),
            log,
            Redactor::new(["hunter2"]),
        )
        .await;
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(written.starts_with("0123456789 ***\n0123456789 ***\n"));
        assert!(!written.contains("hunter2"));
        assert!(written.ends_with("this log ends here, at 10 MiB; the work goes on]\n"));
        assert!(written.len() as u64 <= LARGEST_LOG + 100);
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(captured.total(), text.len() as u64);
        assert_eq!(captured.whole(), None);
        assert_eq!(captured.tail().len(), TAIL);
    }

    #[tokio::test]
    async fn the_tail_starts_with_a_whole_character() {
        let captured = Captured::default();
        let text = format!("x{}", "é".repeat(TAIL));
        pump(
            text.as_bytes(),
            captured.clone(),
            Log::create(None).await,
            Redactor::default(),
        )
        .await;
        assert!(captured.tail().chars().all(|c| c == 'é'));
        assert_eq!(captured.whole(), Some(text));
    }
}
