//! How many pods the canary has, and when: before a weight rises, the pods that it needs are there and ready.

use canary_orchestrator::plan::{Action, Edge, EdgeMode, Join, Node, NodeIndex, Plan, Retry};
use canary_traffic::Weight;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How many pods the canary has below 100 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Size {
    /// As many of stable's as it has of the traffic, at least one.
    #[default]
    MatchWeight,
    /// This percentage of stable's, at least one.
    Percent(u32),
    /// This many.
    Replicas(u32),
}

impl Size {
    /// Pods for a weight, where stable has `stable` of them. At 100 % the canary carries everything: it has as many as stable.
    pub fn pods(self, weight: Weight, stable: u32) -> u32 {
        let share = |percent: u32| stable.saturating_mul(percent).div_ceil(100).max(1);
        if weight == Weight::FULL {
            return stable.max(1);
        }
        match self {
            Self::MatchWeight => share(u32::from(weight.percent())),
            Self::Percent(percent) => share(percent.min(100)),
            Self::Replicas(replicas) => replicas.max(1),
        }
    }
}

/// Puts a node before every node that raises the weight, which brings up the pods that the weight needs. The plan's
/// fingerprint says so.
pub fn insert(plan: &mut Plan, size: Size, stable: u32, deadline: Duration) {
    let raises: Vec<(NodeIndex, Weight)> = plan
        .nodes
        .iter()
        .enumerate()
        .filter_map(|(index, node)| match node.action {
            Action::SetWeight(weight) if !weight.is_zero() => Some((NodeIndex(index), weight)),
            Action::Promote => Some((NodeIndex(index), Weight::FULL)),
            _ => None,
        })
        .collect();
    for (raise, weight) in raises {
        let pods = size.pods(weight, stable);
        let before = NodeIndex(plan.nodes.len());
        let target = plan.node(raise);
        let node = Node {
            id: format!("{}-pods", target.id),
            kind: "infra".to_owned(),
            purpose: format!("Have {pods} pods of the new version ready for {weight}"),
            scope: target.scope,
            action: Action::Scale(pods),
            join: target.join,
            retry: Retry {
                max_retries: 0,
                backoff: Duration::ZERO,
                exponential: false,
            },
            timeout: Some(deadline),
            approval: None,
            outputs: Vec::new(),
            rollback: false,
            idempotent: true,
            verifiable: false,
        };
        for edge in plan.edges.iter_mut().filter(|edge| edge.to == raise) {
            edge.to = before;
        }
        plan.edges.push(Edge {
            from: before,
            to: raise,
            mode: EdgeMode::Sequential,
            label: None,
            back: false,
            max_iterations: 1,
            optional: false,
        });
        plan.nodes.push(node);
        plan.nodes[raise.0].join = Join::Settled;
    }
    plan.hash = format!("{}/{size:?}/{stable}/{}", plan.hash, deadline.as_secs());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_for_a_weight() {
        let weight = |percent: u8| Weight::try_from(percent).unwrap();
        for (size, percent, stable, pods) in [
            (Size::MatchWeight, 10, 4, 1),
            (Size::MatchWeight, 50, 5, 3),
            (Size::MatchWeight, 100, 5, 5),
            (Size::Percent(20), 1, 10, 2),
            (Size::Percent(20), 100, 10, 10),
            (Size::Replicas(3), 1, 10, 3),
            (Size::Replicas(3), 100, 0, 1),
        ] {
            assert_eq!(
                size.pods(weight(percent), stable),
                pods,
                "{size:?} {percent} {stable}"
            );
        }
    }
}
