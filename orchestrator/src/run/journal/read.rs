//! Reads a journal back: every line whole, numbered, and with its checksum right; a torn last line is dropped and said.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::de::DeserializeOwned;

use super::{CRC_CLOSE, CRC_OPEN, MAX_LINE, Record};

/// A journal read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Contents<E, C> {
    /// All whole records, in order.
    pub records: Vec<Record<E, C>>,
    /// What a crash left of a last line, where it did.
    pub torn: Option<Torn>,
    /// Length of the good part, in bytes.
    pub good: u64,
}

/// What a crash left of a last line. It was never acted upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// Line number, from 1.
    pub line: u64,
    /// How many bytes of it there are.
    pub bytes: u64,
}

impl std::fmt::Display for Torn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "line {} of the journal was being written when the run was interrupted ({} bytes of it); it is dropped",
            self.line, self.bytes
        )
    }
}

/// A journal that cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("could not read the journal: {0}")]
    Io(#[from] io::Error),
    /// A line in the middle is not what was written.
    #[error(
        "line {line} of the journal is damaged: {why}; the run cannot be replayed, restore the file from a backup or start a new run"
    )]
    Damaged {
        /// Line number, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A record is missing or there twice.
    #[error(
        "line {line} of the journal is record {found}, expected record {expected}: lines are missing or were added; the run cannot be replayed"
    )]
    Gap {
        /// Line number, from 1.
        line: u64,
        /// The number that should be there.
        expected: u64,
        /// The number that is.
        found: u64,
    },
}

/// Reads the journal in that file; one that is not there is empty.
pub fn read_file<E: DeserializeOwned, C: DeserializeOwned>(
    path: &Path,
) -> Result<Contents<E, C>, ReadError> {
    match File::open(path) {
        Ok(file) => read(BufReader::new(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => read(io::empty()),
        Err(error) => Err(error.into()),
    }
}

/// Reads a journal.
///
/// The last line counts as torn when it has no newline or its checksum is wrong (pages of one write may reach the disk
/// in any order). Anything else that is wrong is an error that names the line.
pub fn read<E: DeserializeOwned, C: DeserializeOwned>(
    mut from: impl BufRead,
) -> Result<Contents<E, C>, ReadError> {
    let mut contents = Contents {
        records: Vec::new(),
        torn: None,
        good: 0,
    };
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let bytes = (&mut from)
            .take(MAX_LINE as u64 + 1)
            .read_until(b'\n', &mut line)?;
        if bytes == 0 {
            break;
        }
        let whole = line.last() == Some(&b'\n');
        if !whole && bytes > MAX_LINE {
            return Err(ReadError::Damaged {
                line: number,
                why: format!("it is longer than {MAX_LINE} bytes"),
            });
        }
        let torn = Torn {
            line: number,
            bytes: bytes as u64,
        };
        let record: Record<E, C> = match decode(if whole { &line[..bytes - 1] } else { &[] }) {
            Ok(record) => record,
            Err(Wrong::Checksum(_)) if from.fill_buf()?.is_empty() => {
                contents.torn = Some(torn);
                break;
            }
            Err(Wrong::Checksum(why) | Wrong::Shape(why)) => {
                return Err(ReadError::Damaged { line: number, why });
            }
        };
        if record.seq != number {
            return Err(ReadError::Gap {
                line: number,
                expected: number,
                found: record.seq,
            });
        }
        contents.good += bytes as u64;
        contents.records.push(record);
    }
    Ok(contents)
}

enum Wrong {
    Checksum(String),
    Shape(String),
}

fn decode<E: DeserializeOwned, C: DeserializeOwned>(line: &[u8]) -> Result<Record<E, C>, Wrong> {
    let no_checksum = || Wrong::Checksum("it does not end with its checksum".to_owned());
    let text =
        std::str::from_utf8(line).map_err(|_| Wrong::Checksum("it is not UTF-8".to_owned()))?;
    let (rest, crc) = text
        .strip_suffix(CRC_CLOSE)
        .and_then(|text| text.rsplit_once(CRC_OPEN))
        .ok_or_else(no_checksum)?;
    let expected = u32::from_str_radix(crc, 16).map_err(|_| no_checksum())?;
    let body = format!("{rest}}}");
    let found = crc32fast::hash(body.as_bytes());
    if found != expected {
        return Err(Wrong::Checksum(format!(
            "its checksum is {found:08x}, it says {expected:08x}"
        )));
    }
    serde_json::from_str(&body).map_err(|error| {
        Wrong::Shape(format!(
            "its checksum is right, but this version of canary does not understand it: {error}"
        ))
    })
}
