//! `canary validate` of the objects of a cluster: manifests as they are kept in Git, several documents to a file, those of
//! others beside ours.

use std::sync::Arc;

use canary_controller::api::{
    ClusterProfile, ClusterSource, Profile, Release, ReleaseAction, Source,
};
use canary_orchestrator::diagnostic::{Diagnostics, Origin, SourceFile, codes};
use canary_orchestrator::osop::object::{GROUP, ObjectKind, kind_of, workflow_config_map};
use canary_orchestrator::osop::settings::{check_profile, parse_profile};
use canary_orchestrator::plan::{Inputs, compile};
use serde::de::DeserializeOwned;

/// The problems of all of our objects in the file that these inputs begin with; `None`: there are none of ours in it.
pub(crate) fn check(inputs: &Inputs) -> Option<Diagnostics> {
    let text = inputs.files.get(&inputs.workflow)?;
    let ours: Vec<String> = documents(text)
        .into_iter()
        .filter(|document| group_line(document).is_some())
        .collect();
    if ours.is_empty() {
        return None;
    }
    let mut all = Diagnostics::default();
    for document in ours {
        all.append(check_one(inputs, document));
    }
    Some(all)
}

/// Each document at the lines where it stands: what is before it is empty lines.
fn documents(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for (number, line) in text.lines().enumerate() {
        if line.trim_end() == "---" {
            all.push("\n".repeat(number + 1));
        } else if let Some(last) = all.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    all
}

/// The line that says that the object is ours. Found without parsing: a document of somebody else may be anything.
fn group_line(document: &str) -> Option<&str> {
    document.lines().find(|line| {
        line.strip_prefix("apiVersion:")
            .or_else(|| line.trim_start().strip_prefix("\"apiVersion\":"))
            .is_some_and(|rest| {
                let rest = rest.trim().trim_matches(|c| matches!(c, '"' | '\'' | ','));
                rest.starts_with(GROUP) && rest[GROUP.len()..].starts_with('/')
            })
    })
}

fn check_one(inputs: &Inputs, document: String) -> Diagnostics {
    let file = SourceFile::new(inputs.workflow.clone(), document.clone());
    let mut found = match kind_of(&file) {
        Some(ObjectKind::Release) if workflow_config_map(&file).is_none() => {
            let mut inputs = inputs.clone();
            inputs
                .files
                .insert(inputs.workflow.clone(), document.clone());
            compile(&inputs).1
        }
        Some(_) => {
            let (profile, mut found) = parse_profile(file.clone());
            if let Some(profile) = profile {
                found.append(check_profile(&profile));
            }
            found
        }
        None => Diagnostics::default(),
    };
    if !found.has_errors() {
        found.append(schema(file));
    }
    found
}

/// What the types say: names of keys, kinds of values. The API server says the same.
fn schema(file: SourceFile) -> Diagnostics {
    let file = Arc::new(file);
    let mut found = Diagnostics::new(Arc::clone(&file));
    let kind = file
        .text
        .lines()
        .find_map(|line| line.strip_prefix("kind:"))
        .map(|kind| kind.trim().trim_matches(['"', '\'']))
        .unwrap_or_default();
    let read = match kind {
        "Release" => read::<Release>(&file.text),
        "ReleaseAction" => read::<ReleaseAction>(&file.text),
        "Profile" => read::<Profile>(&file.text),
        "ClusterProfile" => read::<ClusterProfile>(&file.text),
        "Source" => read::<Source>(&file.text),
        "ClusterSource" => read::<ClusterSource>(&file.text),
        other => Err((
            format!(
                "{GROUP} has no kind `{other}`: Release, Profile, ClusterProfile, Source, ClusterSource, ReleaseAction"
            ),
            None,
        )),
    };
    if let Err((message, place)) = read {
        let at = place.map_or(0, |(line, column)| offset(&file.text, line, column));
        let span = file.span(Origin::Workflow, at, at + 1);
        found.error(codes::WRONG_TYPE, span, message);
    }
    found
}

type Wrong = (String, Option<(usize, usize)>);

fn read<T: DeserializeOwned>(text: &str) -> Result<(), Wrong> {
    serde_saphyr::from_str::<T>(text)
        .map(drop)
        .map_err(|error| {
            let place = error.location().map(|at| {
                (
                    usize::try_from(at.line()).unwrap_or(1),
                    usize::try_from(at.column()).unwrap_or(1),
                )
            });
            let error = error.without_snippet().to_string();
            let message = error.lines().next().unwrap_or_default();
            let message = message.strip_prefix("error: ").unwrap_or(message);
            (message.to_owned(), place)
        })
}

/// The byte of a line and a column, both from 1.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let rest = text[start..].lines().next().unwrap_or_default();
    let within: usize = rest
        .chars()
        .take(column.saturating_sub(1))
        .map(char::len_utf8)
        .sum();
    start + within
}

#[cfg(test)]
mod tests {
    use canary_orchestrator::diagnostic::to_lines;

    use super::*;

    const RELEASE: &str = "apiVersion: canary.internal/v1alpha1
kind: Release
metadata: {name: checkout}
spec:
  target: {name: checkout}
  traffic: {router: gateway-api}
  sources: {prometheus: {kind: ClusterSource, name: main}}
  metrics: {preset: app}
  gates: [{name: errors, metric: error_rate, successCondition: errors < 1%}]
  strategy: {steps: [{weight: 10}, {weight: 100}]}
";

    fn told(text: &str) -> Option<String> {
        check(&Inputs::new("release.yaml", text)).map(|found| to_lines(&found))
    }

    #[test]
    fn a_manifest_is_checked_beside_those_of_others() {
        let file =
            format!("apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: a}}\n---\n{RELEASE}");
        assert_eq!(told(&file).as_deref(), Some(""));
        let wrong = file.replace("weight: 100", "weight: 90");
        let told = told(&wrong).expect("ours");
        assert!(told.contains("release.yaml:14:"), "{told}");
        assert!(
            told.contains("the last step must have weight 100, found 90"),
            "{told}"
        );
    }

    #[test]
    fn files_without_an_object_of_ours_are_not_meant() {
        assert_eq!(told("osop_version: '2.0'\nid: a\n"), None);
        assert_eq!(
            told("apiVersion: canary.internalx/v1\nkind: Release\n"),
            None
        );
    }

    #[test]
    fn what_the_schema_says_is_said_with_its_place() {
        let source = "apiVersion: canary.internal/v1alpha1\nkind: ClusterSource\nmetadata: {name: main}\nspec:\n  prometheus:\n    url: http://p\n    tenants: a\n";
        let told_source = told(source).expect("ours");
        assert!(
            told_source.contains("tenants") && told_source.contains("release.yaml:7:"),
            "{told_source}"
        );
        let unknown = told("apiVersion: canary.internal/v1alpha1\nkind: Releases\n").expect("ours");
        assert!(unknown.contains("has no kind `Releases`"), "{unknown}");
        let profile = "apiVersion: canary.internal/v1alpha1\nkind: Profile\nmetadata: {name: base}\nspec: {bake: 5}\n";
        let told_profile = told(profile).expect("ours");
        assert!(told_profile.contains("error"), "{told_profile}");
    }

    #[test]
    fn a_workflow_of_a_config_map_does_not_make_its_release_wrong() {
        let text = RELEASE.replace(
            "steps: [{weight: 10}, {weight: 100}]",
            "workflow: {configMap: {name: flows, key: a}}",
        );
        assert_eq!(told(&text).as_deref(), Some(""));
    }
}
