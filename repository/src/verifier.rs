//! The verifier: what it read once it need not read again. In: blob ids. Out: policies, manifests, the roster.
//!
//! Touches the object store. Keyed by content, so nothing in here can be out of date; losing it costs time only.

use crate::{
    carried::Carried,
    objects::{ObjectError, Objects},
    revoked::Root,
    tree::{Mode, Tree},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use swarm_manifests::{
    id::{Digest, Oid},
    manifest::{self, Manifest},
    name::Name,
    policy::{self, Policy, Revocations},
    problem::{Problem, Refusal},
    roster,
    rules::{file, trunk},
    shape::MAX_TEXT,
};

/// How many texts of one kind are kept; then it starts over.
const KEEP: usize = 20_000;

/// A manifest, or what is wrong with it.
pub type ReadManifest = Result<Arc<Manifest>, Vec<Problem>>;
/// The boxes of the roster, and what is wrong with single entries.
pub(crate) type ReadRoster = (Arc<BTreeMap<Name, roster::Entry>>, Vec<Problem>);

/// Verifies a trunk, remembering what it has parsed. One for each object store, kept as long as that.
#[derive(Debug, Default)]
pub struct Verifier {
    policies: HashMap<Oid, Arc<Policy>>,
    manifests: HashMap<(Box<str>, Oid), ReadManifest>,
    pub(crate) roster: Option<(Oid, ReadRoster)>,
    /// The manifests of the snapshot before.
    pub(crate) carried: Option<Carried>,
    /// SHA-256 of blobs.
    pub(crate) digests: HashMap<Oid, Digest>,
    /// By trunk and the id of policy.toml.
    pub(crate) revocations: HashMap<(Root, Oid), Arc<Revocations>>,
}

impl Verifier {
    /// One that has read nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The policy in the tree of a commit.
    pub(crate) fn policy(
        &mut self,
        objects: &Objects,
        tree: &Tree,
    ) -> Result<Result<(Oid, Arc<Policy>), Refusal>, ObjectError> {
        let wrong = |what: String| Ok(Err(Refusal::new(&trunk::NO_POLICY, what)));
        let id = match tree.get(b"policy.toml").map(|entry| (entry.mode, entry.id)) {
            None => return wrong("policy.toml is missing".into()),
            Some((Mode::File | Mode::Executable, id)) => id,
            Some(_) => return wrong("policy.toml is not a plain file".into()),
        };
        if let Some(known) = self.policies.get(&id) {
            return Ok(Ok((id, known.clone())));
        }
        let text = match text(objects, id)? {
            Ok(text) => text,
            Err(why) => return wrong(format!("policy.toml {why}")),
        };
        match policy::read("policy.toml", &text) {
            (Some(policy), problems) if problems.is_empty() => {
                let policy = Arc::new(policy);
                keep(&mut self.policies, id, policy.clone());
                Ok(Ok((id, policy)))
            }
            (_, problems) => wrong(
                problems
                    .first()
                    .map_or_else(|| "policy.toml is wrong".into(), ToString::to_string),
            ),
        }
    }

    /// The manifest in this blob at this path.
    pub(crate) fn manifest(
        &mut self,
        objects: &Objects,
        path: &str,
        mode: Mode,
        id: Oid,
    ) -> Result<ReadManifest, ObjectError> {
        if !matches!(mode, Mode::File | Mode::Executable) {
            return Ok(Err(vec![Problem::whole(
                path,
                &trunk::TREE,
                "a manifest must be a plain file",
            )]));
        }
        let key = (path.into(), id);
        if let Some(known) = self.manifests.get(&key) {
            return Ok(known.clone());
        }
        let read = match text(objects, id)? {
            Err(why) => Err(vec![Problem::whole(path, &file::TOO_LARGE, why)]),
            Ok(text) => match manifest::read(path, &text) {
                (Some(manifest), _) => Ok(Arc::new(manifest)),
                (None, problems) => Err(problems),
            },
        };
        keep(&mut self.manifests, key, read.clone());
        Ok(read)
    }
}

/// The bytes of a file that a person wrote, or why they are not read.
pub(crate) fn text(objects: &Objects, id: Oid) -> Result<Result<Vec<u8>, String>, ObjectError> {
    match objects.blob(id, MAX_TEXT as u64) {
        Ok(text) => Ok(Ok(text)),
        Err(ObjectError::TooLarge { size, limit, .. }) => {
            Ok(Err(format!("has {size} bytes, more than {limit}")))
        }
        Err(ObjectError::Kind { found, .. }) => Ok(Err(format!("is a {found}"))),
        Err(other) => Err(other),
    }
}

pub(crate) fn keep<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>, key: K, value: V) {
    if map.len() >= KEEP {
        map.clear();
    }
    map.insert(key, value);
}
