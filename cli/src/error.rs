//! What a command says when it cannot do what was asked, and the exit code that goes with it.

use std::fmt;

/// Usage, a file or the configuration is wrong: nothing was touched.
pub(crate) const USAGE: u8 = 2;
/// It was tried and failed.
pub(crate) const FAILED: u8 = 1;
/// It was done, and what was to be printed could not be written.
pub(crate) const NOT_WRITTEN: u8 = 4;

/// What was tried, what came back, what to do next.
#[derive(Debug)]
pub(crate) struct CommandError {
    /// Exit code.
    pub(crate) code: u8,
    /// One sentence, lower case, no full stop.
    pub(crate) message: String,
    /// What to do, one per line.
    pub(crate) hints: Vec<String>,
}

impl CommandError {
    /// The user can put it right: exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            code: USAGE,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// It was tried and failed: exit code 1.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self {
            code: FAILED,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// Adds what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A command's exit code, or why it could not run.
pub(crate) type CommandResult = Result<u8, CommandError>;
