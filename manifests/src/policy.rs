//! policy.toml and what it allows (SPEC §3.4, §4 rules 1 to 4). Pure: text alone decides.

use crate::{
    bundle::{Limits, Network},
    id::Oid,
    manifest::Manifest,
    name::{Name, Pattern},
    problem::{Problem, Refusal},
};
use serde::{Deserialize, Serialize};
use ssh_key::PublicKey;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// The namespace of an approval of a policy.
pub const NAMESPACE: &str = "swarm-policy@v1";

/// Who may do what.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Policy {
    pub repository: String,
    pub version: u64,
    pub threshold: u32,
    pub people: BTreeMap<Name, Person>,
    pub teams: BTreeMap<Name, Vec<Name>>,
    pub grants: Vec<Grant>,
    pub revoked: Vec<Revoked>,
    pub ceiling: Ceiling,
}

/// `[people.NAME]`
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Person {
    pub keys: Vec<PublicKey>,
    pub admin: bool,
}

/// `[[grant]]`; teams are resolved into people.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Grant {
    pub people: BTreeSet<Name>,
    pub may: BTreeSet<Right>,
    pub workflows: Vec<Pattern>,
    /// None: every box.
    pub boxes: Option<Vec<Pattern>>,
    pub approvals: u32,
}

/// What a grant gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Right {
    Publish,
    Deploy,
    Operate,
}

/// `[[revoked]]`
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Revoked {
    /// `SHA256:…`
    pub key: String,
    pub from: Moment,
    pub reason: Option<String>,
}

/// A place on the trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Moment {
    Position(u64),
    Commit(Oid),
}

/// `[ceiling]`, of policy and box alike. An absent key is no ceiling, except for `devices`, `groups`, `read` and `write`, where absent is none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Ceiling {
    pub limits: Limits,
    /// None: host.
    pub network: Option<Network>,
    pub devices: Option<Vec<String>>,
    pub groups: Option<Vec<String>>,
    pub read: Option<Vec<String>>,
    pub write: Option<Vec<String>>,
    pub once_time_limit: Option<Duration>,
}

impl Policy {
    /// The one person whose key this is.
    pub fn person_of(&self, key: &PublicKey) -> Option<&Name> {
        self.people
            .iter()
            .find(|(_, person)| person.keys.iter().any(|k| k.key_data() == key.key_data()))
            .map(|(name, _)| name)
    }

    /// Whether the person is an admin.
    pub fn is_admin(&self, person: &Name) -> bool {
        self.people.get(person).is_some_and(|p| p.admin)
    }

    /// Whether the person may publish bundles of this name.
    pub fn may_publish(&self, person: &Name, bundle: &str) -> bool {
        let _ = (person, bundle);
        todo!()
    }

    /// Whether the person may change a manifest from `old` to `new` (rule 3); a side that does not exist covers nothing and needs nothing.
    pub fn may_deploy(
        &self,
        person: &Name,
        workflow: &str,
        old: Side<'_>,
        new: Side<'_>,
    ) -> Result<(), Refusal> {
        let _ = (person, workflow, old, new);
        todo!()
    }

    /// How many people must stand behind this manifest, and who could (people with deploy rights for that workflow and those boxes).
    pub fn approvals_needed(&self, manifest: &Manifest) -> (u32, BTreeSet<Name>) {
        let _ = manifest;
        todo!()
    }
}

/// One side of a change of a manifest.
#[derive(Debug, Clone, Copy)]
pub enum Side<'a> {
    /// The file is not there.
    Absent,
    /// It is there and does not parse: needs a grant without boxes.
    Broken,
    /// It parses.
    Parsed(&'a Manifest),
}

/// What right a changed path needs (rule 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Need<'a> {
    Publish {
        bundle: &'a str,
    },
    /// `manifests/**/<w>.toml` itself: boxes of both sides count.
    Manifest {
        workflow: &'a str,
    },
    /// `approvals/<w>/**`, `secrets/<w>/**`: the boxes of the workflow's manifest count.
    Deploy {
        workflow: &'a str,
    },
    Admin,
    AnyPerson,
}

/// What right a change of this path needs.
pub fn need(path: &str) -> Need<'_> {
    let _ = path;
    todo!()
}

/// Checks a change of policy.toml except for its approvals (rule 2): version + 1, same repository, no lock-out.
pub fn check_change(old: &Policy, new: &Policy) -> Result<(), Refusal> {
    let _ = (old, new);
    todo!()
}

/// Reads a policy.toml. A policy comes out only where there is no problem.
pub fn read(file: &str, text: &[u8]) -> (Option<Policy>, Vec<Problem>) {
    let _ = (file, text);
    todo!()
}
