//! Printing: stdout carries data, stderr carries talk. Colour only where a person looks.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use canary_orchestrator::diagnostic::nearest;
use clap::ValueEnum;

use crate::environment::Environment;
use crate::error::{CommandError, NOT_WRITTEN, USAGE};
use crate::view::safe;

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where and how to print.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// Colour on stdout.
    pub(crate) color: bool,
    /// Colour on stderr.
    pub(crate) talk_color: bool,
    /// The first write to stdout that failed.
    failed: Arc<OnceLock<io::Error>>,
}

#[expect(
    clippy::unused_self,
    reason = "printing goes through the one value that is handed around"
)]
impl Output {
    /// Decides on colour: the flag, then NO_COLOR (<https://no-color.org>), then whether it is a terminal.
    pub(crate) fn new(choice: ColorChoice, environment: &Environment) -> Self {
        let wanted = |terminal: bool| match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let dumb = environment.get("TERM") == Some("dumb");
                terminal && !dumb && environment.get("NO_COLOR").is_none()
            }
        };
        Self {
            color: wanted(environment.stdout_is_terminal),
            talk_color: wanted(environment.stderr_is_terminal),
            failed: Arc::default(),
        }
    }

    /// Data: a line on stdout, as it is.
    pub(crate) fn data(&self, text: &str) {
        self.raw(&format!("{text}\n"));
    }

    /// Data without a line end.
    pub(crate) fn raw(&self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Data that may not be text. What cannot be written is remembered: [`Self::end`] says it.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        let mut stdout = io::stdout().lock();
        if let Err(error) = stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            let _first_one_counts = self.failed.set(error);
        }
    }

    /// The last word of a release on stdout. That it cannot be written is said, and the exit code stays that of the
    /// release: a script that reads "failed" would take back what was promoted.
    pub(crate) fn last_word(&self, text: &str) {
        let mut stdout = io::stdout().lock();
        match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                self.warn(&format!("cannot write to stdout: {error}"));
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Nobody reads stdout any more, or it cannot be written: what goes on printing can stop.
    pub(crate) fn is_closed(&self) -> bool {
        self.failed.get().is_some()
    }

    /// The exit code of a command that wanted to leave with `code`. Data that could not be written is said, and is a
    /// failure of a command that had none; a reader that went away (`| head`) is not.
    pub(crate) fn end(&self, code: u8) -> ExitCode {
        match self.failed.get() {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                let error = CommandError::failed(format!("cannot write to stdout: {error}"));
                let _code = self.error(&error);
                ExitCode::from(if code == 0 { NOT_WRITTEN } else { code })
            }
            Some(_) | None => ExitCode::from(code),
        }
    }

    /// Talk: a line on stderr. Whatever is in it, it stays one line and is shown, not obeyed.
    pub(crate) fn talk(&self, text: &str) {
        self.talk_rendered(&safe::line(text));
    }

    /// Talk that was rendered, with its colours and lines, from text that was made safe.
    pub(crate) fn talk_rendered(&self, text: &str) {
        let mut stderr = io::stderr().lock();
        // There is nowhere left to say that it failed.
        let _closed = writeln!(stderr, "{text}").and_then(|()| stderr.flush());
    }

    /// A warning on stderr.
    pub(crate) fn warn(&self, text: &str) {
        let label = self.paint_talk("warning", AnsiColor::Yellow);
        self.talk_rendered(&format!("{label}: {}", safe::marked(text)));
    }

    /// An error and its hints on stderr; gives the exit code.
    pub(crate) fn error(&self, error: &CommandError) -> ExitCode {
        if !error.message.is_empty() {
            let label = self.paint_talk("error", AnsiColor::Red);
            self.talk_rendered(&format!("{label}: {}", safe::marked(&error.to_string())));
        }
        for hint in &error.hints {
            let label = self.paint_talk("hint", AnsiColor::Cyan);
            self.talk_rendered(&format!("  {label}: {}", safe::marked(hint)));
        }
        ExitCode::from(error.code)
    }

    /// Text for stderr in a colour.
    pub(crate) fn paint_talk(&self, text: &str, color: AnsiColor) -> String {
        painted(text, color, self.talk_color)
    }
}

fn painted(text: &str, color: AnsiColor, on: bool) -> String {
    if !on {
        return text.to_owned();
    }
    let style = Style::new().bold().fg_color(Some(color.into()));
    format!("{style}{text}{style:#}")
}

/// Prints what clap has to say: help and version are data, everything else is a usage error.
pub(crate) fn usage(mut error: clap::Error, commands: &[&str]) -> ExitCode {
    suggest(&mut error, commands);
    let printed = error.print();
    if error.use_stderr() {
        return ExitCode::from(USAGE);
    }
    match printed {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let mut stderr = io::stderr().lock();
            let _closed = writeln!(stderr, "error: cannot write to stdout: {error}");
            ExitCode::from(NOT_WRITTEN)
        }
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

/// `rn` is `run`: clap's own measure finds nothing near a word this short.
fn suggest(error: &mut clap::Error, commands: &[&str]) {
    use clap::error::{ContextKind, ContextValue};
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else {
        return;
    };
    if error.get(ContextKind::SuggestedSubcommand).is_some() {
        return;
    }
    if let Some(near) = nearest(typed, commands.iter().copied()) {
        let near = ContextValue::Strings(vec![near.to_owned()]);
        error.insert(ContextKind::SuggestedSubcommand, near);
    }
}

/// Diagnostics of the program itself, for people who debug it: `-v`, `-vv`, or `CANARY_LOG=canary=debug`.
/// Written by a thread of its own: whoever reads stderr may have stopped reading, and that must hold nothing up. Lines that
/// nobody takes are dropped. The value given back lets the last lines out when it is dropped.
pub(crate) fn log_to_stderr(verbose: u8, environment: &Environment) -> Option<Flush> {
    use tracing_subscriber::EnvFilter;
    if verbose == 0 && environment.get("CANARY_LOG").is_none() {
        return None;
    }
    let (lines, queue) = sync_channel::<Entry>(WAITING);
    let write = move || {
        for entry in queue {
            match entry {
                Entry::Line(line) => drop(std::io::stderr().write_all(&line)),
                // Whoever asked may be gone.
                Entry::Flush(done) => drop(done.send(())),
            }
        }
    };
    let flush = Flush(lines.clone());
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(write)
        .ok()?;
    let level = match verbose {
        0 => "off", // CANARY_LOG says more
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = environment
        .get("CANARY_LOG")
        .map_or_else(|| EnvFilter::new(level), EnvFilter::new);
    let ansi = environment.stderr_is_terminal && environment.get("NO_COLOR").is_none();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Lines(lines.clone()))
        .with_ansi(ansi)
        // A stderr that is gone must not make it panic.
        .log_internal_errors(false);
    let _already_set = subscriber.try_init();
    Some(flush)
}

/// Lines of the log that may wait for stderr.
const WAITING: usize = 10_000;

/// How long the end of the program waits for stderr.
const LAST_LINES: Duration = Duration::from_millis(500);

enum Entry {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// One line of the log on its way.
struct Lines(SyncSender<Entry>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        // Full, or over: it is lost, and nothing else is.
        let _lost = self.0.try_send(Entry::Line(line.to_vec())).is_err();
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Lets the last lines of the log out when it is dropped.
pub(crate) struct Flush(SyncSender<Entry>);

impl Drop for Flush {
    fn drop(&mut self) {
        let (done, is_done) = sync_channel(1);
        if self.0.try_send(Entry::Flush(done)).is_ok() {
            let _late = is_done.recv_timeout(LAST_LINES);
        }
    }
}
