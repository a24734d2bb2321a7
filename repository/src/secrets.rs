//! Secrets on the trunk: `secrets/<workflow>/<name>.age` as verified data (SPEC §3, §4 rule 8). Nothing is decrypted here.
//!
//! Touches the object store. One that a revoked key brought counts as absent, and the last one before it returns.

use crate::{
    earlier::{Earlier, Wanted, state},
    news,
    objects::{ObjectError, Objects},
    snapshot::Scene,
    tree::Mode,
    trusted::Brought,
    verifier::{Verifier, keep},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use swarm_manifests::{
    id::{Digest, Oid},
    name::Name,
    problem::Problem,
    rules::trunk::{REVOKED, TREE},
};

/// The largest encrypted secret, in bytes.
pub const MAX_SECRET: u64 = 1 << 20;

/// Secrets by workflow and name.
pub type Secrets = BTreeMap<(Name, Name), Arc<Secret>>;

/// An encrypted secret on the trunk, verified; its bytes are read with [`Secret::read`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Secret {
    pub brought: Brought,
    /// SHA-256 of the encrypted bytes: part of the revision.
    pub digest: Digest,
    blob: Oid,
}

impl Secret {
    /// The encrypted bytes.
    pub fn read(&self, objects: &Objects) -> Result<Vec<u8>, ObjectError> {
        let bytes = objects.blob(self.blob, MAX_SECRET)?;
        if Digest::of(&bytes) == self.digest {
            return Ok(bytes);
        }
        Err(ObjectError::Malformed {
            id: self.blob,
            what: "it is not what was verified".into(),
        })
    }
}

impl Verifier {
    /// Every secret in the tree of the trusted head.
    pub(crate) fn secrets(&mut self, scene: &mut Scene<'_>) -> Result<Secrets, ObjectError> {
        let (objects, trusted, void) = (scene.objects, scene.trusted, scene.void);
        let problems = &mut *scene.problems;
        let all = Wanted {
            folder: "secrets",
            is_it: &|path| news::secret(path).is_some(),
        };
        let mut secrets = Secrets::new();
        for (path, mode, blob) in state(objects, scene.at.tree, &all)? {
            let Some(key) = news::secret(&path) else {
                continue;
            };
            let mut refuse = |rule, why: String| problems.push(Problem::whole(&path, rule, why));
            let Some(known) = trusted.files.get(path.as_str()) else {
                refuse(&TREE, "nobody is known to have brought this file".into());
                continue;
            };
            let (mut brought, mut mode, mut blob) = (known.brought.clone(), mode, blob);
            if let Some(why) = void.refuse("this secret", &brought) {
                refuse(&REVOKED, why.reason);
                let is_it = |other: &str| other == path;
                let wanted = Wanted {
                    folder: "secrets",
                    is_it: &is_it,
                };
                let from = (brought.commit, brought.position);
                let is_void = |earlier: &Earlier| void.refuse("it", &earlier.brought).is_some();
                let Some(earlier) =
                    self.last_good(objects, trusted.root(), from, &wanted, |_, earlier| {
                        Ok(is_void(earlier))
                    })?
                else {
                    continue;
                };
                let Some((_, mode_then, blob_then)) = earlier.state.into_iter().next() else {
                    continue;
                };
                (brought, mode, blob) = (earlier.brought, mode_then, blob_then);
            }
            if let Some(digest) = self.secret_digest(objects, mode, blob)? {
                let secret = Secret {
                    brought,
                    digest,
                    blob,
                };
                secrets.insert(key, Arc::new(secret));
            } else {
                problems.push(Problem::whole(
                    &path,
                    &TREE,
                    format!("a secret is a plain file of at most {MAX_SECRET} bytes"),
                ));
            }
        }
        Ok(secrets)
    }

    /// None where it is no plain file, or too large.
    fn secret_digest(
        &mut self,
        objects: &Objects,
        mode: Mode,
        blob: Oid,
    ) -> Result<Option<Digest>, ObjectError> {
        if !matches!(mode, Mode::File | Mode::Executable) {
            return Ok(None);
        }
        if let Some(known) = self.digests.get(&blob) {
            return Ok(Some(*known));
        }
        match objects.blob(blob, MAX_SECRET) {
            Ok(bytes) => {
                let digest = Digest::of(&bytes);
                keep(&mut self.digests, blob, digest);
                Ok(Some(digest))
            }
            Err(ObjectError::TooLarge { .. } | ObjectError::Kind { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
