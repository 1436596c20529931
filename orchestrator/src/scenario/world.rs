//! How everything that a run touches would answer.

use std::time::Duration;

use canary_analyzer::gate::Measurement;
use canary_traffic::Weight;
use jiff::Timestamp;

use crate::machine::{Cost, NodeResult, Watch};
use crate::plan::{GateIndex, NodeIndex};

/// How the world answers.
pub trait World {
    /// An attempt starts (1-based, counted over iterations): how it ends, and after how long; `None`: never.
    fn node(
        &mut self,
        node: NodeIndex,
        attempt: u32,
        at: Timestamp,
    ) -> Option<(Duration, NodeResult)>;
    /// An attempt is asked to end: how it then ends, and after how long; `None`: never.
    fn cancel(
        &mut self,
        node: NodeIndex,
        attempt: u32,
        at: Timestamp,
    ) -> Option<(Duration, NodeResult)>;
    /// `runtime.verify`; `None`: never.
    fn verify(
        &mut self,
        node: NodeIndex,
        attempt: u32,
        at: Timestamp,
    ) -> Option<(Duration, Result<bool, String>)>;
    /// The workload's own command.
    fn workload(
        &mut self,
        node: NodeIndex,
        attempt: u32,
        at: Timestamp,
    ) -> Option<(Duration, NodeResult)>;
    /// A gate is measured while the router sends this much to the canary; `None`: never.
    fn measure(
        &mut self,
        gate: GateIndex,
        watch: Watch,
        since: Timestamp,
        at: Timestamp,
        weight: Weight,
    ) -> Option<(Duration, Measurement)>;
    /// The router is written or read; an error says why it cannot be, `None`: never.
    fn router(
        &mut self,
        write: Option<Weight>,
        at: Timestamp,
    ) -> Option<(Duration, Result<RouterAnswer, String>)>;
    /// What the canary cost.
    fn cost(&mut self, at: Timestamp) -> Option<Cost>;
}

/// What a router that works says besides its weight.
#[derive(Debug, Clone, Default)]
pub struct RouterAnswer {
    /// It does not follow yet.
    pub pending: Option<String>,
    /// Requests since the weight was set: canary, all.
    pub seen: Option<(u64, u64)>,
}
