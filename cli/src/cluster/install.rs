//! `canary install`.

use std::time::Duration;

use canary_controller::client::{ClientError, Cluster};
use canary_controller::install::{self, IMAGE, NAMESPACE, Options};
use clap::ValueEnum;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind, TypeMeta};
use kube::discovery::{Scope, pinned_kind};
use kube::{Api, ResourceExt as _};
use serde_json::Value;

use super::said;
use crate::drive;
use crate::error::{CommandError, CommandResult};
use crate::output::Output;

/// Who we are where objects are applied.
const FIELD_MANAGER: &str = "canary-install";
/// How long a new definition may take until it is served.
const SERVED: Duration = Duration::from_secs(30);

/// Install canary in a cluster, or show what that would be
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Objects are applied server-side; running it again upgrades. docs/install.md has the other ways: kustomize, Helm.

Examples:
  canary install --dry-run -o yaml | less
  canary install --image registry.example.com/canary:0.1.0
  canary install --dry-run -o yaml --without-pause-policy    for Kubernetes before 1.36")]
pub(crate) struct Args {
    /// Only say what would be applied; nothing is sent
    #[arg(long)]
    dry_run: bool,
    /// How to print: names, or the objects themselves
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    /// Where the controller runs
    #[arg(short, long, default_value = NAMESPACE)]
    namespace: String,
    /// The controller's image
    #[arg(long, default_value = IMAGE)]
    image: String,
    /// Without the policy that pauses a Deployment whose template changes: Deployments with a Release are then kept paused
    #[arg(long)]
    without_pause_policy: bool,
    /// Context of the kubeconfig
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
    /// Kubeconfig file
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<std::path::PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// kind/name
    #[default]
    Name,
    /// YAML
    Yaml,
    /// JSON, as a List
    Json,
}

/// Installs.
pub(crate) fn run(args: &Args, output: &Output) -> CommandResult {
    let options = Options {
        namespace: args.namespace.clone(),
        image: args.image.clone(),
        pause_policy: !args.without_pause_policy,
    };
    let objects =
        install::objects(&options).map_err(|error| CommandError::failed(error.to_string()))?;
    match args.output {
        Form::Yaml => output.raw(&install::to_yaml(&objects)),
        Form::Json => {
            let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
            output.data(&serde_json::to_string_pretty(&list).unwrap_or_default());
        }
        Form::Name if args.dry_run => {
            for object in &objects {
                output.data(&name_of(object));
            }
        }
        Form::Name => {}
    }
    if args.dry_run {
        return Ok(0);
    }
    let access = canary_controller::client::Access {
        kubeconfig: args.kubeconfig.clone(),
        context: args.context.clone(),
        namespace: None,
    };
    drive::runtime()?.block_on(async {
        let cluster = Cluster::connect(access).await.map_err(said)?;
        for object in &objects {
            apply(cluster.client(), object).await.map_err(|error| {
                let said = said(error);
                CommandError {
                    message: format!("{}: {}", name_of(object), said.message),
                    ..said
                }
            })?;
            let done = format!("{} applied", name_of(object));
            if args.output == Form::Name {
                output.data(&done);
            } else {
                output.talk(&done);
            }
        }
        output.talk(&format!(
            "`kubectl -n {} rollout status deployment/canary-controller` says when it runs",
            args.namespace
        ));
        Ok(0)
    })
}

fn name_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
    format!(
        "{}/{}",
        text(&object["kind"]),
        text(&object["metadata"]["name"])
    )
}

/// Applies one object; a kind whose definition was applied a moment ago is waited for.
async fn apply(client: &kube::Client, object: &Value) -> Result<(), ClientError> {
    let unsuitable = |error: &dyn std::fmt::Display| ClientError::Unsuitable(error.to_string());
    let object: DynamicObject =
        serde_json::from_value(object.clone()).map_err(|error| unsuitable(&error))?;
    let types = object.types.clone().unwrap_or_default();
    let kind = GroupVersionKind::try_from(&types).map_err(|error| unsuitable(&error))?;
    let (resource, scope) = served(client, &kind, &types).await?;
    let api: Api<DynamicObject> = match (scope, object.namespace()) {
        (Scope::Namespaced, Some(namespace)) => {
            Api::namespaced_with(client.clone(), &namespace, &resource)
        }
        _ => Api::all_with(client.clone(), &resource),
    };
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(&object.name_any(), &parameters, &Patch::Apply(&object))
        .await
        .map(drop)
        .map_err(ClientError::of)
}

async fn served(
    client: &kube::Client,
    kind: &GroupVersionKind,
    types: &TypeMeta,
) -> Result<(ApiResource, Scope), ClientError> {
    let found = tokio::time::timeout(SERVED, pinned_kind(client, kind)).await;
    match found {
        Ok(Ok((resource, capabilities))) => Ok((resource, capabilities.scope)),
        Ok(Err(kube::Error::Api(_) | kube::Error::Discovery(_))) | Err(_) => {
            Err(ClientError::Unsuitable(format!(
                "this cluster does not serve {} of {}; for MutatingAdmissionPolicy (Kubernetes 1.36) there is --without-pause-policy",
                types.kind, types.api_version
            )))
        }
        Ok(Err(error)) => Err(ClientError::of(error)),
    }
}
