//! What a plan is made from: files, a profile, `--set`, the environment. A run keeps it and makes the same plan again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::model::{OnFailure, Plan};
use crate::diagnostic::SourceFile;
use crate::osop;

/// Sub-workflows nest at most this deep.
pub(super) const DEEPEST_CALL: usize = 8;
/// A plan is made of at most this many files.
const MOST_FILES: usize = 64;

/// What a plan is made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inputs {
    /// Texts of the workflow, its profile and its sub-workflows, by name. A name is a path with `/`, as the user gave it, or relative
    /// to the file that names it.
    pub files: BTreeMap<String, String>,
    /// Name of the workflow.
    pub workflow: String,
    /// Name of the profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// `--set`, in order; the last of a name wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<(String, String)>,
    /// The environment; [`Inputs::captured`] keeps what the plan names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Sub-workflows may be outside of the workflow's directory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_outside: bool,
    /// `--on-failure`; wins over the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
}

impl Inputs {
    /// A workflow without a profile.
    pub fn new(workflow: impl Into<String>, text: impl Into<String>) -> Self {
        let workflow = workflow.into();
        Self {
            files: BTreeMap::from([(workflow.clone(), text.into())]),
            workflow,
            ..Self::default()
        }
    }

    /// With a profile.
    #[must_use]
    pub fn with_profile(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        let name = name.into();
        self.files.insert(name.clone(), text.into());
        self.profile = Some(name);
        self
    }

    /// The same inputs with no more of the environment than the plan names: what a run stores.
    #[must_use]
    pub fn captured(&self, plan: &Plan) -> Self {
        Self {
            environment: plan.values.environment.clone(),
            ..self.clone()
        }
    }

    /// Names of sub-workflows that are referred to and not among the files yet. Whoever reads files adds them and asks again,
    /// until there are none; files that cannot be read are left out, [`super::compile()`] says so.
    pub fn missing_files(&self) -> Vec<String> {
        let mut missing = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![self.workflow.clone()];
        while let Some(name) = open.pop() {
            if seen.len() >= MOST_FILES || !seen.insert(name.clone()) {
                continue;
            }
            let Some(text) = self.files.get(&name) else {
                missing.insert(name);
                continue;
            };
            let (workflow, _) = osop::parse(SourceFile::new(name.clone(), text.clone()));
            let nodes = workflow.into_iter().flat_map(|workflow| workflow.nodes);
            let references = nodes.filter_map(|node| node.workflow_ref);
            open.extend(
                references.filter_map(|reference| self.sub_workflow(&name, &reference.value).ok()),
            );
        }
        missing.remove(&self.workflow);
        missing.into_iter().collect()
    }

    /// Name of the file that `reference` in the file `from` means; or why it must not be read.
    pub(super) fn sub_workflow(&self, from: &str, reference: &str) -> Result<String, &'static str> {
        let path = if reference.starts_with('/') {
            normal(reference)
        } else {
            match from.rsplit_once('/') {
                Some((directory, _)) => normal(&format!("{directory}/{reference}")),
                None => normal(reference),
            }
        };
        let base = self
            .workflow
            .rsplit_once('/')
            .map(|(directory, _)| normal(directory));
        let inside = match &base {
            Some(base) => base.is_empty() || path.starts_with(&format!("{base}/")),
            None => !path.starts_with("../") && !path.starts_with('/'),
        };
        if inside || self.allow_outside {
            Ok(path)
        } else {
            Err("it is outside of the workflow's directory")
        }
    }

    /// SHA-256 of everything but the environment, in hexadecimal.
    pub(super) fn hash(&self, environment: &BTreeMap<String, String>) -> String {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        add(&self.workflow);
        for (name, text) in &self.files {
            add(name);
            add(text);
        }
        add(self.profile.as_deref().unwrap_or_default());
        for (name, value) in &self.sets {
            add(name);
            add(value);
        }
        for (name, value) in environment {
            add(name);
            add(value);
        }
        add(match self.on_failure {
            None => "",
            Some(OnFailure::Rollback) => "rollback",
            Some(OnFailure::Hold) => "hold",
        });
        hash.finalize()
            .iter()
            .fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
    }
}

/// A path without `.` and, as far as possible, `..`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    if path.starts_with('/') {
        format!("/{joined}")
    } else {
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_workflows_stay_in_the_directory_of_the_workflow() {
        let inputs = |workflow: &str| Inputs {
            workflow: workflow.to_owned(),
            ..Inputs::default()
        };
        for (workflow, from, reference, expected) in [
            ("a.yaml", "a.yaml", "sub/b.yaml", Some("sub/b.yaml")),
            ("a.yaml", "sub/b.yaml", "c.yaml", Some("sub/c.yaml")),
            ("a.yaml", "sub/b.yaml", "../c.yaml", Some("c.yaml")),
            ("a.yaml", "a.yaml", "../c.yaml", None),
            ("a.yaml", "a.yaml", "/etc/c.yaml", None),
            ("x/a.yaml", "x/a.yaml", "./b.yaml", Some("x/b.yaml")),
            ("x/a.yaml", "x/a.yaml", "../b.yaml", None),
            ("/x/a.yaml", "/x/a.yaml", "y/b.yaml", Some("/x/y/b.yaml")),
            ("/x/a.yaml", "/x/a.yaml", "../xx/b.yaml", None),
            ("../a.yaml", "../a.yaml", "b.yaml", Some("../b.yaml")),
        ] {
            assert_eq!(
                inputs(workflow)
                    .sub_workflow(from, reference)
                    .ok()
                    .as_deref(),
                expected,
                "{workflow} {from} {reference}"
            );
        }
        let open = Inputs {
            allow_outside: true,
            ..inputs("a.yaml")
        };
        assert_eq!(
            open.sub_workflow("a.yaml", "/b.yaml").as_deref(),
            Ok("/b.yaml")
        );
    }
}
