//! Images and containers.

use std::collections::BTreeMap;

use super::Compiler;
use super::names::{ALWAYS, Upstream, upstream};
use super::nodes::{Made, profile_lines};
use super::read::Cx;
use super::shell::word;
use super::tools::Argv;
use crate::diagnostic::{codes, did_you_mean, quote};
use crate::node::spec::{ShellWork, Work};
use crate::plan::template::Template;

const KNOWN: &[&str] = &[
    "build",
    "push",
    "pull",
    "tag",
    "scan",
    "compose-up",
    "compose-down",
    "compose-pull",
    "compose-build",
    "compose-restart",
    "compose-ps",
];

const LEVELS: &[&str] = &["UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL"];

impl Compiler<'_> {
    pub(super) fn docker(&mut self, cx: Cx<'_>) -> Option<Made> {
        let action = self.need(cx, &["action"], "`action: build`")?;
        match action.value {
            "build" => self.docker_build(cx),
            "push" => self.docker_push(cx),
            "pull" => {
                let mut argv = Argv::new(cx, "docker");
                self.need(cx, &["image"], "`image: app:1.2`")?;
                argv.plain(&["pull"]).value(self, "image").extra(self);
                Some(Made::network(
                    argv.work(self.process(cx), BTreeMap::new())?,
                    true,
                ))
            }
            "tag" => {
                let source = self.need(cx, &["image"], "`image: app:1.2`")?;
                let target = self.need(cx, &["tag", "tags"], "`tag: app:stable`")?;
                let mut argv = Argv::new(cx, "docker");
                argv.plain(&["tag"]).text(self, source).text(self, target);
                Some(Made::local(
                    argv.work(self.process(cx), BTreeMap::new())?,
                    true,
                ))
            }
            "scan" => self.docker_scan(cx),
            compose if compose.starts_with("compose-") && KNOWN.contains(&compose) => {
                self.compose(cx, &compose["compose-".len()..])
            }
            other => {
                let message = format!(
                    "{} asks docker for {}, and canary does not know how to put that together",
                    cx.what(),
                    quote(other)
                );
                self.d
                    .error(codes::CANNOT_EXECUTE, action.span, message)
                    .help_opt(did_you_mean(other, KNOWN.iter().copied()))
                    .help(format!(
                        "known are {}; or write a `command`",
                        KNOWN.join(", ")
                    ))
                    .help(profile_lines(&cx));
                None
            }
        }
    }

    fn docker_build(&mut self, cx: Cx<'_>) -> Option<Made> {
        let mut tags = self.texts(cx, "tags");
        for key in ["tag", "image"] {
            if tags.is_empty() {
                tags = self.texts(cx, key);
            }
        }
        let mut argv = Argv::new(cx, "docker");
        argv.plain(&["build"])
            .option(self, "--file", "dockerfile")
            .option(self, "--target", "target")
            .option(self, "--platform", "platform");
        for tag in &tags {
            argv.plain(&["--tag"]).text(self, *tag);
        }
        argv.pairs(self, "--build-arg", "build_args", false)
            .extra(self);
        match self.text(cx, "context") {
            Some(context) => argv.text(self, context),
            None => argv.plain(&["."]),
        };
        let first = tags.first().copied();
        let tag = first.and_then(|tag| self.template(cx, tag));
        let process = self.process(cx);
        if !cx.declares("image_digest") {
            let facts = tag
                .map(|tag| ("image_tag".to_owned(), tag))
                .into_iter()
                .collect();
            return Some(Made::local(argv.work(process, facts)?, true));
        }
        // The digest is only known afterwards: the same command, then a question, in one script.
        let Some(first) = first else {
            self.need(cx, &["tags"], "`tags: [\"app:{{GIT_SHA}}\"]`")?;
            return None;
        };
        let Work::Program(program) = argv.work(process, BTreeMap::new())? else {
            return None;
        };
        let words: Vec<String> = self.build_words(cx, &tags).unwrap_or_else(|| {
            program
                .argv
                .iter()
                .map(|part| word(part.source()))
                .collect()
        });
        let tag = word(first.value);
        let text = format!(
            "{}\nprintf 'image_tag=%s\\n' {tag} >> \"$OSOP_OUTPUT\"\nprintf 'image_digest=%s\\n' \"$(docker image inspect --format '{{{{.Id}}}}' {tag})\" >> \"$OSOP_OUTPUT\"\n",
            words.join(" ")
        );
        let script = self.made_script(cx, &text)?;
        Some(Made::local(
            Work::Shell(ShellWork {
                script,
                bash: false,
                process: program.process,
            }),
            true,
        ))
    }

    /// The words of a build as they are written, for a script.
    fn build_words(
        &mut self,
        cx: Cx<'_>,
        tags: &[crate::diagnostic::Spanned<&str>],
    ) -> Option<Vec<String>> {
        let mut words = vec!["docker".to_owned(), "build".to_owned()];
        for (flag, key) in [
            ("--file", "dockerfile"),
            ("--target", "target"),
            ("--platform", "platform"),
        ] {
            if let Some(text) = self.text(cx, key) {
                words.extend([flag.to_owned(), word(text.value)]);
            }
        }
        for tag in tags {
            words.extend(["--tag".to_owned(), word(tag.value)]);
        }
        if let Some(map) = cx
            .runtime
            .get("build_args")
            .and_then(|value| value.as_map())
        {
            for (name, value) in map.iter() {
                words.extend([
                    "--build-arg".to_owned(),
                    word(&format!("{}={}", name.value, value.as_scalar_text()?)),
                ]);
            }
        }
        for key in ["args", "flags"] {
            match cx.runtime.get(key) {
                Some(value) if value.as_text().is_some() => words.extend(
                    value
                        .as_text()
                        .unwrap_or_default()
                        .split_whitespace()
                        .map(word),
                ),
                _ => words.extend(self.texts(cx, key).iter().map(|text| word(text.value))),
            }
        }
        words.push(
            self.text(cx, "context")
                .map_or_else(|| ".".to_owned(), |text| word(text.value)),
        );
        Some(words)
    }

    /// A push gives the image the name of the registry first.
    fn docker_push(&mut self, cx: Cx<'_>) -> Option<Made> {
        let source = match self.any_text(cx, &["image", "tags", "tag"]) {
            Some(text) => word(text.value),
            None => match upstream(cx.frame, cx.local, "image_tag") {
                Upstream::One(_) => "{{image_tag}}".to_owned(),
                Upstream::Several(_) | Upstream::None => {
                    self.d
                        .error(codes::MISSING_KEY, cx.span(), format!("{} does not say which image to push", cx.what()))
                        .help("add `image: app:1.2` under `runtime`, or let a build before it have the output `image_tag`");
                    return None;
                }
            },
        };
        let mut text = format!("image={source}\n");
        match self.text(cx, "registry") {
            Some(registry) => {
                let registry = word(registry.value.trim_end_matches('/'));
                let piece = format!(
                    "registry={registry}\ncase \"$image\" in\n  \"$registry\"/*) target=$image ;;\n  *) target=$registry/$image; docker tag \"$image\" \"$target\" ;;\nesac\n"
                );
                text.push_str(&piece);
            }
            None => text.push_str("target=$image\n"),
        }
        text.push_str("docker push \"$target\"\n");
        for port in &cx.node.outputs {
            let name = &port.name.value;
            if name == "image_digest" || name == "digest" {
                let piece = format!(
                    "printf '%s=%s\\n' {name} \"$(docker image inspect --format '{{{{index .RepoDigests 0}}}}' \"$target\")\" >> \"$OSOP_OUTPUT\"\n"
                );
                text.push_str(&piece);
            } else if !ALWAYS.contains(&name.as_str()) {
                let piece = format!(
                    "printf '%s=%s\\n' {} \"$target\" >> \"$OSOP_OUTPUT\"\n",
                    word(name)
                );
                text.push_str(&piece);
            }
        }
        let script = self.made_script(cx, &text)?;
        let work = Work::Shell(ShellWork {
            script,
            bash: false,
            process: self.process(cx),
        });
        Some(Made::network(work, true))
    }

    fn docker_scan(&mut self, cx: Cx<'_>) -> Option<Made> {
        let image = if let Some(text) = self.any_text(cx, &["image", "tag"]) {
            self.template(cx, text)?
        } else {
            let text = crate::diagnostic::Spanned::new("{{image_tag}}", cx.span());
            self.template(cx, text)?
        };
        let scanner = self.text(cx, "scanner").map_or("trivy", |text| text.value);
        let severity = self
            .text(cx, "severity_threshold")
            .map_or_else(|| "HIGH".to_owned(), |text| text.value.to_ascii_uppercase());
        let above = LEVELS
            .iter()
            .position(|level| *level == severity)
            .map_or_else(|| severity.clone(), |at| LEVELS[at..].join(","));
        let mut words: Vec<Template> = match scanner {
            "trivy" => ["trivy", "image", "--exit-code", "1", "--severity", &above]
                .map(Template::literal)
                .to_vec(),
            "grype" => ["grype", "--fail-on", &severity.to_ascii_lowercase()]
                .map(Template::literal)
                .to_vec(),
            other => {
                let message = format!(
                    "{} scans with {}, and canary does not know its command line",
                    cx.what(),
                    quote(other)
                );
                self.d
                    .error(codes::CANNOT_EXECUTE, cx.span(), message)
                    .help("known are trivy and grype; or write a `command`");
                return None;
            }
        };
        words.push(image);
        let work = Work::Program(crate::node::spec::ProgramWork {
            argv: words,
            facts: BTreeMap::new(),
            process: self.process(cx),
        });
        Some(Made::network(work, true))
    }

    fn compose(&mut self, cx: Cx<'_>, verb: &str) -> Option<Made> {
        let mut argv = Argv::new(cx, "docker");
        argv.plain(&["compose"])
            .each(self, "--file", "compose_file")
            .plain(&[verb]);
        match verb {
            // A node ends; what it starts stays.
            "up" => {
                argv.plain(&["--detach", "--wait"]);
            }
            "down" if self.flag(cx, "volumes") => {
                argv.plain(&["--volumes"]);
            }
            _ => {}
        }
        argv.extra(self).each(self, "", "services");
        Some(Made::network(
            argv.work(self.process(cx), BTreeMap::new())?,
            true,
        ))
    }
}
