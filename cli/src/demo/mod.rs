//! `canary demo`: two versions of a small service, their users, the splitter and a release, all in one process.

mod load;
mod service;
pub(crate) mod story;
mod world;

pub(crate) use world::{World, faster};

/// The plan is the demo's own: its proxy and its versions are gone when it ends.
pub(crate) fn is_demo(plan: &canary_orchestrator::plan::Plan) -> bool {
    let proxy = plan.settings.traffic.proxy.as_ref();
    plan.id == "demo" && proxy.is_some_and(|proxy| proxy.value == "demo")
}
