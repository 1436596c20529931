//! JSON lines with a bound.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What came as the next line.
#[derive(Debug)]
pub(super) enum Line<T> {
    /// A value.
    Value(T),
    /// Something else, and why it is not understood.
    Malformed(String),
    /// Nothing more.
    End,
}

/// Reads one line of at most `bound` bytes.
pub(super) async fn read<T: DeserializeOwned>(
    from: &mut (impl AsyncBufRead + Unpin),
    bound: usize,
) -> io::Result<Line<T>> {
    let mut line = Vec::new();
    let bytes = from
        .take(bound as u64 + 1)
        .read_until(b'\n', &mut line)
        .await?;
    if bytes == 0 {
        return Ok(Line::End);
    }
    if line.last() != Some(&b'\n') {
        return Ok(Line::Malformed(if bytes > bound {
            format!("the line is longer than {bound} bytes")
        } else {
            "the line does not end".to_owned()
        }));
    }
    Ok(match serde_json::from_slice(&line) {
        Ok(value) => Line::Value(value),
        Err(error) => Line::Malformed(error.to_string()),
    })
}

/// Writes one line.
pub(super) async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    value: &impl Serialize,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}
