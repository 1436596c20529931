//! The kinds of objects that are read and written, and the short way to them.

use canary_traffic::kubernetes::{Api, Failure, PatchOperation, Patience, Resource};
use kube::Client;
use serde_json::{Value, json};

pub use canary_traffic::kubernetes::Served;

macro_rules! kind {
    ($name:ident, $group:literal, $version:literal, $plural:literal, $kind:literal) => {
        /// One kind.
        pub static $name: Resource = Resource {
            group: $group,
            versions: &[$version],
            plural: $plural,
            kind: $kind,
        };
    };
}

kind!(LEASES, "coordination.k8s.io", "v1", "leases", "Lease");
kind!(DEPLOYMENTS, "apps", "v1", "deployments", "Deployment");
kind!(REPLICA_SETS, "apps", "v1", "replicasets", "ReplicaSet");
kind!(
    REVISIONS,
    "apps",
    "v1",
    "controllerrevisions",
    "ControllerRevision"
);
kind!(SERVICES, "", "v1", "services", "Service");
kind!(SECRETS, "", "v1", "secrets", "Secret");
kind!(CONFIG_MAPS, "", "v1", "configmaps", "ConfigMap");
kind!(EVENTS, "", "v1", "events", "Event");
kind!(
    RELEASES,
    "canary.internal",
    "v1alpha1",
    "releases",
    "Release"
);
kind!(
    PROFILES,
    "canary.internal",
    "v1alpha1",
    "profiles",
    "Profile"
);
kind!(SOURCES, "canary.internal", "v1alpha1", "sources", "Source");

/// The cluster, in one namespace.
pub struct Cluster {
    client: Client,
    namespace: String,
    api: Api,
    served: Served,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Sends nothing.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            api: Api::with_client(client.clone(), namespace),
            client,
            namespace: namespace.to_owned(),
            served: Served::default(),
        }
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The object.
    pub async fn get(&self, kind: &Resource, name: &str) -> Result<Value, Failure> {
        self.api
            .get(kind, &self.served, name, Patience::USUAL)
            .await
    }

    /// The object, if it is there.
    pub async fn find(&self, kind: &Resource, name: &str) -> Result<Option<Value>, Failure> {
        match self.get(kind, name).await {
            Ok(object) => Ok(Some(object)),
            Err(Failure::NotFound(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Objects with these labels.
    pub async fn list(&self, kind: &Resource, labels: &str) -> Result<Vec<Value>, Failure> {
        self.api
            .list(kind, &self.served, Some(labels), Patience::USUAL)
            .await
    }

    /// Changes fields.
    pub async fn patch(
        &self,
        kind: &Resource,
        name: &str,
        operations: &[PatchOperation],
    ) -> Result<Value, Failure> {
        self.api
            .patch(kind, &self.served, name, operations, Patience::USUAL)
            .await
    }

    /// Changes fields by a merge patch.
    pub async fn merge(
        &self,
        kind: &Resource,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Failure> {
        self.api
            .merge(kind, &self.served, name, patch, Patience::USUAL)
            .await
    }

    /// Makes an object; [`Failure::Conflict`] where there is one of that name.
    pub async fn create(&self, kind: &Resource, object: &Value) -> Result<Value, Failure> {
        self.api
            .create(kind, &self.served, object, Patience::USUAL)
            .await
    }

    /// Deletes an object, if it is there.
    pub async fn delete(&self, kind: &Resource, name: &str) -> Result<(), Failure> {
        match self
            .api
            .delete(kind, &self.served, name, Patience::USUAL)
            .await
        {
            Ok(()) | Err(Failure::NotFound(_)) => Ok(()),
            Err(failure) => Err(failure),
        }
    }
}

/// Only if it is that.
pub fn test(path: &str, value: impl Into<Value>) -> PatchOperation {
    PatchOperation::Test {
        path: path.to_owned(),
        value: value.into(),
    }
}

/// Set it.
pub fn set(path: &str, value: impl Into<Value>) -> PatchOperation {
    PatchOperation::Add {
        path: path.to_owned(),
        value: value.into(),
    }
}

/// The version of an object, as a precondition.
pub fn unchanged(object: &Value) -> PatchOperation {
    let version = object.pointer("/metadata/resourceVersion");
    test(
        "/metadata/resourceVersion",
        version.cloned().unwrap_or_else(|| json!("")),
    )
}
