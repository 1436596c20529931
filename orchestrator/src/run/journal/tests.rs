use std::io;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

type Lines = Contents<Value, Value>;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn line(seq: u64, event: &Value) -> String {
    Settled::new(seq, event)
        .unwrap()
        .line(at(0), &[json!({"type": "notify"})])
        .unwrap()
}

fn journal(records: u64) -> String {
    (1..=records)
        .map(|seq| {
            line(
                seq,
                &json!({"type": "started", "n": seq, "text": "a\nb \",\"crc\":\""}),
            )
        })
        .collect()
}

fn parse(text: &[u8]) -> Result<Lines, ReadError> {
    read(text)
}

#[test]
fn what_was_written_is_read() {
    let contents = parse(journal(3).as_bytes()).unwrap();
    assert_eq!(contents.records.len(), 3);
    assert_eq!(contents.records[2].event["n"], 3);
    assert_eq!(contents.torn, None);
    assert_eq!(contents.good, journal(3).len() as u64);
    assert_eq!(parse(b"").unwrap().records, []);
}

#[test]
fn a_line_looks_as_documented() {
    let text = line(1, &json!({"type": "timer"}));
    let body = r#"{"seq":1,"at":"2023-11-14T22:13:20Z","event":{"type":"timer"},"commands":[{"type":"notify"}]}"#;
    let crc = crc32fast::hash(body.as_bytes());
    assert_eq!(
        text,
        format!("{},\"crc\":\"{crc:08x}\"}}\n", &body[..body.len() - 1])
    );
    assert!(serde_json::from_str::<Value>(&text).is_ok());
}

#[test]
fn a_torn_last_line_is_dropped_and_said_wherever_it_is_torn() {
    let whole = journal(3);
    let second_end = journal(2).len();
    for cut in second_end + 1..whole.len() {
        let contents = parse(&whole.as_bytes()[..cut]).unwrap();
        assert_eq!(contents.records.len(), 2, "cut at {cut}");
        assert_eq!(contents.good, second_end as u64);
        let torn = contents.torn.unwrap();
        assert_eq!((torn.line, torn.bytes), (3, (cut - second_end) as u64));
        assert!(torn.to_string().contains("line 3"));
    }
}

#[test]
fn a_last_line_with_a_hole_is_torn_too() {
    let mut bytes = journal(2).into_bytes();
    let start = journal(1).len();
    bytes[start + 10..start + 20].fill(0);
    assert_eq!(parse(&bytes).unwrap().torn.unwrap().line, 2);
}

#[test]
fn any_flipped_byte_in_the_middle_is_an_error_that_names_the_line() {
    let whole = journal(3).into_bytes();
    let (first, second) = (journal(1).len(), journal(2).len());
    for position in first..second - 1 {
        let mut bytes = whole.clone();
        bytes[position] ^= 1;
        let error = parse(&bytes).unwrap_err();
        assert!(
            matches!(error, ReadError::Damaged { line: 2, .. }),
            "{position}: {error}"
        );
    }
}

#[test]
fn a_gap_is_an_error_that_names_the_line() {
    let text = journal(1) + &line(3, &json!({}));
    let error = parse(text.as_bytes()).unwrap_err();
    assert!(
        matches!(
            error,
            ReadError::Gap {
                line: 2,
                expected: 2,
                found: 3
            }
        ),
        "{error}"
    );
}

#[test]
fn lines_are_bounded() {
    let long = json!("x".repeat(MAX_LINE));
    assert!(matches!(
        Settled::new(1, &long).unwrap().line::<Value>(at(0), &[]),
        Err(EncodeError::TooLong { seq: 1, .. })
    ));
    let error = parse(&vec![b'x'; 2 * MAX_LINE]).unwrap_err();
    assert!(
        matches!(error, ReadError::Damaged { line: 1, .. }),
        "{error}"
    );
}

#[test]
fn a_record_of_a_later_version_is_named() {
    let body = r#"{"seq":1,"at":"2023-11-14T22:13:20Z","event":{},"commands":[],"more":1}"#;
    let crc = crc32fast::hash(body.as_bytes());
    let text = format!("{},\"crc\":\"{crc:08x}\"}}\n", &body[..body.len() - 1]);
    let error = parse(text.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("does not understand"), "{error}");
}

#[test]
fn numbers_are_settled_before_anybody_uses_them() {
    let settled = Settled::new(1, &Some(f64::NAN)).unwrap();
    assert_eq!(settled.event, None);
}

/// Fails as told: each call of a kind uses up one entry of the plan.
#[derive(Debug, Default)]
struct Faulty {
    bytes: Vec<u8>,
    durable: usize,
    calls: usize,
    fail_at: Vec<(usize, usize)>,
}

impl Faulty {
    fn fault(&mut self) -> Option<usize> {
        self.calls += 1;
        self.fail_at
            .iter()
            .find(|(call, _)| *call == self.calls)
            .map(|(_, written)| *written)
    }
}

impl JournalStorage for Faulty {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(written) = self.fault() {
            self.bytes
                .extend_from_slice(&bytes[..written.min(bytes.len())]);
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let Some(lost) = self.fault() else {
            self.durable = self.bytes.len();
            return Ok(());
        };
        let keep = self.bytes.len().saturating_sub(lost).max(self.durable);
        self.bytes.truncate(keep);
        Err(io::Error::other("I/O error"))
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        if self.fault().is_some() {
            return Err(io::Error::other("I/O error"));
        }
        let length = usize::try_from(length).unwrap();
        assert!(length >= self.durable, "cuts off what was acknowledged");
        self.bytes.resize(length, 0);
        Ok(())
    }
}

proptest! {
    /// Whatever fails, whenever: what was acknowledged is there, in order, whole, and nothing torn lies before it.
    #[test]
    fn acknowledged_records_survive_any_faults(faults in prop::collection::vec((1_usize..60, 0_usize..200), 0..12)) {
        let mut appender = Appender::new(Faulty { fail_at: faults, ..Faulty::default() }, 0);
        for seq in 1..=12 {
            let text = line(seq, &json!({"n": seq}));
            while appender.append(&text).is_err() {
                // What a crash right now would leave.
                let contents = parse(&appender.storage().bytes);
                if let Ok(contents) = contents {
                    prop_assert!(contents.records.len() as u64 >= seq - 1);
                } else {
                    prop_assert!(false, "unreadable: {:?}", contents);
                }
            }
            let contents = parse(&appender.storage().bytes).unwrap();
            prop_assert_eq!(contents.records.len() as u64, seq);
            prop_assert_eq!(contents.torn, None);
        }
    }
}

#[tokio::test]
async fn the_thread_writes_real_files_in_order_and_goes_on_after_a_torn_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    std::fs::write(&path, journal(2) + "{\"seq\":3,\"at\"").unwrap();
    let before: Lines = read_file(&path).unwrap();
    assert_eq!(before.torn.as_ref().unwrap().line, 3);
    let thread = JournalThread::start(Appender::new(
        FileStorage::open(&path).unwrap(),
        before.good,
    ))
    .unwrap();
    for seq in 3..=20 {
        thread.append(line(seq, &json!({"n": seq}))).await.unwrap();
    }
    let after: Lines = read_file(&path).unwrap();
    assert_eq!(after.records.len(), 20);
    assert_eq!(after.torn, None);
}

#[test]
fn a_deleted_file_is_no_journal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let mut appender = Appender::new(FileStorage::open(&path).unwrap(), 0);
    appender.append(&journal(1)).unwrap();
    std::fs::remove_file(&path).unwrap();
    let error = appender.append(&journal(1)).unwrap_err();
    assert!(error.to_string().contains("sync"), "{error}");
    assert!(error.source.to_string().contains("deleted"), "{error}");
}
