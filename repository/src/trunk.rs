//! The trunk: from the head trusted last to the new head, each commit judged by the policy of its first parent (SPEC §4).

use crate::objects::{ObjectError, Objects};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use swarm_manifests::{id::{Digest, Oid}, manifest::Manifest, name::Name, policy::Policy, problem::{Problem, Refusal}, roster, settings::Trust};

/// What is trusted: where the trunk stands, and who brought what. Survives as `trust.json`; made by [`introduce`] and [`advance`] only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Trusted {
    pub introduction: Oid,
    pub policy_sha256: Digest,
    pub head: Oid,
    /// Counts from the introduction.
    pub position: u64,
    /// Workflow -> who changed its manifest last.
    pub manifests: BTreeMap<String, Brought>,
    /// `name/version` -> who brought it first (the folder may be gone since).
    pub bundles: BTreeMap<String, BroughtBundle>,
}

/// Which commit, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Brought {
    pub path: String,
    pub commit: Oid,
    pub position: u64,
    pub by: Name,
    /// Fingerprint.
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
    /// The first parent of the bringing commit: whose policy says who may publish.
    pub judged_by: Oid,
    /// SHA-256 of bundle.lock as first brought, where the blob could be read; the immutability rule (§3.2) holds against it.
    pub digest: Option<Digest>,
    /// The id of bundle.lock's blob, then.
    pub lock: Option<Oid>,
}

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
    /// Rewound, sidelined or unrelated (rule 5): nothing changes.
    Astray(Refusal),
}

/// Verified bytes of the trunk at one head.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Snapshot {
    pub head: Oid,
    pub position: u64,
    pub policy: Policy,
    pub workflows: Vec<Found>,
    pub roster: BTreeMap<Name, roster::Entry>,
    /// Problems of single files (roster entries, names) that concern no workflow.
    pub problems: Vec<Problem>,
}

/// One manifest on the trunk.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Found {
    pub workflow: Name,
    pub brought: Brought,
    /// The manifest, or what is wrong with it.
    pub manifest: Result<Manifest, Vec<Problem>>,
}

/// The trust at the introduction itself: the commit is there and its policy.toml has the SHA-256 that `[trust]` says.
pub fn introduce(objects: &Objects, trust: &Trust) -> Result<Result<Trusted, Refusal>, ObjectError> {
    let _ = (objects, trust);
    todo!()
}

/// Verifies from the trusted head to `head`. The outer error is the object store's (missing objects, disk): nothing is decided then.
pub fn advance(objects: &Objects, trusted: &Trusted, head: Oid) -> Result<Advance, ObjectError> {
    let _ = (objects, trusted, head);
    todo!()
}

/// Reads what the trunk says at the trusted head.
pub fn snapshot(objects: &Objects, trusted: &Trusted) -> Result<Snapshot, ObjectError> {
    let _ = (objects, trusted);
    todo!()
}
