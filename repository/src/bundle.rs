//! Bundles in the repository: which blobs they need, and whether they may run (SPEC §3.2, §4 rule 4).

use crate::{objects::{ObjectError, Objects}, trunk::Trusted};
use swarm_manifests::{bundle::Bundle, id::Oid, lock::Lock, name::Name, problem::Refusal};

/// A bundle whose lock, signature, publisher and file list were verified; the bytes of the files are hashed when they are stored.
#[derive(Debug, Clone)]
pub struct VerifiedBundle {
    bundle: Bundle,
    lock: Lock,
    lock_text: Vec<u8>,
    files: Vec<Oid>,
    by: Name,
    key: String,
}

impl VerifiedBundle {
    /// bundle.toml
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }
    /// bundle.lock
    pub fn lock(&self) -> &Lock {
        &self.lock
    }
    /// bundle.lock as it stands
    pub fn lock_text(&self) -> &[u8] {
        &self.lock_text
    }
    /// The blobs, in the order of `lock().entries()`.
    pub fn files(&self) -> &[Oid] {
        &self.files
    }
    /// Who signed it.
    pub fn by(&self) -> &Name {
        &self.by
    }
    /// The key's fingerprint.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// What `look` found.
#[derive(Debug)]
pub enum Looked {
    /// Verified, except for bytes that are hashed when stored. Blobs that are not in the object store yet are listed.
    Verified(Box<VerifiedBundle>, Vec<Oid>),
    /// These blobs (lock, signature, bundle.toml) are needed first.
    Need(Vec<Oid>),
    /// It may not run.
    Refused(Refusal),
}

/// Looks at `bundles/<name>/<version>` at the trusted head.
pub fn look(objects: &Objects, trusted: &Trusted, name: &Name, version: &str) -> Result<Looked, ObjectError> {
    let _ = (objects, trusted, name, version);
    todo!()
}
