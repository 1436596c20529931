//! Shell and program: what they are given, and how what they leave behind is read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::process::{self, Exit, Finished, Request};
use super::spec::{ProcessSpec, ProgramWork, ShellWork, TaskSpec};
use super::{Attempt, Ending};
use crate::machine::{NodeStatus, ProcessMark};
use crate::plan::template::Script;

/// `runtime.verify` is given up after this long where the node sets no bound.
const VERIFY_TIMEOUT: Duration = Duration::from_mins(1);

/// An output file is read up to this many bytes.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Lines of stderr that an error quotes, and how long they may be together.
const QUOTED_LINES: usize = 3;
const QUOTED: usize = 600;

/// Runs a script.
pub(super) async fn shell(
    attempt: &Attempt<'_>,
    work: &ShellWork,
    started: impl FnOnce(Option<ProcessMark>) -> BoxFuture<'static, ()>,
    cancel: &CancellationToken,
) -> Ending {
    let exports = match work.script.environment(&attempt.values) {
        Ok(exports) => exports,
        Err(error) => return Ending::failed(error.to_string()),
    };
    let argv = shell_argv(&work.script, work.bash);
    let called = first_line(work.script.source());
    finish(
        attempt,
        &work.process,
        argv,
        exports,
        BTreeMap::new(),
        &called,
        started,
        cancel,
    )
    .await
}

/// Runs a program.
pub(super) async fn program(
    attempt: &Attempt<'_>,
    work: &ProgramWork,
    started: impl FnOnce(Option<ProcessMark>) -> BoxFuture<'static, ()>,
    cancel: &CancellationToken,
) -> Ending {
    let argv: Result<Vec<String>, String> = work
        .argv
        .iter()
        .map(|argument| attempt.render(argument))
        .collect();
    let facts: Result<BTreeMap<String, Value>, String> = work
        .facts
        .iter()
        .map(|(name, text)| Ok((name.clone(), Value::String(attempt.render(text)?))))
        .collect();
    match (argv, facts) {
        (Ok(argv), Ok(facts)) => {
            let called = first_line(&argv.join(" "));
            finish(
                attempt,
                &work.process,
                argv,
                Vec::new(),
                facts,
                &called,
                started,
                cancel,
            )
            .await
        }
        (Err(error), _) | (_, Err(error)) => Ending::failed(error),
    }
}

/// Runs `runtime.verify`: 0 is yes, 1 is no.
pub(super) async fn verify(
    attempt: &Attempt<'_>,
    task: &TaskSpec,
    cancel: &CancellationToken,
) -> Result<bool, String> {
    let script = task
        .verify
        .as_ref()
        .ok_or("the node has no `runtime.verify`")?;
    let exports = script
        .environment(&attempt.values)
        .map_err(|error| error.to_string())?;
    let (process, bash) = match &task.work {
        super::Work::Shell(work) => (work.process.clone(), work.bash),
        super::Work::Program(work) => (work.process.clone(), false),
        super::Work::Http(_) | super::Work::Query(_) => (ProcessSpec::default(), false),
    };
    let mut request = request(attempt, &process, shell_argv(script, bash), exports)?;
    request.timeout = Some(attempt.node.timeout.unwrap_or(VERIFY_TIMEOUT));
    // Not the attempt's own: what that left behind is ended before this is asked.
    request.tag = request.tag.map(|tag| tag + "/verify");
    let finished = process::run(request, |_| async {}, cancel).await?;
    match finished.exit {
        Exit::Code(0) => Ok(true),
        Exit::Code(1) => Ok(false),
        other => Err(format!(
            "`runtime.verify` {}, and that says neither yes (0) nor no (1){}",
            other.words(),
            quoted(&finished)
        )),
    }
}

fn shell_argv(script: &Script, bash: bool) -> Vec<String> {
    let shell: &[&str] = if bash {
        &["bash", "-euo", "pipefail", "-c"]
    } else {
        &["/bin/sh", "-eu", "-c"]
    };
    let mut argv: Vec<String> = shell.iter().map(|&argument| argument.to_owned()).collect();
    argv.extend([script.text().to_owned(), "canary".to_owned()]);
    argv
}

fn request(
    attempt: &Attempt<'_>,
    process: &ProcessSpec,
    argv: Vec<String>,
    exports: Vec<(String, String)>,
) -> Result<Request, String> {
    let shared = &attempt.context.shared;
    let directory = match &process.working_directory {
        Some(directory) => shared.directory.join(attempt.render(directory)?),
        None => shared.directory.clone(),
    };
    let mut environment: BTreeMap<OsString, OsString> =
        shared.environment.iter().cloned().collect();
    environment.extend(
        exports
            .into_iter()
            .map(|(name, value)| (name.into(), value.into())),
    );
    for (name, value) in &process.environment {
        let value = attempt
            .render(value)
            .map_err(|error| format!("environment variable {name}: {error}"))?;
        environment.insert(name.into(), value.into());
    }
    for (name, value) in [
        ("CANARY_RUN_ID", shared.run.clone()),
        ("CANARY_NODE_ID", attempt.node.id.clone()),
        ("CANARY_ATTEMPT", attempt.context.attempt.to_string()),
        ("CANARY_ITERATION", attempt.context.iteration.to_string()),
    ] {
        environment.insert(name.into(), value.into());
    }
    Ok(Request {
        argv,
        directory,
        environment: environment.into_iter().collect(),
        timeout: attempt.node.timeout,
        log: Some(attempt.context.log.clone()),
        redactor: attempt.redactor.clone(),
        input: None,
        // The log is in the directory of the run: runs of the same name in other directories are others' work.
        tag: Some(format!(
            "{}/{}/{} {}",
            shared.run,
            attempt.node.id,
            attempt.context.attempt,
            attempt.context.log.display()
        )),
    })
}

#[expect(
    clippy::too_many_arguments,
    reason = "the two kinds of process differ in just these"
)]
async fn finish(
    attempt: &Attempt<'_>,
    process: &ProcessSpec,
    argv: Vec<String>,
    exports: Vec<(String, String)>,
    facts: BTreeMap<String, Value>,
    called: &str,
    started: impl FnOnce(Option<ProcessMark>) -> BoxFuture<'static, ()>,
    cancel: &CancellationToken,
) -> Ending {
    let mut request = match request(attempt, process, argv, exports) {
        Ok(request) => request,
        Err(error) => return Ending::failed(error),
    };
    let output = match OutputFile::create(attempt.context.log.with_extension("outputs")) {
        Ok(output) => output,
        Err(error) => return Ending::failed(error),
    };
    request
        .environment
        .push(("OSOP_OUTPUT".into(), output.path.clone().into()));
    let finished = match process::run(request, started, cancel).await {
        Ok(finished) => finished,
        Err(error) => return Ending::failed(error),
    };
    let status = finished.exit.status(&process.success_codes);
    let mut always = BTreeMap::from([
        ("stdout".to_owned(), Value::from(finished.stdout.tail())),
        ("stderr".to_owned(), Value::from(finished.stderr.tail())),
    ]);
    if let Some(code) = finished.exit.code() {
        always.insert("exit_code".to_owned(), Value::from(code));
    }
    let mut notes: Vec<String> = finished.note.iter().cloned().collect();
    let body = finished.stdout.whole();
    if body.is_none() {
        notes.push("stdout is larger than 1 MiB: no outputs were read from it".to_owned());
    }
    let file = output.read().map_err(|why| notes.push(why)).ok().flatten();
    let error = (status != NodeStatus::Completed)
        .then(|| format!("`{called}` {}{}", finished.exit.words(), quoted(&finished)));
    Ending {
        status: Some(status),
        error,
        file,
        mapping: process.output_mapping.clone(),
        body,
        facts,
        always,
        notes,
    }
}

/// The file that `$OSOP_OUTPUT` names; it goes with the attempt.
struct OutputFile {
    path: PathBuf,
}

impl OutputFile {
    fn create(path: PathBuf) -> Result<Self, String> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let make = || {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)
        };
        match make() {
            Ok(_file) => Ok(Self {
                path: std::path::absolute(&path).unwrap_or(path),
            }),
            Err(error) => Err(format!(
                "cannot make {} for the outputs of the node: {error}",
                path.display()
            )),
        }
    }

    fn read(&self) -> Result<Option<String>, String> {
        let length = std::fs::metadata(&self.path).map_or(0, |found| found.len());
        if length == 0 {
            return Ok(None);
        }
        if length > LARGEST_FILE {
            return Err(format!(
                "the output file has {length} bytes, more than 1 MiB: it was not read"
            ));
        }
        std::fs::read_to_string(&self.path)
            .map(Some)
            .map_err(|error| format!("the output file cannot be read: {error}"))
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove an output file");
    }
}

/// `: the last lines of stderr`, or of stdout where stderr is silent.
fn quoted(finished: &Finished) -> String {
    let texts = [finished.stderr.tail(), finished.stdout.tail()];
    let Some(text) = texts.iter().find(|text| !text.trim().is_empty()) else {
        return String::new();
    };
    let mut lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .rev()
        .take(QUOTED_LINES)
        .collect();
    lines.reverse();
    let joined = lines.join(" | ");
    let from = joined
        .char_indices()
        .rev()
        .nth(QUOTED)
        .map_or(0, |(at, _)| at);
    format!(": {}{}", if from > 0 { "…" } else { "" }, &joined[from..])
}

/// What was called, short enough for a sentence.
fn first_line(source: &str) -> String {
    let mut lines = source
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let mut text: String = first.chars().take(120).collect();
    if text.len() < first.len() || lines.next().is_some() {
        text.push('…');
    }
    text
}
