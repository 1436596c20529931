//! What a run sees of the cluster, as the watches tell it.

use std::collections::BTreeMap;

use crate::watch::DeploymentView;
use crate::workload::health::{self, Counts, PodView, Trouble};

/// The target, its canary and the canary's pods.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct World {
    /// The target.
    pub target: Option<DeploymentView>,
    /// Its canary.
    pub canary: Option<DeploymentView>,
    /// Pods of the canary, by name.
    pub pods: BTreeMap<String, PodView>,
}

impl World {
    /// The canary has that many pods of that template, all of that run, and all serve.
    pub fn has_ready(&self, run: &str, template: &str, pods: u32) -> bool {
        let ready = self.ready(run);
        self.canary.as_ref().is_some_and(|canary| {
            canary.template == template && canary.counts.settled() && canary.counts.wanted == pods
        }) && ready >= usize::try_from(pods).unwrap_or(usize::MAX)
    }

    /// Pods of the run that serve.
    pub fn ready(&self, run: &str) -> usize {
        let pods: Vec<PodView> = self.pods.values().cloned().collect();
        health::ready(run, &pods)
    }

    /// What is wrong with the canary.
    pub fn trouble(&self, run: &str) -> Option<Trouble> {
        let pods: Vec<PodView> = self.pods.values().cloned().collect();
        let none = Counts::default();
        let counts = self.canary.as_ref().map_or(&none, |canary| &canary.counts);
        health::trouble(run, &pods, counts)
    }

    /// The target runs this template on all its pods.
    pub fn rolled_out(&self, template: &str) -> bool {
        self.target.as_ref().is_some_and(|target| {
            !target.paused && target.template == template && target.counts.settled()
        })
    }

    /// How far the target is with rolling out, for people.
    pub fn progress(&self) -> String {
        match &self.target {
            None => "the Deployment is gone".to_owned(),
            Some(target) => {
                let counts = &target.counts;
                let stuck = target
                    .stuck
                    .as_ref()
                    .or(counts.refused.as_ref())
                    .map_or_else(String::new, |why| format!("; {why}"));
                format!(
                    "{} of {} pods are the new version, {} are available{stuck}",
                    counts.updated, counts.wanted, counts.available
                )
            }
        }
    }
}
