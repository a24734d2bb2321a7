//! The revision: the hash of what runs (SPEC §3.3). Pure.

use crate::{bundle::Bundle, id::Digest, manifest::Manifest};
use std::collections::BTreeMap;

/// Hashes bundle digest, args, env, digests of secrets, mode and time limit, limits, user, workdir, instances.
///
/// `[on]`, `[rollout]`, `[restart]`, comments, key order and the file's folder are not part of it.
pub fn revision(
    manifest: &Manifest,
    bundle: &Bundle,
    digest: Digest,
    secrets: &BTreeMap<String, Digest>,
) -> Digest {
    let _ = (manifest, bundle, digest, secrets);
    todo!()
}
