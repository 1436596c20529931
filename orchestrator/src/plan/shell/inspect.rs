//! What a command does with its words: programs that run a word as code make a reference in it unsafe.

use std::collections::BTreeSet;
use std::ops::Range;

/// Stands for a reference in [`Word::text`].
pub(super) const REFERENCE: char = '\u{1}';
/// Stands for any other expansion.
pub(super) const EXPANSION: char = '\u{2}';

pub(super) const AS_ARGUMENT: &str =
    "hand the value over as an argument: `sh -c 'echo \"$1\"' sh {{x}}`";

/// A word of a command.
#[derive(Debug, Default)]
pub(super) struct Word {
    /// Without quotes; references and expansions are marked.
    pub(super) text: String,
    /// Some of it is quoted, so it is no keyword.
    pub(super) quoted: bool,
    /// References in it, as indices of places.
    pub(super) places: Range<usize>,
}

/// A command of a pipeline.
#[derive(Debug, Default)]
pub(super) struct Stage {
    pub(super) words: Vec<Word>,
    /// References in its here-strings.
    pub(super) input: Vec<usize>,
}

/// A reference that must not stand where it does.
pub(super) struct Problem {
    pub(super) place: usize,
    pub(super) why: String,
    pub(super) help: String,
}

impl Word {
    /// A part of the script that is no plain word: a group, a subshell, a process substitution.
    pub(super) fn opaque(places: Range<usize>) -> Self {
        Self {
            text: EXPANSION.to_string(),
            quoted: true,
            places,
        }
    }

    pub(super) fn is_number(&self) -> bool {
        !self.quoted && !self.text.is_empty() && self.text.bytes().all(|b| b.is_ascii_digit())
    }

    /// `NAME=...`, `NAME+=...`, `NAME[...]=...`
    pub(super) fn is_assignment(&self) -> bool {
        self.assigned().is_some()
    }

    fn assigned(&self) -> Option<&str> {
        let (left, _) = self.text.split_once('=')?;
        let left = left.strip_suffix('+').unwrap_or(left);
        let name = left.split_once('[').map_or(left, |(name, _)| name);
        is_name(name).then_some(name)
    }

    /// The last part of a path.
    fn program(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }

    fn has_reference(&self) -> bool {
        !self.places.is_empty()
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

const SHELLS: &[&str] = &[
    "sh", "bash", "dash", "zsh", "ksh", "ash", "mksh", "fish", "busybox",
];
/// Programs that run another one, named by their arguments.
const WRAPPERS: &[&str] = &[
    "sudo", "doas", "env", "exec", "command", "builtin", "nohup", "nice", "timeout", "xargs",
    "setsid", "stdbuf", "ionice",
];
/// Everything that follows is evaluated.
const EVALUATE: &[&str] = &[
    "eval",
    "trap",
    "alias",
    "let",
    "watch",
    "parallel",
    "read",
    "unset",
    "getopts",
    "mapfile",
    "readarray",
];
const DECLARE: &[&str] = &["export", "readonly", "local", "declare", "typeset"];

/// Programs that take code as the value of an option.
const CODE_OPTIONS: &[(&[&str], &[&str], &str)] = &[
    (
        &["su", "runuser", "script", "flock"],
        &["-c", "--command"],
        AS_ARGUMENT,
    ),
    (
        &["python", "python2", "python3"],
        &["-c"],
        "hand the value over as an argument: `python3 -c 'import sys; print(sys.argv[1])' {{x}}`",
    ),
    (
        &["perl", "ruby"],
        &["-e", "-E", "-ne", "-pe", "-lne", "-lpe"],
        "hand the value over in the environment: `V={{x}} perl -e 'print $ENV{V}'`",
    ),
    (
        &["node", "nodejs", "deno", "bun"],
        &["-e", "-p", "--eval", "--print"],
        "hand the value over in the environment: `V={{x}} node -e 'console.log(process.env.V)'`",
    ),
    (
        &["php"],
        &["-r"],
        "hand the value over in the environment: `V={{x}} php -r 'echo getenv(\"V\");'`",
    ),
    (
        &["lua"],
        &["-e"],
        "hand the value over in the environment: `V={{x}} lua -e 'print(os.getenv(\"V\"))'`",
    ),
    (
        &["psql"],
        &["-c", "--command"],
        "hand the value over as a variable: `psql -v v={{x}}`, and `:'v'` in a file or here-document",
    ),
    (
        &["mysql", "mariadb"],
        &["-e", "--execute"],
        "keep values out of SQL text",
    ),
    (&["sed"], &["-e", "--expression"], SED),
];
const SED: &str = "sed can run commands; use a tool that takes values as arguments (kustomize, yq with strenv, envsubst)";

/// Programs whose first argument that is no option is code: name, options with a value, options that replace the code, help.
const CODE_ARGUMENTS: &[(&str, &[&str], &[&str], &str)] = &[
    (
        "awk",
        &["-v", "-F"],
        &["-f"],
        "hand the value over: `awk -v v={{x}} '...'` with `v` in the program",
    ),
    (
        "gawk",
        &["-v", "-F"],
        &["-f"],
        "hand the value over: `gawk -v v={{x}} '...'` with `v` in the program",
    ),
    (
        "mawk",
        &["-v", "-F"],
        &["-f"],
        "hand the value over: `mawk -v v={{x}} '...'` with `v` in the program",
    ),
    ("sed", &["-l"], &["-e", "-f", "--expression", "--file"], SED),
    (
        "jq",
        &["--indent", "-L"],
        &["-f", "--from-file"],
        "hand the value over: `jq --arg v {{x}} '...'` with `$v` in the program",
    ),
    (
        "yq",
        &[],
        &["--from-file"],
        "hand the value over: `V={{x}} yq '...'` with `strenv(V)` in the expression",
    ),
];

/// Names that a command sets, and whether it reads a file of commands.
pub(super) fn assignments(
    stage: &Stage,
    assigned: &mut BTreeSet<String>,
    sources_others: &mut bool,
) {
    let mut names = |name: &str| {
        if is_name(name) {
            assigned.insert(name.to_owned());
        }
    };
    for word in stage.words.iter().map_while(Word::assigned) {
        names(word);
    }
    let Some(at) = command(&stage.words) else {
        return;
    };
    let arguments = &stage.words[at + 1..];
    match stage.words[at].program() {
        "." | "source" | "eval" => *sources_others = true,
        "read" | "mapfile" | "readarray" | "getopts" => {
            for word in arguments {
                names(&word.text);
            }
        }
        // `export X` without a value uses a variable that is set elsewhere.
        declare if DECLARE.contains(&declare) => {
            arguments.iter().filter_map(Word::assigned).for_each(names);
        }
        "printf" => {
            if let [flag, name, ..] = arguments
                && flag.text == "-v"
            {
                names(&name.text);
            }
        }
        _ => {}
    }
}

/// The word that names the program, behind assignments, `sudo`, `env` and the like.
fn command(words: &[Word]) -> Option<usize> {
    let mut at = 0;
    let mut wrapped = false;
    loop {
        let word = words.get(at)?;
        let option = wrapped
            && (word.text.starts_with('-')
                || word.text.starts_with(|c: char| c.is_ascii_digit())
                || word.text.starts_with("{}"));
        if word.is_assignment() || option {
            at += 1;
        } else if WRAPPERS.contains(&word.program()) {
            wrapped = true;
            at += 1;
        } else {
            return Some(at);
        }
    }
}

/// A command that runs what it reads as commands: a shell without a script, or ssh without a command.
pub(super) fn runs_its_input(stage: &Stage) -> Option<String> {
    let at = command(&stage.words)?;
    let program = stage.words[at].program();
    let positional = |with_value: &str| {
        let mut count = 0;
        let mut skip = false;
        for word in &stage.words[at + 1..] {
            if skip {
                skip = false;
            } else if let Some(option) = word.text.strip_prefix('-') {
                skip = option.len() == 1 && with_value.contains(option);
            } else {
                count += 1;
            }
        }
        count
    };
    let arguments = &stage.words[at + 1..];
    let reads_input = if SHELLS.contains(&program) {
        let script = arguments.iter().any(|word| is_code_flag(&word.text));
        !script && (positional("") == 0 || arguments.iter().any(|word| word.text == "-s"))
    } else {
        match program {
            "ssh" => positional("BbcDEeFIiJLlmOopQRSWw") <= 1,
            "python" | "python3" | "perl" | "ruby" | "node" | "php" | "at" | "batch" => {
                positional("") == 0
                    && !arguments
                        .iter()
                        .any(|word| matches!(word.text.as_str(), "-c" | "-e" | "-m" | "-r"))
            }
            _ => false,
        }
    };
    reads_input.then(|| program.to_owned())
}

fn is_code_flag(text: &str) -> bool {
    text.strip_prefix('-')
        .is_some_and(|flags| flags.contains('c') && flags.bytes().all(|b| b.is_ascii_alphabetic()))
}

/// References in a pipeline that must not stand where they do.
pub(super) fn pipeline(stages: &[Stage]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (n, stage) in stages.iter().enumerate() {
        if stages[..n]
            .iter()
            .any(|s| s.words.iter().any(Word::has_reference))
            && let Some(reader) = runs_its_input(stage)
        {
            for word in stages[..n].iter().flat_map(|stage| &stage.words) {
                refuse(
                    &mut problems,
                    word,
                    &format!("`{reader}` would run the value as commands"),
                    AS_ARGUMENT,
                );
            }
        }
        if !stage.input.is_empty()
            && let Some(reader) = runs_its_input(stage)
        {
            problems.extend(stage.input.iter().map(|place| Problem {
                place: *place,
                why: format!("`{reader}` would run the value as commands"),
                help: AS_ARGUMENT.to_owned(),
            }));
        }
        if stage.words.iter().any(Word::has_reference) {
            self::stage(&stage.words, &mut problems);
        }
    }
    problems
}

fn refuse(problems: &mut Vec<Problem>, word: &Word, why: &str, help: &str) {
    problems.extend(word.places.clone().map(|place| Problem {
        place,
        why: why.to_owned(),
        help: help.to_owned(),
    }));
}

fn stage(words: &[Word], problems: &mut Vec<Problem>) {
    for word in words {
        let subscript = word.text.split_once('[').is_some_and(|(name, rest)| {
            is_name(name)
                && rest
                    .split(']')
                    .next()
                    .is_some_and(|s| s.contains(REFERENCE))
                && rest.contains('=')
        });
        if subscript {
            refuse(
                problems,
                word,
                "a shell evaluates a subscript as an arithmetic expression",
                "use a plain variable",
            );
        }
    }
    shells(words, problems);
    let Some(at) = command(words) else { return };
    if words[at].text.contains(REFERENCE) {
        refuse(
            problems,
            &words[at],
            "the value would choose the program that runs",
            "write the program out; to run a whole command from a variable on purpose, write `eval \"$name\"` with the variable of the shell",
        );
    }
    let mut starts = vec![at];
    starts.extend(
        words
            .iter()
            .enumerate()
            .skip(at)
            .filter(|(_, word)| word.text == "--")
            .map(|(n, _)| n + 1),
    );
    for start in starts {
        if let Some(first) = words.get(start) {
            program(first.program(), &words[start + 1..], problems);
        }
    }
}

/// `sh -c CODE`, anywhere in the command: `docker run image sh -c`, `find -exec sh -c`.
fn shells(words: &[Word], problems: &mut Vec<Problem>) {
    let Some(at) = words
        .iter()
        .position(|word| SHELLS.contains(&word.program()))
    else {
        return;
    };
    let mut code_follows = false;
    for word in &words[at + 1..] {
        if is_code_flag(&word.text) {
            code_follows = true;
        } else if code_follows && !word.text.starts_with('-') {
            let why = format!(
                "`{} -c` would run the value as commands",
                words[at].program()
            );
            refuse(problems, word, &why, AS_ARGUMENT);
            return;
        }
    }
}

fn program(name: &str, arguments: &[Word], problems: &mut Vec<Problem>) {
    if EVALUATE.contains(&name) {
        for word in arguments {
            refuse(
                problems,
                word,
                &format!("`{name}` evaluates its arguments"),
                "use the value as an argument of a program instead",
            );
        }
    }
    if name == "ssh" {
        let host = arguments
            .iter()
            .position(|word| !word.text.starts_with('-'))
            .unwrap_or(0);
        for word in arguments.iter().skip(host + 1) {
            refuse(
                problems,
                word,
                "the shell at the other end of ssh would run the value",
                "send it as input: `printf '%s' {{x}} | ssh host 'cat > file'`",
            );
        }
    }
    if DECLARE.contains(&name) {
        let number = arguments
            .iter()
            .any(|word| word.text.starts_with('-') && word.text.contains(['i', 'n']));
        for word in arguments {
            let value = word
                .assigned()
                .is_some_and(|name| !name.contains(REFERENCE));
            if !value || number {
                refuse(
                    problems,
                    word,
                    &format!("`{name}` would use the value as a name or a number"),
                    "write `NAME={{x}}`",
                );
            }
        }
    }
    let numeric = |word: &Word| {
        matches!(
            word.text.as_str(),
            "-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge" | "-v"
        )
    };
    if name == "[[" && arguments.iter().any(numeric) {
        for word in arguments {
            refuse(
                problems,
                word,
                "`[[` evaluates numbers as arithmetic expressions",
                "use `[ ... ]` for numbers",
            );
        }
    }
    if matches!(name, "printf" | "test" | "[") {
        for pair in arguments.windows(2).filter(|pair| pair[0].text == "-v") {
            refuse(
                problems,
                &pair[1],
                "the value would be used as the name of a variable",
                "write the name out",
            );
        }
    }
    for (_, options, help) in CODE_OPTIONS
        .iter()
        .filter(|(names, ..)| names.contains(&name))
    {
        let mut code_follows = false;
        for word in arguments {
            let glued = options.iter().any(|option| {
                option.starts_with("--")
                    && word
                        .text
                        .strip_prefix(option)
                        .is_some_and(|rest| rest.starts_with('='))
            });
            if code_follows || glued {
                refuse(
                    problems,
                    word,
                    &format!("`{name}` would run the value as code"),
                    help,
                );
            }
            code_follows = options.contains(&word.text.as_str());
        }
    }
    for (_, with_value, instead, help) in CODE_ARGUMENTS.iter().filter(|(known, ..)| *known == name)
    {
        code_argument(name, arguments, with_value, instead, help, problems);
    }
}

fn code_argument(
    name: &str,
    arguments: &[Word],
    with_value: &[&str],
    instead: &[&str],
    help: &str,
    problems: &mut Vec<Problem>,
) {
    let mut skip = 0;
    for word in arguments {
        let text = word.text.as_str();
        if skip > 0 {
            skip -= 1;
        } else if instead
            .iter()
            .any(|option| text == *option || text.starts_with(&format!("{option}=")))
        {
            return;
        } else if matches!(text, "--arg" | "--argjson" | "--slurpfile" | "--rawfile") {
            skip = 2;
        } else if with_value.contains(&text) {
            skip = 1;
        } else if text.starts_with('-') && text.len() > 1
            || name == "yq" && matches!(text, "e" | "ea" | "eval" | "eval-all")
        {
            // An option without a value.
        } else {
            return refuse(
                problems,
                word,
                &format!("`{name}` would read the value as a part of its program"),
                help,
            );
        }
    }
}
