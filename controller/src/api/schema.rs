//! What several types say to the schema.

/// `500ms`, `30s`, `1h30m`, `1.5h`, `1d`; the same durations that `x-canary` takes.
pub(super) const DURATION: &str = r"^(0|([0-9]+(\.[0-9]+)?(ms|s|m|h|d|w))+)$";

/// Name of an object: a DNS subdomain.
pub(super) const NAME: &str = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";

/// Name of a gate or a channel.
pub(super) const WORD: &str = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$";

/// An http or https URL without user and password.
pub(super) const URL: &str = r"^https?://[^@\s]+$";
