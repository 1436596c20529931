//! Printing: stdout carries data, stderr carries talk. Colour only where a person looks.

use std::io::Write;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;

use crate::environment::Environment;
use crate::error::{CommandError, USAGE};

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
        }
    }

    /// Data: a line on stdout. A reader that went away (`| head`) is not an error.
    pub(crate) fn data(&self, text: &str) {
        write_line(std::io::stdout().lock(), text);
    }

    /// Data without a line end.
    pub(crate) fn raw(&self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        let _closed = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
    }

    /// Talk: a line on stderr.
    pub(crate) fn talk(&self, text: &str) {
        write_line(std::io::stderr().lock(), text);
    }

    /// A warning on stderr.
    pub(crate) fn warn(&self, text: &str) {
        let label = self.paint_talk("warning", AnsiColor::Yellow);
        self.talk(&format!("{label}: {text}"));
    }

    /// An error and its hints on stderr; gives the exit code.
    pub(crate) fn error(&self, error: &CommandError) -> ExitCode {
        if !error.message.is_empty() {
            let label = self.paint_talk("error", AnsiColor::Red);
            self.talk(&format!("{label}: {error}"));
        }
        for hint in &error.hints {
            let label = self.paint_talk("hint", AnsiColor::Cyan);
            self.talk(&format!("  {label}: {hint}"));
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

fn write_line(mut to: impl Write, text: &str) {
    let _closed = to
        .write_all(text.as_bytes())
        .and_then(|()| to.write_all(b"\n"))
        .and_then(|()| to.flush());
}

/// Prints what clap has to say: help and version are data, everything else is a usage error.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let _closed = error.print();
    if error.use_stderr() {
        ExitCode::from(USAGE)
    } else {
        ExitCode::SUCCESS
    }
}

/// Diagnostics of the program itself, for people who debug it: `-v`, `-vv`, or `CANARY_LOG=canary=debug`.
pub(crate) fn log_to_stderr(verbose: u8, environment: &Environment) {
    use tracing_subscriber::EnvFilter;
    let level = match verbose {
        0 => "off",
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
        .with_writer(std::io::stderr)
        .with_ansi(ansi);
    let _already_set = subscriber.try_init();
}
