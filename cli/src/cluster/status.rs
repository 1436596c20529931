//! `canary status` of a release in a cluster.

use std::pin::pin;

use canary_controller::api::Release;
use canary_controller::client::ClientError;
use futures::StreamExt as _;
use kube::runtime::watcher::Event;

use super::get::{Form, document_text};
use super::{ClusterOptions, full_name, said, show};
use crate::drive;
use crate::environment::Environment;
use crate::error::CommandResult;
use crate::output::Output;
use crate::runs::now;
use crate::view::live::{Key, Screen};
use crate::view::span::render;
use crate::view::time;

/// Says it; with `watch` until it ends or somebody leaves.
pub(crate) fn run(
    release: &str,
    watch: bool,
    form: Option<Form>,
    options: &ClusterOptions,
    environment: &Environment,
    output: &Output,
) -> CommandResult {
    drive::runtime()?.block_on(async {
        let (cluster, release) = options.find(release).await?;
        if watch {
            let changes = cluster.watch(false, Some(&kube::ResourceExt::name_any(&release)), None);
            return follow(changes, form, environment, output).await;
        }
        print(&release, form, environment, output);
        Ok(0)
    })
}

fn print(release: &Release, form: Option<Form>, environment: &Environment, output: &Output) {
    match form {
        Some(Form::Name) => output.data(&full_name(release)),
        Some(form @ (Form::Json | Form::Yaml)) => {
            let document = serde_json::to_value(release).unwrap_or_default();
            output.data(&document_text(form, &document));
        }
        Some(Form::Wide) | None => {
            let lines = show::screen(release, now(), environment.width(), form.is_some());
            output.data(&render(&lines, output.color));
        }
    }
}

async fn follow(
    changes: impl futures::Stream<Item = Result<Event<Release>, ClientError>>,
    form: Option<Form>,
    environment: &Environment,
    output: &Output,
) -> CommandResult {
    let mut changes = pin!(changes);
    let lines_only = form.is_some_and(|form| form != Form::Wide);
    let mut screen = if environment.stdout_is_terminal && !lines_only {
        Screen::enter(output.color).ok()
    } else {
        None
    };
    let mut last: Option<Release> = None;
    loop {
        let change = tokio::select! {
            change = changes.next() => change,
            key = next_key(&mut screen) => match key {
                Key::Quit | Key::Interrupt => break,
                Key::Resized => last.clone().map(|release| Ok(Event::Apply(release))),
            },
        };
        let release = match change {
            None | Some(Ok(Event::Delete(_))) => break,
            Some(Ok(Event::Apply(release) | Event::InitApply(release))) => release,
            Some(Ok(Event::Init | Event::InitDone)) => continue,
            Some(Err(ClientError::Unreachable(_))) => {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                continue;
            }
            Some(Err(error)) => return Err(said(error)),
        };
        match &mut screen {
            Some((screen, _)) => {
                let (width, _) = screen.size();
                let lines = show::screen(&release, now(), width, form.is_some());
                if screen.draw(&lines).is_err() {
                    break;
                }
            }
            None => line(&release, last.as_ref(), form, output),
        }
        last = Some(release);
    }
    drop(screen);
    if let Some(last) = last.filter(|_| !lines_only && environment.stdout_is_terminal) {
        print(&last, form, environment, output);
    }
    Ok(0)
}

/// One line per change, where there is no terminal.
fn line(release: &Release, before: Option<&Release>, form: Option<Form>, output: &Output) {
    match form {
        Some(Form::Json) => output.data(&serde_json::to_string(release).unwrap_or_default()),
        Some(Form::Yaml) => output.data(&format!(
            "---\n{}",
            serde_saphyr::to_string(release)
                .unwrap_or_default()
                .trim_end()
        )),
        Some(Form::Name | Form::Wide) | None => {
            let said = |release: &Release| {
                let status = release.status.clone().unwrap_or_default();
                (status.phase, status.why)
            };
            if before.map(&said) != Some(said(release)) {
                let (word, _) = show::phase(release.status.as_ref());
                let why = said(release).1.unwrap_or_default();
                output.data(&format!("{} {word}: {why}", time::clock(now())));
            }
        }
    }
}

async fn next_key(screen: &mut Option<(Screen, tokio::sync::mpsc::UnboundedReceiver<Key>)>) -> Key {
    match screen {
        Some((_, keys)) => match keys.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
