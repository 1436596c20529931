//! The outbox with receivers that do as they are told, and pauses that are written down instead of waited for.

use std::collections::VecDeque;

use futures::future::BoxFuture;
use jiff::Timestamp;

use super::*;
use crate::machine::Topic;
use crate::notify::Delivery;

/// Answers as told, then takes everything; keeps what it got.
struct Scripted {
    name: &'static str,
    answers: Mutex<VecDeque<Delivery>>,
    got: Mutex<Vec<(u64, Option<String>)>>,
    /// Never answers.
    stuck: bool,
}

impl Scripted {
    fn new(name: &'static str, answers: Vec<Delivery>) -> Arc<Self> {
        Arc::new(Self {
            name,
            answers: Mutex::new(answers.into()),
            got: Mutex::default(),
            stuck: false,
        })
    }

    fn stuck(name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            answers: Mutex::default(),
            got: Mutex::default(),
            stuck: true,
        })
    }

    fn ids(&self) -> Vec<u64> {
        self.got.lock().unwrap().iter().map(|(id, _)| *id).collect()
    }
}

impl Receiver for Scripted {
    fn name(&self) -> &str {
        self.name
    }

    fn wants(&self, topic: Topic) -> bool {
        topic != Topic::Step
    }

    fn deliver<'a>(
        &'a self,
        message: &'a Message,
        thread: Option<&'a str>,
    ) -> BoxFuture<'a, Delivery> {
        Box::pin(async move {
            self.got
                .lock()
                .unwrap()
                .push((message.notification, thread.map(str::to_owned)));
            if self.stuck {
                std::future::pending::<()>().await;
            }
            let next = self.answers.lock().unwrap().pop_front();
            next.unwrap_or(Delivery::Sent {
                thread: Some(format!("ts-{}", message.notification)),
            })
        })
    }
}

fn later(after: Option<u64>) -> Delivery {
    Delivery::Later {
        why: "busy".to_owned(),
        after: after.map(Duration::from_secs),
    }
}

fn message(id: u64, topic: Topic) -> Message {
    Message {
        run: "r".to_owned(),
        workflow: "w".to_owned(),
        service: "s".to_owned(),
        notification: id,
        at: Timestamp::UNIX_EPOCH,
        topic,
        outcome: None,
        weight: None,
        headline: format!("news {id}"),
        why: vec![],
        cost: None,
        done: String::new(),
        next: vec![],
    }
}

struct Bench {
    directory: tempfile::TempDir,
    told: Arc<Mutex<Vec<Event>>>,
    pauses: Arc<Mutex<Vec<u64>>>,
}

impl Bench {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            told: Arc::default(),
            pauses: Arc::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("outbox.jsonl")
    }

    fn open(&self, receivers: &[&Arc<Scripted>]) -> (Outbox, Vec<Settled>) {
        let receivers = receivers
            .iter()
            .map(|&receiver| Arc::clone(receiver) as Arc<dyn Receiver>)
            .collect();
        let secrets = Secrets::new(PathBuf::new(), Arc::new(|_| None));
        secrets.remember("hunter2".to_owned().into());
        let told = Arc::clone(&self.told);
        let tell: Told = Arc::new(move |event| told.lock().unwrap().push(event));
        let pauses = Arc::clone(&self.pauses);
        let sleep: send::Sleep = Arc::new(move |pause| {
            pauses.lock().unwrap().push(pause.as_secs());
            Box::pin(tokio::task::yield_now())
        });
        Outbox::open_with(&self.path(), receivers, secrets, tell, sleep).unwrap()
    }
}

/// Longer than any of this takes.
const LONG: Duration = Duration::from_mins(1);

async fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn in_order_and_in_one_thread() {
    let bench = Bench::new();
    let slack = Scripted::new("slack", vec![later(None)]);
    let (outbox, settled) = bench.open(&[&slack]);
    assert_eq!(settled, []);
    for id in 1..=3 {
        assert_eq!(outbox.post(message(id, Topic::Ended)).unwrap(), 1);
    }
    assert_eq!(outbox.post(message(4, Topic::Step)).unwrap(), 0);
    assert_eq!(outbox.drain(LONG).await, Left { waiting: 0 });
    assert_eq!(slack.ids(), [1, 1, 2, 3]);
    let threads: Vec<Option<String>> = slack
        .got
        .lock()
        .unwrap()
        .iter()
        .map(|(_, thread)| thread.clone())
        .collect();
    assert_eq!(
        threads,
        [None, None, Some("ts-1".to_owned()), Some("ts-1".to_owned())]
    );
    let told = bench.told.lock().unwrap();
    assert_eq!(told.len(), 3);
    assert_eq!(
        told[0],
        Event::Notified {
            notification: 1,
            channel: "slack".to_owned(),
            error: None
        }
    );
}

#[tokio::test]
async fn retry_after_is_honoured_and_own_pauses_grow() {
    let bench = Bench::new();
    let hook = Scripted::new(
        "hook",
        vec![later(None), later(None), later(Some(30)), later(None)],
    );
    let (outbox, _) = bench.open(&[&hook]);
    outbox.post(message(1, Topic::Ended)).unwrap();
    assert_eq!(outbox.drain(LONG).await, Left { waiting: 0 });
    assert_eq!(*bench.pauses.lock().unwrap(), [1, 2, 30, 8]);
}

#[tokio::test]
async fn given_up_in_bounded_time_with_the_reason() {
    let many = |after| (0..20).map(move |_| later(after)).collect::<Vec<_>>();
    for (answers, tries, expected) in [
        (many(None), 10, "given up after 10 tries in 243 s: busy"),
        (
            vec![later(Some(86_400))],
            1,
            "given up after 1 try in 0 s, and it asks to wait 86400 s: busy",
        ),
        (many(Some(250)), 3, "given up after 3 tries in 500 s"),
        (
            vec![Delivery::Never {
                why: "answered 404".to_owned(),
            }],
            1,
            "answered 404",
        ),
    ] {
        let bench = Bench::new();
        let hook = Scripted::new("hook", answers);
        let (outbox, _) = bench.open(&[&hook]);
        outbox.post(message(1, Topic::Ended)).unwrap();
        outbox.drain(LONG).await;
        assert_eq!(hook.ids().len(), tries);
        let told = bench.told.lock().unwrap().clone();
        match told.as_slice() {
            [
                Event::Notified {
                    error: Some(error), ..
                },
            ] => assert!(error.starts_with(expected), "{error}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_slow_receiver_holds_up_nobody() {
    let bench = Bench::new();
    let (slow, quick) = (Scripted::stuck("slow"), Scripted::new("quick", vec![]));
    let (outbox, _) = bench.open(&[&slow, &quick]);
    for id in 1..=5 {
        outbox.post(message(id, Topic::Failing)).unwrap();
    }
    until(|| outbox.left().waiting == 5 && !slow.ids().is_empty()).await;
    assert_eq!((slow.ids(), quick.ids()), (vec![1], vec![1, 2, 3, 4, 5]));
}

#[tokio::test]
async fn after_a_crash_what_has_no_mark_is_sent_again() {
    let bench = Bench::new();
    let (good, stuck) = (Scripted::new("good", vec![]), Scripted::stuck("other"));
    let (outbox, _) = bench.open(&[&good, &stuck]);
    outbox.post(message(1, Topic::Ended)).unwrap();
    outbox.post(message(2, Topic::Ended)).unwrap();
    outbox.post(message(3, Topic::Ended)).unwrap();
    until(|| outbox.left().waiting == 3 && !stuck.ids().is_empty()).await;
    drop(outbox);

    let (good, other) = (
        Scripted::new("good", vec![]),
        Scripted::new("other", vec![]),
    );
    let (outbox, settled) = bench.open(&[&good, &other]);
    let expected = [1, 2, 3].map(|notification| Settled {
        notification,
        channel: "good".to_owned(),
        error: None,
    });
    assert_eq!(settled, expected);
    // A driver that comes back posts what its journal has.
    for id in 1..=4 {
        outbox.post(message(id, Topic::Ended)).unwrap();
    }
    assert_eq!(outbox.drain(LONG).await, Left { waiting: 0 });
    assert_eq!((good.ids(), other.ids()), (vec![4], vec![1, 2, 3, 4]));
    assert_eq!(
        good.got.lock().unwrap()[0].1.as_deref(),
        Some("ts-1"),
        "the thread goes on"
    );
}

#[tokio::test]
async fn a_torn_line_is_taken_off_and_a_spoilt_one_is_passed_over() {
    let bench = Bench::new();
    let hook = Scripted::stuck("hook");
    let (outbox, _) = bench.open(&[&hook]);
    outbox.post(message(1, Topic::Ended)).unwrap();
    until(|| !hook.ids().is_empty()).await;
    drop(outbox);
    let mut text = std::fs::read_to_string(bench.path()).unwrap();
    text.push_str("{\"line\":\"spoilt\n{\"line\":\"message\",\"mess");
    std::fs::write(bench.path(), text).unwrap();

    let hook = Scripted::new("hook", vec![]);
    let (outbox, _) = bench.open(&[&hook]);
    outbox.post(message(2, Topic::Ended)).unwrap();
    assert_eq!(outbox.drain(LONG).await, Left { waiting: 0 });
    assert_eq!(hook.ids(), [1, 2]);
    let text = std::fs::read_to_string(bench.path()).unwrap();
    assert!(text.ends_with('\n') && !text.contains("\"mess\n"), "{text}");
}

#[tokio::test]
async fn written_before_it_is_sent_without_secrets_and_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    let hook = Scripted::stuck("hook");
    let (outbox, _) = bench.open(&[&hook]);
    let mut secret = message(1, Topic::Ended);
    secret.headline = "the token is hunter2".to_owned();
    outbox.post(secret).unwrap();
    until(|| !hook.ids().is_empty()).await;
    let text = std::fs::read_to_string(bench.path()).unwrap();
    assert!(
        text.contains("the token is ***") && !text.contains("hunter2"),
        "{text}"
    );
    assert_eq!(
        std::fs::metadata(bench.path())
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
}

#[tokio::test]
async fn many_wait_on_disk_and_not_in_memory() {
    let bench = Bench::new();
    let hook = Scripted::stuck("hook");
    let (outbox, _) = bench.open(&[&hook]);
    let mut refused = 0;
    for id in 1..=600 {
        let mut large = message(id, Topic::Ended);
        large.done = "x".repeat(1_000);
        while outbox.post(large.clone()).is_err() {
            refused += 1;
            tokio::task::yield_now().await;
        }
    }
    drop(outbox);
    drop(hook);
    let hook = Scripted::new("hook", vec![]);
    let (outbox, _) = bench.open(&[&hook]);
    let left = outbox.drain(LONG).await;
    assert_eq!(left, Left { waiting: 0 });
    // What had not reached the disk when the first was dropped is the journal's to post again.
    let ids = hook.ids();
    assert!(
        ids.len() > 300 && ids.windows(2).all(|pair| pair[0] < pair[1]),
        "{} {refused}",
        ids.len()
    );
    let mut huge = message(9_999, Topic::Ended);
    huge.done = "x".repeat(200_000);
    assert!(matches!(outbox.post(huge), Err(OutboxError::TooLarge)));
}
