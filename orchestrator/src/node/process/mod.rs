//! Runs one command as a process group of its own.
//!
//! **The gate.** What is spawned is a small shell that waits for a line on a pipe and then becomes the command. The
//! caller gets the process mark, journals it, and only then is the line written. If canary dies in between, the pipe
//! closes and the shell ends without having run anything: there is no moment in which something runs that no journal
//! knows.
//!
//! **The end.** The group ends with its leader: what a script left running in the background is ended too (it has half a
//! second to end by itself). On timeout and on cancel the group gets SIGTERM, five seconds later SIGKILL. The leader is
//! reaped last, so that the group's number cannot come to belong to somebody else while it is being signalled. What left
//! the group is ended with it on timeout and on cancel; when a command comes to its own end, what it put into a session of
//! its own (`setsid`) lives on: that is how a node starts a service.

mod capture;
mod find;
mod group;
mod strays;
mod words;

use std::ffi::OsString;
use std::future::Future;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::machine::ProcessMark;
use crate::node::redact::Redactor;

pub(super) use capture::Log;
pub use capture::{Captured, LARGEST_LOG};
pub use group::{Ended, GRACE, end_process};
pub use words::Exit;

/// The shell that waits at the gate. POSIX fixes its place.
const SHELL: &str = "/bin/sh";

/// Waits for the word, then becomes the command with nothing on stdin.
const GATE: &str =
    r#"IFS= read -r word || exit 125; [ "$word" = go ] || exit 125; exec "$@" </dev/null"#;

/// The same for a command that reads what follows the word.
const GATE_INPUT: &str =
    r#"IFS= read -r word || exit 125; [ "$word" = go ] || exit 125; exec "$@""#;

/// How long what a command left in the background may take to end by itself.
const LINGER: Duration = Duration::from_millis(500);

/// How long the pipes may stay open after the group has gone (somebody outside of it may hold them).
const DRAIN: Duration = Duration::from_secs(1);

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Program and arguments; the program is looked for in the `PATH` of `environment`.
    pub argv: Vec<String>,
    /// Where.
    pub directory: PathBuf,
    /// All of its environment.
    pub environment: Vec<(OsString, OsString)>,
    /// From the opening of the gate to the end.
    pub timeout: Option<Duration>,
    /// Where stdout and stderr are written to as they come.
    pub log: Option<PathBuf>,
    /// What is taken out of the log.
    pub redactor: Redactor,
    /// What the command reads on stdin; `None`: nothing.
    pub input: Option<Vec<u8>>,
    /// Names the attempt among all attempts of all runs: by it processes are found that left the group.
    pub tag: Option<String>,
}

/// How it went. Stdout and stderr are as they came: not redacted.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub exit: Exit,
    /// What it said.
    pub stdout: Captured,
    /// What it said.
    pub stderr: Captured,
    /// Something that left the group still holds its output, or could not be ended.
    pub note: Option<String>,
}

/// Ends the group if the work is dropped half way.
struct Group {
    id: Option<Pid>,
    tag: Option<String>,
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            group::signal(id, Signal::KILL);
            if let Some(tag) = &self.tag {
                strays::kill(tag);
            }
        }
    }
}

/// Runs a command. `started` is awaited before anything of it runs; if `cancel` is set by then, nothing ever does.
///
/// # Errors
/// It could not be started: what was wrong and what to do.
pub async fn run<F: Future<Output = ()>>(
    request: Request,
    started: impl FnOnce(Option<ProcessMark>) -> F,
    cancel: &CancellationToken,
) -> Result<Finished, String> {
    let program = find::program(&request)?;
    // Before the spawn, so that no end is missed.
    let children = signal(SignalKind::child()).ok();
    let mut child = spawn(&request, &program)?;
    let id = child.id().ok_or("the process ended before it began")?;
    let pid = i32::try_from(id)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or("the system gave a process id that is none")?;
    let mut group = Group {
        id: Some(pid),
        tag: request.tag.clone(),
    };

    let log = capture::Log::create(request.log.as_deref()).await;
    let (stdout, stderr) = (Captured::default(), Captured::default());
    let mut pumps: Vec<JoinHandle<()>> = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        pumps.push(tokio::spawn(capture::pump(
            pipe,
            stdout.clone(),
            log.clone(),
            request.redactor.clone(),
        )));
    }
    if let Some(pipe) = child.stderr.take() {
        pumps.push(tokio::spawn(capture::pump(
            pipe,
            stderr.clone(),
            log,
            request.redactor.clone(),
        )));
    }

    started(group::mark(id, request.tag.as_deref())).await;

    let gate = child.stdin.take();
    let mut feeding = None;
    let why = if cancel.is_cancelled() {
        drop(gate);
        Stop::Cancelled
    } else {
        let word = request.input.map_or_else(
            || b"go\n".to_vec(),
            |input| [b"go\n".as_slice(), &input].concat(),
        );
        if let Some(mut gate) = gate {
            // A command need not read what it is given: feeding it must not hold anything up.
            feeding = Some(tokio::spawn(async move {
                let _closed_early = gate.write_all(&word).await;
            }));
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => Stop::Cancelled,
            () = elapsed(request.timeout) => Stop::TimedOut,
            () = ended(&mut child, pid, children) => Stop::Ended,
        }
    };
    let first = if matches!(why, Stop::Ended) {
        LINGER
    } else {
        Duration::ZERO
    };
    // What a command that came to its end put into the background on purpose, in a session of its own, lives on; what
    // an ended command leaves does not.
    let strays = async {
        match &request.tag {
            Some(tag) if !matches!(why, Stop::Ended) => strays::end(tag, Some(id)).await.1,
            _ => Vec::new(),
        }
    };
    let (all_gone, strays) = tokio::join!(group::end(pid, first), strays);
    let status = if all_gone || matches!(why, Stop::Ended) {
        group.id = None;
        child
            .wait()
            .await
            .map_err(|error| format!("cannot wait for the process: {error}"))?
    } else {
        return Err(format!(
            "process group {id} does not end, not even on SIGKILL: look at it with `ps -g {id}`"
        ));
    };
    if let Some(feeding) = feeding {
        feeding.abort();
    }
    let mut note = (!strays.is_empty())
        .then(|| format!("processes that left the group could not be ended: {strays:?}"));
    for pump in &mut pumps {
        if timeout(DRAIN, &mut *pump).await.is_err() {
            pump.abort();
            note = Some(
                "a process that left the group still holds the output; what it says is not kept"
                    .to_owned(),
            );
        }
    }
    let exit = match why {
        Stop::Cancelled => Exit::Cancelled,
        Stop::TimedOut => Exit::TimedOut(request.timeout.unwrap_or_default()),
        Stop::Ended => exit_of(status),
    };
    Ok(Finished {
        exit,
        stdout,
        stderr,
        note,
    })
}

/// Why the wait was over.
enum Stop {
    Ended,
    TimedOut,
    Cancelled,
}

fn spawn(request: &Request, program: &std::path::Path) -> Result<Child, String> {
    let mut command = Command::new(SHELL);
    command
        .arg("-c")
        .arg(if request.input.is_some() {
            GATE_INPUT
        } else {
            GATE
        })
        .arg("canary-gate")
        .arg(program)
        .args(request.argv.iter().skip(1))
        .env_clear()
        .envs(
            request
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .envs(request.tag.iter().map(|tag| (strays::TAG, tag)))
        .current_dir(&request.directory)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command.spawn().map_err(|error| {
        let hint = match Errno::from_io_error(&error) {
            Some(Errno::TOOBIG) => ": its arguments or environment are too large (128 KiB each): hand large values over in a file",
            Some(Errno::AGAIN | Errno::NOMEM) => ": the machine has no room for another process (memory, or `ulimit -u`)",
            Some(Errno::MFILE | Errno::NFILE) => ": too many open files (`ulimit -n`)",
            _ if error.kind() == std::io::ErrorKind::InvalidInput => ": an argument or a variable contains a NUL byte",
            _ => "",
        };
        format!("cannot start `{}`: {error}{hint}", request.argv.first().map_or("", String::as_str))
    })
}

async fn elapsed(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// Waits until the leader has ended, and leaves it unreaped, so that its number stays taken.
async fn ended(child: &mut Child, pid: Pid, mut children: Option<tokio::signal::unix::Signal>) {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while let Some(changes) = &mut children {
        match waitid(WaitId::Pid(pid), look) {
            Ok(None) => {}
            Ok(Some(_)) => return,
            Err(_) => break,
        }
        // Several ends may come as one signal, and not each is ours: look again at every one.
        if changes.recv().await.is_none() {
            break;
        }
    }
    let _status = child.wait().await;
}

fn exit_of(status: ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;
