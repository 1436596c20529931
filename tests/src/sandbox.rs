//! A place where `canary` runs as a new user would run it, and leaves nothing behind.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for something that should come at once. Machines that build beside the tests are slow.
pub const SOON: Duration = Duration::from_secs(60);

/// A directory with state, sockets, tools and files of one test.
#[derive(Debug)]
pub struct Sandbox {
    directory: TempDir,
}

/// What a finished command said.
#[derive(Debug)]
pub struct Said {
    /// Exit code; 128 + signal where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Said {
    /// Both outputs, for messages of failing tests.
    pub fn all(&self) -> String {
        format!(
            "exit {}\n--- stdout\n{}\n--- stderr\n{}",
            self.code, self.stdout, self.stderr
        )
    }

    /// Fails the test unless it ended with this exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.all());
        self
    }

    /// Fails the test unless one of the outputs contains each of these.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        let all = self.all();
        for text in texts {
            assert!(all.contains(text), "does not say {text:?}:\n{all}");
        }
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON: {error}\n{}", self.all()))
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// A new one. The path is short, because socket paths must be.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("cn")
            .tempdir_in("/tmp")
            .expect("a temporary directory");
        for name in ["state", "run", "bin", "work"] {
            fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        Self { directory }
    }

    /// Where commands run.
    pub fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    /// Where runs are kept.
    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// The directory of a run.
    pub fn run_directory(&self, run: &str) -> PathBuf {
        self.state().join("runs").join(run)
    }

    /// Writes a file below [`Self::work`].
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.work().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, text).expect("a file");
        path
    }

    /// What a file below [`Self::work`] says; nothing where there is none.
    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.work().join(name)).unwrap_or_default()
    }

    /// Copies a file of the repository below [`Self::work`], under its own name.
    pub fn copy(&self, name: &str) -> PathBuf {
        let from = repository_file(name);
        let text = fs::read_to_string(&from).expect("a file of the repository");
        let file = from.file_name().and_then(|name| name.to_str());
        self.file(file.expect("a name"), &text)
    }

    /// Puts a program on the path: a shell script that stands where the real tool would. It is a real process.
    pub fn tool(&self, name: &str, script: &str) {
        let path = self.directory.path().join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permissions");
    }

    /// `canary` with these arguments, ready to run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .current_dir(self.work())
            .env_clear()
            .env(
                "PATH",
                format!("{}:{system}", self.directory.path().join("bin").display()),
            )
            .env("HOME", self.directory.path())
            .env("USER", "tester")
            .env("CANARY_STATE_DIR", self.state())
            .env("XDG_RUNTIME_DIR", self.directory.path().join("run"))
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn canary(&self, arguments: &[&str]) -> Said {
        Running::start(self.command(arguments)).finish()
    }

    /// Starts it and reads what it says line by line.
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments))
    }

    /// What `canary status -o json` says of a run: the whole document.
    #[track_caller]
    pub fn status(&self, run: &str) -> Value {
        self.canary(&["status", run, "-o", "json"]).exits(0).json()
    }

    /// The records of a run's journal that are complete.
    pub fn journal(&self, run: &str) -> Vec<Value> {
        let path = self.run_directory(run).join("journal.jsonl");
        let bytes = fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete
            .lines()
            .map(|line| serde_json::from_str(line).expect("a record"))
            .collect()
    }
}

/// One line, and where it was said.
type Line = (bool, String);

/// A command that runs beside the test; it is killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Receiver<Line>,
    seen: Vec<Line>,
    started: Instant,
}

impl Running {
    /// Starts a command and reads both its outputs line by line.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("canary starts");
        let (sender, lines) = channel();
        follow(child.stdout.take().expect("stdout"), true, sender.clone());
        follow(child.stderr.take().expect("stderr"), false, sender);
        Self {
            child,
            lines,
            seen: Vec::new(),
            started: Instant::now(),
        }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that contains `text` and gives it.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        let end = Instant::now() + SOON;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok((out, line)) => {
                    self.seen.push((out, line.clone()));
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(why) => {
                    let what = match why {
                        RecvTimeoutError::Timeout => "no line came",
                        RecvTimeoutError::Disconnected => "it ended without a line",
                    };
                    panic!("{what} with {text:?}; said so far:\n{}", self.said());
                }
            }
        }
    }

    /// Waits for the line that names the run, and gives its name.
    #[track_caller]
    pub fn run_id(&mut self) -> String {
        let line = self.expect("run ");
        let name = line
            .strip_prefix("run ")
            .and_then(|rest| rest.split(':').next());
        name.unwrap_or_else(|| panic!("no name of a run in {line:?}"))
            .to_owned()
    }

    /// Everything that was read so far.
    fn said(&self) -> String {
        let lines: Vec<_> = self.seen.iter().map(|(_, line)| line.as_str()).collect();
        lines.join("\n")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("a signal");
    }

    /// Has it ended?
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a status")
    }

    /// Waits for the end; all that was said.
    #[track_caller]
    pub fn finish(mut self) -> Said {
        let end = Instant::now() + SOON;
        // Its outputs end with it; what it left running must not hold them open.
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it does not end; said so far:\n{}", self.said())
                }
            }
        }
        let status = self.child.wait().expect("an end");
        let code = status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        let of = |out: bool| {
            let lines = self.seen.iter().filter(|(from, _)| *from == out);
            lines.fold(String::new(), |text, (_, line)| text + line + "\n")
        };
        Said {
            code,
            stdout: of(true),
            stderr: of(false),
            took: self.started.elapsed(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn follow(from: impl Read + Send + 'static, out: bool, to: Sender<Line>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut bytes = Vec::new();
        while reader
            .read_until(b'\n', &mut bytes)
            .is_ok_and(|read| read > 0)
        {
            let line = String::from_utf8_lossy(&bytes);
            let line = line.trim_end_matches('\n').to_owned();
            bytes.clear();
            if to.send((out, line)).is_err() {
                return;
            }
        }
    });
}

/// The binary as built with the same profile as the tests; `tests/all.sh` builds it first.
pub fn binary() -> PathBuf {
    let mut directory = std::env::current_exe().expect("the test's own path");
    while let Some(parent) = directory.parent() {
        let candidate = parent.join("canary");
        if candidate.is_file() {
            return candidate;
        }
        directory = parent.to_path_buf();
    }
    panic!("the binary is not built: run `cargo build --package canary` (tests/all.sh does)");
}

/// A file of the repository.
pub fn repository_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .join(name)
}

/// Waits until `condition` gives something; it is asked again and again, for what cannot be waited on.
#[track_caller]
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + SOON;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "{what}: did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Is this process there, and not only waiting to be collected?
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.trim().chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}
