//! What revoked keys brought (SPEC §4 rule 8). In: what is trusted, a policy. Out: from which positions on keys count for nothing,
//! and which bundles.
//!
//! Touches the object store: the first-parent history behind what is trusted, which was verified and is not judged again.

use crate::{
    history::parents,
    objects::{ObjectError, Objects},
    trusted::{Brought, BroughtBundle, Trusted},
    verifier::Verifier,
};
use std::{collections::BTreeMap, sync::Arc};
use swarm_manifests::{
    id::{Digest, Oid},
    policy::{Ground, Moment, Policy, Revocations},
    problem::Refusal,
};

/// Where a trunk begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Root {
    pub introduction: Oid,
    pub start: u64,
}

impl Trusted {
    pub(crate) fn root(&self) -> Root {
        Root {
            introduction: self.introduction,
            start: self.start,
        }
    }
}

/// What counts as absent at some head.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Void {
    revoked: Arc<Revocations>,
    /// Bundles that revoked keys brought or signed.
    bundles: BTreeMap<Digest, Refusal>,
}

impl Void {
    /// These keys, and these bundles with why.
    pub fn new(revoked: Arc<Revocations>, bundles: BTreeMap<Digest, Refusal>) -> Self {
        Self { revoked, bundles }
    }

    /// Why what came of this manifest (brought by this key at this position) and this bundle must not run.
    pub fn strikes(&self, brought: Option<(&str, u64)>, bundle: Option<Digest>) -> Option<Refusal> {
        let manifest =
            brought.and_then(|(key, position)| self.revoked.refuse("its manifest", key, position));
        manifest.or_else(|| self.bundles.get(&bundle?).cloned())
    }

    /// Why what ran because of this must not run.
    pub fn undermine(&self, ground: &Ground) -> Option<Refusal> {
        self.revoked.undermine(ground)
    }

    /// Whether nothing counts as absent.
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }

    pub(crate) fn of(revoked: Arc<Revocations>, trusted: &Trusted) -> Self {
        let mut bundles = BTreeMap::new();
        if !revoked.is_empty() {
            for (key, bundle) in trusted.bundles.iter() {
                if let (Some(digest), Some(refusal)) =
                    (bundle.digest, strikes(&revoked, key, bundle))
                {
                    bundles.insert(digest, refusal);
                }
            }
        }
        Self::new(revoked, bundles)
    }

    /// Why this, which was brought so, counts as absent.
    pub(crate) fn refuse(&self, what: &str, brought: &Brought) -> Option<Refusal> {
        self.revoked.refuse(what, &brought.key, brought.position)
    }

    pub(crate) fn revoked(&self) -> &Revocations {
        &self.revoked
    }
}

/// Why a bundle counts as absent: its signature is by a revoked key, or was brought by one. Another signature in its place heals it.
pub(crate) fn strikes(revoked: &Revocations, key: &str, bundle: &BroughtBundle) -> Option<Refusal> {
    let what = format!("bundle {}", key.replacen('/', " ", 1));
    let seal = &bundle.seal;
    let keys = seal.maker.iter().chain([&seal.key]);
    keys.into_iter()
        .find_map(|key| revoked.refuse(&what, key, seal.position))
}

impl Verifier {
    /// From which positions on keys count for nothing, by the policy (whose blob this is) of the commit `head` or of one upon it.
    pub(crate) fn revocations(
        &mut self,
        objects: &Objects,
        root: Root,
        (blob, policy): (Oid, &Policy),
        (head, position): (Oid, u64),
    ) -> Result<Arc<Revocations>, ObjectError> {
        if policy.revoked.is_empty() {
            return Ok(Arc::default());
        }
        if let Some(known) = self.revocations.get(&(root, blob)) {
            return Ok(known.clone());
        }
        let mut wanted: BTreeMap<Oid, Option<u64>> = BTreeMap::new();
        for revoked in &policy.revoked {
            if let Moment::Commit(id) = revoked.from {
                wanted.insert(id, None);
            }
        }
        find(objects, root, (head, position), &mut wanted)?;
        let found = Revocations::of(policy, |id| {
            Ok::<_, ObjectError>(wanted.get(&id).copied().flatten())
        })?;
        let found = Arc::new(found);
        self.revocations.insert((root, blob), found.clone());
        Ok(found)
    }
}

/// Looks these commits up in the first-parent history from `head` down to the introduction.
fn find(
    objects: &Objects,
    root: Root,
    (head, position): (Oid, u64),
    wanted: &mut BTreeMap<Oid, Option<u64>>,
) -> Result<(), ObjectError> {
    let mut missing = wanted.len();
    let (mut at, mut position) = (head, position);
    while missing > 0 {
        if let Some(found) = wanted.get_mut(&at) {
            *found = Some(position);
            missing -= 1;
        }
        if at == root.introduction || position <= root.start {
            break;
        }
        match parents(objects, at)?.first() {
            Some(parent) => at = *parent,
            None => break,
        }
        position -= 1;
    }
    Ok(())
}
