//! Which workflows of a snapshot mean this box, and why the others do not. Pure.
//!
//! A repository is mostly other boxes' affair, and from one snapshot to the next almost nothing of that changes: what was weighed
//! for the one before is not weighed again.

use super::choose::choose;
use crate::facts::Here;
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};
use swarm_manifests::{manifest::Manifest, name::Name, selector::Verdict};
use swarm_repository::{
    changes::one_sided,
    snapshot::{Found, Snapshot},
};

/// A bundle version.
pub type BundleKey = (Name, String);

/// What of a snapshot means this box.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// What chooses this box, and what cannot be read; in order of the paths.
    pub(super) meant: Vec<Arc<Found>>,
    /// Workflows for other boxes, and why they are not for this one.
    pub(super) elsewhere: Rc<BTreeMap<Name, String>>,
}

impl Chosen {
    /// Weighs every workflow.
    pub fn of(snapshot: &Snapshot, here: &Here) -> Self {
        let mut chosen = Self::default();
        for found in &snapshot.workflows {
            chosen.take(found, snapshot, here);
        }
        chosen
    }

    /// What [`Chosen::of`] says of `now`, where this is what it said of `before`, for the same box.
    #[must_use]
    pub fn after(&self, before: &Snapshot, now: &Snapshot, here: &Here) -> Self {
        let is_one_roster = Arc::ptr_eq(&before.roster, &now.roster)
            || before.roster.is_empty() && now.roster.is_empty();
        if !is_one_roster {
            return Self::of(now, here);
        }
        let (gone, come) = one_sided(&before.workflows, &now.workflows, |a, b| {
            (!Arc::ptr_eq(a, b)).then(|| a.brought.path.cmp(&b.brought.path))
        });
        let mut next = self.clone();
        for found in gone {
            next.meant.retain(|meant| !Arc::ptr_eq(meant, found));
            if next.elsewhere.contains_key(&found.workflow) {
                Rc::make_mut(&mut next.elsewhere).remove(&found.workflow);
            }
        }
        for found in come {
            next.take(found, now, here);
        }
        next.meant
            .sort_by(|a, b| a.brought.path.cmp(&b.brought.path));
        next
    }

    /// The bundle versions that this box needs.
    pub fn bundles(&self) -> BTreeSet<BundleKey> {
        let manifests = self.manifests();
        manifests
            .map(|manifest| (manifest.bundle.clone(), manifest.version.to_string()))
            .collect()
    }

    /// The secrets that its workflows name, each with its workflow.
    pub fn secrets(&self) -> BTreeSet<(Name, Name)> {
        self.manifests()
            .flat_map(|manifest| {
                let named = manifest.secrets.values();
                named.map(|name| (manifest.workflow.clone(), name.clone()))
            })
            .collect()
    }

    /// Those that can be read.
    fn manifests(&self) -> impl Iterator<Item = &Arc<Manifest>> {
        let meant = self.meant.iter();
        meant.filter_map(|found| found.manifest.as_ref().ok())
    }

    fn take(&mut self, found: &Arc<Found>, snapshot: &Snapshot, here: &Here) {
        let verdict = found
            .manifest
            .as_ref()
            .map(|manifest| choose(manifest, snapshot, here));
        match verdict {
            Ok(Verdict::NotChosen(reason)) => {
                Rc::make_mut(&mut self.elsewhere).insert(found.workflow.clone(), reason);
            }
            Ok(Verdict::Chosen) | Err(_) => self.meant.push(found.clone()),
        }
    }
}
