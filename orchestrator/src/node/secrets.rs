//! Where the values of secrets come from: an environment variable or a file, as the settings name them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::{ExposeSecret, SecretString};

use super::redact::Redactor;
use crate::osop::settings::SecretRef;

/// A file with a secret is read up to this many bytes.
const LARGEST: u64 = 64 * 1024;

/// Looks an environment variable up. It comes from the program's edge: this crate does not read the environment itself.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Finds the values of secrets, and remembers those that it gave out so that they can be kept out of what is written.
#[derive(Clone)]
pub struct Secrets {
    directory: PathBuf,
    environment: Environment,
    given: Arc<Mutex<Vec<SecretString>>>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

/// A secret that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Its variable is not set.
    #[error(
        "the environment variable `{name}`, which holds a secret, is not set; export it before the run starts"
    )]
    NotSet {
        /// Name of the variable.
        name: String,
    },
    /// It is there and empty.
    #[error("{place}, which holds a secret, is empty")]
    Empty {
        /// Where it was looked for.
        place: String,
    },
    /// Its file cannot be read.
    #[error("cannot read {path}, which holds a secret: {why}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        why: String,
    },
}

impl Secrets {
    /// Relative paths of files start at `directory`, that of the workflow.
    pub fn new(directory: PathBuf, environment: Environment) -> Self {
        Self {
            directory,
            environment,
            given: Arc::default(),
        }
    }

    /// The value of the secret in the environment variable of that name.
    pub fn resolve(&self, name: &str) -> Result<SecretString, SecretError> {
        let value = (self.environment)(name).ok_or_else(|| SecretError::NotSet {
            name: name.to_owned(),
        })?;
        self.give(value, || format!("the environment variable `{name}`"))
    }

    /// The value of a secret, from where the settings say that it is.
    pub fn resolve_ref(&self, secret: &SecretRef) -> Result<SecretString, SecretError> {
        match secret {
            SecretRef::Env(name) => self.resolve(&name.value),
            SecretRef::File(path) => {
                let path = self.directory.join(&path.value);
                let value = read(&path).map_err(|why| SecretError::Unreadable {
                    path: path.display().to_string(),
                    why,
                })?;
                self.give(value, || path.display().to_string())
            }
        }
    }

    fn give(&self, value: String, place: impl Fn() -> String) -> Result<SecretString, SecretError> {
        if value.trim().is_empty() {
            return Err(SecretError::Empty { place: place() });
        }
        let secret = SecretString::from(value);
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if !given
            .iter()
            .any(|known| known.expose_secret() == secret.expose_secret())
        {
            given.push(secret.clone());
        }
        Ok(secret)
    }

    /// Keeps a value out of everything that is written from now on, though it was not found by name.
    pub fn remember(&self, secret: SecretString) {
        self.given
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(secret);
    }

    /// Takes out every value that was given so far.
    pub fn redactor(&self) -> Redactor {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        Redactor::new(given.iter().map(ExposeSecret::expose_secret))
    }
}

fn read(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let read = file
        .take(LARGEST + 1)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    if read as u64 > LARGEST {
        return Err(format!(
            "it is larger than {} KiB, which no secret is",
            LARGEST / 1024
        ));
    }
    if let Some(stripped) = text.strip_suffix('\n') {
        text = stripped.strip_suffix('\r').unwrap_or(stripped).to_owned();
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::diagnostic::Spanned;

    fn secrets(directory: &Path) -> Secrets {
        Secrets::new(
            directory.to_owned(),
            Arc::new(|name| match name {
                "TOKEN" => Some("xoxb-1234".to_owned()),
                "BLANK" => Some(" ".to_owned()),
                _ => None,
            }),
        )
    }

    fn file(path: &str) -> SecretRef {
        SecretRef::File(Spanned::by_default(path.to_owned()))
    }

    #[test]
    fn from_a_variable_or_a_file() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("token"), "from-file\n").unwrap();
        let secrets = secrets(directory.path());
        assert_eq!(
            secrets.resolve("TOKEN").unwrap().expose_secret(),
            "xoxb-1234"
        );
        assert_eq!(
            secrets.resolve_ref(&file("token")).unwrap().expose_secret(),
            "from-file"
        );
        assert_eq!(
            secrets.redactor().text("a from-file b xoxb-1234"),
            "a *** b ***"
        );
        assert!(!format!("{secrets:?}").contains("xoxb"));
    }

    #[test]
    fn what_is_missing_is_said() {
        let secrets = secrets(Path::new("/nowhere"));
        let error = secrets.resolve("NONE").unwrap_err().to_string();
        assert!(
            error.contains("`NONE`, which holds a secret, is not set; export it"),
            "{error}"
        );
        assert!(
            secrets
                .resolve("BLANK")
                .unwrap_err()
                .to_string()
                .contains("`BLANK`, which holds a secret, is empty")
        );
        assert!(
            secrets
                .resolve_ref(&file("gone"))
                .unwrap_err()
                .to_string()
                .contains("/nowhere/gone")
        );
    }
}
