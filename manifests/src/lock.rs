//! bundle.lock: the canonical text, its digest, and the rules for paths (SPEC §3.2). Pure.

use crate::{id::Digest, name::Name, problem::Refusal};
use semver::Version;

/// The namespace of a signature over bundle.lock.
pub const NAMESPACE: &str = "swarm-bundle@v1";
/// The most files a bundle may have.
pub const MAX_FILES: usize = 50_000;
/// The most bytes that a bundle's files may have together.
pub const MAX_BYTES: u64 = 1 << 30;
/// The deepest path, in components.
pub const MAX_DEPTH: usize = 32;

/// The kind of a listed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A plain file, mode 644.
    Plain,
    /// An executable file, mode 755.
    Executable,
    /// A symbolic link; hash and size are those of its target text.
    Link,
}

/// One line of bundle.lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// SHA-256 of the bytes.
    pub hash: Digest,
    /// What it is.
    pub kind: Kind,
    /// In bytes.
    pub size: u64,
    /// Relative to the bundle.
    pub path: String,
}

/// A bundle.lock that was read or made; its text is canonical.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    name: Name,
    version: Version,
    entries: Vec<Entry>,
}

impl Lock {
    /// Sorts the entries and checks every path and the limits.
    pub fn new(name: Name, version: Version, entries: Vec<Entry>) -> Result<Self, Refusal> {
        let _ = (name, version, entries);
        todo!()
    }

    /// Reads a bundle.lock; only the canonical text is taken.
    pub fn parse(text: &[u8]) -> Result<Self, Refusal> {
        let _ = text;
        todo!()
    }

    /// The canonical text.
    pub fn text(&self) -> String {
        todo!()
    }

    /// The bundle's digest: the SHA-256 of the canonical text.
    pub fn digest(&self) -> Digest {
        Digest::of(self.text().as_bytes())
    }

    /// The bundle's name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The bundle's version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The files in order of their path's bytes.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// Checks one path of a bundle: its components, its depth.
pub fn check_path(path: &str) -> Result<(), Refusal> {
    let _ = path;
    todo!()
}

/// Checks that a link at `path` with this target text stays inside the bundle.
pub fn check_link(path: &str, target: &str) -> Result<(), Refusal> {
    let _ = (path, target);
    todo!()
}
