//! Manifests carried over from the snapshot before: only what a commit touched is read, weighed and allocated again.
//!
//! In: the snapshot before, a new head. Out: the same manifests that reading all of them would give, or nothing where more than
//! single files may have changed: another policy, a revocation, two of one name, a problem. Touches the object store.

use crate::{
    changes::one_sided,
    earlier::{Wanted, paths_between, state},
    objects::ObjectError,
    revoked::Root,
    snapshot::{Found, Scene},
    trusted::Brought,
    verifier::Verifier,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use swarm_manifests::{id::Oid, manifest::workflow_of};

/// More than this is read anew as a whole.
const FEW: usize = 100;

/// Who brought which manifest.
type Bringers = Arc<BTreeMap<Arc<str>, Arc<Brought>>>;

/// What is kept of a snapshot: every manifest counts, each name stands once, nothing is wrong.
#[derive(Debug)]
pub(crate) struct Carried {
    root: Root,
    policy_blob: Oid,
    tree: Oid,
    bringers: Bringers,
    /// In order of their paths.
    workflows: Vec<Arc<Found>>,
    /// Paths of those that need more than one person behind them: that depends on more than their own file.
    shared: BTreeSet<String>,
}

impl Carried {
    /// Of a snapshot in which nothing is odd.
    pub fn of(scene: &Scene<'_>, workflows: &[Arc<Found>]) -> Self {
        let shared = workflows.iter().filter(|found| is_shared(found));
        Self {
            root: scene.trusted.root(),
            policy_blob: scene.at.policy_blob,
            tree: scene.at.tree,
            bringers: scene.trusted.manifests.clone(),
            shared: shared.map(|found| found.brought.path.clone()).collect(),
            workflows: workflows.to_vec(),
        }
    }

    fn fits(&self, scene: &Scene<'_>) -> bool {
        self.root == scene.trusted.root()
            && self.policy_blob == scene.at.policy_blob
            && scene.void.is_empty()
    }

    /// The paths of the manifests that may be others at the head of the scene; none where the tree before cannot be read.
    fn stale(&self, scene: &Scene<'_>) -> Option<BTreeSet<String>> {
        let mut stale = self.shared.clone();
        let wanted = Wanted {
            folder: "manifests",
            is_it: &|path| workflow_of(path).is_some(),
        };
        stale.extend(paths_between(scene.objects, self.tree, scene.at.tree, &wanted).ok()?);
        // A file may be what it was, and yet have been brought anew.
        stale.extend(brought_anew(&self.bringers, &scene.trusted.manifests));
        Some(stale)
    }
}

fn is_shared(found: &Found) -> bool {
    found.backing.tally.needed > 1
}

/// The paths whose bringer is another one. What both sides share is not looked into.
fn brought_anew(before: &Bringers, now: &Bringers) -> BTreeSet<String> {
    if Arc::ptr_eq(before, now) {
        return BTreeSet::new();
    }
    let (gone, come) = one_sided(&**before, &**now, |(a, by_a), (b, by_b)| {
        (!Arc::ptr_eq(by_a, by_b)).then(|| a.cmp(b))
    });
    let paths = gone.into_iter().chain(come);
    paths.map(|(path, _)| path.to_string()).collect()
}

impl Verifier {
    /// Every manifest, in order of their paths, by what was carried over; none: read all of them.
    pub(crate) fn carry(
        &mut self,
        scene: &Scene<'_>,
    ) -> Result<Option<Vec<Arc<Found>>>, ObjectError> {
        let Some(mut carried) = self.carried.take().filter(|carried| carried.fits(scene)) else {
            return Ok(None);
        };
        let Some(stale) = carried.stale(scene).filter(|stale| stale.len() <= FEW) else {
            return Ok(None);
        };
        let place = |workflows: &[Arc<Found>], path: &str| {
            workflows.binary_search_by(|found| found.brought.path.as_str().cmp(path))
        };
        for path in &stale {
            if let Ok(at) = place(&carried.workflows, path) {
                carried.workflows.remove(at);
            }
            carried.shared.remove(path);
        }
        let wanted = Wanted {
            folder: "manifests",
            is_it: &|path| stale.contains(path),
        };
        for (path, mode, blob) in state(scene.objects, scene.at.tree, &wanted)? {
            let Ok(one) = self.stands(scene, &path, mode, blob)? else {
                return Ok(None);
            };
            let is_twin = |found: &Arc<Found>| found.workflow == one.workflow;
            let Err(at) = place(&carried.workflows, &path) else {
                return Ok(None);
            };
            if one.void.is_some() || carried.workflows.iter().any(is_twin) {
                return Ok(None);
            }
            let found = self.found(scene, &one, &[])?;
            if is_shared(&found) {
                carried.shared.insert(path);
            }
            carried.workflows.insert(at, Arc::new(found));
        }
        let workflows = carried.workflows.clone();
        carried.tree = scene.at.tree;
        carried.bringers = scene.trusted.manifests.clone();
        self.carried = Some(carried);
        Ok(Some(workflows))
    }
}
