//! From what the user names on the command line to a plan: reads the files, compiles, says what is wrong.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use canary_orchestrator::diagnostic::{Diagnostics, HumanOptions, to_human};
use canary_orchestrator::plan::{Inputs, OnFailure, Plan, compile};

use crate::environment::Environment;
use crate::error::{CommandError, USAGE};
use crate::output::Output;

/// Largest file that is read, in bytes; the parser's own bound is lower and names the place.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Which workflow, and what it is told.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct WorkflowOptions {
    /// Settings of this place: a file with the same keys as `x-canary`
    #[arg(short, long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
    /// Set a variable of the workflow; may be given several times
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) sets: Vec<(String, String)>,
}

/// `NAME=VALUE`.
pub(crate) fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}

/// The name that means standard input.
const STDIN: &str = "-";

/// Reads a file, or standard input where it is called `-`, with a message that says what to do.
pub(crate) fn read(path: &Path) -> Result<String, CommandError> {
    if path.as_os_str() == STDIN {
        return read_stdin();
    }
    let shown = path.display();
    let error = |what: String| CommandError::usage(format!("cannot read {shown}: {what}"));
    let metadata = fs::metadata(path).map_err(|why| {
        let error = error(why.to_string());
        match nearby(path) {
            Some(name) => error.hint(format!("did you mean {name}?")),
            None => error,
        }
    })?;
    if metadata.is_dir() {
        return Err(error("it is a directory".to_owned()));
    }
    if metadata.len() > MAX_FILE {
        return Err(error(format!(
            "it has {} bytes, and {MAX_FILE} are the most",
            metadata.len()
        )));
    }
    let bytes = fs::read(path).map_err(|why| error(why.to_string()))?;
    utf8(bytes, error)
}

fn utf8(bytes: Vec<u8>, error: impl Fn(String) -> CommandError) -> Result<String, CommandError> {
    String::from_utf8(bytes).map_err(|why| {
        let place = why.utf8_error().valid_up_to();
        let wide = matches!(why.as_bytes(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
        error(format!("it is not UTF-8 text (byte {place})")).hint(if wide {
            "it looks like UTF-16; save it as UTF-8"
        } else {
            "save it as UTF-8; is it the right file?"
        })
    })
}

/// Standard input, which can be read once: a workflow or a profile, not both.
fn read_stdin() -> Result<String, CommandError> {
    static READ: AtomicBool = AtomicBool::new(false);
    let error = |what: String| CommandError::usage(format!("cannot read standard input: {what}"));
    if READ.swap(true, Ordering::Relaxed) {
        return Err(error("only one file can be `-`".to_owned()));
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin()
        .lock()
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes);
    read.map_err(|why| error(why.to_string()))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE) {
        return Err(error(format!("it has more than {MAX_FILE} bytes")));
    }
    utf8(bytes, error)
}

/// A file in the same directory whose name is close.
fn nearby(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let names: Vec<String> = fs::read_dir(directory)
        .ok()?
        .take(1000)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let near = names
        .iter()
        .map(|name| (strsim::jaro_winkler(wanted, name), name))
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    (near.0 > 0.85).then(|| {
        directory
            .join(near.1)
            .display()
            .to_string()
            .trim_start_matches("./")
            .to_owned()
    })
}

/// Reads the workflow, its profile and its sub-workflows.
pub(crate) fn inputs(
    file: &Path,
    options: &WorkflowOptions,
    on_failure: Option<OnFailure>,
    environment: &Environment,
) -> Result<Inputs, CommandError> {
    from_text(&name(file), read(file)?, options, on_failure, environment)
}

/// The same for a workflow that is not in a file.
pub(crate) fn from_text(
    workflow: &str,
    text: String,
    options: &WorkflowOptions,
    on_failure: Option<OnFailure>,
    environment: &Environment,
) -> Result<Inputs, CommandError> {
    let mut inputs = Inputs::new(workflow, text);
    if let Some(profile) = &options.profile {
        inputs = inputs.with_profile(name(profile), read(profile)?);
    }
    inputs.sets.clone_from(&options.sets);
    inputs.on_failure = on_failure;
    inputs.environment.clone_from(&environment.variables);
    read_sub_workflows(&mut inputs);
    Ok(inputs)
}

/// Until nothing is missing that can be read; what cannot be is said by the compiler, with its place.
fn read_sub_workflows(inputs: &mut Inputs) {
    loop {
        let mut found = false;
        for name in inputs.missing_files() {
            if let Ok(text) = read(Path::new(&name)) {
                found |= inputs.files.insert(name, text).is_none();
            }
        }
        if !found {
            return;
        }
    }
}

/// What a file is called in messages.
pub(crate) fn name(path: &Path) -> String {
    if path.as_os_str() == STDIN {
        "<stdin>".to_owned()
    } else {
        path.display().to_string()
    }
}

/// Compiles; says on stderr what is wrong, and fails where nothing can be run.
pub(crate) fn plan(inputs: &Inputs, output: &Output) -> Result<Plan, CommandError> {
    let (plan, diagnostics) = compile(inputs);
    say(&diagnostics, output);
    match plan {
        Some(plan) if !diagnostics.has_errors() => {
            unused_sets(inputs, &plan, output);
            Ok(plan)
        }
        _ => Err(CommandError {
            code: USAGE,
            message: String::new(),
            hints: Vec::new(),
        }),
    }
}

/// A `--set` whose name stands in no file is most often a typo. A script may still read it: commands get all variables.
fn unused_sets(inputs: &Inputs, plan: &Plan, output: &Output) {
    for (name, _) in &inputs.sets {
        if inputs
            .files
            .values()
            .any(|text| text.contains(name.as_str()))
        {
            continue;
        }
        let near = plan
            .settings
            .variables
            .iter()
            .map(|(known, _)| known.value.as_str())
            .filter(|known| inputs.sets.iter().all(|(set, _)| set != known))
            .map(|known| (strsim::jaro_winkler(name, known), known))
            .filter(|(likeness, _)| *likeness > 0.8)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map_or_else(String::new, |(_, known)| {
                format!("; did you mean `{known}`?")
            });
        output.warn(&format!(
            "--set {name}: the workflow names no such variable{near}"
        ));
    }
}

/// Diagnostics as excerpts on stderr.
pub(crate) fn say(diagnostics: &Diagnostics, output: &Output) {
    let text = to_human(
        diagnostics,
        HumanOptions {
            color: output.talk_color,
            ..HumanOptions::default()
        },
    );
    if !text.is_empty() {
        output.talk_rendered(text.trim_end());
    }
}

/// Makes the plan of a stored run again.
pub(crate) fn compile_again(inputs: &serde_json::Value) -> Result<Plan, String> {
    let inputs: Inputs =
        serde_json::from_value(inputs.clone()).map_err(|error| error.to_string())?;
    let (plan, diagnostics) = compile(&inputs);
    match plan {
        Some(plan) if !diagnostics.has_errors() => Ok(plan),
        _ => Err(canary_orchestrator::diagnostic::to_lines(&diagnostics)),
    }
}
