//! What the judging of a stretch of the trunk will read. In: two commits whose trees are here. Out: the blobs of policies, manifests
//! and approvals that are not here, so that they are fetched at once and not one by one.
//!
//! Touches the object store. A guess: what it forgets is found missing by the judging itself, and what it names too much costs its bytes.

use crate::{
    changes::{Change, DiffError, changes},
    commit::Commit,
    history::MAX_WAY,
    objects::{ObjectError, Objects},
    tree::{Mode, Tree},
};
use std::{convert::Infallible, sync::Arc};
use swarm_manifests::{id::Oid, manifest::workflow_of};

/// The blobs, each once: those that were changed after `from` up to `head`, and all that the snapshot at `head` is made of.
pub fn unread(objects: &Objects, from: Oid, head: Oid) -> Result<Vec<Oid>, ObjectError> {
    let mut wanted = Vec::new();
    let mut at = Some(head);
    let mut later: Option<Arc<Tree>> = None;
    for _ in 0..MAX_WAY {
        let Some(id) = at else { break };
        let raw = match objects.commit(id) {
            // What is older than the introduction need not be here.
            Err(ObjectError::Missing(_)) if id != head => break,
            raw => raw?,
        };
        let Ok(commit) = Commit::parse(&raw) else {
            break;
        };
        let tree = objects.tree(commit.tree)?;
        wanted.extend(policy(&tree));
        match &later {
            None => {
                for folder in ["manifests", "approvals", "boxes"] {
                    note(objects, folder, None, Some(&tree), &mut wanted)?;
                }
            }
            Some(later) => note(objects, "manifests", Some(&tree), Some(later), &mut wanted)?,
        }
        if id == from {
            break;
        }
        later = Some(tree);
        at = commit.parents.first().copied();
    }
    objects.missing(wanted)
}

fn policy(tree: &Tree) -> Option<Oid> {
    tree.get(b"policy.toml").map(|entry| entry.id)
}

/// What is changed below a folder of the root.
fn note(
    objects: &Objects,
    folder: &str,
    old: Option<&Arc<Tree>>,
    new: Option<&Arc<Tree>>,
    wanted: &mut Vec<Oid>,
) -> Result<(), ObjectError> {
    let side = |tree: Option<&Arc<Tree>>| {
        let entry = tree?.get(folder.as_bytes())?;
        (entry.mode == Mode::Folder).then_some(entry.id)
    };
    let mut visit = |change: Change<'_>| {
        if folder != "manifests" || workflow_of(change.path).is_some() {
            let sides = [change.old, change.new].into_iter().flatten();
            let files = sides.filter(|(mode, _)| matches!(mode, Mode::File | Mode::Executable));
            wanted.extend(files.map(|(_, id)| id));
        }
        Ok::<(), Infallible>(())
    };
    match changes(objects, folder, side(old), side(new), &mut visit) {
        // The judging says that there are too many.
        Ok(()) | Err(DiffError::TooMany) => Ok(()),
        Err(DiffError::Visitor(never)) => match never {},
        Err(DiffError::Object(error)) => Err(error),
    }
}
