//! The short form: a release from a few answers, written out as the workflow that it is. `canary init` prints it,
//! `canary run --service ... --steps ...` runs it.

use std::fmt::Write as _;
use std::time::Duration;

use canary_analyzer::duration;
use canary_traffic::Weight;

/// A few answers.
#[derive(Debug, Clone, PartialEq)]
pub struct ShortForm {
    /// What is released.
    pub service: String,
    /// Weights, rising; the last one is 100 or 100 is added.
    pub steps: Vec<Weight>,
    /// Where evidence comes from.
    pub evidence: ShortEvidence,
    /// Preset of the service's metrics.
    pub preset: String,
    /// Further parameters of the preset.
    pub parameters: Vec<(String, String)>,
    /// Largest share of errors; `None`: no such gate.
    pub error_rate: Option<String>,
    /// Largest p99; `None`: no such gate.
    pub p99_latency: Option<String>,
    /// How long each step is judged.
    pub soak: Duration,
    /// Time between measurements.
    pub interval: Duration,
    /// Requests that a measurement needs.
    pub min_requests: u64,
    /// How long 100 % is watched.
    pub bake: Duration,
    /// What splits traffic.
    pub split: ShortSplit,
    /// Slack channel that gets the news; the token is in `SLACK_BOT_TOKEN`.
    pub slack: Option<String>,
}

/// What splits traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShortSplit {
    /// A running `canary proxy`.
    Proxy {
        /// Its name, or the path of its socket.
        name: String,
        /// The command that starts it, where it is known: a comment for whoever reads the workflow.
        start: Option<String>,
    },
    /// A shell command that sets the canary's weight; `{weight}` in it stands for the percent, which else comes last.
    Command(String),
}

/// Where evidence comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShortEvidence {
    /// A Prometheus at this URL.
    Prometheus(String),
    /// Metrics pages: of stable and of the canary. Without those of stable, the pages report on both.
    Scrape {
        /// Pages of stable.
        stable: Vec<String>,
        /// Pages of the canary.
        canary: Vec<String>,
    },
}

impl ShortForm {
    /// The usual answers for a service behind `canary proxy`.
    pub fn new(service: impl Into<String>, evidence: ShortEvidence) -> Self {
        Self {
            service: service.into(),
            steps: [10, 50, 100]
                .into_iter()
                .filter_map(|step| Weight::try_from(step).ok())
                .collect(),
            evidence,
            preset: "app".to_owned(),
            parameters: Vec::new(),
            error_rate: Some("1%".to_owned()),
            p99_latency: Some("500ms".to_owned()),
            soak: Duration::from_mins(5),
            interval: Duration::from_secs(30),
            min_requests: 100,
            bake: Duration::from_mins(5),
            split: ShortSplit::Proxy {
                name: "local".to_owned(),
                start: None,
            },
            slack: None,
        }
    }

    /// The workflow, with comments for whoever edits it.
    pub fn to_osop(&self) -> String {
        let mut text = String::new();
        self.head(&mut text);
        self.nodes(&mut text);
        self.edges(&mut text);
        self.settings(&mut text);
        text
    }

    /// Steps below 100 %.
    fn judged(&self) -> Vec<Weight> {
        self.steps
            .iter()
            .copied()
            .filter(|step| *step < Weight::FULL && !step.is_zero())
            .collect()
    }

    fn gates(&self) -> Vec<&'static str> {
        let given = [
            (self.error_rate.is_some(), "error-rate"),
            (self.p99_latency.is_some(), "p99-latency"),
        ];
        given
            .into_iter()
            .filter(|(given, _)| *given)
            .map(|(_, name)| name)
            .collect()
    }

    fn head(&self, text: &mut String) {
        let path: Vec<_> = self
            .judged()
            .iter()
            .map(|step| format!("{} %", step.percent()))
            .collect();
        add(
            text,
            format_args!(
                "# Release of {}: {} -> 100 %. Each step is judged for {}; a bad version is taken away by itself.\n\
             # `canary validate` checks this file, `canary run --dry-run` shows what it would do.\n\
             osop_version: \"2.0\"\nid: {}\nname: {}\n\n",
                comment(&self.service),
                path.join(" -> "),
                duration::format(self.soak),
                quote(&format!("release-{}", self.service)),
                quote(&format!("Release of {}", self.service)),
            ),
        );
    }

    fn nodes(&self, text: &mut String) {
        text.push_str("nodes:\n");
        for step in self.judged() {
            let percent = step.percent();
            self.weight_node(
                text,
                &format!("canary_{percent}"),
                &format!("Send {percent} % of the requests to the new version"),
                step,
            );
            self.check_node(text, percent, self.soak);
        }
        match &self.split {
            ShortSplit::Proxy { .. } => text.push_str(
                "  # 100 %, then the bake (below); only then does the release count as promoted.\n  - id: promote\n    type: infra\n    \
                 purpose: Send everything to the new version and watch it for a while\n    runtime: {tool: canary, action: promote}\n\n  \
                 # Whatever fails, the weight is 0 before this node runs.\n  - id: rollback\n    type: infra\n    \
                 purpose: Send everything back to the old version\n    runtime: {tool: canary, action: rollback}\n\n",
            ),
            ShortSplit::Command(_) => {
                text.push_str("  # 100 %, and a last look at it.\n");
                let all = "Send everything to the new version";
                self.weight_node(text, "canary_100", all, Weight::FULL);
                self.check_node(text, 100, self.bake);
                text.push_str("  # Where every check that fails leads to.\n");
                let back = "Send everything back to the old version";
                self.weight_node(text, "rollback", back, Weight::ZERO);
            }
        }
    }

    fn weight_node(&self, text: &mut String, id: &str, purpose: &str, weight: Weight) {
        let percent = weight.percent();
        match &self.split {
            ShortSplit::Proxy { .. } => add(
                text,
                format_args!(
                    "  - id: {id}\n    type: infra\n    purpose: {purpose}\n    \
                     runtime: {{tool: canary, action: set-weight, weight: {percent}}}\n\n"
                ),
            ),
            ShortSplit::Command(command) => {
                let command = if command.contains("{weight}") {
                    command.replace("{weight}", &percent.to_string())
                } else {
                    format!("{command} {percent}")
                };
                add(
                    text,
                    format_args!(
                        "  - id: {id}\n    type: cli\n    purpose: {purpose}\n    runtime:\n      command: {}\n      \
                         idempotent: true        # after a crash it may be run again\n\n",
                        quote(&command)
                    ),
                );
            }
        }
    }

    fn check_node(&self, text: &mut String, percent: u8, length: Duration) {
        let gates = self.gates().join(", ");
        add(
            text,
            format_args!(
                "  - id: check_{percent}\n    type: infra\n    purpose: Judge the new version on real requests\n    \
                 runtime: {{tool: canary, action: analyze, gates: [{gates}], for: {}}}\n\n",
                duration::format(length),
            ),
        );
    }

    fn edges(&self, text: &mut String) {
        text.push_str("edges:\n");
        let mut before: Option<String> = None;
        for step in self.judged() {
            let step = step.percent();
            if let Some(before) = before {
                add(
                    text,
                    format_args!("  - {{from: {before}, to: canary_{step}, mode: sequential}}\n"),
                );
            }
            add(
                text,
                format_args!(
                    "  - {{from: canary_{step}, to: check_{step}, mode: sequential}}\n  \
                 - {{from: check_{step}, to: rollback, mode: fallback}}\n"
                ),
            );
            before = Some(format!("check_{step}"));
        }
        let last = before.unwrap_or_default();
        match &self.split {
            ShortSplit::Proxy { .. } => add(
                text,
                format_args!("  - {{from: {last}, to: promote, mode: sequential}}\n\n"),
            ),
            ShortSplit::Command(_) => add(
                text,
                format_args!(
                    "  - {{from: {last}, to: canary_100, mode: sequential}}\n  \
                     - {{from: canary_100, to: check_100, mode: sequential}}\n  \
                     - {{from: check_100, to: rollback, mode: fallback}}\n\n"
                ),
            ),
        }
    }

    fn settings(&self, text: &mut String) {
        add(
            text,
            format_args!("x-canary:\n  service: {}\n\n", quote(&self.service)),
        );
        match &self.split {
            ShortSplit::Proxy { name, start } => {
                text.push_str("  # What splits traffic: a running `canary proxy`, by its name or the path of its socket.\n");
                if let Some(start) = start {
                    add(text, format_args!("  #   {}\n", comment(start)));
                }
                add(
                    text,
                    format_args!("  traffic: {{router: local, proxy: {}}}\n\n", quote(name)),
                );
            }
            ShortSplit::Command(_) => text
                .push_str("  # The commands above split traffic.\n  traffic: {router: none}\n\n"),
        }
        text.push_str("  # Where evidence comes from.\n  sources:\n");
        match &self.evidence {
            ShortEvidence::Prometheus(url) => add(
                text,
                format_args!("    prometheus: {{url: {}}}\n", quote(url)),
            ),
            ShortEvidence::Scrape { stable, canary } => {
                text.push_str("    scrape:\n");
                for (arm, urls) in [("stable", stable), ("canary", canary)] {
                    if !urls.is_empty() {
                        add(text, format_args!("      {arm}: [{}]\n", list(urls)));
                    }
                }
                add(
                    text,
                    format_args!(
                        "      interval: {}\n",
                        duration::format(self.interval.min(Duration::from_secs(5)))
                    ),
                );
            }
        }
        add(
            text,
            format_args!(
                "  # How the service's own metrics look: app, nginx-ingress, istio, linkerd, envoy, traefik, canary-proxy.\n  metrics:\n    preset: {}\n",
                quote(&self.preset)
            ),
        );
        if !self.parameters.is_empty() {
            let pairs: Vec<_> = self
                .parameters
                .iter()
                .map(|(name, value)| format!("{name}: {}", quote(value)))
                .collect();
            add(
                text,
                format_args!("    parameters: {{{}}}\n", pairs.join(", ")),
            );
        }
        self.gate_settings(text);
        if matches!(self.split, ShortSplit::Proxy { .. }) {
            add(
                text,
                format_args!(
                    "\n  # How long 100 % is watched before the release counts as promoted.\n  bake: {}\n",
                    duration::format(self.bake)
                ),
            );
        }
        text.push_str("  # Without evidence the weight is held and people are told; after `decision` it is a failure.\n  deadlines: {decision: 15m}\n");
        if let Some(channel) = &self.slack {
            add(
                text,
                format_args!(
                    "\n  # The token is read from the environment, never from here.\n  notify:\n    releases:\n      type: slack\n      token_env: SLACK_BOT_TOKEN\n      channel: {}\n",
                    quote(channel)
                ),
            );
        }
    }

    fn gate_settings(&self, text: &mut String) {
        text.push_str("\n  # Watched for as long as the new version has traffic; the checks above judge by them too.\n  gates:\n");
        let limits = [
            ("error-rate", "error_rate", &self.error_rate),
            ("p99-latency", "p99_latency", &self.p99_latency),
        ];
        for (name, metric, limit) in limits {
            let Some(limit) = limit else { continue };
            add(
                text,
                format_args!(
                    "    - name: {name}\n      metric: {metric}\n      success_condition: {}\n      interval: {}\n      window: {}\n      \
                 failure_limit: 1        # one bad measurement may be chance, two are not\n      min_requests: {}\n",
                    quote(&format!("{metric} < {limit}")),
                    duration::format(self.interval),
                    duration::format(self.soak.min(Duration::from_mins(5))),
                    self.min_requests,
                ),
            );
        }
    }
}

fn add(text: &mut String, piece: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ok = text.write_fmt(piece);
}

fn list(items: &[String]) -> String {
    items
        .iter()
        .map(|item| quote(item))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A YAML scalar: plain where that is safe, else in double quotes (JSON strings are YAML).
fn quote(text: &str) -> String {
    let plain =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '/');
    let starts_well = text.starts_with(|letter: char| letter.is_ascii_alphabetic());
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
    );
    if starts_well && !word && text.chars().all(plain) {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

/// Text in a comment stays on its line.
fn comment(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests;
