//! The environment, read once at the start: everything else gets it as data.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;

/// What the process was started with.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    /// All variables that are valid text.
    pub(crate) variables: BTreeMap<String, String>,
    /// Standard output is a terminal.
    pub(crate) stdout_is_terminal: bool,
    /// Standard error is a terminal.
    pub(crate) stderr_is_terminal: bool,
    /// Standard input is a terminal: questions can be asked.
    pub(crate) stdin_is_terminal: bool,
    /// Working directory.
    pub(crate) directory: PathBuf,
    /// The program was called as a plugin of kubectl: names mean releases in a cluster.
    pub(crate) is_plugin: bool,
}

/// The name that the program was called by, without directory and `.exe`.
pub(crate) fn called_as() -> Option<String> {
    let path = PathBuf::from(std::env::args_os().next()?);
    Some(path.file_stem()?.to_str()?.to_owned())
}

impl Environment {
    /// Reads it.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    pub(crate) fn read() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            variables,
            stdout_is_terminal: std::io::stdout().is_terminal(),
            stderr_is_terminal: std::io::stderr().is_terminal(),
            stdin_is_terminal: std::io::stdin().is_terminal(),
            directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            is_plugin: called_as().as_deref() == Some("kubectl-canary"),
        }
    }

    /// A variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// `$CANARY_STATE_DIR`, else `$XDG_STATE_HOME/canary`, else `~/.local/state/canary`.
    pub(crate) fn state_directory(&self) -> PathBuf {
        if let Some(directory) = self.get("CANARY_STATE_DIR") {
            return PathBuf::from(directory);
        }
        let home = || PathBuf::from(self.get("HOME").unwrap_or("/")).join(".local/state");
        let state = self
            .get("XDG_STATE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        state.unwrap_or_else(home).join("canary")
    }

    /// `$XDG_RUNTIME_DIR/canary`, else a directory of this user under the temporary one: for sockets, whose paths must be short.
    pub(crate) fn runtime_directory(&self) -> PathBuf {
        match self
            .get("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
        {
            Some(directory) => directory.join("canary"),
            None => PathBuf::from(self.get("TMPDIR").unwrap_or("/tmp"))
                .join(format!("canary-{}", rustix::process::getuid().as_raw())),
        }
    }

    /// Who asks, for the journal.
    pub(crate) fn who(&self) -> String {
        let user = self
            .get("CANARY_USER")
            .or_else(|| self.get("USER"))
            .or_else(|| self.get("LOGNAME"));
        user.map_or_else(
            || format!("uid {}", rustix::process::getuid().as_raw()),
            str::to_owned,
        )
    }

    /// Columns of the terminal, from `$COLUMNS` or the terminal itself; 100 where there is none.
    pub(crate) fn width(&self) -> usize {
        let set = self.get("COLUMNS").and_then(|columns| columns.parse().ok());
        let terminal = || {
            let (columns, _) = ratatui::crossterm::terminal::size().ok()?;
            self.stdout_is_terminal.then_some(usize::from(columns))
        };
        set.or_else(terminal).unwrap_or(100).clamp(40, 400)
    }
}
