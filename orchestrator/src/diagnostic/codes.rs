//! The names of all diagnostics, with one line of explanation each. The reference in `docs/` is made from this table.

/// A diagnostic's name and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeInfo {
    /// Stable kebab-case name.
    pub code: &'static str,
    /// One line for people.
    pub explanation: &'static str,
}

macro_rules! codes {
    ($($name:ident = $code:literal, $explanation:literal;)*) => {
        $(#[doc = $explanation] pub const $name: &str = $code;)*

        /// Every code, in the order of this file.
        pub const ALL: &[CodeInfo] = &[$(CodeInfo { code: $code, explanation: $explanation },)*];
    };
}

codes! {
    FILE_TOO_LARGE = "file-too-large", "The file is larger than the limit of 1 MiB.";
    NOT_UTF8 = "not-utf8", "The file is not UTF-8 text.";
    EMPTY_FILE = "empty-file", "The file holds no document.";
    YAML_SYNTAX = "yaml-syntax", "The file is not valid YAML (or JSON).";
    YAML_TAB = "yaml-tab", "A tab is used where YAML allows spaces only.";
    YAML_DEPTH = "yaml-depth", "Lists and mappings are nested deeper than the limit.";
    YAML_TOO_MANY_VALUES = "yaml-too-many-values", "The file holds more values than the limit, counting what aliases repeat.";
    YAML_ALIAS = "yaml-alias", "An alias names no anchor, or an anchor that contains the alias.";
    YAML_MULTIPLE_DOCUMENTS = "yaml-multiple-documents", "The file holds more than one YAML document.";
    YAML_KEY = "yaml-key", "A key of a mapping is not a plain text.";
    YAML_TAG = "yaml-tag", "A value carries a YAML tag that has no meaning here.";
    DUPLICATE_KEY = "duplicate-key", "A mapping holds the same key twice.";
    WRONG_TYPE = "wrong-type", "A value has another type than the schema asks for.";
    UNQUOTED_TEXT = "unquoted-text", "A text is written like a number and should be quoted.";
    MISSING_KEY = "missing-key", "A required key is missing.";
    WRONG_METRICS = "wrong-metrics", "The service's metrics cannot be made of what the settings say: a preset, a parameter or a selector.";
    UNKNOWN_KEY = "unknown-key", "A key is not part of the schema.";
    UNKNOWN_VALUE = "unknown-value", "A value is not one of those that the schema allows.";
    OUT_OF_RANGE = "out-of-range", "A number or duration is outside its range.";
    EMPTY_TEXT = "empty-text", "A text that must say something is empty.";
    INVALID_DURATION = "invalid-duration", "A duration cannot be read.";
    INVALID_URL = "invalid-url", "An address is not an http or https URL.";
    INVALID_NAME = "invalid-name", "A name holds characters that it must not hold.";
    UNSUPPORTED_VERSION = "unsupported-version", "The OSOP version is not 1.x or 2.x.";
    NO_PURPOSE = "no-purpose", "A node does not say what it is for.";
    TOO_MANY_NODES = "too-many-nodes", "The workflow has more nodes than the limit.";
    TOO_MANY_EDGES = "too-many-edges", "The workflow has more edges than the limit.";
    DUPLICATE_ID = "duplicate-id", "Two nodes have the same id.";
    UNKNOWN_NODE = "unknown-node", "An id names no node of the workflow.";
    DRAFT_EDGE_MODE = "draft-edge-mode", "An edge mode exists only in drafts of OSOP and is not part of its schema.";
    CONFLICTING_CONDITION = "conflicting-condition", "An edge has `when` and `condition`, and they differ.";
    MISSING_CONDITION = "missing-condition", "An edge's mode needs a condition, and it has none.";
    UNUSED_CONDITION = "unused-condition", "An edge has a condition that its mode never looks at.";
    JOIN_COUNT = "join-count", "`join_mode: wait_n` and `join_count` come together.";
    CONFLICTING_KEYS = "conflicting-keys", "Two keys exclude each other.";
    INLINE_SECRET = "inline-secret", "A secret is written into a file instead of being named by an environment variable or a file.";
    INVALID_SET = "invalid-set", "A `--set` on the command line is not of the form name=value.";
    INVALID_REFERENCE = "invalid-reference", "A `{{...}}` or `${...}` cannot be read.";
    UNSAFE_INTERPOLATION = "unsafe-interpolation", "A value would be run as commands or code, or could not be handed over whole.";
    MISSING_VALUE = "missing-value", "A name has no value: no output, variable or environment variable is called so.";
    AMBIGUOUS_NAME = "ambiguous-name", "A name means outputs of several nodes.";
    UNKNOWN_OUTPUT = "unknown-output", "A node declares no output of that name.";
    NOT_UPSTREAM = "not-upstream", "An output is used by a node that does not run after its source.";
    CANNOT_EXECUTE = "cannot-execute", "canary cannot execute this kind of node or edge.";
    MISSING_QUERY = "missing-query", "A Prometheus node has an output without a query.";
    MISSING_CHANNEL = "missing-channel", "A Slack message has no text and no channel.";
    MISSING_ROUTER = "missing-router", "Native actions move traffic, and nothing is named that does.";
    UNIT_MISMATCH = "unit-mismatch", "Two units do not measure the same thing, or a unit is missing where it decides.";
    UNKNOWN_GATE = "unknown-gate", "A gate is named that does not exist.";
    GATE_LIMITS = "gate-limits", "The limits of a gate contradict each other.";
    GATE_WINDOW = "gate-window", "A gate looks further back than its step lasts.";
    INVALID_CONDITION = "invalid-condition", "A condition cannot be compiled.";
    SUSPICIOUS_CONDITION = "suspicious-condition", "A condition can be evaluated, but hardly means what it says.";
    OVERLAPPING_CONDITIONS = "overlapping-conditions", "Two conditions of one node can be true together.";
    CONDITION_GAP = "condition-gap", "For some values no condition of a node is true.";
    UNSUITABLE_CALL = "unsuitable-call", "A sub-workflow cannot be used.";
    CONFLICTING_JOIN = "conflicting-join", "Edges into one node ask for different joins.";
    CYCLE = "cycle", "A cycle has no bound of its own, or no end.";
    UNREACHABLE = "unreachable", "Nothing leads to a node.";
    NO_ROLLBACK = "no-rollback", "Traffic is moved, and no way back is written.";
    WEIGHT_DOWN = "weight-down", "The weight goes down on the way up.";
    UNCHECKED_WEIGHT = "unchecked-weight", "The weight rises without fresh evidence.";
    NEVER_PROMOTED = "never-promoted", "Traffic is moved, and never all of it.";
    UNJUDGED_ROLLOUT = "unjudged-rollout", "A patch drops the pauses of a Rollout, and its controller then promotes by itself.";
    MISSING_TIMEOUT = "missing-timeout", "A node that uses the network has no bound of time.";
}
