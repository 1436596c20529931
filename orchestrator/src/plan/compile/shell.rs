//! Commands of a shell: `command` of any node.

use super::Compiler;
use super::names::{At, Upstream, upstream};
use super::nodes::Made;
use super::read::{Cx, inside};
use super::words;
use crate::diagnostic::{Spanned, codes};
use crate::node::spec::{ShellWork, Work};
use crate::plan::template::{Namespace, Part, Reference, Script, Template};

impl Compiler<'_> {
    pub(super) fn shell(&mut self, cx: Cx<'_>) -> Option<Made> {
        let command = self.need(cx, &["command"], "`command: ./deploy.sh`");
        let bash = self.bash(cx);
        let process = self.process(cx);
        let command = command?;
        let script = self.script(cx, command, bash)?;
        self.rollout_patch(cx, command);
        let work = Work::Shell(ShellWork {
            script,
            bash,
            process,
        });
        Some(Made {
            work,
            idempotent: false,
            network: false,
        })
    }

    fn bash(&mut self, cx: Cx<'_>) -> bool {
        let Some(shell) = self.text(cx, "shell") else {
            return false;
        };
        match shell.value.rsplit('/').next().unwrap_or_default() {
            "bash" => true,
            "sh" | "dash" => false,
            other => {
                let message = format!(
                    "{} asks for the shell {}; canary runs `sh` or `bash`",
                    cx.what(),
                    crate::diagnostic::quote(other)
                );
                self.d
                    .error(codes::CANNOT_EXECUTE, shell.span, message)
                    .help("write `shell: bash`, or start the other shell in the command");
                false
            }
        }
    }

    /// A script with its references resolved, and with the variables that it uses itself.
    pub(super) fn script(&mut self, cx: Cx<'_>, text: Spanned<&str>, bash: bool) -> Option<Script> {
        let file = self.d.file(text.span.origin);
        let mut script = match Script::parse(text.value, bash) {
            Ok(script) => script,
            Err(errors) => {
                for error in errors {
                    let span = inside(&file, &text, error.start, error.end);
                    let code = if error.message.starts_with("unsafe") {
                        codes::UNSAFE_INTERPOLATION
                    } else {
                        codes::INVALID_REFERENCE
                    };
                    self.d.error(code, span, error.message).help(error.help);
                }
                return None;
            }
        };
        script = script.replaced(|reference| {
            let start = text.value.find(reference.head()).unwrap_or(0);
            let end = (start + reference.head().len()).min(text.value.len());
            self.resolve(cx.place(At::Inside(text, start, end)), reference)
        });
        for used in script.uses().to_vec() {
            if words::is_shell_variable(&used.name)
                || script.may_set(&used.name)
                || sets_variable(cx, &used.name)
            {
                continue;
            }
            let mut reference = Reference::new(Namespace::Name, &used.name);
            if used.has_default {
                // Without a value the shell's own default holds: the variable is left unset.
                reference.default = Some(String::new());
            }
            let at = At::Inside(text, used.start, used.end);
            let parts = self.resolve(cx.place(at), &reference);
            if !matches!(parts.as_slice(), [Part::Literal(text)] if text.is_empty())
                && !parts.is_empty()
            {
                let template = without_default(&Template::from_parts(used.name.clone(), parts));
                script.export(&used.name, template, !used.has_default);
            }
        }
        self.export_known(cx, &mut script);
        Some(script)
    }

    /// Declared inputs, outputs of the nodes right before, and variables, for what the command starts.
    fn export_known(&mut self, cx: Cx<'_>, script: &mut Script) {
        let mut names: Vec<&str> = cx
            .node
            .inputs
            .iter()
            .map(|port| port.name.value.as_str())
            .collect();
        for arrow in cx.frame.incoming(cx.local).filter(|arrow| !arrow.back) {
            names.extend(
                cx.frame
                    .node(arrow.from)
                    .outputs
                    .iter()
                    .map(|port| port.name.value.as_str()),
            );
        }
        for name in names {
            let Some(variable) =
                words::shell_name(name).filter(|name| !words::is_dangerous_export(name))
            else {
                continue;
            };
            if let Upstream::One(node) = upstream(cx.frame, cx.local, name) {
                let reference = Reference::output(&cx.frame.plan_id(node), name);
                script.export(&variable, Template::reference(reference), false);
            }
        }
        for (name, template) in &cx.frame.inputs {
            if let Some(variable) =
                words::shell_name(name).filter(|name| !words::is_dangerous_export(name))
            {
                script.export(&variable, template.clone(), false);
            }
        }
        for name in self.values.variables.keys() {
            if let Some(variable) =
                words::shell_name(name).filter(|name| !words::is_dangerous_export(name))
            {
                script.export(
                    &variable,
                    Template::reference(Reference::new(Namespace::Inputs, name)),
                    false,
                );
            }
        }
    }

    /// A merge patch of a Rollout's steps without pauses: its controller promotes unjudged (ran: within a second).
    fn rollout_patch(&mut self, cx: Cx<'_>, command: Spanned<&str>) {
        let text = command.value;
        let patches = text.contains("patch rollout") || text.contains("patch rollouts");
        if patches
            && text.contains("\"steps\"")
            && text.contains("setWeight")
            && !text.contains("pause")
        {
            let file = self.d.file(command.span.origin);
            let at = text.find("setWeight").unwrap_or(0);
            let message = format!(
                "the patch in {} replaces all steps of the Rollout and drops its pauses: its controller then promotes unjudged",
                cx.what()
            );
            self.d
                .warning(
                    codes::UNJUDGED_ROLLOUT,
                    inside(&file, &command, at, at + "setWeight".len()),
                    message,
                )
                .help(
                    "let canary move the traffic itself; add to the profile:\nnodes:\n  "
                        .to_owned()
                        + &cx.frame.plan_id(cx.local)
                        + ": {tool: canary, action: set-weight, weight: 10}",
                )
                .help("or add a pause: `{\"setWeight\":10},{\"pause\":{}}`");
        }
    }

    /// A command made by canary out of words, each handed over as one argument.
    pub(super) fn made_script(&mut self, cx: Cx<'_>, text: &str) -> Option<Script> {
        match Script::parse(text, false) {
            Ok(script) => Some(script.replaced(|reference| {
                let span = cx.runtime_place(reference.head());
                self.resolve(cx.place(At::Span(span)), reference)
            })),
            Err(errors) => {
                for error in errors {
                    self.d
                        .error(codes::INVALID_REFERENCE, cx.span(), error.message)
                        .help(error.help);
                }
                None
            }
        }
    }
}

/// `env` of the workflow or the node sets it.
fn sets_variable(cx: Cx<'_>, name: &str) -> bool {
    let in_map = |key: &str| {
        cx.runtime
            .get(key)
            .and_then(|value| value.as_map())
            .is_some_and(|map| map.get(name).is_some())
    };
    cx.frame
        .workflow
        .env
        .iter()
        .any(|(known, _)| known.value == name)
        || in_map("env")
        || in_map("environment")
        || cx.node.security.as_ref().is_some_and(|security| {
            security
                .secrets
                .iter()
                .chain(&security.credentials)
                .chain(&security.secret_ref)
                .any(|secret| secret.value == name)
        })
}

fn without_default(template: &Template) -> Template {
    template.replaced(|reference| {
        vec![Part::Reference(Reference {
            default: None,
            ..reference.clone()
        })]
    })
}

/// A text as one word of a shell; its references stay references.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(c, '_' | '-' | '.' | '/' | ':' | '=' | '@' | '%' | '+' | ',')
    };
    let Ok(template) = Template::parse(text) else {
        return quoted(text);
    };
    let mut out = String::new();
    for part in template.parts() {
        match part {
            Part::Literal(text) if text.chars().all(plain) => out.push_str(text),
            Part::Literal(text) => out.push_str(&quoted(text)),
            Part::Reference(reference) => {
                let default = reference
                    .default
                    .as_ref()
                    .map(|text| format!(":-{text}"))
                    .unwrap_or_default();
                let piece = format!("{{{{{reference}{default}}}}}");
                out.push_str(&piece);
            }
        }
    }
    if out.is_empty() { "''".to_owned() } else { out }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''").replace("{{", "\\{{"))
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn words_are_quoted_and_references_stay() {
        for (text, expected) in [
            ("app:1.0", "app:1.0"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("app:{{tag}} x", "app:{{tag}}' x'"),
            ("${X:-d}", "{{X:-d}}"),
            ("", "''"),
            ("$(rm)", "'$(rm)'"),
        ] {
            assert_eq!(word(text), expected);
        }
    }
}
