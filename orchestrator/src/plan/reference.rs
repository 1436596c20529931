//! References in text: `{{name}}`, `{{outputs.build.tag}}`, `${inputs.x}`, `${X:-default}`.

use std::fmt;

use serde_json::Value;

/// What a reference names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Where to look.
    pub namespace: Namespace,
    /// Names and indices after the namespace; not empty. For [`Namespace::Outputs`] the first is the node's id in the
    /// plan, the second the output.
    pub path: Vec<Segment>,
    /// Used where there is no value, or an empty text, as in a shell's `${X:-default}`.
    pub default: Option<String>,
}

/// Where a reference is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    /// `inputs.*` and `variables.*`: variables, profile, `--set`.
    Inputs,
    /// `outputs.<node>.<name>`.
    Outputs,
    /// `secrets.*`: resolved by executors only.
    Secrets,
    /// `env.*`: the environment as it was when the run started.
    Env,
    /// `metadata.*` of the workflow.
    Metadata,
    /// `loop.*`: the iteration.
    Loop,
    /// As written, without a namespace. The compiler replaces all of them but `{{window}}` in a query.
    Name,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// `.name`
    Name(String),
    /// `[3]`
    Index(usize),
}

/// A reference that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceError {
    /// First byte in the text.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// What is wrong.
    pub message: String,
    /// What to write.
    pub help: String,
}

/// How plain `${X}` is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plain {
    /// It is a reference.
    Reference,
    /// It belongs to the shell.
    Shell,
}

impl Namespace {
    fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "inputs" | "variables" => Self::Inputs,
            "outputs" => Self::Outputs,
            "secrets" => Self::Secrets,
            "env" => Self::Env,
            "metadata" => Self::Metadata,
            "loop" => Self::Loop,
            _ => return None,
        })
    }

    /// The word before the first dot.
    pub fn as_str(self) -> Option<&'static str> {
        Some(match self {
            Self::Inputs => "inputs",
            Self::Outputs => "outputs",
            Self::Secrets => "secrets",
            Self::Env => "env",
            Self::Metadata => "metadata",
            Self::Loop => "loop",
            Self::Name => return None,
        })
    }
}

impl Reference {
    /// A reference of a namespace to one name.
    pub fn new(namespace: Namespace, name: &str) -> Self {
        Self {
            namespace,
            path: vec![Segment::Name(name.to_owned())],
            default: None,
        }
    }

    /// An output of a node.
    pub fn output(node: &str, name: &str) -> Self {
        Self {
            namespace: Namespace::Outputs,
            path: vec![
                Segment::Name(node.to_owned()),
                Segment::Name(name.to_owned()),
            ],
            default: None,
        }
    }

    /// The first name of the path.
    pub fn head(&self) -> &str {
        match self.path.first() {
            Some(Segment::Name(name)) => name,
            _ => "",
        }
    }

    /// The name at this place of the path.
    pub fn name(&self, at: usize) -> Option<&str> {
        match self.path.get(at) {
            Some(Segment::Name(name)) => Some(name),
            _ => None,
        }
    }

    /// Reads `a.b[0].c`, with the namespace if it starts with one.
    pub fn parse(text: &str) -> Option<Self> {
        let path = path(text)?;
        let namespace = match path.as_slice() {
            [Segment::Name(first), _, ..] => Namespace::from_word(first),
            _ => None,
        };
        Some(match namespace {
            Some(namespace) => Self {
                namespace,
                path: path[1..].to_vec(),
                default: None,
            },
            None => Self {
                namespace: Namespace::Name,
                path,
                default: None,
            },
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        if let Some(namespace) = self.namespace.as_str() {
            f.write_str(namespace)?;
            first = false;
        }
        for segment in &self.path {
            match segment {
                Segment::Name(name) if first => f.write_str(name)?,
                Segment::Name(name) => write!(f, ".{name}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
            first = false;
        }
        Ok(())
    }
}

/// The part of `value` at `path`; `None` if it is not there.
pub fn dig<'a>(value: &'a Value, path: &[Segment]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Name(name) => value.get(name),
        Segment::Index(index) => value.get(index),
    })
}

/// Deeper paths are refused.
const LONGEST_PATH: usize = 16;

fn path(text: &str) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut rest = text;
    loop {
        let length = rest
            .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')))
            .unwrap_or(rest.len());
        let (name, tail) = rest.split_at(length);
        let starts_well = |c: char| c.is_alphabetic() || c == '_' || !segments.is_empty();
        if !name.chars().next().is_some_and(starts_well) {
            return None;
        }
        segments.push(Segment::Name(name.to_owned()));
        rest = tail;
        while let Some(tail) = rest.strip_prefix('[') {
            let (index, tail) = tail.split_once(']')?;
            segments.push(Segment::Index(index.trim().parse().ok()?));
            rest = tail;
        }
        if segments.len() > LONGEST_PATH {
            return None;
        }
        match rest.strip_prefix('.') {
            Some(tail) => rest = tail,
            None => return rest.is_empty().then_some(segments),
        }
    }
}

/// Words that begin an action of a Go template (docker, kubectl, helm); such text is not ours.
const GO_WORDS: &[&str] = &[
    "range", "if", "else", "end", "with", "define", "template", "block", "break", "continue",
    "json", "printf", "println", "print", "len", "index", "slice", "join", "upper", "lower",
    "title", "toJson", "toYaml", "include", "not", "and", "or", "eq", "ne", "lt", "gt",
];

/// The reference that begins at byte `at` of `text`, and the byte after it. `None`: there is none, the text is literal.
pub(crate) fn at(
    text: &str,
    at: usize,
    plain: Plain,
) -> Option<Result<(Reference, usize), ReferenceError>> {
    let rest = &text[at..];
    if rest.starts_with("${{") {
        return braces(text, at, at + 1);
    }
    if rest.starts_with("{{") {
        return braces(text, at, at);
    }
    if rest.starts_with("${") {
        return dollar(text, at, plain);
    }
    None
}

fn braces(
    text: &str,
    at: usize,
    open: usize,
) -> Option<Result<(Reference, usize), ReferenceError>> {
    let inside = &text[open + 2..];
    let Some(length) = inside.find("}}") else {
        let end = (at + 24).min(text.len());
        return Some(Err(ReferenceError {
            start: at,
            end: text.floor_char_boundary(end),
            message: "`{{` begins a reference, and no `}}` follows".to_owned(),
            help: "close it with `}}`; for two literal braces write `\\{{`".to_owned(),
        }));
    };
    let body = inside[..length].trim();
    let end = open + 2 + length + 2;
    let first = body.chars().next()?;
    let word = body.split_whitespace().next().unwrap_or_default();
    let go =
        GO_WORDS.contains(&word) && (word.len() < body.len() || matches!(word, "end" | "else"));
    if !(first.is_alphanumeric() || first == '_') || go {
        return None;
    }
    let (name, default) = match body.split_once(":-") {
        Some((name, default)) => (name.trim_end(), Some(default.trim_start())),
        None => (body, None),
    };
    Some(match Reference::parse(name) {
        Some(mut reference) => {
            reference.default = default.map(str::to_owned);
            Ok((reference, end))
        }
        None => Err(ReferenceError {
            start: at,
            end,
            message: format!("`{}` is not a reference", short(&text[at..end])),
            help: "write a name, `a.b` or `a[0]`, for example `{{outputs.build.tag}}`; for two literal braces write `\\{{`"
                .to_owned(),
        }),
    })
}

fn dollar(
    text: &str,
    at: usize,
    plain: Plain,
) -> Option<Result<(Reference, usize), ReferenceError>> {
    let inside = &text[at + 2..];
    let name_length = inside
        .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '[' | ']')))
        .unwrap_or(inside.len());
    let name = &inside[..name_length];
    let dotted = name.contains('.') && Reference::parse(name.trim_end_matches('-')).is_some();
    if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
        return None;
    }
    if plain == Plain::Shell && !dotted {
        return None;
    }
    let closing = inside.find('}');
    let Some(length) = closing else {
        return Some(Err(ReferenceError {
            start: at,
            end: at + 2 + name_length,
            message: "`${` begins a reference, and no `}` follows".to_owned(),
            help: "close it with `}`; for a literal `${` write `\\${`".to_owned(),
        }));
    };
    let body = &inside[..length];
    let end = at + 2 + length + 1;
    let (name, default) = match body.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        // `${X-d}`; in a dotted name a hyphen is part of it.
        None if !dotted && body.contains('-') => {
            let (name, default) = body.split_once('-').unwrap_or((body, ""));
            (name, Some(default))
        }
        None => (body, None),
    };
    let nested = default.is_some_and(|text| text.contains("${") || text.contains("{{"));
    Some(match Reference::parse(name) {
        Some(mut reference) if !nested => {
            reference.default = default.map(str::to_owned);
            Ok((reference, end))
        }
        _ => Err(ReferenceError {
            start: at,
            end,
            message: format!("`{}` cannot be resolved here", short(&text[at..end])),
            help: "write `${X}`, `${X:-default}` or `${outputs.node.name}`; other forms of a shell work only in the `command` of a cli node; for a literal `${` write `\\${`"
                .to_owned(),
        }),
    })
}

fn short(text: &str) -> String {
    crate::diagnostic::quote(text).trim_matches('`').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_paths_and_namespaces() {
        for (text, namespace, display) in [
            ("{{GIT_SHA}}", Namespace::Name, "GIT_SHA"),
            ("{{ health.status }}", Namespace::Name, "health.status"),
            ("{{a.b.c}}", Namespace::Name, "a.b.c"),
            ("{{a[0].b}}", Namespace::Name, "a[0].b"),
            (
                "{{outputs.build-image.tag}}",
                Namespace::Outputs,
                "outputs.build-image.tag",
            ),
            (
                "${outputs.build-image.tag}",
                Namespace::Outputs,
                "outputs.build-image.tag",
            ),
            ("${inputs.x}", Namespace::Inputs, "inputs.x"),
            ("${variables.x}", Namespace::Inputs, "inputs.x"),
            ("${{ secrets.TOKEN }}", Namespace::Secrets, "secrets.TOKEN"),
            ("${env.HOME}", Namespace::Env, "env.HOME"),
            ("{{inputs}}", Namespace::Name, "inputs"),
        ] {
            let (reference, end) = at(text, 0, Plain::Shell).unwrap().unwrap();
            assert_eq!(
                (reference.namespace, reference.to_string().as_str(), end),
                (namespace, display, text.len())
            );
        }
    }

    #[test]
    fn plain_names_belong_to_the_shell_or_to_us() {
        for text in ["${X}", "${X:-d}", "${X-d}"] {
            assert_eq!(at(text, 0, Plain::Shell), None);
            let (reference, _) = at(text, 0, Plain::Reference).unwrap().unwrap();
            assert_eq!(reference.head(), "X");
            assert_eq!(
                reference.default.as_deref(),
                (text.len() > 4).then_some("d")
            );
        }
        let (reference, _) = at("${inputs.x:-a b}", 0, Plain::Shell).unwrap().unwrap();
        assert_eq!(reference.default.as_deref(), Some("a b"));
    }

    #[test]
    fn other_languages_are_left_alone() {
        for text in [
            "{{.State.Status}}",
            "{{ range .Items }}",
            "{{end}}",
            "{{json .}}",
            "{{}}",
            "{{ $x }}",
            "{{- .x -}}",
            "${#X}",
            "${}",
            "$X",
            "{x}",
        ] {
            assert_eq!(at(text, 0, Plain::Reference), None, "{text}");
        }
        assert_eq!(at("${X%.*}", 0, Plain::Shell), None);
        assert_eq!(at("${a[0]}", 0, Plain::Shell), None, "an array of bash");
    }

    #[test]
    fn what_is_no_reference_says_what_to_write() {
        for text in [
            "{{a b}}",
            "{{a | upper}}",
            "{{a",
            "{{a[x]}}",
            "{{a..b}}",
            "${X%.*}",
            "${X:-${Y}}",
            "${X",
        ] {
            let error = at(text, 0, Plain::Reference).unwrap().unwrap_err();
            assert!(
                !error.message.is_empty() && error.help.contains("write `"),
                "{text}: {error:?}"
            );
            assert!(error.end <= text.len());
        }
    }
}
