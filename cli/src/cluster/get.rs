//! `canary get releases`.

use std::pin::pin;

use canary_controller::api::Release;
use clap::ValueEnum;
use futures::StreamExt as _;
use kube::ResourceExt as _;
use kube::runtime::watcher::Event;

use super::{ClusterOptions, full_name, said, show};
use crate::drive;
use crate::environment::Environment;
use crate::error::{CommandError, CommandResult};
use crate::output::Output;
use crate::runs::now;
use crate::view::span::render;

/// Show the releases of a cluster
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  canary get releases                 of the context's namespace
  canary get releases -A -w           of all namespaces, a line per change
  canary get release checkout -o yaml
  canary get releases -l team=shop -o name")]
pub(crate) struct Args {
    /// releases
    #[arg(value_parser = ["releases", "release", "rel"], value_name = "KIND")]
    kind: String,
    /// One of them
    name: Option<String>,
    #[command(flatten)]
    pub(crate) listing: Listing,
}

/// Which, and how they are printed.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Listing {
    /// Of all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub(crate) all_namespaces: bool,
    /// Then a line for each change
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Only those with these labels
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub(crate) selector: Option<String>,
    #[command(flatten)]
    pub(crate) cluster: ClusterOptions,
    /// How to print
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<Form>,
}

impl Listing {
    /// A cluster is meant: where that is not the only thing that can be.
    pub(crate) fn in_cluster(&self, environment: &Environment) -> bool {
        self.all_namespaces
            || self.watch
            || self.selector.is_some()
            || self.cluster.are_given()
            || environment.is_plugin
    }
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// With the whole sentence
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// Only the names
    Name,
}

/// Shows them.
pub(crate) fn run(args: &Args, environment: &Environment, output: &Output) -> CommandResult {
    show_all(args.name.as_deref(), &args.listing, environment, output)
}

/// Shows one, or all.
pub(crate) fn show_all(
    name: Option<&str>,
    listing: &Listing,
    environment: &Environment,
    output: &Output,
) -> CommandResult {
    if name.is_some() && listing.all_namespaces {
        return Err(CommandError::usage(
            "one release has one namespace: leave out -A, or the name",
        ));
    }
    drive::runtime()?.block_on(async {
        let cluster = listing.cluster.connect().await?;
        if listing.watch {
            return watch(&cluster, name, listing, environment, output).await;
        }
        let releases = match name {
            Some(name) => vec![cluster.release(name).await.map_err(said)?],
            None => cluster
                .list(listing.all_namespaces, listing.selector.as_deref())
                .await
                .map_err(said)?,
        };
        if releases.is_empty() && !matches!(listing.output, Some(Form::Json | Form::Yaml)) {
            let place = if listing.all_namespaces {
                "in this cluster".to_owned()
            } else {
                format!("in namespace {}", cluster.namespace())
            };
            output.talk(&format!("there are no releases {place}"));
            return Ok(0);
        }
        print(&releases, name.is_some(), listing, environment, output);
        Ok(0)
    })
}

fn print(
    releases: &[Release],
    one: bool,
    listing: &Listing,
    environment: &Environment,
    output: &Output,
) {
    match listing.output {
        Some(Form::Name) => releases
            .iter()
            .for_each(|release| output.data(&full_name(release))),
        Some(form @ (Form::Json | Form::Yaml)) => {
            let document = if one {
                serde_json::to_value(&releases[0])
            } else {
                serde_json::to_value(
                    serde_json::json!({"apiVersion": "v1", "kind": "List", "items": releases}),
                )
            };
            output.data(&document_text(form, &document.unwrap_or_default()));
        }
        Some(Form::Wide) | None => {
            let width = if listing.output.is_some() {
                usize::MAX
            } else {
                environment.width()
            };
            let lines = show::table(releases, now(), width, listing.all_namespaces);
            output.data(&render(&lines, output.color));
        }
    }
}

pub(super) fn document_text(form: Form, document: &serde_json::Value) -> String {
    let text = if form == Form::Yaml {
        serde_saphyr::to_string(document).unwrap_or_default()
    } else {
        serde_json::to_string_pretty(document).unwrap_or_default()
    };
    text.trim_end().to_owned()
}

async fn watch(
    cluster: &canary_controller::client::Cluster,
    name: Option<&str>,
    listing: &Listing,
    environment: &Environment,
    output: &Output,
) -> CommandResult {
    let mut changes =
        pin!(cluster.watch(listing.all_namespaces, name, listing.selector.as_deref()));
    let spaces = listing.all_namespaces.then_some(20);
    let width = if listing.output.is_some() {
        usize::MAX
    } else {
        environment.width()
    };
    let mut first = true;
    while let Some(change) = changes.next().await {
        let release = match change {
            Ok(Event::Apply(release) | Event::InitApply(release)) => release,
            Ok(Event::Delete(release)) => {
                output.talk(&format!("{} is gone", full_name(&release)));
                continue;
            }
            Ok(Event::Init | Event::InitDone) => continue,
            // The watch is made again by itself, but for what will not change.
            Err(error @ canary_controller::client::ClientError::Unreachable(_)) => {
                output.warn(&error.to_string());
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                continue;
            }
            Err(error) => return Err(said(error)),
        };
        match listing.output {
            Some(Form::Name) => output.data(&full_name(&release)),
            Some(Form::Json) => output.data(&serde_json::to_string(&release).unwrap_or_default()),
            Some(Form::Yaml) => output.data(&format!(
                "---\n{}",
                serde_saphyr::to_string(&release)
                    .unwrap_or_default()
                    .trim_end()
            )),
            Some(Form::Wide) | None => {
                let name_width = release.name_any().len().max(18) + 2;
                if std::mem::take(&mut first) {
                    let header = show::table(&[], now(), width, spaces.is_some());
                    output.data(&render(&header, output.color));
                }
                let line = show::row(&release, now(), width, spaces, name_width);
                output.data(&line.render(output.color));
            }
        }
    }
    Ok(0)
}
