//! The policy after a commit (SPEC §4 rule 2): the same one, or a lawful successor that enough admins stand behind.
//!
//! Touches the object store: policy.toml and the approvals of the very same commit. The counting is the policy's own.

use crate::{
    changes::DiffError,
    judge::{Place, Stop, of_diff},
    objects::{ObjectError, Objects},
    rights::{self, Signer},
    tree::{Mode, Tree},
    verifier::Verifier,
};
use std::sync::Arc;
use swarm_manifests::{
    id::Oid,
    policy::{Approval, FOLDER, Policy, Proposal, Revocations},
    problem::Refusal,
    signature::MAX_ARMOUR,
};

/// The most approvals that are looked at.
const MAX_APPROVALS: usize = 1000;

/// The policy at a commit.
pub(crate) struct Next {
    pub blob: Oid,
    pub policy: Arc<Policy>,
    pub revoked: Arc<Revocations>,
}

impl Verifier {
    /// The policy in `tree`, the tree of the commit `id` upon `place`.
    pub(crate) fn next_policy(
        &mut self,
        objects: &Objects,
        place: &Place,
        (id, signer): (Oid, &Signer),
        tree: Oid,
    ) -> Result<Next, Stop> {
        let of_commit = |why: Refusal| Refusal {
            reason: format!("{}: {}", rights::named(id, signer), why.reason),
            ..why
        };
        let tree = objects
            .tree(tree)
            .map_err(|error| of_diff(id, DiffError::Object(error)))?;
        let (blob, policy) = self.policy(objects, &tree)?.map_err(of_commit)?;
        let at = &place.at;
        if blob == at.policy_blob {
            let revoked = place.revoked.clone();
            return Ok(Next {
                blob,
                policy,
                revoked,
            });
        }
        let position = place.position + 1;
        let head = (at.id, place.position);
        let revoked = self.revocations(objects, place.root, (blob, &policy), head)?;
        let proposal = Proposal {
            old: &at.policy,
            new: &policy,
            text: &objects.blob(blob, u64::MAX)?,
            position,
            revoked: (&place.revoked, &revoked),
        };
        let files = approvals(objects, &tree)?;
        let files: Vec<Approval<'_>> = files
            .iter()
            .map(|(person, armour)| Approval { person, armour })
            .collect();
        let signer = Some(signer.key.as_str());
        proposal.check(&files, signer).map_err(of_commit)?;
        Ok(Next {
            blob,
            policy,
            revoked,
        })
    }
}

/// The files `policy.sigs/<person>.sig`: stem and bytes. One that is no plain file, or too large, is an approval of nobody.
pub(crate) fn approvals(
    objects: &Objects,
    root: &Tree,
) -> Result<Vec<(String, Vec<u8>)>, ObjectError> {
    let folder = root
        .get(FOLDER.as_bytes())
        .filter(|entry| entry.mode == Mode::Folder);
    let Some(folder) = folder.map(|entry| entry.id) else {
        return Ok(Vec::new());
    };
    let tree = objects.tree(folder)?;
    let mut found = Vec::new();
    for entry in tree.entries().take(MAX_APPROVALS) {
        let stem = std::str::from_utf8(entry.name)
            .ok()
            .and_then(|name| name.strip_suffix(".sig"));
        let is_plain = matches!(entry.mode, Mode::File | Mode::Executable);
        let Some(stem) = stem.filter(|_| is_plain) else {
            continue;
        };
        match objects.blob(entry.id, MAX_ARMOUR as u64) {
            Ok(armour) => found.push((stem.to_owned(), armour)),
            Err(ObjectError::TooLarge { .. } | ObjectError::Kind { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
