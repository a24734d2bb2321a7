//! The trunk: from the head trusted last to the new head, each commit judged by the policy of its first parent (SPEC §4).
//!
//! In: what is trusted, a head. Out: what is trusted then, or why not. Touches the object store, and decides nothing itself:
//! [`crate::history`] finds the way, [`crate::judge`] judges each commit on it.

use crate::{
    changes::{DiffError, changes},
    commit::Commit,
    history::{self, Way},
    judge::{At, Good, Place},
    news::{News, remember},
    objects::{ObjectError, Objects},
    rights::{self, Signer},
    tree::{Mode, Tree},
    verifier::Verifier,
};
pub use crate::{
    news::MAX_LOCK,
    snapshot::{Found, Snapshot, snapshot},
    trusted::{Brought, BroughtBundle, BroughtFile, Seal, Trusted},
};
use std::{convert::Infallible, sync::Arc};
use swarm_manifests::{
    id::{Digest, Oid},
    name::Name,
    problem::Refusal,
    rules::trunk::{INTRODUCTION, TREE},
    settings::Trust,
};

/// What became of a look at a new head.
#[derive(Debug, Clone, PartialEq)]
pub enum Advance {
    /// The trunk moved to the new head.
    Moved(Trusted),
    /// The same head as before.
    Same,
    /// The trunk moved as far as the parent of a refused commit (rule 6), or not at all (`at` is then the old state).
    Stopped {
        /// As far as it is good.
        at: Trusted,
        /// The refused commit.
        commit: Oid,
        /// Why.
        refusal: Refusal,
    },
    /// Rewound, sidelined or unrelated (rule 5), or no commit at all: nothing changes.
    Astray(Refusal),
}

/// [`Verifier::introduce`] by a verifier that is used once.
pub fn introduce(
    objects: &Objects,
    trust: &Trust,
) -> Result<Result<Trusted, Refusal>, ObjectError> {
    Verifier::new().introduce(objects, trust)
}

/// [`Verifier::advance`] by a verifier that is used once.
pub fn advance(objects: &Objects, trusted: &Trusted, head: Oid) -> Result<Advance, ObjectError> {
    Verifier::new().advance(objects, trusted, head)
}

/// The commit that `[trust]` names, or why it is none.
fn introduction(objects: &Objects, id: Oid) -> Result<Result<Commit, String>, ObjectError> {
    let raw = match objects.commit(id) {
        Ok(raw) => raw,
        Err(ObjectError::Missing(_)) => {
            return Ok(Err("this commit is not in the repository".into()));
        }
        Err(ObjectError::Kind { found, .. }) => {
            return Ok(Err(format!("it is a {found}, not a commit")));
        }
        Err(other) => return Err(other),
    };
    Ok(Commit::parse(&raw).map_err(|error| error.to_string()))
}

impl Verifier {
    /// The trust at the introduction itself: the commit is there and its policy.toml has the SHA-256 that `[trust]` says.
    pub fn introduce(
        &mut self,
        objects: &Objects,
        trust: &Trust,
    ) -> Result<Result<Trusted, Refusal>, ObjectError> {
        let id = trust.introduction;
        let refuse = |what: &str| {
            Ok(Err(Refusal::new(
                &INTRODUCTION,
                format!("the introduction {}: {what}", id.short()),
            )))
        };
        let commit = match introduction(objects, id)? {
            Ok(commit) => commit,
            Err(why) => return refuse(&why),
        };
        let tree = objects.tree(commit.tree)?;
        let (policy_blob, policy) = match self.policy(objects, &tree)? {
            Ok(found) => found,
            Err(refusal) => return refuse(&refusal.reason),
        };
        let found = Digest::of(&objects.blob(policy_blob, u64::MAX)?);
        if found != trust.policy {
            return refuse(&format!(
                "its policy.toml has the SHA-256 {}, [trust] says {}",
                found.hex(),
                trust.policy.hex()
            ));
        }
        // It needs no signature ([trust] vouches for it), but where it has one, that says who brought what it holds.
        let signer = rights::signer(id, &commit, &policy).unwrap_or_else(|_| nobody());
        let mut trusted = Trusted {
            introduction: id,
            policy_sha256: trust.policy,
            start: trust.position,
            head: id,
            position: trust.position,
            manifests: Arc::default(),
            bundles: Arc::default(),
            files: Arc::default(),
        };
        let news = match everything(objects, &tree)? {
            Ok(news) => news,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let good = Good {
            at: At {
                id,
                tree: commit.tree,
                policy,
                policy_blob,
            },
            revoked: Arc::default(),
            signer,
            time: commit.time(),
            news,
        };
        remember(objects, &mut trusted, &good, id)?;
        Ok(Ok(trusted))
    }

    /// Verifies from the trusted head to `head`. The outer error is the object store's (missing objects, disk): nothing is decided then.
    pub fn advance(
        &mut self,
        objects: &Objects,
        trusted: &Trusted,
        head: Oid,
    ) -> Result<Advance, ObjectError> {
        if head == trusted.head {
            return Ok(Advance::Same);
        }
        let ahead = match history::way(objects, trusted, head)? {
            Way::Ahead(commits) => commits,
            Way::Astray(refusal) => return Ok(Advance::Astray(refusal)),
        };
        let mut place = match self.place(objects, trusted)? {
            Ok(place) => place,
            Err(refusal) => {
                return Ok(Advance::Stopped {
                    at: trusted.clone(),
                    commit: trusted.head,
                    refusal,
                });
            }
        };
        let mut trusted = trusted.clone();
        for commit in ahead {
            let good = match self.judge(objects, &place, commit)? {
                Ok(good) => good,
                Err(refusal) => {
                    let refusal = mending(refusal, trusted.head);
                    return Ok(Advance::Stopped {
                        at: trusted,
                        commit,
                        refusal,
                    });
                }
            };
            trusted.head = commit;
            trusted.position += 1;
            remember(objects, &mut trusted, &good, place.at.id)?;
            place = Place {
                at: good.at,
                position: trusted.position,
                revoked: good.revoked,
                root: place.root,
            };
        }
        Ok(Advance::Moved(trusted))
    }

    /// The head trusted last, where it stands.
    pub(crate) fn place(
        &mut self,
        objects: &Objects,
        trusted: &Trusted,
    ) -> Result<Result<Place, Refusal>, ObjectError> {
        let at = match self.at(objects, trusted.head)? {
            Ok(at) => at,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let root = trusted.root();
        let head = (trusted.head, trusted.position);
        let revoked = self.revocations(objects, root, (at.policy_blob, &at.policy), head)?;
        Ok(Ok(Place {
            at,
            position: trusted.position,
            revoked,
            root,
        }))
    }

    /// A commit that was verified before.
    pub(crate) fn at(
        &mut self,
        objects: &Objects,
        id: Oid,
    ) -> Result<Result<At, Refusal>, ObjectError> {
        let raw = objects.commit(id)?;
        let commit = Commit::parse(&raw).map_err(|error| ObjectError::Malformed {
            id,
            what: error.to_string(),
        })?;
        let tree = objects.tree(commit.tree)?;
        let policy = self.policy(objects, &tree)?;
        Ok(policy.map(|(policy_blob, policy)| At {
            id,
            tree: commit.tree,
            policy,
            policy_blob,
        }))
    }
}

/// The commands that mend a stopped trunk without a force push (rule 6), behind whatever else is to be done.
fn mending(refusal: Refusal, last_good: Oid) -> Refusal {
    let mend = format!(
        "somebody with the rights takes it over with swarm-pack vouch, or leaves it out with swarm-pack vouch --drop; or the branch is reset: git push --force-with-lease origin {last_good}:main"
    );
    let hint = match &refusal.hint {
        Some(hint) => format!("{hint}; {mend}"),
        None => mend,
    };
    refusal.hint(hint)
}

/// Who brought what an unsigned introduction holds.
pub(crate) fn nobody() -> Signer {
    let name = Name::new("introduction").expect("it has the form of a name");
    Signer {
        name,
        key: String::new(),
    }
}

/// What the introduction holds counts as brought by it.
fn everything(objects: &Objects, tree: &Tree) -> Result<Result<News, Refusal>, ObjectError> {
    let mut news = News::default();
    for folder in ["manifests", "bundles", "approvals", "secrets"] {
        let Some(entry) = tree
            .get(folder.as_bytes())
            .filter(|entry| entry.mode == Mode::Folder)
        else {
            continue;
        };
        let listed = changes::<Infallible>(objects, folder, None, Some(entry.id), &mut |change| {
            news.note(change);
            Ok(())
        });
        match listed {
            Ok(()) => {}
            Err(DiffError::Visitor(never)) => match never {},
            Err(DiffError::TooMany) => {
                return Ok(Err(Refusal::new(
                    &TREE,
                    format!("{folder}/ has too many entries"),
                )));
            }
            Err(DiffError::Object(error)) => return Err(error),
        }
    }
    Ok(Ok(news))
}
