//! One commit, judged by the policy of its first parent (SPEC §4 rules 1 to 3). In: the state at the parent, a commit id.
//! Out: the state at the commit and what it brought, or the refusal.
//!
//! Touches the object store; the decisions are [`crate::rights`] and the policy's.

use crate::{
    allowed,
    changes::{Change, DiffError, MAX_ENTRIES, changes},
    commit::Commit,
    earlier::{Wanted, state},
    news::News,
    objects::{ObjectError, Objects},
    revoked::Root,
    rights::{self, Ask, Signer},
    tree::Mode,
    verifier::Verifier,
};
use std::sync::Arc;
use swarm_manifests::{
    id::Oid,
    manifest::workflow_of,
    policy::{Policy, Revocations, Side},
    problem::Refusal,
    rules::trunk as rules,
};

/// A commit of the trunk, and the policy that judges its children.
#[derive(Debug, Clone)]
pub(crate) struct At {
    pub id: Oid,
    pub tree: Oid,
    pub policy: Arc<Policy>,
    /// The id of policy.toml.
    pub policy_blob: Oid,
}

/// A commit of the trunk where it stands, and whose keys count for nothing there.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub at: At,
    pub position: u64,
    pub revoked: Arc<Revocations>,
    pub root: Root,
}

/// Why judging one change ended.
pub(crate) enum Stop {
    Refused(Refusal),
    Object(ObjectError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ObjectError> for Stop {
    fn from(error: ObjectError) -> Self {
        Self::Object(error)
    }
}

/// A commit that may stand on the trunk.
pub(crate) struct Good {
    pub at: At,
    /// By the policy of this commit itself.
    pub revoked: Arc<Revocations>,
    pub signer: Signer,
    pub time: String,
    pub news: News,
}

/// For who reads of a refusal: `; it changes manifests/ramp.toml and more`. Nothing where that cannot be told.
fn touching(objects: &Objects, old: Oid, new: Oid) -> String {
    let mut paths = Vec::new();
    let mut note = |change: Change<'_>| {
        paths.push(rights::plain(change.path));
        if paths.len() < 2 { Ok(()) } else { Err(()) }
    };
    let _ = changes(objects, "", Some(old), Some(new), &mut note);
    match &paths[..] {
        [] => String::new(),
        [only] => format!("; it changes {only}"),
        [first, ..] => format!("; it changes {first} and more"),
    }
}

/// Whether what the change brings may stand in any tree. What is wrong inside a bundle is that bundle's refusal, and no other's.
fn may_stand(id: Oid, signer: &Signer, change: Change<'_>) -> Result<(), Refusal> {
    let brought = change.new.filter(|_| !change.path.starts_with("bundles/"));
    match brought.and_then(|(mode, _)| allowed::why_not(&change, mode)) {
        None => Ok(()),
        Some(why) => {
            let (who, path) = (rights::named(id, signer), rights::plain(change.path));
            Err(Refusal::new(
                &rules::TREE,
                format!("{who} brings {path:?}, which {why}"),
            ))
        }
    }
}

impl Verifier {
    /// Judges the commit `id`, whose first parent stands at `place`.
    pub(crate) fn judge(
        &mut self,
        objects: &Objects,
        place: &Place,
        id: Oid,
    ) -> Result<Result<Good, Refusal>, ObjectError> {
        match self.weigh(objects, place, id) {
            Ok(good) => Ok(Ok(good)),
            Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
            Err(Stop::Object(error)) => Err(error),
        }
    }

    fn weigh(&mut self, objects: &Objects, place: &Place, id: Oid) -> Result<Good, Stop> {
        let at = &place.at;
        let malformed = |what: &dyn std::fmt::Display| {
            Refusal::new(&rules::MALFORMED, format!("commit {}: {what}", id.short()))
        };
        let commit = Commit::parse(&objects.commit(id)?).map_err(|error| malformed(&error))?;
        if commit.parents.first() != Some(&at.id) {
            return Err(malformed(&"its first parent cannot be told").into());
        }
        let touching = |refusal: Refusal| Refusal {
            reason: refusal.reason + &touching(objects, at.tree, commit.tree),
            ..refusal
        };
        let signer = rights::signer(id, &commit, &at.policy).map_err(touching)?;
        rights::not_revoked(id, &signer, &place.revoked, place.position + 1).map_err(touching)?;
        let mut news = News::default();
        let sides = (at.tree, commit.tree);
        let judged = changes(
            objects,
            "",
            Some(at.tree),
            Some(commit.tree),
            &mut |change| {
                self.may_change(objects, (id, at, &signer), sides, change)?;
                news.note(change);
                Ok(())
            },
        );
        judged.map_err(|error| of_diff(id, error))?;
        let next = self.next_policy(objects, place, (id, &signer), commit.tree)?;
        Ok(Good {
            at: At {
                id,
                tree: commit.tree,
                policy: next.policy,
                policy_blob: next.blob,
            },
            revoked: next.revoked,
            time: commit.time(),
            signer,
            news,
        })
    }

    fn may_change(
        &mut self,
        objects: &Objects,
        who: (Oid, &At, &Signer),
        trees: (Oid, Oid),
        change: Change<'_>,
    ) -> Result<(), Stop> {
        let (id, at, signer) = who;
        may_stand(id, signer, change)?;
        match rights::may_change(id, &at.policy, signer, change.path)? {
            Ask::Nothing => Ok(()),
            Ask::Manifest(workflow) => {
                let old = self.side(objects, change.path, change.old)?;
                let new = self.side(objects, change.path, change.new)?;
                Ok(rights::may_deploy(
                    id,
                    &at.policy,
                    signer,
                    change.path,
                    workflow,
                    (old.borrow(), new.borrow()),
                )?)
            }
            Ask::ManifestOf(workflow) => {
                // Without a manifest nothing says which boxes are meant: then it needs a grant for all of them.
                let mut sides = Vec::new();
                let is_it = |path: &str| workflow_of(path) == Some(workflow);
                let wanted = Wanted {
                    folder: "manifests",
                    is_it: &is_it,
                };
                for tree in [trees.0, trees.1] {
                    for (path, mode, blob) in state(objects, tree, &wanted)? {
                        sides.push(self.side(objects, &path, Some((mode, blob)))?);
                    }
                }
                if sides.is_empty() {
                    sides.push(OwnedSide::Broken);
                }
                for side in &sides {
                    let sides = (Side::Absent, side.borrow());
                    rights::may_deploy(id, &at.policy, signer, change.path, workflow, sides)?;
                }
                Ok(())
            }
        }
    }

    fn side(
        &mut self,
        objects: &Objects,
        path: &str,
        entry: Option<(Mode, Oid)>,
    ) -> Result<OwnedSide, ObjectError> {
        let Some((mode, blob)) = entry else {
            return Ok(OwnedSide::Absent);
        };
        let manifest = self.manifest(objects, path, mode, blob)?;
        Ok(manifest.map_or(OwnedSide::Broken, OwnedSide::Parsed))
    }
}

enum OwnedSide {
    Absent,
    Broken,
    Parsed(Arc<swarm_manifests::manifest::Manifest>),
}

impl OwnedSide {
    fn borrow(&self) -> Side<'_> {
        match self {
            Self::Absent => Side::Absent,
            Self::Broken => Side::Broken,
            Self::Parsed(manifest) => Side::Parsed(manifest),
        }
    }
}

pub(crate) fn of_diff(id: Oid, error: DiffError<Stop>) -> Stop {
    let tree = |what: String| {
        Stop::Refused(Refusal::new(
            &rules::TREE,
            format!("commit {}: {what}", id.short()),
        ))
    };
    match error {
        DiffError::Visitor(stop) => stop,
        DiffError::TooMany => tree(format!("it changes more than {MAX_ENTRIES} entries")),
        DiffError::Object(
            error @ (ObjectError::Malformed { .. }
            | ObjectError::TooLarge { .. }
            | ObjectError::Kind { .. }),
        ) => tree(error.to_string()),
        DiffError::Object(error) => Stop::Object(error),
    }
}
