//! Real processes.

use std::sync::Mutex;
use std::time::Instant;

use super::*;

fn request(argv: &[&str]) -> Request {
    Request {
        argv: argv.iter().map(|&argument| argument.to_owned()).collect(),
        directory: std::env::temp_dir(),
        environment: vec![
            ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
            ("CANARY_RUN_ID".into(), "test-run".into()),
        ],
        timeout: Some(Duration::from_secs(30)),
        ..Request::default()
    }
}

fn shell(script: &str) -> Request {
    request(&["/bin/sh", "-eu", "-c", script])
}

async fn finish(request: Request) -> Finished {
    run(request, |_| async {}, &CancellationToken::new())
        .await
        .unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests of real processes look at the real clock"
)]
fn now() -> Instant {
    Instant::now()
}

/// Waits until a file has this many lines: it is how the processes of a test say that they are there.
async fn lines(path: &std::path::Path, count: usize) -> Vec<String> {
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let found: Vec<String> = text.lines().map(str::to_owned).collect();
        if found.len() >= count && text.ends_with('\n') {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
}

#[tokio::test]
async fn codes_signals_streams_and_an_empty_stdin() {
    let finished = finish(shell("echo out; echo err >&2; cat; exit 3")).await;
    assert_eq!(finished.exit, Exit::Code(3));
    assert_eq!(
        (
            finished.stdout.tail().as_str(),
            finished.stderr.tail().as_str()
        ),
        ("out\n", "err\n")
    );
    assert_eq!(finish(shell("kill -9 $$")).await.exit, Exit::Signal(9));
}

#[tokio::test]
async fn every_argument_arrives_as_one_and_as_it_is() {
    let hostile = [
        "a b",
        "$(touch /tmp/never)",
        "`id`",
        "'; rm -rf / #",
        "\"",
        "*",
        "-n",
        "",
        "é\n$HOME",
        "\\",
    ];
    let mut argv = vec!["/bin/sh", "-c", "printf '<%s>' \"$@\"", "x"];
    argv.extend(hostile);
    let expected = format!("<{}>", hostile.join("><"));
    assert_eq!(finish(request(&argv)).await.stdout.tail(), expected);
}

#[tokio::test]
async fn input_is_read_to_its_end() {
    let text = "line\n".repeat(50_000);
    let finished = finish(Request {
        input: Some(text.clone().into_bytes()),
        ..request(&["cat"])
    })
    .await;
    assert_eq!(finished.stdout.whole(), Some(text));
    let deaf = finish(Request {
        input: Some(vec![b'x'; 1_000_000]),
        ..request(&["true"])
    })
    .await;
    assert_eq!(deaf.exit, Exit::Code(0));
}

#[tokio::test]
async fn nothing_runs_before_the_mark_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let proof = directory.path().join("ran");
    let seen = Mutex::new(None);
    let started = |mark: Option<ProcessMark>| {
        assert!(!proof.exists());
        *seen.lock().unwrap() = mark;
        async {
            // Long enough for a shell that did not wait to be caught in the act.
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(!proof.exists());
        }
    };
    let finished = run(
        shell(&format!("touch {}; echo $$", proof.display())),
        started,
        &CancellationToken::new(),
    )
    .await
    .unwrap();
    assert!(proof.exists());
    let mark = seen.lock().unwrap().clone().unwrap();
    assert_eq!(finished.stdout.tail().trim(), mark.pid.to_string());
}

#[tokio::test]
async fn cancelled_at_the_gate_never_runs() {
    let directory = tempfile::tempdir().unwrap();
    let proof = directory.path().join("ran");
    let cancel = CancellationToken::new();
    let started = |_| async { cancel.cancel() };
    let finished = run(
        shell(&format!("touch {}", proof.display())),
        started,
        &cancel,
    )
    .await
    .unwrap();
    assert_eq!(finished.exit, Exit::Cancelled);
    assert!(!proof.exists());
}

#[tokio::test]
async fn end_of_the_pipe_means_never() {
    // What happens when canary is killed between the spawn and the journal: the write end closes.
    let directory = tempfile::tempdir().unwrap();
    let proof = directory.path().join("ran");
    let request = shell(&format!("touch {}", proof.display()));
    let mut child = spawn(&request, std::path::Path::new("/bin/sh")).unwrap();
    drop(child.stdin.take());
    assert_eq!(child.wait().await.unwrap().code(), Some(125));
    assert!(!proof.exists());
}

#[tokio::test]
async fn dropped_half_way_ends_the_group() {
    let directory = tempfile::tempdir().unwrap();
    let pids = directory.path().join("pids");
    let script = format!(
        "sleep 600 & echo $! >> {0}; echo $$ >> {0}; wait",
        pids.display()
    );
    let task = tokio::spawn(async move { finish(shell(&script)).await });
    let pids = lines(&pids, 2).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    for pid in pids {
        while alive(&pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_timeout_ends_grandchildren_that_ignore_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let pids = directory.path().join("pids");
    let script = format!(
        "sh -c 'trap \"\" TERM; echo $$ >> {0}; while :; do sleep 0.05; done' & sh -c 'echo $$ >> {0}; exec sleep 600' & wait",
        pids.display()
    );
    let start = now();
    let limit = Duration::from_millis(500);
    let finished = finish(Request {
        timeout: Some(limit),
        ..shell(&script)
    })
    .await;
    assert_eq!(finished.exit, Exit::TimedOut(limit));
    let took = start.elapsed();
    assert!(
        took >= GRACE && took < GRACE + Duration::from_secs(4),
        "{took:?}"
    );
    for pid in lines(&pids, 2).await {
        assert!(!alive(&pid), "{pid} lives");
    }
}

#[tokio::test]
async fn cancel_lets_a_process_clean_up() {
    let directory = tempfile::tempdir().unwrap();
    let ready = directory.path().join("ready");
    let script = format!(
        "trap 'echo cleaned; exit 0' TERM; echo > {}; while :; do sleep 0.01; done",
        ready.display()
    );
    let cancel = CancellationToken::new();
    let canceller = cancel.clone();
    let when_ready = async {
        lines(&ready, 1).await;
        canceller.cancel();
    };
    let start = now();
    let (finished, ()) = tokio::join!(run(shell(&script), |_| async {}, &cancel), when_ready);
    let finished = finished.unwrap();
    assert_eq!(finished.exit, Exit::Cancelled);
    assert_eq!(finished.stdout.tail(), "cleaned\n");
    assert!(start.elapsed() < GRACE);
}

#[tokio::test]
async fn what_is_left_in_the_background_ends_with_the_node() {
    let start = now();
    let finished = finish(shell("sleep 600 & echo $!")).await;
    assert_eq!(finished.exit, Exit::Code(0));
    assert!(!alive(finished.stdout.tail().trim()));
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn what_left_the_group_does_not_hold_the_node_up() {
    let finished = finish(shell("setsid sleep 8 & echo done; sleep 0.2")).await;
    assert_eq!(finished.stdout.tail(), "done\n");
    assert!(finished.note.unwrap().contains("left the group"));
}

fn tagged(tag: &str, script: &str) -> Request {
    // Tests of several programs may run at the same time.
    Request {
        tag: Some(format!("test-{}/{tag}/1", std::process::id())),
        ..shell(script)
    }
}

/// A daemon that leaves the group, one that ignores SIGTERM and whose parents are gone, and one with a clean environment
/// below one of them; each says its process id.
fn leaves(pids: &std::path::Path) -> String {
    let pids = pids.display();
    format!(
        "setsid sh -c 'echo $$ >> {pids}; exec sleep 600' &
         setsid sh -c 'setsid sh -c \"trap \\\"\\\" TERM; echo \\$\\$ >> {pids}; while :; do sleep 0.05; done\" & exit' &
         setsid sh -c 'env -i /bin/sh -c \"echo \\$\\$ >> {pids}; exec sleep 600\" & wait' &
         wait; sleep 600"
    )
}

#[tokio::test]
async fn what_left_the_group_ends_with_a_cancel() {
    let directory = tempfile::tempdir().unwrap();
    let pids = directory.path().join("pids");
    let cancel = CancellationToken::new();
    let canceller = cancel.clone();
    let left = pids.clone();
    let when_there = async move {
        let found = lines(&left, 3).await;
        canceller.cancel();
        found
    };
    let request = tagged("cancel", &leaves(&pids));
    let (finished, found) = tokio::join!(run(request, |_| async {}, &cancel), when_there);
    assert_eq!(finished.unwrap().exit, Exit::Cancelled);
    for pid in found {
        assert!(!alive(&pid), "{pid} lives");
    }
}

#[tokio::test]
async fn what_left_the_group_ends_with_a_timeout_and_a_drop() {
    let directory = tempfile::tempdir().unwrap();
    let pids = directory.path().join("pids");
    let limit = Duration::from_secs(1);
    let finished = finish(Request {
        timeout: Some(limit),
        ..tagged("timeout", &leaves(&pids))
    })
    .await;
    assert_eq!(finished.exit, Exit::TimedOut(limit));
    for pid in lines(&pids, 3).await {
        assert!(!alive(&pid), "{pid} lives");
    }
    std::fs::remove_file(&pids).unwrap();
    let request = tagged("drop", &leaves(&pids));
    let task = tokio::spawn(async move { finish(request).await });
    let found = lines(&pids, 3).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    for pid in found {
        while alive(&pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn what_a_killed_run_left_outside_of_the_group_is_ended() {
    let directory = tempfile::tempdir().unwrap();
    let pids = directory.path().join("pids");
    let mut request = tagged("killed", &leaves(&pids));
    request.timeout = None;
    let mut child = spawn(&request, std::path::Path::new("/bin/sh")).unwrap();
    let mark = group::mark(child.id().unwrap(), request.tag.as_deref()).unwrap();
    let mut gate = child.stdin.take().unwrap();
    gate.write_all(b"go\n").await.unwrap();
    let found = lines(&pids, 3).await;
    // The group goes with canary or by itself; what left it stays.
    group::signal(
        Pid::from_raw(i32::try_from(mark.pid).unwrap()).unwrap(),
        Signal::KILL,
    );
    child.wait().await.unwrap();
    assert!(found.iter().all(|pid| alive(pid)));
    let other = ProcessMark {
        tag: Some("another-run/killed/1".to_owned()),
        ..mark.clone()
    };
    assert_eq!(end_process(&other, "another-run").await, Ended::Gone);
    let rebooted = ProcessMark {
        boot: "another".to_owned(),
        ..mark.clone()
    };
    assert_eq!(end_process(&rebooted, "test-run").await, Ended::Gone);
    assert!(found.iter().all(|pid| alive(pid)));
    assert_eq!(end_process(&mark, "test-run").await, Ended::Killed);
    for pid in &found {
        assert!(!alive(pid), "{pid} lives");
    }
    assert_eq!(end_process(&mark, "test-run").await, Ended::Gone);
}

#[tokio::test]
async fn a_service_that_a_node_starts_lives_on_when_the_node_ends_well() {
    let finished = finish(tagged(
        "service",
        "setsid sleep 600 < /dev/null > /dev/null 2>&1 & echo $!; sleep 0.2",
    ))
    .await;
    assert_eq!(finished.exit, Exit::Code(0));
    let tag = format!("test-{}/service/1", std::process::id());
    let (ended, left) = strays::end(&tag, None).await;
    assert_eq!((ended, left.len()), (1, 0), "it was there until now");
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let mut elsewhere = request(&["true"]);
    elsewhere.directory = "/nowhere".into();
    for (request, expected) in [
        (
            request(&["kubeconform-not-here", "-x"]),
            "program `kubeconform-not-here` was not found in PATH (/usr/local/bin:/usr/bin:/bin): install it",
        ),
        (request(&["./not-here"]), "there is no program"),
        (request(&["/etc/passwd"]), "not an executable file"),
        (request(&[" "]), "the name of the program is empty"),
        (request(&["printf", "a\0b"]), "NUL byte"),
        (request(&["true", &"x".repeat(200_000)]), "too large"),
        (elsewhere, "the working directory /nowhere cannot be used"),
    ] {
        let error = run(request, |_| async {}, &CancellationToken::new())
            .await
            .unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_group_of_a_killed_run_is_ended_only_if_it_is_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let pids = directory.path().join("pids");
    // The leader ends at once and leaves one behind, as after a crash of canary: nobody waits for it.
    let mut leftover = shell(&format!(
        "sleep 600 & echo $! > {}; exec sleep 600",
        pids.display()
    ));
    leftover.timeout = None;
    let mut child = spawn(&leftover, std::path::Path::new("/bin/sh")).unwrap();
    let mark = group::mark(child.id().unwrap(), None).unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"go\n")
        .await
        .unwrap();
    let left = lines(&pids, 1).await.remove(0);

    let reused = ProcessMark {
        start_ticks: mark.start_ticks + 1,
        ..mark.clone()
    };
    let rebooted = ProcessMark {
        boot: "another".to_owned(),
        ..mark.clone()
    };
    assert_eq!(end_process(&reused, "test-run").await, Ended::Gone);
    assert_eq!(end_process(&rebooted, "test-run").await, Ended::Gone);
    assert!(alive(&left));

    // The leader goes; the one left is known by the run in its environment.
    child.start_kill().unwrap();
    child.wait().await.unwrap();
    assert_eq!(end_process(&mark, "another-run").await, Ended::Gone);
    assert!(alive(&left));
    assert_eq!(end_process(&mark, "test-run").await, Ended::Killed);
    assert!(!alive(&left));
    assert_eq!(end_process(&mark, "test-run").await, Ended::Gone);
}
