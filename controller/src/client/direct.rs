//! Taking the canary off without a controller, with the rights of whoever asks.

use std::path::Path;
use std::sync::Arc;

use canary_orchestrator::assemble;
use canary_orchestrator::diagnostic::SourceFile;
use canary_orchestrator::osop::object::to_profile;
use canary_orchestrator::osop::{self, settings};
use canary_traffic::Router;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::connect::Access;
use super::error::ClientError;
use crate::api::{GROUP, Release, VERSION, problems};

/// The router of a Release, to be driven from here. Nothing is sent.
///
/// # Errors
/// If the Release does not say what its route is.
pub fn direct_router(
    release: &Release,
    access: &Access,
    namespace: &str,
    user: &str,
) -> Result<Arc<dyn Router>, ClientError> {
    let settings = settings_of(release, access, namespace)?;
    let service = settings.service.as_ref().map_or_else(
        || release.spec.target.name.clone(),
        |name| name.value.clone(),
    );
    let nowhere = Path::new("");
    assemble::router(
        &settings,
        &service,
        &format!("{user}, directly"),
        nowhere,
        nowhere,
    )
    .ok_or_else(|| ClientError::Unsuitable("the Release names no router".to_owned()))
}

fn settings_of(
    release: &Release,
    access: &Access,
    namespace: &str,
) -> Result<settings::Settings, ClientError> {
    let wrong =
        |what: String| ClientError::Unsuitable(format!("release/{}: {what}", release.name_any()));
    let object = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "Release",
        "metadata": {"name": release.name_any(), "namespace": namespace},
        "spec": serde_json::to_value(&release.spec).map_err(|error| wrong(error.to_string()))?,
    });
    let (made, diagnostics) = to_profile(SourceFile::new("release", object.to_string()));
    let Some(mut made) = made.filter(|_| !diagnostics.has_errors()) else {
        return Err(wrong(problems(&diagnostics)));
    };
    let traffic = &mut made["traffic"];
    if let Some(path) = &access.kubeconfig {
        traffic["kubeconfig"] = Value::from(path.display().to_string());
    }
    if let Some(context) = &access.context {
        traffic["context"] = Value::from(context.clone());
    }
    // Settings are read as part of a workflow; this one does nothing.
    let workflow = json!({
        "osop_version": "2.0", "id": "direct", "name": "direct",
        "nodes": [{"id": "rollback", "type": "infra", "purpose": "take the canary off",
                   "runtime": {"tool": "canary", "action": "rollback"}}],
        "x-canary": made,
    });
    let (workflow, diagnostics) = osop::parse(SourceFile::new("release", workflow.to_string()));
    let Some(workflow) = workflow else {
        return Err(wrong(problems(&diagnostics)));
    };
    let (settings, diagnostics) = settings::merge(&workflow, None, &[]);
    if diagnostics.has_errors() {
        return Err(wrong(problems(&diagnostics)));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_router_can_be_driven_from_a_release_alone() {
        for (traffic, kind, name) in [
            ("{router: gateway-api, route: shop}", "Deployment", "shop"),
            (
                "{router: istio, route: shop, host: shop.example}",
                "Deployment",
                "shop",
            ),
            ("{router: nginx, ingress: front}", "Deployment", "front"),
            ("{router: alb, ingress: front}", "Deployment", "front"),
            ("{router: argo}", "Rollout", "checkout"),
            ("{router: replicas}", "Deployment", "checkout"),
        ] {
            let release: Release = serde_saphyr::from_str(&format!(
                "{{apiVersion: canary.internal/v1alpha1, kind: Release, metadata: {{name: r}},
                  spec: {{target: {{kind: {kind}, name: checkout}}, traffic: {traffic}, strategy: {{steps: [{{weight: 100}}]}}}}}}"
            ))
            .expect("a Release");
            let router = direct_router(&release, &Access::default(), "shop", "mia")
                .unwrap_or_else(|error| panic!("{traffic}: {error}"));
            assert!(router.name().contains(name), "{traffic}: {}", router.name());
        }
    }
}
