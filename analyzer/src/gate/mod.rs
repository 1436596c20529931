//! Gates: a condition on a metric, with limits. Pure: an answer and a time go in, a measurement comes out, a tally says
//! where the gate stands. The limits and their order are Argo Rollouts' AnalysisTemplate semantics; what is read strictly
//! by default, and as Argo reads it under `compat: argo`, is the doubtful answer: none, NaN, several series, partial data.

mod argo;
mod limit;
mod measure;
mod model;
mod scope;
mod tally;

#[cfg(test)]
#[expect(
    clippy::unnecessary_wraps,
    reason = "what a source answers is a result, and the tests make answers"
)]
mod tests;

pub use model::{Compat, Gate, Measurement, Metric, Phase, Rule, Verdict};
pub use scope::GateScope;
pub use tally::{Tally, worst};
