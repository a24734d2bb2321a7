//! One commit, judged by the policy of its first parent (SPEC §4 rules 1 to 3). In: the state at the parent, a commit id.
//! Out: the state at the commit and what it brought, or the refusal.
//!
//! Touches the object store; the decisions are [`crate::rights`] and the policy's.

use crate::{
    changes::{Change, DiffError, MAX_ENTRIES, changes},
    commit::Commit,
    objects::{ObjectError, Objects},
    rights::{self, Ask, Signer},
    tree::Mode,
    verifier::Verifier,
};
use std::sync::Arc;
use swarm_manifests::{
    id::Oid,
    manifest::workflow_of,
    name::Name,
    policy::{self, Policy, Side},
    problem::Refusal,
    rules::{file::NOT_BUILT, trunk as rules},
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

/// What one commit changed of what is remembered.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub manifests: Vec<(String, Presence)>,
    pub bundles: Vec<BundleNews>,
}

/// Whether a manifest is there after the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Here,
    Gone,
}

/// A bundle.lock or bundle.lock.sig that is new or another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BundleNews {
    Lock { key: String, blob: Oid },
    Signature { key: String },
}

/// Why judging one change ended.
enum Stop {
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
    pub signer: Signer,
    pub time: String,
    pub news: News,
}

impl Verifier {
    /// Judges the commit `id`, whose first parent is `at`.
    pub(crate) fn judge(
        &mut self,
        objects: &Objects,
        at: &At,
        id: Oid,
    ) -> Result<Result<Good, Refusal>, ObjectError> {
        match self.weigh(objects, at, id) {
            Ok(good) => Ok(Ok(good)),
            Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
            Err(Stop::Object(error)) => Err(error),
        }
    }

    fn weigh(&mut self, objects: &Objects, at: &At, id: Oid) -> Result<Good, Stop> {
        let malformed = |what: &dyn std::fmt::Display| {
            Refusal::new(&rules::MALFORMED, format!("commit {}: {what}", id.short()))
        };
        let commit = Commit::parse(&objects.commit(id)?).map_err(|error| malformed(&error))?;
        if commit.parents.first() != Some(&at.id) {
            return Err(malformed(&"its first parent cannot be told").into());
        }
        let signer = rights::signer(id, &commit, &at.policy)?;
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
        let (policy_blob, policy) = self.next_policy(objects, id, at, &signer, commit.tree)?;
        Ok(Good {
            at: At {
                id,
                tree: commit.tree,
                policy,
                policy_blob,
            },
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
                for tree in [trees.0, trees.1] {
                    for (path, mode, blob) in manifests_of(objects, tree, workflow)? {
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

    /// The policy after the commit: the same one, or a lawful successor (rule 2, of which approvals are not built yet).
    fn next_policy(
        &mut self,
        objects: &Objects,
        id: Oid,
        at: &At,
        signer: &Signer,
        tree: Oid,
    ) -> Result<(Oid, Arc<Policy>), Stop> {
        let of_commit = |why: Refusal| Refusal {
            reason: format!("{}: {}", rights::named(id, signer), why.reason),
            ..why
        };
        let tree = objects
            .tree(tree)
            .map_err(|error| of_diff(id, DiffError::Object(error)))?;
        let (blob, policy) = self.policy(objects, &tree)?.map_err(of_commit)?;
        if blob == at.policy_blob {
            return Ok((blob, policy));
        }
        policy::check_change(&at.policy, &policy).map_err(of_commit)?;
        if at.policy.threshold > 1 {
            let reason = format!(
                "a change of a policy with threshold = {} is not built yet",
                at.policy.threshold
            );
            return Err(of_commit(Refusal::new(&NOT_BUILT, reason)).into());
        }
        if policy.revoked != at.policy.revoked {
            return Err(of_commit(Refusal::new(
                &NOT_BUILT,
                "[[revoked]] in policy.toml is not built yet; remove the person's key instead",
            ))
            .into());
        }
        Ok((blob, policy))
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

impl News {
    /// Notes what a change means for who brought what.
    pub fn note(&mut self, change: Change<'_>) {
        if workflow_of(change.path).is_some() {
            let presence = if change.new.is_some() {
                Presence::Here
            } else {
                Presence::Gone
            };
            self.manifests.push((change.path.into(), presence));
        }
        let Some((_, blob)) = change.new else { return };
        match version_file(change.path) {
            Some((key, "bundle.lock")) => self.bundles.push(BundleNews::Lock { key, blob }),
            Some((key, "bundle.lock.sig")) => self.bundles.push(BundleNews::Signature { key }),
            _ => {}
        }
    }
}

/// `bundles/<name>/<version>/<file>` as (`<name>/<version>`, `<file>`).
fn version_file(path: &str) -> Option<(String, &str)> {
    let (name, rest) = path.strip_prefix("bundles/")?.split_once('/')?;
    let (version, file) = rest.split_once('/')?;
    Name::new(name).ok()?;
    Some((format!("{name}/{version}"), file))
}

/// Every manifest of this workflow in the tree of a commit (there should be one at most).
fn manifests_of(
    objects: &Objects,
    tree: Oid,
    workflow: &str,
) -> Result<Vec<(String, Mode, Oid)>, Stop> {
    let mut found = Vec::new();
    let Some(folder) = objects
        .tree(tree)?
        .get(b"manifests")
        .filter(|entry| entry.mode == Mode::Folder)
        .map(|entry| entry.id)
    else {
        return Ok(found);
    };
    let listed = changes::<std::convert::Infallible>(
        objects,
        "manifests",
        None,
        Some(folder),
        &mut |change| {
            if let (Some((mode, blob)), Some(_)) = (
                change.new,
                workflow_of(change.path).filter(|stem| *stem == workflow),
            ) {
                found.push((change.path.to_owned(), mode, blob));
            }
            Ok(())
        },
    );
    match listed {
        Ok(()) => Ok(found),
        Err(DiffError::Visitor(never)) => match never {},
        Err(DiffError::TooMany) => {
            Err(Refusal::new(&rules::TREE, "manifests/ has too many entries").into())
        }
        Err(DiffError::Object(error)) => Err(error.into()),
    }
}

fn of_diff(id: Oid, error: DiffError<Stop>) -> Stop {
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
