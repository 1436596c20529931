//! How a process ended, in words.

use std::time::Duration;

use crate::machine::NodeStatus;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal, which was not ours.
    Signal(i32),
    /// It took longer than this and was ended.
    TimedOut(Duration),
    /// It was ended because somebody asked for it.
    Cancelled,
}

impl Exit {
    /// The code that a shell would show: 128 and the number for a signal. `None` if we ended it.
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Signal(signal) => Some(128 + signal),
            Self::TimedOut(_) | Self::Cancelled => None,
        }
    }

    /// What it means for a node whose success codes are these (none: 0).
    pub fn status(self, success_codes: &[i32]) -> NodeStatus {
        match self {
            Self::Code(0) if success_codes.is_empty() => NodeStatus::Completed,
            Self::Code(code) if success_codes.contains(&code) => NodeStatus::Completed,
            Self::Code(_) | Self::Signal(_) => NodeStatus::Failed,
            Self::TimedOut(_) => NodeStatus::TimedOut,
            Self::Cancelled => NodeStatus::Cancelled,
        }
    }

    /// `exited with 3`, and what well-known numbers mean.
    pub fn words(self) -> String {
        match self {
            Self::Code(code) => {
                let meaning = match code {
                    126 => " (found, but it cannot be executed)",
                    127 => " (a command was not found)",
                    130 => " (128 + SIGINT)",
                    137 => " (128 + SIGKILL: often out of memory)",
                    143 => " (128 + SIGTERM)",
                    _ => "",
                };
                format!("exited with {code}{meaning}")
            }
            Self::Signal(signal) => {
                let meaning = match signal {
                    6 => "SIGABRT",
                    9 => "SIGKILL: out of memory, or somebody ended it",
                    11 => "SIGSEGV: it crashed",
                    13 => "SIGPIPE",
                    15 => "SIGTERM: somebody ended it",
                    1 => "SIGHUP",
                    2 => "SIGINT",
                    3 => "SIGQUIT",
                    4 => "SIGILL: it crashed",
                    7 => "SIGBUS: it crashed",
                    8 => "SIGFPE: it crashed",
                    14 => "SIGALRM",
                    24 => "SIGXCPU: its limit of processor time",
                    _ => return format!("was ended by signal {signal}"),
                };
                format!("was ended by signal {signal} ({meaning})")
            }
            Self::TimedOut(limit) => format!("took longer than {} and was ended", human(limit)),
            Self::Cancelled => "was cancelled".to_owned(),
        }
    }
}

fn human(limit: Duration) -> String {
    let seconds = limit.as_secs();
    match (seconds, limit.subsec_millis()) {
        (0, millis) => format!("{millis} ms"),
        (1..120, _) => format!("{seconds} s"),
        (_, _) if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_in_words_and_as_status() {
        for (exit, words, status) in [
            (Exit::Code(0), "exited with 0", NodeStatus::Completed),
            (Exit::Code(2), "exited with 2", NodeStatus::Failed),
            (
                Exit::Code(127),
                "exited with 127 (a command was not found)",
                NodeStatus::Failed,
            ),
            (
                Exit::Signal(9),
                "was ended by signal 9 (SIGKILL: out of memory, or somebody ended it)",
                NodeStatus::Failed,
            ),
            (
                Exit::Signal(40),
                "was ended by signal 40",
                NodeStatus::Failed,
            ),
            (
                Exit::TimedOut(Duration::from_mins(5)),
                "took longer than 5 min and was ended",
                NodeStatus::TimedOut,
            ),
            (
                Exit::TimedOut(Duration::from_millis(90)),
                "took longer than 90 ms and was ended",
                NodeStatus::TimedOut,
            ),
            (Exit::Cancelled, "was cancelled", NodeStatus::Cancelled),
        ] {
            assert_eq!((exit.words().as_str(), exit.status(&[])), (words, status));
        }
        assert_eq!(Exit::Code(2).status(&[0, 2]), NodeStatus::Completed);
        assert_eq!(Exit::Code(0).status(&[2]), NodeStatus::Failed);
        assert_eq!(Exit::Signal(15).code(), Some(143));
    }
}
