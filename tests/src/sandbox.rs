//! A place where `canary` runs as a new user would run it, and leaves nothing behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a test waits for something that should come at once.
pub const SOON: Duration = Duration::from_secs(30);

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
}

impl Said {
    /// Both outputs, for messages of failing tests.
    pub fn all(&self) -> String {
        format!(
            "exit {}\n--- stdout\n{}\n--- stderr\n{}",
            self.code, self.stdout, self.stderr
        )
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

    /// Writes a file below [`Self::work`].
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.work().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, text).expect("a file");
        path
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
    pub fn canary(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments).output().expect("canary runs"))
    }

    /// Starts it and reads its standard error line by line.
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments))
    }
}

fn said(output: Output) -> Said {
    use std::os::unix::process::ExitStatusExt;
    let code = output
        .status
        .code()
        .unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
    Said {
        code,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A command that runs beside the test; it is killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
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
        let (stdout, stderr) = (
            child.stdout.take().expect("stdout"),
            child.stderr.take().expect("stderr"),
        );
        let copy = sender.clone();
        std::thread::spawn(move || {
            BufReader::new(stdout)
                .lines()
                .map_while(Result::ok)
                .for_each(|line| drop(copy.send(line)))
        });
        std::thread::spawn(move || {
            BufReader::new(stderr)
                .lines()
                .map_while(Result::ok)
                .for_each(|line| drop(sender.send(line)))
        });
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that contains `text` and gives it.
    pub fn expect(&mut self, text: &str) -> String {
        let end = Instant::now() + SOON;
        loop {
            match self
                .lines
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!(
                    "no line with {text:?} came; said so far:\n{}",
                    self.seen.join("\n")
                ),
                Err(RecvTimeoutError::Disconnected) => panic!(
                    "it ended without a line with {text:?}; said:\n{}",
                    self.seen.join("\n")
                ),
            }
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("a signal");
    }

    /// Waits for the end; all lines that were said.
    pub fn finish(mut self) -> Said {
        use std::os::unix::process::ExitStatusExt;
        let status = self.child.wait().expect("an end");
        self.seen.extend(self.lines.iter());
        let code = status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Said {
            code,
            stdout: std::mem::take(&mut self.seen).join("\n"),
            stderr: String::new(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
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
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + SOON;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "{what}: did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}
