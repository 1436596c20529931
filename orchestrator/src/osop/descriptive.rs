//! Parts of the schema that describe a workflow and have no meaning for running a release. Their types are checked as the schema
//! says, and they are kept as written.

use super::reader::Reader;
use super::tree::Map;
use super::word::words;
use crate::diagnostic::Diagnostics;

words! {
    /// A view of an editor.
    enum View { Graph = "graph", Story = "story", Role = "role", Debug = "debug", Agent = "agent" }
}
words! {
    /// What a message is.
    enum MessageKind { Task = "task", Result = "result", State = "state", Error = "error", Event = "event" }
}
words! {
    /// How a message is written.
    enum MessageFormat { Json = "json", Text = "text" }
}
words! {
    /// What a test of the schema is.
    enum TestType { Unit = "unit", Integration = "integration", EndToEnd = "e2e", Simulation = "simulation" }
}
words! {
    /// What a test runs.
    enum TestRun { FullWorkflow = "full_workflow" }
}
words! {
    /// How a workflow changes.
    enum EvolutionStrategy { AiAssisted = "ai_assisted", Manual = "manual" }
}
words! {
    /// What a change of a workflow is made from.
    enum FeedbackSource { Logs = "logs", Metrics = "metrics", HumanFeedback = "human_feedback" }
}
words! {
    /// How a change of a workflow is delivered.
    enum EvolutionOutput { PullRequest = "pull_request", PatchOnly = "patch_only" }
}

/// Checks these parts and copies them to `kept`.
pub(crate) fn read(top: &mut Reader<'_>, kept: &mut Map, d: &mut Diagnostics) {
    top.map("metadata", d);
    if let Some(schemas) = top.section("schemas", d) {
        for (name, value) in schemas.map.iter() {
            Reader::of(crate::diagnostic::quote(&name.value), value, d);
        }
    }
    if let Some(mut section) = top.section("workflow_type", d) {
        section.required("primary", d);
        section.texts("secondary", d);
        section.close(d);
    }
    top.words::<View>("views", d);
    message_contracts(top, d);
    tests(top, d);
    if let Some(mut section) = top.section("observability", d) {
        section.bool("emit_events", d);
        section.bool("trace_id_required", d);
        section.text("log_level", d);
    }
    evolution(top, d);
    if let Some(mut section) = top.section("ledger", d) {
        section.bool("enabled", d);
    }
    for key in [
        "metadata",
        "schemas",
        "workflow_type",
        "views",
        "message_contracts",
        "tests",
        "observability",
        "evolution",
        "ledger",
    ] {
        kept.entries.extend(top.map.entry(key).cloned());
    }
}

fn message_contracts(top: &mut Reader<'_>, d: &mut Diagnostics) {
    for item in top.list("message_contracts", d).unwrap_or_default() {
        let Some(mut reader) = Reader::of("a message contract", item, d) else {
            continue;
        };
        for key in ["id", "producer", "consumer"] {
            reader.required(key, d);
        }
        for key in ["kind", "format"] {
            if reader.value(key).is_none() {
                reader.missing(key, d);
            }
        }
        reader.word::<MessageKind>("kind", d);
        reader.word::<MessageFormat>("format", d);
        reader.text("schema_ref", d);
        reader.map("semantics", d);
        reader.close(d);
    }
}

fn tests(top: &mut Reader<'_>, d: &mut Diagnostics) {
    for item in top.list("tests", d).unwrap_or_default() {
        let Some(mut reader) = Reader::of("a test", item, d) else {
            continue;
        };
        reader.required("id", d);
        if reader.value("type").is_none() {
            reader.missing("type", d);
        }
        reader.word::<TestType>("type", d);
        reader.text("target_node", d);
        reader.word::<TestRun>("run", d);
        for key in ["input", "expect", "mocks", "failure_injection"] {
            reader.map(key, d);
        }
        reader.close(d);
    }
}

fn evolution(top: &mut Reader<'_>, d: &mut Diagnostics) {
    let Some(mut section) = top.section("evolution", d) else {
        return;
    };
    section.bool("enabled", d);
    section.word::<EvolutionStrategy>("strategy", d);
    section.words::<FeedbackSource>("feedback_sources", d);
    if let Some(mut output) = section.section("output", d) {
        output.word::<EvolutionOutput>("mode", d);
        output.bool("require_human_approval", d);
        output.close(d);
    }
    section.close(d);
}
