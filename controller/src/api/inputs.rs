//! From a Release, and what it names, to what a plan is made from. Pure: whoever calls has read the objects.

use std::collections::BTreeSet;

use canary_orchestrator::diagnostic::{self, Diagnostics, SourceFile};
use canary_orchestrator::osop::object::{secret_variable, to_profile, to_workflow};
use canary_orchestrator::plan::Inputs;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::profile::{ClusterProfile, Profile};
use super::release::{ConfigMapKey, ProfileKind, Release, SourceKind};
use super::settings::{Channel, SecretKey};
use super::source::{ClusterSource, PrometheusSource, Source};

/// What a Release names, as it was found.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// Its profile.
    pub profile: Option<NamedProfile>,
    /// Its source.
    pub source: Option<NamedSource>,
    /// The text in its ConfigMap.
    pub workflow: Option<String>,
}

/// A profile.
#[derive(Clone, Debug)]
pub enum NamedProfile {
    /// Of the namespace.
    Namespaced(Box<Profile>),
    /// Of the cluster.
    Cluster(Box<ClusterProfile>),
}

/// A source.
#[derive(Clone, Debug)]
pub enum NamedSource {
    /// Of the namespace.
    Namespaced(Box<Source>),
    /// Of the cluster.
    Cluster(Box<ClusterSource>),
}

/// What a plan is made from, and what it needs besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// For [`canary_orchestrator::plan::compile`].
    pub inputs: Inputs,
    /// Secrets whose values the run finds in these variables.
    pub secrets: BTreeSet<SecretVariable>,
}

/// A key of a Secret, and the variable that a run finds its value in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretVariable {
    /// Name of the variable.
    pub variable: String,
    /// The Secret is in the controller's namespace; else in that of the Release.
    pub cluster: bool,
    /// The Secret.
    pub secret: SecretKey,
}

/// Why a Release cannot be prepared; nothing was started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// It names an object that is not there.
    #[error("{0} is not there: create it, or name another one")]
    Missing(String),
    /// What it says is wrong.
    #[error("{0}")]
    Wrong(String),
}

impl PrepareError {
    /// CamelCase, for a condition.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing(_) => "ObjectMissing",
            Self::Wrong(_) => "NotUnderstood",
        }
    }
}

/// The ConfigMap that holds the workflow, if one does.
pub fn workflow_config_map(release: &Release) -> Option<&ConfigMapKey> {
    release.spec.strategy.workflow.as_ref()?.config_map.as_ref()
}

/// What a plan of this Release is made from.
///
/// # Errors
/// If it names what is not there, or if what it says cannot be read. What the compiler finds is not told here.
pub fn prepare(release: &Release, named: &Named) -> Result<Prepared, PrepareError> {
    check_named(release, named)?;
    let workflow = match (workflow_config_map(release), &named.workflow) {
        (Some(of), Some(text)) => Some(SourceFile::new(format!("{}/{}", of.name, of.key), text)),
        _ => None,
    };
    let text = object_text(
        "Release",
        &release.name_any(),
        release.namespace(),
        &release.spec,
    )?;
    let file = SourceFile::new(format!("release/{}", release.name_any()), text);
    let mut made = read(to_workflow(file, workflow))?;
    let mut secrets = BTreeSet::new();
    channel_secrets(&release.spec.notify, false, &mut secrets);
    if let Some(source) = &named.source {
        let (settings, cluster) = source_settings(source);
        source_secrets(source, cluster, &mut secrets);
        made["x-canary"]["sources"] = json!({ "prometheus": settings });
    }
    let mut inputs = Inputs::new("workflow", made.to_string());
    if let Some(profile) = &named.profile {
        let (file, notify, cluster) = profile_file(profile)?;
        channel_secrets(notify, cluster, &mut secrets);
        let mut made = read(to_profile(file))?;
        // The source was looked up by whoever read the objects: it is in the workflow.
        if let Some(map) = made.as_object_mut() {
            map.remove("sources");
        }
        inputs = inputs.with_profile("profile", made.to_string());
    }
    Ok(Prepared { inputs, secrets })
}

/// The source that holds: the Release's own, else its profile's.
pub fn source_reference<'a>(
    release: &'a Release,
    profile: Option<&'a NamedProfile>,
) -> Option<&'a super::release::SourceReference> {
    let own = release.spec.sources.as_ref();
    let shared = match profile {
        Some(NamedProfile::Namespaced(profile)) => profile.spec.sources.as_ref(),
        Some(NamedProfile::Cluster(profile)) => profile.spec.sources.as_ref(),
        None => None,
    };
    own.or(shared)?.prometheus.as_ref()
}

fn check_named(release: &Release, named: &Named) -> Result<(), PrepareError> {
    if let (Some(wanted), None) = (&release.spec.profile, &named.profile) {
        let kind = match wanted.kind {
            ProfileKind::Profile => "Profile",
            ProfileKind::ClusterProfile => "ClusterProfile",
        };
        return Err(PrepareError::Missing(format!("{kind} {}", wanted.name)));
    }
    let source = source_reference(release, named.profile.as_ref());
    if let (Some(wanted), None) = (source, &named.source) {
        let kind = match wanted.kind {
            SourceKind::Source => "Source",
            SourceKind::ClusterSource => "ClusterSource",
        };
        return Err(PrepareError::Missing(format!("{kind} {}", wanted.name)));
    }
    if let (Some(wanted), None) = (workflow_config_map(release), &named.workflow) {
        let (name, key) = (&wanted.name, &wanted.key);
        return Err(PrepareError::Missing(format!(
            "key {key} of ConfigMap {name}"
        )));
    }
    Ok(())
}

fn object_text(
    kind: &str,
    name: &str,
    namespace: Option<String>,
    spec: &impl serde::Serialize,
) -> Result<String, PrepareError> {
    let mut object = json!({
        "apiVersion": format!("{}/{}", super::GROUP, super::VERSION),
        "kind": kind,
        "metadata": {"name": name},
        "spec": serde_json::to_value(spec).map_err(|error| PrepareError::Wrong(error.to_string()))?,
    });
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = namespace.into();
    }
    serde_json::to_string_pretty(&object).map_err(|error| PrepareError::Wrong(error.to_string()))
}

fn read((made, diagnostics): (Option<Value>, Diagnostics)) -> Result<Value, PrepareError> {
    match made {
        Some(made) if !diagnostics.has_errors() => Ok(made),
        _ => Err(PrepareError::Wrong(problems(&diagnostics))),
    }
}

/// Errors as one text for a condition: without places, which are those of a text that nobody wrote.
pub fn problems(diagnostics: &Diagnostics) -> String {
    diagnostics
        .sorted()
        .iter()
        .filter(|found| found.severity == diagnostic::Severity::Error)
        .map(|found| match found.help.first() {
            Some(help) => format!("{} ({help})", found.message),
            None => found.message.clone(),
        })
        .collect::<Vec<_>>()
        .join("; ")
}

fn profile_file(profile: &NamedProfile) -> Result<(SourceFile, &[Channel], bool), PrepareError> {
    let (kind, name, spec, notify, cluster) = match profile {
        NamedProfile::Namespaced(profile) => (
            "Profile",
            profile.name_any(),
            serde_json::to_value(&profile.spec),
            &profile.spec.notify,
            false,
        ),
        NamedProfile::Cluster(profile) => (
            "ClusterProfile",
            profile.name_any(),
            serde_json::to_value(&profile.spec),
            &profile.spec.notify,
            true,
        ),
    };
    let spec = spec.map_err(|error| PrepareError::Wrong(error.to_string()))?;
    let text = object_text(kind, &name, None, &spec)?;
    let file = SourceFile::new(format!("{}/{name}", kind.to_lowercase()), text);
    Ok((file, notify, cluster))
}

fn channel_secrets(channels: &[Channel], cluster: bool, into: &mut BTreeSet<SecretVariable>) {
    for channel in channels {
        let all = [
            &channel.webhook_secret,
            &channel.token_secret,
            &channel.routing_key_secret,
            &channel.url_secret,
            &channel.signing_secret,
        ];
        for secret in all.into_iter().flatten() {
            into.insert(variable(secret, cluster));
        }
    }
}

fn variable(secret: &SecretKey, cluster: bool) -> SecretVariable {
    SecretVariable {
        variable: secret_variable(cluster, &secret.name, &secret.key),
        cluster,
        secret: secret.clone(),
    }
}

fn prometheus(source: &NamedSource) -> &PrometheusSource {
    match source {
        NamedSource::Namespaced(source) => &source.spec.prometheus,
        NamedSource::Cluster(source) => &source.spec.prometheus,
    }
}

fn source_secrets(source: &NamedSource, cluster: bool, into: &mut BTreeSet<SecretVariable>) {
    let source = prometheus(source);
    let basic = source.basic.as_ref().map(|basic| &basic.password_secret);
    let all = source.bearer_token_secret.iter().chain(basic);
    for secret in all.chain(source.header_secrets.values()) {
        into.insert(variable(secret, cluster));
    }
}

/// `x-canary.sources.prometheus`, and whether its Secrets are the controller's.
fn source_settings(source: &NamedSource) -> (Value, bool) {
    let cluster = matches!(source, NamedSource::Cluster(_));
    let source = prometheus(source);
    let name = |secret: &SecretKey| secret_variable(cluster, &secret.name, &secret.key);
    let mut settings = json!({ "url": source.url });
    if let Some(timeout) = &source.timeout {
        settings["timeout"] = timeout.clone().into();
    }
    if let Some(secret) = &source.bearer_token_secret {
        settings["bearer_token_env"] = name(secret).into();
    }
    if let Some(basic) = &source.basic {
        settings["username"] = basic.username.clone().into();
        settings["password_env"] = name(&basic.password_secret).into();
    }
    if !source.headers.is_empty() {
        settings["headers"] = json!(source.headers);
    }
    if !source.header_secrets.is_empty() {
        settings["headers_env"] = source
            .header_secrets
            .iter()
            .map(|(header, secret)| (header.clone(), Value::from(name(secret))))
            .collect();
    }
    if let Some(tenant) = &source.tenant {
        settings["tenant"] = tenant.clone().into();
    }
    if source.insecure_skip_verify {
        settings["tls"] = json!({ "insecure_skip_verify": true });
    }
    (settings, cluster)
}

#[cfg(test)]
mod tests {
    use canary_orchestrator::osop::settings::Auth;
    use canary_orchestrator::plan::{Plan, compile};

    use super::*;

    fn release(extra: &str) -> Release {
        let text = format!(
            "apiVersion: canary.internal/v1alpha1
kind: Release
metadata: {{name: checkout, namespace: shop}}
spec:
  target: {{name: checkout}}
  traffic: {{router: gateway-api, route: shop}}
  strategy: {{steps: [{{weight: 10}}, {{weight: 100}}]}}
{extra}"
        );
        serde_saphyr::from_str(&text).expect("a Release")
    }

    const GATES: &str = "  metrics: {preset: app}
  gates: [{name: errors, metric: error_rate, successCondition: errors < 1%}]
";
    const NAMES: &str = "  profile: {kind: ClusterProfile, name: base}
  sources: {prometheus: {kind: ClusterSource, name: main}}
  notify: [{name: own, type: slack, webhookSecret: {name: slack, key: url}}]
";

    fn source() -> NamedSource {
        let text = "apiVersion: canary.internal/v1alpha1
kind: ClusterSource
metadata: {name: main}
spec:
  prometheus:
    url: https://prometheus.example.com
    bearerTokenSecret: {name: slack, key: url}
    headerSecrets: {X-Key: {name: keys, key: one}}
    tenant: shop
";
        NamedSource::Cluster(Box::new(serde_saphyr::from_str(text).expect("a source")))
    }

    fn profile() -> NamedProfile {
        let text = "apiVersion: canary.internal/v1alpha1
kind: ClusterProfile
metadata: {name: base}
spec:
  metrics: {preset: app}
  gates: [{name: errors, metric: error_rate, successCondition: errors < 1%}]
  bake: 7m
  notify: [{name: pages, type: pagerduty, routingKeySecret: {name: pd, key: k}}]
";
        NamedProfile::Cluster(Box::new(serde_saphyr::from_str(text).expect("a profile")))
    }

    fn plan(prepared: &Prepared) -> Plan {
        let (plan, diagnostics) = compile(&prepared.inputs);
        plan.unwrap_or_else(|| panic!("{}", problems(&diagnostics)))
    }

    #[test]
    fn a_release_with_all_that_it_names_is_one_plan() {
        let named = Named {
            profile: Some(profile()),
            source: Some(source()),
            workflow: None,
        };
        let prepared = prepare(&release(NAMES), &named).expect("prepared");
        let plan = plan(&prepared);
        assert_eq!(
            (plan.service.as_str(), plan.bake.as_secs()),
            ("checkout", 420)
        );
        assert_eq!(plan.gates.len(), 1);
        let names: Vec<_> = plan
            .settings
            .notify
            .iter()
            .map(|c| c.name.value.as_str())
            .collect();
        assert_eq!(names, ["own", "pages"]);
        let prometheus = plan.settings.sources.prometheus.expect("a source");
        assert_eq!(prometheus.url.value, "https://prometheus.example.com");
        let Auth::Bearer(token) = prometheus.auth else {
            panic!("{:?}", prometheus.auth)
        };
        // The same name and key, once in the controller's namespace and once in the release's.
        let of = |cluster: bool| secret_variable(cluster, "slack", "url");
        assert_eq!(token.name().value, of(true));
        let variables: Vec<_> = prepared
            .secrets
            .iter()
            .map(|secret| (secret.variable.as_str(), secret.cluster))
            .collect();
        assert_eq!(variables.len(), 4, "{variables:?}");
        assert!(variables.contains(&(of(true).as_str(), true)));
        assert!(variables.contains(&(of(false).as_str(), false)));
    }

    #[test]
    fn what_is_named_and_not_there_is_told_by_kind_and_name() {
        let told = |extra: &str, named: &Named| {
            prepare(&release(extra), named)
                .expect_err("missing")
                .to_string()
        };
        let with_profile = Named {
            profile: Some(profile()),
            ..Named::default()
        };
        for (extra, named, expected) in [
            (NAMES, Named::default(), "ClusterProfile base is not there"),
            (NAMES, with_profile, "ClusterSource main is not there"),
        ] {
            let told = told(extra, &named);
            assert!(told.starts_with(expected), "{told}");
        }
    }

    #[test]
    fn the_order_of_what_is_prepared_does_not_change_the_plan() {
        let named = Named {
            source: Some(source()),
            ..Named::default()
        };
        let extra =
            format!("{GATES}  sources: {{prometheus: {{kind: ClusterSource, name: main}}}}\n");
        let one = prepare(&release(&extra), &named).expect("prepared");
        let other = prepare(&release(&extra), &named).expect("prepared");
        assert_eq!(one, other);
        assert_eq!(plan(&one).hash, plan(&other).hash);
    }

    #[test]
    fn a_release_without_gates_is_refused_by_the_compiler_in_words_for_people() {
        let named = Named::default();
        let prepared = prepare(&release("  metrics: {preset: app}\n"), &named).expect("prepared");
        let (plan, diagnostics) = compile(&prepared.inputs);
        assert!(plan.is_none());
        assert!(
            problems(&diagnostics).contains("there are no gates"),
            "{}",
            problems(&diagnostics)
        );
    }
}
