//! The object store: raw objects by id, with limits. No ref, no configuration, no working tree.

use std::path::Path;
use swarm_manifests::id::Oid;

/// Objects of one bare mirror.
pub struct Objects {
    repo: git2::Repository,
}

/// Why an object could not be had.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ObjectError {
    #[error("object {0} is not there")]
    Missing(Oid),
    #[error("object {id} has {size} bytes, more than {limit}")]
    TooLarge { id: Oid, size: u64, limit: u64 },
    #[error("object {id} is a {found}, not a {wanted}")]
    Kind { id: Oid, found: String, wanted: &'static str },
    #[error("object {id} is malformed: {what}")]
    Malformed { id: Oid, what: String },
    #[error("git: {0}")]
    Git(#[from] git2::Error),
}

impl Objects {
    /// Opens the repository at `path` (bare mirror, or a person's clone), or makes a bare one where there is nothing and `create`.
    pub fn open(path: &Path, create: bool) -> Result<Self, ObjectError> {
        let _ = (path, create);
        todo!()
    }

    /// Whether the object is there.
    pub fn has(&self, id: Oid) -> bool {
        let _ = (&self.repo, id);
        todo!()
    }

    /// The raw bytes of a blob of at most `limit` bytes.
    pub fn blob(&self, id: Oid, limit: u64) -> Result<Vec<u8>, ObjectError> {
        let _ = (id, limit);
        todo!()
    }
}
