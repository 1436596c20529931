//! The CustomResourceDefinitions, made of the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

use super::{ClusterProfile, ClusterSource, Profile, Release, ReleaseAction, Source};

/// All of them, in the order of their names.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let mut all = vec![
        Release::crd(),
        ReleaseAction::crd(),
        Profile::crd(),
        ClusterProfile::crd(),
        Source::crd(),
        ClusterSource::crd(),
    ];
    all.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    all
}
