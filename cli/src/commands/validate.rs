//! `canary validate`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use canary_orchestrator::diagnostic::{
    Diagnostics, HumanOptions, to_github, to_human, to_json, to_sarif,
};
use canary_orchestrator::plan::compile;
use clap::ValueEnum;
use serde_json::Value;

use crate::cluster::objects;
use crate::environment::Environment;
use crate::error::USAGE;
use crate::output::Output;
use crate::workflow::{self, WorkflowOptions};

/// Check workflows and the objects of a cluster: every error and warning at once
///
/// Exit code 2 if there is an error, 0 otherwise.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary validate checkout.osop.yaml
  canary validate --profile production.yaml releases/*.osop.yaml
  canary validate release.yaml             Releases, Profiles and Sources, as the cluster checks them
  canary validate -o github checkout.osop.yaml      annotations in a pull request
  canary validate -o sarif checkout.osop.yaml > canary.sarif")]
pub(crate) struct Args {
    /// Workflows
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    options: WorkflowOptions,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Excerpts of the source
    #[default]
    Text,
    /// JSON
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Commands for GitHub Actions
    Github,
}

/// Checks them.
pub(crate) fn run(args: &Args, environment: &Environment, output: &Output) -> u8 {
    let mut failed = false;
    let mut documents = Vec::new();
    // What several workflows share, such as a profile, is told once.
    let mut told = Diagnostics::default();
    if let Some(profile) = &args.options.profile
        && let Err(error) = workflow::read(profile)
    {
        let _code = output.error(&error);
        return USAGE;
    }
    for file in &args.files {
        let inputs = match workflow::inputs(file, &args.options, None, environment) {
            Ok(inputs) => inputs,
            // The other files are checked all the same: everything in one go.
            Err(error) => {
                let _code = output.error(&error);
                failed = true;
                continue;
            }
        };
        let mut diagnostics = objects::check(&inputs).unwrap_or_else(|| compile(&inputs).1);
        let (errors, warnings) = diagnostics.counts();
        failed |= errors > 0;
        if args.output != Form::Json {
            diagnostics.without(&told);
            told.append(diagnostics.clone());
        }
        match args.output {
            Form::Text if errors + warnings == 0 => {
                output.data(&format!("{}: ok", file.display()));
            }
            Form::Text if diagnostics.is_empty() => {
                output.data(&format!("{}: only what is said above\n", file.display()));
            }
            Form::Text => {
                let options = HumanOptions {
                    color: output.color,
                    ..HumanOptions::default()
                };
                output.data(to_human(&diagnostics, options).trim_end());
            }
            Form::Json => documents.push(to_json(&diagnostics)),
            Form::Sarif => documents.push(to_sarif(&diagnostics, env!("CARGO_PKG_VERSION"))),
            Form::Github => output.raw(&to_github(&diagnostics)),
        }
    }
    if let Some(document) = joined(args.output, documents, args.files.len() > 1) {
        output.data(&serde_json::to_string_pretty(&document).unwrap_or_default());
    }
    if failed { USAGE } else { 0 }
}

/// One document for all files: JSON is a list where there are several, SARIF has one run with all results.
fn joined(form: Form, mut documents: Vec<Value>, several: bool) -> Option<Value> {
    if documents.is_empty() || !several {
        return documents.pop();
    }
    if form != Form::Sarif {
        return Some(Value::Array(documents));
    }
    let mut first = documents.remove(0);
    for document in &documents {
        take_results(&mut first, document);
    }
    Some(first)
}

/// Puts the results of one SARIF document into the run of another: GitHub refuses a file with two runs of one tool.
fn take_results(into: &mut Value, from: &Value) {
    const RULES: &str = "/runs/0/tool/driver/rules";
    const RESULTS: &str = "/runs/0/results";
    let list = |pointer| from.pointer(pointer).and_then(Value::as_array).cloned();
    let mut indices = BTreeMap::new();
    if let Some(rules) = into.pointer_mut(RULES).and_then(Value::as_array_mut) {
        for rule in list(RULES).unwrap_or_default() {
            if rules.iter().all(|known| known["id"] != rule["id"]) {
                rules.push(rule);
            }
        }
        for (index, rule) in rules.iter().enumerate() {
            indices.insert(rule["id"].to_string(), index);
        }
    }
    if let Some(results) = into.pointer_mut(RESULTS).and_then(Value::as_array_mut) {
        for mut result in list(RESULTS).unwrap_or_default() {
            if let Some(index) = indices.get(&result["ruleId"].to_string()) {
                result["ruleIndex"] = (*index).into();
            }
            results.push(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(rules: &[&str], results: &[(&str, usize)]) -> Value {
        let rules: Vec<_> = rules.iter().map(|id| json!({"id": id})).collect();
        let results: Vec<_> = results
            .iter()
            .map(|(id, index)| json!({"ruleId": id, "ruleIndex": index}))
            .collect();
        json!({"runs": [{"tool": {"driver": {"rules": rules}}, "results": results}]})
    }

    #[test]
    fn sarif_of_several_files_is_one_run_whose_results_know_their_rules() {
        let documents = vec![
            document(&["a", "b"], &[("b", 1)]),
            document(&["c", "b"], &[("b", 1), ("c", 0)]),
        ];
        assert_eq!(
            joined(Form::Sarif, documents, true),
            Some(document(&["a", "b", "c"], &[("b", 1), ("b", 1), ("c", 2)]))
        );
    }

    #[test]
    fn json_of_several_files_is_a_list_even_if_only_one_could_be_read() {
        let one = json!({"errors": 0});
        assert_eq!(
            joined(Form::Json, vec![one.clone()], true),
            Some(json!([one]))
        );
        assert_eq!(joined(Form::Json, vec![one.clone()], false), Some(one));
    }
}
