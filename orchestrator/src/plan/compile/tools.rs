//! Programs of infrastructure by their command lines: kubectl, kustomize, helm, terraform, argocd, ansible, gh, ...

use std::collections::BTreeMap;

use super::Compiler;
use super::nodes::{Made, profile_lines};
use super::read::Cx;
use crate::diagnostic::{Spanned, codes, did_you_mean, quote};
use crate::node::spec::{ProcessSpec, ProgramWork, Work};
use crate::osop::tree::Value;
use crate::plan::template::Template;

const TOOLS: &[&str] = &[
    "kubectl",
    "kustomize",
    "helm",
    "terraform",
    "tofu",
    "argocd",
    "ansible",
    "ansible-playbook",
    "canary",
    "gh",
    "glab",
    "jenkins",
];

/// A command line that is being put together.
pub(super) struct Argv<'f> {
    cx: Cx<'f>,
    words: Vec<Template>,
    /// Something could not be read; it was told.
    failed: bool,
}

impl<'f> Argv<'f> {
    pub(super) fn new(cx: Cx<'f>, program: &str) -> Self {
        Self {
            cx,
            words: vec![Template::literal(program)],
            failed: false,
        }
    }

    pub(super) fn plain(&mut self, words: &[&str]) -> &mut Self {
        self.words
            .extend(words.iter().map(|word| Template::literal(word)));
        self
    }

    pub(super) fn text(&mut self, compiler: &mut Compiler<'_>, text: Spanned<&str>) -> &mut Self {
        if text.value.contains("$(") {
            compiler
                .d
                .error(
                    codes::INVALID_REFERENCE,
                    text.span,
                    format!(
                        "{} hands this to a program, not to a shell: `$(...)` is not run",
                        self.cx.what()
                    ),
                )
                .help("let a `cli` node before it give the value as an output");
            self.failed = true;
        }
        match compiler.template(self.cx, text) {
            Some(template) => self.words.push(template),
            None => self.failed = true,
        }
        self
    }

    /// `flag value`, if the key is there.
    pub(super) fn option(
        &mut self,
        compiler: &mut Compiler<'_>,
        flag: &str,
        key: &str,
    ) -> &mut Self {
        if let Some(text) = compiler.text(self.cx, key) {
            self.plain(&[flag]);
            self.text(compiler, text);
        }
        self
    }

    /// The value, if the key is there.
    pub(super) fn value(&mut self, compiler: &mut Compiler<'_>, key: &str) -> &mut Self {
        if let Some(text) = compiler.text(self.cx, key) {
            self.text(compiler, text);
        }
        self
    }

    /// `flag` before each of a list.
    pub(super) fn each(&mut self, compiler: &mut Compiler<'_>, flag: &str, key: &str) -> &mut Self {
        for text in compiler.texts(self.cx, key) {
            if !flag.is_empty() {
                self.plain(&[flag]);
            }
            self.text(compiler, text);
        }
        self
    }

    /// `flag name=value` for each of a mapping.
    pub(super) fn pairs(
        &mut self,
        compiler: &mut Compiler<'_>,
        flag: &str,
        key: &str,
        glue: bool,
    ) -> &mut Self {
        for (name, value) in compiler.templates(self.cx, key) {
            let pair = [Template::literal(&format!("{name}=")), value];
            if glue {
                let flag = Template::literal(&format!("{flag}="));
                self.words
                    .push(Template::concat([flag].into_iter().chain(pair)));
            } else {
                self.plain(&[flag]);
                self.words.push(Template::concat(pair));
            }
        }
        self
    }

    /// `args` and `flags`: a list word by word, a text cut at its spaces.
    pub(super) fn extra(&mut self, compiler: &mut Compiler<'_>) -> &mut Self {
        for key in ["args", "flags"] {
            match self.cx.runtime.get(key) {
                Some(value) if value.as_text().is_some() => {
                    for word in value.as_text().unwrap_or_default().split_whitespace() {
                        self.text(compiler, Spanned::new(word, value.span));
                    }
                }
                Some(_) => {
                    self.each(compiler, "", key);
                }
                None => {}
            }
        }
        self
    }

    pub(super) fn work(
        self,
        process: ProcessSpec,
        facts: BTreeMap<String, Template>,
    ) -> Option<Work> {
        (!self.failed).then(|| {
            Work::Program(ProgramWork {
                argv: self.words,
                facts,
                process,
            })
        })
    }
}

impl Compiler<'_> {
    pub(super) fn tool(&mut self, cx: Cx<'_>) -> Option<Made> {
        let tool = self.need(cx, &["tool"], "`tool: kubectl`")?;
        if cx.runtime.has("command") {
            return self.shell(cx);
        }
        let made = match tool.value {
            "kubectl" | "kubernetes" | "k8s" => self.kubectl(cx),
            "kustomize" => self.kustomize(cx),
            "helm" => self.helm(cx),
            "terraform" | "tofu" => self.terraform(cx, tool.value),
            "argocd" => self.argocd(cx),
            "ansible" | "ansible-playbook" => self.ansible(cx, tool.value),
            other => {
                let message = format!(
                    "{} uses the tool {}, and canary does not know its command line",
                    cx.what(),
                    quote(other)
                );
                self.d
                    .error(codes::CANNOT_EXECUTE, tool.span, message)
                    .help_opt(did_you_mean(other, TOOLS.iter().copied()))
                    .help(format!(
                        "give it a `command`: `command: {} ...`",
                        other.split_whitespace().next().unwrap_or("tool")
                    ));
                return None;
            }
        };
        made.map(|(work, idempotent, network)| Made {
            work,
            idempotent,
            network,
        })
    }

    fn no_action(
        &mut self,
        cx: Cx<'_>,
        tool: &str,
        action: Spanned<&str>,
        known: &[&str],
    ) -> Option<(Work, bool, bool)> {
        let message = format!(
            "{} asks {tool} for {}, and canary does not know how to put that together",
            cx.what(),
            quote(action.value)
        );
        self.d
            .error(codes::CANNOT_EXECUTE, action.span, message)
            .help_opt(did_you_mean(action.value, known.iter().copied()))
            .help(format!(
                "known are {}; or write a `command`",
                known.join(", ")
            ))
            .help(profile_lines(&cx));
        None
    }

    fn kubectl(&mut self, cx: Cx<'_>) -> Option<(Work, bool, bool)> {
        const KNOWN: &[&str] = &[
            "apply",
            "delete",
            "rollout status",
            "rollout undo",
            "rollout restart",
            "rollout pause",
            "rollout resume",
            "set image",
            "scale",
            "wait",
            "get",
            "describe",
            "diff",
            "patch",
            "label",
            "annotate",
        ];
        let action = self.need(cx, &["action"], "`action: apply`")?;
        if !KNOWN.contains(&action.value) {
            return self.no_action(cx, "kubectl", action, KNOWN);
        }
        let mut argv = Argv::new(cx, "kubectl");
        argv.plain(&action.value.split_whitespace().collect::<Vec<_>>());
        let manifests = self.text(cx, "manifests");
        match manifests {
            // `-k overlays/production`, `-f a.yaml -f b.yaml`: as on a command line.
            Some(text) if text.value.starts_with('-') => {
                for word in text.value.split_whitespace() {
                    argv.text(self, Spanned::new(word, text.span));
                }
            }
            Some(_) | None if cx.runtime.get("manifests").is_some() => {
                argv.each(self, "-f", "manifests");
            }
            _ => {}
        }
        argv.value(self, "resource");
        if action.value == "set image" {
            argv.value(self, "image");
        }
        let needs_resource = !matches!(action.value, "apply" | "delete" | "diff");
        if needs_resource && !cx.runtime.has("resource") && manifests.is_none() {
            self.need(cx, &["resource"], "`resource: deployment/app`")?;
        }
        if !needs_resource
            && manifests.is_none()
            && !cx.runtime.has("resource")
            && !cx.runtime.has("args")
            && !cx.runtime.has("overlay")
        {
            self.need(
                cx,
                &["manifests"],
                "`manifests: k8s/`, or `manifests: -k overlays/production`",
            )?;
        }
        argv.option(self, "-k", "overlay");
        argv.option(self, "--namespace", "namespace")
            .option(self, "--context", "context")
            .option(self, "--kubeconfig", "kubeconfig");
        argv.extra(self);
        let idempotent = !matches!(
            action.value,
            "rollout undo" | "rollout restart" | "patch" | "delete"
        );
        Some((
            argv.work(self.process(cx), BTreeMap::new())?,
            idempotent,
            true,
        ))
    }

    fn kustomize(&mut self, cx: Cx<'_>) -> Option<(Work, bool, bool)> {
        const KNOWN: &[&str] = &[
            "edit set image",
            "edit set namespace",
            "edit set replicas",
            "build",
        ];
        let action = self.need(cx, &["action"], "`action: edit set image`")?;
        if !KNOWN.contains(&action.value) {
            return self.no_action(cx, "kustomize", action, KNOWN);
        }
        let mut process = self.process(cx);
        let mut argv = Argv::new(cx, "kustomize");
        argv.plain(&action.value.split_whitespace().collect::<Vec<_>>());
        match action.value {
            "edit set image" => {
                self.need(cx, &["image"], "`image: app={{image_url}}`")?;
                argv.each(self, "", "image");
            }
            "edit set namespace" => {
                self.need(cx, &["namespace"], "`namespace: production`")?;
                argv.value(self, "namespace");
            }
            _ => {}
        }
        if action.value == "build" {
            argv.value(self, "overlay");
        } else if let Some(overlay) = self.text(cx, "overlay") {
            // `kustomize edit` changes the kustomization of the directory that it runs in.
            process.working_directory = self.template(cx, overlay);
        }
        argv.extra(self);
        Some((argv.work(process, BTreeMap::new())?, true, false))
    }

    fn helm(&mut self, cx: Cx<'_>) -> Option<(Work, bool, bool)> {
        const KNOWN: &[&str] = &[
            "upgrade",
            "install",
            "rollback",
            "uninstall",
            "status",
            "test",
            "template",
            "lint",
        ];
        let action = self.need(cx, &["action"], "`action: upgrade`")?;
        if !KNOWN.contains(&action.value) {
            return self.no_action(cx, "helm", action, KNOWN);
        }
        let mut argv = Argv::new(cx, "helm");
        match action.value {
            "upgrade" | "install" => {
                self.need(cx, &["release"], "`release: app`")?;
                self.need(cx, &["chart"], "`chart: ./chart`")?;
                argv.plain(&["upgrade", "--install"])
                    .value(self, "release")
                    .value(self, "chart");
                argv.each(self, "--values", "values")
                    .pairs(self, "--set", "set", false);
            }
            "template" | "lint" => {
                argv.plain(&[action.value])
                    .value(self, "release")
                    .value(self, "chart")
                    .each(self, "--values", "values");
            }
            "rollback" => {
                self.need(cx, &["release"], "`release: app`")?;
                argv.plain(&["rollback"])
                    .value(self, "release")
                    .value(self, "revision");
            }
            other => {
                self.need(cx, &["release"], "`release: app`")?;
                argv.plain(&[other]).value(self, "release");
            }
        }
        argv.option(self, "--namespace", "namespace")
            .option(self, "--kube-context", "context")
            .option(self, "--kubeconfig", "kubeconfig")
            .extra(self);
        let idempotent = !matches!(action.value, "rollback" | "uninstall" | "test");
        Some((
            argv.work(self.process(cx), BTreeMap::new())?,
            idempotent,
            true,
        ))
    }

    fn terraform(&mut self, cx: Cx<'_>, program: &str) -> Option<(Work, bool, bool)> {
        const KNOWN: &[&str] = &[
            "init",
            "validate",
            "plan",
            "apply",
            "destroy",
            "output",
            "fmt",
            "workspace select",
        ];
        let action = self.need(cx, &["action"], "`action: plan`")?;
        if !KNOWN.contains(&action.value) {
            return self.no_action(cx, program, action, KNOWN);
        }
        let mut argv = Argv::new(cx, program);
        argv.plain(&action.value.split_whitespace().collect::<Vec<_>>());
        let variables = |argv: &mut Argv<'_>, compiler: &mut Self| {
            for text in compiler.texts(cx, "var_file") {
                argv.plain(&["-var-file"]).text(compiler, text);
            }
            argv.pairs(compiler, "-var", "vars", false);
        };
        match action.value {
            "init" => {
                argv.plain(&["-input=false", "-no-color"]).pairs(
                    self,
                    "-backend-config",
                    "backend_config",
                    true,
                );
            }
            "plan" => {
                argv.plain(&["-input=false", "-no-color"]);
                variables(&mut argv, self);
                argv.option(self, "-out", "out");
            }
            "apply" | "destroy" => {
                argv.plain(&["-input=false", "-no-color", "-auto-approve"]);
                if cx.runtime.has("plan_file") {
                    argv.extra(self).value(self, "plan_file");
                    return Some((argv.work(self.process(cx), BTreeMap::new())?, false, true));
                }
                variables(&mut argv, self);
            }
            "output" => {
                argv.plain(&["-json"]);
            }
            "validate" => {
                argv.plain(&["-no-color"]);
            }
            "workspace select" => {
                self.need(cx, &["workspace"], "`workspace: production`")?;
                argv.value(self, "workspace");
            }
            _ => {}
        }
        argv.extra(self);
        let idempotent = !matches!(action.value, "apply" | "destroy");
        Some((
            argv.work(self.process(cx), BTreeMap::new())?,
            idempotent,
            matches!(action.value, "init" | "plan" | "apply" | "destroy"),
        ))
    }

    fn argocd(&mut self, cx: Cx<'_>) -> Option<(Work, bool, bool)> {
        const KNOWN: &[&str] = &["sync", "wait", "rollback", "get", "diff"];
        let action = self.need(cx, &["action"], "`action: sync`")?;
        let verb = action.value.strip_prefix("app ").unwrap_or(action.value);
        if !KNOWN.contains(&verb) {
            return self.no_action(cx, "argocd", action, KNOWN);
        }
        self.need(cx, &["app_name"], "`app_name: production-app`")?;
        let mut argv = Argv::new(cx, "argocd");
        argv.plain(&["app", verb]).value(self, "app_name");
        match verb {
            "sync" => {
                argv.option(self, "--revision", "revision");
                if self.flag(cx, "prune") {
                    argv.plain(&["--prune"]);
                }
            }
            "wait" => {
                argv.plain(&["--health", "--sync"]);
            }
            // Without an id of its history, argocd goes back to the deployment before.
            "rollback" => match self.take(cx, "steps", cx.runtime.get_u64("steps")) {
                None => {
                    argv.value(self, "revision");
                }
                Some(steps) if steps.value == 1 => {}
                Some(steps) => {
                    let message = format!(
                        "argocd goes back one deployment, or to an id of its history; {} asks for {} steps",
                        cx.what(),
                        steps.value
                    );
                    self.d
                        .error(codes::CANNOT_EXECUTE, steps.span, message)
                        .help("write `revision` with the id from `argocd app history`");
                    return None;
                }
            },
            _ => {}
        }
        argv.extra(self);
        Some((
            argv.work(self.process(cx), BTreeMap::new())?,
            verb != "rollback",
            true,
        ))
    }

    fn ansible(&mut self, cx: Cx<'_>, tool: &str) -> Option<(Work, bool, bool)> {
        let action = self
            .text(cx, "action")
            .map_or("playbook", |action| action.value);
        let mut process = self.process(cx);
        if action == "ping" && tool == "ansible" {
            let mut argv = Argv::new(cx, "ansible");
            match self.text(cx, "group") {
                Some(group) => argv.text(self, group),
                None => argv.plain(&["all"]),
            };
            argv.each(self, "--inventory", "inventory")
                .plain(&["--module-name", "ping"])
                .extra(self);
            return Some((argv.work(process, BTreeMap::new())?, true, true));
        }
        if !action.ends_with("playbook") {
            let action = self.need(cx, &["action"], "`action: playbook`")?;
            return self.no_action(cx, "ansible", action, &["playbook", "ping"]);
        }
        self.need(cx, &["playbook"], "`playbook: site.yaml`")?;
        let mut argv = Argv::new(cx, "ansible-playbook");
        argv.each(self, "--inventory", "inventory")
            .option(self, "--limit", "group");
        if let Some(variables) = self.take(cx, "extra_vars", cx.runtime.get_map("extra_vars")) {
            let json = self.extra_vars(cx, variables.value.iter(), &mut process);
            argv.plain(&["--extra-vars", &json]);
        }
        argv.extra(self).value(self, "playbook");
        Some((argv.work(process, BTreeMap::new())?, false, true))
    }

    /// Variables of a playbook as JSON. A value of the run goes through the environment and ansible's own lookup: written into
    /// the JSON, a quote in it could add variables.
    fn extra_vars<'m>(
        &mut self,
        cx: Cx<'_>,
        variables: impl Iterator<Item = (&'m Spanned<String>, &'m Value)>,
        process: &mut ProcessSpec,
    ) -> String {
        let mut map = serde_json::Map::new();
        for (name, value) in variables {
            let json = match value.as_text() {
                Some(text) => match self.template(cx, Spanned::new(text, value.span)) {
                    Some(template) => {
                        if let Some(literal) = template.as_literal() {
                            literal.into()
                        } else {
                            let variable = format!(
                                "CANARY_VAR_{}",
                                name.value
                                    .replace(|c: char| !c.is_ascii_alphanumeric(), "_")
                            );
                            process.environment.insert(variable.clone(), template);
                            format!("{{{{ lookup('ansible.builtin.env', '{variable}') }}}}").into()
                        }
                    }
                    None => continue,
                },
                None => value.to_json(),
            };
            map.insert(name.value.clone(), json);
        }
        serde_json::Value::Object(map).to_string()
    }
}
