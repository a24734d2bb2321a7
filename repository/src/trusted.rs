//! What is trusted: where the trunk stands, and who brought what. Pure values; [`crate::trust_file`] keeps them.
//!
//! The maps and what is in them are shared, so that a new state after one commit costs what that commit brought.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use swarm_manifests::{
    id::{Digest, Oid},
    name::Name,
};

/// Where the trunk stands, and who brought what; made by [`crate::trunk::introduce`] and [`crate::trunk::advance`], kept by [`crate::trust_file`].
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Trusted {
    pub introduction: Oid,
    /// SHA-256 of policy.toml at the introduction, as `[trust]` says.
    pub policy_sha256: Digest,
    /// The position of the introduction.
    pub start: u64,
    pub head: Oid,
    /// One more with each commit of the trunk.
    pub position: u64,
    /// The manifest's path -> who changed it last.
    pub manifests: Arc<BTreeMap<Arc<str>, Arc<Brought>>>,
    /// `name/version` -> who brought it first (the folder may be gone since).
    pub bundles: Arc<BTreeMap<Arc<str>, Arc<BroughtBundle>>>,
    /// The path of an approval or a secret -> who changed it last.
    pub files: Arc<BTreeMap<Arc<str>, Arc<BroughtFile>>>,
}

/// Which commit, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Brought {
    pub path: String,
    pub commit: Oid,
    pub position: u64,
    pub by: Name,
    /// Fingerprint; empty for what an unsigned introduction holds.
    pub key: String,
    /// RFC 3339, the committer's claim: for people only.
    pub time: String,
}

/// A bundle version on the trunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct BroughtBundle {
    #[serde(flatten)]
    pub brought: Brought,
    /// The commit whose policy says who may publish: the first parent of the one that brought the signature
    /// (at first with the bundle; later where `bundle.lock.sig` was replaced); the introduction for what it held itself.
    pub judged_by: Oid,
    /// The signature that stands there now.
    pub seal: Seal,
    /// SHA-256 of bundle.lock as first brought, where the blob could be read.
    pub digest: Option<Digest>,
    /// The id of bundle.lock's blob, then: the immutability rule (§3.2) holds against it.
    pub lock: Oid,
}

/// A bundle.lock.sig: whose it is, and who brought it (with the bundle, or later in its place).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Seal {
    /// The position of the commit that brought it, and the key that signed that commit.
    pub position: u64,
    pub key: String,
    /// The key that made it, where it could be read.
    pub maker: Option<String>,
}

/// `approvals/<workflow>/<person>.sig` or `secrets/<workflow>/<name>.age` on the trunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct BroughtFile {
    #[serde(flatten)]
    pub brought: Brought,
    /// The commit whose policy says what it is worth: the first parent of the one that brought it.
    pub judged_by: Oid,
}
