//! Why the parts of a run could not be put together.

use canary_analyzer::evidence::SourceError;

use crate::node::secrets::SecretError;

/// A setting that names something that cannot be had. Nothing was sent or changed.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// A secret is missing.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A source's settings are wrong.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The metrics of the service are wrong.
    #[error("x-canary.metrics: {0}")]
    Metrics(String),
    /// A file that the settings name.
    #[error("x-canary.sources.prometheus.tls.{key}: cannot read {path}: {why}")]
    File {
        /// Which setting.
        key: &'static str,
        /// The file.
        path: String,
        /// What the system says.
        why: String,
    },
    /// Something is needed that no setting gives.
    #[error("{0}")]
    Missing(String),
}
