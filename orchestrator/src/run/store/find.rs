//! Which run is meant.

use std::fs;
use std::io;

use super::{RunDirectory, Store, StoreError};

/// Which run is meant when none is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// For looking: the only active one, else the newest.
    Any,
    /// For operating: the only active one.
    Active,
}

/// How different a name may be and still be suggested, as similarity from 0 to 1.
const NEAR: f64 = 0.7;

impl Store {
    /// All runs, newest first.
    pub fn list(&self) -> Result<Vec<RunDirectory>, StoreError> {
        let mut runs = Vec::new();
        for id in self.ids()? {
            let run = self.directory(&id);
            let inputs = run.path().join("inputs.json");
            // Without inputs it is being created, or its creation was interrupted: no run.
            if let Ok(metadata) = fs::metadata(&inputs) {
                let created = metadata
                    .modified()
                    .map_err(StoreError::io("look at", &inputs))?;
                runs.push((created, number(&id), run));
            }
        }
        runs.sort_by_key(|(created, number, _)| std::cmp::Reverse((*created, *number)));
        Ok(runs.into_iter().map(|(_, _, run)| run).collect())
    }

    /// The runs that are driven now or may be resumed, newest first.
    pub fn active(&self) -> Result<Vec<RunDirectory>, StoreError> {
        Ok(self
            .list()?
            .into_iter()
            .filter(|run| !run.has_ended())
            .collect())
    }

    /// The run of that id, or the only one whose id starts so.
    pub fn open(&self, name: &str) -> Result<RunDirectory, StoreError> {
        let mut runs = self.list()?;
        if let Some(exact) = runs.iter().position(|run| run.id() == name) {
            return Ok(runs.swap_remove(exact));
        }
        let mut matches: Vec<_> = runs
            .iter()
            .filter(|run| !name.is_empty() && run.id().starts_with(name))
            .collect();
        match (matches.pop(), matches.is_empty()) {
            (Some(only), true) => Ok(only.clone()),
            (Some(last), false) => {
                matches.push(last);
                let matches = matches.iter().map(|run| run.id().to_owned()).collect();
                Err(StoreError::Ambiguous {
                    name: name.to_owned(),
                    matches,
                })
            }
            (None, _) => {
                let near = |run: &&RunDirectory| strsim::jaro_winkler(run.id(), name) > NEAR;
                let near = runs
                    .iter()
                    .filter(near)
                    .take(3)
                    .map(|run| run.id().to_owned())
                    .collect();
                Err(StoreError::Unknown {
                    name: name.to_owned(),
                    near,
                })
            }
        }
    }

    /// The run that is named, or that is meant when none is.
    pub fn resolve(&self, name: Option<&str>, wanted: Wanted) -> Result<RunDirectory, StoreError> {
        if let Some(name) = name {
            return self.open(name);
        }
        let mut active = self.active()?;
        match (active.len(), wanted) {
            (1, _) => Ok(active.remove(0)),
            (0, Wanted::Any) => self.list()?.into_iter().next().ok_or(StoreError::NoRuns),
            (0, Wanted::Active) => Err(StoreError::NoneActive),
            _ => Err(StoreError::SeveralActive(
                active.iter().map(|run| run.id().to_owned()).collect(),
            )),
        }
    }

    pub(super) fn ids(&self) -> Result<Vec<String>, StoreError> {
        let entries = match fs::read_dir(&self.runs) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::io("read", &self.runs)(error)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(StoreError::io("read", &self.runs))?;
            if entry.path().is_dir()
                && let Ok(id) = entry.file_name().into_string()
                && !id.starts_with('.')
            {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    fn directory(&self, id: &str) -> RunDirectory {
        RunDirectory::new(self.runs.join(id), id.to_owned(), &self.runtime)
    }
}

fn number(id: &str) -> u32 {
    id.rsplit_once('-')
        .and_then(|(_, number)| number.parse().ok())
        .unwrap_or(0)
}
