//! The secrets of workflows: sealed memory comes from the agent, files for each start go out. Touches memory and the folder of secrets.
//!
//! Held for as long as something that runs, is to run or may come back names them, and before that until what they came for is put.
//! Another supervisor gets them anew from its agent.

use super::{Supervisor, place::Place, start::Obstacle};
use crate::{
    machine::{Event, State},
    os::secrets::{Folder, Sealed, SecretError},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};
use swarm_manifests::{id::Digest, name::Name, rules};

/// So many secrets are held at most: more than any box has.
const MOST: usize = 4096;

/// What was handed over.
pub(super) struct Vault {
    folder: Result<Folder, String>,
    /// By workflow, and by the digest of the encrypted secret.
    held: BTreeMap<Name, BTreeMap<Digest, Held>>,
}

struct Held {
    sealed: Sealed,
    /// What is to run with it has not been put yet.
    is_awaited: bool,
}

impl Vault {
    pub(super) fn of(state: &Path) -> Self {
        Self {
            folder: Folder::of(state).map_err(|error| error.to_string()),
            held: BTreeMap::new(),
        }
    }

    /// Where an instance's secrets are laid out.
    pub(super) fn folder(&self, workflow: &Name, instance: u16) -> Option<PathBuf> {
        let folder = self.folder.as_ref().ok()?;
        Some(folder.of_instance(workflow, instance))
    }

    fn clear(&self, workflow: &Name, instance: u16) {
        if let Ok(folder) = &self.folder
            && let Err(error) = folder.clear(workflow, instance)
        {
            tracing::error!(%workflow, instance, %error, "its secrets could not be removed");
        }
    }
}

impl Supervisor {
    /// A secret came.
    pub(super) fn keep_secret(
        &mut self,
        workflow: Name,
        digest: Digest,
        memory: OwnedFd,
    ) -> Result<(), SecretError> {
        let sealed = Sealed::new(memory)?;
        if self.vault.held.values().map(BTreeMap::len).sum::<usize>() >= MOST {
            let names: Vec<Name> = self.vault.held.keys().cloned().collect();
            for name in names {
                self.forget_secrets(&name, true);
            }
        }
        let is_awaited = !self.names_secret(&workflow, digest);
        let held = self.vault.held.entry(workflow).or_default();
        held.insert(digest, Held { sealed, is_awaited });
        Ok(())
    }

    /// What something is put to run with now was waited for until now.
    pub(super) fn secrets_arrived(&mut self, event: &Event) {
        let (Event::Put(spec) | Event::Forbidden(spec, _)) = event else {
            return;
        };
        let Some(held) = self.vault.held.get_mut(&spec.workflow) else {
            return;
        };
        for digest in spec.secrets.values() {
            if let Some(held) = held.get_mut(digest) {
                held.is_awaited = false;
            }
        }
    }

    /// What the workflow does not name any more goes; `all`: also what it may be about to name.
    pub(super) fn forget_secrets(&mut self, name: &Name, all: bool) {
        let Some(mut held) = self.vault.held.remove(name) else {
            return;
        };
        held.retain(|digest, held| (held.is_awaited && !all) || self.names_secret(name, *digest));
        if !held.is_empty() {
            self.vault.held.insert(name.clone(), held);
        }
    }

    /// Whether something of the workflow runs, is to run or may come back with this secret.
    fn names_secret(&self, name: &Name, digest: Digest) -> bool {
        let state = self.workflows.get(name).map(|workflow| &workflow.state);
        let mut versions = state.into_iter().flat_map(State::versions);
        versions.any(|version| version.spec.secrets.values().any(|it| *it == digest))
    }

    /// The secrets of an instance that is about to start become files.
    pub(super) fn lay_out_secrets(&mut self, place: &Place, instance: u16) -> Result<(), Obstacle> {
        let spec = &place.spec;
        if spec.secrets.is_empty() {
            return Ok(());
        }
        let passing = |reason: String| Obstacle::passing(&rules::run::SECRET, reason);
        let folder = self
            .vault
            .folder
            .as_ref()
            .map_err(|why| passing(why.clone()))?;
        let mut found = Vec::new();
        for (variable, digest) in &spec.secrets {
            let held = self.vault.held.get(&spec.workflow);
            let held = held.and_then(|held| held.get(digest)).ok_or_else(|| {
                passing(format!(
                    "the agent has not handed the secret for {variable} over yet"
                ))
            })?;
            found.push((variable.as_str(), &held.sealed));
        }
        let whose = (&spec.workflow, instance);
        let done = folder.lay_out(whose, found.into_iter(), place.ids.as_ref());
        done.map_err(|error| passing(format!("its secrets: {error}")))
    }

    /// The tree of an instance is gone, and its secrets with it.
    pub(super) fn clear_secrets(&mut self, workflow: &Name, instance: u16) {
        self.vault.clear(workflow, instance);
    }

    /// Nothing runs any more.
    pub(super) fn clear_all_secrets(&mut self) {
        self.sweep_but(&BTreeSet::new());
    }

    /// What is left of instances that ended while nobody was there.
    pub(super) fn sweep_secrets(&mut self) {
        let mut stays = BTreeSet::new();
        for (name, workflow) in &self.workflows {
            let alive = workflow
                .state
                .instances
                .iter()
                .filter(|i| i.phase.has_tree());
            stays.extend(alive.map(|instance| format!("{name}.{}", instance.number)));
        }
        self.sweep_but(&stays);
    }

    fn sweep_but(&self, stays: &BTreeSet<String>) {
        if let Ok(folder) = &self.vault.folder
            && let Err(error) = folder.sweep(|name| stays.contains(name))
        {
            tracing::error!(%error, "secrets of what ended could not be removed");
        }
    }
}
