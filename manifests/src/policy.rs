//! policy.toml and what it allows (SPEC §3.4, §4 rules 1 to 4). Pure: text alone decides.

use crate::{
    bundle::{Limits, Network},
    id::Oid,
    name::{Name, Pattern},
    signature::Touch,
};
use serde::{Deserialize, Serialize};
use ssh_key::PublicKey;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

mod change;
mod read;
mod revocation;
mod rights;
mod signed;

pub use change::{Approval, FOLDER, Proposal, Stand, check_change};
pub(crate) use read::{CEILING, ceiling};
pub use read::{SHAPE, read};
pub use revocation::{Ground, Hand, Revocations};
pub use rights::{Need, Side, need};
pub use signed::{NotSigned, SignedBy};

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
    /// Whether signatures of security keys need a touch.
    pub touch: Touch,
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

impl Right {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Deploy => "deploy",
            Self::Operate => "operate",
        }
    }
}

impl Policy {
    /// The one person whose key this is.
    pub fn person_of(&self, key: &PublicKey) -> Option<&Name> {
        self.owner_of(key).map(|(name, _)| name)
    }

    fn owner_of(&self, key: &PublicKey) -> Option<(&Name, &Person)> {
        self.people
            .iter()
            .find(|(_, person)| person.keys.iter().any(|k| k.key_data() == key.key_data()))
    }

    /// Whether the person is an admin.
    pub fn is_admin(&self, person: &Name) -> bool {
        self.people.get(person).is_some_and(|p| p.admin)
    }
}

#[cfg(test)]
mod tests;
