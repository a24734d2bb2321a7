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
    changes::{Change, DiffError, changes},
    commit::Commit,
    objects::{ObjectError, Objects},
};

/// The furthest that is looked back, in commits.
const FURTHEST: u64 = 10_000;

/// What was found so far; none: it was looked for in vain.
#[derive(Debug, Default)]
pub struct Deleted(BTreeMap<Name, Option<Oid>>);

impl Deleted {
    /// Looks for those that were not looked for yet: between `head` and the position `floor`, the newest first. Where the mirror
    /// cannot be read now, the next look tries again.
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
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "who deleted what is held cannot be seen now");
                return;
            }
        };
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
        match seen {
            Ok(()) => {}
            Err(DiffError::Object(error)) => return Err(error),
            Err(error) => tracing::debug!(%error, %commit, "a commit cannot be compared"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_repository::{tree::Mode, write::Writer};

    fn commit(writer: &Writer, tree: Oid, parent: Option<Oid>) -> Oid {
        let parent = parent.map_or(String::new(), |parent| format!("parent {parent}\n"));
        let who = "somebody <somebody@example.org> 0 +0000";
        let text = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\nx\n");
        writer.commit(text.as_bytes()).expect("a commit")
    }

    #[test]
    fn after_an_error_that_passes_it_is_looked_for_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mirror, hidden) = (folder.path().join("mirror"), folder.path().join("hidden"));
        Objects::open(&mirror, true).expect("a mirror");
        let writer = Writer::open(&mirror).expect("it opens");
        let text = writer.blob(b"x").expect("a blob");
        let manifests = writer
            .tree(&[(Mode::File, "ramp.toml", text)])
            .expect("a tree");
        let with = writer.tree(&[(Mode::Folder, "manifests", manifests)]);
        let first = commit(&writer, with.expect("a tree"), None);
        let gone = commit(&writer, writer.tree(&[]).expect("a tree"), Some(first));
        let ramp = Name::new("ramp").expect("a name");
        let mut deleted = Deleted::default();
        let look = |deleted: &mut Deleted| {
            deleted.look(&mirror, (gone, 2), 1, std::slice::from_ref(&ramp));
        };
        std::fs::rename(&mirror, &hidden).expect("it moves");
        look(&mut deleted);
        assert_eq!(deleted.by(&ramp), None);
        std::fs::rename(&hidden, &mirror).expect("it is back");
        look(&mut deleted);
        assert_eq!(deleted.by(&ramp), Some(gone));
    }
}
