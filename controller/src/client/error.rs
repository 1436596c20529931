//! What went wrong with a cluster, in words for whoever asked.

use kube::core::Status;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no way to a cluster: no kubeconfig, no such context, unusable credentials.
    #[error("no way to a cluster: {0}")]
    Config(String),
    /// Nobody answered.
    #[error("the API server does not answer: {0}")]
    Unreachable(String),
    /// Our objects are not served.
    #[error("this cluster does not know {0}: canary is not installed there")]
    NotInstalled(String),
    /// There is no such object.
    #[error("there is no {kind} {name} in namespace {namespace}")]
    NotFound {
        /// Kind.
        kind: &'static str,
        /// Name.
        name: String,
        /// Namespace.
        namespace: String,
    },
    /// It may not be done.
    #[error("{0}")]
    Forbidden(String),
    /// The API server refused what was sent.
    #[error("{0}")]
    Refused(String),
    /// An object is not as it must be for this.
    #[error("{0}")]
    Unsuitable(String),
}

impl ClientError {
    /// What the error of a call means.
    pub fn of(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(&status),
            kube::Error::Auth(why) => Self::Config(chain(&why)),
            kube::Error::InferConfig(why) => Self::Config(chain(&why)),
            kube::Error::InferKubeconfig(why) => Self::Config(chain(&why)),
            other => Self::Unreachable(chain(&other)),
        }
    }

    /// The same for a call about one object.
    pub(super) fn about(
        error: kube::Error,
        kind: &'static str,
        name: &str,
        namespace: &str,
    ) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 404 && names_an_object(status) => {
                Self::NotFound {
                    kind,
                    name: name.to_owned(),
                    namespace: namespace.to_owned(),
                }
            }
            _ => Self::of(error),
        }
    }

    fn of_status(status: &Status) -> Self {
        match status.code {
            404 => Self::NotInstalled("releases.canary.internal".to_owned()),
            401 => Self::Config("the API server does not accept the credentials".to_owned()),
            403 => Self::Forbidden(words(&status.message)),
            _ => Self::Refused(words(&status.message)),
        }
    }
}

/// A missing object has a name in its details; a missing API has none.
fn names_an_object(status: &Status) -> bool {
    status
        .details
        .as_ref()
        .is_some_and(|details| !details.name.is_empty())
}

/// The policy's own sentence, where one refused: what stands before it names the policy and the object, not what to do.
fn words(message: &str) -> String {
    let denied = message
        .split_once("denied request: ")
        .map_or(message, |(_, rest)| rest);
    denied.trim().to_owned()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_speaks_for_itself() {
        let message = "releaseactions.canary.internal \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: mia may not promote release checkout";
        assert_eq!(words(message), "mia may not promote release checkout");
        assert_eq!(words("plain"), "plain");
    }
}
