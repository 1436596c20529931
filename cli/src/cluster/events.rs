//! `canary events`.

use super::{ClusterOptions, said};
use crate::drive;
use crate::environment::Environment;
use crate::error::CommandResult;
use crate::output::Output;
use crate::view::span::{Line, Tone, cut, render};

/// What happened to a release of a cluster: events, and what people asked for
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  canary events release/checkout -n shop")]
pub(crate) struct Args {
    /// The release: release/NAME
    release: String,
    #[command(flatten)]
    cluster: ClusterOptions,
}

/// Says it.
pub(crate) fn run(args: &Args, environment: &Environment, output: &Output) -> CommandResult {
    drive::runtime()?.block_on(async {
        let (cluster, release) = args.cluster.find(&args.release).await?;
        let trail = cluster.trail(&release).await.map_err(said)?;
        if trail.is_empty() {
            output.talk("nothing is known: events are kept for an hour in most clusters");
            return Ok(0);
        }
        let width = environment.width();
        let by_width = trail
            .iter()
            .map(|one| one.by.chars().count())
            .max()
            .unwrap_or(2)
            .clamp(2, 30)
            + 2;
        let mut lines = vec![
            Line::default()
                .column("TIME", Tone::Dim, 22)
                .column("KIND", Tone::Dim, 9)
                .column("REASON", Tone::Dim, 22)
                .column("BY", Tone::Dim, by_width)
                .add("MESSAGE", Tone::Dim),
        ];
        for one in trail {
            let tone = match one.kind.as_str() {
                "Warning" => Tone::Warn,
                "Action" => Tone::Strong,
                _ => Tone::Plain,
            };
            let at = one.at.map_or_else(String::new, |at| {
                jiff::Timestamp::from_second(at.as_second())
                    .unwrap_or(at)
                    .to_string()
            });
            let line = Line::default()
                .column(at, Tone::Dim, 22)
                .column(one.kind, tone, 9)
                .column(cut(&one.reason, 20), tone, 22)
                .column(cut(&one.by, by_width - 2), Tone::Plain, by_width);
            let room = width.saturating_sub(line.text().chars().count()).max(20);
            lines.push(line.add(cut(&one.message, room), Tone::Plain));
        }
        output.data(&render(&lines, output.color));
        Ok(0)
    })
}
