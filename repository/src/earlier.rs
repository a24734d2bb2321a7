//! The version before: what stood somewhere before a commit of the trunk changed it, and who had brought that (SPEC §4 rule 8).
//!
//! Touches the object store: the first-parent history behind what is trusted. Signatures there were verified when it was judged, and
//! are not verified again; each step costs two small objects, and the way is bounded.

use crate::{
    changes::{DiffError, changes},
    history::parents,
    objects::{ObjectError, Objects},
    revoked::Root,
    rights::Signer,
    tree::Mode,
    trunk::nobody,
    verifier::Verifier,
};
use crate::{commit::Commit, trusted::Brought};
use swarm_manifests::{id::Oid, signature::Signature};

/// How far back a version is looked for, in commits.
const FURTHEST: u64 = 100_000;

/// A file, or several, as a predicate on paths below one folder of the root.
pub(crate) struct Wanted<'a> {
    pub folder: &'a str,
    pub is_it: &'a dyn Fn(&str) -> bool,
}

/// What stood there at some commit: path, mode and blob of each such file.
pub(crate) type State = Vec<(String, Mode, Oid)>;

/// The state, and who brought it; `path` of `brought` is the first file's.
pub(crate) struct Earlier {
    pub state: State,
    pub brought: Brought,
    /// The first parent of the commit that brought it.
    pub judged_by: Oid,
}

/// A commit of the trunk, where it stands, and its tree.
#[derive(Clone, Copy)]
struct Step {
    id: Oid,
    position: u64,
    tree: Oid,
}

impl Verifier {
    /// What stood there before the commit `id` at `position` changed it; none before the introduction, or too far back.
    pub(crate) fn earlier(
        &mut self,
        objects: &Objects,
        root: Root,
        (id, position): (Oid, u64),
        wanted: &Wanted<'_>,
    ) -> Result<Option<Earlier>, ObjectError> {
        let Some(mut at) = before(objects, root, (id, position))? else {
            return Ok(None);
        };
        for _ in 0..FURTHEST {
            let parent = before(objects, root, (at.id, at.position))?;
            let is_the_one = match parent {
                None => true,
                Some(parent) => touches(objects, parent.tree, at.tree, wanted)?,
            };
            if is_the_one {
                let judged_by = parent.map_or(at.id, |parent| parent.id);
                let signer = self.signer_of(objects, at.id, judged_by)?;
                let state = state(objects, at.tree, wanted)?;
                let brought = Brought {
                    path: state.first().map(|file| file.0.clone()).unwrap_or_default(),
                    commit: at.id,
                    position: at.position,
                    by: signer.0.name,
                    key: signer.0.key,
                    time: signer.1,
                };
                return Ok(Some(Earlier {
                    state,
                    brought,
                    judged_by,
                }));
            }
            let Some(parent) = parent else { break };
            at = parent;
        }
        Ok(None)
    }

    /// The last version before the one that the commit `from` brought which is not void. Where nobody's void commit had removed it
    /// before, there is none.
    pub(crate) fn last_good(
        &mut self,
        objects: &Objects,
        root: Root,
        mut from: (Oid, u64),
        wanted: &Wanted<'_>,
        mut is_void: impl FnMut(&mut Self, &Earlier) -> Result<bool, ObjectError>,
    ) -> Result<Option<Earlier>, ObjectError> {
        while let Some(earlier) = self.earlier(objects, root, from, wanted)? {
            if !is_void(self, &earlier)? {
                return Ok(Some(earlier).filter(|earlier| !earlier.state.is_empty()));
            }
            from = (earlier.brought.commit, earlier.brought.position);
        }
        Ok(None)
    }

    /// Who signed a commit that was verified, by the policy of that other one; and when, as they claim.
    fn signer_of(
        &mut self,
        objects: &Objects,
        id: Oid,
        judged_by: Oid,
    ) -> Result<(Signer, String), ObjectError> {
        let commit = read(objects, id)?;
        let signature = commit.signature.as_deref();
        let signature = signature.and_then(|armour| Signature::parse(armour).ok());
        let policy = self.at(objects, judged_by)?.ok().map(|at| at.policy);
        let name = signature
            .as_ref()
            .zip(policy)
            .and_then(|(signature, policy)| policy.person_of(&signature.key()).cloned());
        let signer = match name.zip(signature) {
            Some((name, signature)) => Signer {
                name,
                key: signature.fingerprint(),
            },
            None => nobody(),
        };
        Ok((signer, commit.time()))
    }
}

/// The commit before this one; none at the introduction.
fn before(
    objects: &Objects,
    root: Root,
    (id, position): (Oid, u64),
) -> Result<Option<Step>, ObjectError> {
    if id == root.introduction || position <= root.start {
        return Ok(None);
    }
    let Some(parent) = parents(objects, id)?.first().copied() else {
        return Ok(None);
    };
    Ok(Some(Step {
        id: parent,
        position: position - 1,
        tree: read(objects, parent)?.tree,
    }))
}

fn read(objects: &Objects, id: Oid) -> Result<Commit, ObjectError> {
    Commit::parse(&objects.commit(id)?).map_err(|error| ObjectError::Malformed {
        id,
        what: error.to_string(),
    })
}

/// Every such file in the tree of a commit.
pub(crate) fn state(
    objects: &Objects,
    tree: Oid,
    wanted: &Wanted<'_>,
) -> Result<State, ObjectError> {
    let mut found = State::new();
    each(objects, (None, Some(tree)), wanted, &mut |path, new| {
        found.extend(new.map(|(mode, blob)| (path.to_owned(), mode, blob)));
        Ok(())
    })?;
    Ok(found)
}

/// The paths of such files that differ between two trees.
pub(crate) fn paths_between(
    objects: &Objects,
    old: Oid,
    new: Oid,
    wanted: &Wanted<'_>,
) -> Result<Vec<String>, ObjectError> {
    let mut found = Vec::new();
    each(objects, (Some(old), Some(new)), wanted, &mut |path, _| {
        found.push(path.to_owned());
        Ok(())
    })?;
    Ok(found)
}

fn touches(
    objects: &Objects,
    old: Oid,
    new: Oid,
    wanted: &Wanted<'_>,
) -> Result<bool, ObjectError> {
    let mut touched = false;
    each(objects, (Some(old), Some(new)), wanted, &mut |_, _| {
        touched = true;
        Err(Enough)
    })?;
    Ok(touched)
}

struct Enough;

type Entry = Option<(Mode, Oid)>;

fn each(
    objects: &Objects,
    (old, new): (Option<Oid>, Option<Oid>),
    wanted: &Wanted<'_>,
    visit: &mut dyn FnMut(&str, Entry) -> Result<(), Enough>,
) -> Result<(), ObjectError> {
    let folder = |tree: Option<Oid>| -> Result<Option<Oid>, ObjectError> {
        let Some(tree) = tree else { return Ok(None) };
        let tree = objects.tree(tree)?;
        let entry = tree.get(wanted.folder.as_bytes());
        let folder = entry.filter(|entry| entry.mode == Mode::Folder);
        Ok(folder.map(|entry| entry.id))
    };
    let (old, new) = (folder(old)?, folder(new)?);
    let listed = changes(objects, wanted.folder, old, new, &mut |change| {
        if (wanted.is_it)(change.path) {
            visit(change.path, change.new)
        } else {
            Ok(())
        }
    });
    match listed {
        Ok(()) | Err(DiffError::Visitor(Enough)) => Ok(()),
        Err(DiffError::TooMany) => Err(ObjectError::Malformed {
            id: new.or(old).unwrap_or(Oid([0; 20])),
            what: format!("{}/ has too many entries", wanted.folder),
        }),
        Err(DiffError::Object(error)) => Err(error),
    }
}
