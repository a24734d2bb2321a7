//! Which workflow has which user id: kept in a file, so that it is the same after a reboot. Touches that file.

use crate::{
    os::{
        launch::Ids,
        users::{self, UserError},
    },
    protocol::RunSpec,
    settings::Settings,
};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};
use swarm_manifests::name::Name;

/// The ids that are given out.
pub(super) struct Users {
    file: PathBuf,
    taken: BTreeMap<Name, u32>,
    switch: bool,
    range: (u32, u32),
    /// The agent's.
    pub agent: Option<Ids>,
    /// The indexer's.
    pub fetch: Option<Ids>,
}

impl Users {
    /// Reads the file. One that cannot be read gives the same ids again, which follow from the names.
    pub(super) fn open(file: &Path, settings: &Settings) -> io::Result<Self> {
        let taken = match fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        let switch = settings.switch_users && users::may_switch();
        let agent = if switch {
            Some(agent_user(settings).map_err(io::Error::other)?)
        } else {
            None
        };
        let fetch = if switch { fetch_user(settings) } else { None };
        // The first id of the range may be the agent's, the second the indexer's.
        let second = settings.users.0.saturating_add(1);
        let is_second = fetch.as_ref().is_some_and(|ids| ids.uid == second);
        let range = (second + u32::from(is_second), settings.users.1);
        Ok(Self {
            file: file.to_owned(),
            taken,
            switch,
            range,
            agent,
            fetch,
        })
    }

    /// Why the indexer has no user of its own, where it has none.
    pub(super) fn no_fetch(&self) -> &'static str {
        if self.switch {
            "this box has no user swarm-fetch, and [users] range is too small"
        } else {
            "only root can switch users"
        }
    }

    /// The id that a workflow has, where it has one.
    pub(super) fn id_of(&self, workflow: &Name) -> Option<u32> {
        self.taken.get(workflow).copied().filter(|_| self.switch)
    }

    /// Whom a workflow runs as. None: as the caller.
    pub(super) fn ids(&mut self, spec: &RunSpec, state: &Path) -> Result<Option<Ids>, UserError> {
        if !self.switch {
            return Ok(None);
        }
        if let Some(user) = &spec.user {
            return users::named(user, &spec.sandbox.groups).map(Some);
        }
        let uid = users::allocate(&self.taken, self.range, state, &spec.workflow)?;
        if self.taken.insert(spec.workflow.clone(), uid) != Some(uid) {
            self.save();
        }
        users::of_range(uid, &spec.sandbox.groups).map(Some)
    }

    /// A purged workflow gives its id back.
    pub(super) fn release(&mut self, workflow: &Name) {
        if self.taken.remove(workflow).is_some() {
            self.save();
        }
    }

    fn save(&self) {
        let temporary = self.file.with_extension("new");
        let saved = serde_json::to_vec(&self.taken)
            .map_err(io::Error::from)
            .and_then(|bytes| fs::write(&temporary, bytes))
            .and_then(|()| fs::rename(&temporary, &self.file));
        if let Err(error) = saved {
            tracing::warn!(%error, "the user ids could not be saved; they follow from the names again");
        }
    }
}

fn agent_user(settings: &Settings) -> Result<Ids, UserError> {
    match &settings.agent_user {
        Some(user) => users::named(user, &[]),
        None => users::named("swarm", &[]).or_else(|_| users::of_range(settings.users.0, &[])),
    }
}

/// `swarm-fetch`, or the second id of the range where some are left for workflows.
fn fetch_user(settings: &Settings) -> Option<Ids> {
    users::named("swarm-fetch", &[]).ok().or_else(|| {
        let (first, last) = settings.users;
        let second = first.checked_add(1).filter(|second| *second < last)?;
        users::of_range(second, &[]).ok()
    })
}
