//! The trunk: from the head trusted last to the new head, each commit judged by the policy of its first parent (SPEC §4).
//!
//! In: what is trusted, a head. Out: what is trusted then, or why not. Touches the object store, and decides nothing itself:
//! [`crate::history`] finds the way, [`crate::judge`] judges each commit on it.

use crate::{
    changes::{DiffError, changes},
    commit::Commit,
    history::{self, Way},
    judge::{At, BundleNews, Good, News, Presence},
    objects::{ObjectError, Objects},
    rights::{self, Signer},
    tree::{Mode, Tree},
    verifier::Verifier,
};
pub use crate::{
    snapshot::{Found, Snapshot, snapshot},
    trusted::{Brought, BroughtBundle, Trusted},
};
use std::{convert::Infallible, sync::Arc};
use swarm_manifests::{
    id::{Digest, Oid},
    name::Name,
    problem::Refusal,
    rules::trunk::{INTRODUCTION, TREE},
    settings::Trust,
};

/// The largest bundle.lock that is read: 50,000 lines of 160 bytes.
pub(crate) const MAX_LOCK: u64 = 16 << 20;

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
        let raw = match objects.commit(id) {
            Ok(raw) => raw,
            Err(ObjectError::Missing(_)) => return refuse("this commit is not in the repository"),
            Err(ObjectError::Kind { found, .. }) => {
                return refuse(&format!("it is a {found}, not a commit"));
            }
            Err(other) => return Err(other),
        };
        let commit = match Commit::parse(&raw) {
            Ok(commit) => commit,
            Err(error) => return refuse(&error.to_string()),
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
        let mut at = match self.at(objects, trusted.head)? {
            Ok(at) => at,
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
            let good = match self.judge(objects, &at, commit)? {
                Ok(good) => good,
                Err(refusal) => {
                    return Ok(Advance::Stopped {
                        at: trusted,
                        commit,
                        refusal,
                    });
                }
            };
            trusted.head = commit;
            trusted.position += 1;
            remember(objects, &mut trusted, &good, at.id)?;
            at = good.at;
        }
        Ok(Advance::Moved(trusted))
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

/// Who brought what an unsigned introduction holds.
fn nobody() -> Signer {
    let name = Name::new("introduction").expect("it has the form of a name");
    Signer {
        name,
        key: String::new(),
    }
}

/// Writes down what a good commit brought. `judged_by` is where the policy stands that judged it.
fn remember(
    objects: &Objects,
    trusted: &mut Trusted,
    good: &Good,
    judged_by: Oid,
) -> Result<(), ObjectError> {
    let position = trusted.position;
    let brought = |path: String| Brought {
        path,
        commit: good.at.id,
        position,
        by: good.signer.name.clone(),
        key: good.signer.key.clone(),
        time: good.time.clone(),
    };
    for (path, presence) in &good.news.manifests {
        let manifests = Arc::make_mut(&mut trusted.manifests);
        match presence {
            Presence::Here => {
                manifests.insert(path.as_str().into(), Arc::new(brought(path.clone())))
            }
            Presence::Gone => manifests.remove(path.as_str()),
        };
    }
    for news in &good.news.bundles {
        match news {
            BundleNews::Lock { key, blob } if !trusted.bundles.contains_key(key.as_str()) => {
                let digest = lock_digest(objects, *blob)?;
                let bundle = BroughtBundle {
                    brought: brought(format!("bundles/{key}")),
                    judged_by,
                    digest,
                    lock: *blob,
                };
                Arc::make_mut(&mut trusted.bundles).insert(key.as_str().into(), Arc::new(bundle));
            }
            // What was brought first stays: other bytes under a version are refused when it is looked at.
            BundleNews::Lock { .. } => {}
            BundleNews::Signature { key } => {
                let known = trusted
                    .bundles
                    .get(key.as_str())
                    .filter(|known| known.judged_by != judged_by);
                if let Some(known) = known.cloned() {
                    let known = BroughtBundle {
                        judged_by,
                        ..(*known).clone()
                    };
                    Arc::make_mut(&mut trusted.bundles)
                        .insert(key.as_str().into(), Arc::new(known));
                }
            }
        }
    }
    Ok(())
}

/// The digest, where the blob is here; a large one may not have been fetched.
fn lock_digest(objects: &Objects, blob: Oid) -> Result<Option<Digest>, ObjectError> {
    match objects.blob(blob, MAX_LOCK) {
        Ok(text) => Ok(Some(Digest::of(&text))),
        Err(ObjectError::Git(error)) => Err(ObjectError::Git(error)),
        Err(_) => Ok(None),
    }
}

/// What the introduction holds counts as brought by it.
fn everything(objects: &Objects, tree: &Tree) -> Result<Result<News, Refusal>, ObjectError> {
    let mut news = News::default();
    for folder in ["manifests", "bundles"] {
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
