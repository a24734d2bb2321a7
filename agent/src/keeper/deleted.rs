//! Which commit deleted a manifest whose removal is held. In: the trunk of the mirror. Out: a commit for each workflow.
//!
//! Touches the mirror, and only while something is held: commits and trees that were verified. Decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    path::Path,
};
use swarm_manifests::{id::Oid, manifest::workflow_of, name::Name};
use swarm_repository::{
    changes::{Change, changes},
    commit::Commit,
    objects::{ObjectError, Objects},
};

/// The furthest that is looked back, in commits.
const FURTHEST: u64 = 10_000;

/// What was found so far; none: it was looked for in vain.
#[derive(Debug, Default)]
pub struct Deleted(BTreeMap<Name, Option<Oid>>);

impl Deleted {
    /// Looks for those that were not looked for yet: between `head` and the position `floor`, the newest first.
    pub fn look(&mut self, mirror: &Path, head: (Oid, u64), floor: u64, workflows: &[Name]) {
        let missing: BTreeSet<&Name> = workflows
            .iter()
            .filter(|workflow| !self.0.contains_key(*workflow))
            .collect();
        if missing.is_empty() {
            return;
        }
        let found = Objects::open(mirror, false)
            .and_then(|objects| deletions(&objects, head, floor, missing.clone()));
        let found = found.unwrap_or_else(|error| {
            tracing::warn!(%error, "who deleted what is held cannot be seen");
            BTreeMap::new()
        });
        let entries = missing
            .into_iter()
            .map(|workflow| (workflow.clone(), found.get(workflow).copied()));
        self.0.extend(entries);
    }

    /// The commit that deleted this workflow's manifest, where it is known.
    pub fn by(&self, workflow: &Name) -> Option<Oid> {
        self.0.get(workflow).copied().flatten()
    }
}

fn deletions(
    objects: &Objects,
    (head, position): (Oid, u64),
    floor: u64,
    mut missing: BTreeSet<&Name>,
) -> Result<BTreeMap<Name, Oid>, ObjectError> {
    let mut found = BTreeMap::new();
    let mut at = (head, manifests_at(objects, head)?);
    let far = (position.saturating_sub(floor)).min(FURTHEST);
    for _ in 0..far {
        let (commit, (manifests, parent)) = at;
        let Some(parent) = parent.filter(|_| !missing.is_empty()) else {
            break;
        };
        let before = manifests_at(objects, parent)?;
        let mut gone = Vec::new();
        let seen = changes(
            objects,
            "manifests",
            before.0,
            manifests,
            &mut |change: Change<'_>| {
                if change.new.is_none() {
                    gone.extend(workflow_of(change.path).and_then(|name| Name::new(name).ok()));
                }
                Ok::<(), Infallible>(())
            },
        );
        if let Err(error) = seen {
            tracing::debug!(%error, %commit, "a commit cannot be compared");
        }
        for workflow in gone.into_iter().filter(|name| missing.remove(name)) {
            found.insert(workflow, commit);
        }
        at = (parent, before);
    }
    Ok(found)
}

/// The folder of manifests in a commit, and the commit before it on the trunk.
fn manifests_at(objects: &Objects, id: Oid) -> Result<(Option<Oid>, Option<Oid>), ObjectError> {
    let malformed = |what: String| ObjectError::Malformed { id, what };
    let raw = objects.commit(id)?;
    let commit = Commit::parse(&raw).map_err(|error| malformed(error.to_string()))?;
    let tree = objects.tree(commit.tree)?;
    let folder = tree.entries().find(|entry| entry.name == b"manifests");
    Ok((
        folder.map(|entry| entry.id),
        commit.parents.first().copied(),
    ))
}
