//! What is stored is what was signed, looked at again before each start: a store folder and a digest come in, yes or the difference comes out.

use std::path::{Path, PathBuf};
use swarm_manifests::id::Digest;

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum RehashError {
    /// bundle.lock is not the one that was verified.
    #[error("the stored bundle.lock has digest {found}, not {expected}")]
    Lock { expected: Digest, found: Digest },
    /// bundle.lock is no lock.
    #[error("the stored bundle.lock cannot be read: {0}")]
    Unreadable(String),
    /// A file is not as it is listed.
    #[error("{path}: {what}")]
    File { path: String, what: String },
    /// The disk.
    #[error("{}: {text}", path.display())]
    Io { path: PathBuf, text: String },
}

/// Remembers which bytes were hashed, so that a restart in a loop does not read them again.
#[derive(Debug, Default)]
pub struct Rehasher {}

impl Rehasher {
    /// Nothing remembered.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks `<store>/bundle.lock` against `digest`, and every file below `<store>/tree/` against it: bytes, size, kind, mode, none
    /// missing, none extra.
    pub fn check(&mut self, store: &Path, digest: &Digest) -> Result<(), RehashError> {
        let _ = (store, digest);
        todo!()
    }

    /// The hash of a sealed folder without a lock (the result of `[install]`): of a canonical list like bundle.lock's lines.
    pub fn hash_folder(&mut self, folder: &Path) -> Result<Digest, RehashError> {
        let _ = folder;
        todo!()
    }

    /// Forgets what was remembered of this folder.
    pub fn forget(&mut self, store: &Path) {
        let _ = store;
        todo!()
    }
}

/// Makes a folder read-only for good (files 0444 or 0555, folders 0555) and owned by us; setuid bits go. For the result of `[install]`.
pub fn seal(folder: &Path) -> Result<(), RehashError> {
    let _ = folder;
    todo!()
}
