//! Commands of a shell with references in them (S6).
//!
//! A value is never written into the text of a command. Each reference becomes the expansion of an environment variable,
//! quoted for the place where it stands, so that the program gets exactly the value, as one argument. Where no quoting
//! can promise that (arithmetic, `eval`, a quoted here-document, code of another language), the command is refused.

use std::collections::BTreeSet;

use super::reference::Reference;
use super::shell;
use super::template::{Lookup, Part, RenderError, Template};

/// A shell script whose references became environment variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    source: String,
    text: String,
    exports: Vec<Export>,
    uses: Vec<PlainUse>,
    assigned: BTreeSet<String>,
    sources_others: bool,
}

/// An environment variable of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Name of the variable.
    pub variable: String,
    /// Its value.
    pub value: Template,
    /// Without a value the script must not run; otherwise the variable is left unset.
    pub required: bool,
}

/// A variable that the script itself expands: `$X`, `${X}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainUse {
    /// Name of the variable.
    pub name: String,
    /// The script says what to do where it is not set (`${X:-d}`, `${X:+d}`).
    pub has_default: bool,
    /// First byte in the source.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptError {
    /// First byte in the source.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// What is wrong and why.
    pub message: String,
    /// How to write it.
    pub help: String,
}

impl Script {
    /// Reads a command. `bash`: it will run in bash, else in any POSIX shell.
    pub fn parse(source: &str, bash: bool) -> Result<Self, Vec<ScriptError>> {
        let scan = shell::scan(source, bash);
        if !scan.errors.is_empty() {
            return Err(scan.errors);
        }
        Ok(Self {
            source: source.to_owned(),
            text: scan.text,
            exports: scan
                .references
                .into_iter()
                .map(|(variable, reference)| Export {
                    variable,
                    value: Template::reference(reference),
                    required: true,
                })
                .collect(),
            uses: scan.uses,
            assigned: scan.assigned,
            sources_others: scan.sources_others,
        })
    }

    /// As written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What the shell gets.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it gets in its environment.
    pub fn exports(&self) -> &[Export] {
        &self.exports
    }

    /// Variables that it expands itself.
    pub fn uses(&self) -> &[PlainUse] {
        &self.uses
    }

    /// Whether the variable may be set by the script itself, or by a file that it reads.
    pub fn may_set(&self, name: &str) -> bool {
        self.sources_others || self.assigned.contains(name)
    }

    /// Adds a variable, unless there is one of that name.
    pub fn export(&mut self, variable: &str, value: Template, required: bool) {
        if let Some(known) = self.exports.iter_mut().find(|e| e.variable == variable) {
            known.required |= required;
        } else {
            self.exports.push(Export {
                variable: variable.to_owned(),
                value,
                required,
            });
        }
    }

    /// Every reference replaced, see [`Template::replaced`].
    #[must_use]
    pub fn replaced(mut self, mut with: impl FnMut(&Reference) -> Vec<Part>) -> Self {
        for export in &mut self.exports {
            export.value = export.value.replaced(&mut with);
        }
        self
    }

    /// What it refers to, in order, with repetitions.
    pub fn references(&self) -> Vec<Reference> {
        self.exports
            .iter()
            .flat_map(|export| export.value.references())
            .collect()
    }

    /// Names and values of its variables.
    pub fn environment(&self, lookup: &dyn Lookup) -> Result<Vec<(String, String)>, RenderError> {
        let mut variables = Vec::with_capacity(self.exports.len());
        for export in &self.exports {
            match export.value.render(lookup) {
                Ok(value) => variables.push((export.variable.clone(), value)),
                Err(error) if export.required => return Err(error),
                Err(_) => {}
            }
        }
        Ok(variables)
    }
}
