//! What an executor carries out, as the compiler builds it: pure data, one variant per way of doing things.

use std::collections::BTreeMap;
use std::time::Duration;

use canary_analyzer::unit::Unit;

use crate::plan::template::{Script, Template};

/// What an executor carries out.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskSpec {
    /// How.
    pub work: Work,
    /// How it finds out whether an attempt in doubt had finished: a script that exits 0 for yes, 1 for no, else unknown.
    pub verify: Option<Script>,
    /// Names of secrets (environment variables or files named by the settings) that the work may use; their values are
    /// redacted from everything that is kept.
    pub secrets: Vec<String>,
}

/// One way of doing things.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// A script in a shell (`cli`).
    Shell(ShellWork),
    /// A program with arguments, no shell (docker, kubectl, kustomize, helm, terraform, argocd, git, ...).
    Program(ProgramWork),
    /// An HTTP request (`api`).
    Http(HttpWork),
    /// Queries against a Prometheus API that bind outputs (`api` on `/api/v1/query[_range]`).
    Query(QueryWork),
}

/// A script in a shell.
#[derive(Debug, Clone, PartialEq)]
pub struct ShellWork {
    /// The script; values come in through the environment, never spliced into the text.
    pub script: Script,
    /// `bash -euo pipefail -c` instead of `sh -eu -c`.
    pub bash: bool,
    /// Process settings.
    pub process: ProcessSpec,
}

/// A program with arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgramWork {
    /// Program and arguments; each renders to exactly one argument.
    pub argv: Vec<Template>,
    /// Outputs known from what was asked (docker: `image_tag` = first tag): name -> text.
    pub facts: BTreeMap<String, Template>,
    /// Process settings.
    pub process: ProcessSpec,
}

/// Process settings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProcessSpec {
    /// Where it runs; relative to the workflow's directory.
    pub working_directory: Option<Template>,
    /// Added to canary's own environment.
    pub environment: BTreeMap<String, Template>,
    /// Exit codes that count as success; empty: 0.
    pub success_codes: Vec<i32>,
    /// Output name -> `$.path` into stdout read as JSON.
    pub output_mapping: BTreeMap<String, String>,
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpWork {
    /// Upper case.
    pub method: String,
    /// Absolute, `endpoint` joined.
    pub url: Template,
    /// Appended to the URL, percent-encoded.
    pub query: BTreeMap<String, Template>,
    /// Header values.
    pub headers: BTreeMap<String, Template>,
    /// Body.
    pub body: HttpBody,
    /// Name of the secret that is sent as `Authorization: Bearer`.
    pub bearer: Option<String>,
    /// Status codes that count as success; empty: 200-299.
    pub expected_status: Vec<u16>,
    /// Output name -> `$.path` into the JSON body.
    pub response_mapping: BTreeMap<String, String>,
    /// Answers in Slack's way: `ok: false` in the body is a failure.
    pub slack: bool,
}

/// Body of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum HttpBody {
    /// None.
    Empty,
    /// Text as it is.
    Text(Template),
    /// JSON; strings in it are templates.
    Json(JsonTemplate),
    /// Slack's `chat.postMessage` with the text of the run's report, to this channel.
    SlackReport {
        /// Channel id or name.
        channel: Template,
    },
}

/// JSON whose strings are templates; a string that is one reference keeps the type of its value.
#[derive(Debug, Clone, PartialEq)]
pub enum JsonTemplate {
    /// Number, bool, null.
    Literal(serde_json::Value),
    /// A string.
    Text(Template),
    /// A list.
    List(Vec<JsonTemplate>),
    /// A mapping.
    Map(Vec<(String, JsonTemplate)>),
}

/// Queries that bind outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryWork {
    /// Base URL of the Prometheus API; `None`: the source of the settings.
    pub url: Option<Template>,
    /// `query_range` instead of `query`.
    pub range: bool,
    /// What is asked, one per declared output.
    pub queries: Vec<QueryBinding>,
    /// Look back this far, clipped to the time since the weight was observed.
    pub window: Duration,
    /// Resolution of a range query.
    pub step: Duration,
    /// Wait this long before asking.
    pub wait: Duration,
}

/// One query.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryBinding {
    /// Output that it binds.
    pub output: String,
    /// PromQL; `{{window}}` is filled when it is asked.
    pub promql: Template,
    /// Unit of the answer.
    pub unit: Unit,
    /// Unit of the output.
    pub output_unit: Unit,
    /// How a range becomes one number.
    pub reduce: Reduce,
    /// Samples needed.
    pub min_samples: u32,
}

/// How a range becomes one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduce {
    /// The newest sample.
    #[default]
    Last,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// The mean.
    Mean,
}
