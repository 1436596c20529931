//! `canary undo` and `canary set image`: changes of the workload of a release, which is judged as any new version is.

use clap::Subcommand;

use super::{ClusterOptions, full_name, said};
use crate::drive;
use crate::error::CommandResult;
use crate::output::Output;

/// Put the template of an older revision back; it is judged like any other version
#[derive(Debug, clap::Args)]
#[command(after_help = "\
To take a version away that is being judged, use `canary abort`: it takes traffic off at once.

Examples:
  canary undo release/checkout -n shop
  canary undo release/checkout --to-revision 3")]
pub(crate) struct UndoArgs {
    /// The release: release/NAME
    release: String,
    /// Which revision; without it, the one before
    #[arg(long, value_name = "N")]
    to_revision: Option<u64>,
    #[command(flatten)]
    cluster: ClusterOptions,
}

/// Change the workload of a release
#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    #[command(subcommand)]
    what: SetWhat,
}

#[derive(Debug, Subcommand)]
enum SetWhat {
    Image(ImageArgs),
}

/// Set images of containers: a new version, which is then judged
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  canary set image release/checkout app=registry.example.com/checkout:1.5 -n shop"
)]
struct ImageArgs {
    /// The release: release/NAME
    release: String,
    /// Container and image; `*` means every container
    #[arg(required = true, value_name = "CONTAINER=IMAGE", value_parser = crate::workflow::name_and_value)]
    images: Vec<(String, String)>,
    #[command(flatten)]
    cluster: ClusterOptions,
}

/// Undoes.
pub(crate) fn undo(args: &UndoArgs, output: &Output) -> CommandResult {
    drive::runtime()?.block_on(async {
        let (cluster, release) = args.cluster.find(&args.release).await?;
        let target = &release.spec.target;
        let revision = cluster.undo(target, args.to_revision).await.map_err(said)?;
        let name = full_name(&release);
        output.data(&format!(
            "{name}: {} has the template of revision {revision} again",
            target.name
        ));
        output.talk(&format!(
            "it is judged like any other version: `canary status {name} -w`"
        ));
        Ok(0)
    })
}

/// Sets.
pub(crate) fn set(args: &SetArgs, output: &Output) -> CommandResult {
    let SetWhat::Image(args) = &args.what;
    drive::runtime()?.block_on(async {
        let (cluster, release) = args.cluster.find(&args.release).await?;
        let target = &release.spec.target;
        cluster
            .set_images(target, &args.images)
            .await
            .map_err(said)?;
        let name = full_name(&release);
        output.data(&format!("{name}: images of {} set", target.name));
        output.talk(&format!("`canary status {name} -w` shows how it fares"));
        Ok(0)
    })
}
