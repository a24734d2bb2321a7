//! The secrets of workflows: sealed memory comes from the agent, files for each start go out. Touches memory and the folder of secrets.
//!
//! Held for as long as something that runs, or is to run, names them. Another supervisor gets them anew from its agent.

use super::{Supervisor, place::Place, start::Obstacle};
use crate::{
    machine::State,
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
    held: BTreeMap<(Name, Digest), Sealed>,
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
    /// A secret came; what nobody names any more goes.
    pub(super) fn keep_secret(
        &mut self,
        workflow: Name,
        digest: Digest,
        memory: OwnedFd,
    ) -> Result<(), SecretError> {
        let sealed = Sealed::new(memory)?;
        if self.vault.held.len() >= MOST {
            self.forget_secrets();
        }
        self.vault.held.insert((workflow, digest), sealed);
        Ok(())
    }

    /// What no workflow names any more goes.
    fn forget_secrets(&mut self) {
        let workflows = self.workflows.values();
        let named: BTreeSet<(Name, Digest)> = workflows.flat_map(|w| named(&w.state)).collect();
        self.vault.held.retain(|key, _| named.contains(key));
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
            let key = (spec.workflow.clone(), *digest);
            let sealed = self.vault.held.get(&key).ok_or_else(|| {
                passing(format!(
                    "the agent has not handed the secret for {variable} over yet"
                ))
            })?;
            found.push((variable.as_str(), sealed));
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

fn named(state: &State) -> impl Iterator<Item = (Name, Digest)> {
    state.versions().flat_map(|version| {
        let spec = &version.spec;
        spec.secrets
            .values()
            .map(|digest| (spec.workflow.clone(), *digest))
    })
}
