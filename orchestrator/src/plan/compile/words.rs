//! Small readings of words and values.

use crate::osop::tree::{Data, Value};

/// The value of a variable: itself, or the `default` of a description with `type`, `default`, ...
pub(super) fn variable(value: &Value) -> Option<serde_json::Value> {
    match &value.data {
        Data::Null => None,
        Data::Map(map) => {
            let describes = map.keys().all(|key| {
                matches!(
                    key,
                    "type" | "default" | "description" | "required" | "enum" | "secret"
                )
            });
            if describes && !map.is_empty() {
                map.get("default")
                    .filter(|value| !value.is_null())
                    .map(Value::to_json)
            } else {
                Some(value.to_json())
            }
        }
        _ => Some(value.to_json()),
    }
}

/// How a variable is written where that is not how its value is: `1.10`, `0755`, `1e3`, `True`. `text` is the file.
pub(super) fn written(value: &Value, text: &str) -> Option<String> {
    let value = match &value.data {
        Data::Map(map) => map.get("default")?,
        _ => value,
    };
    if !matches!(value.data, Data::Number(_) | Data::Bool(_)) {
        return None;
    }
    let written = match &value.data {
        Data::Number(number) => number.raw.as_str(),
        _ => text.get(value.span.start..value.span.end)?,
    };
    let as_json = value.to_json().to_string();
    (written != as_json).then(|| written.to_owned())
}

/// Whether a variable of this name most likely holds a secret.
pub(in crate::plan) fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let ends = [
        "token",
        "secret",
        "password",
        "passwd",
        "api_key",
        "apikey",
        "private_key",
        "access_key",
    ];
    ends.iter().any(|end| name.ends_with(end))
}

/// Names that a shell sets or that canary gives: never missing.
pub(super) fn is_shell_variable(name: &str) -> bool {
    const KNOWN: &[&str] = &[
        "PATH",
        "HOME",
        "PWD",
        "OLDPWD",
        "IFS",
        "USER",
        "LOGNAME",
        "SHELL",
        "TERM",
        "HOSTNAME",
        "TMPDIR",
        "LANG",
        "PPID",
        "RANDOM",
        "SECONDS",
        "LINENO",
        "UID",
        "EUID",
        "OPTARG",
        "OPTIND",
        "REPLY",
        "PIPESTATUS",
        "FUNCNAME",
        "OSTYPE",
        "MACHTYPE",
        "HOSTTYPE",
        "EPOCHSECONDS",
        "EPOCHREALTIME",
        "SHLVL",
        "PS1",
        "PS4",
        "OSOP_OUTPUT",
        "_",
    ];
    KNOWN.contains(&name)
        || name.starts_with("BASH")
        || name.starts_with("LC_")
        || name.starts_with("CANARY_")
}

/// Variables that change how programs are found or loaded: an output of that name is never exported.
pub(super) fn is_dangerous_export(name: &str) -> bool {
    is_shell_variable(name)
        || name.starts_with("LD_")
        || name.starts_with("DYLD_")
        || matches!(name, "ENV" | "CDPATH" | "GLOBIGNORE")
}

/// A name that a shell can have as a variable: `-` and `.` become `_`.
pub(super) fn shell_name(name: &str) -> Option<String> {
    let name: String = name
        .chars()
        .map(|c| if matches!(c, '-' | '.' | '/') { '_' } else { c })
        .collect();
    let fits = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (fits && !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty()).then_some(name)
}

/// A list of things for a sentence: `a`, `b` and 3 more.
pub(super) fn list(items: &[String]) -> String {
    const SHOWN: usize = 6;
    let quoted: Vec<String> = items
        .iter()
        .take(SHOWN)
        .map(|item| crate::diagnostic::quote(item))
        .collect();
    match items.len() {
        0..=SHOWN => quoted.join(", "),
        more => format!("{} and {} more", quoted.join(", "), more - SHOWN),
    }
}
