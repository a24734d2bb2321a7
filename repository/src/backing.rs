//! Who stands behind a manifest (SPEC §4 rule 7). In: a manifest on the trunk. Out: a tally, and which files do not count.
//!
//! Touches the object store, where a grant asks for more than one person; each approval is judged by the policy of the first parent
//! of the commit that brought it, and counts for nothing where its key is revoked from there on.

use crate::{
    earlier::Wanted,
    history::parents,
    news::{self, MAX_LOCK},
    objects::{ObjectError, Objects},
    snapshot::{Backing, Scene},
    tree::Mode,
    trusted::Brought,
    verifier::{Verifier, text},
};
use std::collections::BTreeMap;
use swarm_manifests::{
    approval::{Subject, Tally, approver},
    id::{Digest, Oid},
    manifest::Manifest,
    name::Name,
    policy::Hand,
    signature::MAX_ARMOUR,
};

/// A manifest on the trunk whose backing is asked for.
pub(crate) struct Asked<'a> {
    pub manifest: &'a Manifest,
    pub blob: Oid,
    pub brought: &'a Brought,
    /// Where a later version is void: the commit that brought that, and its position. Then the approvals before it count.
    pub before: Option<(Oid, u64)>,
}

/// A file of approval: where it stands, whose it should be, and its blob.
struct Paper {
    path: String,
    person: Name,
    blob: Oid,
}

impl Verifier {
    /// Who stands behind it.
    pub(crate) fn backing(
        &mut self,
        scene: &Scene<'_>,
        asked: &Asked<'_>,
    ) -> Result<Backing, ObjectError> {
        let (needed, mut could) = scene.at.policy.approvals_needed(asked.manifest);
        let next = scene.trusted.position + 1;
        could.retain(|person| scene.at.policy.can_sign(person, scene.void.revoked(), next));
        let mut backing = Backing {
            tally: Tally {
                needed,
                by: [asked.brought.by.clone()].into(),
                could,
            },
            ..Backing::default()
        };
        if needed <= 1 {
            return Ok(backing);
        }
        let Some(statement) = statement(scene, asked)? else {
            return Ok(backing);
        };
        let mut tree = scene.at.tree;
        if let Some((commit, _)) = asked.before
            && let Some(parent) = parents(scene.objects, commit)?.first()
            && let Ok(at) = self.at(scene.objects, *parent)?
        {
            tree = at.tree;
        }
        let mut struck = BTreeMap::new();
        for paper in papers(scene.objects, tree, &asked.manifest.workflow)? {
            let (name, hand) = match self.approved(scene, asked, &paper, &statement)? {
                Ok(approved) => approved,
                Err(why) => {
                    backing.odd.push((paper.path, why));
                    continue;
                }
            };
            let revoked = scene.void.revoked();
            if let Some(refusal) = revoked.refuse_hand("it", &hand) {
                struck.extend(
                    revoked
                        .refuse_hand(&paper.path, &hand)
                        .map(|why| (name, why)),
                );
                backing.odd.push((paper.path, refusal.reason));
            } else if backing.tally.by.insert(name) {
                backing.approvals.push(hand);
            }
        }
        let missing = usize::try_from(backing.tally.missing()).unwrap_or(usize::MAX);
        struck.retain(|name, _| !backing.tally.by.contains(name));
        if (1..=struck.len()).contains(&missing) {
            backing.struck = struck.into_values().next();
        }
        Ok(backing)
    }

    /// Whose approval it is and through which hands it came, revoked or not; or why it is none.
    fn approved(
        &mut self,
        scene: &Scene<'_>,
        asked: &Asked<'_>,
        paper: &Paper,
        statement: &str,
    ) -> Result<Result<(Name, Hand), String>, ObjectError> {
        let objects = scene.objects;
        let Some((brought, judged_by)) = self.brought_at(scene, asked, &paper.path)? else {
            return Ok(Err("nobody is known to have brought it".into()));
        };
        let armour = match objects.blob(paper.blob, MAX_ARMOUR as u64) {
            Ok(armour) => armour,
            Err(error @ (ObjectError::TooLarge { .. } | ObjectError::Kind { .. })) => {
                return Ok(Err(error.to_string()));
            }
            Err(error) => return Err(error),
        };
        let policy = match self.at(objects, judged_by)? {
            Ok(at) => at.policy,
            Err(refusal) => return Ok(Err(refusal.reason)),
        };
        let person = paper.person.as_str();
        let signed = approver(&policy, person, &armour, statement, asked.manifest);
        Ok(signed.map(|signed| {
            let hand = Hand {
                keys: vec![signed.key, brought.key],
                position: brought.position,
            };
            (signed.name, hand)
        }))
    }

    /// Who brought an approval, and where the policy stands that judges it.
    fn brought_at(
        &mut self,
        scene: &Scene<'_>,
        asked: &Asked<'_>,
        path: &str,
    ) -> Result<Option<(Brought, Oid)>, ObjectError> {
        let Some(before) = asked.before else {
            let file = scene.trusted.files.get(path);
            return Ok(file.map(|file| (file.brought.clone(), file.judged_by)));
        };
        let is_it = |other: &str| other == path;
        let wanted = Wanted {
            folder: "approvals",
            is_it: &is_it,
        };
        let earlier = self.earlier(scene.objects, scene.trusted.root(), before, &wanted)?;
        Ok(earlier.map(|earlier| (earlier.brought, earlier.judged_by)))
    }
}

/// What must have been signed; none where the bundle is not on the trunk, so that nobody can have approved it.
fn statement(scene: &Scene<'_>, asked: &Asked<'_>) -> Result<Option<String>, ObjectError> {
    let objects = scene.objects;
    let manifest = asked.manifest;
    let key = format!("{}/{}", manifest.bundle, manifest.version);
    let Some(bundle) = scene.trusted.bundles.get(key.as_str()) else {
        return Ok(None);
    };
    let digest = match bundle.digest {
        Some(digest) => digest,
        // A large lock was not fetched with the history.
        None => Digest::of(&objects.blob(bundle.lock, MAX_LOCK)?),
    };
    let Ok(text) = text(objects, asked.blob)? else {
        return Ok(None);
    };
    let subject = Subject {
        repository: &scene.at.policy.repository,
        workflow: &manifest.workflow,
        manifest: Digest::of(&text),
        bundle: digest,
        commit: asked.brought.commit,
    };
    Ok(Some(subject.statement()))
}

/// The files `approvals/<workflow>/<person>.sig`.
fn papers(objects: &Objects, tree: Oid, workflow: &Name) -> Result<Vec<Paper>, ObjectError> {
    let mut at = tree;
    for part in ["approvals", workflow.as_str()] {
        match objects.tree(at)?.get(part.as_bytes()) {
            Some(entry) if entry.mode == Mode::Folder => at = entry.id,
            _ => return Ok(Vec::new()),
        }
    }
    let tree = objects.tree(at)?;
    let plain = tree
        .entries()
        .filter(|entry| matches!(entry.mode, Mode::File | Mode::Executable));
    let named = plain.filter_map(|entry| {
        let name = std::str::from_utf8(entry.name).ok()?;
        let path = format!("approvals/{workflow}/{name}");
        let (_, person) = news::approval(&path)?;
        Some(Paper {
            path,
            person,
            blob: entry.id,
        })
    });
    Ok(named.collect())
}
