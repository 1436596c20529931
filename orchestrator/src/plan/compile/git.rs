//! Git by its command line.

use std::collections::BTreeMap;

use super::Compiler;
use super::nodes::{Made, profile_lines};
use super::read::Cx;
use super::shell::word;
use super::tools::Argv;
use crate::diagnostic::{codes, did_you_mean, quote};
use crate::node::spec::{ShellWork, Work};

const KNOWN: &[&str] = &[
    "clone", "checkout", "pull", "fetch", "commit", "tag", "push",
];

impl Compiler<'_> {
    pub(super) fn git(&mut self, cx: Cx<'_>) -> Option<Made> {
        let action = match self.text(cx, "action") {
            Some(action) => action,
            None if cx.runtime.has("repo") || cx.runtime.has("repository") => {
                crate::diagnostic::Spanned::new("clone", cx.span())
            }
            None => self.need(
                cx,
                &["action"],
                "`action: clone` (checkout, pull, fetch, commit, tag, push), or a `command`",
            )?,
        };
        let remote = self.any_text(cx, &["repo", "repository"]);
        match (action.value, remote) {
            ("clone" | "checkout", Some(repository)) => {
                let mut argv = Argv::new(cx, "git");
                argv.plain(&["clone"])
                    .option(self, "--branch", "branch")
                    .option(self, "--depth", "depth")
                    .plain(&["--"])
                    .text(self, repository)
                    .value(self, "path");
                Some(Made::network(
                    argv.work(self.process(cx), BTreeMap::new())?,
                    false,
                ))
            }
            ("clone", None) => {
                self.need(cx, &["repo"], "`repo: git@example.com:team/app.git`")?;
                None
            }
            ("checkout", None) => {
                let target = self.need(cx, &["ref", "branch", "tag"], "`ref: main`")?;
                let mut argv = Argv::new(cx, "git");
                argv.plain(&["checkout"]).text(self, target).plain(&["--"]);
                Some(Made::local(
                    argv.work(self.process(cx), BTreeMap::new())?,
                    true,
                ))
            }
            ("pull" | "fetch", _) => {
                let mut argv = Argv::new(cx, "git");
                let verb = action.value;
                argv.plain(if verb == "pull" {
                    &["pull", "--ff-only"]
                } else {
                    &["fetch"]
                });
                match self.text(cx, "remote") {
                    Some(remote) => argv.text(self, remote),
                    None => argv.plain(&["origin"]),
                };
                argv.value(self, "branch");
                Some(Made::network(
                    argv.work(self.process(cx), BTreeMap::new())?,
                    true,
                ))
            }
            ("push", _) => {
                let mut argv = Argv::new(cx, "git");
                argv.plain(&["push"]);
                match self.text(cx, "remote") {
                    Some(remote) => argv.text(self, remote),
                    None => argv.plain(&["origin"]),
                };
                match self.any_text(cx, &["branch", "ref", "tag"]) {
                    Some(what) => argv.text(self, what),
                    None => argv.plain(&["HEAD"]),
                };
                Some(Made::network(
                    argv.work(self.process(cx), BTreeMap::new())?,
                    true,
                ))
            }
            ("commit", _) => {
                let message = self.need(cx, &["message"], "`message: \"release {{version}}\"`")?;
                let mut files: Vec<String> = Vec::new();
                for key in ["add", "files"] {
                    files.extend(self.texts(cx, key).iter().map(|file| word(file.value)));
                }
                let stage = if files.is_empty() {
                    "git add --update".to_owned()
                } else {
                    format!("git add -- {}", files.join(" "))
                };
                // Nothing to commit is no failure: the commit of an earlier attempt is there.
                let text = format!(
                    "{stage}\ngit diff --cached --quiet || git commit --message {}\ngit rev-parse HEAD\n",
                    word(message.value)
                );
                let script = self.made_script(cx, &text)?;
                Some(Made::local(
                    Work::Shell(ShellWork {
                        script,
                        bash: false,
                        process: self.process(cx),
                    }),
                    true,
                ))
            }
            ("tag", _) => {
                let name = self.need(cx, &["tag_name", "tag"], "`tag_name: v1.2`")?;
                let mut argv = Argv::new(cx, "git");
                argv.plain(&["tag"]);
                match self.text(cx, "message") {
                    Some(message) => argv.plain(&["--annotate", "--message"]).text(self, message),
                    None => &mut argv,
                };
                argv.text(self, name);
                Some(Made::local(
                    argv.work(self.process(cx), BTreeMap::new())?,
                    false,
                ))
            }
            (other, _) => {
                let message = format!(
                    "{} asks git for {}, and canary does not know how to put that together",
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
}
