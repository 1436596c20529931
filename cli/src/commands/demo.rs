//! `canary demo`.

use std::sync::Arc;

use canary_orchestrator::assemble::MakeRouter;
use canary_orchestrator::plan::Inputs;

use crate::demo::story::Story;
use crate::demo::{World, faster};
use crate::drive::{self, Manner, RunOptions};
use crate::environment::Environment;
use crate::error::CommandResult;
use crate::output::Output;
use crate::workflow;

const WORKFLOW: &str = include_str!("../../../examples/demo.osop.yaml");

/// See a release from its beginning to its end, on this machine, in a minute
///
/// Starts two versions of a small service, users, a splitter and a release: 10 % -> check -> 50 % -> check -> 100 %. Nothing
/// else is needed. `canary status -w`, `promote`, `abort`, `pause` and `resume` work on it from another terminal.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary demo                       the new version answers 5 % with errors: it is caught at 10 %
  canary demo --story good          a good version is promoted
  canary demo --story slow --speed 3
  canary demo --story no-traffic    nothing to judge: it is blocked, and after a while taken back

Exit code 0 if the story ended as it should (a bad version was taken back, a good one promoted), else that of the release.")]
pub(crate) struct Args {
    /// What is wrong with the new version
    #[arg(long, value_enum, default_value_t)]
    story: Story,
    /// How many times faster than usual; checks see fewer requests then
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// Makes requests and failures repeatable
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// A line per event even on a terminal
    #[arg(long)]
    plain: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.1..=20.0).contains(&speed) => Ok(speed),
        _ => Err(format!("`{text}` is not a number from 0.1 to 20")),
    }
}

/// Shows it.
pub(crate) fn run(args: &Args, environment: &Environment, output: &Output) -> CommandResult {
    drive::runtime()?.block_on(async {
        let world = World::start(args.story, args.speed, args.seed).await?;
        output.talk(&format!(
            "demo: {}; {} requests/s through http://{}",
            args.story.summary(),
            args.story.requests_per_second(),
            world.address()
        ));
        let inputs = Inputs::new("demo.osop.yaml", faster(WORKFLOW, args.speed))
            .with_profile("demo.profile.yaml", world.profile());
        let plan = workflow::plan(&inputs, output)?;
        let options = RunOptions {
            directory: environment.directory.clone(),
        };
        let splitter = world.splitter().clone();
        let router: MakeRouter =
            Arc::new(move |identity: &str| Arc::new(splitter.signed(identity)));
        let manner = Manner {
            no_wait: false,
            plain: args.plain,
        };
        // Boxed: the future of a whole run is large.
        let end = Box::pin(drive::start(
            &inputs,
            plan,
            &options,
            Some(router),
            manner,
            environment,
            output,
        ))
        .await?;
        let (sent, bad) = world.seen();
        output.talk(&format!(
            "demo: users sent {sent} requests in all, {bad} of them went badly; try next: {}",
            args.story.next()
        ));
        let as_told = end
            .outcome
            .is_some_and(|outcome| args.story.should_end(outcome));
        Ok(if as_told { 0 } else { end.exit_code() })
    })
}
