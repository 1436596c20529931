//! The plan of a run, and what its author may not make the controller do: reach an address, a file or a secret that no object
//! of an administrator names, or run a command.

use std::collections::BTreeMap;

use canary_orchestrator::osop::settings::{Auth, ChannelTarget, SecretRef, WebhookUrl};
use canary_orchestrator::plan::{Action, Inputs, Plan, compile};
use serde::{Deserialize, Serialize};

use crate::api::{self, ReleaseSpec};

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretPlace {
    /// Namespace of the Secret.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The key in it.
    pub key: String,
}

/// What a run keeps to make its plan again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prepared {
    /// What is compiled.
    pub inputs: Inputs,
    /// Variables that stand for secrets.
    pub secrets: BTreeMap<String, SecretPlace>,
    /// The only address that evidence may come from.
    pub prometheus: Option<String>,
}

/// The name that the Service of stable has.
pub fn service(spec: &ReleaseSpec) -> &str {
    spec.service.as_deref().unwrap_or(&spec.target.name)
}

impl Prepared {
    /// Of what the objects say; `namespace` is that of the Release, `central` that of the controller.
    pub fn new(
        made: api::Prepared,
        prometheus: Option<String>,
        namespace: &str,
        central: &str,
    ) -> Self {
        let secrets = made
            .secrets
            .into_iter()
            .map(|known| {
                let place = SecretPlace {
                    namespace: if known.cluster { central } else { namespace }.to_owned(),
                    name: known.secret.name,
                    key: known.secret.key,
                };
                (known.variable, place)
            })
            .collect();
        Self {
            inputs: made.inputs,
            secrets,
            prometheus,
        }
    }
}

/// The plan; or everything that is wrong, a line each.
pub fn plan(prepared: &Prepared) -> Result<Plan, String> {
    let (plan, diagnostics) = compile(&prepared.inputs);
    let plan = plan.ok_or_else(|| api::problems(&diagnostics))?;
    allowed(prepared, &plan)?;
    Ok(plan)
}

/// What a workflow's author may not reach from the controller is refused.
fn allowed(prepared: &Prepared, plan: &Plan) -> Result<(), String> {
    let ours = |secret: &SecretRef| match secret {
        SecretRef::Env(name) => prepared.secrets.contains_key(&name.value),
        SecretRef::File(_) => false,
    };
    let settings = &plan.settings;
    if settings.sources.scrape.is_some() {
        return Err("x-canary.sources.scrape: evidence comes from a Source object only".to_owned());
    }
    if let Some(prometheus) = &settings.sources.prometheus {
        let address = prepared.prometheus.as_deref() == Some(prometheus.url.value.as_str());
        let auth = match &prometheus.auth {
            Auth::None => true,
            Auth::Bearer(secret)
            | Auth::Basic {
                password: secret, ..
            } => ours(secret),
        };
        let headers = prometheus
            .headers_env
            .iter()
            .all(|(_, name)| prepared.secrets.contains_key(&name.value));
        let tls = &prometheus.tls;
        let files = tls.ca_file.is_some() || tls.cert_file.is_some() || tls.key_file.is_some();
        if !(address && auth && headers) || files {
            return Err(
                "x-canary.sources.prometheus: evidence comes from the Source that the Release names; remove it from the workflow"
                    .to_owned(),
            );
        }
    }
    for channel in &settings.notify {
        let fits = match &channel.target {
            ChannelTarget::SlackWebhook { webhook } => ours(webhook),
            ChannelTarget::SlackApi { token, .. } => ours(token),
            ChannelTarget::PagerDuty { routing_key, .. } => ours(routing_key),
            ChannelTarget::Webhook { url, secret } => {
                secret.as_ref().is_none_or(&ours)
                    && match url {
                        WebhookUrl::Plain(_) => true,
                        WebhookUrl::Secret(secret) => ours(secret),
                    }
            }
            ChannelTarget::Command { .. } => false,
        };
        if !fits {
            return Err(format!(
                "channel {}: in a cluster, channels are those of the Release or its Profile, with Secrets of the cluster",
                channel.name.value
            ));
        }
    }
    for node in &plan.nodes {
        if matches!(node.action, Action::Task(_) | Action::Measure(_)) {
            return Err(format!(
                "node {} ({}) runs a command or sends a request, and this controller carries out native actions only (tool: canary); \
                 replace it under x-canary.nodes, or run the workflow with `canary run`",
                node.id, node.kind
            ));
        }
    }
    let workload = &settings.workload;
    if workload.promote.is_some() || workload.rollback.is_some() || workload.scale.is_some() {
        return Err("x-canary.workload: in a cluster the workload is the Release's target; remove it from the workflow".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(extra: &str) -> Prepared {
        let text = format!(
            "osop_version: \"2.0\"\nid: w\nname: W\nnodes:\n  - {id}\n{extra}",
            id = "{id: go, type: infra, purpose: p, runtime: {tool: canary, action: promote}}"
        );
        let profile = "traffic: {router: gateway-api}\nsources: {prometheus: {url: 'http://prometheus:9090', bearer_token_env: SECRET_1}}\n";
        Prepared {
            inputs: Inputs::new("workflow", text).with_profile("profile", profile),
            secrets: BTreeMap::from([(
                "SECRET_1".to_owned(),
                SecretPlace {
                    namespace: "shop".to_owned(),
                    name: "prom".to_owned(),
                    key: "token".to_owned(),
                },
            )]),
            prometheus: Some("http://prometheus:9090".to_owned()),
        }
    }

    #[test]
    fn what_a_workflow_may_not_reach_is_refused() {
        assert_eq!(plan(&prepared("")).map(|plan| plan.nodes.len()), Ok(1));
        for (extra, word) in [
            (
                "x-canary: {sources: {prometheus: {url: 'http://169.254.169.254'}}}\n",
                "Source",
            ),
            (
                "x-canary: {sources: {prometheus: {url: 'http://prometheus:9090', bearer_token_file: /var/run/secrets/token}}}\n",
                "Source",
            ),
            (
                "x-canary: {sources: {prometheus: {url: 'http://prometheus:9090', bearer_token_env: HOME}}}\n",
                "Source",
            ),
            (
                "x-canary: {notify: {own: {type: command, argv: [sh, -c, id]}}}\n",
                "channel own",
            ),
            (
                "  - {id: sh, type: cli, purpose: p, runtime: {command: id}}\nedges: [{from: sh, to: go, mode: sequential}]\n",
                "native actions only",
            ),
            ("x-canary: {workload: {promote: id}}\n", "x-canary.workload"),
        ] {
            let error = plan(&prepared(extra)).map(|_| ()).unwrap_err();
            assert!(error.contains(word), "{extra}: {error}");
        }
    }
}
