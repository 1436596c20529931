//! How a run ends, and the exit code that says so.

use serde::{Deserialize, Serialize};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All checks and the bake passed: the workload is the new version.
    Promoted,
    /// A workflow that moves no traffic came to its end.
    Completed,
    /// Evidence or a node failed after traffic moved: weight 0.
    RolledBack {
        /// It is the decision deadline that failed it.
        deadline: bool,
    },
    /// A person ended it: weight 0.
    Aborted {
        /// The signal that asked for it, where one did.
        signal: Option<i32>,
    },
    /// `on_failure: hold`: failed, weight kept.
    Held,
    /// A node failed before traffic moved, or the way back failed.
    Failed,
}

impl Outcome {
    /// Exit code of a command that waited for this end.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Promoted | Self::Completed => 0,
            Self::RolledBack { deadline: false } | Self::Held | Self::Aborted { signal: None } => 1,
            Self::RolledBack { deadline: true } => 3,
            Self::Failed => 4,
            Self::Aborted {
                signal: Some(signal),
            } => u8::try_from(128 + signal).unwrap_or(1),
        }
    }

    /// Status in an `.osoplog`.
    pub fn osoplog_status(self) -> &'static str {
        match self {
            Self::Promoted | Self::Completed => "COMPLETED",
            Self::RolledBack { .. } | Self::Aborted { .. } | Self::Held | Self::Failed => "FAILED",
        }
    }

    /// The end in one sentence, from what led to it: `rolled-back: check_10 failed: ...`, `aborted by ann: wrong version`.
    pub fn sentence(self, why: &str) -> String {
        let word = self.word();
        // Whoever aborted is a part of the word, not an explanation of it.
        if why.starts_with(&format!("{word} ")) {
            why.to_owned()
        } else {
            format!("{word}: {why}")
        }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::Completed => "completed",
            Self::RolledBack { .. } => "rolled-back",
            Self::Aborted { .. } => "aborted",
            Self::Held => "held",
            Self::Failed => "failed",
        }
    }
}
