//! Releases in a cluster: which one is meant, and how it is shown.

pub(crate) mod act;
pub(crate) mod argo;
pub(crate) mod events;
pub(crate) mod get;
pub(crate) mod install;
pub(crate) mod objects;
mod show;
pub(crate) mod status;
pub(crate) mod workload;

use std::path::PathBuf;

use canary_controller::api::Release;
use canary_controller::client::{Access, ClientError, Cluster};
use kube::ResourceExt as _;

use crate::environment::Environment;
use crate::error::{CommandError, USAGE};

/// What a release of a cluster may be called before its name.
const KINDS: &[&str] = &["release", "releases", "rel", "releases.canary.internal"];

/// Which cluster, and where in it. Any of these means a release in a cluster, not a run on this machine.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "In a cluster")]
pub(crate) struct ClusterOptions {
    /// Namespace of the release
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "CONTEXT")]
    pub(crate) context: Option<String>,
    /// Kubeconfig file
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

impl ClusterOptions {
    pub(crate) fn are_given(&self) -> bool {
        self.namespace.is_some() || self.context.is_some() || self.kubeconfig.is_some()
    }

    /// The way there.
    pub(crate) fn access(&self) -> Access {
        Access {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            namespace: self.namespace.clone(),
        }
    }

    /// Reads the kubeconfig.
    pub(crate) async fn connect(&self) -> Result<Cluster, CommandError> {
        Cluster::connect(self.access()).await.map_err(said)
    }

    /// The release that `name` means, if it means one in a cluster: `release/NAME`, or any name beside one of these options,
    /// or any name at all where the program runs as a plugin of kubectl. `None`: a run on this machine is meant.
    pub(crate) fn release(
        &self,
        name: Option<&str>,
        environment: &Environment,
    ) -> Result<Option<String>, CommandError> {
        if let Some((kind, rest)) = name.and_then(|name| name.split_once('/')) {
            if !KINDS.contains(&kind) || rest.is_empty() || rest.contains('/') {
                return Err(CommandError::usage(format!(
                    "`{kind}/{rest}` names nothing here: a release in a cluster is `release/NAME`"
                )));
            }
            return Ok(Some(rest.to_owned()));
        }
        if !self.are_given() && !environment.is_plugin {
            return Ok(None);
        }
        match name {
            Some(name) => Ok(Some(name.to_owned())),
            None => Err(CommandError::usage(
                "which release? A release in a cluster is named, so that no other one is meant",
            )
            .hint("`canary get releases` lists them, with -A those of all namespaces")),
        }
    }

    /// The release itself, for commands that know of clusters only.
    pub(crate) async fn find(&self, name: &str) -> Result<(Cluster, Release), CommandError> {
        let cluster = self.connect().await?;
        let name = name
            .split_once('/')
            .filter(|(kind, _)| KINDS.contains(kind))
            .map_or(name, |(_, rest)| rest);
        let release = cluster.release(name).await.map_err(said)?;
        Ok((cluster, release))
    }
}

/// `release/NAME`.
pub(crate) fn full_name(release: &Release) -> String {
    format!("release/{}", release.name_any())
}

/// What went wrong with a cluster, and what to do.
pub(crate) fn said(error: ClientError) -> CommandError {
    let text = error.to_string();
    match error {
        ClientError::Config(_) => CommandError::usage(text)
            .hint("`kubectl config get-contexts` lists what there is; --kubeconfig, --context and $KUBECONFIG choose"),
        ClientError::NotInstalled(_) => CommandError::failed(text)
            .hint("`canary install` puts it there; `canary install --dry-run -o yaml` shows what that is"),
        ClientError::NotFound { kind: "Release", .. } => CommandError {
            code: USAGE,
            message: text,
            hints: vec!["`canary get releases -A` lists them all".to_owned()],
        },
        ClientError::NotFound { .. } | ClientError::Unsuitable(_) => CommandError::usage(text),
        ClientError::Forbidden(_) => CommandError::failed(text)
            .hint("docs/rbac.md: who may do what, and the roles that come with canary"),
        ClientError::Unreachable(_) | ClientError::Refused(_) => CommandError::failed(text),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn environment(is_plugin: bool) -> Environment {
        Environment {
            variables: BTreeMap::new(),
            stdout_is_terminal: false,
            stderr_is_terminal: false,
            stdin_is_terminal: false,
            directory: PathBuf::new(),
            is_plugin,
        }
    }

    #[test]
    fn what_is_meant_is_said_by_the_name_or_by_an_option() {
        let plain = ClusterOptions::default();
        let placed = ClusterOptions {
            namespace: Some("shop".to_owned()),
            ..ClusterOptions::default()
        };
        for (options, name, plugin, expected) in [
            (&plain, Some("checkout"), false, Ok(None)),
            (&plain, None, false, Ok(None)),
            (
                &plain,
                Some("release/checkout"),
                false,
                Ok(Some("checkout")),
            ),
            (&plain, Some("rel/checkout"), false, Ok(Some("checkout"))),
            (&placed, Some("checkout"), false, Ok(Some("checkout"))),
            (&plain, Some("checkout"), true, Ok(Some("checkout"))),
            (&placed, None, false, Err(())),
            (&plain, None, true, Err(())),
            (&plain, Some("deployment/checkout"), false, Err(())),
            (&plain, Some("release/"), false, Err(())),
        ] {
            let found = options.release(name, &environment(plugin));
            let found = found.as_ref().map(Option::as_deref).map_err(|_| ());
            assert_eq!(found, expected, "{name:?} {options:?} {plugin}");
        }
    }
}
